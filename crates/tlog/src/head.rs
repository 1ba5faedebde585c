//! Heads of a go.sum tree: what a log promises. Spec A5, "Head".

use alloc::{boxed::Box, format, string::String};

use crate::{
    checkpoint::GO_SUM_ORIGIN,
    hash::{EMPTY_ROOT, Hash, TreeSize, empty_root},
    note::{Note, NoteError, VerifierKey},
};

/// Size and root of a tree. Nobody vouches for it: see [`SignedHead`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TreeHead {
    /// How many records.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
}

/// Why bytes are no head of this log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// The note does not open with the log's key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is not a go.sum tree head: a head of something else, perhaps (I14).
    #[error("malformed tree head")]
    Malformed,
}

impl TreeHead {
    /// The head of the tree that holds nothing.
    pub const EMPTY: Self = Self { size: TreeSize::EMPTY, root: EMPTY_ROOT };

    /// Reads the three lines of a head. Further lines are legal and passed over (A5).
    ///
    /// A size of 0 with a root that is not the empty tree's is refused: nothing could ever prove it.
    pub fn parse(text: &str) -> Result<Self, HeadError> {
        parse(text).map(|(head, _)| head)
    }

    /// The three lines, the text to sign. Never more than that (CVE-2026-56864).
    pub fn to_text(&self) -> String {
        format!("{GO_SUM_ORIGIN}\n{}\n{}\n", self.size, self.root)
    }
}

/// The head and whatever follows it.
fn parse(text: &str) -> Result<(TreeHead, &str), HeadError> {
    let mut lines = text.splitn(4, '\n');
    let (Some(GO_SUM_ORIGIN), Some(size), Some(root), Some(extra)) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(HeadError::Malformed);
    };
    let size = TreeSize::parse(size).ok_or(HeadError::Malformed)?;
    let root = root.parse().map_err(|_| HeadError::Malformed)?;
    if size == TreeSize::EMPTY && root != empty_root() {
        return Err(HeadError::Malformed);
    }
    Ok((TreeHead { size, root }, extra))
}

/// A head that the log's key has signed, with its note. Private fields: only opening the note makes one.
///
/// Size and root alone are a claim, and do not pass for it:
///
/// ```compile_fail,E0308
/// use modkeep_tlog::{SignedHead, TreeHead};
/// fn save(head: SignedHead) {}
/// save(TreeHead::parse("go.sum database tree\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n").unwrap());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedHead {
    head: TreeHead,
    note: Box<[u8]>,
    extra_lines: bool,
}

impl SignedHead {
    /// Opens a note with the log's key and reads the head in it.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, HeadError> {
        let open = Note::open(note, core::slice::from_ref(key))?;
        let (head, extra) = parse(open.text())?;
        Ok(Self { head, note: note.into(), extra_lines: !extra.is_empty() })
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

    /// The note, byte for byte as received: what is saved, relayed and shown as evidence.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// Whether signed lines follow the root: legal and ignored, but no log should add any, so warn (A5).
    pub fn has_extra_lines(&self) -> bool {
        self.extra_lines
    }
}
