//! From an object to its answer: lifetimes, tags, 304, ranges, gzip.
//!
//! Lifetimes follow the kind of object, never the content type: a `list` is text like a `.mod`, and must not be
//! kept for a year for it.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use modkeep_mirror::{Answer, Object};
use modkeep_store::OriginState;
use modkeep_sumdb::{RelayAnswer, RelayObject};
use sha2::{Digest as _, Sha256};

use crate::asked::Asked;
use crate::body::Body;
use crate::conditional::{Part, not_modified, part, range_stands};
use crate::gzip::{INLINE_MAX_BYTES, Kept, Twins, WORTHWHILE_BYTES};

/// How one kind of object is sent.
#[derive(Debug)]
pub(crate) struct Manner {
    content_type: HeaderValue,
    cache_control: HeaderValue,
    /// Whether it is text that may be sent compressed (P-113).
    compress: bool,
    /// Whether a part of it may be asked for (P-111).
    ranges: bool,
    /// Whether the answer would be another one under `Disable-Module-Fetch` (P-94).
    varies_by_reach: bool,
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
const FOREVER: &str = "public, max-age=31536000, immutable";
const MINUTE_THEN_STALE: &str = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";
const DAY: &str = "public, max-age=86400";
const MINUTE: &str = "public, max-age=60";

impl Manner {
    const fn new(content_type: &'static str, cache_control: &'static str) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            cache_control: HeaderValue::from_static(cache_control),
            compress: false,
            ranges: false,
            varies_by_reach: false,
        }
    }

    const fn compressed(mut self) -> Self {
        self.compress = true;
        self
    }

    const fn in_ranges(mut self) -> Self {
        self.ranges = true;
        self
    }

    const fn varying_by_reach(mut self) -> Self {
        self.varies_by_reach = true;
        self
    }
}

static LIST: Manner = Manner::new(TEXT, MINUTE_THEN_STALE).compressed().varying_by_reach();
static QUERY: Manner = Manner::new(JSON, MINUTE_THEN_STALE).compressed().varying_by_reach();
static INFO: Manner = Manner::new(JSON, FOREVER).compressed();
static MOD: Manner = Manner::new(TEXT, FOREVER).compressed();
static ZIP: Manner = Manner::new("application/zip", FOREVER).in_ranges();
static SUPPORTED: Manner = Manner::new(TEXT, DAY);
static TREE_HEAD: Manner = Manner::new(TEXT, MINUTE);
static LOOKUP: Manner = Manner::new(TEXT, DAY);
static HASHES: Manner = Manner::new(OCTETS, FOREVER);
static PARTIAL_HASHES: Manner = Manner::new(OCTETS, DAY);
static RECORDS: Manner = Manner::new(OCTETS, FOREVER).compressed();
static PARTIAL_RECORDS: Manner = Manner::new(OCTETS, DAY).compressed();
// Our own log (checksum-database A4, A6, B1). A lookup is right for ever; kept longer it would keep clients on old heads.
static OWN_HEAD: Manner = Manner::new(TEXT, "no-cache");
static OWN_LOOKUP: Manner = Manner::new(TEXT, "public, max-age=3600").varying_by_reach();
static OWN_RECORDS: Manner = Manner::new(TEXT, FOREVER).compressed();
static OWN_PARTIAL_RECORDS: Manner = Manner::new(TEXT, DAY).compressed();
static CHECKPOINT: Manner = Manner::new(TEXT, "public, max-age=5");
static PROOF: Manner = Manner::new(TEXT, "public, max-age=3600");
static PROVENANCE: Manner = Manner::new(TEXT, FOREVER);
/// A page of the index: it grows at its end, so its next reader wants it anew.
pub(crate) static INDEX: Manner = Manner::new("application/x-ndjson", "public, max-age=10").compressed();

/// The manner of an object of the GOPROXY protocol (P section 12).
pub(crate) fn manner_of(object: Object) -> &'static Manner {
    match object {
        Object::List => &LIST,
        Object::Latest | Object::QueryInfo => &QUERY,
        Object::Info => &INFO,
        Object::Mod => &MOD,
        Object::Zip => &ZIP,
    }
}

/// The manner of an object of a checksum database, a relayed one or our own.
pub(crate) fn manner_of_relayed(object: RelayObject) -> &'static Manner {
    match object {
        RelayObject::Supported => &SUPPORTED,
        RelayObject::Latest => &TREE_HEAD,
        RelayObject::Lookup => &LOOKUP,
        RelayObject::FullTile => &HASHES,
        RelayObject::PartialTile => &PARTIAL_HASHES,
        RelayObject::FullDataTile => &RECORDS,
        RelayObject::PartialDataTile => &PARTIAL_RECORDS,
        RelayObject::OwnLatest => &OWN_HEAD,
        RelayObject::OwnLookup => &OWN_LOOKUP,
        RelayObject::OwnFullDataTile => &OWN_RECORDS,
        RelayObject::OwnPartialDataTile => &OWN_PARTIAL_RECORDS,
        RelayObject::Checkpoint => &CHECKPOINT,
        RelayObject::Proof => &PROOF,
        RelayObject::Provenance => &PROVENANCE,
    }
}

