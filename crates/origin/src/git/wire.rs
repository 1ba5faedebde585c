//! The client side of git's smart HTTP protocol, version 2 (gitprotocol-v2, gitprotocol-http).
//!
//! A conversation with a repository is at most three kinds of requests: the capability advertisement (once, its
//! answer is kept), `ls-refs`, and `fetch`, whose pack is handed on as it comes. No state lives on the server in
//! between. Whatever this client cannot speak to (protocol 0 and 1, dumb servers) it names in a [`WireError`], so
//! that the caller can start the git program instead.

mod contact;
mod fetch;
mod refs;
mod talk;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use modkeep_egress::{Egress, Encoding, Limits};
use tokio::sync::OnceCell;
use url::Url;

use crate::error::Error;
use crate::place::Remote;
use contact::Contact;
pub(crate) use fetch::Fetched;
use talk::Talk;

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
    /// Whether the pack may hold deltas upon what the haves reach: only then does a server leave out, at a depth of 1,
    /// what a have holds already.
    pub(crate) thin: bool,
}

/// How much is listened to, and for how long (`hostile-inputs.md` part 1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct WireLimits {
    /// The largest answer to `ls-refs`, and the largest capability advertisement. Default 64 MiB.
    pub(crate) refs_bytes_max: u64,
    /// The most refs that are kept of it. Default 350,000: the 300,000 of B25 and room, some 60 MiB in memory.
    pub(crate) refs_max: usize,
    /// The most bytes of one pack, on the wire and of its objects on the disk. Default 2 GiB.
    pub(crate) fetch_bytes_max: u64,
    /// One request, all in all. Default 10 min.
    pub(crate) total: Duration,
    /// The wait for the head of an answer, and for each further KiB of its body. Default 30 s.
    pub(crate) silence: Duration,
}

impl WireLimits {
    /// Those of one request.
    fn of(self, bytes_max: u64) -> Limits {
        Limits { bytes_max, total: self.total, head: self.silence, silence: self.silence, redirects_max: 10 }
    }
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            refs_bytes_max: 64 * 1024 * 1024,
            refs_max: 350_000,
            fetch_bytes_max: 2 << 30,
            total: Duration::from_mins(10),
            silence: Duration::from_secs(30),
        }
    }
}

/// A repository over HTTP.
#[derive(Debug)]
pub(crate) struct Wire {
    egress: Egress,
    remote: Remote,
    limits: WireLimits,
    /// What the server said of itself. Replaced by an empty cell when it stops keeping its word.
    contact: Mutex<Arc<OnceCell<Arc<Contact>>>>,
}

impl Wire {
    /// Nothing is asked yet. The remote's URL must be http or https.
    pub(crate) fn new(egress: Egress, remote: Remote, limits: WireLimits) -> Self {
        Self { egress, remote, limits, contact: Mutex::default() }
    }

    /// The same with other limits.
    #[cfg(test)]
    fn limited(self, limits: WireLimits) -> Self {
        Self { limits, ..self }
    }

    /// How much it listens to.
    pub(crate) fn limits(&self) -> WireLimits {
        self.limits
    }

    /// What the server can do: one request the first time, remembered then.
    ///
    /// Cancel safe: a caller that leaves passes the question on to the next one.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, WireError> {
        self.contact().await.map(|contact| contact.can)
    }

    /// The refs whose names begin with one of the prefixes (of `HEAD`, branches and tags; none: all of them). One
    /// request, and one more at the first contact.
    ///
    /// Cancel safe.
    pub(crate) async fn ls_refs(&self, prefixes: &[&str]) -> Result<LsRefs, WireError> {
        let contact = self.contact().await?;
        let question = refs::question(&contact, prefixes);
        let mut talk = self.post(&contact, question, self.limits.refs_bytes_max, Encoding::Gzip).await?;
        refs::read(&mut talk, contact.can.object_format, self.limits.refs_max).await
    }

    /// Asks for a pack; one request, and one more at the first contact. A filter that the server
    /// does not advertise is [`WireError::FilterRefused`] without a request.
    ///
    /// Cancel safe. The answer keeps the host's turn until its pack is read or dropped.
    pub(crate) async fn fetch(&self, ask: &FetchAsk) -> Result<Fetched, WireError> {
        let contact = self.contact().await?;
        let question = fetch::question(&contact, ask)?;
        // What a pack holds is compressed already.
        let talk = self.post(&contact, question, self.limits.fetch_bytes_max, Encoding::Plain).await?;
        Fetched::begin(talk, contact.can.object_format, ask.filter.is_some()).await
    }

    /// Where the repository really answers, once it was asked, if a redirect led elsewhere.
    pub(crate) fn moved_to(&self) -> Option<Url> {
        let cell = Arc::clone(&self.contact.lock().unwrap_or_else(PoisonError::into_inner));
        let base = Url::parse(cell.get()?.base.trim_end_matches('/')).ok()?;
        let asked = self.remote.url.as_str().trim_end_matches('/');
        (base.as_str().trim_end_matches('/') != asked).then_some(base)
    }

    async fn contact(&self) -> Result<Arc<Contact>, WireError> {
        let cell = Arc::clone(&self.contact.lock().unwrap_or_else(PoisonError::into_inner));
        let greeted = cell.get_or_try_init(|| async {
            contact::greet(&self.egress, &self.remote, self.limits).await.map(Arc::new)
        });
        greeted.await.map(Arc::clone)
    }

    async fn post(
        &self,
        contact: &Contact,
        question: Bytes,
        bytes_max: u64,
        encoding: Encoding,
    ) -> Result<Talk, WireError> {
        let limits = self.limits.of(bytes_max);
        let answer = Talk::post(&self.egress, contact, question, limits, encoding).await;
        if matches!(answer, Err(WireError::NotGit | WireError::Other(Error::NoModule { .. }))) {
            // It was there a moment ago: perhaps it moved, so the next question begins with a greeting.
            *self.contact.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
        answer
    }
}

#[cfg(test)]
mod tests;
