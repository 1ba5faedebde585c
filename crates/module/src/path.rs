//! Module paths, import paths and file paths, and the escaped form of names (goproxy-protocol.md section 2).
//!
//! Three kinds of path share one grammar of elements and differ in the characters allowed: module paths are
//! the strictest, files in a zip the most liberal. Disks that fold case and Windows' reserved names explain
//! most rules.
#![warn(clippy::indexing_slicing)]

use std::fmt;
use std::sync::Arc;

use crate::unicode;
pub use crate::unicode::fold_key;

/// The longest module path we handle, in bytes (hostile-inputs.md part 1).
pub const PATH_BYTES_MAX: usize = 1024;

/// The longest escaped path element, in bytes: each becomes a directory name, and file systems stop at 255.
pub const ELEMENT_BYTES_MAX: usize = 255;

/// The name of a module, as its `go.mod` declares it: `example.com/Fish/v2`.
///
/// Holding one means that the path passed every rule of goproxy-protocol.md section 2 and our limits.
/// Paths differing only by case are different modules (B15).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModulePath(Arc<str>);

/// The same name as it travels in URLs and file names: `example.com/!fish/v2`.
///
/// Paths that differ only by case stay different on a disk that folds case. The plain and the escaped form
/// are different types, so one cannot stand for the other:
///
/// ```compile_fail
/// use modkeep_module::{EscapedPath, ModulePath};
/// let path: EscapedPath = ModulePath::parse("example.com/Fish").unwrap();
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EscapedPath(Box<str>);

/// Why a text is no path.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// The escaped form is broken: a bare capital, a `!` without a lower-case letter, a non-ASCII byte.
    /// Answered 400 (P-14).
    #[error("malformed escape: a capital is written as ! and its lower-case letter")]
    Malformed,
    /// Well formed, but not a path by the rules. Answered 404 (P-14).
    #[error("malformed {kind} path {}: {fault}", unicode::quoted(path))]
    Invalid {
        /// Which rules were applied.
        kind: PathKind,
        /// The text.
        path: Box<str>,
        /// The rule it breaks.
        fault: Fault,
    },
    /// Longer than our limit.
    #[error("{what} longer than {limit} bytes")]
    TooLong {
        /// The path or one of its elements.
        what: &'static str,
        /// In bytes.
        limit: usize,
    },
}

/// Whose rules a path is held to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathKind {
    /// The name of a module.
    Module,
    /// What stands in an `import` declaration.
    Import,
    /// A file inside a module zip.
    File,
}

/// The rule a path breaks, in the words of the go command.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Nothing there.
    #[error("empty string")]
    Empty,
    /// It could be taken for a command's option.
    #[error("leading dash")]
    LeadingDash,
    /// `//`
    #[error("double slash")]
    DoubleSlash,
    /// `a/`
    #[error("trailing slash")]
    TrailingSlash,
    /// `/a`
    #[error("empty path element")]
    EmptyElement,
    /// `.`, `..`, `...`
    #[error("invalid path element {}", unicode::quoted(_0))]
    Dots(Box<str>),
    /// `.git` as an element of a module path.
    #[error("leading dot in path element")]
    LeadingDot,
    /// `a.`
    #[error("trailing dot in path element")]
    TrailingDot,
    /// A character that this kind of path may not hold.
    #[error("invalid char {}", unicode::quoted_char(*_0))]
    Char(char),
    /// `con`, `aux.go`, `LPT1`
    #[error("{} disallowed as path element component on Windows", unicode::quoted(_0))]
    Reserved(Box<str>),
    /// `x~1`, the shape of a Windows short name.
    #[error("trailing tilde and digits in path element")]
    ShortName,
    /// `localhost/x`
    #[error("missing dot in first path element")]
    NoDot,
    /// A host name is lower-case letters, digits, dots and dashes.
    #[error("invalid char {} in first path element", unicode::quoted_char(*_0))]
    HostChar(char),
    /// `/v1`, `/v02`, `/v2.0`; `gopkg.in/yaml` without `.vN`.
    #[error("invalid version")]
    MajorSuffix,
}

/// The major version suffix of a path: `/v2`, `.v1`, `.v1-unstable`, or empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathMajor<'a>(&'a str);

