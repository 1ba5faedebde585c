//! The `h1:` sum: SHA-256 over a sorted list of file hashes (module-zip.md section 7).
//!
//! A sum covers names and contents, nothing else: not the order of a zip's entries, not their compression,
//! times or modes. Two zips with the same sum unpack to the same tree.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// A sum as go.sum and the checksum database write it: `h1:` and 32 bytes in standard padded base64.
///
/// The text form is unique: reading refuses CR, LF, missing padding and non-zero trailing bits
/// (README.md item 16), so that equal sums are equal texts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct H1([u8; 32]);

/// The text is not `h1:` followed by the canonical base64 of 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an h1: sum of 32 bytes in standard base64")]
pub struct H1Error;

impl H1 {
    /// The sum of an empty `go.mod`. The go command drops a go.sum line that carries it, so no real module
    /// may ever be given it (section 7, "known oddity").
    pub const OF_EMPTY_GO_MOD: Self = Self([
        0x1b, 0xb9, 0x80, 0x61, 0x8c, 0x60, 0x99, 0x2d, 0x25, 0x56, 0x41, 0xf2, 0xcb, 0x68, 0x44, 0x38, 0xb4,
        0x02, 0x14, 0x1d, 0x03, 0x95, 0x01, 0x53, 0x30, 0xb5, 0xa0, 0x83, 0x29, 0x2b, 0xc9, 0xd6,
    ]);

    /// The sum with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The sum of a `.mod` answer: a list that holds the one name `go.mod`.
    pub fn of_go_mod(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.add("go.mod", &Sha256::digest(bytes).into());
        hasher.finish()
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
        let mut bytes = [0; 32];
        // A slice of exactly 32 bytes bounds the work, however long the text is.
        match STANDARD.decode_slice(encoded, &mut bytes) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(H1Error),
        }
    }
}

/// Collects the lines of a sum in the order of their names.
///
/// The caller adds names in ascending byte order (for a zip: the full entry names, directory entries included,
/// a repeated directory as often as it stands there) and guarantees that no name holds a line feed; the name
/// rules of section 5.2 see to that.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    lines: Sha256,
}

impl Hasher {
    /// An empty list. Its sum is that of a zip without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the line of one file: its SHA-256 in lower-case hex, two spaces, its name, a line feed.
    pub fn add(&mut self, name: impl AsRef<[u8]>, sha256: &[u8; 32]) {
        self.lines.update(hex(sha256));
        self.lines.update(b"  ");
        self.lines.update(name);
        self.lines.update(b"\n");
    }

    /// The sum of all lines added.
    pub fn finish(self) -> H1 {
        H1(self.lines.finalize().into())
    }
}

fn hex(sha256: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(sha256) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// module-zip.md section 9, made with the go command.
    #[test]
    fn sums_of_go_mod_files_are_those_of_the_go_command() {
        for (content, h1) in [
            ("module example.com/m\n", "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k="),
            ("module example.com/Mixed\n", "h1:mKWd+C0fLeUDmQJoFR9Tb85lenQDbHwcqj3CJwF6aPg="),
            ("module github.com/BurntSushi/toml\n", "h1:xHWCNGjB5oqiDr8zfno3MHue2Ht5sIBksp03qcyfWMU="),
            ("module gopkg.in/yaml.v2\n", "h1:JAlM8MvJe8wmxCU4Bli9HhUf9+ttbYbLASfIpnQbh74="),
            ("", "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="),
        ] {
            assert_eq!(H1::of_go_mod(content.as_bytes()).to_string(), h1, "{content:?}");
        }
    }

    #[test]
    fn the_sum_of_an_empty_go_mod_has_a_name() {
        assert_eq!(H1::of_go_mod(b""), H1::OF_EMPTY_GO_MOD);
        assert_eq!(H1::OF_EMPTY_GO_MOD.to_string(), "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=");
    }

    #[test]
    fn no_files_at_all_have_a_sum() {
        assert_eq!(Hasher::new().finish().to_string(), "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    /// README.md, "cases the vectors lack": a directory entry is a line of its own, with empty content.
    #[test]
    fn a_directory_entry_counts() {
        let (x, empty) = (Sha256::digest("x").into(), Sha256::digest("").into());
        let mut alone = Hasher::new();
        alone.add("m@v1.0.0/d/x", &x);
        assert_eq!(alone.finish().to_string(), "h1:JvcRlrWeHG8gHj1sv8lofVMQmkA9ez/MyZcW9xQQaqI=");
        let mut beside = Hasher::new();
        beside.add("m@v1.0.0/d/", &empty);
        beside.add("m@v1.0.0/d/x", &x);
        assert_eq!(beside.finish().to_string(), "h1:KPZllvWoDuYBQeOQijff8dg6lB8K1cgdq02nxMSfX8A=");
    }

    #[test]
    fn reading_undoes_writing() {
        for byte in [0, 1, 0x7f, 0xff] {
            let sum = H1::from_bytes([byte; 32]);
            assert_eq!(sum.to_string().parse(), Ok(sum));
            assert_eq!(sum.to_string().len(), 47);
        }
    }

    /// README.md item 16: one sum, one text.
    #[test]
    fn a_second_spelling_of_a_sum_is_refused() {
        let good = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=";
        assert!(good.parse::<H1>().is_ok());
        for (bad, why) in [
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydZ=", "trailing bits are not zero"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY", "no padding"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY==", "too much padding"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=\n", "line feed"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQC\r\nFB0DlQFTMLWggykrydY=", "CR LF inside"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY= ", "space"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykr_dY=", "the URL alphabet"),
            ("h1:AAAA", "three bytes"),
            ("h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydYA", "33 bytes"),
            ("h2:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=", "another hash"),
            ("G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY=", "no prefix"),
            ("h1:", "nothing"),
        ] {
            assert_eq!(bad.parse::<H1>(), Err(H1Error), "{why}: {bad:?}");
        }
    }
}
