//! What an upstream's answer must look like before anybody relies on it.

use modkeep_module::{Info, ModulePath, Version, VersionOrQuery, list};

use crate::text::looks_like_web_page;

/// An answer that can be asked for again cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched<T> {
    /// The answer, with what to show next time (`ETag`), where the upstream gave something.
    New {
        /// The answer.
        value: T,
        /// The upstream's validator for it.
        validator: Option<String>,
    },
    /// Nothing changed since the validator that was shown.
    NotModified,
}

/// A list, filtered and ordered as the go command does it (P-20, P-21, G10).
pub(crate) fn checked_list(body: &[u8], module: &ModulePath) -> Vec<u8> {
    list::render(&list::parse(body, module))
}

/// An `.info`: of the version that was asked for (P-30), or, for a query, of a version that this module
/// can have (P-31). Comes back as sent, but for credentials (G08, G09).
pub(crate) fn checked_info(
    body: &[u8],
    module: &ModulePath,
    asked: &VersionOrQuery,
) -> Result<Vec<u8>, String> {
    if looks_like_web_page(body) {
        return Err("a web page instead of an .info".to_owned());
    }
    let info = Info::parse(body).map_err(|error| error.to_string())?;
    match asked {
        VersionOrQuery::Version(version) if version != info.version() => {
            Err(format!("the .info is of version {}, not of {version}", info.version()))
        }
        VersionOrQuery::Version(_) => Ok(info.sanitized(body)),
        VersionOrQuery::Query(_) => fitting(info.version(), module).map(|()| info.sanitized(body)),
    }
}

/// The answer to `@latest`: an `.info` of a version that fits the path.
pub(crate) fn checked_latest(body: &[u8], module: &ModulePath) -> Result<Vec<u8>, String> {
    if looks_like_web_page(body) {
        return Err("a web page instead of an .info".to_owned());
    }
    let info = Info::parse(body).map_err(|error| error.to_string())?;
    fitting(info.version(), module).map(|()| info.sanitized(body))
}

fn fitting(version: &Version, module: &ModulePath) -> Result<(), String> {
    version.fits(module).map_err(|error| format!("the .info names {version}: {error}"))
}

/// A go.mod is text. That it cannot be parsed is the client's business (P-55); that it is a login page,
/// or no text at all, is ours (H03).
pub(crate) fn checked_go_mod(body: Vec<u8>) -> Result<Vec<u8>, String> {
    if looks_like_web_page(&body) {
        return Err("a web page instead of a go.mod".to_owned());
    }
    // Broken UTF-8 in an old comment has been published and is certified; a NUL byte never is.
    if body.contains(&0) {
        return Err("a go.mod that is not text".to_owned());
    }
    Ok(body)
}

/// Why the first bytes cannot begin a zip, if they cannot (H03, F28).
pub(crate) fn not_a_zip(start: &[u8]) -> Option<&'static str> {
    if looks_like_web_page(start) {
        return Some("a web page instead of a zip");
    }
    let begins = start.iter().zip(b"PK").all(|(a, b)| a == b);
    (!begins || start.is_empty()).then_some("not a zip")
}
