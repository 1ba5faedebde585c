//! Proofs that stand alone: a file that shows a record to be in a log, checked without asking anybody. Spec B5; C2SP
//! tlog-proof.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::str;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    client::ProvenRecord,
    cosignature::Cosignature,
    hash::{Hash, RecordId},
    note::{NOTE_BYTES_MAX, Note, NoteError, VerifierKey, to_lines},
    policy::{NotAccepted, Policy},
    proof::verify_inclusion,
    witness::PROOF_LINES_MAX,
};

/// The first line.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A longer `extra` is refused.
pub const EXTRA_BYTES_MAX: usize = 65_536;
/// A longer file is refused unread.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 2 * EXTRA_BYTES_MAX;

/// A `tlog-proof`: the id of a record, the way from its leaf to the root, and a checkpoint or go.sum head.
///
/// A claim until [`verify`](Self::verify) or [`verify_with_keys`](Self::verify_with_keys).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProofFile {
    extra: Option<Box<[u8]>>,
    id: RecordId,
    hashes: Vec<Hash>,
    note: Note,
}

/// Why a proof does not convince.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofFileError {
    /// Not of the format.
    #[error("malformed proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint is not one, or not of this log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The policy does not accept the checkpoint.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// The hashes do not lead from this record to the checkpoint's root.
    #[error("the proof does not lead from the record to the checkpoint")]
    NotIncluded,
}

/// A leaf that is in a log, with who says so. Only verifying a [`ProofFile`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Included {
    id: RecordId,
    leaf: Hash,
    checkpoint: SignedCheckpoint,
    cosignatures: Vec<Cosignature>,
}

impl ProofFile {
    /// Puts a proof together. The hashes are [`prove_inclusion`](crate::proof::prove_inclusion) in the note's tree.
    ///
    /// The note is a checkpoint or a go.sum head (B5). Refused when it is neither, or `extra` or the proof too long.
    pub fn new(id: RecordId, hashes: Vec<Hash>, note: Note) -> Result<Self, ProofFileError> {
        Checkpoint::parse(note.text())?;
        if hashes.len() > PROOF_LINES_MAX {
            return Err(ProofFileError::Malformed("more than 63 hashes"));
        }
        Ok(Self { extra: None, id, hashes, note })
    }

    /// The proof of a record that a client has looked up, under the head that it was proven by (C7).
    pub fn of(record: &ProvenRecord) -> Result<Self, ProofFileError> {
        Self::new(record.id(), record.inclusion().into(), Note::parse(record.head().note())?)
    }

    /// The same with extra data, which nothing authenticates.
    pub fn with_extra(self, extra: &[u8]) -> Result<Self, ProofFileError> {
        if extra.len() > EXTRA_BYTES_MAX {
            return Err(ProofFileError::Malformed("extra data too long"));
        }
        Ok(Self { extra: Some(extra.into()), ..self })
    }

    /// Reads the file, in its one form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(ProofFileError::Malformed("too long"));
        }
        let text = str::from_utf8(bytes).map_err(|_| ProofFileError::Malformed("not UTF-8"))?;
        // No line before the note is empty, so the first blank line ends them.
        let (proof, note) = text.split_once("\n\n").ok_or(ProofFileError::Malformed("no blank line"))?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofFileError::Malformed("not a tlog-proof@v1"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra ")).map(extra).transpose()?;
        let id = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(RecordId::parse);
        let id = id.ok_or(ProofFileError::Malformed("bad index"))?;
        let mut hashes = Vec::new();
        for line in lines {
            // Longer ones are refused by `new`; here the reading stops.
            if hashes.len() <= PROOF_LINES_MAX {
                hashes.push(line.parse().map_err(|_| ProofFileError::Malformed("bad hash"))?);
            }
        }
        let note = Note::parse(note.as_bytes()).map_err(CheckpointError::Note)?;
        Ok(Self { extra, ..Self::new(id, hashes, note)? })
    }

    /// The file, the reverse of [`parse`](Self::parse).
    pub fn to_text(&self) -> String {
        let extra = self.extra.iter().map(|extra| format!("extra {}", STANDARD.encode(extra)));
        let (extra, hashes) = (to_lines(extra), to_lines(&self.hashes));
        format!("{FIRST_LINE}\n{extra}index {}\n{hashes}\n{}", self.id, self.note.to_text())
    }

    /// Which record.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The hashes from the leaf's sibling up.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The checkpoint or go.sum head.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What else somebody put into the file. Nothing authenticates it.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that `leaf` is in a log of the policy, under a checkpoint that the policy accepts.
    pub fn verify(&self, leaf: Hash, policy: &Policy) -> Result<Included, ProofFileError> {
        let accepted = policy.judge(self.note.clone())?;
        self.include(leaf, accepted.checkpoint, accepted.cosignatures)
    }

    /// Checks that `leaf` is in the log of this origin, by the word of its own keys alone.
    ///
    /// The origin of a go.sum head is [`GO_SUM_ORIGIN`](crate::GO_SUM_ORIGIN).
    pub fn verify_with_keys(
        &self,
        leaf: Hash,
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Included, ProofFileError> {
        let checkpoint = SignedCheckpoint::open(self.note.to_text().as_bytes(), origin, keys)?;
        self.include(leaf, checkpoint, Vec::new())
    }

    fn include(
        &self,
        leaf: Hash,
        checkpoint: SignedCheckpoint,
        cosignatures: Vec<Cosignature>,
    ) -> Result<Included, ProofFileError> {
        let head = checkpoint.head();
        verify_inclusion(&self.hashes, head.size, head.root, self.id, leaf)
            .map_err(|_| ProofFileError::NotIncluded)?;
        Ok(Included { id: self.id, leaf, checkpoint, cosignatures })
    }
}

impl Included {
    /// Which record.
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// The hash of its leaf.
    pub fn leaf(&self) -> Hash {
        self.leaf
    }

    /// The checkpoint, signed by the log.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The cosignatures of the policy's witnesses; none where only keys were asked for.
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }
}

fn extra(line: &str) -> Result<Box<[u8]>, ProofFileError> {
    let base64 = line.strip_prefix("extra ").unwrap_or_default();
    if base64.len() > EXTRA_BYTES_MAX.saturating_mul(2) {
        return Err(ProofFileError::Malformed("extra data too long"));
    }
    let extra = STANDARD.decode(base64).map_err(|_| ProofFileError::Malformed("bad extra data"))?;
    Ok(extra.into())
}

impl From<NoteError> for ProofFileError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}
