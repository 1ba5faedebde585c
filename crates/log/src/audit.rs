//! An auditor of any checksum database: it believes one key, and from there on nothing that it has not hashed.
//!
//! It shares no code with the sequencer: a mistake of the writer's is not repeated here. What an audit does:
//!
//! 1. opens the newest head with the log's key, and compares it with the head that the last audit ended with: a fork,
//!    or a log that has become smaller, is found before anything else is read;
//! 2. goes from that head's root down: the tiles on the edge must fold to the root, every other hash tile must fold to
//!    its entry in the tile above it, and every record must hash to its entry in a tile of the lowest row. So each hash
//!    is compared with its children and each record with the signed root (A4);
//! 3. reads every record by the grammar (A1, A2) and remembers a short hash of its module and version; two records of
//!    one name are a finding (A1, rule 1);
//! 4. on request looks records up as the go command does, and compares with what a mirror holds.
//!
//! The [`State`] remembers how far it came, so that the next audit, or the one after an interruption, reads only what is
//! new. What an audit could not check it says in [`Report::gaps`]; it never passes for checked.

mod client;
pub(crate) mod duplicates;
mod evidence;
mod finding;
mod gossip;
mod lookups;
pub(crate) mod record;
mod remote;
pub(crate) mod source;
mod state;
mod stored;
pub(crate) mod tree;
mod walk;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::SystemTime;

use modkeep_tlog::client::ClientError;
use modkeep_tlog::{RecordId, SignedHead, TreeHead, VerifierKey};

pub use client::{Client, ProveError};
pub use evidence::EvidenceError;
pub use finding::{Finding, Gap, Kind, Severity};
pub use gossip::{Gossip, gossip};
pub use remote::Remote;
pub use source::{Away, Directory, Source};
pub use state::{State, StateError};
pub use stored::Stored;

use crate::audit::evidence::{Evidence, Found};
use crate::audit::source::settle;
pub(crate) use crate::audit::source::tile;
use crate::audit::walk::Walk;

/// What one audit is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where reading begins.
    pub from: Begin,
    /// Threads that read and hash. Default 2; for a server far away more, because each waits for answers.
    pub jobs: usize,
    /// The source is known to hold only a part of the log: tiles that it lacks are gaps, not findings.
    pub partial: bool,
    /// Records that are looked up as a client would, chosen at random from the whole log. Default 0.
    pub lookups: u32,
    /// What chooses them: the same seed chooses the same ones.
    pub seed: u64,
    /// Where evidence is written; `None`: nowhere.
    pub evidence: Option<PathBuf>,
    /// The time that names of evidence files carry.
    pub now: SystemTime,
}

/// Where an audit begins to read records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// Where the last one ended; at the first record where there was none.
    Resume,
    /// At the first record, whatever was read before. The last verified head stays, and so do findings.
    Start,
    /// Where the last one ended; where there was none, after the newest record. What lies before is a gap.
    Newest,
    /// At this record. Records before it are a gap unless an earlier audit has read them.
    At(RecordId),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            from: Begin::Resume,
            jobs: 2,
            partial: false,
            lookups: 0,
            seed: 0,
            evidence: None,
            now: SystemTime::now(),
        }
    }
}

/// What a mirror holds of the modules that the log records, to compare with.
pub trait Held: Sync {
    /// The sums held for exactly this module version, if any.
    fn held(&self, module: &str, version: &str) -> Option<modkeep_tlog::record::Sums>;
}

/// Somebody who wants to hear of new records (spec D, `audit watch`).
pub trait News: Sync {
    /// Whether records of this module are to be told. Called by several threads at once.
    fn wants(&self, module: &str) -> bool;

    /// A record that the signed head proves, in the order of the log; its text as logged. After a crash one may be told
    /// again.
    fn tell(&self, record: RecordId, text: &str);
}

/// Whom to audit, and with what.
pub struct Parts<'a> {
    /// The log, or a copy of it.
    pub source: &'a dyn Source,
    /// Whose signature on heads is believed.
    pub key: &'a VerifierKey,
    /// What to compare records with.
    pub held: Option<&'a dyn Held>,
    /// What to do.
    pub options: Options,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Records read in this run.
    pub records: u64,
    /// The next record to read.
    pub next: u64,
    /// Records of the tree that is audited.
    pub size: u64,
    /// Findings so far.
    pub findings: usize,
}

/// What was read in one run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Checked {
    /// Records whose text was hashed up to the signed root.
    pub records: u64,
    /// Hash tiles compared with the tile above them and with what they hash.
    pub hash_tiles: u64,
    /// Data tiles.
    pub data_tiles: u64,
    /// Bytes of tiles.
    pub bytes: u64,
    /// Records looked up as a client does.
    pub lookups: u64,
    /// Records compared with what a mirror holds.
    pub held: u64,
}

