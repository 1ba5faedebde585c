//! The auditor before logs that lie, each in one way, and before one that does not (issue 5, "Done when" 4).

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod lies;
mod public;
mod resume;
mod server;
mod support;
