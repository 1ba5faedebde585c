//! The project's own chores, run as `cargo xtask CHORE`.
//!
//! | chore | asks |
//! |---|---|
//! | `rooms` | do all arrows between the rooms point down, and does each room keep to its own business? |
//! | `rows` | is every row of the hostile inputs a test, or postponed with a reason? |
//! | `fixtures` | are the real modules of `testdata/fixtures.tsv`, fetched from a GOPROXY, what they were? |
//! | `torture kill` | does the program lose anything when it is killed again and again? |
//! | `differential REPO…` | do given repositories look to modkeep as they look to the go command? |
//! | `bench cold` | what does a cold version cost its origin and us, beside the go command? |
//! | `bench hot` | what does a cached answer cost, beside nginx with the same files? |
//! | `bench log` | what does a record of our own log cost, alone and among many? |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a chore prints is its result")]

mod delegate;
mod fixtures;
mod metadata;
mod rooms;
mod rows;
mod source;

use std::path::PathBuf;
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
    /// Count the rows of docs/spec/hostile-inputs.md that are tests; fail on one that is neither test nor postponed.
    Rows,
    /// Fetch the versions of testdata/fixtures.tsv and check them against the committed sums.
    Fixtures {
        /// Any GOPROXY: http, https or file.
        #[arg(long, default_value = "https://proxy.golang.org")]
        from: String,
        /// Where the tree goes.
        #[arg(long, default_value = ".tools/fixtures")]
        out: PathBuf,
    },
    /// Long tests of one promise.
    #[command(subcommand)]
    Torture(Torture),
    /// Ask the real go command and modkeep everything about these repositories; fail where they differ.
    Differential {
        /// `ROOT=WHERE`: the import path of the root, and a local bare repository or a URL; or a URL alone. None:
        /// the generated repositories.
        repositories: Vec<String>,
        /// A go.sum file whose sums must be met, for the versions that are there. May be repeated.
        #[arg(long, value_name = "GO.SUM")]
        sums: Vec<PathBuf>,
    },
    /// Benchmarks.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Debug, Subcommand)]
enum Torture {
    /// T1: kill the program under load, check, restart.
    Kill {
        #[arg(long, default_value_t = 300)]
        cycles: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Cold versions beside the go command in direct mode; needs git and go.
    Cold {
        /// Numbers of files: 50, 2000 and 20000 unless given.
        files: Vec<String>,
    },
    /// Cached answers beside nginx; needs nginx, wrk and taskset (Debian: nginx-light, wrk, util-linux).
    Hot {
        /// Passed on: --quick, or the names of rows.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Appends to our own log: one writer and 256 of them, each answered when a durable, signed head covers its record.
    Log {
        /// Passed on: --records N, --writers 1,256, --fill N (a log of N records first), --dir DIR.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Rooms => rooms::run(),
        Chore::Rows => rows::run(),
        Chore::Fixtures { from, out } => fixtures::run(&from, &out),
        Chore::Torture(Torture::Kill { cycles, seed }) => delegate::torture_kill(cycles, seed),
        Chore::Differential { repositories, sums } => delegate::differential(&repositories, &sums),
        Chore::Bench(Bench::Cold { files }) => delegate::bench_cold(&files),
        Chore::Bench(Bench::Hot { arguments }) => delegate::bench_hot(&arguments),
        Chore::Bench(Bench::Log { arguments }) => delegate::bench_log(&arguments),
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
