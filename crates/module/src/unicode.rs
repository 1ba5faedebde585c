//! The Unicode facts the rules of names rest on, in the version the go command has (17.0).
//!
//! Checked against tables dumped from the go toolchain, for every code point (`testdata/unicode/`).
#![warn(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::fmt::{self, Display as _};

use icu_casemap::CaseMapperBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// Whether `c` is a letter (category L), as file names in a module zip may hold.
pub fn is_letter(c: char) -> bool {
    in_group(c, GeneralCategoryGroup::Letter)
}

/// Whether `c` leaves ink, or is the space: letters, marks, numbers, punctuation, symbols.
pub fn is_print(c: char) -> bool {
    const INK: GeneralCategoryGroup = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    c == ' ' || in_group(c, INK)
}

/// The case-folding key of a text: texts with equal keys differ by case only (module-zip.md section 5.3).
///
/// Folds code point by code point (statuses C and S), so `ß` is not `ss` but `K` (U+212A) is `k`.
pub fn fold_key(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(|c| CaseMapperBorrowed::new().simple_fold(c)).collect()
}

/// `text` in double quotes, special characters escaped as the go command does in its messages.
pub fn quoted(text: &str) -> impl fmt::Display {
    Quoted { text, quote: '"' }
}

/// The same for one character in single quotes.
pub fn quoted_char(c: char) -> impl fmt::Display {
    fmt::from_fn(move |f| Quoted { text: c.encode_utf8(&mut [0; 4]), quote: '\'' }.fmt(f))
}

/// Decodes UTF-8 with one U+FFFD for each byte that does not belong, as go does.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// The first character of a non-empty text and its length; U+FFFD and 1 for a byte that does not belong.
pub(crate) fn first_char(bytes: &[u8]) -> (char, usize) {
    if let Some(&b) = bytes.first().filter(|b| b.is_ascii()) {
        return (char::from(b), 1);
    }
    let window = bytes.get(..4).unwrap_or(bytes);
    let valid = window.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

struct Quoted<'a> {
    text: &'a str,
    quote: char,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.quote)?;
        for c in self.text.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                c if c == self.quote => write!(f, "\\{c}")?,
                c if is_print(c) => write!(f, "{c}")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c < '\u{80}' => write!(f, "\\x{:02x}", u32::from(c))?,
                c if c < '\u{10000}' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "\\U{:08x}", u32::from(c))?,
            }
        }
        write!(f, "{}", self.quote)
    }
}

fn in_group(c: char, group: GeneralCategoryGroup) -> bool {
    group.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}
