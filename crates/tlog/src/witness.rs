//! Witnessing: what a log asks of a witness, and how a witness decides. Spec B3, B4; C2SP tlog-witness.
//!
//! The witness's side, with the statuses of HTTP left to others:
//!
//! 1. [`AddCheckpoint::parse`] the body; who keeps the state looks [`AddCheckpoint::origin`] up;
//! 2. [`AddCheckpoint::authenticate`] with what is known of that log: a [`Submission`];
//! 3. in one transaction: [`Submission::decide`] against the recorded head, store what it returns;
//! 4. only then cosign [`Submission::checkpoint`], and answer [`answer`] lines.
//!
//! The log's side: [`AddCheckpoint::new`] and [`AddCheckpoint::to_text`]; of a 200 the [`cosignatures`], of a 409 the
//! [`recorded_size`] from which to try again.

use alloc::{format, string::String, vec::Vec};
use core::str;

use sha2::{Digest as _, Sha256};

use crate::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    cosignature::{Cosignature, WitnessKey},
    hash::{Hash, TreeSize},
    head::TreeHead,
    note::{NOTE_BYTES_MAX, Note, NoteError, SignatureLine, VerifierKey, to_lines},
    proof::verify_consistency,
};

/// More proof lines are refused: no tree of less than 2^63 records needs them (tlog-witness).
pub const PROOF_LINES_MAX: usize = 63;
/// A longer request is refused unread: the note, 63 lines of 45 bytes, and the first line.
pub const REQUEST_BYTES_MAX: usize = NOTE_BYTES_MAX + 4096;

/// Why a witness does not cosign, in the order in which it asks. Spec B4 gives each its status.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Not a request (400).
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The witness does not know this log (404).
    #[error("unknown log")]
    UnknownOrigin,
    /// No signature by a trusted key of the log, or one that does not verify (403).
    #[error("no good signature by a key trusted for this log")]
    BadSignature,
    /// The old size is larger than the checkpoint's (400).
    #[error("old size is larger than the checkpoint")]
    OldTooLarge,
    /// The old size is not the one recorded (409, whose body is [`conflict_body`]).
    #[error("the size last cosigned is {size}")]
    Conflict {
        /// The recorded size.
        size: TreeSize,
    },
    /// The proof does not prove it, or there is nothing to prove (422).
    #[error("unprocessable: {0}")]
    Unprocessable(&'static str),
}

/// What a witness is configured with for one log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WitnessedLog {
    /// The first line of its checkpoints.
    pub origin: String,
    /// The keys trusted for it, one of which must have signed.
    pub keys: Vec<VerifierKey>,
}

/// A request `add-checkpoint`: the size that the witness is believed to have, a proof from there, a checkpoint.
///
/// Nothing of it is verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    old: TreeSize,
    proof: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// The request of a log. The proof is [`prove_consistency`](crate::proof::prove_consistency) from `old`.
    ///
    /// [`Refusal::OldTooLarge`] or [`Refusal::Malformed`] when no witness could take it.
    pub fn new(old: TreeSize, proof: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Result<Self, Refusal> {
        if old > checkpoint.head().size {
            return Err(Refusal::OldTooLarge);
        }
        if proof.len() > PROOF_LINES_MAX {
            return Err(Refusal::Malformed("more than 63 proof lines"));
        }
        // The witnesses' own lines are of no use to a witness.
        let own = checkpoint.own().iter().cloned();
        let checkpoint = checkpoint.checkpoint().clone();
        let note = Note::assemble(&checkpoint.to_text(), own).map_err(|_| Refusal::BadSignature)?;
        Ok(Self { old, proof, note, checkpoint })
    }

    /// Reads the body: `old SIZE`, at most 63 hashes, an empty line, a checkpoint; each line ends in LF.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(Refusal::Malformed("too long"));
        }
        let body = str::from_utf8(body).map_err(|_| Refusal::Malformed("not UTF-8"))?;
        let (old, mut rest) = body.split_once('\n').ok_or(Refusal::Malformed("no old size"))?;
        let old =
            old.strip_prefix("old ").and_then(TreeSize::parse).ok_or(Refusal::Malformed("bad old size"))?;
        let mut proof = Vec::new();
        let note = loop {
            let (line, after) = rest.split_once('\n').ok_or(Refusal::Malformed("no empty line"))?;
            if line.is_empty() {
                break after;
            }
            if proof.len() >= PROOF_LINES_MAX {
                return Err(Refusal::Malformed("more than 63 proof lines"));
            }
            proof.push(line.parse().map_err(|_| Refusal::Malformed("bad proof line"))?);
            rest = after;
        };
        let note = Note::parse(note.as_bytes()).map_err(|_| Refusal::Malformed("bad note"))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|_| Refusal::Malformed("bad checkpoint"))?;
        Ok(Self { old, proof, note, checkpoint })
    }

    /// The body, the reverse of [`parse`](Self::parse).
    pub fn to_text(&self) -> String {
        format!("old {}\n{}\n{}", self.old, to_lines(&self.proof), self.note.to_text())
    }

    /// Which log the checkpoint says that it is of.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// Everything that can be judged without the recorded state. `log` is what is configured for [`Self::origin`].
    pub fn authenticate(self, log: Option<&WitnessedLog>) -> Result<Submission, Refusal> {
        let log = log.filter(|log| log.origin == self.origin()).ok_or(Refusal::UnknownOrigin)?;
        let checkpoint = SignedCheckpoint::verify(self.note, &log.keys).map_err(|_| Refusal::BadSignature)?;
        if self.old > checkpoint.head().size {
            return Err(Refusal::OldTooLarge);
        }
        Ok(Submission { old: self.old, proof: self.proof, checkpoint })
    }
}

