//! The door of the store: what was fetched becomes [`Verified`], or stays outside (D5).
//!
//! There are three doors for a `.mod` or a zip: a [proof](Verified::against_proof) of a checksum database, our own
//! [record](Verified::against_record), and [first sight](Verified::at_first_sight) where nobody vouches for the
//! path. An `.info`, which no database covers, has its [own](Verified::info): its form and the version it names.
//!
//! Nobody else can claim it:
//!
//! ```compile_fail
//! # fn forge(zip: modkeep_store::FetchedZip) {
//! let forged = modkeep_store::Verified { fetched: zip, basis: modkeep_store::Basis::Record };
//! # }
//! ```
//!
//! and what was merely fetched is not accepted in its place:
//!
//! ```compile_fail
//! # fn forget(zip: modkeep_store::FetchedZip) -> modkeep_store::Parts {
//! modkeep_store::Parts { zip: Some(zip), ..modkeep_store::Parts::public("example") }
//! # }
//! ```

mod build;

use std::fmt;
use std::sync::Arc;

use modkeep_module::info::InfoError;
use modkeep_module::zip::{self, Anomaly, Limits, ZipError, ZipFacts};
use modkeep_module::{H1, Info, ModulePath, ModuleVersion, Version};
use modkeep_tlog::client::ProvenRecord;

use crate::error::Error;
use crate::evidence::{Evidence, EvidenceKind};
use crate::name::{FileKind, Sha256Sum};
use crate::scratch::Scratch;

pub use build::ZipSink;

/// A zip that came from somewhere, read and summed. No promise yet that it is the right one.
#[derive(Debug)]
pub struct FetchedZip {
    version: ModuleVersion,
    scratch: Scratch,
    facts: ZipFacts,
    sha256: Sha256Sum,
}