/// The bytes of an object, not yet cut or compressed.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    File { file: Arc<File>, size: u64 },
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// An object, ready to be sent in whatever form is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Representation {
    pub(crate) content: Content,
    pub(crate) manner: &'static Manner,
    /// The strong tag with its quotes.
    pub(crate) etag: Bytes,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) stale: Option<Duration>,
    /// What became of the version at its origin, if it does not stand there any more.
    pub(crate) origin: Option<&'static str>,
    /// The compressed twin, when the client welcomes it and it pays.
    pub(crate) twin: Option<Bytes>,
}

impl From<Answer> for Representation {
    fn from(answer: Answer) -> Self {
        let content = match answer.body {
            modkeep_mirror::Body::Bytes(bytes) => Content::Bytes(bytes),
            modkeep_mirror::Body::File { file, size } => Content::File { file, size },
        };
        Self {
            content,
            manner: manner_of(answer.object),
            etag: answer.etag,
            modified: answer.modified,
            stale: answer.stale,
            origin: answer.origin.and_then(OriginState::header),
            twin: None,
        }
    }
}

impl From<RelayAnswer> for Representation {
    fn from(answer: RelayAnswer) -> Self {
        Self {
            content: Content::Bytes(answer.body),
            manner: manner_of_relayed(answer.object),
            etag: answer.etag,
            modified: None,
            stale: None,
            origin: None,
            twin: None,
        }
    }
}

/// How a compressed twin can be had.
pub(crate) enum Twin {
    /// None is wanted, or none pays.
    None,
    Ready(Bytes),
    /// It must be made first, which takes too long to do between two requests.
    ToMake(Bytes),
}

impl From<Kept> for Twin {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Twin(twin) => Self::Ready(twin),
            Kept::DoesNotPay => Self::None,
        }
    }
}

impl Representation {
    /// Whether, and from where, a compressed twin is to be sent.
    pub(crate) fn twin(&self, asked: &Asked<'_>, twins: &Twins) -> Twin {
        let Content::Bytes(text) = &self.content else { return Twin::None };
        if !asked.gzip || !self.manner.compress || text.len() <= WORTHWHILE_BYTES {
            return Twin::None;
        }
        let kept = match twins.remembered(&self.etag) {
            Some(kept) => kept,
            None if text.len() <= INLINE_MAX_BYTES => twins.make(&self.etag, text),
            None => return Twin::ToMake(text.clone()),
        };
        Twin::from(kept)
    }

