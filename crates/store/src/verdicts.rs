//! What witnesses and users found of a checksum log, for those who audit it: the last word of each judge.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::Error;
use crate::store::{Store, blocking};

/// What somebody found of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The log, by the name in its key.
    pub log: String,
    /// Who found it: `witness NAME`, or `gossip`.
    pub judge: String,
    /// One word.
    pub outcome: String,
    /// The size of the head that was judged, where there was one.
    pub size: Option<u64>,
    /// When.
    pub at: SystemTime,
    /// Since when this judge says the same.
    pub since: SystemTime,
    /// In words; at most some hundred bytes.
    pub detail: String,
}

impl Store {
    /// Keeps a verdict in place of the judge's last one. `since` is kept while the outcome stays the same.
    pub async fn put_verdict(&self, verdict: Verdict) -> Result<(), Error> {
        let inner = Arc::clone(self.inner());
        blocking(move || {
            inner.room().admit(0)?;
            inner.watched(inner.ledger.put_verdict(verdict))
        })
        .await
    }

    /// All of them, by log and judge.
    pub async fn verdicts(&self) -> Result<Vec<Verdict>, Error> {
        let inner = Arc::clone(self.inner());
        blocking(move || inner.ledger.verdicts()).await
    }
}
