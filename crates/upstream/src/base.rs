//! A place with the protocol's layout: a server, or a folder. Mirrors and databases are both asked here.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, PRAGMA};
use modkeep_egress::{Egress, Encoding, Limits, Place, Request, Response};
use modkeep_store::Scratch;
use url::Url;

use crate::answer::not_a_zip;
use crate::chain::redacted;
use crate::error::Error;
use crate::text::{is_web_page, sanitised};
use crate::tree;

/// So much of an error page is read to find its few lines.
const EXCERPT: usize = 4 * 1024;
/// The longest validator that is kept and shown again.
const VALIDATOR_MAX: usize = 256;
/// Bytes of a zip that are gathered before a thread of the blocking pool writes them down.
const WRITE_PIECE: usize = 512 * 1024;

/// How long answers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the head of any answer. A mirror that has to fetch something first needs most of a minute.
    pub head: Duration,
    /// For a whole small answer: list, info, mod, tile, lookup.
    pub small: Duration,
    /// For a whole zip (`[origin] timeout`).
    pub zip: Duration,
    /// Between the bytes of a body.
    pub silence: Duration,
}

impl Default for Patience {
    /// 60 s, 2 min, 10 min, 30 s.
    fn default() -> Self {
        Self {
            head: Duration::from_mins(1),
            small: Duration::from_mins(2),
            zip: Duration::from_mins(10),
            silence: Duration::from_secs(30),
        }
    }
}

/// A place that answers paths.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    Server(Server),
    Folder(PathBuf),
}

/// A place behind http or https.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    egress: Egress,
    place: Place,
    patience: Patience,
}

/// What to ask and how much to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The path below the base, escaped as the protocol does it, without a leading slash.
    pub(crate) path: &'a str,
    pub(crate) bytes_max: u64,
    /// The validator of an answer we still have.
    pub(crate) validator: Option<&'a str>,
    /// Ask caches on the way not to answer.
    pub(crate) bypass_caches: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn plain(path: &'a str, bytes_max: u64) -> Self {
        Self { path, bytes_max, validator: None, bypass_caches: false }
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) enum Reply {
    Body { bytes: Bytes, validator: Option<String> },
    NotModified,
}

impl Base {
    /// A base from an http, https or file URL. A login in the URL becomes credentials.
    pub(crate) fn of(url: &Url, egress: &Egress) -> Option<Self> {
        match url.scheme() {
            "file" => url.to_file_path().ok().map(Self::Folder),
            "http" | "https" => Some(Self::Server(Server::new(url, egress))),
            _ => None,
        }
    }

    /// The same place with other time limits; a folder has none.
    pub(crate) fn with_patience(mut self, patience: Patience) -> Self {
        if let Self::Server(server) = &mut self {
            server.patience = patience;
        }
        self
    }

    /// Its name for people: no login, no query.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Server(server) => server.name(),
            Self::Folder(folder) => format!("file://{}", folder.display()),
        }
    }

    /// The same place, one or more elements further down.
    pub(crate) fn below(&self, path: &str) -> Self {
        match self {
            Self::Server(server) => {
                Self::Server(Server { place: server.place.below(path), ..server.clone() })
            }
            Self::Folder(folder) => Self::Folder(folder.join(path)),
        }
    }

    /// Asks for something small.
    ///
    /// Cancel safe.
    pub(crate) async fn get(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        match self {
            Self::Server(server) => server.get(ask).await,
            Self::Folder(folder) => {
                let bytes = tree::read(&self.name(), folder, ask.path, ask.bytes_max).await?;
                Ok(Reply::Body { bytes: bytes.into(), validator: None })
            }
        }
    }

    /// The same where no validator was shown.
    pub(crate) async fn bytes(&self, ask: Ask<'_>) -> Result<Bytes, Error> {
        match self.get(Ask { validator: None, ..ask }).await? {
            Reply::Body { bytes, .. } => Ok(bytes),
            Reply::NotModified => Err(Error::Trouble {
                source_name: self.name(),
                reason: "answered 304 to a plain question".to_owned(),
                status: Some(304),
            }),
        }
    }

    /// Pours a zip into a scratch file, at most `bytes_max` bytes of it.
    ///
    /// Not cancel safe: the scratch file is gone with the future.
    pub(crate) async fn pour(&self, path: &str, bytes_max: u64, scratch: Scratch) -> Result<Scratch, Error> {
        match self {
            Self::Server(server) => server.pour(path, bytes_max, scratch).await,
            Self::Folder(folder) => tree::pour(&self.name(), folder, path, bytes_max, scratch).await,
        }
    }
}

