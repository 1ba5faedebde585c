//! The records of our own checksum database: who may say what a version's sums are, and how its record comes into the
//! log (A6 "Lookup", C7).
//!
//! A version falls into one of three classes. What is *ours* (private names, paths that are not checked) is fetched as
//! the mirror fetches it, by the same flights, and recorded with the sums that we computed. What has an *upstream*
//! authority is recorded with the sums that the public database proves, and with the proof; never with ours. What is
//! *denied* is not recorded.

mod drain;
mod growth;

use std::sync::Arc;
use std::time::{Duration, Instant};

use modkeep_log::{AppendError, Appended, Log};
use modkeep_module::{H1, ModuleVersion, Patterns};
use modkeep_store::{Evidence, EvidenceKind, FileKind, NewRecord, RecordSource, VersionRecord};
use modkeep_tlog::client::ProvenRecord;
use modkeep_tlog::{GoSumRecord, ProofFile};

use crate::desk::{Desk, Topic, Work};
use crate::failure::{Absent, Failure, Subject};
use crate::fresh::Reach;
use crate::observe::{Alarm, Event, Kind};
use crate::{Fetch, How, Inner, said};

pub use drain::Drained;
pub(crate) use growth::Growth;

/// Longest wait of a record's flight for a fetch. Every fetch has limits of its own and ends before this (R18).
const FETCH_WAIT_MAX: Duration = Duration::from_hours(1);

/// When to come again where too many records wait: a batch takes milliseconds.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// When to come again where the log is paused: somebody has to do something.
const PAUSED_FOR: Duration = Duration::from_mins(1);

/// Our own checksum database, as this room feeds it.
#[derive(Clone, Debug)]
pub struct OwnLog {
    /// The log.
    pub log: Log,
    /// Modules that are never recorded.
    pub deny: Patterns,
}

/// Who says what the sums of a version are (C7); the first that fits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Nobody: it is not to be recorded.
    Denied,
    /// We do: a private name, or a path that is not checked.
    Own,
    /// The public checksum database. Toolchains always (P-107).
    Upstream,
}

/// The record of a version.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct RecordOf(pub(crate) ModuleVersion);

impl Topic for RecordOf {
    /// The record is in the log then, and a published head covers it.
    type Landed = ();

    /// A lookup comes after the module was found, and never for a prefix of its path.
    const IS_PROBED: bool = false;

    fn subject(&self) -> Subject {
        Subject::version(&self.0)
    }

    fn kind(&self) -> Kind {
        Kind::Record
    }

    fn desk(inner: &Inner) -> &Desk<Self> {
        &inner.records
    }

    fn work(self, fetch: Fetch, _take_off: Instant) -> Work<()> {
        Box::pin(async move { fetch.bring_record(&self.0).await })
    }
}

impl Fetch {
    /// Has a version recorded in our own log: when this returns `Ok`, a published head covers its record.
    ///
    /// Whoever asks has looked into the log and not found it there. Under [`Reach::CachedOnly`] nothing is recorded.
    ///
    /// Cancel safe: the version is recorded for the next caller.
    pub async fn record(&self, of: &ModuleVersion, reach: Reach) -> Result<How, Failure> {
        let (subject, own) = (Subject::version(of), self.own(of)?);
        if reach == Reach::CachedOnly {
            return Err(Failure::NotCached { subject });
        }
        if self.class(of) == Class::Denied {
            return Err(Failure::LogDenied { subject, log: own.log.name().into(), rule: "log.deny" });
        }
        let question = RecordOf(of.clone());
        self.recall(&question)?;
        self.fly(&question, self.0.config.hold).await?;
        Ok(How::Fetched)
    }

    /// Has a version recorded whatever the log holds of it, so that a record which contradicts its authority is noticed:
    /// what a bulk import does (C7). Says whether it was there before.
    pub async fn import_record(&self, of: &ModuleVersion) -> Result<bool, Failure> {
        let own = self.own(of)?;
        if self.class(of) == Class::Denied {
            let (subject, log) = (Subject::version(of), own.log.name().into());
            return Err(Failure::LogDenied { subject, log, rule: "log.deny" });
        }
        let new = self.new_record(of, self.class(of)).await?;
        self.append(of, new).await.map(|appended| appended.was_known)
    }

    /// Who says what the sums of this version are.
    pub fn class(&self, of: &ModuleVersion) -> Class {
        let is_denied = self.0.own.as_ref().is_some_and(|own| own.deny.matches(of.path().as_str()));
        let is_ours = !of.path().is_toolchain() && (self.is_private(of.path()) || self.is_unchecked(of));
        match (is_denied, is_ours) {
            (true, _) => Class::Denied,
            (false, true) => Class::Own,
            (false, false) => Class::Upstream,
        }
    }

