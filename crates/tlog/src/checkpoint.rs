//! Checkpoints: what a log promises, under its own name. Spec B1; C2SP tlog-checkpoint.
//!
//! A checkpoint and a go.sum head commit to the same size and root; only the first line differs. The text is a
//! [`Checkpoint`], a claim; signed by the log it is a [`SignedCheckpoint`], and witnesses add their lines to that.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use crate::{
    cosignature::{Cosignature, WitnessKey},
    hash::{Hash, TreeSize, empty_root},
    head::TreeHead,
    note::{Note, NoteError, SignatureLine, SignerKey, VerifierKey, to_lines},
};

/// The first line of every go.sum head: in terms of checkpoints, the origin that all checksum databases share (B1).
pub const GO_SUM_ORIGIN: &str = "go.sum database tree";

/// The text of a checkpoint: origin, size, root, perhaps extension lines. Nobody vouches for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    origin: Box<str>,
    head: TreeHead,
    /// Each line with its LF; mostly empty.
    extensions: Box<str>,
}

/// Why bytes are no checkpoint of this log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed, or does not open with the log's keys, or a known witness's line does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is not a checkpoint.
    #[error("malformed checkpoint: {0}")]
    Malformed(&'static str),
    /// A checkpoint of another log.
    #[error("checkpoint of another log: {0:?}")]
    Origin(Box<str>),
}

impl Checkpoint {
    /// The checkpoint of a log without extension lines, which nobody should write (B1).
    ///
    /// The origin is one line that is not empty.
    pub fn new(origin: &str, head: TreeHead) -> Result<Self, CheckpointError> {
        check_line(origin)?;
        Ok(Self { origin: origin.into(), head, extensions: Box::default() })
    }

    /// The go.sum head of the same tree, read as a checkpoint.
    pub fn go_sum(head: TreeHead) -> Self {
        Self { origin: GO_SUM_ORIGIN.into(), head, extensions: Box::default() }
    }

    /// Reads three or more lines, none of them empty, each ending in LF, size and root in their one form.
    ///
    /// The empty tree may come with any root here: it is for the judge to say what that is (B4: 422).
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.splitn(4, '\n');
        let (Some(origin), Some(size), Some(root), Some(extensions)) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Malformed("want three lines"));
        };
        check_line(origin)?;
        let size = TreeSize::parse(size).ok_or(CheckpointError::Malformed("bad size"))?;
        let root = root.parse().map_err(|_| CheckpointError::Malformed("bad root"))?;
        if !extensions.is_empty() {
            extensions
                .strip_suffix('\n')
                .ok_or(CheckpointError::Malformed("does not end in a line feed"))?
                .split('\n')
                .try_for_each(check_line)?;
        }
        Ok(Self { origin: origin.into(), head: TreeHead { size, root }, extensions: extensions.into() })
    }

    /// The text to sign, the reverse of [`parse`](Self::parse).
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n{}", self.origin, self.head.size, self.head.root, self.extensions)
    }

    /// Which log this is of.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// How many records.
    pub fn size(&self) -> TreeSize {
        self.head.size
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.head.root
    }

    /// The lines after the root: signed by the log, vouched for by no witness.
    pub fn extension_lines(&self) -> impl Iterator<Item = &str> {
        self.extensions.split_terminator('\n')
    }

    /// Whether a tree of this size can have this root at all: the empty tree has one root (A3).
    pub fn is_possible(&self) -> bool {
        self.size() != TreeSize::EMPTY || self.root() == empty_root()
    }
}

/// A checkpoint that its log has signed, with whatever lines others have added. Private fields: only opening or
/// signing makes one.
///
/// ```
/// use modkeep_tlog::{Checkpoint, SignedCheckpoint, SignerKey, TreeHead};
/// let key = SignerKey::from_seed("sums.example.org/log", [7; 32])?;
/// let checkpoint = Checkpoint::new("sums.example.org/log", TreeHead::EMPTY)?;
/// let signed = SignedCheckpoint::sign(checkpoint, &[&key])?;
/// let note = signed.to_text();
/// let opened = SignedCheckpoint::open(note.as_bytes(), "sums.example.org/log", &[key.verifier()])?;
/// assert_eq!(opened, signed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    own: Vec<SignatureLine>,
    others: Vec<SignatureLine>,
}

