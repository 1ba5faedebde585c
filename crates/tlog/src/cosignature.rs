//! Cosignatures: a witness's word that a checkpoint continues all it has seen of the log. Spec B2.
//!
//! Two kinds: Ed25519 over the whole text, and ML-DSA-44, which withstands quantum computers, over origin, size and
//! root. Keys of both are read and written always; making and judging the second kind needs the feature `ml-dsa`.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::{
    checkpoint::Checkpoint,
    hash::decimal_fits,
    key::{KeyError, KeyText, check_name, ed25519_key, ed25519_verifies, key_hash, secret_text, write_key},
    note::{NoteError, SignatureLine},
};

#[cfg(feature = "ml-dsa")]
mod ml_dsa;

/// The bytes of an ML-DSA-44 public key.
pub const ML_DSA_44_KEY_BYTES: usize = 1312;

/// How a witness signs. Spec B2.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// `cosignature/v1`, algorithm byte 0x04.
    Ed25519,
    /// ML-DSA-44 over the `subtree/v1` message, algorithm byte 0x06.
    MlDsa44,
}

impl Algorithm {
    /// The byte in key texts and key hashes.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 4,
            Self::MlDsa44 => 6,
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::MlDsa44].into_iter().find(|algorithm| algorithm.byte() == byte)
    }
}

/// Seconds since 1970-01-01 UTC, at most 2^63-1 (B2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PosixTime(u64);

impl PosixTime {
    /// The time, or `None` above 2^63-1.
    pub fn new(seconds: u64) -> Option<Self> {
        decimal_fits(seconds).then_some(Self(seconds))
    }

    /// The seconds.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A witness's public key, in text `NAME+hhhhhhhh+base64(0x04 or 0x06 ‖ public key)`. Spec B2.
///
/// A log's key is a [`VerifierKey`](crate::VerifierKey); the two do not mix:
///
/// ```compile_fail,E0308
/// use modkeep_tlog::{VerifierKey, WitnessKey};
/// fn trust(log: VerifierKey) {}
/// trust(WitnessKey::parse("…").unwrap());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WitnessKey {
    name: Box<str>,
    hash: u32,
    key: PublicKey,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum PublicKey {
    Ed25519(VerifyingKey),
    MlDsa44(Box<[u8; ML_DSA_44_KEY_BYTES]>),
}

impl WitnessKey {
    /// Reads the text form.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let text = KeyText::parse(vkey)?;
        let key = match Algorithm::of_byte(text.algorithm).ok_or(KeyError::Algorithm)? {
            Algorithm::Ed25519 => PublicKey::Ed25519(ed25519_key(&text.bytes)?),
            Algorithm::MlDsa44 => {
                PublicKey::MlDsa44(text.bytes.into_boxed_slice().try_into().map_err(|_| KeyError::Malformed)?)
            }
        };
        Self::new(text.name, key)
    }

    fn new(name: &str, key: PublicKey) -> Result<Self, KeyError> {
        check_name(name).ok_or(KeyError::Name)?;
        if matches!(key, PublicKey::MlDsa44(_)) && u8::try_from(name.len()).is_err() {
            return Err(KeyError::Name); // its message has a byte for the length of the name
        }
        let mut witness = Self { name: name.into(), hash: 0, key };
        witness.hash = key_hash(name, witness.algorithm().byte(), witness.public_key());
        Ok(witness)
    }

    /// The name of the witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key hash: first four bytes of `SHA-256(NAME ‖ LF ‖ algorithm ‖ public key)`, big endian.
    pub fn hash(&self) -> u32 {
        self.hash
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            PublicKey::Ed25519(_) => Algorithm::Ed25519,
            PublicKey::MlDsa44(_) => Algorithm::MlDsa44,
        }
    }

    /// The bytes of the public key, 32 or 1,312. Two keys of one policy never share them, whatever their names (B5).
    pub fn public_key(&self) -> &[u8] {
        match &self.key {
            PublicKey::Ed25519(key) => key.as_bytes(),
            PublicKey::MlDsa44(key) => key.as_slice(),
        }
    }

    /// Whether this build can judge its cosignatures: ML-DSA-44 needs the feature `ml-dsa`.
    pub fn is_supported(&self) -> bool {
        cfg!(feature = "ml-dsa") || self.algorithm() == Algorithm::Ed25519
    }

    /// Whether a line claims to be of this key.
    pub fn has_signed(&self, line: &SignatureLine) -> bool {
        line.is_by(&self.name, self.hash)
    }

    /// Judges a line under a checkpoint.
    ///
    /// [`NoteError::Unverified`] when the line is of another key, or of a kind that this build cannot judge.
    pub fn verify(&self, checkpoint: &Checkpoint, line: &SignatureLine) -> Result<Cosignature, NoteError> {
        if !self.has_signed(line) || !self.is_supported() {
            return Err(NoteError::Unverified);
        }
        let bad = || NoteError::BadSignature { name: self.name.clone() };
        let (time, signature) = line.bytes().split_first_chunk::<8>().ok_or_else(bad)?;
        let time = PosixTime::new(u64::from_be_bytes(*time)).ok_or_else(bad)?;
        let verifies = match &self.key {
            PublicKey::Ed25519(key) => ed25519_verifies(key, &ed25519_message(checkpoint, time), signature),
            #[cfg(feature = "ml-dsa")]
            PublicKey::MlDsa44(key) => ml_dsa::message(&self.name, checkpoint, time)
                .is_some_and(|message| ml_dsa::verifies(key, &message, signature)),
            #[cfg(not(feature = "ml-dsa"))]
            PublicKey::MlDsa44(_) => false,
        };
        if !verifies {
            return Err(bad());
        }
        Ok(Cosignature { key: self.clone(), time, line: line.clone() })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, self.hash, self.algorithm().byte(), self.public_key())
    }
}

