//! The store as the rooms above use it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use modkeep_module::{ModulePath, ModuleVersion};

use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::Error;
use crate::evidence::{Evidence, KeptEvidence};
use crate::foreign::Foreign;
use crate::ledger::{Counts, FeedLine, Ledger, Question, StoredAnswer, VersionRecord, Visibility};
use crate::name::{FileKind, Repository};
use crate::scratch::Scratch;
use crate::space::{MinFree, Space};
use crate::verify::{FetchedInfo, FetchedMod, FetchedZip, Verified};

/// Where the store is, and how much of the disk it leaves alone.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; made when missing.
    pub path: PathBuf,
    /// How much space stays free.
    pub min_free: MinFree,
}

/// The files of one version that are to be stored together, all or none.
#[derive(Debug)]
pub struct Parts {
    /// The `.info`.
    pub info: Option<Verified<FetchedInfo>>,
    /// The `.mod`.
    pub go_mod: Option<Verified<FetchedMod>>,
    /// The zip.
    pub zip: Option<Verified<FetchedZip>>,
    /// Who sent them, without credentials.
    pub source: String,
    /// Who may know. A version that was ever private stays private.
    pub visibility: Visibility,
}

impl Parts {
    /// No files yet, of a public version.
    pub fn public(source: impl Into<String>) -> Self {
        Self { info: None, go_mod: None, zip: None, source: source.into(), visibility: Visibility::Public }
    }

    /// No files yet, of a private version.
    pub fn private(source: impl Into<String>) -> Self {
        Self { visibility: Visibility::Private, ..Self::public(source) }
    }
}

/// One version of a batch.
#[derive(Debug)]
pub struct Incoming {
    /// Where.
    pub repository: Repository,
    /// Of what.
    pub version: ModuleVersion,
    /// Its files.
    pub parts: Parts,
}

/// A stored file, open.
#[derive(Debug)]
pub struct StoredFile {
    /// For reading, at its start.
    pub file: File,
    /// In bytes.
    pub size: u64,
    /// What to say as `ETag`, without quotes: `h1-` and base64 for mod and zip, `sha256-` and hexadecimal for
    /// info (P-112).
    pub etag: Arc<str>,
    /// What to say as `Last-Modified`: the version's time, or when we first stored it.
    pub time: SystemTime,
}

/// What the store has cost since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Syncs of files and directories, and one for each ledger transaction.
    pub syncs: u64,
    /// Bytes of blobs made durable.
    pub bytes: u64,
}

/// The durable state of one mirror. Cheap to clone.
///
/// Every `async` call does its work on the runtime's blocking pool; what was started there is finished even when
/// the caller goes away, so all of them are cancel safe.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    blobs: Arc<dyn Blobs>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
}

impl Store {
    /// Opens a data directory as its only writer, making it when it is missing.
    ///
    /// Blocking. On a read-only disk it opens for reading ([`is_writable`](Self::is_writable), R12). The time
    /// taken does not depend on how much is stored (R16). [`Error::Locked`] names the process that is the writer.
    pub fn open(_config: Config, _clock: Arc<dyn Clock>) -> Result<Self, Error> {
        todo!()
    }

    /// The same on another disk. For tests.
    pub fn open_on(_config: Config, _disk: Arc<dyn Disk>, _clock: Arc<dyn Clock>) -> Result<Self, Error> {
        todo!()
    }

    /// Opens for reading only, beside a running writer or on a store at rest. Nothing is written, not even a lock.
    ///
    /// Blocking.
    pub fn open_read_only(_config: Config) -> Result<Self, Error> {
        todo!()
    }

    /// A new scratch file. Blocking, briefly.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        self.0.blobs.scratch()
    }

    /// Stores files of a version: on stable storage and visible when it returns `Ok`; the record is as it is now.
    ///
    /// What is recorded already with the same sum is not written again. Anything else under a recorded name is
    /// [`Error::Conflict`]: nothing of this call is stored, the newcomer is kept as evidence (R3).
    pub async fn commit(
        &self,
        _repository: &Repository,
        _version: &ModuleVersion,
        _parts: Parts,
    ) -> Result<VersionRecord, Error> {
        todo!()
    }

    /// Stores many versions at the price of one ledger transaction and one sync per file and directory. Each is
    /// stored or refused on its own; the outcomes come in the order of the versions.
    pub async fn commit_many(&self, _versions: Vec<Incoming>) -> Vec<Result<VersionRecord, Error>> {
        todo!()
    }

    /// What is known of a version.
    pub async fn version(
        &self,
        _repository: &Repository,
        _version: &ModuleVersion,
    ) -> Result<Option<VersionRecord>, Error> {
        todo!()
    }

    /// Opens a stored file; `None` when it was never stored.
    ///
    /// The first time since the start its bytes are compared with the ledger, afterwards only its size. A file that
    /// is not what was recorded is put aside and is [`Error::Corrupt`] from then on, until a commit of the recorded
    /// bytes repairs it (R13).
    pub async fn open_file(
        &self,
        _repository: &Repository,
        _version: &ModuleVersion,
        _kind: FileKind,
    ) -> Result<Option<StoredFile>, Error> {
        todo!()
    }

    /// All stored versions of a module, in order of first sight.
    pub async fn versions(
        &self,
        _repository: &Repository,
        _module: &ModulePath,
    ) -> Result<Vec<VersionRecord>, Error> {
        todo!()
    }

    /// Modules with a stored version, by path, after one of them; at most `limit`.
    pub async fn modules(
        &self,
        _repository: &Repository,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Vec<ModulePath>, Error> {
        todo!()
    }

    /// How much there is.
    pub async fn counts(&self) -> Result<Counts, Error> {
        todo!()
    }

    /// The last answer to a question about a module.
    pub async fn answer(
        &self,
        _repository: &Repository,
        _module: &ModulePath,
        _question: &Question,
    ) -> Result<Option<StoredAnswer>, Error> {
        todo!()
    }

    /// Keeps a positive answer in place of the one before (D8).
    pub async fn put_answer(
        &self,
        _repository: &Repository,
        _module: &ModulePath,
        _question: &Question,
        _answer: StoredAnswer,
    ) -> Result<(), Error> {
        todo!()
    }

    /// The index feed from a time on (microseconds since 1970, inclusive); at most `limit` lines (R8).
    pub async fn feed(&self, _since_micros: Option<i64>, _limit: u32) -> Result<Vec<FeedLine>, Error> {
        todo!()
    }

    /// The memory of a foreign checksum database. The name is its key's name: `sum.golang.org`.
    pub fn foreign(&self, _name: &str) -> Result<Foreign, Error> {
        todo!()
    }

    /// Keeps a piece of evidence; the same piece again only counts.
    pub async fn keep_evidence(&self, _evidence: Evidence) -> Result<(), Error> {
        todo!()
    }

    /// Kept evidence by number, after one of them (0 for all); at most `limit`.
    pub async fn evidence(&self, _after: u64, _limit: u32) -> Result<Vec<KeptEvidence>, Error> {
        todo!()
    }

    /// Whether writes are possible now: not on a read-only disk, after a failed sync, or without space.
    /// The error says why not. Blocking, briefly.
    pub fn is_writable(&self) -> Result<(), Error> {
        todo!()
    }

    /// Room on the disk. Blocking, briefly.
    pub fn space(&self) -> Result<Space, Error> {
        todo!()
    }

    /// What the store has cost since it was opened.
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// The clock that it was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }
}
