//! Records as an auditor reads them: in place, and with a word for each rule that they break. Spec A1, A2.

use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use modkeep_module::version::names_module_version;
use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_tlog::record::{RECORD_BYTES_MAX, Sums};
use sha2::{Digest as _, Sha256};

/// Cuts a data tile into the texts of its records: separated by a blank line, with or without one behind the last (A2).
pub(crate) fn cut(bytes: &[u8], width: u32) -> Result<Vec<&[u8]>, String> {
    let mut texts = Vec::with_capacity(width as usize);
    let mut start = 0;
    for end in memmem::find_iter(bytes, b"\n\n") {
        // Of three line feeds in a row the last belongs to the next record, which then breaks a rule.
        if end < start {
            continue;
        }
        texts.push(bytes.get(start..=end).unwrap_or_default());
        start = end + 2;
    }
    if let Some(last) = bytes.get(start..).filter(|last| !last.is_empty()) {
        texts.push(last);
    }
    if texts.len() == width as usize {
        Ok(texts)
    } else {
        Err(format!("holds {} records, its name says {width}", texts.len()))
    }
}

/// What a record says, as far as it can be read.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Reading<'a> {
    /// The module and version that its first line names.
    pub(crate) name: Option<(&'a str, &'a str)>,
    /// The sums that its lines state for that version.
    pub(crate) sums: Stated<'a>,
    /// What is wrong with it.
    pub(crate) fault: Option<Fault>,
}

/// Two sums in their text form, of which each sum has one.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Stated<'a> {
    zip: Option<&'a [u8; SUM]>,
    go_mod: Option<&'a [u8; SUM]>,
}

impl Stated<'_> {
    /// The sums themselves.
    pub(crate) fn read(&self) -> Sums {
        Sums { zip: self.zip.and_then(decode), go_mod: self.go_mod.and_then(decode) }
    }
}

/// Characters of a sum.
const SUM: usize = 44;

/// Which rule a record breaks.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A rule of A2: no log may hold such a text.
    Framing(&'static str),
    /// Not the two lines of A1: another log may hold more than we write, so it is only unusual.
    Unusual(String),
    /// A line for another module version than the first line's.
    Foreign(String),
}

/// Reads a record's text.
pub(crate) fn read(text: &[u8]) -> Reading<'_> {
    ordinary(text).unwrap_or_else(|| anything(text))
}

/// The two lines of A1 without any fault, which is nearly every record there is; `None` for everything else.
///
/// One look at each byte: an audit of the public database does this tens of millions of times.
fn ordinary(text: &[u8]) -> Option<Reading<'_>> {
    const END: usize = " h1:".len() + SUM;
    let (first, rest) = text.split_at_checked(memchr::memchr(b'\n', text)?)?;
    let second = rest.get(1..)?.strip_suffix(b"\n")?;
    let (name, zip) = first.split_at_checked(first.len().checked_sub(END)?)?;
    let go_mod = second.strip_prefix(name)?.strip_prefix(b"/go.mod")?;
    let sums = Stated { zip: Some(sum(zip)?), go_mod: Some(sum(go_mod)?) };
    let name = str::from_utf8(name).ok()?;
    let (module, version) = name.split_at_checked(memchr::memchr(b' ', name.as_bytes())?)?;
    let version = version.get(1..)?;
    // The names have no blank and no line feed, or they would be none.
    let is_one = names_module_version(module, version);
    is_one.then_some(Reading { name: Some((module, version)), sums, fault: None })
}

/// The sum in ` h1:SUM`.
fn sum(text: &[u8]) -> Option<&[u8; SUM]> {
    let sum = text.strip_prefix(b" h1:")?.try_into().ok()?;
    is_sum(sum).then_some(sum)
}

/// Whether these are 32 bytes in base64: of the 43rd character only four bits count, and the others are zero.
fn is_sum(text: &[u8; SUM]) -> bool {
    let [digits @ .., last, end] = text;
    let is_digit = |digit: u8| digit.is_ascii_alphanumeric() | matches!(digit, b'+' | b'/');
    // Not one by one but all at once, for which the processor has instructions.
    digits.iter().fold(true, |all, digit| all & is_digit(*digit))
        && b"AEIMQUYcgkosw048".contains(last)
        && *end == b'='
}

fn decode(text: &[u8; SUM]) -> Option<[u8; 32]> {
    let mut bytes = [0; 33];
    let length = STANDARD.decode_slice(text, &mut bytes).ok().filter(|length| *length == 32)?;
    bytes.get(..length)?.try_into().ok()
}

/// Any text, with what is wrong with it.
fn anything(text: &[u8]) -> Reading<'_> {
    let text = match framed(text) {
        Ok(text) => text,
        Err(rule) => return Reading { fault: Some(Fault::Framing(rule)), ..Reading::default() },
    };
    let mut reading = Reading::default();
    for (number, line) in text.lines().enumerate() {
        let Some((module, version, file_is_mod, sum)) = sum_line(line) else {
            reading.blame(Fault::Unusual(format!("line {} is no go.sum line", number + 1)));
            continue;
        };
        let name = *reading.name.get_or_insert((module, version));
        if name != (module, version) {
            reading.blame(Fault::Foreign(line.to_owned()));
            continue;
        }
        let place = if file_is_mod { &mut reading.sums.go_mod } else { &mut reading.sums.zip };
        if place.replace(sum).is_some_and(|before| before != sum) {
            reading.blame(Fault::Unusual("two different sums for one file".to_owned()));
        }
    }
    let two = text.lines().count() == 2 && reading.sums.zip.is_some() && reading.sums.go_mod.is_some();
    if reading.fault.is_none() && !two {
        reading.blame(Fault::Unusual("not the two lines of a module version".to_owned()));
    }
    if reading.fault.is_none()
        && let Some((module, version)) = reading.name
        && let Err(reason) = named(module, version)
    {
        reading.blame(Fault::Unusual(reason));
    }
    reading
}

