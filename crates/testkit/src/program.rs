//! The modkeep program as a child process, with a data directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for `serve` to say that it is ready, and for it to end after a signal.
const PATIENCE: Duration = Duration::from_secs(40);

/// How to start the program: its path, its data directory and its variables.
#[derive(Debug)]
pub struct Setup {
    wrapper: Vec<String>,
    binary: PathBuf,
    home: TempDir,
    store: PathBuf,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// The program at `binary` (tests pass `env!("CARGO_BIN_EXE_modkeep")`) with an empty store.
    pub fn new(binary: &str) -> Self {
        let home = tempfile::Builder::new().prefix("modkeep-test-").tempdir().expect("a temporary folder");
        let store = home.path().join("store");
        Self {
            wrapper: Vec::new(),
            binary: binary.into(),
            home,
            store,
            variables: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Takes modules from this upstream and checks them with its database.
    #[must_use]
    pub fn upstream(self, upstream: &crate::Upstream) -> Self {
        let database = upstream.gosumdb();
        self.with("MODKEEP_ORIGIN_UPSTREAM", &upstream.url()).with("MODKEEP_VERIFY_LOG", &database)
    }

    /// Sets a variable, `MODKEEP_SECTION_KEY`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// As [`Setup::with`], between two starts.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the program through another one that replaces itself by it: `taskset -c 0`, `strace -f`.
    #[must_use]
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Adds an argument to `serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Puts the data directory elsewhere, on another file system for instance.
    #[must_use]
    pub fn store_at(mut self, store: &Path) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// The data directory.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// A folder for whatever else the test writes; it ends with this value.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs a command of the program, `fsck --json` for instance, to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).arg("--store").arg(&self.store);
        command.output().expect("the program starts")
    }

    /// Starts `serve` on a free port and waits until it says where it listens.
    ///
    /// # Panics
    /// When it ends or says nothing for 40 s, with all that it printed.
    pub fn serve(&self) -> Program {
        Program::start(self)
    }

    /// The program with nothing of the developer's environment.
    pub fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => Command::new(&self.binary),
            Some((first, rest)) => {
                let mut wrapped = Command::new(first);
                wrapped.args(rest).arg(&self.binary);
                wrapped
            }
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }
}

/// A running `modkeep serve`. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    said: Arc<Said>,
    url: String,
    admin: Option<String>,
    started_in: Duration,
}

/// What the child printed so far, both streams, line by line.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Program {
    fn start(setup: &Setup) -> Self {
        let begin = Instant::now();
        let mut command = setup.command();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(&setup.store)
            .args(&setup.arguments);
        if !setup.variables.iter().any(|(name, _)| name == "MODKEEP_SERVER_ADMIN_LISTEN") {
            command.env("MODKEEP_SERVER_ADMIN_LISTEN", "127.0.0.1:0");
        }
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let said = Arc::new(Said::default());
        listen(child.stdout.take().expect("a piped stream"), Arc::clone(&said));
        listen(child.stderr.take().expect("a piped stream"), Arc::clone(&said));
        let mut program = Self { child, said, url: String::new(), admin: None, started_in: Duration::ZERO };
        program.url = program.wait_for_url("proxy");
        program.started_in = begin.elapsed();
        program.admin = program.url_said("admin");
        program
    }

    /// The base URL: the value of GOPROXY. No slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port` of the proxy.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The base URL of the admin listener.
    ///
    /// # Panics
    /// When `serve` named none.
    pub fn admin(&self) -> &str {
        self.admin.as_deref().expect("an admin listener")
    }

    /// From the start of the process to the line that says it is ready.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for a path below the base URL; `path` begins with a slash.
    pub fn get(&self, path: &str) -> crate::Answer {
        crate::get(&format!("{}{path}", self.url))
    }

    /// One figure of `/metrics`: the sum over all label sets whose line contains every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = crate::get(&format!("{}/metrics", self.admin())).text();
        let ours = |line: &&str| {
            line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label))
        };
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        text.lines().filter(ours).filter_map(value).sum()
    }

    /// Everything that it printed so far.
    pub fn said(&self) -> String {
        self.said.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Resident memory now, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop (SIGTERM) without waiting.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// When it still runs after 40 s.
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after 40 s, with all that it printed.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "modkeep does not stop:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10)); // no portable wait with a deadline
        }
    }

    /// Kills it (SIGKILL) as a power cut would, and waits for its end.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        drop(self.child.wait());
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _gone = kill_process(pid, signal); // already gone is as good
        }
    }

    fn wait_for_url(&mut self, word: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(url) = self.url_said(word) {
                return url;
            }
            let ended = self.child.try_wait().expect("our own child");
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "modkeep serve is not ready ({ended:?}):\n{}", self.said());
            let lines = self.said.lines.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.said.changed.wait_timeout(lines, Duration::from_millis(20)));
        }
    }

    /// `http://host:port` of the line `WORD  http://…`.
    fn url_said(&self, word: &str) -> Option<String> {
        let lines = self.said.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.iter().find(|line| line.trim_start().starts_with(word) && line.contains("http"))?;
        let url = line[line.find("http")?..].split_whitespace().next()?;
        let mut parts = url.splitn(4, '/');
        Some(format!("{}//{}", parts.next()?, parts.nth(1)?))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        drop(self.child.wait());
    }
}

/// Collects the lines of one stream until the child closes it.
fn listen(stream: impl Read + Send + 'static, said: Arc<Said>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            said.changed.notify_all();
        }
    });
}
