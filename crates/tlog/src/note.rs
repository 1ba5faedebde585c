//! Signed notes and the keys that sign and open them. Spec A5.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature as Ed25519, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// A longer note is refused unread (I15). The reference's number; a hundred ML-DSA lines take a third of it.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// A note with more signature lines is refused (I15). The reference's number.
pub const SIGNATURES_MAX: usize = 100;

/// The one algorithm of go.sum heads: Ed25519.
const ED25519: u8 = 1;

/// A key that opens notes, in text `NAME+hhhhhhhh+base64(0x01 ‖ public key)`. Ed25519 only. Spec A5.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: Box<str>,
    hash: u32,
    key: VerifyingKey,
}

/// A key that signs notes, in text `PRIVATE+KEY+NAME+hhhhhhhh+base64(0x01 ‖ seed)`. A secret. Spec A5.
#[derive(Clone)]
pub struct SignerKey {
    name: Box<str>,
    key: SigningKey,
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form `NAME+HASH+KEY`.
    #[error("malformed key: want NAME+HASH+KEY")]
    Malformed,
    /// The name is empty or has a space or a plus sign.
    #[error("malformed key: bad name")]
    Name,
    /// The hash does not belong to name and key: a slip in copying.
    #[error("malformed key: its hash does not belong to its name and key")]
    Hash,
    /// Not an Ed25519 key.
    #[error("unknown kind of key: only Ed25519 signs go.sum heads")]
    Algorithm,
}

impl VerifierKey {
    /// Reads the text form.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, hash, bytes) = parse_key(vkey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Algorithm)?;
        let key = Self::of(name, key);
        if key.is_weak() {
            return Err(KeyError::Algorithm);
        }
        if key.hash == hash { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The name of the key, which is that of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key hash: first four bytes of `SHA-256(NAME ‖ LF ‖ 0x01 ‖ public key)`, big endian.
    pub fn hash(&self) -> u32 {
        self.hash
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether the name is `host[/path]`, so that `https://NAME` is a plain URL and NAME a plain folder (A5, "Key").
    ///
    /// Stricter than a key needs; asked before a name becomes a URL or a directory.
    pub fn names_a_place(&self) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
        self.name.split('/').all(|element| !element.starts_with('.') && !element.is_empty())
            && self.name.bytes().all(|b| b == b'/' || plain(b))
    }

    fn of(name: &str, key: VerifyingKey) -> Self {
        Self { name: name.into(), hash: key_hash(name, key.as_bytes()), key }
    }

    /// Keys of small order would let one signature fit many texts.
    fn is_weak(&self) -> bool {
        self.key.is_weak()
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        Ed25519::from_slice(signature).is_ok_and(|it| self.key.verify_strict(text.as_bytes(), &it).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.hash, encode_key(self.key.as_bytes()))
    }
}

impl SignerKey {
    /// Reads the text form.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let (name, hash, seed) = parse_key(skey.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Malformed)?)?;
        let key = Self::from_seed(name, seed)?;
        if key.verifier().hash == hash { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The key of this name that the 32 secret bytes make.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name).ok_or(KeyError::Name)?;
        Ok(Self { name: name.into(), key: SigningKey::from_bytes(&seed) })
    }

    /// The key that opens what this one signs.
    pub fn verifier(&self) -> VerifierKey {
        VerifierKey::of(&self.name, self.key.verifying_key())
    }

    /// The text form. A secret: for one file, never for a message or a log line.
    pub fn to_text(&self) -> String {
        let hash = self.verifier().hash;
        format!("PRIVATE+KEY+{}+{hash:08x}+{}", self.name, encode_key(self.key.as_bytes()))
    }

    /// Signs a text into a note with this one signature.
    ///
    /// The text ends in LF and has no other control characters.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !text.ends_with('\n') || has_control(text) {
            return Err(NoteError::Malformed("a signed text ends in LF and has no other control character"));
        }
        let mut blob = Vec::from(self.verifier().hash.to_be_bytes());
        blob.extend_from_slice(&self.key.sign(text.as_bytes()).to_bytes());
        Ok(format!("{text}\n— {} {}\n", self.name, STANDARD.encode(blob)))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays out of every log line (U7).
        f.debug_struct("SignerKey").field("name", &self.name).finish_non_exhaustive()
    }
}

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

/// A signed note as it travels: a text, a blank line, signature lines. Opened by [`Note::open`], made by
/// [`SignerKey::sign`]; between the two it is only bytes.
#[derive(Debug)]
pub enum Note {}

/// A note that at least one known key has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenNote {
    text: Box<str>,
    verified: Vec<Signature>,
    unverified: Vec<Signature>,
}

