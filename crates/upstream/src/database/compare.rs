//! Heads of a foreign database that others bring (spec D, `audit gossip`).

use std::sync::atomic::Ordering::Relaxed;

use modkeep_tlog::client::ClientError;
use modkeep_tlog::head::SignedHead;
use modkeep_tlog::{Comparison, TreeHead};

use super::{Database, DatabaseError};

impl Database {
    /// Compares a head that somebody was shown with the history that we have verified. One that is larger than our newest
    /// has the database asked for a newer one first.
    ///
    /// A contradiction is a fork: the evidence is kept and the database is stopped, as if it had shown the head to us.
    /// Only a head that its key has signed can do that. Cancel safe.
    pub async fn compare(&self, note: &[u8]) -> Result<Comparison, DatabaseError> {
        let theirs = match SignedHead::open(note, &self.0.key) {
            Ok(theirs) => theirs,
            Err(why) => return Ok(Comparison::NotOurs { why: format!("{}: {why}", self.name()) }),
        };
        self.0.signed.fetch_max(theirs.size().get(), Relaxed);
        self.refuse_if_stopped()?;
        let known = self.verified_head().await?.filter(|known| known.size() >= theirs.size());
        let known = match known {
            Some(known) => known,
            None => self.refresh_head().await?,
        };
        let (theirs, ours): (TreeHead, TreeHead) = (theirs.head(), known.head());
        if theirs.size > ours.size {
            return Ok(Comparison::UnknownFuture { theirs, ours });
        }
        match self.proven_head(Some(known), note).await? {
            Ok(outcome) => {
                self.keep(&outcome.tiles).await?;
                Ok(Comparison::Consistent { theirs, ours })
            }
            Err(ClientError::Fork(fork)) => {
                self.stop(&fork).await;
                Ok(Comparison::Inconsistent { theirs, ours, evidence: fork.report() })
            }
            Err(other) => Err(self.unverifiable(other.to_string())),
        }
    }
}
