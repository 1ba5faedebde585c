//! Requests of the GOPROXY protocol, read from a URL path and written back (P-1 to P-17).

use std::borrow::Cow;

use crate::path::ModulePath;
use crate::version::{Version, VersionOrQuery};

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
    /// `@v/list`
    List,
    /// `@latest`
    Latest,
    /// `@v/<version or query>.info`
    Info(VersionOrQuery),
    /// `@v/<version>.mod`
    Mod(Version),
    /// `@v/<version>.zip`
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
    NoSuchThing(String),
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
    /// Reads the decoded path after the base, without a leading slash.
    pub fn parse(_path: &str) -> Result<Self, RequestError> {
        todo!()
    }
    /// The escaped path, without a leading slash.
    pub fn to_path(&self) -> String {
        todo!()
    }
}

/// Decodes `%XX` once (P-10, P-11).
pub fn percent_decode_once(_path: &str) -> Result<Cow<'_, str>, RequestError> {
    todo!()
}
