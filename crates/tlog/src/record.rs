//! Records: their text, their lines, and how they travel. Spec A1, A2.

use alloc::{boxed::Box, string::String, vec::Vec};

use crate::hash::{Hash, RecordId};

/// Not a record, lookup answer or data tile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed record: {0}")]
pub struct RecordError(pub &'static str);

/// The text of one record: what a leaf hashes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RecordText(Box<str>);
impl RecordText {
    /// Checks the rules of A2.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        let _ = text;
        todo!()
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Its leaf hash.
    pub fn leaf_hash(&self) -> Hash {
        todo!()
    }
    /// The sums that this text states for exactly this module and version.
    pub fn sums(&self, module: &str, version: &str) -> Result<Sums, RecordError> {
        let _ = (module, version);
        todo!()
    }
}
/// What a record says about one module version.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// `h1:` of the zip.
    pub zip: Option<[u8; 32]>,
    /// `h1:` of go.mod.
    pub go_mod: Option<[u8; 32]>,
}
/// A record of a checksum database as we write it: exactly two lines (A1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GoSumRecord {
    /// Module path.
    pub module: String,
    /// Version.
    pub version: String,
    /// `h1:` of the zip.
    pub zip_h1: [u8; 32],
    /// `h1:` of go.mod.
    pub go_mod_h1: [u8; 32],
}
impl GoSumRecord {
    /// The text.
    pub fn to_text(&self) -> Result<RecordText, RecordError> {
        todo!()
    }
    /// Reads exactly the two lines.
    pub fn parse(text: &RecordText) -> Result<Self, RecordError> {
        let _ = text;
        todo!()
    }
}
/// A lookup answer, nothing verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LookupAnswer {
    /// Claimed id.
    pub id: RecordId,
    /// Claimed text.
    pub text: RecordText,
    /// The rest: a head's note, or nothing.
    pub note: Box<[u8]>,
}
impl LookupAnswer {
    /// Cuts an answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let _ = bytes;
        todo!()
    }
    /// The bytes to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}
/// Cuts a data tile.
pub fn read_data_tile(bytes: &[u8], width: u32) -> Result<Vec<RecordText>, RecordError> {
    let _ = (bytes, width);
    todo!()
}
/// Joins texts into a data tile.
pub fn write_data_tile(texts: &[RecordText]) -> Vec<u8> {
    let _ = texts;
    todo!()
}
/// `EM@EV` of a lookup, e.g. `github.com/!burnt!sushi/toml@v1.2.0`.
pub fn lookup_path(module: &str, version: &str) -> String {
    let _ = (module, version);
    todo!()
}
