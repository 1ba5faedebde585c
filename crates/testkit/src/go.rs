//! The real go command, alone with its own caches.
//!
//! Nothing of the developer's environment reaches it, and nothing that it downloads survives: a test that
//! passes here passes on a fresh machine. `$GO` names the program (`scripts/test` sets it), else `go` from
//! `PATH` is taken. `$GO_OLDEST` names the oldest release that is still supported, where there is one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

/// A go command with a home, a module cache and a build cache that end with this value.
#[derive(Debug)]
pub struct Go {
    program: PathBuf,
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// What one run of the go command printed, and whether it was content.
#[derive(Clone, Debug)]
pub struct Run {
    /// The arguments, for messages.
    pub command: String,
    /// Whether it ended with status 0.
    pub ok: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error, where go tells what is wrong.
    pub stderr: String,
}

impl Run {
    /// This run, which must have ended well.
    ///
    /// # Panics
    /// With everything that go said, when it did not.
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        assert!(self.ok, "{} failed\n--- stdout\n{}\n--- stderr\n{}", self.command, self.stdout, self.stderr);
        self
    }

    /// This run, which must have failed, saying `text` on the way.
    ///
    /// # Panics
    /// With everything that go said, when it ended well or said something else.
    #[track_caller]
    pub fn expect_failure(self, text: &str) -> Self {
        let said = self.stderr.contains(text) || self.stdout.contains(text);
        assert!(
            !self.ok && said,
            "{} should fail with {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Go {
    /// A go command that takes modules from this GOPROXY and checks them with this GOSUMDB.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn new(proxy: &str, sumdb: &str) -> Self {
        let home = tempfile::Builder::new().prefix("modkeep-go-").tempdir().expect("a temporary folder");
        for folder in ["work", "tmp", "path"] {
            std::fs::create_dir(home.path().join(folder)).expect("a folder in our own temporary folder");
        }
        let variables = vec![pair("GOPROXY", proxy), pair("GOSUMDB", sumdb)];
        Self { program: program(), home, variables }
    }

    /// The same, by another release of the go command.
    #[must_use]
    pub fn of(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// The same go command with one more variable, or another value for one.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push(pair(name, value));
        self
    }

    /// Changes one variable for the runs that follow.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push(pair(name, value));
    }

    /// Where `go` works unless told otherwise: an empty folder outside of every cache.
    pub fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// The module cache, whose `cache/download` is itself a GOPROXY tree.
    pub fn module_cache(&self) -> PathBuf {
        self.home.path().join("path/pkg/mod")
    }

    /// Where `go install` puts programs.
    pub fn bin(&self) -> PathBuf {
        self.home.path().join("path/bin")
    }

    /// Writes a file below the working folder.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.work().join(name);
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder).expect("a folder in our own temporary folder");
        std::fs::write(path, content).expect("a file in our own temporary folder");
    }

    /// Copies the files of one folder into the working folder; sub-folders are left out.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn copy_in(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).expect("the folder to copy") {
            let path = entry.expect("an entry of the folder to copy").path();
            if path.is_file() {
                let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
                self.write(&name, std::fs::read(&path).expect("the file to copy"));
            }
        }
    }

    /// Forgets every module, as `go clean -modcache` does; the saved head of the checksum database stays.
    pub fn forget_modules(&self) {
        self.run(&["clean", "-modcache"]).expect_ok();
    }

    /// Runs `go ARGUMENTS` in the working folder.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output();
        let output = output.unwrap_or_else(|e| {
            panic!("{}: {e}; scripts/test fetches a go command, or set GO", self.program.display())
        });
        told(arguments, &output)
    }

    /// As [`Go::run`], and the CPU time of go and of every child that it waited for.
    ///
    /// # Panics
    /// When the program, or `sh`, cannot be started.
    pub fn timed(&self, arguments: &[&str]) -> (Run, Duration) {
        // The shell's `times`: its second line is about its children, and their children.
        let script = "\"$0\" \"$@\"; code=$?; times >\"$HOME/times\"; exit $code";
        let mut command = self.around(Command::new("sh"));
        command.args(["-c", script]).arg(&self.program).args(arguments);
        let run = told(arguments, &command.output().expect("sh starts"));
        let times = std::fs::read_to_string(self.home.path().join("times")).expect("the shell wrote times");
        let children = times.lines().nth(1).expect("a line about children");
        (run, children.split_whitespace().map(minutes_and_seconds).sum())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.around(Command::new(&self.program));
        command.args(arguments);
        command
    }

    /// A command in go's working folder, with go's variables and nothing of the developer's.
    fn around(&self, mut command: Command) -> Command {
        let home = self.home.path();
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("TMPDIR", home.join("tmp"))
            .env("GOPATH", home.join("path"))
            .env("GOCACHE", build_cache())
            .env("GOENV", "off")
            // Downloaded modules are read-only otherwise, and the temporary folder could not be removed.
            .env("GOFLAGS", "-modcacherw")
            .env("GOTOOLCHAIN", "local")
            .env("GOTELEMETRY", "off")
            .env("GOVCS", "*:off")
            .env("CGO_ENABLED", "0")
            .envs(self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        command
    }
}

/// Compiled packages of the standard library are the same for every test; one cache saves a minute in each.
/// It is keyed by content, so nothing of a module can pass from one test to another unseen. `scripts/test`
/// names a folder that outlives the run.
pub(crate) fn build_cache() -> PathBuf {
    let named = std::env::var_os("MODKEEP_TEST_GOCACHE").map(PathBuf::from);
    named.unwrap_or_else(|| std::env::temp_dir().join("modkeep-test-gocache"))
}

/// The releases that the tests know of: `$GO`, and `$GO_OLDEST` where it is set.
pub fn releases() -> Vec<PathBuf> {
    let oldest = std::env::var_os("GO_OLDEST").filter(|go| !go.is_empty());
    [program()].into_iter().chain(oldest.map(PathBuf::from)).collect()
}

/// `$GO`, else the `go` on the path.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("GO").filter(|go| !go.is_empty()).map_or_else(|| PathBuf::from("go"), PathBuf::from)
}

/// `1m2.34s`
fn minutes_and_seconds(text: &str) -> Duration {
    let read = || {
        let (minutes, seconds) = text.trim_end_matches('s').split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    Duration::from_secs_f64(read().unwrap_or_else(|| panic!("no time: {text}")))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn told(arguments: &[&str], output: &Output) -> Run {
    Run {
        command: format!("go {}", arguments.join(" ")),
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
