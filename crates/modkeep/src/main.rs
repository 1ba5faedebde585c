//! modkeep: a Go module mirror, a relay of checksum databases and a module index in one program.

mod cli;
mod commands;
mod config;
mod exit;
mod log;
mod output;
mod watch;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::output::Output;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = Output::new(&cli.global);
    match commands::run(&cli, &output) {
        Ok(exit) => exit.into(),
        Err(failed) => {
            output.problem(&format!("modkeep: {failed}"));
            failed.exit.into()
        }
    }
}
