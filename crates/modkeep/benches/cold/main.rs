//! What does a cold version cost its origin and us, beside the go command that fetches the same?
//!
//! `cargo xtask bench cold` runs it. Repositories of 50, 2,000 and 20,000 files are generated and served by the
//! real `git http-backend`; requests and bytes are exact, from the server's record. CPU is that of the modkeep
//! process and its children, beside that of the go command and its git children for the same thing in the
//! same run: a ratio, because machines differ. Arguments: numbers of files to measure only those.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a bench fails by panicking, reports by printing, and its figures are estimates"
)]

mod made;
mod rows;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use modkeep_testkit::git::{Cost, Kind};
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Answer, GitRepo, GitServer, Go, Pages, get};

const MODKEEP: &str = env!("CARGO_BIN_EXE_modkeep");

/// How long refs are fresh where the end of that is waited for.
const LIST_TTL: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let sizes: Vec<usize> = arguments.iter().map(|a| a.parse().expect("a number of files")).collect();
    let sizes = if sizes.is_empty() { vec![50, 2_000, 20_000] } else { sizes };
    modkeep_testkit::client::allow_descriptors();
    println!(
        "| files | what | requests | target | bytes | beside | ratio | CPU go | CPU modkeep | ratio | target |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for files in sizes {
        let bench = Bench::of(files);
        for (name, row) in rows::ROWS {
            println!("| {files} | {name} | {} |", row(&bench));
        }
    }
}

/// One generated repository and who serves it.
pub(crate) struct Bench {
    server: GitServer,
    pages: Pages,
    files: usize,
    repository: Mutex<GitRepo>,
}

/// What modkeep spent on something.
pub(crate) struct Spent {
    cost: Cost,
    cpu: f64,
    answers: Vec<Answer>,
}

impl Bench {
    fn of(files: usize) -> Self {
        let (server, pages) = (GitServer::start(Kind::Full), Pages::start());
        let mut repository = server.repository(&module(files));
        made::repository(&mut repository, files);
        Self { server, pages, files, repository: Mutex::new(repository) }
    }

    pub(crate) fn module(&self) -> String {
        module(self.files)
    }

    /// The author tags one more version, with a new go.mod or without.
    pub(crate) fn grow(&self, version: &str, new_go_mod: bool) {
        made::grow(&mut self.repository.lock().unwrap(), self.files, version, new_go_mod);
    }

    /// `/module/@v/NAME`
    pub(crate) fn path(&self, name: &str) -> String {
        format!("/{}/@v/{name}", self.module())
    }

    /// A modkeep that knows nothing.
    pub(crate) fn modkeep(&self) -> (Setup, Program) {
        self.modkeep_with(Duration::from_mins(10))
    }

    /// The same, for which refs are fresh for so long.
    pub(crate) fn modkeep_with(&self, list_ttl: Duration) -> (Setup, Program) {
        let setup = Setup::new(MODKEEP)
            .with("MODKEEP_ORIGIN_UPSTREAM", "direct")
            .with("MODKEEP_ORIGIN_REWRITE", &self.server.rewrites())
            .with("MODKEEP_ORIGIN_LIST_TTL", &format!("{}s", list_ttl.as_secs()))
            .with("MODKEEP_ORIGIN_PACE", "1000/s")
            .with("MODKEEP_VERIFY_LOG", "off");
        let program = setup.serve();
        (setup, program)
    }

    /// All these paths at once, each of which must be there, and what they cost.
    pub(crate) fn ask(&self, program: &Program, paths: &[String]) -> Spent {
        self.server.forget();
        let before = cpu(program.pid());
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let ask = |path: &String| {
                let url = format!("{}{path}", program.url());
                scope.spawn(move || patient(&url))
            };
            let asked: Vec<_> = paths.iter().map(ask).collect();
            asked.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        for (path, answer) in paths.iter().zip(&answers) {
            assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.text(), program.said());
        }
        Spent { cost: self.server.cost(), cpu: cpu(program.pid()) - before, answers }
    }

    /// What the go command spends on these versions in direct mode, from nothing.
    pub(crate) fn go(&self, versions: &[String]) -> f64 {
        let go = self.server.instead(self.pages.before(Go::new("direct", "off")));
        let words: Vec<String> = versions.iter().map(|v| format!("{}@{v}", self.module())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (run, cpu) = go.timed(&[&["mod", "download", "-json"], words.as_slice()].concat());
        run.expect_ok();
        cpu.as_secs_f64()
    }

    /// The bytes of a plain `git fetch` with these arguments into an empty repository, or into one that has
    /// what an earlier fetch with `first` brought.
    pub(crate) fn plain_fetch(&self, first: &[&str], arguments: &[&str]) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.current_dir(folder.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "git {arguments:?}: {output:?}");
        };
        git(&["init", "-q", "--bare"]);
        git(&["remote", "add", "origin", &format!("{}/{}", self.server.url(), self.module())]);
        if !first.is_empty() {
            git(&[&["fetch", "-q"], first].concat());
        }
        self.server.forget();
        git(&[&["fetch", "-q"], arguments].concat());
        self.server.cost().bytes_out
    }

    pub(crate) fn server(&self) -> &GitServer {
        &self.server
    }
}

/// Asks until there is an answer: on a busy machine a large fetch outlasts the wait of a request, and goes on.
fn patient(url: &str) -> Answer {
    loop {
        let answer = get(url);
        if answer.status != 504 {
            return answer;
        }
    }
}

fn module(files: usize) -> String {
    format!("github.com/bench/files{files}")
}

/// CPU seconds of a process and of its children that have ended.
pub(crate) fn cpu(pid: u32) -> f64 {
    // USER_HZ is 100 on every Linux; fields 14 to 17 of the whole line, counted behind the name in brackets.
    stat(pid).iter().skip(11).take(4).sum::<f64>() / 100.0
}

/// Whether a process ever had a child that ended: page faults of children are counted for ever.
pub(crate) fn had_children(pid: u32) -> bool {
    stat(pid).iter().skip(8).take(1).sum::<f64>() > 0.0
}

fn stat(pid: u32) -> Vec<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().map(|field| field.parse::<f64>().unwrap_or_default()).collect()
}

/// The sum of all files below a folder.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}
