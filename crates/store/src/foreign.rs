//! What is kept of a foreign checksum database: its newest head, its tiles and its lookup answers.
//!
//! Files lie in the protocol's own layout below `sumdb/<name>/`; the ledger knows their sums, and every read
//! compares (R13). They can be fetched again, so a damaged one is put aside and forgotten.

use std::io::Read;
use std::sync::Arc;

use crate::blobs::Placement;
use crate::error::Error;
use crate::ledger::ForeignFile;
use crate::name::{BlobName, Sha256Sum};
use crate::store::{Inner, blocking};

/// How many paths one listing names: more than the 255 widths of a partial tile, which it is for.
const LIST_MAX: u32 = 1000;

/// The memory of one foreign checksum database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Foreign {
    inner: Arc<Inner>,
    database: Arc<str>,
}

impl Foreign {
    pub(crate) fn new(inner: Arc<Inner>, database: &str) -> Result<Self, Error> {
        BlobName::of_foreign(database, "latest")?;
        Ok(Self { inner, database: database.into() })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.database
    }

    /// The newest head: a signed note, byte for byte.
    ///
    /// Cancel safe.
    pub async fn head(&self) -> Result<Option<Vec<u8>>, Error> {
        let this = self.clone();
        blocking(move || this.inner.ledger.head(&this.database)).await
    }

    /// Replaces the head when it is still the expected one; says whether it was.
    ///
    /// Cancel safe: once started it happens, or not, as a whole.
    pub async fn save_head(&self, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, Error> {
        let (this, expected, new) = (self.clone(), expected.map(<[u8]>::to_vec), new.to_vec());
        blocking(move || {
            this.inner.room().admit(new.len() as u64)?;
            this.inner.watched(this.inner.ledger.save_head(&this.database, expected.as_deref(), &new))
        })
        .await
    }

    /// A stored file: `lookup/…` or `tile/…`, its sum compared. Absent and damaged ones are `None`.
    ///
    /// Cancel safe.
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let (this, path) = (self.clone(), path.to_owned());
        blocking(move || this.read(&path)).await
    }

    /// The paths of the files kept in a folder and below it, as in `tile/8/0/003.p`; in order, at most 1,000.
    ///
    /// Cancel safe.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let (this, folder) = (self.clone(), folder.to_owned());
        blocking(move || {
            let rows = this.inner.ledger.foreign_in(&this.database, &folder, LIST_MAX)?;
            Ok(rows.into_iter().map(|row| row.path).collect())
        })
        .await
    }

    /// Keeps files that the caller has authenticated, by path. What is kept already stays as it is.
    ///
    /// [`Error::Name`] for a path that no file system can hold; then nothing is kept. Cancel safe: what was started
    /// is finished.
    pub async fn put(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let this = self.clone();
        blocking(move || this.write(files)).await
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = BlobName::of_foreign(&self.database, path)?;
        let Some(recorded) = self.inner.ledger.foreign(&self.database, path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        if let Some(file) = self.inner.blobs.open(&name)? {
            // One byte more than recorded shows a longer file without reading all of it.
            let read = file.take(recorded.size.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(|error| Error::io("read", &name.below(self.inner.room().root()), error))?;
            if Sha256Sum::of(&bytes) == recorded.sha256 {
                return Ok(Some(bytes));
            }
        }
        tracing::error!(id = "R13", blob = %name, "stored bytes of a checksum database are damaged");
        if self.inner.room().writable().is_ok() {
            let _alone = self.inner.lock_foreign(&self.database);
            if self.inner.ledger.foreign(&self.database, path)?.is_some() {
                // Forgotten first: a row without a blob is worse than a blob without a row.
                self.inner.watched(self.inner.ledger.forget_foreign(&self.database, path))?;
                self.inner.put_aside(&name, "its SHA-256 is not the recorded one", None)?;
            }
        }
        Ok(None)
    }

    fn write(&self, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let names: Vec<BlobName> = files
            .iter()
            .map(|(path, _)| BlobName::of_foreign(&self.database, path))
            .collect::<Result<_, _>>()?;
        let _alone = self.inner.lock_foreign(&self.database);
        let (mut placements, mut rows) = (Vec::new(), Vec::new());
        for ((path, bytes), name) in files.into_iter().zip(names) {
            let known = rows.iter().any(|row: &ForeignFile| row.path == path);
            if known || self.inner.ledger.foreign(&self.database, &path)?.is_some() {
                continue;
            }
            placements.push(Placement { name, scratch: self.inner.scratch_with(&bytes)? });
            let (size, sha256) = (bytes.len() as u64, Sha256Sum::of(&bytes));
            rows.push(ForeignFile { database: self.database.to_string(), path, size, sha256 });
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.inner.blobs.place(placements).into_iter().collect::<Result<(), _>>()?;
        self.inner.watched(self.inner.ledger.put_foreign(rows))
    }
}