/// A request whose checkpoint a trusted key has signed. Only [`AddCheckpoint::authenticate`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Submission {
    old: TreeSize,
    proof: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

impl Submission {
    /// The checkpoint, with the log's signature: to store, and to cosign once that is done.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Decides against the head last cosigned, [`TreeHead::EMPTY`] for a log never seen, and returns the head to store.
    ///
    /// Run it inside the transaction that stores: two requests decided outside could roll the state back (B4).
    pub fn decide(&self, recorded: TreeHead) -> Result<TreeHead, Refusal> {
        let new = self.checkpoint.head();
        if self.old != recorded.size {
            return Err(Refusal::Conflict { size: recorded.size });
        }
        if !self.checkpoint.checkpoint().is_possible() {
            return Err(Refusal::Unprocessable("the empty tree has another root"));
        }
        if (self.old == TreeSize::EMPTY || self.old == new.size) && !self.proof.is_empty() {
            return Err(Refusal::Unprocessable("nothing to prove, and yet a proof"));
        }
        if self.old == new.size && new.root != recorded.root {
            return Err(Refusal::Unprocessable("another root at the same size"));
        }
        verify_consistency(&self.proof, (recorded.size, recorded.root), (new.size, new.root))
            .map_err(|_| Refusal::Unprocessable("the checkpoint does not continue the one last cosigned"))?;
        Ok(new)
    }
}

/// The body of a 200: each cosignature's line.
pub fn answer(cosignatures: &[Cosignature]) -> String {
    to_lines(cosignatures.iter().map(Cosignature::line))
}

/// The body of a 409, of type `text/x.tlog.size`: the size last cosigned.
pub fn conflict_body(size: TreeSize) -> String {
    format!("{size}\n")
}

/// Reads the body of a 409.
pub fn recorded_size(body: &[u8]) -> Option<TreeSize> {
    TreeSize::parse(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

/// Reads the body of a 200: the cosignatures of known witnesses that verify, each key's first. Others are passed over.
///
/// An error only when the body is not signature lines.
pub fn cosignatures(
    body: &[u8],
    checkpoint: &Checkpoint,
    witnesses: &[WitnessKey],
) -> Result<Vec<Cosignature>, NoteError> {
    if body.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed("longer than 1,000,000 bytes"));
    }
    let body = str::from_utf8(body).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    let mut verified: Vec<Cosignature> = Vec::new();
    for line in SignatureLine::parse_all(body)? {
        let known = witnesses.iter().filter(|witness| witness.has_signed(&line));
        let mut new = known.filter(|witness| verified.iter().all(|earlier| earlier.key() != *witness));
        if let Some(cosignature) = new.find_map(|witness| witness.verify(checkpoint, &line).ok()) {
            verified.push(cosignature);
        }
    }
    Ok(verified)
}

/// Where a witness shows what it last cosigned of a log, below its monitoring prefix: `HEX/checkpoint` (B4).
pub fn monitoring_path(origin: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(origin).into();
    let digits = digest.iter().flat_map(|b| [b >> 4, b & 0xf]);
    let hex: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
    format!("{hex}/checkpoint")
}
