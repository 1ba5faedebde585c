//! The `h1:` sum: SHA-256 over a sorted list of file hashes (module-zip.md section 7).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A sum as go.sum and the checksum database write it: `h1:` and 32 bytes in standard base64.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct H1([u8; 32]);

/// The text is not `h1:` followed by the canonical base64 of 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an h1: sum of 32 bytes in standard base64")]
pub struct H1Error;

impl H1 {
    /// The sum with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sum of a `.mod` file: the list holds the one name `go.mod`.
    pub fn of_go_mod(_bytes: &[u8]) -> Self {
        todo!()
    }
}

impl fmt::Display for H1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h1:{}", STANDARD.encode(self.0))
    }
}

impl FromStr for H1 {
    type Err = H1Error;

    fn from_str(text: &str) -> Result<Self, H1Error> {
        let encoded = text.strip_prefix("h1:").ok_or(H1Error)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| H1Error)?;
        bytes.try_into().map(Self).map_err(|_| H1Error)
    }
}
