//! A program, all its descendants and nothing else.

use std::process::ExitCode;

/// The life of a keeper: reads one order from its standard input, runs that job in the jail, tells how it ended,
/// and takes every descendant along. The hidden subcommand of the program calls this before anything else.
pub fn keep() -> ExitCode {
    todo!()
}