impl ModulePath {
    /// Reads a path in its plain form.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        check_lengths(text)?;
        check_module_path(text)?;
        Ok(Self(text.into()))
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for URLs and file names.
    pub fn escape(&self) -> EscapedPath {
        EscapedPath(escape(&self.0).into())
    }

    /// Reads a path in its escaped form; there is exactly one per path.
    pub fn from_escaped(text: &str) -> Result<Self, PathError> {
        Self::parse(&unescape(text).ok_or(PathError::Malformed)?)
    }

    /// The major version suffix.
    pub fn path_major(&self) -> PathMajor<'_> {
        self.split().1
    }

    /// The path without its major version suffix.
    pub fn prefix(&self) -> &str {
        self.split().0
    }

    /// Whether this is `golang.org/toolchain`, whose zips are Go distributions (P-140).
    pub fn is_toolchain(&self) -> bool {
        &*self.0 == "golang.org/toolchain"
    }

    fn split(&self) -> (&str, PathMajor<'_>) {
        split_path_major(&self.0).expect("parse refused paths with a broken suffix")
    }
}

impl EscapedPath {
    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> PathMajor<'a> {
    /// The suffix with its separator; empty when the path has none.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The major version a tag must have, `v2`; `None` when the path has no suffix and v0 and v1 fit.
    pub fn major(self) -> Option<&'a str> {
        self.0.strip_suffix("-unstable").unwrap_or(self.0).get(1..)
    }

    /// Whether the path is one of the branches `gopkg.in/...-unstable`, which have no versions (V-41).
    pub fn is_unstable(self) -> bool {
        self.0.ends_with("-unstable")
    }
}

impl fmt::Display for ModulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EscapedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Import => "import",
            Self::File => "file",
        })
    }
}

/// Cuts a path into prefix and major version suffix; `None` when the suffix is one that no module may have.
///
/// The text need not be a valid path otherwise: go.mod files may require anything.
pub fn split_path_major(path: &str) -> Option<(&str, PathMajor<'_>)> {
    if path.starts_with("gopkg.in/") {
        return split_gopkg_in(path);
    }
    let stem = path.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let Some(prefix) = stem.strip_suffix("/v").filter(|_| stem.len() < path.len()) else {
        return Some((path, PathMajor("")));
    };
    let number = path.get(stem.len()..)?;
    let legal = !number.contains('.') && !number.starts_with('0') && number != "1";
    legal.then(|| (prefix, PathMajor(path.get(prefix.len()..).unwrap_or_default())))
}

/// `gopkg.in/yaml.v2`, `gopkg.in/yaml.v0-unstable`: every path there has a suffix.
fn split_gopkg_in(path: &str) -> Option<(&str, PathMajor<'_>)> {
    let stable = path.strip_suffix("-unstable").unwrap_or(path);
    let stem = stable.trim_end_matches(|c: char| c.is_ascii_digit());
    let prefix = stem.strip_suffix(".v")?;
    let number = stable.get(stem.len()..)?;
    let suffix = path.get(prefix.len()..)?;
    let legal = !number.is_empty() && (!number.starts_with('0') || suffix == ".v0");
    legal.then_some((prefix, PathMajor(suffix)))
}

/// Checks the name of a file inside a module zip (module-zip.md section 5.2).
pub fn check_file_path(path: &str) -> Result<(), PathError> {
    check(path, PathKind::File)
}

/// Checks an import path: a module path's characters and `+`.
pub fn check_import_path(path: &str) -> Result<(), PathError> {
    check(path, PathKind::Import)
}

/// Checks one element of a file path; versions in URLs are held to this rule.
pub(crate) fn check_file_name(name: &str) -> Result<(), Fault> {
    element_fault(name, PathKind::File).map_or(Ok(()), Err)
}

/// Writes each capital as `!` and its lower-case letter.
pub(crate) fn escape(plain: &str) -> String {
    let mut escaped = String::with_capacity(plain.len() + 4);
    for c in plain.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// Undoes `escape`; `None` for a text that `escape` cannot have written.
pub(crate) fn unescape(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '!' => chars.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase(),
            c if c.is_ascii_uppercase() || !c.is_ascii() => return None,
            c => c,
        });
    }
    Some(plain)
}

