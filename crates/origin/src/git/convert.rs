//! What the archive step of git does to the contents of a file (module-zip section 3).
//!
//! Three conversions, in this order: `ident`, line ends, encoding. Each looks at what the one before it made. Filters
//! are never run, as we configure none: a Git LFS pointer stays a pointer.

use super::attributes::{Attributes, Value};

/// What is done to a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Conversion {
    ident: bool,
    line_ends: LineEnds,
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum LineEnds {
    #[default]
    Keep,
    /// LF becomes CRLF.
    Crlf,
    /// LF becomes CRLF where the contents look like text and have no CR yet (`text=auto eol=crlf`).
    CrlfIfText,
}

/// The encodings that are written here exactly as git's `iconv` (that of glibc) writes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Utf16 {
        bom: bool,
        big: bool,
    },
    Utf32 {
        bom: bool,
        big: bool,
    },
    /// All characters up to this one, a byte each.
    Bytes {
        last: char,
    },
}

/// Only the git program does this exactly.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Declined(pub(super) String);

impl Conversion {
    /// What the attributes ask for, under `core.autocrlf=input` and `core.eol=lf`. `None`: the blob's bytes as they are.
    pub(super) fn of(attributes: &Attributes) -> Result<Option<Self>, Declined> {
        let conversion = Self {
            ident: attributes.ident == Some(Value::Set),
            line_ends: line_ends(attributes),
            encoding: encoding(attributes.working_tree_encoding.as_ref())?,
        };
        Ok((conversion != Self::default()).then_some(conversion))
    }

    /// The contents of the archived file. `id`: the blob's, in hex.
    pub(super) fn apply(&self, mut contents: Vec<u8>, id: &str) -> Result<Vec<u8>, Declined> {
        if self.ident {
            contents = expand_ident(contents, id);
        }
        contents = match self.line_ends {
            LineEnds::Keep => contents,
            LineEnds::CrlfIfText if !is_plain_text(&contents) => contents,
            LineEnds::Crlf | LineEnds::CrlfIfText => to_crlf(contents),
        };
        match self.encoding {
            Some(encoding) => encoding.encode(contents),
            None => Ok(contents),
        }
    }
}

/// What `text`, or its old name, says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Text {
    Yes,
    No,
    Auto,
    Unsaid,
}

fn text(value: Option<&Value>) -> Text {
    match value {
        Some(Value::Set) => Text::Yes,
        Some(Value::Unset) => Text::No,
        Some(Value::Text(word)) if **word == *b"input" => Text::Yes,
        Some(Value::Text(word)) if **word == *b"auto" => Text::Auto,
        _ => Text::Unsaid,
    }
}

/// Z-11. Only `eol=crlf` changes anything; whether it counts is `text`'s to say, or `crlf`'s where `text` says nothing.
fn line_ends(attributes: &Attributes) -> LineEnds {
    let said = match text(attributes.text.as_ref()) {
        Text::Unsaid => text(attributes.crlf.as_ref()),
        said => said,
    };
    let crlf = matches!(&attributes.eol, Some(Value::Text(word)) if **word == *b"crlf");
    match said {
        Text::Yes | Text::Unsaid if crlf => LineEnds::Crlf,
        Text::Auto if crlf => LineEnds::CrlfIfText,
        _ => LineEnds::Keep,
    }
}

/// Whether contents look like text that has no CR at all.
fn is_plain_text(contents: &[u8]) -> bool {
    let (mut printable, mut other) = (0_u64, 0_u64);
    for &byte in contents {
        match byte {
            0 | b'\r' => return false,
            b'\n' => {}
            0x08 | b'\t' | 0x0c | 0x1b => printable += 1,
            0x01..=0x1f | 0x7f => other += 1,
            _ => printable += 1,
        }
    }
    // An end-of-file sign of old systems.
    if contents.last() == Some(&0x1a) {
        other -= 1;
    }
    printable >> 7 >= other
}

/// Every LF that has no CR before it gets one.
fn to_crlf(contents: Vec<u8>) -> Vec<u8> {
    let lone =
        memchr::memchr_iter(b'\n', &contents).filter(|&at| at == 0 || contents[at - 1] != b'\r').count();
    if lone == 0 {
        return contents;
    }
    let mut converted = Vec::with_capacity(contents.len() + lone);
    let mut copied = 0;
    for at in memchr::memchr_iter(b'\n', &contents) {
        converted.extend_from_slice(&contents[copied..at]);
        if at == 0 || contents[at - 1] != b'\r' {
            converted.push(b'\r');
        }
        converted.push(b'\n');
        copied = at + 1;
    }
    converted.extend_from_slice(&contents[copied..]);
    converted
}

/// `$Id$`, and `$Id: … $` as git itself wrote it, become `$Id: <id> $`.
fn expand_ident(contents: Vec<u8>, id: &str) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(contents.len() + id.len() + 3);
    let mut rest = contents.as_slice();
    while let Some(dollar) = memchr::memchr(b'$', rest) {
        expanded.extend_from_slice(&rest[..=dollar]);
        rest = &rest[dollar + 1..];
        match keyword(rest) {
            Keyword::Ends(bytes) => {
                expanded.extend_from_slice(b"Id: ");
                expanded.extend_from_slice(id.as_bytes());
                expanded.extend_from_slice(b" $");
                rest = &rest[bytes..];
            }
            Keyword::None => {}
            Keyword::Open => break,
        }
    }
    expanded.extend_from_slice(rest);
    expanded
}

