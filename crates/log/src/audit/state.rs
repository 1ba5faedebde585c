//! What an auditor remembers from one run to the next.
//!
//! A folder: `state.json`, replaced by renaming; and the index of names that the search for duplicates keeps. After a
//! crash the state is that of the last save, and whatever lies in the index beyond it is cut off.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use modkeep_tlog::head::HeadError;
use modkeep_tlog::{SignedHead, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::audit::duplicates::{Entry, Index, Manifest};
use crate::audit::evidence::{Evidence, EvidenceError, Found};
use crate::audit::finding::{Finding, Gap};
use crate::audit::{Begin, Checked, Report};

/// Findings that are listed; further ones are counted.
const FINDINGS_MAX: usize = 10_000;
/// Gaps that are listed; further ones are joined to the last.
const GAPS_MAX: usize = 10_000;
/// The form of `state.json`.
const VERSION: u32 = 1;
const FILE: &str = "state.json";

/// An auditor's memory of one log, in a folder of its own.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    kept: Kept,
    index: Index,
    /// Locked while this value lives; released with the process at the latest.
    _lock: File,
}

/// `state.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Kept {
    version: u32,
    log: String,
    /// The note of the newest head that is signed and consistent with all before it.
    head: Option<String>,
    /// The next record to read.
    next: u64,
    /// Names of records before this one are in the index.
    counted: u64,
    findings: Vec<Finding>,
    unlisted: u64,
    gaps: Vec<Gap>,
    index: Manifest,
}

