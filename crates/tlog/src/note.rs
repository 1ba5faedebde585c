//! Signed notes and their keys. Spec A5.

use alloc::{boxed::Box, string::String, vec::Vec};

/// A key that checks signatures, `NAME+hhhhhhhh+base64`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: Box<str>,
    hash: u32,
    key: [u8; 32],
}
/// A key that signs, `PRIVATE+KEY+NAME+hhhhhhhh+base64`.
#[derive(Clone)]
pub struct SignerKey {
    name: Box<str>,
    seed: [u8; 32],
}

/// Why a key text is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed key")]
pub struct KeyError;

impl VerifierKey {
    /// Reads the text form.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let _ = vkey;
        todo!()
    }
    /// The log's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The key hash.
    pub fn hash(&self) -> u32 {
        self.hash
    }
    /// The key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }
}
impl core::fmt::Display for VerifierKey {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        todo!()
    }
}
impl SignerKey {
    /// Reads the text form.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let _ = skey;
        todo!()
    }
    /// A key from its name and seed.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        let _ = (name, seed);
        todo!()
    }
    /// The key that checks what this one signs.
    pub fn verifier(&self) -> VerifierKey {
        let _ = (&self.name, &self.seed);
        todo!()
    }
    /// Text form; a secret.
    pub fn to_text(&self) -> String {
        todo!()
    }
    /// Signs a text (which must end in LF) into a note.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        let _ = text;
        todo!()
    }
}

/// Why a note does not open.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form of a note.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A known key's signature does not fit the text.
    #[error("invalid signature for key {name}")]
    BadSignature {
        /// The key's name.
        name: Box<str>,
    },
    /// No signature by a known key.
    #[error("note has no verifiable signatures")]
    Unverified,
}

/// The door of notes.
#[derive(Debug)]
pub enum Note {}
/// A note some known key has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenNote {
    text: Box<str>,
    verified: Vec<Signature>,
    unverified: Vec<Signature>,
}
/// One signature line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    name: Box<str>,
    hash: u32,
}
impl Signature {
    /// Key name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Key hash.
    pub fn hash(&self) -> u32 {
        self.hash
    }
}
impl OpenNote {
    /// Signed text, ending in LF.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// By known keys.
    pub fn verified(&self) -> &[Signature] {
        &self.verified
    }
    /// By others.
    pub fn unverified(&self) -> &[Signature] {
        &self.unverified
    }
}
impl Note {
    /// Opens a note with known keys.
    pub fn open(bytes: &[u8], keys: &[VerifierKey]) -> Result<OpenNote, NoteError> {
        let _ = (bytes, keys);
        todo!()
    }
}
