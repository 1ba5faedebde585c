//! The ledger: what exists, since when, with which sums (D3). A blob without a row is garbage; a row without a blob
//! is a broken promise.
//!
//! [`Ledger`] is a small set of domain verbs. Its calls block and are made on the blocking pool; each writing verb
//! is one transaction and is on stable storage when it returns. [`SqliteLedger`] is the implementation for one
//! machine; a second one has to pass `contract::ledger` (feature `testing`) first (D4).

pub(crate) mod merge;
pub(crate) mod readers;
mod sqlite;
mod writer;

use std::fmt::Debug;
use std::time::SystemTime;

use modkeep_module::info::Timestamp;
use modkeep_module::{H1, ModulePath, ModuleVersion, Version};

pub(crate) use merge::may_differ;
pub use sqlite::SqliteLedger;

use crate::error::Error;
use crate::evidence::{EvidenceKind, KeptEvidence};
use crate::name::{FileKind, Repository, Sha256Sum};
use crate::origins::OriginCheck;
use crate::verdicts::Verdict;
use crate::verify::{Basis, Recorded};

/// Who may learn that a version exists.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Visibility {
    /// Everybody; its zip enters the index feed.
    #[default]
    Public,
    /// Only those who may see the path; never in the feed (D14, J08).
    Private,
}

/// What the ledger holds about an `.info`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileFacts {
    /// In bytes.
    pub size: u64,
    /// Of the file's bytes.
    pub sha256: Sha256Sum,
    /// Its bytes were found damaged or gone, and put aside (R13).
    pub quarantined: bool,
}

/// What the ledger holds about a `.mod` or a zip.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SumFacts {
    /// In bytes.
    pub size: u64,
    /// Of the file's bytes.
    pub sha256: Sha256Sum,
    /// The sum that go.sum and checksum databases know.
    pub h1: H1,
    /// On whose word it was accepted.
    pub basis: Basis,
    /// Its bytes were found damaged or gone, and put aside (R13).
    pub quarantined: bool,
}

/// All that is known of one version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionRecord {
    /// Its number in the ledger; never reused.
    pub id: u64,
    /// The module.
    pub module: ModulePath,
    /// The version.
    pub version: Version,
    /// Who may know.
    pub visibility: Visibility,
    /// The `.info`, when stored.
    pub info: Option<FileFacts>,
    /// The `.mod`, when stored.
    pub go_mod: Option<SumFacts>,
    /// The zip, when stored.
    pub zip: Option<SumFacts>,
    /// The commit time that the `.info` states.
    pub time: Option<Timestamp>,
    /// When we first stored any of its files.
    pub first_seen: SystemTime,
    /// When its zip became visible.
    pub zip_at: Option<SystemTime>,
    /// Who sent the first of its files.
    pub source: String,
    /// The sum of the go.mod inside the zip, when there are both (Z-46).
    pub go_mod_in_zip: Option<H1>,
}

/// The size and sum of a stored file, whatever its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Sum,
    pub(crate) h1: Option<H1>,
    pub(crate) quarantined: bool,
}

impl VersionRecord {
    /// The recorded sum of the `.mod` or the zip, to verify bytes against ([`Verified::against_record`]). An
    /// `.info` has none.
    ///
    /// [`Verified::against_record`]: crate::Verified::against_record
    pub fn recorded(&self, kind: FileKind) -> Option<Recorded> {
        let h1 = self.bytes(kind)?.h1?;
        Some(Recorded { module: self.module.clone(), version: self.version.clone(), kind, h1 })
    }

    /// Module and version together.
    pub fn module_version(&self) -> Result<ModuleVersion, Error> {
        ModuleVersion::new(self.module.clone(), self.version.clone())
            .map_err(|error| Error::Ledger { doing: "read a row", detail: error.to_string() })
    }

    /// Whether a file is stored and not known to be damaged.
    pub fn has(&self, kind: FileKind) -> bool {
        self.bytes(kind).is_some_and(|bytes| !bytes.quarantined)
    }

    /// Whether a checksum database certified the `.mod` or the zip when it was stored.
    pub fn is_certified(&self, kind: FileKind) -> bool {
        let facts = match kind {
            FileKind::Info => None,
            FileKind::Mod => self.go_mod.as_ref(),
            FileKind::Zip => self.zip.as_ref(),
        };
        facts.is_some_and(|facts| facts.basis.is_certified())
    }

    pub(crate) fn bytes(&self, kind: FileKind) -> Option<Bytes> {
        let summed = |facts: &SumFacts| Bytes {
            size: facts.size,
            sha256: facts.sha256,
            h1: Some(facts.h1),
            quarantined: facts.quarantined,
        };
        match kind {
            FileKind::Info => self.info.as_ref().map(|facts| Bytes {
                size: facts.size,
                sha256: facts.sha256,
                h1: None,
                quarantined: facts.quarantined,
            }),
            FileKind::Mod => self.go_mod.as_ref().map(summed),
            FileKind::Zip => self.zip.as_ref().map(summed),
        }
    }
}

