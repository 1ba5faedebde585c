//! Chores that are tests or benches of the program: cargo builds and runs them, with the right variables.

use std::path::PathBuf;
use std::process::Command;

use crate::Error;

/// `cargo xtask torture kill`: T1 with as many cycles as asked, on the release build.
pub(crate) fn torture_kill(cycles: u64, seed: u64) -> Result<(), Error> {
    let test = "kill::killed_again_and_again_it_loses_nothing";
    let mut cargo = cargo();
    cargo
        .args([
            "test",
            "--release",
            "-p",
            "modkeep",
            "--test",
            "program",
            "--",
            "--exact",
            test,
            "--nocapture",
        ])
        .env("MODKEEP_TORTURE_CYCLES", cycles.to_string())
        .env("MODKEEP_TORTURE_SEED", seed.to_string());
    run("torture kill", cargo)
}

/// `cargo xtask differential`: direct mode beside the go command, on the release build.
pub(crate) fn differential(repositories: &[String], sums: &[PathBuf]) -> Result<(), Error> {
    let test = if repositories.is_empty() {
        "differential::every_generated_repository_is_as_the_go_command_sees_it"
    } else {
        "differential::given_repositories_are_as_the_go_command_sees_them"
    };
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let sums: Vec<String> = sums.iter().map(|path| absolute(path).to_string_lossy().into_owned()).collect();
    let repositories: Vec<String> = repositories.iter().map(|word| from_here(word)).collect();
    let mut cargo = cargo();
    cargo
        .args(["test", "--release", "-p", "modkeep", "--test", "program", "--"])
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env("MODKEEP_DIFFERENTIAL", repositories.join(" "))
        .env("MODKEEP_DIFFERENTIAL_SUMS", sums.join(" "));
    run("differential", cargo)
}

/// The test runs elsewhere: a local path becomes absolute.
fn from_here(word: &str) -> String {
    let Some((root, path)) = word.split_once('=') else { return word.to_owned() };
    match std::path::absolute(path) {
        Ok(absolute) if !path.contains("://") => format!("{root}={}", absolute.display()),
        _ => word.to_owned(),
    }
}

/// `cargo xtask bench cold`: the go command in direct mode and modkeep, one after the other.
pub(crate) fn bench_cold(files: &[String]) -> Result<(), Error> {
    let mut cargo = cargo();
    cargo.args(["bench", "-p", "modkeep", "--bench", "cold", "--"]).args(files);
    run("bench cold", cargo)
}

/// `cargo xtask bench hot`: nginx and modkeep side by side.
pub(crate) fn bench_hot(arguments: &[String]) -> Result<(), Error> {
    let mut cargo = cargo();
    cargo.args(["bench", "-p", "modkeep", "--bench", "hot", "--"]).args(arguments);
    run("bench hot", cargo)
}

/// `cargo xtask bench log`: appends to a log in a folder of its own.
pub(crate) fn bench_log(arguments: &[String]) -> Result<(), Error> {
    let mut cargo = cargo();
    cargo.args(["run", "--release", "-p", "modkeep-log", "--example", "append", "--"]).args(arguments);
    run("bench log", cargo)
}

fn cargo() -> Command {
    Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

fn run(name: &str, mut command: Command) -> Result<(), Error> {
    let failed = |what: String| Error::Program { program: name.to_owned(), what };
    let status = command.status().map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