/// Whether [`ModulePath::parse`] takes it.
pub(crate) fn is_module_path(text: &str) -> bool {
    is_plain(text) || (check_lengths(text).is_ok() && check_module_path(text).is_ok())
}

/// Whether a path keeps every rule at first sight. One that does not may keep them all the same.
fn is_plain(path: &str) -> bool {
    // Not one by one but all at once, for which the processor has instructions.
    let all = |bytes: &[u8], is: fn(u8) -> bool| bytes.iter().fold(true, |all, byte| all & is(*byte));
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'/' | b'_');
    let is_host = |byte: u8| byte.is_ascii_lowercase() | byte.is_ascii_digit() | matches!(byte, b'-' | b'.');
    let bytes = path.as_bytes();
    let host = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    bytes.len() <= ELEMENT_BYTES_MAX / 2
        && bytes.first() != Some(&b'-')
        && all(bytes, is_usual)
        && host.contains(&b'.')
        && all(host, is_host)
        && bytes.split(|byte| *byte == b'/').all(is_plain_element)
        && split_path_major(path).is_some()
}

/// Not empty, no dot at its ends, and nothing that begins like a name that is reserved on Windows.
fn is_plain_element(element: &[u8]) -> bool {
    let may_be_reserved = element.first_chunk().is_some_and(|front: &[u8; 3]| {
        matches!(
            &front.map(|byte| byte.to_ascii_lowercase()),
            b"con" | b"prn" | b"aux" | b"nul" | b"com" | b"lpt"
        )
    });
    !may_be_reserved && !matches!(element, [] | [b'.', ..] | [.., b'.'])
}

fn check_lengths(path: &str) -> Result<(), PathError> {
    if path.len() <= ELEMENT_BYTES_MAX / 2 {
        return Ok(()); // even if all of it is one element of capitals
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong { what: "module path", limit: PATH_BYTES_MAX });
    }
    let escaped_len = |element: &str| element.len() + element.bytes().filter(u8::is_ascii_uppercase).count();
    if path.split('/').any(|element| escaped_len(element) > ELEMENT_BYTES_MAX) {
        return Err(PathError::TooLong { what: "escaped path element", limit: ELEMENT_BYTES_MAX });
    }
    Ok(())
}

fn check_module_path(path: &str) -> Result<(), PathError> {
    check(path, PathKind::Module)?;
    let host = path.split('/').next().unwrap_or_default();
    let fault = if !host.contains('.') {
        Fault::NoDot
    } else if let Some(c) = host.chars().find(|&c| !is_host_char(c)) {
        Fault::HostChar(c)
    } else if split_path_major(path).is_none() {
        Fault::MajorSuffix
    } else {
        return Ok(());
    };
    Err(PathError::Invalid { kind: PathKind::Module, path: path.into(), fault })
}

fn check(path: &str, kind: PathKind) -> Result<(), PathError> {
    match path_fault(path, kind) {
        None => Ok(()),
        Some(fault) => Err(PathError::Invalid { kind, path: path.into(), fault }),
    }
}

fn path_fault(path: &str, kind: PathKind) -> Option<Fault> {
    if path.is_empty() {
        Some(Fault::Empty)
    } else if path.starts_with('-') && kind != PathKind::File {
        Some(Fault::LeadingDash)
    } else if path.contains("//") {
        Some(Fault::DoubleSlash)
    } else if path.ends_with('/') {
        Some(Fault::TrailingSlash)
    } else {
        path.split('/').find_map(|element| element_fault(element, kind))
    }
}

fn element_fault(element: &str, kind: PathKind) -> Option<Fault> {
    let stem = element.split('.').next().unwrap_or_default();
    if element.is_empty() {
        Some(Fault::EmptyElement)
    } else if element.bytes().all(|b| b == b'.') {
        Some(Fault::Dots(element.into()))
    } else if element.starts_with('.') && kind == PathKind::Module {
        Some(Fault::LeadingDot)
    } else if element.ends_with('.') {
        Some(Fault::TrailingDot)
    } else if let Some(c) = illegal_char(element, kind) {
        Some(Fault::Char(c))
    } else if is_reserved_on_windows(stem) {
        Some(Fault::Reserved(stem.into()))
    } else if kind != PathKind::File && is_short_name(stem) {
        Some(Fault::ShortName)
    } else {
        None
    }
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.')
}

