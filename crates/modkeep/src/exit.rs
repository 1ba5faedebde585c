//! How a command ends: the exit codes of user-experience.md section 5, and the error that carries one.

use std::process::ExitCode;

/// The meaning of an exit code; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// Something failed that none of the others says better.
    Failed = 1,
    /// The command line is wrong; the argument parser uses the same number.
    Usage = 2,
    /// Some of it was done, some was not.
    Partly = 3,
    /// Nobody we may ask has it.
    NotFound = 5,
    /// A rule forbids it.
    Policy = 6,
    /// Bytes differ from what was promised.
    Integrity = 7,
    /// An upstream, a checksum database or the network did not do its part.
    Origin = 8,
    /// The store cannot be opened, read or written.
    Store = 9,
    /// The configuration is wrong.
    Config = 10,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // The enum's numbers are its meaning.
        #[allow(clippy::as_conversions)]
        Self::from(exit as u8)
    }
}

/// A command that could not do its work: what to print, and how to exit.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Failed {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }
}

impl From<crate::config::Error> for Failed {
    fn from(error: crate::config::Error) -> Self {
        Self::new(Exit::Config, error.to_string())
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<modkeep_store::Error> for Failed {
    fn from(error: modkeep_store::Error) -> Self {
        let exit =
            if matches!(error, modkeep_store::Error::Corrupt { .. }) { Exit::Integrity } else { Exit::Store };
        let hint = if matches!(error, modkeep_store::Error::Locked { .. }) {
            "; stop it, or go through it: --server URL"
        } else {
            ""
        };
        Self::new(exit, format!("{error}{hint}"))
    }
}
