//! Requests of the GOPROXY protocol, read from a URL path and written back (P-1 to P-17).
//!
//! One object has one path: nothing is normalised and served, because two URLs for one object break shared
//! caches. The one exception is what the go command itself sends, `%21` for `!`, undone by decoding once.
#![warn(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::path::{ModulePath, PathError};
use crate::version::{ModuleVersion, Version, VersionError, VersionOrQuery};

/// A question about a module.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Request {
    /// The module.
    pub path: ModulePath,
    /// The question.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Ask {
    /// `@v/list`: the tagged versions.
    List,
    /// `@latest`: metadata of the latest version.
    Latest,
    /// `@v/<version or query>.info`: metadata of a version, or of what a query resolves to.
    Info(VersionOrQuery),
    /// `@v/<version>.mod`: the go.mod. The version fits the path.
    Mod(Version),
    /// `@v/<version>.zip`: the source. The version fits the path.
    Zip(Version),
}

/// Why a path is no request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Not even well formed: 400.
    #[error("{0}")]
    Malformed(&'static str),
    /// Well formed, but nothing by that name can exist: 404.
    #[error("{0}")]
    NoSuchThing(Box<str>),
    /// Over a stated limit: 414.
    #[error("{what} longer than {limit} bytes")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// In bytes.
        limit: usize,
    },
}

impl Request {
    /// Reads the decoded path after the base, without a leading slash: `example.com/!fish/@v/v1.0.0.info`.
    pub fn parse(path: &str) -> Result<Self, RequestError> {
        check_elements(path)?;
        check_encoding(path)?;
        let (module, question) =
            path.split_once("/@").ok_or_else(|| no_such("not a module request: no /@v/ and no /@latest"))?;
        let module = ModulePath::from_escaped(module)?;
        let ask = match question.strip_prefix("v/") {
            Some(file) => ask_for(&module, file)?,
            None if question == "latest" => Ask::Latest,
            None => return Err(no_such("not a module request: neither /@v/ nor /@latest")),
        };
        Ok(Self { path: module, ask })
    }

    /// The escaped path, without a leading slash: what a client asks an upstream for, and the key of our caches.
    /// [`Request::parse`] reads it back.
    pub fn to_path(&self) -> String {
        let path = self.path.escape();
        match &self.ask {
            Ask::List => format!("{path}/@v/list"),
            Ask::Latest => format!("{path}/@latest"),
            Ask::Info(query) => format!("{path}/@v/{}.info", query.escape()),
            Ask::Mod(version) => format!("{path}/@v/{}.mod", version.escape()),
            Ask::Zip(version) => format!("{path}/@v/{}.zip", version.escape()),
        }
    }

    /// The same path as it goes into a URL, encoded as the go command encodes it (P-10): a query may hold
    /// spaces, brackets and `#`.
    pub fn to_url_path(&self) -> String {
        let mut encoded = String::new();
        for b in self.to_path().bytes() {
            if b.is_ascii_alphanumeric() || b"-_.~$&+=:@/".contains(&b) {
                encoded.push(char::from(b));
            } else {
                let _ = write!(encoded, "%{b:02X}"); // writing to a String does not fail
            }
        }
        encoded
    }

    /// The module version that is asked for by name; `None` for lists and queries.
    pub fn module_version(&self) -> Option<ModuleVersion> {
        match &self.ask {
            Ask::Info(VersionOrQuery::Version(version)) | Ask::Mod(version) | Ask::Zip(version) => {
                ModuleVersion::new(self.path.clone(), version.clone()).ok()
            }
            Ask::List | Ask::Latest | Ask::Info(VersionOrQuery::Query(_)) => None,
        }
    }
}

/// Decodes `%XX` once (P-10) and refuses what no path of ours holds: encoded separators, invalid UTF-8,
/// backslashes and control characters (P-11, A02 to A08).
///
/// Bytes that are not encoded stay as they are; `+` is no space in a path.
pub fn percent_decode_once(path: &str) -> Result<Cow<'_, str>, RequestError> {
    let decoded = if path.contains('%') { Cow::Owned(decode(path)?) } else { Cow::Borrowed(path) };
    if decoded.chars().any(|c| c == '\\' || c.is_control()) {
        return Err(RequestError::Malformed("backslash or control character in the path"));
    }
    Ok(decoded)
}

