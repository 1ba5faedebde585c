//! Tree heads. Spec A5.

use alloc::{boxed::Box, string::String};

use crate::{
    hash::{Hash, TreeSize},
    note::{NoteError, VerifierKey},
};

/// What a log promises: so many records, this root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TreeHead {
    /// Number of records.
    pub size: TreeSize,
    /// Root of the tree over them.
    pub root: Hash,
}
/// Why a signed note is no head.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// The note does not open.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is not a go.sum tree head.
    #[error("malformed tree head")]
    Malformed,
}
impl TreeHead {
    /// Reads the text.
    pub fn parse(text: &str) -> Result<Self, HeadError> {
        let _ = text;
        todo!()
    }
    /// The text to sign.
    pub fn to_text(&self) -> String {
        todo!()
    }
}
/// A head whose note was opened with a known key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedHead {
    head: TreeHead,
    note: Box<[u8]>,
    extra: bool,
}
impl SignedHead {
    /// Opens the note and reads the head in it.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, HeadError> {
        let _ = (note, key);
        todo!()
    }
    /// Size and root.
    pub fn head(&self) -> TreeHead {
        self.head
    }
    /// Number of records.
    pub fn size(&self) -> TreeSize {
        self.head.size
    }
    /// Root.
    pub fn root(&self) -> Hash {
        self.head.root
    }
    /// The note as received: what to save and to relay.
    pub fn note(&self) -> &[u8] {
        &self.note
    }
    /// Whether signed lines follow the root: legal, ignored, worth a warning.
    pub fn has_extra_lines(&self) -> bool {
        self.extra
    }
}
