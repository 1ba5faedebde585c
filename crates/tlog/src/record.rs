//! Records: their text, the sums in it, and how they travel. Spec A1, A2.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::{iter, str};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    hash::{Hash, RecordId, decode_32, leaf_hash},
    note::NOTE_BYTES_MAX,
};

pub use crate::lookup::lookup_path;

/// A longer record text is refused. Two lines of the longest path and version stay below 4 KiB; the length of an entry
/// in a tlog-tiles bundle is a 16-bit number (B1), and that is the limit.
pub const RECORD_BYTES_MAX: usize = 65_535;

/// Not a record, a lookup answer or a data tile; says which rule is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed record: {0}")]
pub struct RecordError(pub &'static str);

/// The text of one record: what a leaf hashes.
///
/// UTF-8, ends in LF, no blank line, no control character but LF (A2). That is all: what it *says* is a claim of the
/// log's operator, and that it is *in* the log is a [`ProvenRecord`](crate::ProvenRecord).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RecordText(Box<str>);

impl RecordText {
    /// Checks the rules of A2.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(RecordError("longer than 65,535 bytes"));
        }
        let text = str::from_utf8(text).map_err(|_| RecordError("not UTF-8"))?;
        if !text.ends_with('\n') {
            return Err(RecordError("does not end in a line feed"));
        }
        if text.contains("\n\n") {
            return Err(RecordError("blank line"));
        }
        if text.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(RecordError("control character"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash of its leaf. Spec A3.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(self.0.as_bytes())
    }

    /// The sums that this text states for exactly this module and version.
    ///
    /// Lines that are not understood, and lines of anything else, even of a version that begins alike, are passed over
    /// (A1). An error when the text contradicts itself.
    pub fn sums(&self, module: &str, version: &str) -> Result<Sums, RecordError> {
        let mut sums = Sums::default();
        for (_, line_version, h1) in self.0.lines().filter_map(line).filter(|(path, ..)| *path == module) {
            let sum = match line_version.strip_prefix(version) {
                Some("") => &mut sums.zip,
                Some("/go.mod") => &mut sums.go_mod,
                _ => continue,
            };
            if sum.is_some_and(|other| other != h1) {
                return Err(RecordError("two different sums for one file"));
            }
            *sum = Some(h1);
        }
        Ok(sums)
    }
}

/// Module, version (perhaps with `/go.mod`) and sum of a line `M V h1:Z`, or `None` for any other line.
fn line(line: &str) -> Option<(&str, &str, [u8; 32])> {
    let (module, rest) = line.split_once(' ')?;
    let (version, sum) = rest.split_once(' ')?;
    Some((module, version, decode_32(sum.strip_prefix("h1:")?)?))
}

/// What a record states about one version of one module.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// The `h1:` of the module zip.
    pub zip: Option<[u8; 32]>,
    /// The `h1:` of go.mod.
    pub go_mod: Option<[u8; 32]>,
}

/// A record as our own log takes it: the two lines of A1 and nothing else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GoSumRecord {
    /// The module path, unescaped.
    pub module: String,
    /// The canonical version.
    pub version: String,
    /// The `h1:` of the module zip.
    pub zip_h1: [u8; 32],
    /// The `h1:` of go.mod.
    pub go_mod_h1: [u8; 32],
}

/// The same, with names and sums of somebody else: how rows are read without a copy of each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GoSumLines<'a> {
    /// The module path, unescaped.
    pub module: &'a str,
    /// The canonical version.
    pub version: &'a str,
    /// The `h1:` of the module zip.
    pub zip_h1: &'a [u8; 32],
    /// The `h1:` of go.mod.
    pub go_mod_h1: &'a [u8; 32],
}

