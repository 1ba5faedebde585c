//! The place where the programs work on one repository: its folder, its remote, one job at a time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use modkeep_store::Workspace;
use tokio::sync::MutexGuard;
use url::Url;

use super::Programs;
use super::jail::{Fault, Job, Limits, Output, Stdout, TEMPORARY};
use super::way::Way;
use super::words::words;
use super::zipped::ZipTree;
use crate::error::Error;
use crate::place::Remote;
use crate::repository::Tree;

/// What a program prints about one commit, in bytes: lists of refs have a limit of their own.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The longest name of a revision that is handed to a program, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// One repository's folder and the programs that work in it.
pub(super) struct Workshop {
    programs: Programs,
    pub(super) remote: Remote,
    pub(super) folder: PathBuf,
    turn: tokio::sync::Mutex<()>,
    /// Keeps the folder from being emptied.
    _workspace: Option<Workspace>,
}

/// When everything was last brought here.
#[derive(Default)]
pub(super) struct Pulled(Mutex<Option<Instant>>);

impl Pulled {
    /// Whether that is less than the lifetime of refs ago.
    pub(super) fn is_fresh(&self, programs: &Programs) -> bool {
        let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| programs.now().saturating_duration_since(at) < programs.refs_lifetime())
    }

    /// It was, by what a question found that began then.
    pub(super) fn note(&self, begun: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
    }
}

/// Whether a revision's name is one that no program takes for anything else: no option, no expression.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/+-".contains(&b);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('-') && name.bytes().all(plain)
}

/// What a program is to do.
pub(super) struct Errand {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Whether it may go out, and which way.
    pub(super) way: Way,
    pub(super) stdout: Stdout,
    /// Whether trouble on the way counts whatever the program says: fossil calls some failures success.
    pub(super) distrusted: bool,
    /// What it reads on its standard input: a password, where that is the only way not to show it.
    pub(super) input: String,
    /// Where it starts, below the folder; empty: in the folder.
    pub(super) start: &'static str,
}

impl Errand {
    /// At home, with a short answer.
    pub(super) fn new(program: &'static str, arguments: &[&str]) -> Self {
        Self {
            program,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: Vec::new(),
            way: Way::default(),
            stdout: Stdout::AtMost(ANSWER_BYTES_MAX),
            distrusted: false,
            input: String::new(),
            start: "",
        }
    }
}

impl Workshop {
    pub(super) fn new(
        programs: Programs,
        remote: Remote,
        folder: PathBuf,
        workspace: Option<Workspace>,
    ) -> Self {
        let _ = fs::remove_dir_all(folder.join(TEMPORARY)); // what an earlier life left
        Self { programs, remote, folder, turn: tokio::sync::Mutex::default(), _workspace: workspace }
    }

    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Whoever holds it may work here: one process per repository at a time (11).
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whom errors name.
    pub(super) fn host(&self) -> String {
        host(&self.remote.url)
    }

    /// The way out for this repository's programs.
    pub(super) async fn way(&self) -> Result<Way, Error> {
        self.programs.way(&self.remote, &self.folder).await
    }

    /// Sends a program on an errand. Whatever status it ends with is an answer; not ending by itself is an error.
    pub(super) async fn run(&self, errand: Errand) -> Result<Output, Error> {
        let program = errand.program;
        let job = Job {
            program,
            arguments: errand.arguments,
            environment: errand.environment,
            folder: &self.folder,
            start: self.folder.join(errand.start),
            readable: self.programs.readable(&self.remote),
            ports: errand.way.port().into_iter().collect(),
            stdout: errand.stdout,
            input: errand.input,
            limits: Limits::default(),
        };
        let output = self.programs.jail().run(job).await.map_err(|fault| match fault {
            Fault::NoProgram(program) => Error::NoProgram { program },
            other => Error::Trouble { host: self.host(), reason: other.to_string() },
        })?;
        // Why the way ended tells more than what the program made of it.
        if (errand.distrusted || output.code != Some(0))
            && let Some(trouble) = errand.way.trouble()
        {
            return Err(trouble);
        }
        if output.code.is_none() && output.stdout.is_empty() {
            let reason = format!("the program {program} ended by a signal");
            return Err(Error::Trouble { host: self.host(), reason });
        }
        Ok(output)
    }

    /// What a program complained about, as an error.
    pub(super) fn trouble(&self, program: &str, output: &Output) -> Error {
        Error::Trouble { host: self.host(), reason: format!("{program}: {}", self.words(output)) }
    }

    /// What a program complained about.
    pub(super) fn words(&self, output: &Output) -> String {
        words(&output.stderr, &self.remote, &self.folder)
    }

    /// The program said what it never says.
    pub(super) fn malformed(&self, what: impl Into<String>) -> Error {
        Error::Malformed { host: self.host(), what: what.into() }
    }

    /// A new file that nobody else sees by name; it is gone when it is closed.
    pub(super) fn scrap(&self) -> Result<File, Error> {
        let folder = self.folder.join(TEMPORARY);
        let make = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let path = folder.join("archive");
            let _ = fs::remove_file(&path);
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        make().map_err(|error| self.disk(&error))
    }

    /// Where a program is to leave an archive of this name; one that lies there already is gone.
    pub(super) fn place_for(&self, name: &str) -> PathBuf {
        let path = self.folder.join(TEMPORARY).join(name);
        let _ = fs::remove_file(&path);
        path
    }

    /// The part below `prefix/<dir>/` of an archive that a program left there. The file keeps no name.
    pub(super) async fn unzip_left(&self, path: &Path, dir: &str) -> Result<Box<dyn Tree>, Error> {
        let file = File::open(path).and_then(|file| fs::remove_file(path).map(|()| file));
        self.unzip(file.map_err(|error| self.disk(&error))?, dir).await
    }

    /// The part of an archive below `prefix/<dir>/`.
    pub(super) async fn unzip(&self, archive: File, dir: &str) -> Result<Box<dyn Tree>, Error> {
        let prefix = if dir.is_empty() { "prefix/".to_owned() } else { format!("prefix/{dir}/") };
        let host = self.host();
        let opened = tokio::task::spawn_blocking(move || ZipTree::open(archive, &prefix, &host)).await;
        let tree = opened.map_err(|failed| self.disk(&io::Error::other(failed)))??;
        Ok(Box::new(tree))
    }

    /// Our own disk did not do what it should.
    pub(super) fn disk(&self, error: &io::Error) -> Error {
        Error::Trouble { host: self.host(), reason: format!("our disk: {}", error.kind()) }
    }

    /// A path as an argument or a variable.
    pub(super) fn text<'p>(&self, path: &'p Path) -> Result<&'p str, Error> {
        path.to_str().ok_or_else(|| self.disk(&io::ErrorKind::InvalidFilename.into()))
    }
}

/// The host of a URL, or its scheme where it has none.
pub(super) fn host(url: &Url) -> String {
    url.host_str().unwrap_or(url.scheme()).to_owned()
}