enum Keyword {
    /// So many bytes, the closing dollar included.
    Ends(usize),
    None,
    /// `Id:`, and no dollar any more.
    Open,
}

/// The keyword behind a dollar.
fn keyword(text: &[u8]) -> Keyword {
    if text.starts_with(b"Id$") {
        return Keyword::Ends(3);
    }
    let Some(inside) = text.strip_prefix(b"Id:") else { return Keyword::None };
    let Some(end) = memchr::memchr(b'$', inside) else { return Keyword::Open };
    let inside = &inside[..end];
    // The byte behind the colon may be anything. A space before the last byte is another system's keyword.
    let space = inside.get(1..).and_then(|later| memchr::memchr(b' ', later)).map(|at| at + 1);
    if inside.contains(&b'\n') || space.is_some_and(|at| at + 1 < end) {
        return Keyword::None;
    }
    Keyword::Ends(3 + end + 1)
}

fn encoding(value: Option<&Value>) -> Result<Option<Encoding>, Declined> {
    let name = match value {
        Some(Value::Text(name)) if !name.is_empty() => name,
        // git gives up on the whole archive.
        Some(Value::Set) => return Err(Declined("working-tree-encoding without a value".to_owned())),
        _ => return Ok(None),
    };
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    // git itself takes the dash of these for optional.
    let name = match name.strip_prefix("utf") {
        Some(rest) => format!("utf-{}", rest.strip_prefix('-').unwrap_or(rest)),
        None => name,
    };
    let encoding = match name.as_str() {
        "utf-8" => return Ok(None),
        "utf-16" | "utf-16le-bom" => Encoding::Utf16 { bom: true, big: false },
        "utf-16be-bom" => Encoding::Utf16 { bom: true, big: true },
        "utf-16le" => Encoding::Utf16 { bom: false, big: false },
        "utf-16be" => Encoding::Utf16 { bom: false, big: true },
        "utf-32" => Encoding::Utf32 { bom: true, big: false },
        "utf-32le" => Encoding::Utf32 { bom: false, big: false },
        "utf-32be" => Encoding::Utf32 { bom: false, big: true },
        "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" | "latin-1" | "l1" => {
            Encoding::Bytes { last: '\u{ff}' }
        }
        "us-ascii" | "ascii" => Encoding::Bytes { last: '\u{7f}' },
        name => return Err(Declined(format!("working-tree-encoding={name}"))),
    };
    Ok(Some(encoding))
}

impl Encoding {
    /// Contents that are not UTF-8, or that the encoding has no characters for, stay as they are, as with git.
    fn encode(self, contents: Vec<u8>) -> Result<Vec<u8>, Declined> {
        let Ok(text) = std::str::from_utf8(&contents) else { return Ok(contents) };
        if text.is_empty() {
            return Ok(contents);
        }
        let order = |big: bool, bytes: &mut [u8]| {
            if !big {
                bytes.reverse();
            }
        };
        let mut encoded = Vec::with_capacity(contents.len() * 2 + 4);
        match self {
            Self::Utf16 { bom, big } => {
                for unit in bom.then_some(0xfeff).into_iter().chain(text.encode_utf16()) {
                    let mut bytes = unit.to_be_bytes();
                    order(big, &mut bytes);
                    encoded.extend_from_slice(&bytes);
                }
            }
            Self::Utf32 { bom, big } => {
                for character in bom.then_some('\u{feff}').into_iter().chain(text.chars()) {
                    let mut bytes = u32::from(character).to_be_bytes();
                    order(big, &mut bytes);
                    encoded.extend_from_slice(&bytes);
                }
            }
            Self::Bytes { last } => {
                // glibc drops Unicode's tag characters where a character set has none.
                if text.chars().any(|character| ('\u{e0000}'..='\u{e007f}').contains(&character)) {
                    return Err(Declined("tag characters".to_owned()));
                }
                for character in text.chars() {
                    match u8::try_from(u32::from(character)) {
                        Ok(byte) if character <= last => encoded.push(byte),
                        _ => return Ok(contents),
                    }
                }
            }
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idents() {
        for (from, to) in [
            ("$Id$", "$Id: x $"),
            ("a $Id: 1234 $ b", "a $Id: x $ b"),
            ("$Id:$", "$Id: x $"),
            ("$Id: $", "$Id: x $"),
            ("$Id:  $", "$Id: x $"),
            ("$Id: a.c,v 1.2 joe Exp $", "$Id: a.c,v 1.2 joe Exp $"),
            ("$Id: a\n$Id$", "$Id: a\n$Id: x $"),
            ("$Id", "$Id"),
            ("$Idle$Id$", "$Idle$Id: x $"),
            ("$$Id$$", "$$Id: x $$"),
            ("$Id: open", "$Id: open"),
        ] {
            assert_eq!(String::from_utf8(expand_ident(from.into(), "x")).unwrap(), to, "{from}");
        }
    }

    #[test]
    fn line_feeds() {
        for (from, to) in [
            ("", ""),
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\r\nb\n", "a\r\nb\r\n"),
            ("\n\n", "\r\n\r\n"),
            ("a\rb\n", "a\rb\r\n"),
            ("a\r\r\n", "a\r\r\n"),
        ] {
            assert_eq!(String::from_utf8(to_crlf(from.into())).unwrap(), to, "{from:?}");
        }
    }
}
