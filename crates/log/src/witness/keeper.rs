//! A witness for other logs: what it has seen of each, and what it cosigns (B4).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use modkeep_store::Clock;
use modkeep_tlog::log_list::{LOGS_MAX, ListedLog};
use modkeep_tlog::note::{NOTE_BYTES_MAX, Note};
use modkeep_tlog::witness::{AddCheckpoint, Refusal, Submission, WitnessedLog, answer, monitoring_path};
use modkeep_tlog::{Checkpoint, Cosignature, PosixTime, TreeHead, WitnessSigner};
use rustix::fs::FlockOperation;

use super::adopted;
use super::pace::Pace;
pub use super::pace::Qpd;

/// The file that a running witness holds, so that no second one decides beside it.
const LOCK: &str = "lock";
/// What was cosigned last, in the folder of its log.
const CHECKPOINT: &str = "checkpoint";
/// The same while it is written.
const NEXT: &str = "checkpoint.new";

/// A witness. Cheap to clone. Calls block on the disk: use the blocking pool.
///
/// Its memory is a folder: `logs`, what lists brought; and for each log `HEX/checkpoint`, the last checkpoint that it cosigned, with the log's line and
/// its own, as [`monitoring_path`] names it. The file is replaced as a whole and synced before anybody is answered, and
/// read anew for each decision: nothing is ever cosigned from memory.
#[derive(Clone, Debug)]
pub struct Witness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    signers: Vec<WitnessSigner>,
    /// By the digest of their origin, in hex.
    logs: RwLock<BTreeMap<String, Arc<Known>>>,
    /// What lists brought, as it is stored; held while more is taken in.
    adopted: Mutex<Vec<ListedLog>>,
    clock: Arc<dyn Clock>,
    /// Held while we run.
    _lock: File,
}

/// A log that the witness watches.
#[derive(Debug)]
struct Known {
    log: WitnessedLog,
    folder: PathBuf,
    /// Held from reading what was cosigned last until the next is stored: the transaction of B4.
    turn: Mutex<Pace>,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The request is refused by the rules (B4).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log asks more often than was agreed.
    #[error("this log asks too often; again in {} s", .retry_after.as_secs().max(1))]
    TooOften {
        /// When it may ask again.
        retry_after: Duration,
    },
    /// The witness's own memory fails it: nothing is cosigned until an operator has looked.
    #[error("{0}")]
    Memory(#[from] WitnessError),
}

/// Why a witness cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The file system refuses.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another witness runs on this folder.
    #[error("{}: another witness is at work here; two would cosign two histories", .path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// What was cosigned last cannot be believed, and without it nothing may be cosigned.
    #[error("{}: {reason}; restore it, and never begin again from nothing under the same key", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No key, two keys of different names, or a log's key.
    #[error("the witness's keys: {0}")]
    Keys(String),
    /// It cannot sign.
    #[error("nothing can be cosigned: {0}")]
    Sign(String),
}

