//! Everything that can keep a question from being answered. `http` alone turns these into statuses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use modkeep_module::{ModulePath, ModuleVersion, Query, Version, VersionOrQuery};
use modkeep_store::FileKind;
use modkeep_upstream::DatabaseError;

use crate::said;

/// What was asked: a module, and which version or query of it, if one was named.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    /// The module.
    pub module: ModulePath,
    /// The version or query in its plain form; `None` for `list`, `latest` for `@latest`.
    pub version: Option<Arc<str>>,
}

impl Subject {
    /// The module itself.
    pub fn module(module: &ModulePath) -> Self {
        Self { module: module.clone(), version: None }
    }

    /// The module's latest version.
    pub fn latest(module: &ModulePath) -> Self {
        Self { module: module.clone(), version: Some(Arc::from("latest")) }
    }

    /// One query of a module.
    pub fn query(module: &ModulePath, query: &Query) -> Self {
        Self { module: module.clone(), version: Some(Arc::from(query.as_str())) }
    }

    /// A version or a query of a module.
    pub(crate) fn asked(module: &ModulePath, asked: &VersionOrQuery) -> Self {
        let version: &str = match asked {
            VersionOrQuery::Version(version) => version.as_str(),
            VersionOrQuery::Query(query) => query.as_str(),
        };
        Self { module: module.clone(), version: Some(Arc::from(version)) }
    }

    /// One version of a module.
    pub fn version(of: &ModuleVersion) -> Self {
        Self { module: of.path().clone(), version: Some(Arc::from(of.version().as_str())) }
    }
}

impl fmt::Display for Subject {
    /// `example.com/m v1.0.0`, or the module alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.module),
            None => write!(f, "{}", self.module),
        }
    }
}

