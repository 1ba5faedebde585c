//! The go command's own library as a judge: a small program over the copy of x/mod that every go release carries.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::go;

/// A Go program that imports `golang.org/x/mod`, compiled by `$GO` from the sources beside it. It reads lines and prints one
/// for each. Nothing is downloaded.
#[derive(Debug)]
pub struct Oracle {
    program: PathBuf,
    scratch: TempDir,
}

impl Oracle {
    /// Compiles the program in `source`, one `.go` file.
    ///
    /// # Panics
    /// When no go command is found, or it refuses the program.
    pub fn build(source: &Path) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let dir = scratch.path();
        let root = said(quiet(dir).args(["env", "GOROOT"]));
        fs::copy(source, dir.join("main.go")).expect("the oracle's source");
        copy_folder(&Path::new(root.trim()).join("src/cmd/vendor/golang.org/x/mod"), &dir.join("mod"));
        let go_mod = "module oracle\n\ngo 1.25\n\nrequire golang.org/x/mod v0.0.0\n\nreplace golang.org/x/mod => ./mod\n";
        for (file, text) in [("mod/go.mod", "module golang.org/x/mod\n\ngo 1.25\n"), ("go.mod", go_mod)] {
            fs::write(dir.join(file), text).expect("a file in our own temporary folder");
        }
        let program = dir.join("oracle");
        said(quiet(dir).args(["build", "-o"]).arg(&program).arg("."));
        Self { program, scratch }
    }

    /// A folder for files that the questions name; it ends with this value.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// What the program prints when it is given these lines.
    ///
    /// # Panics
    /// When it fails, or prints another number of lines.
    pub fn ask(&self, questions: &[String]) -> Vec<String> {
        let mut child = Command::new(&self.program)
            .env("TMPDIR", self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        let mut input = child.stdin.take().expect("its input is a pipe");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || questions.iter().try_for_each(|question| writeln!(input, "{question}")));
            child.wait_with_output().expect("the oracle ends")
        });
        assert!(output.status.success(), "the oracle failed: {}", output.status);
        let answers: Vec<String> =
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert_eq!(answers.len(), questions.len(), "one answer for each question");
        answers
    }
}

/// Copies a folder with all that is in it.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder to copy into");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("an entry of the folder to copy");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file to copy");
        }
    }
}

/// The go command, talking to nobody.
fn quiet(dir: &Path) -> Command {
    let mut command = Command::new(go::program());
    command
        .current_dir(dir)
        .env("GOCACHE", go::build_cache())
        .env("GOPATH", dir.join("path"))
        .env("GOENV", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOFLAGS", "-mod=mod -modcacherw");
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output();
    let output =
        output.unwrap_or_else(|e| panic!("{command:?}: {e}; scripts/test fetches a go command, or set GO"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