    fn own(&self, of: &ModuleVersion) -> Result<&OwnLog, Failure> {
        self.0.own.as_ref().ok_or_else(|| {
            let reason = "asked to record, and there is no log".into();
            Failure::Internal { subject: Subject::version(of), reason }
        })
    }

    /// The flight of a record.
    async fn bring_record(&self, of: &ModuleVersion) -> Result<(), Failure> {
        if self.is_recorded(of).await? {
            return Ok(()); // landed between a caller's look and this take-off
        }
        let class = self.class(of);
        if class == Class::Own {
            self.within_budget(of)?;
        }
        let new = self.new_record(of, class).await?;
        self.append(of, new).await.map(drop)
    }

    /// Whether the repository of a version may make the log grow once more (K05).
    fn within_budget(&self, of: &ModuleVersion) -> Result<(), Failure> {
        let log = self.own(of)?.log.name();
        self.0.growth.admit(of, self.now()).map_err(|retry_after| Failure::LogBusy {
            subject: Subject::version(of),
            log: log.into(),
            reason: "too many commits of one repository at once".into(),
            retry_after,
        })
    }

    async fn is_recorded(&self, of: &ModuleVersion) -> Result<bool, Failure> {
        let (own, asked) = (self.own(of)?.clone(), of.clone());
        let found = tokio::task::spawn_blocking(move || {
            own.log.find(asked.path().as_str(), asked.version().as_str())
        });
        match found.await {
            Ok(found) => {
                found.map(|id| id.is_some()).map_err(|error| said::by_store(Subject::version(of), &error))
            }
            Err(error) => Err(said::crashed(Subject::version(of), &error)),
        }
    }

    /// The record of a version on the word of its authority.
    async fn new_record(&self, of: &ModuleVersion, class: Class) -> Result<NewRecord, Failure> {
        match class {
            Class::Own => self.own_record(of).await,
            Class::Upstream | Class::Denied => self.proven_record(of).await,
        }
    }

    /// A record of our own: the module is fetched as the mirror does it, and its sums are ours.
    async fn own_record(&self, of: &ModuleVersion) -> Result<NewRecord, Failure> {
        for kind in [FileKind::Mod, FileKind::Zip] {
            let file = self.file_within(of, kind, Reach::MayFetch, FETCH_WAIT_MAX).await;
            file.map_err(without_guess)?;
        }
        let known = self.known(of).await?;
        let record = known.as_ref().and_then(|known| sums_here(of, known));
        let record = record.ok_or_else(|| Failure::Corrupt { subject: Subject::version(of) })?;
        Ok(NewRecord { record, source: RecordSource::Own, provenance: None })
    }

    /// A record of the public database, with the proof that it is one (C7). Nothing of the module is fetched.
    async fn proven_record(&self, of: &ModuleVersion) -> Result<NewRecord, Failure> {
        let proof = self.proof(of).await.map_err(upstream_away)?;
        let (Some(zip_h1), Some(go_mod_h1)) = (proof.zip_h1(), proof.go_mod_h1()) else {
            return Err(said::without_line(Subject::version(of), proof.log_name(), proof.id().get()));
        };
        self.compare_with_what_is_here(of, &proof).await?;
        let record = GoSumRecord {
            module: of.path().as_str().to_owned(),
            version: of.version().as_str().to_owned(),
            zip_h1,
            go_mod_h1,
        };
        let (source, provenance) = (RecordSource::Upstream(proof.log_name().into()), provenance(of, &proof)?);
        Ok(NewRecord { record, source, provenance: Some(provenance) })
    }

    /// C7 item 4, I20: what lies here and has other sums than the public record is the suspect. It is put aside, kept in
    /// mind as evidence, and an operator hears of it. The public record is recorded all the same.
    async fn compare_with_what_is_here(
        &self,
        of: &ModuleVersion,
        proof: &ProvenRecord,
    ) -> Result<(), Failure> {
        let Some(known) = self.known(of).await? else { return Ok(()) };
        for (kind, proven) in [(FileKind::Mod, proof.go_mod_h1()), (FileKind::Zip, proof.zip_h1())] {
            let (Some(ours), Some(proven)) = (known.recorded(kind), proven.map(H1::from_bytes)) else {
                continue;
            };
            if ours.h1() == proven {
                continue;
            }
            let detail = format!(
                "{kind}: {} is stored here, {} has {proven} (record {})",
                ours.h1(),
                proof.log_name(),
                proof.id()
            );
            self.tell(&Event::Alarm {
                subject: &Subject::version(of),
                alarm: Alarm::MirrorMismatch,
                detail: &detail,
            });
            self.keep(evidence(
                of,
                kind,
                &proven.to_string(),
                &ours.h1().to_string(),
                &known.source,
                &detail,
            ))
            .await;
            let reason = format!("not what {} has recorded", proof.log_name());
            if let Err(error) = self.0.store.put_aside(&self.0.repository, of, kind, &reason).await {
                tracing::error!(%error, %of, "a file that contradicts the public record could not be put aside");
            }
        }
        Ok(())
    }