/// Why a question has no answer, with what a reader needs to act on it.
///
/// A variant exists because somebody acts differently on it; the class of each is fixed by D9 and R22:
/// only an authority's own "not there" is one of the `NoSuch…`, every other trouble is not.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The authority says that this version or query does not exist.
    #[error("{subject}: no source has it")]
    NoSuchVersion {
        /// What was asked.
        subject: Subject,
        /// How long ago the authority said so.
        asked_ago: Duration,
        /// The newest version that can be had, if any is known here.
        newest: Option<Version>,
        /// The authority's own words, at most 256 bytes, control characters removed.
        said: Arc<str>,
    },
    /// The module's origin has no such version, or it breaks a rule of versions (V-55, V-61).
    #[error("{sentence}")]
    InvalidVersion {
        /// What was asked.
        subject: Subject,
        /// How long ago the origin was asked.
        asked_ago: Duration,
        /// The go command's own sentence (P-71), at most 256 bytes beside the name: `<path>@<version>: invalid version: …`.
        sentence: Arc<str>,
    },
    /// The origin wants a login that we do not have. To a public mirror such a repository looks nonexistent.
    #[error("{subject}: {host} wants a login")]
    NoAccess {
        /// What was asked.
        subject: Subject,
        /// Who wants it.
        host: Arc<str>,
    },
    /// The authority says that there is no such module.
    #[error("{subject}: nothing found")]
    NoSuchModule {
        /// What was asked.
        subject: Subject,
        /// How long ago the authority said so.
        asked_ago: Duration,
        /// Why nothing is there.
        why: Absent,
        /// The authority's own words, at most 256 bytes, control characters removed; of an origin's, also as many as a
        /// module path and version may have, because the go command's sentences repeat them.
        said: Arc<str>,
    },
    /// The checksum database does not know this version, so nothing is kept of it (D5).
    #[error("{subject}: not in the checksum database {database}")]
    Unlisted {
        /// What was asked.
        subject: Subject,
        /// The database's name.
        database: Arc<str>,
        /// Its own words, at most 256 bytes, control characters removed.
        said: Arc<str>,
    },
    /// Asked of the store alone, which lacks it (P-94).
    #[error("{subject}: not stored here")]
    NotCached {
        /// What was asked.
        subject: Subject,
    },
    /// The chain of sources is `off`, and the store lacks it.
    #[error("{subject}: not stored here, and there is no source to ask")]
    Offline {
        /// What was asked.
        subject: Subject,
        /// Up to three versions of the module that are here, newest first.
        here: Vec<Version>,
    },
    /// The bytes differ from what was recorded. Never stored, never served, kept as evidence.
    #[error("{subject}: checksum mismatch: recorded {recorded}, received {received}")]
    Checksum {
        /// What was asked.
        subject: Subject,
        /// `.mod` or zip.
        file: FileKind,
        /// The recorded sum, as `h1:…`, or what the record is about when it is about something else.
        recorded: Arc<str>,
        /// The sum of what the source sent, as `h1:…`; of bytes that are no zip, `no readable zip: ` and why, made
        /// harmless.
        received: Arc<str>,
        /// Who recorded it: a database's name and the record's number, or our own ledger.
        authority: Authority,
        /// The source that sent the bytes, without credentials.
        source_name: Arc<str>,
    },
    /// The source's bytes break the rules of their kind.
    #[error("{subject}: {}", .reason.lines().next().unwrap_or_default())]
    BadContent {
        /// What was asked.
        subject: Subject,
        /// Which rules, in words for the module's author, one a line, control characters removed.
        reason: Arc<str>,
    },
    /// The source answered with something that is not the file at all: a login page, a cut body, a wrong `Version`.
    #[error("{subject}: {source_name} sent nonsense: {reason}")]
    BadAnswer {
        /// What was asked.
        subject: Subject,
        /// The source.
        source_name: Arc<str>,
        /// What was wrong.
        reason: Arc<str>,
    },
    /// A zip whose source declares more bytes than the go command accepts (F31), or a tree of an origin that has more. A
    /// source that only goes on sending, and whatever else is too large, is a [`BadAnswer`](Self::BadAnswer).
    #[error("{subject}: {what} of {size} bytes, more than {limit}")]
    TooLarge {
        /// What was asked.
        subject: Subject,
        /// `zip`, `module source tree`, `go.mod file` or `LICENSE file`.
        what: &'static str,
        /// The declared or counted size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Our own rules keep us from asking: the gate, the opt-out list, crawl rules. A deliberate stop.
    #[error("{subject}: {host}: {reason}")]
    Refused {
        /// What was asked.
        subject: Subject,
        /// Whom we would have asked.
        host: Arc<str>,
        /// The rule, with the setting that changes it.
        reason: Arc<str>,
    },
    /// The module's version control system needs a program that is not installed here.
    #[error("{subject}: the program {program} is not installed here")]
    NoProgram {
        /// What was asked.
        subject: Subject,
        /// Its name.
        program: &'static str,
    },
    /// The source does not answer, or answers with trouble of its own.
    #[error("{subject}: {host}: {reason}")]
    OriginDown {
        /// What was asked.
        subject: Subject,
        /// The source, without credentials.
        host: Arc<str>,
        /// What happened, without addresses.
        reason: Arc<str>,
        /// Up to three versions of the module that can be had now, newest first.
        here: Vec<Version>,
    },
    /// The source asks us to slow down, or our own budget for it is spent.
    #[error("{subject}: {host}: retry after {} s", .retry_after.as_secs())]
    OriginLimit {
        /// What was asked.
        subject: Subject,
        /// The source.
        host: Arc<str>,
        /// When to come again.
        retry_after: Duration,
    },
    /// More questions are being worked on than the configuration allows (R20).
    #[error("{subject}: too many fetches at once")]
    Busy {
        /// What was asked.
        subject: Subject,
        /// When to come again.
        retry_after: Duration,
    },
    /// The caller's patience ended; the fetch goes on (P-76).
    #[error("{subject}: still fetching after {} s", .waited.as_secs())]
    StillFetching {
        /// What was asked.
        subject: Subject,
        /// How long this caller waited.
        waited: Duration,
    },
    /// The checksum database does not answer, so nothing can be checked (D5).
    #[error("{subject}: the checksum database {log} does not answer")]
    LogDown {
        /// What was asked.
        subject: Subject,
        /// The database's name.
        log: Arc<str>,
        /// What happened, without addresses.
        reason: Arc<str>,
    },
    /// The checksum database showed two histories. Nothing is asked of it until an operator decides.
    #[error("{subject}: the checksum database {log} contradicts itself")]
    LogInconsistent {
        /// What was asked.
        subject: Subject,
        /// The database's name.
        log: Arc<str>,
        /// The tree size we had verified.
        size: u64,
    },
    /// A private name, which no public database is asked about (D14, P-105).
    #[error("{subject}: private, and not looked up in {log}")]
    LogPrivate {
        /// What was asked.
        subject: Subject,
        /// The database's name.
        log: Arc<str>,
    },
    /// Our own log takes no records now: too many wait, or it is paused. What is recorded is served.
    #[error("{subject}: the log {log}: {reason}")]
    LogBusy {
        /// What was asked.
        subject: Subject,
        /// Our log's name.
        log: Arc<str>,
        /// Why, for the log.
        reason: Arc<str>,
        /// When to come again.
        retry_after: Duration,
    },
    /// A name that our own log does not record, because the configuration says so (A6).
    #[error("{subject}: not recorded in {log}, by {rule}")]
    LogDenied {
        /// What was asked.
        subject: Subject,
        /// Our log's name.
        log: Arc<str>,
        /// The setting that says so.
        rule: &'static str,
    },
    /// New content cannot be written now: the disk is full or read-only. Stored content is served.
    #[error("{subject}: cannot be stored now: {reason}")]
    Storage {
        /// What was asked.
        subject: Subject,
        /// Words for the log.
        reason: Arc<str>,
    },
    /// A stored file no longer matches its recorded hash and was put aside (R13).
    #[error("{subject}: the stored file is damaged")]
    Corrupt {
        /// What was asked.
        subject: Subject,
    },
    /// The program is stopping.
    #[error("{subject}: stopping")]
    Stopping {
        /// What was asked.
        subject: Subject,
    },
    /// Our own fault.
    #[error("{subject}: {reason}")]
    Internal {
        /// What was asked.
        subject: Subject,
        /// Words for the log, never for the client.
        reason: Arc<str>,
    },
}

