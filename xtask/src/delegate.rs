//! Chores that are tests or benches of the program: cargo builds and runs them, with the right variables.

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

/// `cargo xtask bench hot`: nginx and modkeep side by side.
pub(crate) fn bench_hot(arguments: &[String]) -> Result<(), Error> {
    let mut cargo = cargo();
    cargo.args(["bench", "-p", "modkeep", "--bench", "hot", "--"]).args(arguments);
    run("bench hot", cargo)
}

fn cargo() -> Command {
    Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

fn run(name: &str, mut command: Command) -> Result<(), Error> {
    let failed = |what: String| Error::Program { program: name.to_owned(), what };
    let status = command.status().map_err(|e| failed(e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}
