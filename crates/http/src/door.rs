//! What a request wants, decided from its head alone: one of the faces, a page of ours, or a refusal.
//!
//! Module paths have a dot in their first element, so whatever begins with a word without one is ours (D15). The
//! module paths go to the protocol's own one-pass parser; ours are a dozen words and need no router.

use std::borrow::Cow;

use http::Version as HttpVersion;
use http::request::Parts;
use http::{Method, Uri};
use modkeep_fetch::Reach;
use modkeep_module::goproxy::{self, Ask, RequestError, percent_decode_once};

use crate::announce::asks_for_import;
use crate::asked::Asked;
use crate::catalogue::{Code, Words};
use crate::metrics::Kind;

/// The request target, path and query (hostile-inputs part 1).
pub(crate) const TARGET_MAX_BYTES: usize = 4096;

/// Where a request goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// One of the five questions about a module.
    Module(goproxy::Request, Reach),
    /// A relayed checksum database: the decoded path behind `/sumdb/`.
    Relay(String, Reach),
    /// Our own log: the decoded path behind `/log/`.
    Log(String, Reach),
    /// A page of the index, with its query.
    Index { since: Option<String>, limit: Option<String> },
    /// The front page.
    Front,
    /// A file of the pages, by its name behind `/assets/`.
    Asset(String),
    /// The page of a code.
    Explain(Code),
    /// Alive?
    Health,
    /// Able to work?
    Readiness,
    /// Which program is this?
    Version,
}

/// A refusal at the door: decided before anything is looked up (hostile-inputs part 0, REFUSE).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) words: Words,
}

impl Refusal {
    pub(crate) fn new(code: Code, first: impl Into<String>) -> Self {
        Self { code, words: Words::new(first) }
    }
}

impl Way {
    /// The label `kind` of the request metrics.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Module(request, _) => match request.ask {
                Ask::List => Kind::List,
                Ask::Latest => Kind::Latest,
                Ask::Info(_) => Kind::Info,
                Ask::Mod(_) => Kind::Mod,
                Ask::Zip(_) => Kind::Zip,
            },
            Self::Relay(..) | Self::Log(..) => Kind::Sumdb,
            Self::Index { .. } => Kind::Index,
            _ => Kind::Web,
        }
    }
}

/// Whether the head alone is acceptable: method, size, form of the target. Cheap, because every request passes.
pub(crate) fn check_head(parts: &Parts, asked: &Asked<'_>) -> Result<(), Refusal> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Refusal::new(Code::BadMethod, "only GET and HEAD are answered."));
    }
    check_form(parts, asked)
}

/// The same where the method is known to be right.
pub(crate) fn check_form(parts: &Parts, asked: &Asked<'_>) -> Result<(), Refusal> {
    let length = parts.uri.path().len() + parts.uri.query().map_or(0, |query| query.len() + 1);
    if length > TARGET_MAX_BYTES {
        let limit = format!("the address is longer than {TARGET_MAX_BYTES} bytes.");
        return Err(Refusal::new(Code::TooLong, limit));
    }
    if asked.too_large {
        return Err(Refusal::new(
            Code::HeadersTooLarge,
            "the header fields are larger than 16 KiB or more than 64.",
        ));
    }
    if asked.chunked {
        return Err(Refusal::new(Code::BadFraming, "a request that is read here has no body in chunks."));
    }
    if is_absolute(parts) {
        return Err(Refusal::new(Code::BadRequest, "this is no forward proxy."));
    }
    Ok(())
}

/// `GET http://somewhere/ HTTP/1.1`: meant for a forward proxy (A10). HTTP/2 always names scheme and host.
fn is_absolute(parts: &Parts) -> bool {
    parts.uri.scheme().is_some() && parts.version <= HttpVersion::HTTP_11
}