/// Who a signature line says has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    name: Box<str>,
    hash: u32,
}

impl Note {
    /// Opens a note with the keys known. Spec A5, "Note".
    ///
    /// Lines of unknown keys are passed over. A line of a known key that does not verify refuses the whole note; of
    /// several lines of one known key only the first counts.
    pub fn open(bytes: &[u8], keys: &[VerifierKey]) -> Result<OpenNote, NoteError> {
        let (text, lines) = split(bytes)?;
        let mut note = OpenNote { text: text.into(), verified: Vec::new(), unverified: Vec::new() };
        for (number, line) in lines.split_terminator('\n').enumerate() {
            if number >= SIGNATURES_MAX {
                return Err(NoteError::Malformed("more than 100 signature lines"));
            }
            let (signature, blob) =
                Signature::parse(line).ok_or(NoteError::Malformed("bad signature line"))?;
            note.count(signature, &blob, keys)?;
        }
        if note.verified.is_empty() { Err(NoteError::Unverified) } else { Ok(note) }
    }
}

impl OpenNote {
    /// The signed text, ending in LF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The known keys that have signed, each once.
    pub fn verified(&self) -> &[Signature] {
        &self.verified
    }

    /// The lines of unknown keys: nothing is known about them but their form.
    pub fn unverified(&self) -> &[Signature] {
        &self.unverified
    }

    fn count(&mut self, signature: Signature, blob: &[u8], keys: &[VerifierKey]) -> Result<(), NoteError> {
        let mut known = keys.iter().filter(|key| signature.is_by(key)).peekable();
        if known.peek().is_none() {
            self.unverified.push(signature);
        } else if !self.verified.contains(&signature) {
            if !known.any(|key| key.verifies(&self.text, blob)) {
                return Err(NoteError::BadSignature { name: signature.name });
            }
            self.verified.push(signature);
        }
        Ok(())
    }
}

impl Signature {
    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key hash.
    pub fn hash(&self) -> u32 {
        self.hash
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.hash == key.hash
    }

    /// Reads `— NAME BASE64`: who, and the signature bytes, of which there is at least one.
    fn parse(line: &str) -> Option<(Self, Vec<u8>)> {
        let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
        check_name(name)?;
        let blob = STANDARD.decode(blob).ok()?;
        let (hash, signature) =
            blob.split_first_chunk::<4>().filter(|(_, signature)| !signature.is_empty())?;
        Some((Self { name: name.into(), hash: u32::from_be_bytes(*hash) }, signature.into()))
    }
}

/// The signed text and the signature lines: what stands before and after the last blank line.
fn split(bytes: &[u8]) -> Result<(&str, &str), NoteError> {
    if bytes.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed("longer than 1,000,000 bytes"));
    }
    let note = core::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
    if has_control(note) {
        return Err(NoteError::Malformed("control character"));
    }
    let (body, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
    if !lines.ends_with('\n') {
        return Err(NoteError::Malformed("no signature line, or the last one does not end in LF"));
    }
    // The text keeps the first of the two LFs.
    let text = note.get(..=body.len()).ok_or(NoteError::Malformed("no text"))?;
    Ok((text, lines))
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b < b' ' && b != b'\n')
}

fn check_name(name: &str) -> Option<()> {
    (!name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')).then_some(())
}

/// Name, stated hash and the 32 bytes of either kind of key.
fn parse_key(text: &str) -> Result<(&str, u32, [u8; 32]), KeyError> {
    // The base64 of the key may hold plus signs of its own, so only the first two cut.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Malformed);
    };
    check_name(name).ok_or(KeyError::Name)?;
    let lower_hex = hash.len() == 8 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let hash = lower_hex.then(|| u32::from_str_radix(hash, 16).ok()).flatten().ok_or(KeyError::Malformed)?;
    let key = STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
    match key.split_first() {
        Some((&ED25519, bytes)) => {
            bytes.try_into().map(|bytes| (name, hash, bytes)).map_err(|_| KeyError::Malformed)
        }
        Some(_) => Err(KeyError::Algorithm),
        None => Err(KeyError::Malformed),
    }
}

fn encode_key(bytes: &[u8; 32]) -> String {
    let mut encoded = Vec::from([ED25519]);
    encoded.extend_from_slice(bytes);
    STANDARD.encode(encoded)
}

fn key_hash(name: &str, public_key: &[u8; 32]) -> u32 {
    let mut sha = Sha256::new();
    sha.update(name);
    sha.update([b'\n', ED25519]);
    sha.update(public_key);
    let digest: [u8; 32] = sha.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}
