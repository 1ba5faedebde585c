//! What is said between us and a keeper: one order, one verdict, each a line of JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The longest order or verdict, in bytes: arguments, environment and little else.
pub(super) const LINE_BYTES_MAX: u64 = 1 << 20;

/// One job, complete. It travels through a socket, so that nothing of it stands in a process list (M02).
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Order {
    /// The program, by absolute path.
    pub(super) program: PathBuf,
    /// Its arguments, without its name.
    pub(super) arguments: Vec<String>,
    /// Its whole environment (M05).
    pub(super) environment: Vec<(String, String)>,
    /// The only folder that it may change.
    pub(super) folder: PathBuf,
    /// Where it starts: in `folder` or below.
    pub(super) start: PathBuf,
    /// What it may read beside the system's own folders.
    pub(super) readable: Vec<PathBuf>,
    /// The TCP ports that it may connect to; empty: no network.
    pub(super) ports: Vec<u16>,
    /// What it reads on its standard input.
    pub(super) input: String,
    /// When it has had enough.
    pub(super) limits: Limits,
}

/// When a job has had enough.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Limits {
    /// Wall-clock time, in milliseconds.
    pub(crate) time_ms: u64,
    /// All files of its folder together, in bytes; and the largest one.
    pub(crate) folder_bytes: u64,
    /// Private memory of one process, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processes at once.
    pub(crate) processes: usize,
}

impl Default for Limits {
    /// One origin fetch of hostile-inputs part 1: 10 min, 2 GiB of disk.
    fn default() -> Self {
        Self { time_ms: 600_000, folder_bytes: 2 << 30, memory_bytes: 2 << 30, processes: 64 }
    }
}

/// How a job ended, and which walls it did not have.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Verdict {
    pub(super) end: End,
    /// Walls that this kernel does not have, each in a few words.
    pub(super) missing: Vec<String>,
}

/// How a job ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// Stopped by a limit.
    Stopped(Stop),
    /// It never began; the reason.
    NotStarted(String),
}

/// The limit that stopped a job.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Stop {
    /// Wall-clock time.
    Time,
    /// The bytes of its folder.
    Disk,
    /// The number of its processes.
    Processes,
    /// The bytes that it printed.
    Output,
    /// Nobody waits for it any more.
    Abandoned,
}

impl Stop {
    /// `takes too long`, as a sentence about the program ends.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Time => "took longer than it may",
            Self::Disk => "needed more disk than it may",
            Self::Processes => "started more processes than it may",
            Self::Output => "printed more than it may",
            Self::Abandoned => "was abandoned",
        }
    }
}
