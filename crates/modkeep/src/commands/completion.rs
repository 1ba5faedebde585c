//! `completion`: scripts for shells.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::Output;

pub(super) fn run(shell: clap_complete::Shell, output: &Output) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "modkeep", &mut script);
    output.raw(&String::from_utf8_lossy(&script));
    Exit::Done
}