/// Why bytes are no zip of the version.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They break a rule of module-zip.md section 8.
    #[error("{}", .0.error)]
    Zip(Box<BrokenZip>),
    /// The bytes could not be read at all: no verdict about them.
    #[error("scratch file: {0}")]
    Scratch(#[source] Arc<std::io::Error>),
    /// The scratch file could not be read back.
    #[error(transparent)]
    Store(#[from] Error),
}

impl FetchedZip {
    /// Reads the bytes back from the disk, checks them by Go's rules and computes the `h1:`.
    ///
    /// Blocking: inflates the whole archive once.
    pub fn read(scratch: Scratch, version: &ModuleVersion) -> Result<Self, Unreadable> {
        let file = scratch.reader()?;
        let facts = match zip::check(&file, scratch.len(), version, &Limits::default()) {
            Ok(facts) => facts,
            Err(ZipError::Read(error)) => return Err(Unreadable::Scratch(error)),
            Err(error) => {
                let broken = BrokenZip { version: version.clone(), error, scratch };
                return Err(Unreadable::Zip(Box::new(broken)));
            }
        };
        let sha256 = scratch.sha256();
        Ok(Self { version: version.clone(), scratch, facts, sha256 })
    }

    /// What the archive holds.
    pub fn facts(&self) -> &ZipFacts {
        &self.facts
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.scratch.len()
    }

    pub(crate) fn sha256(&self) -> Sha256Sum {
        self.sha256
    }

    pub(crate) fn into_scratch(self) -> Scratch {
        self.scratch
    }
}

/// Bytes that came as a zip of the version and are none. They have no `h1:`, so whatever sum is on record for the zip,
/// they contradict it (H07).
#[derive(Debug)]
pub struct BrokenZip {
    version: ModuleVersion,
    error: ZipError,
    scratch: Scratch,
}

impl BrokenZip {
    /// Whose zip they claim to be.
    pub fn version(&self) -> &ModuleVersion {
        &self.version
    }

    /// The rule that they break; never [`ZipError::Read`].
    pub fn error(&self) -> &ZipError {
        &self.error
    }

    /// What they are in the face of a proven record of a checksum database.
    pub fn against_proof(self, proof: &ProvenRecord) -> Mismatch {
        let (log, id) = (proof.log_name().into(), proof.id().get());
        let recorded = proof.zip_h1().map(H1::from_bytes).filter(|_| is_about(proof, &self.version));
        self.mismatch(recorded_text(recorded, proof), Some(log), Some(id))
    }

    /// What they are in the face of our own record.
    pub fn against_record(self, recorded: &Recorded) -> Mismatch {
        self.mismatch(recorded.h1.to_string(), None, None)
    }

    fn mismatch(self, recorded: String, authority: Option<Arc<str>>, record_id: Option<u64>) -> Mismatch {
        Mismatch {
            received: format!("no readable zip: {}", self.error),
            version: self.version,
            kind: FileKind::Zip,
            recorded,
            authority,
            record_id,
            body: Box::new(Body::Scratch(self.scratch)),
        }
    }
}

/// A `.mod` that came from somewhere. No promise yet that it is the right one.
#[derive(Clone, Debug)]
pub struct FetchedMod {
    version: ModuleVersion,
    bytes: Vec<u8>,
    h1: H1,
}

impl FetchedMod {
    /// Sums the bytes. Any text may be a go.mod; only its sum decides (G02).
    pub fn new(bytes: Vec<u8>, version: &ModuleVersion) -> Self {
        let h1 = H1::of_go_mod(&bytes);
        Self { version: version.clone(), bytes, h1 }
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// An `.info` that came from somewhere, read, and naming the version that was asked for.
#[derive(Clone, Debug)]
pub struct FetchedInfo {
    version: ModuleVersion,
    bytes: Vec<u8>,
    info: Info,
}

/// Why bytes are no `.info` of the version (G08).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnfitInfo {
    /// They are no `.info` at all.
    #[error(transparent)]
    Form(#[from] InfoError),
    /// They name another version.
    #[error("info names version {found}, not {asked}")]
    OtherVersion {
        /// The version asked for.
        asked: ModuleVersion,
        /// The version named.
        found: Version,
    },
}

impl FetchedInfo {
    /// Reads the answer (G08); it has to name exactly this version. What is kept is the upstream's bytes, unless
    /// their origin carries a secret (G09).
    pub fn new(bytes: Vec<u8>, version: &ModuleVersion) -> Result<Self, UnfitInfo> {
        let info = Info::parse(&bytes)?;
        if info.version() != version.version() {
            return Err(UnfitInfo::OtherVersion { asked: version.clone(), found: info.version().clone() });
        }
        let bytes = info.sanitized(&bytes);
        Ok(Self { version: version.clone(), bytes, info })
    }

    /// The file as it will be stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub fn info(&self) -> &Info {
        &self.info
    }

    pub(crate) fn version(&self) -> &ModuleVersion {
        &self.version
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::FetchedZip {}
    impl Sealed for super::FetchedMod {}
}

/// Something fetched that has a sum: a `.mod` or a zip. Nobody else can be one.
pub trait Fetched: sealed::Sealed + Sized {
    /// Which file it is.
    const KIND: FileKind;
    /// Whose file it claims to be.
    fn version(&self) -> &ModuleVersion;
    /// Its sum, computed from its bytes.
    fn h1(&self) -> H1;
    /// Where readers could disagree about it.
    fn anomalies(&self) -> &[Anomaly];
    /// The bytes, to be kept as evidence.
    fn into_body(self) -> Body;
}

/// The bytes of something that was refused.
#[derive(Debug)]
pub enum Body {
    /// A short one.
    Memory(Vec<u8>),
    /// A long one, still in its scratch file.
    Scratch(Scratch),
}

impl Fetched for FetchedZip {
    const KIND: FileKind = FileKind::Zip;

    fn version(&self) -> &ModuleVersion {
        &self.version
    }

    fn h1(&self) -> H1 {
        self.facts.h1
    }

    fn anomalies(&self) -> &[Anomaly] {
        &self.facts.anomalies
    }

    fn into_body(self) -> Body {
        Body::Scratch(self.scratch)
    }
}

impl Fetched for FetchedMod {
    const KIND: FileKind = FileKind::Mod;

    fn version(&self) -> &ModuleVersion {
        &self.version
    }

    fn h1(&self) -> H1 {
        self.h1
    }

    fn anomalies(&self) -> &[Anomaly] {
        &[]
    }

    fn into_body(self) -> Body {
        Body::Memory(self.bytes)
    }
}

/// A sum that our own ledger holds for one file of one version. Only the store hands it out
/// ([`VersionRecord::recorded`](crate::VersionRecord::recorded)).
#[derive(Clone, Debug)]
pub struct Recorded {
    pub(crate) module: ModulePath,
    pub(crate) version: Version,
    pub(crate) kind: FileKind,
    pub(crate) h1: H1,
}

impl Recorded {
    /// The sum.
    pub fn h1(&self) -> H1 {
        self.h1
    }
}

/// Why nobody but the source itself vouches for what came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FirstSight {
    /// The configuration switches checking off for the path (GONOSUMDB, GOPRIVATE), or altogether.
    UncheckedPath,
    /// It was imported by an operator who vouches for it.
    Import,
    /// It was built here from its origin.
    Origin,
}

/// On whose word a file was accepted. Kept in the ledger beside its sum.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Basis {
    /// Its sum equals the one that our ledger had.
    Record,
    /// A checksum database's record proves it.
    Proof {
        /// The database's name.
        log: Arc<str>,
        /// The record.
        id: u64,
    },
    /// Nobody's but the source's.
    FirstSight(FirstSight),
    /// Its form only: an `.info`.
    Form,
}

impl Basis {
    /// Whether a checksum database, or a record that needed one, stands behind it.
    pub fn is_certified(&self) -> bool {
        matches!(self, Self::Proof { .. })
    }

    /// Reads the form that [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let basis = match (words.next()?, words.next(), words.next()) {
            ("record", None, None) => Self::Record,
            ("form", None, None) => Self::Form,
            ("proof", Some(log), Some(id)) => Self::Proof { log: log.into(), id: id.parse().ok()? },
            ("first-sight", Some("unchecked-path"), None) => Self::FirstSight(FirstSight::UncheckedPath),
            ("first-sight", Some("import"), None) => Self::FirstSight(FirstSight::Import),
            ("first-sight", Some("origin"), None) => Self::FirstSight(FirstSight::Origin),
            _ => return None,
        };
        words.next().is_none().then_some(basis)
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("record"),
            Self::Form => f.write_str("form"),
            Self::Proof { log, id } => write!(f, "proof {log} {id}"),
            Self::FirstSight(FirstSight::UncheckedPath) => f.write_str("first-sight unchecked-path"),
            Self::FirstSight(FirstSight::Import) => f.write_str("first-sight import"),
            Self::FirstSight(FirstSight::Origin) => f.write_str("first-sight origin"),
        }
    }
}