impl Witness {
    /// A witness with these keys, that remembers in `folder` and watches `logs`, and what [`adopt`](Self::adopt) brought
    /// before. Blocking.
    ///
    /// Every stored checkpoint is looked at. No witness shares its keys with another, or with a log.
    pub fn open(
        folder: &Path,
        signers: Vec<WitnessSigner>,
        logs: Vec<(WitnessedLog, Qpd)>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, WitnessError> {
        check_keys(&signers, &logs)?;
        make(folder)?;
        let lock = lock(folder)?;
        let adopted = adopted::read(folder)?;
        let inner = Inner {
            folder: folder.to_owned(),
            signers,
            logs: RwLock::default(),
            adopted: Mutex::new(adopted.clone()),
            clock,
            _lock: lock,
        };
        // What the operator says stands before what lists brought.
        for (log, qpd) in logs.into_iter().chain(adopted.into_iter().map(of_list)) {
            inner.watch(log, qpd)?;
        }
        sync(folder)?;
        Ok(Self(Arc::new(inner)))
    }

    /// Takes in the logs of a list whose origins are new here, durably, and nothing else of it: a list can only add (B4).
    /// Each may ask as often as the list says, at most `qpd_max` times a day. Blocking.
    pub fn adopt(&self, list: Vec<ListedLog>, qpd_max: Qpd) -> Result<Adopted, WitnessError> {
        let mut adopted = self.0.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut outcome, mut all) = (Adopted::default(), adopted.clone());
        for mut log in list {
            let is_known = |other: &ListedLog| other.origin == log.origin;
            if self.0.known(&hex_of(&log.origin)).is_some() || all.iter().any(is_known) {
                outcome.known += 1;
                continue;
            }
            let key = log.key.public_key();
            let is_ours = self.0.signers.iter().any(|signer| signer.key().public_key() == key.as_slice());
            if is_ours || all.len() >= LOGS_MAX {
                outcome.refused += 1;
                continue;
            }
            log.qpd = log.qpd.min(qpd_max.0);
            outcome.added.push(log.clone());
            all.push(log);
        }
        if outcome.added.is_empty() {
            return Ok(outcome);
        }
        // Before anybody is cosigned: what is dropped from the list tomorrow stays known.
        adopted::write(&self.0.folder, &all)?;
        *adopted = all;
        for log in &outcome.added {
            let (log, qpd) = of_list(log.clone());
            self.0.watch(log, qpd)?;
        }
        Ok(outcome)
    }

    /// Answers `add-checkpoint`: the lines of a 200, or why not. Blocking.
    ///
    /// Decided, stored and synced as one step for each log; the lines leave only after that.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<String, Denied> {
        let request = AddCheckpoint::parse(body)?;
        let known = self.0.known(&hex_of(request.origin()));
        let submission = request.authenticate(known.as_ref().map(|known| &known.log))?;
        // Authenticated, so it is known; the refusal is for the type.
        let known = known.ok_or(Refusal::UnknownOrigin)?;
        self.0.cosign(&known, &submission)
    }

    /// What was cosigned last of the log with this digest in lower-case hex, if anything was (`HEX/checkpoint`).
    /// Blocking.
    pub fn checkpoint(&self, hex: &str) -> Result<Option<Bytes>, WitnessError> {
        let Some(known) = self.0.known(hex) else { return Ok(None) };
        Ok(known.stored()?.map(Bytes::from))
    }

    /// The keys whose cosignatures it gives.
    pub fn signers(&self) -> &[WitnessSigner] {
        &self.0.signers
    }

    /// The origins of the logs that it watches, each with the size it last cosigned. Blocking.
    pub fn watched(&self) -> Result<Vec<(String, TreeHead)>, WitnessError> {
        let head = |known: &Arc<Known>| Ok((known.log.origin.clone(), known.recorded(&self.0.signers)?));
        let logs: Vec<_> =
            self.0.logs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        logs.iter().map(head).collect()
    }

    /// How many logs it watches.
    pub fn count(&self) -> usize {
        self.0.logs.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What came of a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Adopted {
    /// The logs that are watched from now on.
    pub added: Vec<ListedLog>,
    /// Logs whose origin was known before: they stay as they were.
    pub known: usize,
    /// Logs that are not watched: they would use a key of ours, or there are too many.
    pub refused: usize,
}

fn of_list(log: ListedLog) -> (WitnessedLog, Qpd) {
    (WitnessedLog { origin: log.origin, keys: vec![log.key] }, Qpd(log.qpd))
}

/// The name of a log's folder.
fn hex_of(origin: &str) -> String {
    let path = monitoring_path(origin);
    path.split_once('/').map_or(path.as_str(), |(hex, _)| hex).to_owned()
}

impl Inner {
    fn known(&self, hex: &str) -> Option<Arc<Known>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).get(hex).cloned()
    }

    /// Watches a log from now on, unless one of this origin is watched already.
    fn watch(&self, log: WitnessedLog, qpd: Qpd) -> Result<(), WitnessError> {
        let hex = hex_of(&log.origin);
        if self.known(&hex).is_some() {
            return Ok(());
        }
        let turn = Mutex::new(Pace::new(qpd, self.clock.monotonic()));
        let known = Known { folder: self.folder.join(&hex), log, turn };
        known.recorded(&self.signers)?;
        self.logs.write().unwrap_or_else(PoisonError::into_inner).insert(hex, Arc::new(known));
        Ok(())
    }

    /// The transaction: what is recorded, the decision, the record of it, and only then the answer (B4).
    fn cosign(&self, known: &Known, submission: &Submission) -> Result<String, Denied> {
        // A panic of another request has stored all or nothing.
        let mut pace = known.turn.lock().unwrap_or_else(PoisonError::into_inner);
        submission.decide(known.recorded(&self.signers)?)?;
        // Asked last, so that only what is cosigned uses up the agreed number.
        pace.take(self.clock.monotonic()).map_err(|retry_after| Denied::TooOften { retry_after })?;
        let failed = |error: &dyn std::error::Error| WitnessError::Sign(error.to_string());
        let lines = self.lines(submission.checkpoint().checkpoint())?;
        let mut signed = submission.checkpoint().without_cosignatures();
        for line in &lines {
            signed.add(line.clone()).map_err(|error| failed(&error))?;
        }
        known.store(signed.to_text().as_bytes())?;
        Ok(answer(&lines))
    }

    fn lines(&self, checkpoint: &Checkpoint) -> Result<Vec<Cosignature>, WitnessError> {
        let failed = |reason: String| WitnessError::Sign(reason);
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now =
            PosixTime::new(since.as_secs()).ok_or_else(|| failed("the clock is beyond 2^63".to_owned()))?;
        let cosign = |signer: &WitnessSigner| signer.cosign(checkpoint, now);
        self.signers.iter().map(cosign).collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))
    }
}

