//! The project's own chores, run as `cargo xtask CHORE`.
//!
//! | chore | asks |
//! |---|---|
//! | `rooms` | do all arrows between the rooms point down, and does each room keep to its own business? |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a chore prints is its result")]

mod metadata;
mod rooms;
mod source;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the modkeep project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Draw the floors of the house; fail on an arrow that climbs and on a room that does another's work.
    Rooms,
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Rooms => rooms::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a chore failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A program that the chore calls could not be started or ended badly.
    #[error("{program}: {what}")]
    Program { program: String, what: String },
    /// A file of the tree could not be read or written.
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    /// The chore did its work, and what it looked at is not in order.
    #[error("{0}")]
    Finding(String),
}
