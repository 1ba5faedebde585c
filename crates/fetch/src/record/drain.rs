//! The records of versions that became complete without anybody's lookup: the ledger notes each in the transaction that
//! stores it, and here they go into the log, batch by batch (`docs/life-of-a-version.md`).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use modkeep_log::AppendError;
use modkeep_module::ModuleVersion;
use modkeep_store::{Error as StoreError, NewRecord, RecordSource, VersionRecord};

use super::{Class, sums_here};
use crate::Fetch;
use crate::failure::{Failure, Subject};

/// Versions taken from the ledger at a time: one tile of records.
const BATCH: u32 = 256;

/// Lookups in the public database on their way at a time; nearly all are answered from the store.
const LOOKUPS_AT_ONCE: usize = 8;

/// How long what could not be recorded is left alone.
const REST: Duration = Duration::from_secs(10);

/// How often is looked again without news: what waited for a database that was away.
const EVERY: Duration = Duration::from_mins(1);

/// What one pass over the pending versions did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Drained {
    /// Versions that are in the log now, or were there already.
    pub recorded: u64,
    /// Versions that will never be: denied, or unknown to their authority.
    pub dropped: u64,
    /// Versions that wait for better times.
    pub left: u64,
}

/// A pending version, and the record it is to have.
struct Pending {
    id: u64,
    of: ModuleVersion,
    record: Result<NewRecord, Failure>,
}

impl Fetch {
    /// Keeps the log up with the store, until it is dropped; at most [`BATCH`] versions are in hand at a time.
    ///
    /// Cancel safe: what was appended and not yet settled is appended again, which changes nothing.
    pub async fn keep_drained(&self) {
        loop {
            match self.drain().await {
                Ok(Drained { left: 0, .. }) => {}
                Ok(_) => tokio::time::sleep(REST).await,
                Err(error) => {
                    tracing::warn!(event = "log", %error, "pending versions wait");
                    tokio::time::sleep(REST).await;
                }
            }
            // Either there is news or it is time to look again.
            let _ = tokio::time::timeout(EVERY, self.0.pending.notified()).await;
        }
    }

    /// Says that the ledger may have new versions for the log.
    pub(crate) fn drain_soon(&self) {
        if self.0.own.is_some() {
            self.0.pending.notify_one();
        }
    }

    /// How many versions waited for the log when last looked: the gauge `log_pending`.
    pub fn log_pending(&self) -> u64 {
        self.0.waiting.load(Relaxed)
    }

    /// One pass over all pending versions.
    ///
    /// Cancel safe, as [`keep_drained`](Self::keep_drained).
    pub async fn drain(&self) -> Result<Drained, StoreError> {
        let (mut drained, mut after) = (Drained::default(), 0);
        loop {
            let rows = self.0.store.log_pending(after, BATCH).await?;
            let Some((_, last)) = rows.last() else {
                self.0.waiting.store(drained.left, Relaxed);
                return Ok(drained);
            };
            after = last.id;
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            self.0.waiting.store(drained.left.saturating_add(count), Relaxed);
            let batch = stream::iter(rows.into_iter().map(|(_, row)| self.prepared(row)));
            let batch: Vec<Option<Pending>> = batch.buffered(LOOKUPS_AT_ONCE).collect().await;
            self.append_batch(batch, &mut drained).await?;
        }
    }

    /// The record that a pending version is to have; `None` for a row that names no version.
    async fn prepared(&self, row: VersionRecord) -> Option<Pending> {
        let of = row.module_version().ok()?;
        let record = match self.class(&of) {
            Class::Denied => {
                let (subject, log) = (Subject::version(&of), "our own log".into());
                Err(Failure::LogDenied { subject, log, rule: "log.deny" })
            }
            Class::Own => self.record_of_row(&of, &row).await,
            Class::Upstream => self.proven_record(&of).await,
        };
        Some(Pending { id: row.id, of, record })
    }

    async fn record_of_row(&self, of: &ModuleVersion, row: &VersionRecord) -> Result<NewRecord, Failure> {
        if of.version().is_pseudo() && !self.is_recorded(of).await? {
            self.within_budget(of)?;
        }
        let record = sums_here(of, row).ok_or_else(|| Failure::Corrupt { subject: Subject::version(of) })?;
        Ok(NewRecord { record, source: RecordSource::Own, provenance: None })
    }

    /// Appends what can be, and settles what needs no more thought.
    async fn append_batch(
        &self,
        batch: Vec<Option<Pending>>,
        drained: &mut Drained,
    ) -> Result<(), StoreError> {
        let (mut versions, mut records, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for Pending { id, of, record } in batch.into_iter().flatten() {
            match record {
                Ok(record) => {
                    versions.push((id, of));
                    records.push(record);
                }
                Err(failure) if is_final(&failure) => {
                    // A denied name is for nobody's eyes (I02).
                    if !matches!(failure, Failure::LogDenied { .. }) {
                        tracing::info!(event = "log", %failure, "not recorded");
                    }
                    drained.dropped += 1;
                    settled.push(id);
                }
                Err(failure) => {
                    tracing::debug!(event = "log", %failure, "recorded later");
                    drained.left += 1;
                }
            }
        }
        if let Some(own) = self.0.own.as_ref().filter(|_| !records.is_empty()) {
            let began = self.now();
            let outcomes = own.log.append_all(records.clone()).await;
            let took = self.now() - began;
            for (((id, of), record), outcome) in versions.iter().zip(&records).zip(outcomes) {
                match outcome {
                    Ok(appended) => {
                        self.recorded(own, of, record, appended, took).await;
                        drained.recorded += 1;
                        settled.push(*id);
                    }
                    Err(error @ AppendError::Refused(_)) => {
                        tracing::error!(event = "log", %of, %error, "not recorded");
                        drained.dropped += 1;
                        settled.push(*id);
                    }
                    Err(error) => {
                        tracing::debug!(event = "log", %of, %error, "recorded later");
                        drained.left += 1;
                    }
                }
            }
        }
        self.0.store.settle_log_pending(settled).await
    }
}

/// Whether asking again would change nothing: a rule forbids it, or the authority does not know the version.
fn is_final(failure: &Failure) -> bool {
    matches!(failure, Failure::LogDenied { .. })
        || (failure.is_lasting() && !matches!(failure, Failure::Refused { .. }))
}
