//! One answer of a git server, unit by unit; and what its status says where it is not git that answers.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use modkeep_egress::{Body, Egress, Encoding, HostPort, Kind, Limits, Post, Request, Response};
use modkeep_upstream::sanitised;
use url::Url;

use super::WireError;
use super::contact::{Contact, version_header};
use crate::error::Error;
use crate::git::pkt::{Pkt, Reader, text};

/// What a question and its answer are called (gitprotocol-http).
const QUESTION: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";
/// Longer questions are compressed. The number is git's, so every server knows such questions from git.
const PLAIN_MAX: usize = 1_024;
/// As much of a server's own words as goes into an error (U8).
const SAID_MAX: usize = 256;
/// When a server asks for patience without saying how much.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest that we tell our own callers to wait; a server may say anything (H05).
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// An answer that is being listened to.
#[derive(Debug)]
pub(super) struct Talk {
    body: Body,
    reader: Reader,
    host: String,
    bytes: u64,
}

impl Talk {
    /// Listens to an answer whose head is fine.
    pub(super) fn listen(response: Response) -> Self {
        let host = host_of(&response.url);
        Self { body: response.body, reader: Reader::default(), host, bytes: 0 }
    }

    /// Puts a question to `git-upload-pack`.
    pub(super) async fn post(
        egress: &Egress,
        contact: &Contact,
        question: Bytes,
        limits: Limits,
        encoding: Encoding,
    ) -> Result<Self, WireError> {
        let url = Url::parse(&format!("{}git-upload-pack", contact.base)).map_err(|_| WireError::NotGit)?;
        let request = Request {
            headers: vec![version_header(), (ACCEPT, HeaderValue::from_static(RESULT))],
            credentials: contact.credentials.clone(),
            limits,
            kind: Kind::Origin,
            encoding,
            trust: contact.trust,
            ..Request::named(url)
        };
        let post = compressed(question);
        let response = egress.post(request, post).await.map_err(|error| Error::of_egress(&error))?;
        if response.status != 200 {
            return Err(refusal(response).await.into());
        }
        if !is_type(&response, RESULT) {
            return Err(WireError::NotGit);
        }
        Ok(Self::listen(response))
    }

    /// The next unit; `None` at the end of the answer. An `ERR` line is an error here already.
    ///
    /// Cancel safe.
    pub(super) async fn unit(&mut self) -> Result<Option<Pkt>, WireError> {
        loop {
            match self.reader.unit().map_err(|bad| self.malformed(&bad.to_string()))? {
                Some(Pkt::Line(line)) => match line.strip_prefix(b"ERR ") {
                    None => return Ok(Some(Pkt::Line(line))),
                    Some(words) => return Err(WireError::Said { text: harmless(text(words)) }),
                },
                Some(unit) => return Ok(Some(unit)),
                None => {}
            }
            let Some(chunk) = self.chunk().await? else {
                self.reader.end().map_err(|bad| self.malformed(&bad.to_string()))?;
                return Ok(None);
            };
            self.reader.feed(&chunk);
        }
    }

    /// Listens to the end, where nothing may be said any more; then the connection can be used again.
    pub(super) async fn finish(&mut self) -> Result<(), WireError> {
        match self.unit().await? {
            None | Some(Pkt::End) => Ok(()),
            Some(_) => Err(self.malformed("more after the end of its answer").into()),
        }
    }

    /// Bytes received so far, framing included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The server broke the rules.
    pub(super) fn malformed(&self, what: &str) -> Error {
        Error::Malformed { host: self.host.clone(), what: what.to_owned() }
    }

    /// The server exceeded a limit of ours; it is no worse for that, but the answer is of no use.
    pub(super) fn too_much(&self, limit: String) -> Error {
        Error::Trouble { host: self.host.clone(), reason: limit }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        let chunk = self.body.chunk().await.map_err(|error| Error::of_egress(&error))?;
        self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }
}

/// A long question is sent compressed, as git itself does it: ids are hex, so half of it is air.
fn compressed(question: Bytes) -> Post {
    let content_type = HeaderValue::from_static(QUESTION);
    if question.len() > PLAIN_MAX {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        if let Ok(bytes) = gzip.write_all(&question).and_then(|()| gzip.finish()) {
            return Post { content_type, encoding: Encoding::Gzip, bytes: bytes.into() };
        }
    }
    Post { content_type, encoding: Encoding::Plain, bytes: question }
}

/// The host of a URL, as errors name it.
pub(super) fn host_of(url: &Url) -> String {
    HostPort::of(url).map(|place| place.to_string()).unwrap_or_default()
}

/// Whether an answer is of this media type.
pub(super) fn is_type(response: &Response, wanted: &str) -> bool {
    let kind = response.header(&CONTENT_TYPE).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

/// One line of a server's own words: short, printable, and clearly not ours (U8).
pub(super) fn harmless(words: &[u8]) -> String {
    let mut line = sanitised(words, None).replace('\n', " ");
    let mut end = line.len().min(SAID_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

/// What a status other than 200 means (versions-and-origins section 12).
pub(super) async fn refusal(response: Response) -> Error {
    let host = host_of(&response.url);
    let (status, retry_after) = (response.status, response.retry_after());
    if status == 429 || (status == 503 && retry_after.is_some()) {
        return Error::Throttled { host, retry_after: retry_after.unwrap_or(PATIENCE).min(PATIENCE_MAX) };
    }
    match status {
        401 | 403 | 407 => Error::Login { host, reason: login_reason(&response) },
        404 | 410 => {
            Error::NoModule { reason: format!("{host} has no such repository (it answered {status})") }
        }
        _ => Error::Trouble { host, reason: format!("answered {status}") },
    }
}

/// The challenge belongs to a stranger, and may hold anything (C19).
fn login_reason(response: &Response) -> String {
    let challenge = response.headers.get(WWW_AUTHENTICATE).map(|value| harmless(value.as_bytes()));
    match challenge.filter(|words| !words.is_empty()) {
        Some(words) => format!("answered {} ({words})", response.status),
        None => format!("answered {}", response.status),
    }
}