/// The outcome of an audit.
#[derive(Clone, Debug)]
pub struct Report {
    /// The log's name, which is that of its key.
    pub log: String,
    /// The newest head that is signed and consistent with every head before it; none where there was never one.
    pub head: Option<TreeHead>,
    /// What was read in this run.
    pub checked: Checked,
    /// Every finding since the state was made, up to a limit: a log that has lied once is not forgiven by its next head.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit.
    pub unlisted: u64,
    /// What no audit with this state could check.
    pub gaps: Vec<Gap>,
    /// Whether every record of the head was read, but for the gaps. False after an interruption.
    pub complete: bool,
}

impl Report {
    /// Whether nothing was found that an honest log cannot show.
    pub fn is_honest(&self) -> bool {
        self.unlisted == 0 && self.findings.iter().all(|finding| finding.severity < Severity::Misbehaviour)
    }
}

/// Why an audit could not be carried out. What was read before is kept in the state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log does not answer, or answers neither yes nor no; a later audit goes on where this one stopped.
    #[error(transparent)]
    Away(#[from] Away),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// Evidence cannot be written. It is also in the report's text.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// Audits a log. `watch` is told how far it is and may break it off; the state then knows where to go on.
///
/// Blocks on the source; not for an async runtime's own threads.
pub fn run(
    parts: &Parts<'_>,
    state: &mut State,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    audit(parts, state, None, watch)
}

/// The same, and tells of each record that this run is the first to read (spec D, `audit watch`).
pub fn run_telling(
    parts: &Parts<'_>,
    state: &mut State,
    news: &dyn News,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    audit(parts, state, Some(news), watch)
}

fn audit(
    parts: &Parts<'_>,
    state: &mut State,
    news: Option<&dyn News>,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let (evidence, is_new) = (Evidence::new(&parts.options), state.is_new());
    let Some(head) = newest_head(parts, state, &evidence)? else {
        state.save()?;
        return Ok(state.report(parts.key.name(), Checked::default(), false));
    };
    state.begin(match (parts.options.from, RecordId::new(head.size().get())) {
        (Begin::Newest, Some(end)) if is_new => Begin::At(end),
        (from, _) => from,
    });
    let walked = Walk::new(parts, &evidence, &head).telling(news, state.next()).run(state, watch);
    let Ok((mut checked, true)) = walked else {
        state.save()?;
        let (checked, complete) = walked?;
        return Ok(state.report(parts.key.name(), checked, complete));
    };
    duplicates::report(parts, &evidence, &head, state)?;
    checked.lookups = lookups::sample(parts, &evidence, &head, state)?;
    state.save()?;
    Ok(state.report(parts.key.name(), checked, true))
}

/// The head to audit under: the newest of the log's and ours, or nothing where the two contradict each other.
fn newest_head(
    parts: &Parts<'_>,
    state: &mut State,
    evidence: &Evidence,
) -> Result<Option<SignedHead>, Error> {
    let known = state.head(parts.key)?;
    let Some(note) = parts.source.get("latest", source::NOTE_MAX, true)? else {
        state.find(Finding::of(Kind::MissingHead, "the log has no head: latest is not there"));
        return Ok(known);
    };
    if let Ok(latest) = SignedHead::open(&note, parts.key) {
        shown(parts, state, evidence, &latest, known.as_ref())?;
    }
    match settle(parts.source, parts.key, known.clone(), &note) {
        Err(source::Unsettled::Away(away)) => Err(away.into()),
        Err(source::Unsettled::Refused(error)) => {
            let newer = refused(parts, state, evidence, *error, &note)?;
            // Where a copy lacks the tiles that would show consistency, the signature is all there is.
            Ok(newer.or(known.filter(|_| !parts.options.partial)))
        }
        Ok(found) => {
            state.believe(&found);
            Ok(Some(found))
        }
    }
}

/// What a signed head shows by itself.
fn shown(
    parts: &Parts<'_>,
    state: &mut State,
    evidence: &Evidence,
    latest: &SignedHead,
    known: Option<&SignedHead>,
) -> Result<(), EvidenceError> {
    if latest.has_extra_lines() {
        let finding = finding::extra_lines(latest.note(), parts.key);
        state.keep(evidence, Found::with(finding, "head", latest.note()))?;
    }
    if let Some(known) = known.filter(|known| known.size() > latest.size()) {
        let sizes = (latest.size(), known.size());
        let text = format!("latest has {} records; it had {} when it was audited last", sizes.0, sizes.1);
        let both = [known.note(), b"\n", latest.note()].concat();
        state.keep(evidence, Found::with(Finding::of(Kind::Rollback, text), "rollback", &both))?;
    }
    Ok(())
}

/// Keeps why a head was refused. The head itself, where a partial copy can only be believed by its signature.
fn refused(
    parts: &Parts<'_>,
    state: &mut State,
    evidence: &Evidence,
    error: ClientError,
    note: &[u8],
) -> Result<Option<SignedHead>, Error> {
    match error {
        ClientError::MissingTile(tile) if parts.options.partial => {
            state.miss(Gap::consistency(&tile));
            let head = SignedHead::open(note, parts.key).ok();
            if let Some(head) = &head {
                state.believe(head);
            }
            Ok(head)
        }
        ClientError::SavedHead(error) => Err(StateError::Head(error).into()),
        error => {
            state.keep(evidence, Found::refusal(error, note))?;
            Ok(None)
        }
    }
}