/// Bytes that passed one of the doors. The field is private, so nobody else can claim it.
#[derive(Debug)]
pub struct Verified<T> {
    fetched: T,
    basis: Basis,
}

/// What came does not have the sum that it should have. Never retried, never stored; the bytes are evidence (R4).
#[derive(Debug, thiserror::Error)]
#[error("{version}: {kind}: checksum mismatch: {} has {recorded}, received {received}", .authority.as_deref().unwrap_or("our record"))]
pub struct Mismatch {
    /// The version asked for.
    pub version: ModuleVersion,
    /// Which of its files.
    pub kind: FileKind,
    /// The sum that it should have, or what the record is about when it is about something else.
    pub recorded: String,
    /// The sum of what came, as `h1:…`; of bytes that are no zip, `no readable zip: ` and why.
    pub received: String,
    /// The checksum database that says so; `None` is our own ledger.
    pub authority: Option<Arc<str>>,
    /// The database's record.
    pub record_id: Option<u64>,
    body: Box<Body>,
}

impl Mismatch {
    /// What to keep of it, bytes included.
    pub fn into_evidence(self, source: &str) -> Evidence {
        Evidence {
            detail: match (&self.authority, self.record_id) {
                (Some(log), Some(id)) => format!("record {id} of {log}"),
                _ => "our own record".to_owned(),
            },
            kind: EvidenceKind::Mismatch,
            module: self.version.path().as_str().to_owned(),
            version: format!("{}.{}", self.version.version(), self.kind),
            recorded: self.recorded,
            received: self.received,
            source: source.to_owned(),
            body: Some(*self.body),
        }
    }
}

/// A zip that two honest readers could read differently, and nobody certifies (D16).
#[derive(Debug, thiserror::Error)]
#[error("{version}: ambiguous zip: {}", .anomalies.first().map_or_else(String::new, ToString::to_string))]
pub struct Anomalous {
    /// The version asked for.
    pub version: ModuleVersion,
    /// What is ambiguous; at least one.
    pub anomalies: Vec<Anomaly>,
    body: Box<Body>,
}