fn decode(path: &str) -> Result<String, RequestError> {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) =
            piece.split_at_checked(2).ok_or(RequestError::Malformed("incomplete percent-encoding"))?;
        let byte = hex_pair(code).ok_or(RequestError::Malformed("broken percent-encoding"))?;
        if matches!(byte, b'/' | b'\\') {
            return Err(RequestError::Malformed("encoded slash or backslash"));
        }
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| RequestError::Malformed("path is not UTF-8"))
}

fn hex_pair(code: &str) -> Option<u8> {
    let is_hex = code.bytes().all(|b| b.is_ascii_hexdigit()); // from_str_radix alone would take `+f`
    is_hex.then(|| u8::from_str_radix(code, 16).ok()).flatten()
}

fn check_elements(path: &str) -> Result<(), RequestError> {
    if path.split('/').any(|element| matches!(element, "" | "." | "..")) {
        return Err(RequestError::Malformed("empty, . or .. path element"));
    }
    Ok(())
}

/// Refuses what would decode a second time (A03): no module path holds `%`, and a revision that looks encoded
/// is an attack far more often than a name.
fn check_encoding(path: &str) -> Result<(), RequestError> {
    let encoded = |piece: &str| piece.get(..2).is_some_and(|code| hex_pair(code).is_some());
    if path.split('%').skip(1).any(encoded) {
        return Err(RequestError::Malformed("percent-encoding beneath percent-encoding"));
    }
    Ok(())
}

/// Reads what follows `@v/` (P-12, P-13, P-17).
fn ask_for(module: &ModulePath, file: &str) -> Result<Ask, RequestError> {
    if file == "list" {
        return Ok(Ask::List);
    }
    if file.contains('/') {
        return Err(no_such("no slash may follow /@v/"));
    }
    let (name, extension) = file.rsplit_once('.').ok_or_else(|| no_such("no such file under /@v/"))?;
    match extension {
        "info" => info(module, name),
        "mod" => exact(module, name).map(Ask::Mod),
        "zip" => exact(module, name).map(Ask::Zip),
        _ => Err(no_such("no such file under /@v/")),
    }
}

/// `latest` is `@latest` under another name; the other two need to know what the client has (P-35).
fn info(module: &ModulePath, name: &str) -> Result<Ask, RequestError> {
    match name {
        "latest" => Ok(Ask::Latest),
        "upgrade" | "patch" => {
            Err(no_such("upgrade and patch are resolved by the go command, not by a mirror"))
        }
        _ => Ok(Ask::Info(VersionOrQuery::from_escaped(module, name)?)),
    }
}

/// Files exist for canonical versions only (P-52).
fn exact(module: &ModulePath, name: &str) -> Result<Version, RequestError> {
    match VersionOrQuery::from_escaped(module, name)? {
        VersionOrQuery::Version(version) => Ok(version),
        VersionOrQuery::Query(query) => {
            let version = Version::parse(query.as_str())?;
            version.fits(module)?;
            Ok(version)
        }
    }
}

fn no_such(reason: &str) -> RequestError {
    RequestError::NoSuchThing(reason.into())
}

impl From<PathError> for RequestError {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Malformed => Self::Malformed("malformed escape in the module path"),
            PathError::TooLong { what, limit } => Self::TooLong { what, limit },
            PathError::Invalid { .. } => Self::NoSuchThing(error.to_string().into()),
        }
    }
}