/// Why there is no such module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Absent {
    /// Every source said so.
    AtEverySource,
    /// The place where it would live said so, in the go command's words (P-71).
    AtItsOrigin,
    /// The name is private, so no source was asked, and nothing is stored under it (D14).
    Private,
    /// It is a directory of a stored enclosing module, and the sources are away (D9).
    DirectoryOf(ModulePath),
}

/// Who recorded the sum that the bytes contradict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authority {
    /// A checksum database.
    Database {
        /// Its name.
        log: Arc<str>,
        /// The record's number.
        record_id: u64,
    },
    /// Our own ledger, from an earlier fetch.
    Ledger,
}

impl Failure {
    /// A checksum database's error about `subject`.
    pub fn of_database(subject: Subject, error: DatabaseError) -> Self {
        said::by_database(subject, error)
    }

    /// What was asked.
    pub fn subject(&self) -> &Subject {
        match self {
            Self::NoSuchVersion { subject, .. }
            | Self::InvalidVersion { subject, .. }
            | Self::NoAccess { subject, .. }
            | Self::NoSuchModule { subject, .. }
            | Self::Unlisted { subject, .. }
            | Self::NotCached { subject }
            | Self::Offline { subject, .. }
            | Self::Checksum { subject, .. }
            | Self::BadContent { subject, .. }
            | Self::BadAnswer { subject, .. }
            | Self::TooLarge { subject, .. }
            | Self::Refused { subject, .. }
            | Self::NoProgram { subject, .. }
            | Self::OriginDown { subject, .. }
            | Self::OriginLimit { subject, .. }
            | Self::Busy { subject, .. }
            | Self::StillFetching { subject, .. }
            | Self::LogDown { subject, .. }
            | Self::LogInconsistent { subject, .. }
            | Self::LogPrivate { subject, .. }
            | Self::LogBusy { subject, .. }
            | Self::LogDenied { subject, .. }
            | Self::Storage { subject, .. }
            | Self::Corrupt { subject }
            | Self::Stopping { subject }
            | Self::Internal { subject, .. } => subject,
        }
    }

    /// Whether the authority itself said that there is nothing (D9), for us at least.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoSuchVersion { .. }
                | Self::InvalidVersion { .. }
                | Self::NoAccess { .. }
                | Self::NoSuchModule { .. }
        )
    }

    /// Whether what is stored may answer in its place: whatever is not the authority's own "not there" (P-26, R22).
    /// The directory of an enclosing module is our own guess while the sources are away, and a repository that wants a
    /// login now has not lost its versions.
    pub fn yields_to_stored(&self) -> bool {
        let guess = matches!(self, Self::NoSuchModule { why: Absent::DirectoryOf(_), .. });
        !self.is_absence() || guess || matches!(self, Self::NoAccess { .. })
    }

    /// Whether asking again soon would give the same answer, so that it may be remembered for a short while (P-78).
    ///
    /// Trouble is not: the next request retries (H01).
    pub fn is_lasting(&self) -> bool {
        self.is_absence()
            || matches!(
                self,
                Self::Unlisted { .. }
                    | Self::Checksum { .. }
                    | Self::BadContent { .. }
                    | Self::TooLarge { .. }
                    | Self::Refused { .. }
            )
    }

    /// The same failure, told some time after the authority was asked.
    #[must_use]
    pub fn told_after(mut self, age: Duration) -> Self {
        if let Self::NoSuchVersion { asked_ago, .. }
        | Self::InvalidVersion { asked_ago, .. }
        | Self::NoSuchModule { asked_ago, .. } = &mut self
        {
            *asked_ago = age;
        }
        self
    }
}
