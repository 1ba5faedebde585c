//! The store as the rooms above use it.

mod commit;
mod open;

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modkeep_module::info::Timestamp;
use modkeep_module::{H1, ModulePath, ModuleVersion};

pub(crate) use open::{LEDGER, LOCK};

use open::Later;

use crate::blobs::{Blobs, Room};
use crate::clock::Clock;
use crate::error::Error;
use crate::evidence::{Evidence, KeptEvidence};
use crate::foreign::Foreign;
use crate::ledger::{
    Asked, Counts, FeedLine, Ledger, Quarantined, Question, StoredAnswer, VersionRecord, Visibility,
};
use crate::log::{LogStore, LogTuning};
use crate::name::{BlobName, FileKind, Repository};
use crate::origins::{Broken, OriginState};
use crate::scratch::Scratch;
use crate::space::{MinFree, Space};
use crate::verify::{FetchedInfo, FetchedMod, FetchedZip, Verified, sha256_of};
use crate::workspace::{Workspace, Workspaces};

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
    /// When the version was made, as its `.info` says; nothing while no `.info` with a time is here (P-112).
    pub time: Option<SystemTime>,
    /// What became of the version at its origin, if it does not stand there any more.
    pub origin: Option<OriginState>,
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
pub(crate) struct Inner {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    room: Arc<Room>,
    workspaces: Arc<Workspaces>,
    pub(crate) broken: Broken,
    checked: Mutex<Checked>,
    /// Open as long as somebody holds it.
    log: Mutex<Weak<crate::log::read::Inner>>,
    stripes: [Mutex<()>; STRIPES],
    hasher: RandomState,
    /// What is opened for writing once there is room, where there was none at the start.
    later: Option<Later>,
    /// The writer's lock. Last, so that it is let go after the ledger is closed.
    _lock: Option<File>,
}

/// Versions that share a lock with others: enough that two at work rarely meet.
const STRIPES: usize = 64;

/// Files whose bytes were compared with the ledger since the start: 64 versions by three kinds to a page (R13).
///
/// It grows with the versions that were opened, three bits each.
#[derive(Debug, Default)]
struct Checked(HashMap<u64, [u64; 3]>);

impl Checked {
    fn place(id: u64, kind: FileKind) -> (u64, usize, u64) {
        (id / 64, kind as usize, 1 << (id % 64))
    }

    fn contains(&self, id: u64, kind: FileKind) -> bool {
        let (page, row, bit) = Self::place(id, kind);
        self.0.get(&page).is_some_and(|page| page[row] & bit != 0)
    }

    fn set(&mut self, id: u64, kind: FileKind, checked: bool) {
        let (page, row, bit) = Self::place(id, kind);
        let word = &mut self.0.entry(page).or_default()[row];
        *word = if checked { *word | bit } else { *word & !bit };
    }
}

/// Runs work on the blocking pool. It is finished even when the caller goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Closed),
        },
    }
}

