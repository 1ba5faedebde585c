//! Keys of logs: Ed25519 keys that sign and open notes, and the text form of all keys. Spec A5, "Key".
//!
//! A witness has keys of another type, [`WitnessKey`](crate::WitnessKey): what one signs is a cosignature, no head.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature as Ed25519, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::note::{Note, NoteError, SignatureLine, check_text};

/// The algorithm byte of a log's key: Ed25519 over the text of the note.
const LOG: u8 = 1;

/// A log's public key, in text `NAME+hhhhhhhh+base64(0x01 ‖ public key)`. Ed25519 only. Spec A5.
///
/// Opens go.sum heads and checkpoints alike (B1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: Box<str>,
    hash: u32,
    key: VerifyingKey,
}

/// A log's secret key, in text `PRIVATE+KEY+NAME+hhhhhhhh+base64(0x01 ‖ seed)`. Spec A5.
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
    /// The name is empty or has a space or a plus sign, or is too long for this kind of key.
    #[error("malformed key: bad name")]
    Name,
    /// The hash does not belong to name and key: a slip in copying.
    #[error("malformed key: its hash does not belong to its name and key")]
    Hash,
    /// A key for another purpose: a witness's where a log's is wanted, or the reverse.
    #[error("wrong kind of key")]
    Algorithm,
}

impl VerifierKey {
    /// Reads the text form.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let text = KeyText::parse(vkey)?;
        if text.algorithm != LOG {
            return Err(KeyError::Algorithm);
        }
        Ok(Self { name: text.name.into(), hash: text.hash, key: ed25519_key(&text.bytes)? })
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

    /// The line of a signature that was made elsewhere: by a device, a service, another process.
    ///
    /// `signature` is the 64 bytes over `text`. One that does not verify is refused here, before anybody sees it.
    pub fn signature_line(&self, text: &str, signature: &[u8]) -> Result<SignatureLine, NoteError> {
        check_text(text)?;
        if !self.verifies(text, signature) {
            return Err(NoteError::BadSignature { name: self.name.clone() });
        }
        SignatureLine::new(&self.name, self.hash, signature)
    }

    /// Whether these are the 64 bytes that the key's owner makes over `text`.
    pub fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        ed25519_verifies(&self.key, text.as_bytes(), signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, self.hash, LOG, self.key.as_bytes())
    }
}

impl SignerKey {
    /// Reads the text form.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let text = KeyText::parse_secret(skey)?;
        if text.algorithm != LOG {
            return Err(KeyError::Algorithm);
        }
        let key = Self::from_seed(text.name, text.seed()?)?;
        if key.verifier().hash == text.hash { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// The key of this name that the 32 secret bytes make.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        check_name(name).ok_or(KeyError::Name)?;
        Ok(Self { name: name.into(), key: SigningKey::from_bytes(&seed) })
    }

    /// The key that opens what this one signs.
    pub fn verifier(&self) -> VerifierKey {
        let key = self.key.verifying_key();
        VerifierKey { name: self.name.clone(), hash: key_hash(&self.name, LOG, key.as_bytes()), key }
    }

    /// The text form. A secret: for one file, never for a message or a log line.
    pub fn to_text(&self) -> String {
        secret_text(&self.name, self.verifier().hash, LOG, self.key.as_bytes())
    }

    /// The line of this key's signature over a text, which ends in LF and has no other control characters.
    pub fn sign_line(&self, text: &str) -> Result<SignatureLine, NoteError> {
        check_text(text)?;
        SignatureLine::new(&self.name, self.verifier().hash, &self.key.sign(text.as_bytes()).to_bytes())
    }

    /// Signs a text into a note with this one signature. With several: [`Note::assemble`].
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        Ok(Note::assemble(text, [self.sign_line(text)?])?.to_text())
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays out of every log line (U7).
        f.debug_struct("SignerKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The parts of a key's text. Of a public key the hash is checked; of a secret one it cannot be yet.
pub(crate) struct KeyText<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: u32,
    pub(crate) algorithm: u8,
    pub(crate) bytes: Vec<u8>,
}

impl<'a> KeyText<'a> {
    /// Cuts `NAME+HASH+KEY` and compares the hash.
    pub(crate) fn parse(vkey: &'a str) -> Result<Self, KeyError> {
        let key = Self::cut(vkey)?;
        let fits = key.hash == key_hash(key.name, key.algorithm, &key.bytes);
        if fits { Ok(key) } else { Err(KeyError::Hash) }
    }

    /// Cuts `PRIVATE+KEY+NAME+HASH+KEY`, whose hash is that of the public key.
    pub(crate) fn parse_secret(skey: &'a str) -> Result<Self, KeyError> {
        Self::cut(skey.strip_prefix("PRIVATE+KEY+").ok_or(KeyError::Malformed)?)
    }

    /// The 32 secret bytes.
    pub(crate) fn seed(&self) -> Result<[u8; 32], KeyError> {
        self.bytes.as_slice().try_into().map_err(|_| KeyError::Malformed)
    }

    fn cut(text: &'a str) -> Result<Self, KeyError> {
        // The base64 of the key may hold plus signs of its own, so only the first two cut.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Malformed);
        };
        check_name(name).ok_or(KeyError::Name)?;
        let hash = lower_hex(hash).ok_or(KeyError::Malformed)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Malformed)?;
        let (algorithm, bytes) = key.split_first().ok_or(KeyError::Malformed)?;
        Ok(Self { name, hash, algorithm: *algorithm, bytes: bytes.into() })
    }
}

/// Eight lower-case hexadecimal digits (README item 16).
fn lower_hex(hash: &str) -> Option<u32> {
    let one_form = hash.len() == 8 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    one_form.then(|| u32::from_str_radix(hash, 16).ok()).flatten()
}

/// Names of keys: no Unicode space, no plus sign (A5).
pub(crate) fn check_name(name: &str) -> Option<()> {
    (!name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')).then_some(())
}

/// An Ed25519 key that can mean only one signer: keys of small order would let one signature fit many texts.
pub(crate) fn ed25519_key(bytes: &[u8]) -> Result<VerifyingKey, KeyError> {
    let bytes = bytes.try_into().map_err(|_| KeyError::Malformed)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Malformed)?;
    if key.is_weak() { Err(KeyError::Malformed) } else { Ok(key) }
}

pub(crate) fn ed25519_verifies(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Ed25519::from_slice(signature).is_ok_and(|it| key.verify_strict(message, &it).is_ok())
}

/// The first four bytes of `SHA-256(NAME ‖ LF ‖ algorithm ‖ public key)`, big endian (A5, B2).
pub(crate) fn key_hash(name: &str, algorithm: u8, public_key: &[u8]) -> u32 {
    let mut sha = Sha256::new();
    sha.update(name);
    sha.update([b'\n', algorithm]);
    sha.update(public_key);
    let digest: [u8; 32] = sha.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

pub(crate) fn write_key(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    hash: u32,
    algorithm: u8,
    bytes: &[u8],
) -> fmt::Result {
    write!(f, "{name}+{hash:08x}+{}", STANDARD.encode([&[algorithm], bytes].concat()))
}

pub(crate) fn secret_text(name: &str, hash: u32, algorithm: u8, seed: &[u8; 32]) -> String {
    format!("PRIVATE+KEY+{name}+{hash:08x}+{}", STANDARD.encode([&[algorithm], seed.as_slice()].concat()))
}