impl Known {
    /// The head cosigned last; the empty one of a log never seen.
    fn recorded(&self, signers: &[WitnessSigner]) -> Result<TreeHead, WitnessError> {
        let Some(note) = self.stored()? else { return Ok(TreeHead::EMPTY) };
        self.read(&note, signers).map_err(|reason| self.damaged(reason))
    }

    /// A stored note is believed for our own line on it, whatever keys the log has had since.
    fn read(&self, note: &[u8], signers: &[WitnessSigner]) -> Result<TreeHead, String> {
        let note = Note::parse(note).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if checkpoint.origin() != self.log.origin {
            return Err(format!("it is of the log {:?}", checkpoint.origin()));
        }
        let ours = |signer: &WitnessSigner| {
            note.lines().iter().any(|line| signer.key().verify(&checkpoint, line).is_ok())
        };
        if !signers.iter().any(ours) {
            return Err("our own key has not cosigned it".to_owned());
        }
        Ok(checkpoint.head())
    }

    fn stored(&self) -> Result<Option<Vec<u8>>, WitnessError> {
        let path = self.folder.join(CHECKPOINT);
        let mut note = Vec::new();
        let limit = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        match File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut note)) {
            Ok(_) => Ok(Some(note)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(WitnessError::Io { path, source }),
        }
    }

    /// Durable when it returns: the file is synced before it gets its name, the folder after.
    fn store(&self, note: &[u8]) -> Result<(), WitnessError> {
        let (path, next) = (self.folder.join(CHECKPOINT), self.folder.join(NEXT));
        let is_first = !self.folder.is_dir();
        make(&self.folder)?;
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(note)?;
            file.sync_all()?;
            fs::rename(&next, &path)
        };
        write().map_err(|source| WitnessError::Io { path: next.clone(), source })?;
        sync(&self.folder)?;
        match self.folder.parent().filter(|_| is_first) {
            Some(all) => sync(all),
            None => Ok(()),
        }
    }

    fn damaged(&self, reason: String) -> WitnessError {
        WitnessError::Damaged { path: self.folder.join(CHECKPOINT), reason }
    }
}