impl Store {
    /// A new scratch file. Blocking, briefly.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        self.0.blobs.scratch()
    }

    /// Holds the folder of derived data for one repository, named by its system and URL (`git:https://...`).
    ///
    /// It is `work/origins/<sha256 of the name, hex>/` and may be emptied whenever nobody holds it. A store that
    /// takes no writes has none: [`Error::ReadOnly`]. Blocking, briefly.
    pub fn workspace(&self, name: &str) -> Result<Workspace, Error> {
        self.0.workspaces.hold(self.0.room.clone(), name)
    }

    /// How many bytes all workspaces together may hold; 2 GiB unless told otherwise. Those in use are never emptied,
    /// so it can be exceeded as long as they are. Blocking, briefly.
    pub fn set_work_bytes_max(&self, bytes_max: u64) {
        self.0.workspaces.set_bytes_max(bytes_max);
    }

    /// Stores files of a version: on stable storage and visible when it returns `Ok`; the record is as it is now.
    ///
    /// What is recorded already with the same sum is not written again. Anything else under a recorded name is
    /// [`Error::Conflict`]: nothing of this call is stored, the newcomer is kept as evidence (R3).
    pub async fn commit(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        parts: Parts,
    ) -> Result<VersionRecord, Error> {
        let one = Incoming { repository: repository.clone(), version: version.clone(), parts };
        self.commit_many(vec![one]).await.pop().unwrap_or(Err(Error::Closed))
    }

    /// Stores many versions at the price of one ledger transaction and one sync per file and directory. Each is
    /// stored or refused on its own; the outcomes come in the order of the versions.
    pub async fn commit_many(&self, versions: Vec<Incoming>) -> Vec<Result<VersionRecord, Error>> {
        let (inner, count) = (self.0.clone(), versions.len());
        blocking(move || Ok(inner.commit_many(versions)))
            .await
            .unwrap_or_else(|error| vec![Err(error); count])
    }

    /// What is known of a version.
    pub async fn version(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
    ) -> Result<Option<VersionRecord>, Error> {
        let (inner, repository, version) = (self.0.clone(), repository.clone(), version.clone());
        blocking(move || inner.ledger.version(&repository, &version)).await
    }

    /// Opens a stored file; `None` when it was never stored.
    ///
    /// The first time since the start its bytes are compared with the ledger, afterwards only its size. A file that
    /// is not what was recorded is put aside and is [`Error::Corrupt`] from then on, until a commit of the recorded
    /// bytes repairs it (R13).
    pub async fn open_file(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Option<StoredFile>, Error> {
        let (inner, repository, version) = (self.0.clone(), repository.clone(), version.clone());
        blocking(move || inner.open_file(&repository, &version, kind)).await
    }

    /// [`open_file`](Self::open_file) for whoever is on the blocking pool already.
    pub fn open_file_blocking(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Option<StoredFile>, Error> {
        self.0.open_file(repository, version, kind)
    }

    /// All stored versions of a module, in order of first sight.
    pub async fn versions(
        &self,
        repository: &Repository,
        module: &ModulePath,
    ) -> Result<Vec<VersionRecord>, Error> {
        let (inner, repository, module) = (self.0.clone(), repository.clone(), module.clone());
        blocking(move || inner.ledger.versions(&repository, &module)).await
    }

    /// Modules with a stored version, by path, after one of them; at most `limit`.
    pub async fn modules(
        &self,
        repository: &Repository,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModulePath>, Error> {
        let (inner, repository, after) = (self.0.clone(), repository.clone(), after.map(str::to_owned));
        blocking(move || inner.ledger.modules(&repository, after.as_deref(), limit)).await
    }

    /// How much there is.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let inner = self.0.clone();
        blocking(move || inner.ledger.counts()).await
    }

    /// The last answer to a question about a module.
    pub async fn answer(
        &self,
        repository: &Repository,
        module: &ModulePath,
        question: &Question,
    ) -> Result<Option<StoredAnswer>, Error> {
        let (inner, repository, module, question) =
            (self.0.clone(), repository.clone(), module.clone(), question.clone());
        blocking(move || {
            inner.ledger.answer(Asked { repository: &repository, module: &module, question: &question })
        })
        .await
    }

    /// Keeps a positive answer in place of the one before (D8).
    pub async fn put_answer(
        &self,
        repository: &Repository,
        module: &ModulePath,
        question: &Question,
        answer: StoredAnswer,
    ) -> Result<(), Error> {
        let (inner, repository, module, question) =
            (self.0.clone(), repository.clone(), module.clone(), question.clone());
        blocking(move || {
            inner.room.admit(answer.bytes.len() as u64)?;
            let asked = Asked { repository: &repository, module: &module, question: &question };
            inner.watched(inner.ledger.put_answer(asked, answer))
        })
        .await
    }

    /// The index feed from a time on (microseconds since 1970, inclusive); at most `limit` lines (R8).
    pub async fn feed(&self, since_micros: Option<i64>, limit: u32) -> Result<Vec<FeedLine>, Error> {
        let inner = self.0.clone();
        blocking(move || inner.ledger.feed(since_micros, limit)).await
    }

    /// The memory of a foreign checksum database. The name is its key's name: `sum.golang.org`.
    pub fn foreign(&self, name: &str) -> Result<Foreign, Error> {
        Foreign::new(self.0.clone(), name)
    }

    /// The matter of our own checksum database. Made when it is missing, unless the store takes no writes:
    /// [`Error::ReadOnly`] then. Blocking.
    pub fn log(&self) -> Result<LogStore, Error> {
        self.log_tuned(LogTuning::default())
    }

    /// [`log`](Self::log) with a key index kept in another way. Only the first call of a process can choose it.
    pub fn log_tuned(&self, tuning: LogTuning) -> Result<LogStore, Error> {
        let mut open = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inner) = open.upgrade() {
            return Ok(LogStore(inner));
        }
        let log = LogStore::open(self.0.clone(), tuning)?;
        *open = Arc::downgrade(&log.0);
        Ok(log)
    }

    /// Whether there is a log in the data directory.
    pub fn has_log(&self) -> bool {
        let room = &self.0.room;
        room.disk().stat(&room.root().join(crate::log::FOLDER)).is_ok()
    }

    /// Versions whose `.mod` and zip are here and that the log was not yet told of, in the order in which they became
    /// complete, after one of them (0 for all); at most `limit`. A version's number is [`VersionRecord::id`].
    pub async fn log_pending(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(Repository, VersionRecord)>, Error> {
        let inner = self.0.clone();
        blocking(move || inner.ledger.log_pending(after, limit)).await
    }

    /// The log knows these versions now.
    pub async fn settle_log_pending(&self, ids: Vec<u64>) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || inner.watched(inner.ledger.settle_log_pending(&ids))).await
    }

    /// Puts a stored file aside, whose bytes are what was recorded and are not to be served: a checksum database has
    /// other sums (C7). From then on it is [`Error::Corrupt`] to whoever opens it. One that is aside already, or was never
    /// stored, stays as it is.
    pub async fn put_aside(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
        reason: &str,
    ) -> Result<(), Error> {
        let (inner, repository, version) = (self.0.clone(), repository.clone(), version.clone());
        let reason = reason.to_owned();
        blocking(move || match inner.ledger.version(&repository, &version)? {
            Some(record) if record.has(kind) => {
                inner.put_aside_alone(&repository, &version, record.id, kind, &reason)
            }
            _ => Ok(()),
        })
        .await
    }

    /// Keeps a piece of evidence; the same piece again only counts.
    pub async fn keep_evidence(&self, evidence: Evidence) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || inner.keep_evidence(evidence)).await
    }

    /// Kept evidence by number, after one of them (0 for all); at most `limit`.
    pub async fn evidence(&self, after: u64, limit: u32) -> Result<Vec<KeptEvidence>, Error> {
        let inner = self.0.clone();
        blocking(move || inner.ledger.evidence(after, limit)).await
    }

    /// Files that were put aside, oldest first (R13).
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, Error> {
        let inner = self.0.clone();
        blocking(move || inner.ledger.quarantined()).await
    }

    /// Whether it was opened on a full disk and takes no writes yet; see [`resume`](Self::resume).
    pub fn waits_for_room(&self) -> bool {
        self.0.room.waits_for_room().is_some()
    }

    /// Takes writes from now on, where the disk was full at the start and has room now (R11); the log too.
    /// [`Error::DiskFull`] as long as it has none. Of no effect where writes were possible all the time.
    pub async fn resume(&self) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || inner.resume()).await
    }

    /// Whether writes are possible now: not on a read-only disk, after a failed sync, or without space; also not
    /// with less than 64 KiB free, the least that a commit needs, nor as long as no space was freed since a write
    /// found none. The error says why not. Blocking, briefly.
    pub fn is_writable(&self) -> Result<(), Error> {
        self.0.room.ready()
    }

    /// Room on the disk. Blocking, briefly.
    pub fn space(&self) -> Result<Space, Error> {
        self.0.room.space()
    }

    /// What the store has cost since it was opened.
    pub fn usage(&self) -> Usage {
        let (syncs, bytes) = self.0.room.usage();
        Usage { syncs: syncs + self.0.ledger.commits(), bytes }
    }

    /// The clock that it was opened with.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    /// Passes an outcome of the ledger on; when it says that it takes no more writes, neither do the blobs (R10).
    /// The end of every write, so it also knows whether the disk was full at the last one.
    pub(crate) fn watched<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Ok(_) => self.room.note_written(),
            // A ledger that was opened on a full disk for reading says no more than that.
            Err(Error::ReadOnly { .. }) if self.room.waits_for_room().is_some() => {}
            Err(Error::ReadOnly { reason }) => self.room.close(reason),
            Err(Error::DiskFull { .. }) => self.room.note_full(),
            Err(_) => {}
        }
        outcome
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    pub(crate) fn shared_room(&self) -> &Arc<Room> {
        &self.room
    }

    /// The locks of some versions, so that no two commits, and no commit and quarantine, work on one version at a time.
    /// Taken in one order by everybody.
    fn lock<'a>(
        &self,
        versions: impl Iterator<Item = (&'a Repository, &'a ModuleVersion)>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let stripe = |version| usize::try_from(self.hasher.hash_one(version) % STRIPES as u64).unwrap_or(0);
        let mut stripes: Vec<usize> = versions.map(stripe).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes
            .into_iter()
            .map(|stripe| self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    /// The lock of a foreign database: the same files must not be put twice at once, nor put and put aside.
    pub(crate) fn lock_foreign(&self, database: &str) -> MutexGuard<'_, ()> {
        let stripe = usize::try_from(self.hasher.hash_one(database) % STRIPES as u64).unwrap_or(0);
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_file(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Option<StoredFile>, Error> {
        let Some(record) = self.ledger.version(repository, version)? else { return Ok(None) };
        if record.bytes(kind).is_none() {
            return Ok(None);
        }
        match self.open_recorded(repository, version, &record, kind) {
            // Look again, alone: another caller may have put it aside or repaired it meanwhile.
            Err(Error::Corrupt { .. }) => self.open_or_put_aside(repository, version, kind),
            other => other.map(Some),
        }
    }

    /// Opens a file and compares it with its record; [`Error::Corrupt`] when it is not what was recorded.
    fn open_recorded(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        record: &VersionRecord,
        kind: FileKind,
    ) -> Result<StoredFile, Error> {
        let name = BlobName::of_version(repository, version, kind)?;
        let corrupt = |reason: &str| Error::Corrupt { name: name.to_string(), reason: reason.to_owned() };
        let bytes = record.bytes(kind).ok_or_else(|| corrupt("not recorded"))?;
        if bytes.quarantined {
            return Err(corrupt("put aside earlier"));
        }
        let file = self.blobs.open(&name)?.ok_or_else(|| corrupt("the file is gone"))?;
        let failed = |error| Error::io("read", &name.below(self.room.root()), error);
        let size = file.metadata().map_err(failed)?.len();
        if size != bytes.size {
            return Err(corrupt(&format!("{size} bytes instead of {}", bytes.size)));
        }
        if !self.checked().contains(record.id, kind) {
            let reader = self.blobs.open(&name)?.ok_or_else(|| corrupt("the file is gone"))?;
            let sum = sha256_of(reader).map_err(failed)?;
            if sum != bytes.sha256 {
                return Err(corrupt(&format!("its SHA-256 is {sum} instead of {}", bytes.sha256)));
            }
            self.checked().set(record.id, kind, true);
        }
        let etag = match bytes.h1 {
            Some(h1) => etag_of(h1),
            None => format!("sha256-{}", bytes.sha256),
        };
        let time = record.time.and_then(system_time);
        let origin = self.broken.state(version);
        Ok(StoredFile { file, size, etag: etag.into(), time, origin })
    }

    fn open_or_put_aside(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Option<StoredFile>, Error> {
        let _alone = self.lock(std::iter::once((repository, version)));
        let Some(record) = self.ledger.version(repository, version)? else { return Ok(None) };
        self.checked().set(record.id, kind, false);
        let error = match self.open_recorded(repository, version, &record, kind) {
            Err(error @ Error::Corrupt { .. }) => error,
            other => return other.map(Some),
        };
        if let (true, Error::Corrupt { name, reason }) = (record.has(kind), &error) {
            tracing::error!(id = "R13", blob = %name, reason, "stored bytes are damaged");
            // On a disk that takes no writes the bytes stay where they are; they are not served either way.
            if self.room.writable().is_ok() {
                self.put_aside(&BlobName::parse(name)?, reason, Some((record.id, kind)))?;
            }
        }
        Err(error)
    }

    /// Puts a file of a version aside while nobody else works on the version.
    pub(crate) fn put_aside_alone(
        &self,
        repository: &Repository,
        version: &ModuleVersion,
        id: u64,
        kind: FileKind,
        reason: &str,
    ) -> Result<(), Error> {
        let _alone = self.lock(std::iter::once((repository, version)));
        self.checked().set(id, kind, false);
        self.put_aside(&BlobName::of_version(repository, version, kind)?, reason, Some((id, kind)))
    }

    /// Moves a blob into quarantine and says so in the ledger.
    pub(crate) fn put_aside(
        &self,
        name: &BlobName,
        reason: &str,
        of: Option<(u64, FileKind)>,
    ) -> Result<(), Error> {
        let kept_as = if self.blobs.open(name).is_ok_and(|found| found.is_none()) {
            String::new()
        } else {
            self.blobs.put_aside(name)?
        };
        let what =
            Quarantined { name: name.to_string(), kept_as, reason: reason.to_owned(), at: self.clock.now() };
        self.watched(self.ledger.quarantine(what, of))
    }
}

/// `h1:` and base64 with a dash for the colon, as the protocol's own servers write it (P-112).
fn etag_of(h1: H1) -> String {
    h1.to_string().replacen(':', "-", 1)
}

/// A stated time, where the platform can express it.
fn system_time(time: Timestamp) -> Option<SystemTime> {
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let whole = if time.secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    whole?.checked_add(Duration::from_nanos(u64::from(time.nanos)))
}