impl Server {
    fn new(url: &Url, egress: &Egress) -> Self {
        Self { egress: egress.clone(), place: Place::new(url.clone()), patience: Patience::default() }
    }

    fn name(&self) -> String {
        redacted(self.place.url())
    }

    async fn get(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        let response = self.send(&ask, self.patience.small, Encoding::Gzip).await?;
        match response.status {
            200 => {}
            304 if ask.validator.is_some() => return Ok(Reply::NotModified),
            _ => return Err(self.refusal(response).await),
        }
        self.no_web_page(&response)?;
        let validator = validator_of(&response);
        let bytes = response.body.collect(ask.bytes_max).await.map_err(|error| self.egress_error(&error))?;
        Ok(Reply::Body { bytes, validator })
    }

    async fn pour(&self, path: &str, bytes_max: u64, mut scratch: Scratch) -> Result<Scratch, Error> {
        let ask = Ask::plain(path, bytes_max);
        let mut response = self.send(&ask, self.patience.zip, Encoding::Plain).await?;
        if response.status != 200 {
            return Err(self.refusal(response).await);
        }
        self.no_web_page(&response)?;
        let mut piece = Vec::with_capacity(WRITE_PIECE);
        let mut judged = false;
        loop {
            let chunk = response.body.chunk().await.map_err(|error| self.egress_error(&error))?;
            piece.extend_from_slice(chunk.as_deref().unwrap_or_default());
            if !judged && (piece.len() >= 2 || chunk.is_none()) {
                self.check_zip_start(&piece)?;
                judged = true;
            }
            if piece.len() >= WRITE_PIECE || chunk.is_none() {
                (scratch, piece) = tree::write(scratch, piece).await?;
            }
            if chunk.is_none() {
                return Ok(scratch);
            }
        }
    }

    async fn send(&self, ask: &Ask<'_>, total: Duration, encoding: Encoding) -> Result<Response, Error> {
        let limits = Limits {
            bytes_max: ask.bytes_max,
            total,
            head: self.patience.head.min(total),
            silence: self.patience.silence,
            redirects_max: 10,
        };
        let request =
            Request { headers: headers(ask), limits, encoding, ..self.place.below(ask.path).request() };
        self.egress.get(request).await.map_err(|error| self.egress_error(&error))
    }

    /// What any status but 200 and a welcome 304 means (H06).
    async fn refusal(&self, response: Response) -> Error {
        let source_name = self.name();
        let (status, retry_after) = (response.status, response.retry_after());
        if status == 429 || (status == 503 && retry_after.is_some()) {
            let wait = retry_after.unwrap_or(Duration::from_secs(10)).min(Duration::from_secs(30));
            return Error::Throttled { source_name, retry_after: wait };
        }
        let kind = response.header(&CONTENT_TYPE).map(str::to_owned);
        let text = sanitised(&response.body.excerpt(EXCERPT).await, kind.as_deref());
        match status {
            404 | 410 => Error::NotFound { source_name, text },
            401 | 403 => Error::Forbidden { source_name, status, text },
            _ => Error::Trouble { source_name, reason: format!("answered {status}"), status: Some(status) },
        }
    }

    /// A login page says 200 and means something else (H03).
    fn no_web_page(&self, response: &Response) -> Result<(), Error> {
        match response.header(&CONTENT_TYPE) {
            Some(kind) if is_web_page(kind) => Err(Error::Malformed {
                source_name: self.name(),
                what: "a web page where a file was asked for".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn check_zip_start(&self, start: &[u8]) -> Result<(), Error> {
        match not_a_zip(start) {
            Some(what) => Err(Error::Malformed { source_name: self.name(), what: what.to_owned() }),
            None => Ok(()),
        }
    }

    fn egress_error(&self, error: &modkeep_egress::Error) -> Error {
        Error::of_egress(&self.name(), error)
    }
}

fn headers(ask: &Ask<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    if let Some(value) = ask.validator.and_then(|validator| HeaderValue::from_str(validator).ok()) {
        headers.push((IF_NONE_MATCH, value));
    }
    if ask.bypass_caches {
        headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
        headers.push((PRAGMA, HeaderValue::from_static("no-cache")));
    }
    headers
}

fn validator_of(response: &Response) -> Option<String> {
    response.header(&ETAG).filter(|tag| tag.len() <= VALIDATOR_MAX).map(str::to_owned)
}