impl Anomalous {
    /// What to keep of it, bytes included.
    pub fn into_evidence(self, source: &str) -> Evidence {
        Evidence {
            kind: EvidenceKind::Anomalous,
            module: self.version.path().as_str().to_owned(),
            version: format!("{}.zip", self.version.version()),
            recorded: String::new(),
            received: String::new(),
            source: source.to_owned(),
            detail: self.to_string(),
            body: Some(*self.body),
        }
    }
}

#[allow(clippy::result_large_err)] // met once per refused download; a box would only move it
impl<T: Fetched> Verified<T> {
    /// The door of the checksum database: the sum is the one that a proven record has for this very version.
    pub fn against_proof(fetched: T, proof: &ProvenRecord) -> Result<Self, Mismatch> {
        let same = is_about(proof, fetched.version());
        let line = match T::KIND {
            FileKind::Zip => proof.zip_h1(),
            FileKind::Mod | FileKind::Info => proof.go_mod_h1(),
        };
        let recorded = line.map(H1::from_bytes).filter(|_| same);
        let log: Arc<str> = proof.log_name().into();
        let id = proof.id().get();
        if recorded == Some(fetched.h1()) {
            return Ok(Self { fetched, basis: Basis::Proof { log, id } });
        }
        Err(mismatch(fetched, recorded_text(recorded, proof), Some(log), Some(id)))
    }

    /// The door of our own record: the sum is the one that the ledger has for this very file.
    pub fn against_record(fetched: T, recorded: &Recorded) -> Result<Self, Mismatch> {
        let version = fetched.version();
        let same = recorded.kind == T::KIND
            && recorded.module == *version.path()
            && recorded.version == *version.version();
        if same && recorded.h1 == fetched.h1() {
            return Ok(Self { fetched, basis: Basis::Record });
        }
        let text = if same {
            recorded.h1.to_string()
        } else {
            format!("a record about {}@{}.{}", recorded.module, recorded.version, recorded.kind)
        };
        Err(mismatch(fetched, text, None, None))
    }

    /// The door where nobody vouches: only a zip that all readers read alike passes (D16).
    pub fn at_first_sight(fetched: T, why: FirstSight) -> Result<Self, Anomalous> {
        if fetched.anomalies().is_empty() {
            return Ok(Self { fetched, basis: Basis::FirstSight(why) });
        }
        let (version, anomalies) = (fetched.version().clone(), fetched.anomalies().to_vec());
        Err(Anomalous { version, anomalies, body: Box::new(fetched.into_body()) })
    }
}

/// Whether the record is one of this very version.
fn is_about(proof: &ProvenRecord, version: &ModuleVersion) -> bool {
    proof.module() == version.path().as_str() && proof.version() == version.version().as_str()
}

/// The recorded sum, or what the record is about when it is about something else.
fn recorded_text(recorded: Option<H1>, proof: &ProvenRecord) -> String {
    recorded
        .map_or_else(|| format!("a record about {}@{}", proof.module(), proof.version()), |h1| h1.to_string())
}

fn mismatch<T: Fetched>(
    fetched: T,
    recorded: String,
    authority: Option<Arc<str>>,
    record_id: Option<u64>,
) -> Mismatch {
    let (version, received) = (fetched.version().clone(), fetched.h1().to_string());
    Mismatch {
        version,
        kind: T::KIND,
        recorded,
        received,
        authority,
        record_id,
        body: Box::new(fetched.into_body()),
    }
}

impl Verified<FetchedInfo> {
    /// The door of an `.info`: it was read and names the version; no database covers more.
    pub fn info(fetched: FetchedInfo) -> Self {
        Self { fetched, basis: Basis::Form }
    }
}

impl<T> Verified<T> {
    /// What passed.
    pub fn fetched(&self) -> &T {
        &self.fetched
    }

    /// On whose word.
    pub fn basis(&self) -> &Basis {
        &self.basis
    }

    pub(crate) fn into_fetched(self) -> T {
        self.fetched
    }
}

/// The sum of all bytes of a file, from its start.
pub(crate) fn sha256_of(mut file: std::fs::File) -> std::io::Result<Sha256Sum> {
    use sha2::Digest;
    use std::io::Read;
    // 128 KiB: large enough that the system calls do not show, small enough for many at once (R21).
    let mut buffer = vec![0; 128 << 10];
    let mut sum = sha2::Sha256::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Sum::from_bytes(sum.finalize().into())),
            read => sum.update(&buffer[..read]),
        }
    }
}
