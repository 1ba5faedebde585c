//! The keeper: a process of ours between us and one job.
//!
//! It exists because a process can only be walled in from within, before the program begins, and because somebody
//! must be the ancestor of all that the program starts, must outlive our own death by a moment, and must then leave
//! nobody behind. Its standard input is a socket to us: the order comes in, the verdict goes out, and when our end
//! closes, for whatever reason, the job is over.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, wait};

use super::connect;
use super::descendants::{descendants, kill_all};
use super::order::{End, LINE_BYTES_MAX, Limits, Order, Stop, Verdict};
use super::walls;

/// How often limits are looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long dying may take. A process in the kernel's hands (a dead network disk) cannot be waited for longer.
const DYING: Duration = Duration::from_secs(10);

/// The life of a keeper: reads one order from its standard input, runs that job within walls, tells how it ended,
/// and takes every descendant along.
///
/// The hidden subcommand of the program calls this before anything else happens in its process.
///
/// With `connect HOST PORT` at the end of its arguments it passes one connection through the tunnel instead: that is
/// what ssh runs within the jail.
pub fn keep() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, .., word, host, port] = arguments.as_slice()
        && word == connect::WORD
    {
        return connect::connect(host, port);
    }
    let Ok(control) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let Ok(order) = receive(&control) else { return ExitCode::FAILURE };
    let verdict = run(order, &control);
    let _ = send(&control, &verdict);
    ExitCode::SUCCESS
}

fn receive(control: &UnixStream) -> io::Result<Order> {
    let mut line = Vec::new();
    BufReader::new(control).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn send(mut control: &UnixStream, verdict: &Verdict) -> io::Result<()> {
    let mut line = serde_json::to_vec(verdict)?;
    line.push(b'\n');
    control.write_all(&line)?;
    control.shutdown(Shutdown::Write)
}

enum Event {
    /// The job's first process is gone.
    Gone(WaitStatus),
    /// No child is left.
    Alone,
    /// Nobody waits for us.
    Abandoned,
}

fn run(order: Order, control: &UnixStream) -> Verdict {
    let _ = setsid(); // fails where we lead a session already
    let _ = set_child_subreaper(Some(getpid()));
    let limits = order.limits;
    let folder = order.folder.clone();
    let (started, missing) = start(order);
    let first = match started {
        Ok(first) => first,
        Err(error) => return Verdict { end: End::NotStarted(error.to_string()), missing },
    };
    let (events, happened) = channel();
    reap(first, events.clone());
    await_hangup(control, events);
    let end = watch(&folder, limits, &happened);
    bury(&happened);
    Verdict { end, missing }
}

/// Starts the job from a thread that has walled itself in: walls are inherited, and do not bind the keeper.
fn start(order: Order) -> (io::Result<Pid>, Vec<String>) {
    let walled = thread::spawn(move || {
        let missing = match walls::enclose(&order) {
            Ok(missing) => missing,
            Err(error) => return (Err(error), Vec::new()),
        };
        let stdin = if order.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let child = Command::new(&order.program)
            .args(&order.arguments)
            .env_clear()
            .envs(order.environment)
            .current_dir(&order.start)
            .stdin(stdin)
            .process_group(0)
            .spawn();
        let pid = child.and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                // Shorter than a pipe's buffer, so that this waits for nobody.
                stdin.write_all(order.input.as_bytes())?;
            }
            let raw = i32::try_from(child.id()).map_err(io::Error::other)?;
            Pid::from_raw(raw).ok_or_else(|| io::Error::other("a process without a number"))
        });
        (pid, missing)
    });
    walled.join().unwrap_or_else(|_| (Err(io::Error::other("the walls fell")), Vec::new()))
}

/// Waits for all children, born or orphaned into our care, and says when none is left.
fn reap(first: Pid, events: Sender<Event>) {
    thread::spawn(move || {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid == first => {
                    let _ = events.send(Event::Gone(status));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    let _ = events.send(Event::Alone);
                    return;
                }
            }
        }
    });
}

/// Nothing follows the order on the socket, so that any end of reading means that the other side is gone.
fn await_hangup(control: &UnixStream, events: Sender<Event>) {
    let Ok(mut control) = control.try_clone() else { return };
    thread::spawn(move || {
        let _ = control.read(&mut [0]);
        let _ = events.send(Event::Abandoned);
    });
}

/// Until the job ends or must end.
fn watch(folder: &Path, limits: Limits, happened: &Receiver<Event>) -> End {
    let deadline = Instant::now() + Duration::from_millis(limits.time_ms);
    let mut next_look = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            return End::Stopped(Stop::Time);
        }
        match happened.recv_timeout(TICK.min(deadline - now)) {
            Ok(Event::Gone(status)) => return ended(status),
            Ok(Event::Alone) => return End::Signalled(0),
            Ok(Event::Abandoned) | Err(RecvTimeoutError::Disconnected) => {
                return End::Stopped(Stop::Abandoned);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if descendants().len() > limits.processes {
            return End::Stopped(Stop::Processes);
        }
        let looked = Instant::now();
        if looked >= next_look {
            if weigh(folder, limits.folder_bytes) > limits.folder_bytes {
                return End::Stopped(Stop::Disk);
            }
            // Looking costs at most a tenth of a core, however many files there are.
            next_look = looked + looked.elapsed() * 10 + TICK;
        }
    }
}

fn ended(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Signalled(signal.unwrap_or(0)),
    }
}

/// The bytes of all files below a folder, counted until they are more than `enough`.
fn weigh(folder: &Path, enough: u64) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {} // gone in between
            }
            if bytes > enough {
                return bytes;
            }
        }
    }
    bytes
}

/// Ends whoever is left, until nobody is.
fn bury(happened: &Receiver<Event>) {
    let until = Instant::now() + DYING;
    while Instant::now() < until {
        kill_all();
        match happened.recv_timeout(Duration::from_millis(5)) {
            Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(Event::Gone(_) | Event::Abandoned) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
