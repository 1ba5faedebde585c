//! The keeper of a jail as a program of its own: what the tests of this crate start.

use std::process::ExitCode;

fn main() -> ExitCode {
    modkeep_origin::keep_jail()
}
