//! What can be asked on the way out, and what comes back.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use url::Url;

use crate::body::Body;
use crate::credentials::Credentials;

/// Whose budget a request draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configured mirror or database: 64 at once, 10,000 waiting, as configured.
    Named,
    /// Somebody's repository or page: 2 at once, 256 waiting.
    Origin,
}

/// Whether an answer may come compressed, and whether a question is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is: zips gain nothing, and a known length is worth more.
    Plain,
    /// In an answer gzip is welcome and undone on the way; a question is gzip.
    Gzip,
}

/// Who may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Whoever proves by a certificate that it is the host. Plain http is for configured hosts alone.
    #[default]
    Verified,
    /// Whoever answers, by a wrong certificate or over plain http on port 80: what `GOINSECURE` asks for. Addresses are
    /// vetted all the same. It holds for the host of the request's URL, not for others it redirects to.
    Insecure,
}

/// What a POST carries: small, and in memory.
#[derive(Clone, Debug)]
pub struct Post {
    /// The media type.
    pub content_type: HeaderValue,
    /// Whether the bytes are compressed.
    pub encoding: Encoding,
    /// The body, as it is sent.
    pub bytes: Bytes,
}

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body, after decoding.
    pub bytes_max: u64,
    /// Everything: waiting for a turn, redirects, head and body.
    pub total: Duration,
    /// From sending a request to the head of its answer, connection included; again for each redirect.
    pub head: Duration,
    /// Waiting for body bytes, until at least 1 KiB has come.
    pub silence: Duration,
    /// Redirects that are followed; 10 at most.
    pub redirects_max: u8,
}

impl Default for Limits {
    /// For small answers: 8 MiB, 60 s in all, 20 s for the head, 30 s of silence, 10 redirects.
    fn default() -> Self {
        Self {
            bytes_max: 8 * 1024 * 1024,
            total: Duration::from_mins(1),
            head: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            redirects_max: 10,
        }
    }
}

/// One GET or POST.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to: http or https, no user part (credentials have their own field), fragment ignored.
    pub url: Url,
    /// Further headers. Only `Accept`, `If-None-Match`, `If-Modified-Since`, `Range` and `Git-Protocol` survive a
    /// redirect to another host (M03).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A login for the URL's own host; sent over https only.
    pub credentials: Option<Credentials>,
    /// The limits.
    pub limits: Limits,
    /// Whose budget it draws on.
    pub kind: Kind,
    /// Whether the answer may come compressed.
    pub encoding: Encoding,
    /// Who may answer.
    pub trust: Trust,
}

impl Request {
    /// A plain request under the default limits, for a configured host.
    pub fn named(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            credentials: None,
            limits: Limits::default(),
            kind: Kind::Named,
            encoding: Encoding::Plain,
            trust: Trust::Verified,
        }
    }
}

/// An answer, of whatever status; its body is yet to be read.
#[derive(Debug)]
pub struct Response {
    /// Who answered: the request's URL, or the last target of its redirects.
    pub url: Url,
    /// The HTTP status. Redirects are never seen here.
    pub status: u16,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body. Dropping it unread costs the connection, nothing else.
    pub body: Body,
}

impl Response {
    /// A header's text, if it is there once and printable.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// What `Retry-After` says, in seconds or as a date; zero for a date that is past.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, SystemTime::now())
    }
}

/// What `Retry-After` says, in seconds or as a date; zero for a date that is past.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}