impl GoSumLines<'_> {
    /// How long the two lines are, in bytes.
    fn len(&self) -> usize {
        const SUM: usize = " h1:".len() + 44 + "\n".len();
        let name = self.module.len().saturating_add(self.version.len()).saturating_add(" ".len());
        name.saturating_add(SUM).saturating_mul(2).saturating_add("/go.mod".len())
    }

    /// Appends the two lines to `text`; an error, and nothing is appended, when module or version would not fit into one
    /// (I09): what is written is always what [`GoSumRecord::parse`] takes and reads in the same way.
    pub fn append_to(&self, text: &mut String) -> Result<(), RecordError> {
        let Self { module, version, .. } = *self;
        if self.len() > RECORD_BYTES_MAX {
            return Err(RecordError("longer than 65,535 bytes"));
        }
        if module.is_empty() || version.is_empty() {
            return Err(RecordError("module or version is empty"));
        }
        // For the least byte of many the processor has instructions.
        let has_blank = |text: &str| text.bytes().min().is_some_and(|least| least <= b' ');
        if has_blank(module) || has_blank(version) {
            return Err(RecordError("space or control character in module or version"));
        }
        if version.contains('/') {
            return Err(RecordError("slash in version"));
        }
        for (file, h1) in [(" h1:", self.zip_h1), ("/go.mod h1:", self.go_mod_h1)] {
            text.push_str(module);
            text.push(' ');
            text.push_str(version);
            text.push_str(file);
            push_sum(text, h1);
            text.push('\n');
        }
        Ok(())
    }
}

fn push_sum(text: &mut String, h1: &[u8; 32]) {
    let mut sum = [0; 44];
    let is_whole = STANDARD.encode_slice(h1, &mut sum) == Ok(sum.len());
    text.push_str(str::from_utf8(&sum).ok().filter(|_| is_whole).expect("32 bytes are 44 of base64"));
}

impl GoSumRecord {
    /// Names and sums, lent.
    pub fn lines(&self) -> GoSumLines<'_> {
        let Self { module, version, zip_h1, go_mod_h1 } = self;
        GoSumLines { module, version, zip_h1, go_mod_h1 }
    }

    /// The two lines; an error when module or version would not fit into one (I09).
    pub fn to_text(&self) -> Result<RecordText, RecordError> {
        let lines = self.lines();
        let mut text = String::with_capacity(lines.len());
        lines.append_to(&mut text)?;
        Ok(RecordText(text.into()))
    }

    /// Reads exactly the two lines: the door to our log (I09).
    pub fn parse(text: &RecordText) -> Result<Self, RecordError> {
        let mut lines = text.as_str().split_terminator('\n').map(line);
        let (Some(Some((module, version, zip_h1))), Some(Some((again, go_mod, go_mod_h1))), None) =
            (lines.next(), lines.next(), lines.next())
        else {
            return Err(RecordError("not the two lines of a module version"));
        };
        let paired = again == module && go_mod.strip_suffix("/go.mod") == Some(version);
        if !paired || module.is_empty() || version.is_empty() || version.contains('/') {
            return Err(RecordError("the second line is not the go.mod line of the first"));
        }
        Ok(Self { module: module.into(), version: version.into(), zip_h1, go_mod_h1 })
    }
}

/// A lookup answer, cut into its parts; nothing of it is verified. Spec A2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LookupAnswer {
    /// The id that the text is said to have.
    pub id: RecordId,
    /// The text.
    pub text: RecordText,
    /// What follows the record: the note of a head, or nothing.
    pub note: Box<[u8]>,
}

impl LookupAnswer {
    /// Cuts an answer: decimal id, LF, text, LF, and the rest.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX.saturating_add(NOTE_BYTES_MAX) {
            return Err(RecordError("lookup answer too long"));
        }
        let end = bytes.iter().position(|b| *b == b'\n').ok_or(RecordError("no id"))?;
        let (id, rest) = bytes.split_at(end);
        let id = str::from_utf8(id).ok().and_then(RecordId::parse).ok_or(RecordError("bad id"))?;
        let (text, note) =
            cut(rest.get(1..).unwrap_or_default()).ok_or(RecordError("no blank line after the record"))?;
        let text = RecordText::parse(text)?;
        Ok(Self { id, text, note: note.into() })
    }

    /// The bytes to send, the reverse of [`parse`](Self::parse).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n{}\n", self.id, self.text.as_str()).into_bytes();
        bytes.extend_from_slice(&self.note);
        bytes
    }
}

/// Cuts a data tile of this width into its texts.
///
/// Takes the tile with and without a blank line after the last record, and finds exactly `width` records (A2).
pub fn read_data_tile(bytes: &[u8], width: u32) -> Result<Vec<RecordText>, RecordError> {
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let (mut texts, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        if texts.len() >= width {
            return Err(RecordError("more records than the tile is wide"));
        }
        let (text, after) = cut(rest).unwrap_or((rest, &[]));
        texts.push(RecordText::parse(text)?);
        rest = after;
    }
    if texts.len() == width { Ok(texts) } else { Err(RecordError("fewer records than the tile is wide")) }
}

