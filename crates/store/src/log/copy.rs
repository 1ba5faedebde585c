//! A copy of the log's database, as a backup holds one.

use std::path::Path;

use modkeep_tlog::TreeSize;

use crate::engine::open_at_rest;
use crate::error::Error;
use crate::log::rows;

/// What a backup has to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogCopy {
    pub(crate) sequenced: TreeSize,
    /// Every full tile of a tree of this size was on stable storage before the copy said so.
    pub(crate) built: TreeSize,
    /// Drawn when the log was made: two logs have two.
    pub(crate) salt: [u8; 32],
}

impl LogCopy {
    /// Reads a copy that nobody writes to.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (readers, format) = open_at_rest(path, rows::format_of)?;
        if format.is_none() {
            return Err(Error::Ledger {
                doing: "open the log's copy",
                detail: "there is no log in it".to_owned(),
            });
        }
        let (state, known) =
            readers.run(|connection| Ok((rows::state(connection)?, rows::key_state(connection)?)))?;
        Ok(Self { sequenced: state.sequenced, built: state.built, salt: known.salt })
    }
}
