//! What is kept of a foreign checksum database: its newest head, its tiles and its lookup answers.
//!
//! Files lie in the protocol's own layout below `sumdb/<name>/`; the ledger knows their sums, and every read
//! compares (R13). They can be fetched again, so a damaged one is put aside and forgotten.

use crate::error::Error;
use crate::store::Store;

/// The memory of one foreign checksum database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Foreign {
    store: Store,
    database: std::sync::Arc<str>,
}

impl Foreign {
    /// The database's name.
    pub fn name(&self) -> &str {
        &self.database
    }

    /// The newest head: a signed note, byte for byte.
    ///
    /// Cancel safe.
    pub async fn head(&self) -> Result<Option<Vec<u8>>, Error> {
        todo!()
    }

    /// Replaces the head when it is still the expected one; says whether it was.
    ///
    /// Cancel safe: once started it happens, or not, as a whole.
    pub async fn save_head(&self, _expected: Option<&[u8]>, _new: &[u8]) -> Result<bool, Error> {
        todo!()
    }

    /// A stored file: `lookup/…` or `tile/…`, its sum compared. Absent and damaged ones are `None`.
    ///
    /// Cancel safe.
    pub async fn get(&self, _path: &str) -> Result<Option<Vec<u8>>, Error> {
        todo!()
    }

    /// Keeps files that the caller has authenticated. What is kept already stays as it is.
    ///
    /// Cancel safe: what was started is finished.
    pub async fn put(&self, _files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        todo!()
    }
}
