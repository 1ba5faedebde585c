//! Signed notes: a text, a blank line, signature lines. Spec A5, "Note".
//!
//! A [`Note`] is bytes cut into parts and vouched for by nobody; opened with known keys it is an [`OpenNote`].

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::{fmt, str};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::key::check_name;

pub use crate::key::{KeyError, SignerKey, VerifierKey};

/// A longer note is refused unread (I15). The reference's number; a hundred ML-DSA lines take a third of it.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// A note with more signature lines is refused (I15). The reference's number.
pub const SIGNATURES_MAX: usize = 100;

/// Why a note does not open.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// Not of the form of a note, or beyond its limits.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A known key's signature does not fit the text: somebody changed one or the other.
    #[error("note has an invalid signature by the known key {name}")]
    BadSignature {
        /// The key's name.
        name: Box<str>,
    },
    /// No known key has signed.
    #[error("note has no verifiable signatures")]
    Unverified,
}

/// A note as it travels, cut into its text and its signature lines. Nothing of it is verified: see [`Note::open`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: Box<str>,
    lines: Vec<SignatureLine>,
}

/// A note that at least one known key has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenNote {
    text: Box<str>,
    verified: Vec<SignatureLine>,
    unverified: Vec<SignatureLine>,
}

/// A line `— NAME BASE64`: who is said to have signed, and the bytes that are to prove it.
///
/// The base64 is the key hash, four bytes big endian, and what the key made, at least one byte. A line is a claim:
/// [`VerifierKey::verifies`] and [`WitnessKey::verify`](crate::WitnessKey::verify) judge it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignatureLine {
    name: Box<str>,
    key_hash: u32,
    bytes: Box<[u8]>,
}

impl Note {
    /// Cuts a note. At most [`NOTE_BYTES_MAX`] bytes and [`SIGNATURES_MAX`] lines, and at least one line.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let (text, lines) = split(bytes)?;
        Ok(Self { text: text.into(), lines: SignatureLine::parse_all(lines)? })
    }

    /// Puts a text and its signature lines together, in this order. Nothing is verified.
    ///
    /// The text ends in LF and has no other control character; there are 1 to [`SIGNATURES_MAX`] lines.
    pub fn assemble(text: &str, lines: impl IntoIterator<Item = SignatureLine>) -> Result<Self, NoteError> {
        check_text(text)?;
        let lines: Vec<SignatureLine> = lines.into_iter().collect();
        check_number(lines.len())?;
        let note = Self { text: text.into(), lines };
        if note.to_text().len() > NOTE_BYTES_MAX { Err(TOO_LONG) } else { Ok(note) }
    }

    /// Opens a note with the keys known. Spec A5, "Note".
    ///
    /// Lines of unknown keys are passed over. A line of a known key that does not verify refuses the whole note; of
    /// several lines of one known key only the first counts.
    pub fn open(bytes: &[u8], keys: &[VerifierKey]) -> Result<OpenNote, NoteError> {
        Self::parse(bytes)?.verify(keys)
    }

    /// The same of a note that is cut already.
    pub fn verify(self, keys: &[VerifierKey]) -> Result<OpenNote, NoteError> {
        let mut note = OpenNote { text: self.text, verified: Vec::new(), unverified: Vec::new() };
        for line in self.lines {
            note.count(line, keys)?;
        }
        if note.verified.is_empty() { Err(NoteError::Unverified) } else { Ok(note) }
    }

    /// The text, ending in LF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order.
    pub fn lines(&self) -> &[SignatureLine] {
        &self.lines
    }

    /// The note as it travels, the reverse of [`parse`](Self::parse).
    pub fn to_text(&self) -> String {
        format!("{}\n{}", self.text, to_lines(&self.lines))
    }

    /// Adds a line, or puts it in the place of the same key's older one.
    pub fn put(&mut self, line: SignatureLine) -> Result<(), NoteError> {
        if let Some(older) = self.lines.iter_mut().find(|older| older.is_same_key(&line)) {
            *older = line;
            return Ok(());
        }
        check_number(self.lines.len().saturating_add(1))?;
        self.lines.push(line);
        Ok(())
    }
}

impl OpenNote {
    /// The signed text, ending in LF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lines of the known keys that have signed, each key once.
    pub fn verified(&self) -> &[SignatureLine] {
        &self.verified
    }