/// Why the state is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system refuses.
    #[error("audit state {place}: {source}")]
    Io {
        /// The file or folder.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what we wrote: damaged, or of a later version.
    #[error("audit state {place}: {reason}; move it away to begin anew")]
    Malformed {
        /// The file.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Another process audits with it.
    #[error("audit state {place}: another audit is at work with it")]
    InUse {
        /// The folder.
        place: String,
    },
    /// The folder belongs to the audit of another log.
    #[error("the audit state is that of {found}, not of {wanted}")]
    OtherLog {
        /// Whose it is.
        found: String,
        /// Who is audited.
        wanted: String,
    },
    /// The saved head does not open with the log's key: damaged, or the key was changed (A5, "Rotation").
    #[error("the saved head: {0}")]
    Head(HeadError),
}

impl State {
    /// Opens the memory of the log of this name, or makes an empty one.
    pub fn open(folder: &Path, log: &str) -> Result<Self, StateError> {
        let place = folder.join(FILE);
        std::fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        let lock = lock(folder)?;
        let kept = match std::fs::read(&place) {
            Ok(bytes) => Kept::parse(&bytes, &place)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::of(log),
            Err(source) => return Err(io_error(&place, source)),
        };
        if kept.log != log {
            return Err(StateError::OtherLog { found: kept.log, wanted: log.to_owned() });
        }
        let index = Index::open(folder, &kept.index).map_err(|source| io_error(folder, source))?;
        Ok(Self { folder: folder.to_owned(), kept, index, _lock: lock })
    }

    /// The newest head that was verified.
    pub fn head(&self, key: &VerifierKey) -> Result<Option<SignedHead>, StateError> {
        let note = self.kept.head.as_deref();
        note.map(|note| SignedHead::open(note.as_bytes(), key).map_err(StateError::Head)).transpose()
    }

    /// Whether no head of this log was verified yet.
    pub fn is_new(&self) -> bool {
        self.kept.head.is_none()
    }

    /// The next record to read.
    pub fn next(&self) -> u64 {
        self.kept.next
    }

    pub(crate) fn counted(&self) -> u64 {
        self.kept.counted
    }

    /// How many findings are known.
    pub(crate) fn findings(&self) -> usize {
        self.kept.findings.len()
    }

    pub(crate) fn believe(&mut self, head: &SignedHead) {
        self.kept.head = Some(String::from_utf8_lossy(head.note()).into_owned());
    }

    /// Places the reader where a run begins.
    pub(crate) fn begin(&mut self, from: Begin) {
        match from {
            Begin::Resume | Begin::Newest => {}
            Begin::Start => {
                (self.kept.next, self.kept.counted) = (0, 0);
                self.kept.gaps.clear();
                self.index.clear();
            }
            Begin::At(record) => {
                let record = record.get();
                if record > self.kept.next {
                    self.miss(Gap::left_out(self.kept.next, record));
                    self.kept.counted = self.kept.counted.max(record);
                }
                self.kept.next = record;
            }
        }
    }

    /// Everything before `next` was read, or is in a gap.
    pub(crate) fn advance(&mut self, next: u64) {
        self.kept.next = next;
        self.kept.counted = self.kept.counted.max(next);
    }

    pub(crate) fn miss(&mut self, gap: Gap) {
        let gaps = &mut self.kept.gaps;
        if gaps.last() == Some(&gap) || (gap.from == gap.to && gaps.contains(&gap)) {
            return;
        }
        let is_long = gaps.len() >= GAPS_MAX;
        match gaps.last_mut() {
            Some(last) if is_long || last.meets(&gap) => last.to = last.to.max(gap.to),
            _ => gaps.push(gap),
        }
    }

    /// Keeps a finding and writes what proves it, unless the same was found before.
    pub(crate) fn keep(&mut self, evidence: &Evidence, found: Found) -> Result<(), EvidenceError> {
        if self.kept.findings.iter().any(|known| known.repeats(&found.finding)) {
            return Ok(());
        }
        if self.kept.findings.len() >= FINDINGS_MAX {
            self.kept.unlisted += 1;
            return Ok(());
        }
        self.kept.findings.push(evidence.write(found)?);
        Ok(())
    }

    /// Keeps a finding that needs no proof.
    pub(crate) fn find(&mut self, finding: Finding) {
        if self.kept.findings.iter().any(|known| known.repeats(&finding)) {
            return;
        }
        if self.kept.findings.len() >= FINDINGS_MAX {
            self.kept.unlisted += 1;
        } else {
            self.kept.findings.push(finding);
        }
    }

    /// Takes in the names of records.
    pub(crate) fn remember(&mut self, entries: &[Entry]) -> Result<(), StateError> {
        self.index.push(entries).map_err(|source| io_error(&self.folder, source))
    }

    pub(crate) fn index(&mut self) -> &mut Index {
        &mut self.index
    }

    /// The folder that it lies in.
    pub(crate) fn failed(&self, source: io::Error) -> StateError {
        io_error(&self.folder, source)
    }

    /// Makes what is known durable.
    pub(crate) fn save(&mut self) -> Result<(), StateError> {
        self.kept.index = self.index.save().map_err(|source| io_error(&self.folder, source))?;
        let place = self.folder.join(FILE);
        let written = write(&self.folder, &place, &self.kept);
        written.map_err(|source| io_error(&place, source))?;
        self.index.sweep(&self.kept.index).map_err(|source| io_error(&self.folder, source))
    }

    pub(crate) fn report(&self, log: &str, checked: Checked, complete: bool) -> Report {
        let text = self.kept.head.as_deref().and_then(|note| note.split_once("\n\n"));
        let head = text.and_then(|(text, _)| modkeep_tlog::TreeHead::parse(&format!("{text}\n")).ok());
        Report {
            log: log.to_owned(),
            head,
            checked,
            findings: self.kept.findings.clone(),
            unlisted: self.kept.unlisted,
            gaps: self.kept.gaps.clone(),
            complete,
        }
    }
}

impl Kept {
    fn of(log: &str) -> Self {
        Self {
            version: VERSION,
            log: log.to_owned(),
            head: None,
            next: 0,
            counted: 0,
            findings: Vec::new(),
            unlisted: 0,
            gaps: Vec::new(),
            index: Manifest::default(),
        }
    }

    fn parse(bytes: &[u8], place: &Path) -> Result<Self, StateError> {
        let malformed = |reason: String| StateError::Malformed { place: place.display().to_string(), reason };
        let kept: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if kept.version == VERSION { Ok(kept) } else { Err(malformed(format!("version {}", kept.version))) }
    }
}

/// One audit at a time: two would each undo what the other has saved.
fn lock(folder: &Path) -> Result<File, StateError> {
    let place = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&place);
    let file = file.map_err(|source| io_error(&place, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StateError::InUse { place: folder.display().to_string() })
        }
        Err(std::fs::TryLockError::Error(source)) => Err(io_error(&place, source)),
    }
}

/// Another name, synced, renamed over the old one.
fn write(folder: &Path, place: &Path, kept: &Kept) -> io::Result<()> {
    let temporary = folder.join("state.json.new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(kept)?)?;
    file.sync_all()?;
    std::fs::rename(&temporary, place)?;
    File::open(folder)?.sync_all()
}

fn io_error(place: &Path, source: io::Error) -> StateError {
    StateError::Io { place: place.display().to_string(), source }
}
