//! The client side of git's smart HTTP protocol, version 2 (gitprotocol-v2, gitprotocol-http).
//!
//! A conversation with a repository is at most three kinds of requests: the capability advertisement (once, its
//! answer is kept), `ls-refs`, and `fetch`, whose pack is handed on as it comes. No state lives on the server in
//! between. Whatever this client cannot speak to (protocol 0 and 1, dumb servers) it names in a [`WireError`], so
//! that the caller can start the git program instead.

use std::sync::Arc;

use bytes::Bytes;
use modkeep_egress::Egress;

use crate::error::Error;
use crate::place::Remote;

/// Why the repository did not answer over the wire.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// git is spoken there, but not version 2 of its protocol, or over files only: the git program may manage.
    #[error("the server does not speak version 2 of git's protocol")]
    NotV2,
    /// The server answered the question, but not with git: a web page, say. The git program would see the same.
    #[error("no git repository answers there")]
    NotGit,
    /// The server refuses one of the wants: the object is not there (any more), or must not be asked for by its id.
    #[error("the server does not give what was wanted: {text}")]
    WantRefused {
        /// Its own words, made harmless.
        text: String,
    },
    /// The server does not know the filter, or filters at all. Ask again without.
    #[error("the server refuses the filter: {text}")]
    FilterRefused {
        /// Its own words, made harmless.
        text: String,
    },
    /// The server said something else went wrong (`ERR` lines and band 3).
    #[error("the server says: {text}")]
    Said {
        /// Its own words, made harmless.
        text: String,
    },
    /// Everything that is not special to git: absence, logins, throttling, trouble, limits.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The hash function of a repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ObjectFormat {
    /// 40 hex digits.
    Sha1,
    /// 64 hex digits.
    Sha256,
}

/// What a server said it can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Capabilities {
    /// The hash function of the repository.
    pub(crate) object_format: ObjectFormat,
    /// Whether packs can leave objects out.
    pub(crate) filter: bool,
    /// Whether history can be cut.
    pub(crate) shallow: bool,
}

/// One ref of the answer to `ls-refs`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Advertised {
    /// `HEAD`, `refs/heads/...` or `refs/tags/...`.
    pub(crate) name: Arc<str>,
    /// What it points at, in lower-case hex.
    pub(crate) id: Arc<str>,
    /// What the annotated tag it points at leads to in the end; `None` for everything else.
    pub(crate) peeled: Option<Arc<str>>,
}

/// The refs of a repository.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LsRefs {
    /// In the order of the server, without names that no honest git would have (C13), `HEAD`, branches and tags only (V-91).
    pub(crate) refs: Vec<Advertised>,
    /// The branch that `HEAD` names, born or not: `refs/heads/main`.
    pub(crate) head_target: Option<Arc<str>>,
    /// The size of the answer, in bytes.
    pub(crate) bytes: u64,
}

/// What a pack may leave out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filter {
    /// `blob:none`: no files but those wanted by their ids.
    NoBlobs,
    /// `tree:<depth>`: 0 gives commits alone, 1 their root trees too; things wanted by their ids come all the same.
    Trees(u32),
}

/// What is wanted from a repository, and what is there already.
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchAsk {
    /// Ids of wanted objects: hex of the repository's format.
    pub(crate) wants: Vec<Arc<str>>,
    /// Ids of commits that are here with everything they reach (short of `shallow`).
    pub(crate) haves: Vec<Arc<str>>,
    /// Ids of commits that are here without their parents.
    pub(crate) shallow: Vec<Arc<str>>,
    /// How many commits of history; `None`: all of it.
    pub(crate) depth: Option<u32>,
    /// What to leave out.
    pub(crate) filter: Option<Filter>,
    /// The most bytes that the pack may have.
    pub(crate) bytes_max: u64,
}

/// The answer to a [`FetchAsk`]: what the server cut off, and the pack, yet to be read.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Commits that came without their parents. Empty although a depth was asked for: the server ignored it, or the
    /// history is that short (C20).
    pub(crate) shallow: Vec<Arc<str>>,
    /// Commits that were shallow here and are no longer.
    pub(crate) unshallow: Vec<Arc<str>>,
}

impl Fetched {
    /// The next bytes of the pack; `None` at its proper end. Its contents are unchecked.
    ///
    /// Cancel safe: a caller that stops waiting and calls again loses nothing.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        todo!()
    }

    /// The bytes received so far for this fetch, framing included.
    pub(crate) fn bytes(&self) -> u64 {
        todo!()
    }
}

/// A repository over HTTP.
#[derive(Debug)]
pub(crate) struct Wire {
    egress: Egress,
    remote: Remote,
}

impl Wire {
    /// Nothing is asked yet. The remote's URL must be http or https.
    pub(crate) fn new(egress: Egress, remote: Remote) -> Self {
        Self { egress, remote }
    }

    /// What the server can do: one request the first time, remembered then.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, WireError> {
        todo!()
    }

    /// The refs whose names begin with one of the prefixes; one request, and one more at the first contact.
    pub(crate) async fn ls_refs(&self, prefixes: &[&str]) -> Result<LsRefs, WireError> {
        todo!()
    }

    /// Asks for a pack; one request, and one more at the first contact. Never a thin one. A filter that the server
    /// does not advertise is [`WireError::FilterRefused`] without a request.
    pub(crate) async fn fetch(&self, ask: &FetchAsk) -> Result<Fetched, WireError> {
        todo!()
    }
}