/// At least one key, all of one name, none of them also a log's.
fn check_keys(signers: &[WitnessSigner], logs: &[(WitnessedLog, Qpd)]) -> Result<(), WitnessError> {
    let refuse = |reason: String| Err(WitnessError::Keys(reason));
    let Some(first) = signers.first() else { return refuse("none was given".to_owned()) };
    if let Some(other) = signers.iter().find(|signer| signer.key().name() != first.key().name()) {
        return refuse(format!("they have two names, {} and {}", first.key().name(), other.key().name()));
    }
    for signer in signers {
        let twins = signers.iter().filter(|other| other.key() == signer.key()).count();
        if twins > 1 {
            return refuse("one was given twice".to_owned());
        }
        let of_log = |(log, _): &&(WitnessedLog, Qpd)| {
            log.keys.iter().any(|key| key.public_key().as_slice() == signer.key().public_key())
        };
        if let Some((log, _)) = logs.iter().find(of_log) {
            return refuse(format!("{} is the key of the log {} too", signer.key().name(), log.origin));
        }
    }
    Ok(())
}

pub(super) fn make(folder: &Path) -> Result<(), WitnessError> {
    fs::create_dir_all(folder).map_err(|source| WitnessError::Io { path: folder.to_owned(), source })
}

pub(super) fn sync(folder: &Path) -> Result<(), WitnessError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| WitnessError::Io { path: folder.to_owned(), source })
}