    /// Appends a record and waits until a published head covers it. Other sums than those recorded are an alarm, and
    /// change nothing.
    async fn append(&self, of: &ModuleVersion, new: NewRecord) -> Result<Appended, Failure> {
        let (own, began) = (self.own(of)?, self.now());
        let appended = own.log.append(new.clone()).await;
        let appended = appended.map_err(|error| unappended(Subject::version(of), own.log.name(), error))?;
        self.recorded(own, of, &new, appended, self.now() - began).await;
        Ok(appended)
    }

    /// Tells that a version is recorded, and whether the record is the one that was to be made.
    async fn recorded(
        &self,
        own: &OwnLog,
        of: &ModuleVersion,
        new: &NewRecord,
        appended: Appended,
        took: Duration,
    ) {
        let subject = Subject::version(of);
        let (id, was_known) = (appended.id.get(), appended.was_known);
        let source = match &new.source {
            RecordSource::Own => None,
            RecordSource::Upstream(name) => Some(&**name),
        };
        let log = own.log.name();
        self.tell(&Event::Recorded { subject: &subject, log, id, source, was_known, took });
        if appended.is_same {
            return;
        }
        let alarm = if source.is_some() { Alarm::AuthorityConflict } else { Alarm::RecordConflict };
        let (said_by, offered) = (source.unwrap_or("this mirror"), H1::from_bytes(new.record.zip_h1));
        let go_mod = H1::from_bytes(new.record.go_mod_h1);
        let detail = format!("record {id} stands; {said_by} now says zip {offered}, go.mod {go_mod}");
        self.tell(&Event::Alarm { subject: &subject, alarm, detail: &detail });
        let recorded = format!("record {id}");
        self.keep(evidence(of, FileKind::Zip, &recorded, &offered.to_string(), said_by, &detail)).await;
    }
}

/// The sums that our ledger holds of a version, when it has both.
fn sums_here(of: &ModuleVersion, known: &VersionRecord) -> Option<GoSumRecord> {
    Some(GoSumRecord {
        module: of.path().as_str().to_owned(),
        version: of.version().as_str().to_owned(),
        zip_h1: *known.recorded(FileKind::Zip)?.h1().as_bytes(),
        go_mod_h1: *known.recorded(FileKind::Mod)?.h1().as_bytes(),
    })
}

/// What anybody needs to check that the public database has this record: its place, the way to the root, the signed head.
fn provenance(of: &ModuleVersion, proof: &ProvenRecord) -> Result<Vec<u8>, Failure> {
    let file = ProofFile::of(proof).map(|file| file.to_text().into_bytes());
    file.map_err(|error| Failure::Internal {
        subject: Subject::version(of),
        reason: error.to_string().into(),
    })
}

fn evidence(
    of: &ModuleVersion,
    kind: FileKind,
    recorded: &str,
    received: &str,
    source: &str,
    detail: &str,
) -> Evidence {
    Evidence {
        kind: EvidenceKind::Conflict,
        module: of.path().as_str().to_owned(),
        version: format!("{}.{kind}", of.version()),
        recorded: recorded.to_owned(),
        received: received.to_owned(),
        source: source.to_owned(),
        detail: detail.to_owned(),
        body: None,
    }
}

/// What the mirror guesses about directories of stored modules while an origin is away is no answer to a lookup, whose 404
/// would be kept: trouble is never absence (A6).
fn without_guess(failure: Failure) -> Failure {
    match failure {
        Failure::NoSuchModule { subject, why: Absent::DirectoryOf(_), .. } => Failure::OriginDown {
            host: subject.module.as_str().into(),
            subject,
            reason: "its origin does not answer".into(),
            here: Vec::new(),
        },
        other => other,
    }
}

/// The authority of an imported record is an origin like any other to whoever asks us: 502 when it is away (C7 item 6).
fn upstream_away(failure: Failure) -> Failure {
    match failure {
        Failure::LogDown { subject, log, reason } => {
            Failure::OriginDown { subject, host: log, reason, here: Vec::new() }
        }
        other => other,
    }
}

/// Why the log did not take a record.
fn unappended(subject: Subject, log: &str, error: AppendError) -> Failure {
    let log = Arc::from(log);
    match error {
        AppendError::Busy { .. } => {
            Failure::LogBusy { subject, log, reason: error.to_string().into(), retry_after: BUSY_FOR }
        }
        AppendError::Refused(refused) => {
            Failure::BadContent { subject, reason: said::harmless(&refused.to_string()) }
        }
        other => Failure::LogBusy {
            subject,
            log,
            reason: said::harmless(&other.to_string()),
            retry_after: PAUSED_FOR,
        },
    }
}