    /// The answer: 200, 206, 304, or `None` where the range lies outside.
    pub(crate) fn answer(self, asked: &Asked<'_>) -> Option<Response<Body>> {
        let gzip_tag = self.twin.as_ref().map(|_| gzip_tag(&self.etag));
        if asked.conditional && self.is_known(asked, gzip_tag.as_ref()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            self.describe(response.headers_mut(), gzip_tag);
            return Some(response);
        }
        match self.range(asked) {
            Part::Nothing => None,
            Part::Some(range) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                self.describe(response.headers_mut(), None);
                let text = format!("bytes {}-{}/{}", range.start, range.end - 1, self.content.size());
                if let Ok(value) = HeaderValue::try_from(text) {
                    response.headers_mut().insert(header::CONTENT_RANGE, value);
                }
                *response.body_mut() = self.content.body(range);
                Some(finish(response, asked))
            }
            Part::Whole => {
                let mut response = Response::new(Body::empty());
                self.describe(response.headers_mut(), gzip_tag);
                *response.body_mut() = match self.twin {
                    Some(twin) => Body::full(twin),
                    None => self.content.whole(),
                };
                Some(finish(response, asked))
            }
        }
    }

    fn is_known(&self, asked: &Asked<'_>, gzip_tag: Option<&Bytes>) -> bool {
        // A copy of either form is current as long as its own tag is.
        let other = gzip_tag.cloned().unwrap_or_else(|| gzip_tag_if(self.manner.compress, &self.etag));
        let since = asked.headers.get(header::IF_MODIFIED_SINCE).map(HeaderValue::as_bytes);
        not_modified(
            asked.headers.get_all(header::IF_NONE_MATCH).iter(),
            since,
            &[&self.etag, &other],
            self.modified,
        )
    }

    fn range(&self, asked: &Asked<'_>) -> Part {
        let Some(range) = asked.range.filter(|_| self.manner.ranges) else { return Part::Whole };
        let stands = asked
            .headers
            .get(header::IF_RANGE)
            .is_none_or(|if_range| range_stands(if_range.as_bytes(), &self.etag, self.modified));
        if stands { part(range.as_bytes(), self.content.size()) } else { Part::Whole }
    }

    /// The size for `Content-Range` of a 416.
    pub(crate) fn size(&self) -> u64 {
        self.content.size()
    }

    /// The fields that 200, 206 and 304 share.
    fn describe(&self, headers: &mut HeaderMap, gzip_tag: Option<Bytes>) {
        headers.reserve(8);
        let compressed = gzip_tag.is_some();
        let tag = gzip_tag.unwrap_or_else(|| self.etag.clone());
        headers.insert(header::CONTENT_TYPE, self.manner.content_type.clone());
        headers.insert(header::CACHE_CONTROL, self.manner.cache_control.clone());
        if let Ok(tag) = HeaderValue::from_maybe_shared(tag) {
            headers.insert(header::ETAG, tag);
        }
        if let Some(date) = self.modified.and_then(http_date) {
            headers.insert(header::LAST_MODIFIED, date);
        }
        common(headers);
        if compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(vary) = self.vary() {
            headers.insert(header::VARY, vary);
        }
        if self.manner.ranges {
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if let Some(age) = self.stale {
            headers.insert(STALE.clone(), HeaderValue::from(age.as_secs()));
        }
        if let Some(state) = self.origin {
            headers.insert(ORIGIN.clone(), HeaderValue::from_static(state));
        }
    }

    fn vary(&self) -> Option<HeaderValue> {
        // Too short to ever be compressed: the same bytes for everybody.
        let by_encoding = self.manner.compress && self.content.size() > WORTHWHILE_BYTES as u64;
        let value = match (by_encoding, self.manner.varies_by_reach) {
            (false, false) => return None,
            (true, false) => "Accept-Encoding",
            (false, true) => "Disable-Module-Fetch",
            (true, true) => "Accept-Encoding, Disable-Module-Fetch",
        };
        Some(HeaderValue::from_static(value))
    }
}

impl Content {
    fn whole(self) -> Body {
        match self {
            Self::Bytes(bytes) => Body::full(bytes),
            Self::File { file, size } => Body::file(file, 0..size),
        }
    }

    fn body(self, range: std::ops::Range<u64>) -> Body {
        match self {
            Self::File { file, .. } => Body::file(file, range),
            Self::Bytes(bytes) => {
                let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Body::full(bytes.slice(clamp(range.start)..clamp(range.end)))
            }
        }
    }
}

/// Seconds since the answer was last confirmed, where that is too long ago.
static STALE: HeaderName = HeaderName::from_static("x-modkeep-stale");

/// What became of the version at its origin: `tag-gone`, `tag-moved`, `repo-gone`, `repo-moved`, `login`.
static ORIGIN: HeaderName = HeaderName::from_static("x-modkeep-origin");

/// What every answer carries (P-119, P-120).
pub(crate) fn common(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Takes the body away from an answer to `HEAD`, and says how long it would have been (P-110).
pub(crate) fn finish(mut response: Response<Body>, asked: &Asked<'_>) -> Response<Body> {
    if asked.head {
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        *response.body_mut() = Body::empty();
    }
    response
}

/// `"tag"` becomes `"tag-gz"`: the two forms are different bytes, so strong tags must differ (P-113).
fn gzip_tag(tag: &[u8]) -> Bytes {
    let inner = tag.strip_suffix(b"\"").unwrap_or(tag);
    [inner, b"-gz\""].concat().into()
}

/// The strong tag of content that has no recorded sum.
pub(crate) fn content_tag(content: &[u8]) -> Bytes {
    // Half of SHA-256 is plenty to tell versions of one page apart.
    let sum = Sha256::digest(content);
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &sum[..16] {
        let _ = std::fmt::Write::write_fmt(&mut tag, format_args!("{byte:02x}"));
    }
    tag.push('"');
    tag.into()
}

fn gzip_tag_if(compress: bool, tag: &[u8]) -> Bytes {
    if compress { gzip_tag(tag) } else { Bytes::new() }
}

/// A date as HTTP writes it, where it can: years 1970 to 9999 (B26).
fn http_date(time: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000: u64 = 253_402_300_800;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    if since.as_secs() >= YEAR_10000 {
        return None;
    }
    let mut text = [0; 29];
    write!(&mut text[..], "{}", httpdate::HttpDate::from(time)).ok()?;
    HeaderValue::from_bytes(&text).ok()
}
