//! The whole program against the real go command, bad upstreams, full disks and sudden death.
//!
//! One binary, so that it links once. Each module is one promise of `docs/spec/`; a test that needs the real
//! modules of `FIXTURES_DIR`, or root, says so in a line and passes where they are missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::format_collect,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, reports by printing, and a table is as long as it is"
)]

mod auditing;
mod auditing_page;
mod backup;
mod cli;
mod differential;
mod disk_full;
mod error_texts;
mod go_command;
mod gossip;
mod herd;
mod hostile_answers;
mod hostile_load;
mod hostile_private;
mod hostile_secrets;
mod http_hostile;
mod index_feed;
mod kill;
mod log_copy;
mod origins;
mod own_log;
mod own_log_hostile;
mod own_log_lies;
mod real_world;
mod recovery;
mod shutdown;
mod signers;
mod upstream_faults;
mod witness;

use std::process::Output;

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{ModuleWorld, Site, SumDb, Upstream};

/// The program under test, as cargo built it.
const MODKEEP: &str = env!("CARGO_BIN_EXE_modkeep");

/// The name of the checksum database of generated worlds.
const DATABASE: &str = "sums.birds.example";

/// An upstream with the world of every kind and its honest checksum database.
fn upstream() -> Upstream {
    upstream_of(&ModuleWorld::every_kind())
}

fn upstream_of(world: &ModuleWorld) -> Upstream {
    Upstream::start(Site::of(world).with_database(SumDb::of(DATABASE, world)))
}

/// A mirror of `upstream` with an empty store, not started.
fn mirror_of(upstream: &Upstream) -> Setup {
    Setup::new(MODKEEP).upstream(upstream)
}

/// The name of a log of our own, in tests that keep one.
const LOG: &str = "mirror.example/log";

/// The same mirror with a log of its own, and the key that opens its heads.
fn with_log(setup: Setup) -> (Setup, String) {
    let key_file = setup.home().join("key").to_str().unwrap().to_owned();
    let made = setup.run(&["log", "keygen", "--name", LOG, "--out", &key_file, "--json"]);
    ended(&made, 0);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = made["key"].as_str().unwrap().to_owned();
    let setup = setup
        .with("MODKEEP_LOG_ENABLED", "true")
        .with("MODKEEP_LOG_NAME", LOG)
        .with("MODKEEP_LOG_KEY_FILE", &key_file);
    (setup, key)
}

/// How many records the newest head of its log covers.
#[track_caller]
fn log_size(modkeep: &Program) -> u64 {
    let latest = modkeep.get("/log/latest").text();
    latest.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("no head: {latest}"))
}

/// Both streams of a command that must have ended with this exit code.
#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// fsck finds nothing wrong.
#[track_caller]
fn assert_sound(setup: &Setup) {
    ended(&setup.run(&["fsck"]), 0);
}
