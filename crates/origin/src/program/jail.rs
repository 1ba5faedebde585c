//! A program, all its descendants and nothing else.
//!
//! A job's life: [`Jail::run`] waits for one of the machine's places, starts a [`keeper`] with an empty environment
//! and hands it the order through a socket; the keeper puts up the walls, starts the program, and watches its time,
//! its disk and its processes. Here its output is read, as much as is wanted and no more. When the program ends, or
//! a limit stops it, or the caller goes away and the socket with him, the keeper ends every descendant, tells how it
//! went, and ends too.

pub(super) mod connect;
mod descendants;
mod keeper;
mod order;
mod syscalls;
mod walls;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use keeper::keep;
use order::{End, LINE_BYTES_MAX, Order, Verdict};
pub(crate) use order::{Limits, Stop};

/// What is kept of a program's complaints, in bytes (hostile-inputs part 1).
const STDERR_BYTES_MAX: usize = 64 << 10;
/// What a program may complain in all: a talkative one is heard out, an endless one is stopped (C22).
const STDERR_BYTES_ENDURED: u64 = 4 << 20;
/// How long a keeper may take beyond its job's time to bury it, before we stop waiting for it.
const GRACE: Duration = Duration::from_secs(15);

/// The place where jobs run: some at once, the others wait.
pub(crate) struct Jail {
    keeper: Vec<PathBuf>,
    path: Vec<PathBuf>,
    places: Semaphore,
    /// Whether missing walls were reported.
    reported: AtomicBool,
}

/// One run of one program.
pub(crate) struct Job<'a> {
    /// Its name, looked for in the configured folders.
    pub(crate) program: &'static str,
    /// Whatever others can influence stands behind `--` or `--end-of-options` (B16).
    pub(crate) arguments: Vec<String>,
    /// Beside [`base_environment`].
    pub(crate) environment: Vec<(String, String)>,
    /// The only folder that it can change; it has `home` and `tmp` in it.
    pub(crate) folder: &'a Path,
    /// Where it starts: `folder` or below.
    pub(crate) start: PathBuf,
    /// What it may read beside the system's folders.
    pub(crate) readable: Vec<PathBuf>,
    /// The TCP ports that it may connect to; empty: no network.
    pub(crate) ports: Vec<u16>,
    /// What it reads on its standard input; mostly nothing.
    pub(crate) input: String,
    /// Where its output goes.
    pub(crate) stdout: Stdout,
    /// When it has had enough.
    pub(crate) limits: Limits,
}

/// Where a program's output goes.
pub(crate) enum Stdout {
    /// Into memory; more bytes than that stop the job.
    AtMost(u64),
    /// Into memory; more bytes than that are not wanted, and the job may end where it is.
    Prefix(u64),
    /// Into a file, as large as the limit of the folder allows.
    File(File),
}

/// What a job left.
#[derive(Debug)]
pub(crate) struct Output {
    /// Its exit status; `None` for a signal that was not ours.
    pub(crate) code: Option<i32>,
    /// Empty where it went into a file.
    pub(crate) stdout: Vec<u8>,
    /// The first 64 KiB of its complaints, raw: never shown but through [`super::words`].
    pub(crate) stderr: Vec<u8>,
}

/// Why a job did not come to its own end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Not in any of the configured folders.
    #[error("the program {0} is not installed here")]
    NoProgram(&'static str),
    /// A limit stopped it.
    #[error("the program {program} {}", .stop.words())]
    Stopped {
        /// Its name.
        program: &'static str,
        /// The limit.
        stop: Stop,
    },
    /// The jail itself failed.
    #[error("the program {program} could not be run: {reason}")]
    Jail {
        /// Its name.
        program: &'static str,
        /// What happened, without our folders.
        reason: String,
    },
}

/// Where a program is installed, of these folders.
pub(crate) fn found(folders: &[PathBuf], program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    folders.iter().map(|folder| folder.join(program)).find(is_program)
}

