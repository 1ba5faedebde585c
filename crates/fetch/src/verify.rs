//! On whose word a `.mod` or a zip is accepted (D5).

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use modkeep_module::{ModulePath, ModuleVersion};
use modkeep_store::{
    Anomalous, BrokenZip, Evidence, Fetched, FetchedZip, FileKind, FirstSight, Mismatch, Recorded, Verified,
    VersionRecord,
};
use modkeep_tlog::client::ProvenRecord;

use crate::failure::{Authority, Failure, Subject};
use crate::observe::{Alarm, Event, Kind, Verdict};
use crate::said::harmless;
use crate::source::Source;
use crate::{Fetch, said};

/// Who says what the bytes must be.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// Our own ledger, from an earlier fetch of the same file.
    Ours(Recorded),
    /// A record that a checksum database proves.
    Proof(Arc<ProvenRecord>),
    /// Nobody: the configuration switches checking off for the path, or the name is private.
    Nobody,
}

/// A word that may still be on its way, asked for once and waited for by each source's attempt.
pub(crate) type Asked = Shared<BoxFuture<'static, Result<Word, Failure>>>;

/// What came as a zip: one that can be read, or bytes that are none.
pub(crate) type Download = Result<FetchedZip, Box<BrokenZip>>;

/// A record may be authentic and still say nothing about one of the two files: then nothing can be checked by it.
fn has_line(proof: &ProvenRecord, kind: FileKind) -> bool {
    match kind {
        FileKind::Zip => proof.zip_h1().is_some(),
        FileKind::Mod | FileKind::Info => proof.go_mod_h1().is_some(),
    }
}

impl Fetch {
    /// Asks for the word on one file of a version. The database's lookup runs beside the download.
    pub(crate) fn word(&self, of: &ModuleVersion, record: Option<&VersionRecord>, kind: FileKind) -> Asked {
        let (this, of) = (self.clone(), of.clone());
        let recorded = record.and_then(|record| record.recorded(kind));
        // What was put aside and nobody ever certified may contradict the database that can be asked now (C7).
        let is_checked = !self.is_unchecked(&of) && !self.is_private(of.path());
        let is_suspect =
            is_checked && record.is_some_and(|record| !record.has(kind) && !record.is_certified(kind));
        async move {
            match recorded.filter(|_| !is_suspect) {
                Some(recorded) => Ok(Word::Ours(recorded)),
                None if this.is_unchecked(&of) || this.is_private(of.path()) => Ok(Word::Nobody),
                None => this.look_up(&of, kind).await,
            }
        }
        .boxed()
        .shared()
    }

    /// Whether the configuration switches checking off; never for the toolchain (P-107).
    pub(crate) fn is_unchecked(&self, of: &ModuleVersion) -> bool {
        !of.path().is_toolchain() && self.0.unchecked.matches(of.path().as_str())
    }

    /// Whether the name is private here (D14).
    pub(crate) fn is_private(&self, module: &ModulePath) -> bool {
        self.0.private.matches(module.as_str())
    }

    /// Why bytes for which nobody vouches are accepted from this source.
    ///
    /// A private name is said to no public database (D14): its own origin is believed, but whoever brings such a
    /// version otherwise (an import) must also say that it is not checked.
    fn first_sight(&self, of: &ModuleVersion, source: &Source) -> Result<FirstSight, Failure> {
        if source.is_origin() || self.is_unchecked(of) {
            return Ok(source.first_sight());
        }
        let log = self.0.database.as_ref().map_or("(none)", |database| database.name()).into();
        Err(Failure::LogPrivate { subject: Subject::version(of), log })
    }

    async fn look_up(&self, of: &ModuleVersion, kind: FileKind) -> Result<Word, Failure> {
        let proof = self.proof(of).await?;
        if has_line(&proof, kind) {
            return Ok(Word::Proof(Arc::new(proof)));
        }
        Err(said::without_line(Subject::version(of), proof.log_name(), proof.id().get()))
    }

    /// The record of a version that the public checksum database proves.
    pub(crate) async fn proof(&self, of: &ModuleVersion) -> Result<ProvenRecord, Failure> {
        let subject = Subject::version(of);
        let Some(database) = &self.0.database else {
            let reason = "none is configured, and this path must be checked".into();
            return Err(Failure::LogDown { subject, log: "(none)".into(), reason });
        };
        match database.lookup(of).await {
            Ok(proof) => Ok(proof),
            Err(error) => {
                let failure = said::by_database(subject, error);
                self.tell_of_lookup(&failure);
                Err(failure)
            }
        }
    }