/// Durable files that are to become visible.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Where.
    pub repository: Repository,
    /// Of what.
    pub version: ModuleVersion,
    /// Who may know. A version that was ever private stays private.
    pub visibility: Visibility,
    /// The `.info` and the time that it states.
    pub info: Option<(FileFacts, Option<Timestamp>)>,
    /// The `.mod`.
    pub go_mod: Option<SumFacts>,
    /// The zip.
    pub zip: Option<SumFacts>,
    /// The sum of the go.mod inside the zip, when there is one.
    pub go_mod_in_zip: Option<H1>,
    /// Who sent them.
    pub source: String,
    /// The time of day, for the stamps.
    pub now: SystemTime,
}

/// A question about a module whose answer changes with time (D8).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Question {
    /// `@v/list`.
    List,
    /// `@latest`.
    Latest,
    /// `@v/<query>.info` for anything that is no version of the module.
    Query(String),
}

/// The last positive answer to a question. Negative ones are never kept here (R23).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredAnswer {
    /// The answer as we serve it.
    pub bytes: Vec<u8>,
    /// When the source last said so.
    pub checked_at: SystemTime,
    /// Who said so, without credentials.
    pub source: String,
    /// Its `ETag`, for the next conditional request.
    pub validator: Option<String>,
}

/// One line of the index feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedLine {
    /// The module.
    pub path: ModulePath,
    /// The version.
    pub version: Version,
    /// When its zip became visible, in microseconds since 1970; strictly increasing from line to line (R8).
    pub at_micros: i64,
}

/// How much there is. Kept up to date by each transaction, so that asking costs nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Modules with at least one version, summed over repositories.
    pub modules: u64,
    /// Versions of which any file is stored.
    pub versions: u64,
    /// Versions with a zip.
    pub zips: u64,
    /// Bytes of all files of versions.
    pub bytes: u64,
    /// Different pieces of evidence.
    pub evidence: u64,
    /// Bytes kept with them.
    pub evidence_bytes: u64,
    /// Pieces that were not kept because there were [`EVIDENCE_MAX`] already.
    pub evidence_dropped: u64,
    /// Files put aside for good, repaired ones included.
    pub quarantined: u64,
}

/// A file of a foreign checksum database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForeignFile {
    /// The database's name.
    pub database: String,
    /// Its path in the protocol: `lookup/…`, `tile/…`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Sha256Sum,
}

/// A file put aside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quarantined {
    /// What it was: its name below the data directory.
    pub name: String,
    /// Where it lies now, below the data directory; empty when there was nothing left to move.
    pub kept_as: String,
    /// What was wrong.
    pub reason: String,
    /// When.
    pub at: SystemTime,
}

/// A question's place in the ledger: whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where.
    pub repository: &'a Repository,
    /// About which module.
    pub module: &'a ModulePath,
    /// What.
    pub question: &'a Question,
}

/// One finding of a ledger about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doubt {
    /// The promise that is broken.
    pub id: &'static str,
    /// What is wrong.
    pub text: String,
}