fn lock(folder: &Path) -> Result<File, WitnessError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|source| WitnessError::Io { path: path.clone(), source })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(WitnessError::Taken { path: folder.to_owned() }),
        Err(error) => Err(WitnessError::Io { path, source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use modkeep_store::SystemClock;
    use modkeep_tlog::cosignature::Algorithm;
    use modkeep_tlog::proof::prove_consistency;
    use modkeep_tlog::witness::cosignatures;
    use modkeep_tlog::{GoSumRecord, SignedCheckpoint, SignerKey, TreeBuilder, TreeSize, WitnessKey};
    use tempfile::TempDir;

    use super::*;

    const ORIGIN: &str = "sums.example/log";

    fn log_key() -> SignerKey {
        SignerKey::from_seed(ORIGIN, [1; 32]).unwrap()
    }

    fn signers() -> Vec<WitnessSigner> {
        [Algorithm::Ed25519, Algorithm::MlDsa44]
            .map(|algorithm| WitnessSigner::from_seed("witness.example/w", algorithm, [2; 32]).unwrap())
            .into()
    }

    fn open(folder: &Path, qpd: Qpd) -> Result<Witness, WitnessError> {
        let log = WitnessedLog { origin: ORIGIN.to_owned(), keys: vec![log_key().verifier()] };
        Witness::open(folder, signers(), vec![(log, qpd)], Arc::new(SystemClock))
    }

    fn tree(records: u64) -> TreeBuilder {
        let mut tree = TreeBuilder::new();
        for i in 0..records {
            let (module, version) = (format!("example.com/m{i}"), "v1.0.0".to_owned());
            let record = GoSumRecord { module, version, zip_h1: [1; 32], go_mod_h1: [2; 32] };
            tree.append(record.to_text().unwrap());
        }
        tree
    }

    fn checkpoint(tree: &TreeBuilder, size: u64) -> SignedCheckpoint {
        let size = TreeSize::new(size).unwrap();
        let root = modkeep_tlog::proof::root(tree, size).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, TreeHead { size, root }).unwrap();
        SignedCheckpoint::sign(checkpoint, &[&log_key()]).unwrap()
    }

    fn request(tree: &TreeBuilder, old: u64, new: u64) -> Vec<u8> {
        let (from, to) = (TreeSize::new(old).unwrap(), TreeSize::new(new).unwrap());
        let proof = prove_consistency(tree, from, to).unwrap();
        AddCheckpoint::new(from, proof, &checkpoint(tree, new)).unwrap().to_text().into_bytes()
    }

    fn size_of(witness: &Witness) -> u64 {
        witness.watched().unwrap()[0].1.size.get()
    }

    #[test]
    fn b4_a_witness_cosigns_with_every_key_and_shows_it() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(300));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        let keys: Vec<WitnessKey> = signers().iter().map(|signer| signer.key().clone()).collect();
        let lines = witness.add_checkpoint(&request(&tree, 0, 300)).unwrap();
        let signed = checkpoint(&tree, 300);
        let verified = cosignatures(lines.as_bytes(), signed.checkpoint(), &keys).unwrap();
        assert_eq!(verified.len(), 2);
        // What is shown carries the log's line and both of ours.
        let path = monitoring_path(ORIGIN);
        let (hex, _) = path.split_once('/').unwrap();
        let shown = witness.checkpoint(hex).unwrap().unwrap();
        let shown = SignedCheckpoint::open(&shown, ORIGIN, &[log_key().verifier()]).unwrap();
        assert_eq!(shown.head(), signed.head());
        assert_eq!(shown.cosignatures(&keys).unwrap().len(), 2);
        assert!(witness.checkpoint("00").unwrap().is_none());
    }

    #[test]
    fn b4_killed_after_the_record_and_before_the_answer_it_never_goes_back() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(300));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        witness.add_checkpoint(&request(&tree, 0, 100)).unwrap();
        // The answer to this one is lost with the process.
        let _lost = witness.add_checkpoint(&request(&tree, 100, 300)).unwrap();
        drop(witness);
        let witness = open(folder.path(), Qpd::default()).unwrap();
        assert_eq!(size_of(&witness), 300);
        let size = TreeSize::new(300).unwrap();
        let again = witness.add_checkpoint(&request(&tree, 100, 300));
        assert!(matches!(again, Err(Denied::Refused(Refusal::Conflict { size: told })) if told == size));
        witness.add_checkpoint(&request(&tree, 300, 300)).unwrap();
    }

    #[test]
    fn b4_killed_in_the_middle_of_the_record_the_one_before_stands() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(300));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        witness.add_checkpoint(&request(&tree, 0, 100)).unwrap();
        drop(witness);
        let (hex, _) =
            monitoring_path(ORIGIN).split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        fs::write(folder.path().join(&hex).join(NEXT), "sums.example/log\n30").unwrap();
        let witness = open(folder.path(), Qpd::default()).unwrap();
        assert_eq!(size_of(&witness), 100);
        witness.add_checkpoint(&request(&tree, 100, 300)).unwrap();
        assert_eq!(size_of(&witness), 300);
    }

    #[test]
    fn b4_two_requests_at_once_cannot_roll_the_state_back() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(300));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        witness.add_checkpoint(&request(&tree, 0, 100)).unwrap();
        for round in 0..10_u64 {
            let from = 100 + 10 * round;
            let taken: Vec<u64> = std::thread::scope(|scope| {
                let ask = |new: u64| {
                    let (witness, body) = (witness.clone(), request(&tree, from, new));
                    scope.spawn(move || witness.add_checkpoint(&body).map(|_| new).ok())
                };
                let asked: Vec<_> = (1..=10).map(|more| ask(from + more)).collect();
                asked.into_iter().filter_map(|one| one.join().unwrap()).collect()
            });
            // One of the ten was first; the others had the wrong old size.
            assert_eq!(taken, [size_of(&witness)]);
            if size_of(&witness) < from + 10 {
                witness.add_checkpoint(&request(&tree, size_of(&witness), from + 10)).unwrap();
            }
        }
    }

    #[test]
    fn b4_a_memory_that_cannot_be_believed_is_no_fresh_start() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(300));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        witness.add_checkpoint(&request(&tree, 0, 100)).unwrap();
        assert!(matches!(open(folder.path(), Qpd::default()), Err(WitnessError::Taken { .. })));
        let path = monitoring_path(ORIGIN);
        let place = folder.path().join(&path);
        let whole = fs::read(&place).unwrap();
        for damage in
            [Vec::new(), whole[..whole.len() / 2].to_vec(), checkpoint(&tree, 50).to_text().into_bytes()]
        {
            fs::write(&place, damage).unwrap();
            let asked = witness.add_checkpoint(&request(&tree, 0, 300));
            assert!(matches!(asked, Err(Denied::Memory(WitnessError::Damaged { .. }))), "{asked:?}");
        }
        fs::write(&place, whole).unwrap();
        witness.add_checkpoint(&request(&tree, 100, 300)).unwrap();
    }

    #[test]
    fn b4_a_log_that_asks_too_often_waits() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(3));
        let witness = open(folder.path(), Qpd(1)).unwrap();
        witness.add_checkpoint(&request(&tree, 0, 3)).unwrap();
        let outcomes: Vec<_> = (0..100).map(|_| witness.add_checkpoint(&request(&tree, 3, 3))).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 59);
        assert!(matches!(outcomes.last(), Some(Err(Denied::TooOften { .. }))));
        // Refusals cost it nothing.
        assert!(matches!(witness.add_checkpoint(&request(&tree, 0, 3)), Err(Denied::Refused(_))));
    }

    fn listed(seed: u8, origin: &str, qpd: u32) -> ListedLog {
        let key = SignerKey::from_seed("sums.example/other", [seed; 32]).unwrap().verifier();
        ListedLog { key, origin: origin.to_owned(), qpd, contact: String::new() }
    }

    #[test]
    fn b4_a_list_only_adds() {
        let (folder, tree) = (TempDir::new().unwrap(), tree(3));
        let witness = open(folder.path(), Qpd::default()).unwrap();
        // A list cannot take over a log that the operator has configured, or one that a list brought before.
        let first =
            vec![listed(1, ORIGIN, 9), listed(1, "one", 9), listed(2, "one", 9), listed(3, "two", 1_000_000)];
        let adopted = witness.adopt(first, Qpd(100)).unwrap();
        let origins: Vec<(&str, u32)> =
            adopted.added.iter().map(|log| (log.origin.as_str(), log.qpd)).collect();
        assert_eq!((origins, adopted.known), (vec![("one", 9), ("two", 100)], 2));
        witness.add_checkpoint(&request(&tree, 0, 3)).unwrap();
        let adopted = witness.adopt(vec![listed(4, "one", 1), listed(4, "three", 1)], Qpd(100)).unwrap();
        assert_eq!((adopted.added.len(), adopted.known), (1, 1));
        drop(witness);
        // After a start without any list all of them are known, as they were.
        let witness = open(folder.path(), Qpd::default()).unwrap();
        assert_eq!(witness.count(), 4);
        let adopted =
            witness.adopt(vec![listed(5, "one", 1), listed(5, "two", 1), listed(5, "three", 1)], Qpd(1));
        assert_eq!(adopted.unwrap(), Adopted { known: 3, ..Adopted::default() });
        let kept = adopted::read(folder.path()).unwrap();
        assert_eq!(kept, [listed(1, "one", 9), listed(3, "two", 100), listed(4, "three", 1)]);
        // Our own key is no log's.
        let own = SignerKey::from_seed("w", [2; 32]).unwrap().verifier();
        let log = ListedLog { key: own, origin: "mine".to_owned(), qpd: 1, contact: String::new() };
        assert_eq!(witness.adopt(vec![log], Qpd(1)).unwrap().refused, 1);
    }

    #[test]
    fn b4_a_damaged_memory_of_lists_is_no_fresh_start() {
        let folder = TempDir::new().unwrap();
        let witness = open(folder.path(), Qpd::default()).unwrap();
        witness.adopt(vec![listed(1, "one", 9)], Qpd(100)).unwrap();
        drop(witness);
        for damage in ["", "logs/v0\nvkey x\n", "nonsense"] {
            fs::write(folder.path().join("logs"), damage).unwrap();
            assert!(
                matches!(open(folder.path(), Qpd::default()), Err(WitnessError::Damaged { .. })),
                "{damage:?}"
            );
        }
    }

    #[test]
    fn b4_a_witness_has_a_key_of_its_own() {
        let folder = TempDir::new().unwrap();
        let log = WitnessedLog { origin: ORIGIN.to_owned(), keys: vec![log_key().verifier()] };
        let open = |signers| {
            let logs = vec![(log.clone(), Qpd::default())];
            Witness::open(folder.path(), signers, logs, Arc::new(SystemClock)).map(drop)
        };
        let of = |name: &str, seed| WitnessSigner::from_seed(name, Algorithm::Ed25519, [seed; 32]).unwrap();
        for signers in [vec![], vec![of("w", 1)], vec![of("w", 2), of("v", 3)], vec![of("w", 2), of("w", 2)]]
        {
            assert!(matches!(open(signers), Err(WitnessError::Keys(_))));
        }
        open(vec![of("w", 2)]).unwrap();
    }
}