impl From<VersionError> for RequestError {
    fn from(error: VersionError) -> Self {
        match error {
            VersionError::Malformed => Self::Malformed("malformed escape in the version"),
            // A deliberate stop: no other source should be asked to run `--upload-pack=id`.
            VersionError::LeadingDash => Self::Malformed("version with a leading dash"),
            VersionError::TooLong { limit } => Self::TooLong { what: "escaped version", limit },
            VersionError::Disallowed { .. }
            | VersionError::NotCanonical { .. }
            | VersionError::Misfit { .. } => Self::NoSuchThing(error.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From the raw path, as the http room does it.
    fn request(raw: &str) -> Result<Request, RequestError> {
        Request::parse(&percent_decode_once(raw)?)
    }

    fn assert_malformed(paths: &[&str]) {
        for raw in paths {
            assert!(matches!(request(raw), Err(RequestError::Malformed(_))), "{raw}: {:?}", request(raw));
        }
    }

    fn assert_no_such_thing(paths: &[&str]) {
        for raw in paths {
            assert!(matches!(request(raw), Err(RequestError::NoSuchThing(_))), "{raw}: {:?}", request(raw));
        }
    }

    #[test]
    fn five_endpoints() {
        for raw in [
            "example.com/!fish/@v/list",
            "example.com/!fish/@latest",
            "example.com/!fish/@v/v1.2.3.info",
            "example.com/!fish/@v/v2.0.0+incompatible.info",
            "example.com/!fish/@v/!h!e!a!d.info",
            "example.com/!fish/@v/v1.2.3-!r!c1.mod",
            "example.com/!fish/v2/@v/v2.2.3.zip",
        ] {
            assert_eq!(request(raw).unwrap().to_path(), raw);
        }
        let mixed = request("example.com/!fish/@v/v1.2.3-!r!c1.mod").unwrap();
        assert_eq!(mixed.module_version().unwrap().to_string(), "example.com/Fish@v1.2.3-RC1");
        assert_eq!(request("example.com/m/@v/latest.info").unwrap().ask, Ask::Latest);
        let strange = request("example.com/!fish/@v/a%20#[b]+~.info").unwrap();
        assert_eq!(strange.to_url_path(), "example.com/%21fish/@v/a%20%23%5Bb%5D+~.info");
        assert_eq!(request(&strange.to_url_path()), Ok(strange));
    }

    #[test]
    fn hostile_a01_climbing() {
        assert_malformed(&["example.com/m/@v/../../../../etc/passwd", "../x/@v/list"]);
    }

    #[test]
    fn hostile_a02_climbing_encoded() {
        assert_malformed(&[
            "example.com/m/@v/%2e%2e%2fetc",
            "example.com/m/@v/%2E%2E/etc",
            "example.com/m/@v/..%2fetc",
            "example.com/m/@v/%2e%2e/%2e%2e/etc.info",
        ]);
    }

    #[test]
    fn hostile_a03_decoded_once() {
        assert_malformed(&["example.com/%252e%252e%252fm/@v/list", "example.com/m/@v/%252e%252e%252fx.info"]);
        assert_no_such_thing(&["example.com/m%25/@v/list"]);
    }

    #[test]
    fn hostile_a04_encoded_slash() {
        assert_malformed(&[
            "example.com%2fm/@v/list",
            "example.com%2Fm/@v/list",
            "example.com/m%5cx/@v/list",
        ]);
    }

    #[test]
    fn hostile_a05_both_spellings_of_the_escape_are_one_request() {
        assert_eq!(request("github.com/%21azure/x/@v/list"), request("github.com/!azure/x/@v/list"));
        assert_eq!(request("github.com/%21azure/x/@v/list").unwrap().path.as_str(), "github.com/Azure/x");
    }

    #[test]
    fn hostile_a06_control_characters() {
        assert_malformed(&[
            "example.com/m%00/@v/list",
            "example.com/m/@v/v1.0.0%0d%0aSet-Cookie:%20a=b.info",
            "example.com/m/@v/%0a.info",
            "example.com/m/@v/v1%7f.info",
        ]);
    }

    #[test]
    fn hostile_a07_invalid_utf8() {
        assert_malformed(&[
            "example.com/%ff/@v/list",
            "%c0%ae%c0%ae/@v/list",
            "example.com/%ed%a0%80/@v/list",
        ]);
    }

    #[test]
    fn hostile_a08_url_syntax_inside_the_module_path() {
        assert_malformed(&[
            "example.com/a\\b/@v/list",
            "example.com/a%zz/@v/list",
            "example.com/a%2",
            "a%+f/@v/list",
        ]);
        assert_no_such_thing(&[
            "example.com/m;param/@v/list",
            "example.com/m%3bparam/@v/list",
            "example.com/m%3fx/@v/list",
            "example.com/m%23x/@v/list",
        ]);
    }

    #[test]
    fn hostile_a09_empty_elements_and_dots() {
        assert_malformed(&[
            "",
            "/example.com/m/@v/list",
            "example.com//m/@v/list",
            "example.com/./m/@v/list",
            "example.com/m/@v//list",
            "example.com/m/@v/list/",
            "example.com/m/@latest/",
        ]);
    }

    #[test]
    fn hostile_b01_to_b04_names_in_requests() {
        assert_malformed(&["github.com/Azure/sdk/@v/list", "x.com/!!azure/@v/list", "x.com/a!/@latest"]);
        assert_malformed(&["%d0%b5xample.com/x/@v/list", "example.com/m/@v/v1.0.0-RC1.info"]);
        assert_no_such_thing(&["!example.com/x/@v/list"]);
    }

    #[test]
    fn hostile_b13_long_names_in_requests() {
        let long = format!("example.com{}/@v/list", "/abcde".repeat(1000));
        assert!(matches!(request(&long), Err(RequestError::TooLong { limit: 1024, .. })));
        let long = format!("example.com/m/@v/v1.0.0-{}.info", "a".repeat(400));
        assert!(matches!(request(&long), Err(RequestError::TooLong { limit: 240, .. })));
    }

    /// As module paths these are invalid. (The *request* `example.com/@v/list` is the list of the legal module
    /// `example.com`.)
    #[test]
    fn hostile_b14_at_signs_in_requests() {
        assert_no_such_thing(&[
            "example.com/@v/list/@v/list",
            "example.com/x@v/@v/list",
            "example.com/m/@v/v1.0.0/@v/list",
            "example.com/m@v1.0.0/@v/list",
            "example.com/m/@other",
            "example.com/m",
            "@v/list",
        ]);
        assert_eq!(request("example.com/@v/list").unwrap().path.as_str(), "example.com");
    }

    #[test]
    fn hostile_b16_options_in_requests() {
        assert_malformed(&["example.com/m/@v/--upload-pack=id.info", "example.com/m/@v/-.info"]);
        assert_malformed(&["example.com/m/@v/--output=x.zip"]);
    }

    #[test]
    fn hostile_b18_shell_syntax_in_requests() {
        assert_no_such_thing(&["example.com/m/@v/a;b.info", "example.com/m/@v/%60id%60.info"]);
        assert!(request("example.com/m/@v/$(id).info").is_ok());
    }

    #[test]
    fn hostile_b19_files_exist_for_canonical_versions_only() {
        for version in ["v1", "v1.2", "v1.0.0+meta", "master"] {
            assert!(matches!(
                request(&format!("example.com/m/@v/{version}.info")).unwrap().ask,
                Ask::Info(VersionOrQuery::Query(_))
            ));
            assert_no_such_thing(&[
                &format!("example.com/m/@v/{version}.mod"),
                &format!("example.com/m/@v/{version}.zip"),
            ]);
        }
        assert_no_such_thing(&["example.com/m/@v/v2.0.0.zip", "example.com/m/@v/upgrade.info"]);
    }

    #[test]
    fn hostile_b20_names_of_files_as_versions() {
        assert_no_such_thing(&[
            "example.com/m/@v/v1.0.0.zip.mod",
            "example.com/m/@v/v1.0.0.ziphash",
            "example.com/m/@v/v1.0.0.lock",
            "example.com/m/@v/v1.0.0",
            "example.com/m/@v/.info",
            "example.com/m/@v/list.zip",
        ]);
        // A revision may have this name; the origin says that none has.
        assert!(matches!(request("example.com/m/@v/v1.0.0.info.info").unwrap().ask, Ask::Info(_)));
    }

    proptest! {
        #[test]
        fn a_request_has_one_path(raw in "[a-z!./@%0-9A-F+-]{0,40}") {
            if let Ok(request) = request(&raw) {
                prop_assert_eq!(Request::parse(&request.to_path()), Ok(request));
            }
        }
    }
}