    fn tell_of_lookup(&self, failure: &Failure) {
        let (subject, kind) = (failure.subject(), Kind::Proof);
        match failure {
            Failure::Unlisted { .. } => {
                self.tell(&Event::Verified { subject, kind, verdict: Verdict::Absent });
            }
            Failure::LogInconsistent { .. } => {
                let detail = failure.to_string();
                self.tell(&Event::Alarm { subject, alarm: Alarm::LogInconsistent, detail: &detail });
            }
            _ => {}
        }
    }

    /// Compares what a source sent with the word; what is refused is kept as evidence and counted.
    pub(crate) async fn judge<T: Fetched>(
        &self,
        fetched: T,
        word: &Word,
        source: &Source,
    ) -> Result<Verified<T>, Failure> {
        let subject = Subject::version(fetched.version());
        let kind = match T::KIND {
            FileKind::Zip => Kind::Zip,
            FileKind::Mod | FileKind::Info => Kind::Mod,
        };
        let verdict = |verdict| self.tell(&Event::Verified { subject: &subject, kind, verdict });
        let refused = match word {
            Word::Ours(recorded) => Verified::against_record(fetched, recorded),
            Word::Proof(proof) => Verified::against_proof(fetched, proof),
            Word::Nobody => {
                let why = self.first_sight(fetched.version(), source)?;
                verdict(Verdict::Skipped);
                return match Verified::at_first_sight(fetched, why) {
                    Ok(verified) => Ok(verified),
                    Err(anomalous) => Err(self.refuse_anomalous(anomalous, source.name()).await),
                };
            }
        };
        match refused {
            Ok(verified) => {
                verdict(Verdict::Match);
                Ok(verified)
            }
            Err(mismatch) => {
                verdict(Verdict::Mismatch);
                Err(self.refuse_mismatch(subject, mismatch, source.name()).await)
            }
        }
    }

    /// The same for a zip, which may be none. Where somebody certifies the zip, bytes that cannot be read or break a
    /// rule are other bytes than the certified ones (H07); where nobody does, they are judged by themselves.
    pub(crate) async fn judge_zip(
        &self,
        download: Download,
        word: &Word,
        source: &Source,
    ) -> Result<Verified<FetchedZip>, Failure> {
        let broken = match download {
            Ok(zip) => return self.judge(zip, word, source).await,
            Err(broken) => broken,
        };
        let subject = Subject::version(broken.version());
        let mismatch = match word {
            Word::Ours(recorded) => broken.against_record(recorded),
            Word::Proof(proof) => broken.against_proof(proof),
            Word::Nobody => return Err(said::by_zip(subject, source.name(), broken.error())),
        };
        self.tell(&Event::Verified { subject: &subject, kind: Kind::Zip, verdict: Verdict::Mismatch });
        Err(self.refuse_mismatch(subject, mismatch, source.name()).await)
    }

    async fn refuse_mismatch(&self, subject: Subject, mismatch: Mismatch, source: &str) -> Failure {
        let detail = format!("{source}: {mismatch}");
        self.tell(&Event::Alarm { subject: &subject, alarm: Alarm::ChecksumMismatch, detail: &detail });
        let authority = match (&mismatch.authority, mismatch.record_id) {
            (Some(log), Some(record_id)) => Authority::Database { log: Arc::clone(log), record_id },
            _ => Authority::Ledger,
        };
        let failure = Failure::Checksum {
            subject,
            file: mismatch.kind,
            recorded: mismatch.recorded.as_str().into(),
            received: harmless(&mismatch.received),
            authority,
            source_name: source.into(),
        };
        self.keep(mismatch.into_evidence(source)).await;
        failure
    }

    /// D16: two readers could disagree about this zip, and nobody certifies it.
    async fn refuse_anomalous(&self, anomalous: Anomalous, source: &str) -> Failure {
        let subject = Subject::version(&anomalous.version);
        let reason = harmless(&anomalous.to_string());
        self.keep(anomalous.into_evidence(source)).await;
        Failure::BadContent { subject, reason }
    }

    /// Keeps evidence. The refusal stands whether or not the disk takes it.
    pub(crate) async fn keep(&self, evidence: Evidence) {
        if let Err(error) = self.0.store.keep_evidence(evidence).await {
            tracing::error!(%error, "evidence could not be kept");
        }
    }
}