fn illegal_char(element: &str, kind: PathKind) -> Option<char> {
    let is_usual =
        element.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    if is_usual { None } else { element.chars().find(|&c| !is_path_char(c, kind)) }
}

fn is_path_char(c: char, kind: PathKind) -> bool {
    if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') {
        return true;
    }
    match kind {
        PathKind::Module => false,
        PathKind::Import => c == '+',
        // Without what shells, Windows (< > : " | ? * \) or macOS (:) give a meaning to.
        PathKind::File if c.is_ascii() => " !#$%&()+,=@[]^{}".contains(c),
        PathKind::File => unicode::is_letter(c),
    }
}

fn is_reserved_on_windows(stem: &str) -> bool {
    if !(3..=4).contains(&stem.len()) {
        return false;
    }
    let is = |name: &str| stem.eq_ignore_ascii_case(name);
    let numbered = || {
        stem.len() == 4
            && matches!(stem.as_bytes().last(), Some(b'1'..=b'9'))
            && stem.get(..3).is_some_and(|s| s.eq_ignore_ascii_case("com") || s.eq_ignore_ascii_case("lpt"))
    };
    is("con") || is("prn") || is("aux") || is("nul") || numbered()
}

/// `PROGRA~1`: what Windows calls a long name in its short form.
fn is_short_name(stem: &str) -> bool {
    stem.rsplit_once('~').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escaping_keeps_case_apart() {
        for (path, escaped) in [
            ("example.com/Fish/v2", "example.com/!fish/v2"),
            ("github.com/BurntSushi/toml", "github.com/!burnt!sushi/toml"),
            ("rsc.io/quote", "rsc.io/quote"),
        ] {
            let parsed = ModulePath::parse(path).unwrap();
            assert_eq!(parsed.escape().as_str(), escaped);
            assert_eq!(ModulePath::from_escaped(escaped).unwrap(), parsed);
        }
    }

    #[test]
    fn suffixes_are_cut_as_go_cuts_them() {
        for (path, prefix, suffix, major) in [
            ("example.com/m", "example.com/m", "", None),
            ("example.com/m/v2", "example.com/m", "/v2", Some("v2")),
            ("example.com/m/v10", "example.com/m", "/v10", Some("v10")),
            ("example.com/mv2", "example.com/mv2", "", None),
            ("gopkg.in/yaml.v2", "gopkg.in/yaml", ".v2", Some("v2")),
            ("gopkg.in/yaml.v0", "gopkg.in/yaml", ".v0", Some("v0")),
            ("gopkg.in/x/y.v1-unstable", "gopkg.in/x/y", ".v1-unstable", Some("v1")),
        ] {
            let parsed = ModulePath::parse(path).unwrap();
            assert_eq!((parsed.prefix(), parsed.path_major().as_str()), (prefix, suffix));
            assert_eq!(parsed.path_major().major(), major);
        }
    }

    fn assert_invalid(paths: &[&str]) {
        for path in paths {
            assert!(matches!(ModulePath::parse(path), Err(PathError::Invalid { .. })), "{path}");
        }
    }

    fn assert_malformed_escape(paths: &[&str]) {
        for path in paths {
            assert_eq!(ModulePath::from_escaped(path), Err(PathError::Malformed), "{path}");
        }
    }

    #[test]
    fn hostile_b01_unescaped_capital() {
        assert_malformed_escape(&["github.com/Azure/sdk"]);
    }

    #[test]
    fn hostile_b02_broken_escapes() {
        assert_malformed_escape(&["x.com/!!azure", "x.com/!1", "x.com/!A", "x.com/a!", "x.com/!"]);
    }

    #[test]
    fn hostile_b03_capital_in_the_host() {
        assert!(matches!(
            ModulePath::from_escaped("!example.com/x"),
            Err(PathError::Invalid { fault: Fault::HostChar('E'), .. })
        ));
    }

    #[test]
    fn hostile_b04_homographs() {
        assert_malformed_escape(&["\u{435}xample.com/x", "example.com/\u{e9}"]);
        assert_invalid(&["\u{435}xample.com/x", "example.com/\u{e9}"]);
    }

    #[test]
    fn hostile_b05_punycode_is_legal_and_shown_as_it_is() {
        let path = ModulePath::parse("xn--xample-9ua.com/x").unwrap();
        assert_eq!(path.to_string(), "xn--xample-9ua.com/x");
    }

    #[test]
    fn hostile_b06_hosts_that_are_no_domain() {
        assert_invalid(&[
            "localhost/x",
            "localhost:8080/x",
            "example.com:443/x",
            "user:pw@example.com/x",
            "[::1]/x",
            "2130706433/x",
        ]);
    }

    #[test]
    fn hostile_b09_empty_domain_label_is_only_a_name_here() {
        assert_eq!(ModulePath::parse("example..com/x").unwrap().as_str(), "example..com/x");
    }

    #[test]
    fn hostile_b10_dot_git() {
        assert_invalid(&["example.com/.git/x", "example.com/x/.git"]);
        assert!(ModulePath::parse("example.com/x.git").is_ok());
    }

    #[test]
    fn hostile_b11_windows_names() {
        assert_invalid(&["example.com/con/x", "example.com/con.x/y", "example.com/x~1", "example.com/CoM9"]);
    }

    #[test]
    fn hostile_b12_major_suffixes() {
        assert_invalid(&[
            "example.com/x/v0",
            "example.com/x/v1",
            "example.com/x/v02",
            "example.com/x/v2.0",
            "gopkg.in/yaml",
            "gopkg.in/yaml.v02",
            "gopkg.in/yaml/v2",
        ]);
    }

    #[test]
    fn hostile_b13_long_paths() {
        let long = format!("example.com{}", "/abcde".repeat(1000));
        assert!(matches!(ModulePath::parse(&long), Err(PathError::TooLong { limit: PATH_BYTES_MAX, .. })));
        let capitals = format!("example.com/{}", "A".repeat(128));
        assert!(matches!(
            ModulePath::parse(&capitals),
            Err(PathError::TooLong { limit: ELEMENT_BYTES_MAX, .. })
        ));
        assert!(ModulePath::parse(&format!("example.com/{}", "a".repeat(255))).is_ok());
    }

    #[test]
    fn hostile_b14_at_signs() {
        assert_invalid(&["example.com/@v/list", "example.com/x@v/@v/list"]);
    }

    #[test]
    fn hostile_b15_paths_differing_by_case_are_two_modules() {
        let (upper, lower) = (ModulePath::parse("x.com/A").unwrap(), ModulePath::parse("x.com/a").unwrap());
        assert_ne!(upper, lower);
        assert_ne!(upper.escape().as_str().to_lowercase(), lower.escape().as_str().to_lowercase());
    }

    #[test]
    fn file_names_may_hold_what_modules_may_not() {
        for good in [".gitignore", "-x", "a b", "\u{4e16}\u{754c}/\u{e9}.go", "x~1/[a].txt", "a..b"] {
            assert_eq!(check_file_path(good), Ok(()), "{good}");
        }
        for bad in
            ["", "/a", "a/", "a//b", "a/../b", "a.", "aux.go", "Com1", "a'b", "e\u{301}", "\u{1f600}", "a\nb"]
        {
            assert!(check_file_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            check_file_path("e\u{301}").unwrap_err().to_string(),
            "malformed file path \"e\u{301}\": invalid char '\u{301}'"
        );
        assert!(check_import_path("a/c++").is_ok());
        assert!(check_import_path("a b").is_err());
    }

    proptest! {
        #[test]
        fn unescape_undoes_escape(path in "[a-z]{1,8}\\.[a-z]{2,3}(/[a-zA-Z0-9_.-]{0,8}){0,4}") {
            if let Ok(parsed) = ModulePath::parse(&path) {
                prop_assert_eq!(ModulePath::from_escaped(parsed.escape().as_str()), Ok(parsed));
            }
        }

        #[test]
        fn an_escaped_form_that_reads_is_the_only_one(text in "[a-z!A-Z./]{0,20}") {
            if let Ok(path) = ModulePath::from_escaped(&text) {
                prop_assert_eq!(path.escape().as_str().to_owned(), text);
            }
        }
    }
}