/// The path without its leading slash, decoded once if there is anything to decode (P-10).
pub(crate) fn decoded(uri: &Uri) -> Result<Cow<'_, str>, Refusal> {
    let path = uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    percent_decode_once(path).map_err(refused)
}

/// Finds the way of a request whose head is acceptable.
pub(crate) fn way(parts: &Parts, asked: &Asked<'_>) -> Result<Way, Refusal> {
    let path = decoded(&parts.uri)?;
    if path.is_empty() {
        return Ok(Way::Front);
    }
    check_shape(&path)?;
    let (path, cached_only) = match path.strip_prefix("cached-only/") {
        Some(path) => (path, true),
        None => (&*path, false),
    };
    let reach = if cached_only || asked.no_fetch { Reach::CachedOnly } else { Reach::MayFetch };
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (first, rest) {
        ("sumdb", Some(rest)) => Ok(Way::Relay(rest.to_owned(), reach)),
        ("log", Some("gossip")) => {
            let how =
                "a head is brought here by POST: curl --data-binary @latest, and the address of this page.";
            Err(Refusal::new(Code::NoSuchPage, how))
        }
        ("log", Some(rest)) if is_of_log(rest) => Ok(Way::Log(rest.to_owned(), reach)),
        _ if first.contains('.') || path.contains("/@") => module(path, parts.uri.query(), reach),
        // Only modules and databases have a cached-only side (P-95).
        _ if cached_only => Err(no_such_page()),
        ("index", None) => Ok(index(parts.uri.query())),
        ("assets", Some(name)) => Ok(Way::Asset(name.to_owned())),
        ("e", Some(code)) => Code::named(code).map(Way::Explain).ok_or_else(no_such_page),
        ("healthz", None) => Ok(Way::Health),
        ("readyz", None) => Ok(Way::Readiness),
        ("version", None) => Ok(Way::Version),
        _ => Err(no_such_page()),
    }
}

/// Whether a path behind `/log/` is of the protocol; the others are pages.
fn is_of_log(path: &str) -> bool {
    matches!(path, "latest" | "checkpoint" | "supported")
        || ["lookup/", "tile/", "proof/", "provenance/"].iter().any(|folder| path.starts_with(folder))
}

/// What no path of ours may have, whatever it is about: never normalised, always refused (P-11).
fn check_shape(path: &str) -> Result<(), Refusal> {
    let malformed = |why: &str| Err(Refusal::new(Code::BadRequest, why));
    if path.bytes().any(|byte| byte < b' ' || byte == b'\\' || byte == 0x7f) {
        return malformed("the path has a control character or a backslash in it.");
    }
    if path.split('/').any(|element| matches!(element, "" | "." | "..")) {
        return malformed("the path has an empty element or a dot element in it.");
    }
    Ok(())
}

fn module(path: &str, query: Option<&str>, reach: Reach) -> Result<Way, Refusal> {
    if !path.contains("/@") {
        let first = if asks_for_import(query) {
            "no module is announced here; this is a module mirror."
        } else {
            "this names no file of a module."
        };
        return Err(Refusal::new(Code::NoSuchPage, first));
    }
    goproxy::Request::parse(path).map(|request| Way::Module(request, reach)).map_err(refused)
}

fn refused(error: RequestError) -> Refusal {
    let code = match &error {
        RequestError::Malformed(_) => Code::BadRequest,
        RequestError::NoSuchThing(_) => Code::NotAModule,
        RequestError::TooLong { .. } => Code::TooLong,
    };
    Refusal::new(code, format!("{error}."))
}

pub(crate) fn no_such_page() -> Refusal {
    Refusal::new(Code::NoSuchPage, "nothing is here.")
}

/// The first value of each parameter counts; others are nobody's business (P-15).
fn index(query: Option<&str>) -> Way {
    let query = query.unwrap_or_default().as_bytes();
    let first = |name| {
        let mut pairs = url::form_urlencoded::parse(query);
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    Way::Index { since: first("since"), limit: first("limit") }
}