/// A cosignature that verifies. Only [`WitnessKey::verify`] and [`WitnessSigner::cosign`] make one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cosignature {
    key: WitnessKey,
    time: PosixTime,
    line: SignatureLine,
}

impl Cosignature {
    /// The witness.
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// When, by the witness's clock. Zero of an ML-DSA-44 one: it does not say that this was the largest tree it knew.
    pub fn time(&self) -> PosixTime {
        self.time
    }

    /// The line that goes under the checkpoint.
    pub fn line(&self) -> &SignatureLine {
        &self.line
    }

    /// The same, without the rest.
    pub fn into_line(self) -> SignatureLine {
        self.line
    }
}

/// A witness's secret key, in text `PRIVATE+KEY+NAME+hhhhhhhh+base64(0x04 or 0x06 ‖ seed)`.
///
/// Never the log's own, and an Ed25519 one never under two names: its message does not tell the name (B2, B4).
#[derive(Clone)]
pub struct WitnessSigner {
    key: WitnessKey,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Ed25519(Box<SigningKey>),
    #[cfg(feature = "ml-dsa")]
    MlDsa44(ml_dsa::Secret),
}

impl WitnessSigner {
    /// Reads the text form.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let text = KeyText::parse_secret(skey)?;
        let algorithm = Algorithm::of_byte(text.algorithm).ok_or(KeyError::Algorithm)?;
        let signer = Self::from_seed(text.name, algorithm, text.seed()?)?;
        if signer.key.hash == text.hash { Ok(signer) } else { Err(KeyError::Hash) }
    }

    /// The key of this name that the 32 secret bytes make. [`KeyError::Algorithm`] for ML-DSA-44 without the feature
    /// `ml-dsa`.
    pub fn from_seed(name: &str, algorithm: Algorithm, seed: [u8; 32]) -> Result<Self, KeyError> {
        let (public, secret) = match algorithm {
            Algorithm::Ed25519 => {
                let secret = SigningKey::from_bytes(&seed);
                (PublicKey::Ed25519(secret.verifying_key()), Secret::Ed25519(Box::new(secret)))
            }
            #[cfg(feature = "ml-dsa")]
            Algorithm::MlDsa44 => {
                let secret = ml_dsa::Secret::from_seed(seed);
                (PublicKey::MlDsa44(secret.public_key()), Secret::MlDsa44(secret))
            }
            #[cfg(not(feature = "ml-dsa"))]
            Algorithm::MlDsa44 => return Err(KeyError::Algorithm),
        };
        Ok(Self { key: WitnessKey::new(name, public)?, secret })
    }

    /// The key that judges what this one signs.
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// The text form. A secret: for one file, never for a message or a log line.
    pub fn to_text(&self) -> String {
        let seed = match &self.secret {
            Secret::Ed25519(key) => key.as_bytes(),
            #[cfg(feature = "ml-dsa")]
            Secret::MlDsa44(key) => key.seed(),
        };
        secret_text(&self.key.name, self.key.hash, self.key.algorithm().byte(), seed)
    }

    /// Cosigns: says that at `now` this is the largest tree that the witness has seen of this log (B2).
    ///
    /// Store the checkpoint first (B4). Refused by ML-DSA-44 when the origin is longer than 255 bytes.
    pub fn cosign(&self, checkpoint: &Checkpoint, now: PosixTime) -> Result<Cosignature, NoteError> {
        let signature: Vec<u8> = match &self.secret {
            Secret::Ed25519(key) => key.sign(&ed25519_message(checkpoint, now)).to_bytes().into(),
            #[cfg(feature = "ml-dsa")]
            Secret::MlDsa44(key) => ml_dsa::message(&self.key.name, checkpoint, now)
                .and_then(|message| key.sign(&message))
                .ok_or(NoteError::Malformed("origin longer than 255 bytes"))?,
        };
        let bytes = [now.0.to_be_bytes().as_slice(), &signature].concat();
        let line = SignatureLine::new(&self.key.name, self.key.hash, &bytes)?;
        Ok(Cosignature { key: self.key.clone(), time: now, line })
    }
}

impl fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays out of every log line (U7).
        f.debug_struct("WitnessSigner").field("name", &self.key.name).finish_non_exhaustive()
    }
}

/// `cosignature/v1` LF `time T` LF and the text of the note, extension lines included.
fn ed25519_message(checkpoint: &Checkpoint, time: PosixTime) -> Vec<u8> {
    format!("cosignature/v1\ntime {}\n{}", time.0, checkpoint.to_text()).into_bytes()
}