/// What exists. See the [module](self) for the rules that hold for all verbs.
pub trait Ledger: Send + Sync + Debug {
    /// Makes durable files visible, all versions in one transaction; each is accepted or refused on its own.
    ///
    /// A file that is already recorded with the same sum is left as it is, and is no longer quarantined; with
    /// another one the version is refused as [`Error::Conflict`] (R3). The first zip of a public version of
    /// [`Repository::main`] gives it the next place in the feed (R8). The records come back as they are now.
    fn record(&self, versions: Vec<NewVersion>) -> Vec<Result<VersionRecord, Error>>;
    /// One version.
    fn version(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
    ) -> Result<Option<VersionRecord>, Error>;
    /// All versions of a module, in order of first sight.
    fn versions(&self, repository: &Repository, module: &ModulePath) -> Result<Vec<VersionRecord>, Error>;
    /// Modules that have a version, by path, after one of them; at most `limit`.
    fn modules(
        &self,
        repository: &Repository,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModulePath>, Error>;
    /// All versions of all repositories by number, after one of them; at most `limit`. For walks.
    fn walk(&self, after: u64, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error>;
    /// The versions that were first seen last, newest first; at most `limit`.
    fn newest(&self, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error>;
    /// How much there is.
    fn counts(&self) -> Result<Counts, Error>;
    /// The feed from a time on, inclusive; at most `limit` lines.
    fn feed(&self, since_micros: Option<i64>, limit: u32) -> Result<Vec<FeedLine>, Error>;
    /// Notes that a file was put aside; the version it belonged to is marked when one is named.
    fn quarantine(&self, what: Quarantined, of: Option<(u64, FileKind)>) -> Result<(), Error>;
    /// All that was put aside, oldest first.
    fn quarantined(&self) -> Result<Vec<Quarantined>, Error>;
    /// The last answer to a question.
    fn answer(&self, asked: Asked<'_>) -> Result<Option<StoredAnswer>, Error>;
    /// Keeps an answer in place of the one before. Of one module the 256 most recently checked queries are kept.
    fn put_answer(&self, asked: Asked<'_>, answer: StoredAnswer) -> Result<(), Error>;
    /// The newest head of a foreign checksum database.
    fn head(&self, database: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Replaces a head when it is still the expected one; says whether it was.
    fn save_head(&self, database: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, Error>;
    /// A file of a foreign checksum database.
    fn foreign(&self, database: &str, path: &str) -> Result<Option<ForeignFile>, Error>;
    /// The files of a foreign checksum database in one folder and those below it, by path; at most `limit`.
    fn foreign_in(&self, database: &str, folder: &str, limit: u32) -> Result<Vec<ForeignFile>, Error>;
    /// Records durable files; one that is recorded already stays as it is.
    fn put_foreign(&self, files: Vec<ForeignFile>) -> Result<(), Error>;
    /// Forgets a file, so that it may be fetched again.
    fn forget_foreign(&self, database: &str, path: &str) -> Result<(), Error>;
    /// All files of foreign databases by name, after one of them; at most `limit`. For walks.
    fn walk_foreign(&self, after: Option<(&str, &str)>, limit: u32) -> Result<Vec<ForeignFile>, Error>;
    /// Keeps a piece of evidence, or counts one that is known.
    fn keep_evidence(&self, evidence: NewEvidence) -> Result<Kept, Error>;
    /// Names the file that holds a piece's bytes.
    fn attach_body(&self, id: u64, name: &str, sha256: Sha256Sum, size: u64) -> Result<(), Error>;
    /// All pieces, oldest first, after one of them; at most `limit`.
    fn evidence(&self, after: u64, limit: u32) -> Result<Vec<KeptEvidence>, Error>;
    /// Keeps what looks at origins found; the checks whose state is news come back. A check of a version that is not
    /// recorded is passed over. `since` is kept while the state stays the same.
    fn note_origins(
        &self,
        repository: &Repository,
        checks: Vec<OriginCheck>,
    ) -> Result<Vec<OriginCheck>, Error>;
    /// What is known about the origins of a module's versions, or of all, by path and in order of first sight.
    fn origin_checks(
        &self,
        repository: &Repository,
        module: Option<&ModulePath>,
    ) -> Result<Vec<OriginCheck>, Error>;
    /// Versions whose `.mod` and zip are recorded and that the log was not yet told of, by number, after one of them; at most
    /// `limit`. The transaction that completes a version puts it here, private ones too.
    fn log_pending(&self, after: u64, limit: u32) -> Result<Vec<(Repository, VersionRecord)>, Error>;
    /// The log knows these versions now; unknown numbers are passed over.
    fn settle_log_pending(&self, ids: &[u64]) -> Result<(), Error>;
    /// Keeps what a judge found of a log, in place of its last word. `since` is kept while the outcome stays the same.
    fn put_verdict(&self, verdict: Verdict) -> Result<(), Error>;
    /// The last word of each judge of each log, by both names.
    fn verdicts(&self) -> Result<Vec<Verdict>, Error>;
    /// The ledger's doubts about itself: the engine's own check, totals against rows, feed order, dangling rows.
    fn doubts(&self) -> Result<Vec<Doubt>, Error>;
    /// Transactions made durable since the start; each costs one sync.
    fn commits(&self) -> u64;
}

/// How many different pieces of evidence are kept; a stream of lies must not fill the disk (R30).
pub const EVIDENCE_MAX: u64 = 10_000;

/// How many queries are remembered per module.
pub const QUERIES_PER_MODULE_MAX: u32 = 256;

/// What became of a piece of evidence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// It is new and has this number.
    New(u64),
    /// It was known by this number, and was counted.
    Known(u64),
    /// There are too many already; only the total was counted.
    Dropped,
}

/// Evidence without its bytes.
#[derive(Clone, Debug)]
pub struct NewEvidence {
    /// What kind.
    pub kind: EvidenceKind,
    /// The module, or the database's name.
    pub module: String,
    /// The version and file, or empty.
    pub version: String,
    /// What we hold.
    pub recorded: String,
    /// What came.
    pub received: String,
    /// Who sent it.
    pub source: String,
    /// The rest.
    pub detail: String,
    /// The time of day.
    pub now: SystemTime,
}