impl Jail {
    /// An empty jail. `keeper` is the command whose process calls [`keep`].
    pub(crate) fn new(keeper: Vec<PathBuf>, path: Vec<PathBuf>, jobs_max: usize) -> Self {
        Self { keeper, path, places: Semaphore::new(jobs_max.max(1)), reported: AtomicBool::new(false) }
    }

    /// Where a program is installed.
    pub(crate) fn find(&self, program: &'static str) -> Result<PathBuf, Fault> {
        found(&self.path, program).ok_or(Fault::NoProgram(program))
    }

    /// Runs a job to its end.
    ///
    /// Cancel safe: a caller that goes away ends the job and all its descendants (U4), within moments.
    pub(crate) async fn run(&self, job: Job<'_>) -> Result<Output, Fault> {
        let program = job.program;
        let path = self.find(program)?;
        let broken = |error: io::Error| Fault::Jail { program, reason: error.kind().to_string() };
        let _place = self.places.acquire().await.map_err(|closed| broken(io::Error::other(closed)))?;
        let time = Duration::from_millis(job.limits.time_ms) + GRACE;
        let (order, stdout) = self.order(job, path).map_err(broken)?;
        let (wanted, keeper_stdout) = match stdout {
            Stdout::AtMost(bytes) => (Wanted { bytes, more: More::Stops }, Stdio::piped()),
            Stdout::Prefix(bytes) => (Wanted { bytes, more: More::Ends }, Stdio::piped()),
            Stdout::File(file) => (Wanted { bytes: 0, more: More::Ends }, file.into()),
        };
        let (keeper, control) = self.keeper(keeper_stdout).map_err(broken)?;
        match timeout(time, converse(keeper, control, &order, wanted)).await {
            Ok(Ok(report)) => self.judge(program, report),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(Fault::Stopped { program, stop: Stop::Time }),
        }
    }

    fn order(&self, job: Job<'_>, program: PathBuf) -> io::Result<(Order, Stdout)> {
        for name in [HOME, TEMPORARY] {
            std::fs::create_dir_all(job.folder.join(name))?;
        }
        let mut environment = base_environment(&self.path, job.folder)?;
        environment.extend(job.environment);
        let order = Order {
            program,
            arguments: job.arguments,
            environment,
            folder: job.folder.to_path_buf(),
            start: job.start,
            readable: job.readable.into_iter().chain(self.path.iter().cloned()).collect(),
            ports: job.ports,
            input: job.input,
            limits: job.limits,
        };
        Ok((order, job.stdout))
    }

    /// A keeper that waits for its order.
    fn keeper(&self, stdout: Stdio) -> io::Result<(Child, UnixStream)> {
        let (program, arguments) = self.keeper.split_first().ok_or(io::ErrorKind::NotFound)?;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let keeper = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()?;
        Ok((keeper, UnixStream::from_std(ours)?))
    }

    fn judge(&self, program: &'static str, report: Report) -> Result<Output, Fault> {
        if report.overflow {
            return Err(Fault::Stopped { program, stop: Stop::Output });
        }
        let Some(verdict) = report.verdict else {
            let (code, stdout, stderr) = (None, report.stdout, report.stderr);
            return Ok(Output { code, stdout, stderr });
        };
        if !verdict.missing.is_empty() && !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                missing = verdict.missing.join("; "),
                "programs run with fewer walls than there could be"
            );
        }
        let code = match verdict.end {
            End::Exited(code) => Some(code),
            End::Signalled(_) => None,
            End::Stopped(stop) => return Err(Fault::Stopped { program, stop }),
            End::NotStarted(reason) => return Err(Fault::Jail { program, reason }),
        };
        Ok(Output { code, stdout: report.stdout, stderr: report.stderr })
    }
}

/// A program's home below its folder: always empty, so that no settings of anybody reach it (C30).
const HOME: &str = "home";
/// For its temporary files, below its folder.
pub(super) const TEMPORARY: &str = "tmp";