/// Cuts a data tile into what should be texts; nothing of them is checked but where they end.
///
/// For those who compare each with its leaf: a text that is none has another hash.
pub fn texts_in(tile: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = tile;
    iter::from_fn(move || {
        let (text, after) = (!rest.is_empty()).then(|| cut(rest).unwrap_or((rest, &[])))?;
        rest = after;
        Some(text)
    })
}

/// Joins texts into a data tile, with a blank line between and none after the last (A2: "write without, read both").
pub fn write_data_tile(texts: &[RecordText]) -> Vec<u8> {
    let texts: Vec<&str> = texts.iter().map(RecordText::as_str).collect();
    texts.join("\n").into_bytes()
}

/// Joins texts into a tlog-tiles entry bundle: before each its length as a big-endian 16-bit number (B1).
pub fn write_bundle(texts: &[RecordText]) -> Vec<u8> {
    let mut bundle = Vec::new();
    for text in texts {
        let length = u16::try_from(text.0.len()).unwrap_or(u16::MAX); // RECORD_BYTES_MAX is u16::MAX
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(text.0.as_bytes());
    }
    bundle
}

/// Cuts an entry bundle of this width into its texts, the reverse of [`write_bundle`].
pub fn read_bundle(bundle: &[u8], width: u32) -> Result<Vec<RecordText>, RecordError> {
    const SHORT: RecordError = RecordError("bundle ends within an entry");
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    let (mut texts, mut rest) = (Vec::new(), bundle);
    while !rest.is_empty() {
        if texts.len() >= width {
            return Err(RecordError("more records than the bundle is wide"));
        }
        let (length, after) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
        let (text, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(SHORT)?;
        texts.push(RecordText::parse(text)?);
        rest = after;
    }
    if texts.len() == width { Ok(texts) } else { Err(RecordError("fewer records than the bundle is wide")) }
}

/// The entry bundle of a data tile: how one stored form serves both layouts (B1).
pub fn bundle_of(data_tile: &[u8], width: u32) -> Result<Vec<u8>, RecordError> {
    Ok(write_bundle(&read_data_tile(data_tile, width)?))
}

/// The text up to the first blank line, with its LF, and what follows the blank line.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let (text, blank_line) = bytes.split_at_checked(end.checked_add(1)?)?;
    Some((text, blank_line.get(1..)?))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// The same text by way of the two parsers, whose rules a writer must never be laxer than.
    fn slowly(record: &GoSumRecord) -> Option<RecordText> {
        let GoSumRecord { module, version, zip_h1, go_mod_h1 } = record;
        let (zip, go_mod) = (STANDARD.encode(zip_h1), STANDARD.encode(go_mod_h1));
        let text = format!("{module} {version} h1:{zip}\n{module} {version}/go.mod h1:{go_mod}\n");
        let text = RecordText::parse(text.as_bytes()).ok()?;
        (GoSumRecord::parse(&text).as_ref() == Ok(record)).then_some(text)
    }

    #[test]
    fn hostile_i09_only_what_reads_back_alike_becomes_text() {
        let long = "m".repeat(RECORD_BYTES_MAX / 2 - 109);
        let names = [
            "example.com/m",
            "v1.0.0",
            "",
            " ",
            "a b",
            "a\n",
            "\nb",
            "a\n\nb",
            "a\tb",
            "\0",
            "\u{7f}",
            "\u{a0}",
            "é/ü",
            "/",
            "a/go.mod",
            "v1.0.0/go.mod",
            "h1:",
            "a\u{1f}",
            "\r",
            &long,
            &long[1..],
            &long[2..],
        ];
        for module in names {
            for version in names {
                let (zip_h1, go_mod_h1) = ([0xfb; 32], [7; 32]);
                let record = GoSumRecord {
                    module: module.to_string(),
                    version: version.to_string(),
                    zip_h1,
                    go_mod_h1,
                };
                assert_eq!(record.to_text().ok(), slowly(&record), "{module:?} {version:?}");
                if let Ok(text) = record.to_text() {
                    assert_eq!(text.as_str().len(), record.lines().len());
                }
            }
        }
    }
}
