//! The tlog room against the golden vectors, the attacks of `hostile-inputs.md` part I, and the public log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::format_collect,
    missing_docs,
    reason = "tests: a panic is the report, and the tier that ran is printed"
)]

mod client_cases;
mod driver;
mod hostile;
mod policies;
mod proofs;
mod properties;
mod public_log;
mod reference;
mod tails;
mod vectors;
mod witnesses;