/// The environment of every program (M05): where programs are, a home and a place for temporary files of its own,
/// the language of its messages, and that clocks show UTC. `USER` is for fossil, which insists on one.
fn base_environment(path: &[PathBuf], folder: &Path) -> io::Result<Vec<(String, String)>> {
    let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidInput);
    let path = path.iter().map(|folder| text(folder)).collect::<Result<Vec<_>, _>>()?.join(":");
    let pairs = [
        ("PATH", path),
        ("HOME", text(&folder.join(HOME))?),
        ("TMPDIR", text(&folder.join(TEMPORARY))?),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("USER", "modkeep".to_owned()),
    ];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// How much of the output is wanted, and what more than that means.
#[derive(Clone, Copy)]
struct Wanted {
    bytes: u64,
    more: More,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum More {
    /// A fault.
    Stops,
    /// Enough was seen.
    Ends,
}

struct Report {
    /// `None`: we ended the job, because enough was seen.
    verdict: Option<Verdict>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Whether more was printed than is endured.
    overflow: bool,
}

/// Gives the order, reads until everything is said, and waits for the keeper.
async fn converse(
    mut keeper: Child,
    control: UnixStream,
    order: &Order,
    wanted: Wanted,
) -> io::Result<Report> {
    let (stdout, stderr) = (keeper.stdout.take(), keeper.stderr.take());
    let (from_keeper, mut to_keeper) = control.into_split();
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    to_keeper.write_all(&line).await?;

    let out = async {
        let wanted_bytes = usize::try_from(wanted.bytes).unwrap_or(usize::MAX);
        Ok((read_up_to(stdout, wanted_bytes, wanted.bytes).await?, wanted.more))
    };
    let complaints =
        async { Ok((read_up_to(stderr, STDERR_BYTES_MAX, STDERR_BYTES_ENDURED).await?, More::Stops)) };
    let talk = tokio::try_join!(first_end(out), first_end(complaints));
    let report = match talk {
        Ok((stdout, stderr)) => {
            let mut line = Vec::new();
            from_keeper.take(LINE_BYTES_MAX).read_to_end(&mut line).await?;
            Report { verdict: Some(serde_json::from_slice(&line)?), stdout, stderr, overflow: false }
        }
        Err(Early::Enough { bytes, overflow }) => {
            Report { verdict: None, stdout: bytes, stderr: Vec::new(), overflow }
        }
        Err(Early::Io(error)) => return Err(error),
    };
    drop(to_keeper); // for a keeper whose job we no longer want
    keeper.wait().await?;
    Ok(report)
}

/// Why reading one stream ends the whole job.
enum Early {
    Enough { bytes: Vec<u8>, overflow: bool },
    Io(io::Error),
}

/// A stream's bytes, or the end of the job where it has more than is wanted.
async fn first_end(
    read: impl Future<Output = io::Result<((Vec<u8>, Rest), More)>>,
) -> Result<Vec<u8>, Early> {
    match read.await {
        Ok(((bytes, Rest::None), _)) => Ok(bytes),
        Ok(((bytes, Rest::Some), more)) => Err(Early::Enough { bytes, overflow: more == More::Stops }),
        Err(error) => Err(Early::Io(error)),
    }
}

/// Whether a stream has more than was read.
enum Rest {
    None,
    Some,
}

/// Reads to the end, keeping the first `keep` bytes, but not past `endure` bytes and one.
async fn read_up_to(
    stream: Option<impl AsyncRead + Unpin>,
    keep: usize,
    endure: u64,
) -> io::Result<(Vec<u8>, Rest)> {
    let Some(mut stream) = stream else { return Ok((Vec::new(), Rest::None)) };
    let (mut kept, mut seen) = (Vec::new(), 0_u64);
    let mut chunk = vec![0; 16 << 10];
    loop {
        let n = stream.read(&mut chunk).await?;
        if n == 0 {
            return Ok((kept, Rest::None));
        }
        let room = keep.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&chunk[..room]);
        seen += n as u64;
        if seen > endure {
            return Ok((kept, Rest::Some));
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
