//! The path of a lookup: which module version is asked for. Spec A6, "Lookup", step 1.

use alloc::{boxed::Box, format, string::String};
use core::fmt::Write as _;

/// A longer path is refused (hostile-inputs part 1: module path 1,024, escaped version 240 bytes; escaping doubles).
const PATH_BYTES_MAX: usize = 4096;

/// A module path and a canonical version, as a lookup names them: `lookup/github.com/!burnt!sushi/toml@v1.2.0`.
///
/// Checks the form that the protocol needs: elements and characters of the path, the canonical version, the escaping.
/// The finer rules of module paths, such as the major version suffix, are the module room's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LookupPath {
    module: Box<str>,
    version: Box<str>,
}

/// The text names no record: a bad request (400).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("bad lookup: {0}")]
pub struct LookupPathError(pub &'static str);

impl LookupPath {
    /// Names a module version, both unescaped.
    pub fn new(module: &str, version: &str) -> Result<Self, LookupPathError> {
        if module.len().saturating_add(version.len()) > PATH_BYTES_MAX {
            return Err(LookupPathError("too long"));
        }
        if !is_module_path(module) {
            return Err(LookupPathError("malformed module path"));
        }
        if !is_canonical_version(version) {
            return Err(LookupPathError("version is not canonical"));
        }
        Ok(Self { module: module.into(), version: version.into() })
    }

    /// Reads `lookup/EM@EV` without a leading slash, in its one form (I01).
    pub fn parse(path: &str) -> Result<Self, LookupPathError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(LookupPathError("too long"));
        }
        let key = path.strip_prefix("lookup/").ok_or(LookupPathError("want lookup/MODULE@VERSION"))?;
        let (module, version) = key.split_once('@').ok_or(LookupPathError("want MODULE@VERSION"))?;
        match (unescape(module), unescape(version)) {
            (Some(module), Some(version)) => Self::new(&module, &version),
            _ => Err(LookupPathError("bad escape")),
        }
    }

    /// The path to ask for, the reverse of [`parse`](Self::parse).
    pub fn path(&self) -> String {
        lookup_path(&self.module, &self.version)
    }

    /// The module path, unescaped.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The version.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The path of the lookup of names that are known to be good, as [`LookupPath::path`] gives it.
pub fn lookup_path(module: &str, version: &str) -> String {
    format!("lookup/{}@{}", escape(module), escape(version))
}

/// An exclamation mark and the small letter for each capital one.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
        escaped
    })
}

fn unescape(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let c = match c {
            '!' => chars.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase(),
            c if c.is_ascii_uppercase() => return None,
            c => c,
        };
        plain.write_char(c).ok()?;
    }
    Some(plain)
}

fn is_module_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let element = |element: &str| {
        !element.is_empty()
            && !element.starts_with('.')
            && !element.ends_with('.')
            && element.bytes().all(plain)
    };
    path.split('/').next().is_some_and(|host| host.contains('.')) && path.split('/').all(element)
}

/// `vX.Y.Z`, perhaps `-PRERELEASE`, perhaps `+incompatible`; no other build metadata, no second form.
fn is_canonical_version(version: &str) -> bool {
    let version = version.strip_suffix("+incompatible").unwrap_or(version);
    let Some(rest) = version.strip_prefix('v') else { return false };
    let (numbers, prerelease) =
        rest.split_once('-').map_or((rest, None), |(numbers, prerelease)| (numbers, Some(prerelease)));
    let number = |text: &str| is_number(text) && (text == "0" || !text.starts_with('0'));
    let identifier = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && (!is_number(text) || number(text))
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && prerelease.is_none_or(|prerelease| prerelease.split('.').all(identifier))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