impl SignedCheckpoint {
    /// Signs with the log's key, or with the old and the new one while they are changed (A5, "Rotation").
    ///
    /// The same key signs the go.sum head of the tree, [`TreeHead::to_text`] by [`SignerKey::sign`] (B1).
    pub fn sign(checkpoint: Checkpoint, keys: &[&SignerKey]) -> Result<Self, CheckpointError> {
        let text = checkpoint.to_text();
        let own = keys.iter().map(|key| key.sign_line(&text)).collect::<Result<Vec<_>, _>>()?;
        Note::assemble(&text, own.clone())?;
        Ok(Self { checkpoint, own, others: Vec::new() })
    }

    /// Opens a note with the log's keys and reads the checkpoint of `origin` in it.
    ///
    /// A log's origin is the name of its key, or, of a go.sum head, [`GO_SUM_ORIGIN`]. Refuses an empty tree with a
    /// root of its own: nothing could ever prove it.
    pub fn open(note: &[u8], origin: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let signed = Self::verify(Note::parse(note)?, keys)?;
        if signed.origin() != origin {
            return Err(CheckpointError::Origin(signed.origin().into()));
        }
        if !signed.checkpoint.is_possible() {
            return Err(CheckpointError::Malformed("the empty tree has another root"));
        }
        Ok(signed)
    }

    /// Opens a note with the keys of a log that its origin line has already told.
    pub(crate) fn verify(note: Note, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let open = note.verify(keys)?;
        let checkpoint = Checkpoint::parse(open.text())?;
        Ok(Self { checkpoint, own: open.verified().into(), others: open.unverified().into() })
    }

    /// The text.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Which log this is of.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.checkpoint.head
    }

    /// The lines of the log's own keys, verified.
    pub fn own(&self) -> &[SignatureLine] {
        &self.own
    }

    /// All other lines: cosignatures, perhaps, and nothing is known about them but their form.
    pub fn others(&self) -> &[SignatureLine] {
        &self.others
    }

    /// The cosignatures of the witnesses known, in the order of the lines.
    ///
    /// Lines of other keys are passed over, and those of a known key after its first. A known key's line that does not
    /// verify refuses the whole (A5). Without the feature `ml-dsa`, a key of that kind is an unknown one.
    pub fn cosignatures(&self, witnesses: &[WitnessKey]) -> Result<Vec<Cosignature>, CheckpointError> {
        let mut verified: Vec<Cosignature> = Vec::new();
        for line in &self.others {
            let Some(witness) = witnesses.iter().find(|it| it.has_signed(line) && it.is_supported()) else {
                continue;
            };
            if verified.iter().all(|earlier| earlier.key() != witness) {
                verified.push(witness.verify(&self.checkpoint, line)?);
            }
        }
        Ok(verified)
    }

    /// Adds a witness's cosignature, in the place of its older one if there is one.
    ///
    /// Refused when it is of another checkpoint or when the note is full.
    pub fn add(&mut self, cosignature: Cosignature) -> Result<(), CheckpointError> {
        let line = cosignature.key().verify(&self.checkpoint, cosignature.line())?.into_line();
        let mut note =
            Note::assemble(&self.checkpoint.to_text(), self.own.iter().chain(&self.others).cloned())?;
        note.put(line)?;
        self.others = note.lines().get(self.own.len()..).unwrap_or_default().into();
        Ok(())
    }

    /// The same with the log's own lines alone: what `latest` and lookups carry (B2).
    #[must_use]
    pub fn without_cosignatures(&self) -> Self {
        Self { others: Vec::new(), ..self.clone() }
    }

    /// The note as it travels: the log's lines first, then the others.
    pub fn to_text(&self) -> String {
        let lines = self.own.iter().chain(&self.others);
        format!("{}\n{}", self.checkpoint.to_text(), to_lines(lines))
    }
}

fn check_line(line: &str) -> Result<(), CheckpointError> {
    if line.is_empty() {
        return Err(CheckpointError::Malformed("empty line"));
    }
    if line.bytes().any(|b| b < b' ') {
        return Err(CheckpointError::Malformed("control character"));
    }
    Ok(())
}