    /// The lines of unknown keys: nothing is known about them but their form.
    pub fn unverified(&self) -> &[SignatureLine] {
        &self.unverified
    }

    fn count(&mut self, line: SignatureLine, keys: &[VerifierKey]) -> Result<(), NoteError> {
        let mut known = keys.iter().filter(|key| line.is_by(key.name(), key.hash())).peekable();
        if known.peek().is_none() {
            self.unverified.push(line);
        } else if !self.verified.iter().any(|earlier| earlier.is_same_key(&line)) {
            if !known.any(|key| key.verifies(&self.text, &line.bytes)) {
                return Err(NoteError::BadSignature { name: line.name });
            }
            self.verified.push(line);
        }
        Ok(())
    }
}

impl SignatureLine {
    /// The line of these bytes, of which there is at least one.
    pub fn new(name: &str, key_hash: u32, bytes: &[u8]) -> Result<Self, NoteError> {
        check_name(name).ok_or(BAD_LINE)?;
        if bytes.is_empty() || has_control(name) {
            return Err(BAD_LINE);
        }
        Ok(Self { name: name.into(), key_hash, bytes: bytes.into() })
    }

    /// Reads a line without its LF.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        Self::cut(line).ok_or(BAD_LINE)
    }

    /// Reads lines that each end in LF, 1 to [`SIGNATURES_MAX`] of them: the end of a note, a witness's answer.
    pub fn parse_all(lines: &str) -> Result<Vec<Self>, NoteError> {
        let lines = lines.strip_suffix('\n').ok_or(NO_LINE)?;
        // One more than the limit is enough to know.
        let lines: Vec<&str> = lines.split('\n').take(SIGNATURES_MAX.saturating_add(1)).collect();
        check_number(lines.len())?;
        lines.into_iter().map(Self::parse).collect()
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key hash.
    pub fn key_hash(&self) -> u32 {
        self.key_hash
    }

    /// What the key made: of a log 64 bytes of signature, of a witness a time and a signature (B2).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the line claims to be of the key with this name and hash.
    pub fn is_by(&self, name: &str, key_hash: u32) -> bool {
        *self.name == *name && self.key_hash == key_hash
    }

    fn is_same_key(&self, other: &Self) -> bool {
        self.is_by(&other.name, other.key_hash)
    }

    fn cut(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
        let blob = STANDARD.decode(blob).ok()?;
        let (hash, bytes) = blob.split_first_chunk::<4>()?;
        Self::new(name, u32::from_be_bytes(*hash), bytes).ok()
    }
}

/// `— NAME BASE64`, without LF.
impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_hash.to_be_bytes(), &*self.bytes].concat();
        write!(f, "— {} {}", self.name, STANDARD.encode(blob))
    }
}

const BAD_LINE: NoteError = NoteError::Malformed("bad signature line");
const NO_LINE: NoteError = NoteError::Malformed("no signature line, or the last one does not end in LF");
const TOO_LONG: NoteError = NoteError::Malformed("longer than 1,000,000 bytes");

/// The items, an LF after each.
pub(crate) fn to_lines<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().flat_map(|item| [item.to_string(), "\n".into()]).collect()
}

/// The signed text and the signature lines: what stands before and after the last blank line.
fn split(bytes: &[u8]) -> Result<(&str, &str), NoteError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(TOO_LONG);
    }
    let note = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    if has_control(note) {
        return Err(NoteError::Malformed("control character"));
    }
    let (body, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
    // The text keeps the first of the two LFs.
    let text = note.get(..=body.len()).ok_or(NoteError::Malformed("no text"))?;
    Ok((text, lines))
}

fn check_number(lines: usize) -> Result<(), NoteError> {
    match lines {
        0 => Err(NO_LINE),
        1..=SIGNATURES_MAX => Ok(()),
        _ => Err(NoteError::Malformed("more than 100 signature lines")),
    }
}

/// A text that can be signed: ends in LF, no other control character.
pub(crate) fn check_text(text: &str) -> Result<(), NoteError> {
    if text.ends_with('\n') && !has_control(text) {
        return Ok(());
    }
    Err(NoteError::Malformed("a signed text ends in LF and has no other control character"))
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b < b' ' && b != b'\n')
}