impl Reading<'_> {
    /// Keeps the gravest fault: a line for another module first, then whatever came first.
    fn blame(&mut self, fault: Fault) {
        if self.fault.is_none() || matches!(fault, Fault::Foreign(_)) {
            self.fault = Some(fault);
        }
    }
}

/// The rules that hold for every record text (A2).
fn framed(text: &[u8]) -> Result<&str, &'static str> {
    if text.len() > RECORD_BYTES_MAX {
        return Err("longer than 65,535 bytes");
    }
    let text = str::from_utf8(text).map_err(|_| "not UTF-8")?;
    if !text.ends_with('\n') {
        return Err("does not end in a line feed");
    }
    if text.starts_with('\n') || memmem::find(text.as_bytes(), b"\n\n").is_some() {
        return Err("blank line");
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err("control character");
    }
    Ok(text)
}

/// Module, version, whether the sum is go.mod's, and the sum, of a line `M V[/go.mod] h1:SUM`.
fn sum_line(line: &str) -> Option<(&str, &str, bool, &[u8; SUM])> {
    let (module, rest) = line.split_once(' ')?;
    let (version, last) = rest.split_at_checked(rest.find(' ')?)?;
    let sum = sum(last.as_bytes())?;
    match version.strip_suffix("/go.mod") {
        Some(version) => Some((module, version, true, sum)),
        None => Some((module, version, false, sum)),
    }
}

/// The rules for module paths and versions (A1).
pub(crate) fn named(module: &str, version: &str) -> Result<(), String> {
    let path = ModulePath::parse(module).map_err(|error| error.to_string())?;
    let version = Version::parse(version).map_err(|error| error.to_string())?;
    ModuleVersion::new(path, version).map(drop).map_err(|error| error.to_string())
}

/// The front of the SHA-256 of a module version's name: what the search for duplicates compares first.
pub(crate) fn fingerprint(module: &str, version: &str) -> [u8; 10] {
    let mut sha = Sha256::new();
    sha.update(module);
    sha.update(b" ");
    sha.update(version);
    let digest: [u8; 32] = sha.finalize().into();
    let mut front = [0; 10];
    front.copy_from_slice(&digest[..10]);
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZIP: &str = "example.com/m v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    const MOD: &str = "example.com/m v1.0.0/go.mod h1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    const OTHER: &str = "example.com/n v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn a_record_is_two_lines_and_each_other_form_has_a_name() {
        for (text, fault) in [
            (format!("{ZIP}{MOD}"), None),
            (format!("{MOD}{ZIP}"), None),
            (ZIP.to_owned(), Some("unusual")),
            (format!("{ZIP}{MOD}{ZIP}"), Some("unusual")),
            (format!("{ZIP}{MOD}a word\n"), Some("unusual")),
            (format!("{ZIP}{OTHER}"), Some("foreign")),
            (format!("a word\n{ZIP}{MOD}{OTHER}"), Some("foreign")),
            (format!("{ZIP}\n{MOD}"), Some("framing")),
            (format!("\n{ZIP}{MOD}"), Some("framing")),
            (ZIP.trim_end().to_owned(), Some("framing")),
            (format!("{ZIP}{MOD}\t\n"), Some("framing")),
            (String::new(), Some("framing")),
            (format!("{ZIP}{MOD}").replace("v1.0.0", "v2.0.0"), Some("unusual")), // the path lacks /v2
            (format!("{ZIP}{MOD}").replace("v1.0.0", "master"), Some("unusual")),
        ] {
            let found = read(text.as_bytes()).fault.map(|fault| match fault {
                Fault::Framing(_) => "framing",
                Fault::Unusual(_) => "unusual",
                Fault::Foreign(_) => "foreign",
            });
            assert_eq!(found, fault, "{text:?}");
            // The quick way gives the same answer as the thorough one, or none.
            assert!(ordinary(text.as_bytes()).is_none_or(|quick| quick == anything(text.as_bytes())));
        }
        assert!(ordinary(format!("{ZIP}{MOD}").as_bytes()).is_some());
    }

    #[test]
    fn a_sum_is_what_is_strict_base64_of_32_bytes() {
        let sum: &[u8; SUM] = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for place in 0..SUM {
            for byte in 0..=255 {
                let mut text = *sum;
                text[place] = byte;
                assert_eq!(is_sum(&text), decode(&text).is_some(), "{place} {byte}");
            }
        }
    }

    #[test]
    fn a_data_tile_is_cut_with_and_without_a_blank_line_at_its_end() {
        let (one, two) = (format!("{ZIP}{MOD}"), format!("{OTHER}{MOD}"));
        for (tile, width, texts) in [
            (format!("{one}\n{two}"), 2, Some(vec![one.as_str(), two.as_str()])),
            (format!("{one}\n{two}\n"), 2, Some(vec![one.as_str(), two.as_str()])),
            (one.clone(), 1, Some(vec![one.as_str()])),
            (format!("{one}\n{two}"), 1, None),
            (format!("{one}\n{two}"), 3, None),
            (format!("{one}\n\n{two}"), 3, None),
            (String::new(), 1, None),
        ] {
            let expected = texts.map(|texts| texts.iter().map(|text| text.as_bytes()).collect());
            assert_eq!(cut(tile.as_bytes(), width).ok(), expected, "{tile:?} {width}");
        }
    }
}
