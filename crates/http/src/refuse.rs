//! Saying no: the text, the fields and the log line of every refusal.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use http::header::{self, HeaderMap};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use modkeep_fetch::Failure;
use modkeep_sumdb::RelayError;
use modkeep_web::{CONTENT_SECURITY_POLICY, ErrorPage, error_page};

use crate::asked::Asked;
use crate::body::Body;
use crate::catalogue::{self, Code, Words};
use crate::door::Refusal;
use crate::metrics::{Answered, Cache, Kind, Metrics};
use crate::representation::{common, finish};
use crate::service::{AccessLog, Config};
use crate::status::{self, Keep};

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    /// By a room below.
    Failure(Failure),
    /// By the relay of checksum databases.
    Relay(RelayError),
    /// By its own form.
    Door(Refusal),
    /// It asks for bytes behind the end of an object of this size.
    Range { size: u64 },
    /// By a fault of ours, with words for the log.
    Fault(String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Door(refusal)
    }
}

impl Refused {
    fn code(&self) -> Code {
        match self {
            Self::Failure(failure) => status::code(failure),
            Self::Relay(error) => status::code_of_relay(error),
            Self::Door(refusal) => refusal.code,
            Self::Range { .. } => Code::BadRange,
            Self::Fault(_) => Code::Internal,
        }
    }

    fn words(&self, base: &str, request: &str) -> Words {
        match self {
            Self::Failure(failure) => catalogue::words(failure, base, request),
            Self::Relay(error) => catalogue::words_of_relay(error, base, request),
            Self::Door(refusal) => refusal.words.clone(),
            Self::Range { size } => Words::new(format!("the file has {size} bytes.")),
            Self::Fault(_) => catalogue::our_fault(request),
        }
    }

    fn keep(&self) -> Keep {
        match self {
            Self::Failure(failure) => status::keep(failure),
            _ => match self.code() {
                Code::NotAModule => Keep::Day,
                Code::NoSuchLog | Code::NoSuchPage => Keep::Minute,
                _ => Keep::Never,
            },
        }
    }

    /// The label `cache`: whether the refusal is an absence that somebody vouched for.
    fn cache(&self) -> Cache {
        match self {
            Self::Failure(failure) if failure.is_absence() => Cache::Negative,
            _ => Cache::None,
        }
    }
}

static CODE: HeaderName = HeaderName::from_static("x-modkeep-code");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whoever says no, in the name of one service.
pub(crate) struct Teller {
    base: String,
    title: String,
    access_log: AccessLog,
    ids: RequestIds,
    metrics: Metrics,
}

impl Teller {
    pub(crate) fn new(metrics: Metrics, config: &Config) -> Self {
        Self {
            base: config.public_url.trim_end_matches('/').to_owned(),
            title: config.title.clone(),
            access_log: config.access_log,
            ids: RequestIds::new(),
            metrics,
        }
    }

    /// The answer to a refused request; counted and, where it should be, logged.
    pub(crate) fn tell(
        &self,
        asked: &Asked<'_>,
        refused: &Refused,
        kind: Kind,
        began: Instant,
    ) -> Response<Body> {
        let (code, request) = (refused.code(), self.ids.next());
        let status = status::status(code);
        let words = refused.words(&self.base, &request);
        let (content_type, text) = self.render(asked, status, code, &words, &request);
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, refused.keep().header());
        headers.insert(header::VARY, HeaderValue::from_static("Accept, Disable-Module-Fetch"));
        headers.insert(&CODE, HeaderValue::from_static(code.name()));
        if let Ok(id) = HeaderValue::from_str(&request) {
            headers.insert(&REQUEST_ID, id);
        }
        common(headers);
        add_what_the_case_needs(headers, refused, code, content_type);
        let answered = Answered {
            kind,
            status,
            cache: refused.cache(),
            bytes: response.body().len(),
            took: began.elapsed(),
        };
        self.metrics.answered(answered);
        self.metrics.error(code);
        self.log(refused, code, &answered, &request);
        finish(response, asked)
    }

    /// JSON for programs that ask for it, a page for a browser that lost its way, text for everybody else: the go
    /// command prints only text.
    fn render(
        &self,
        asked: &Asked<'_>,
        status: StatusCode,
        code: Code,
        words: &Words,
        request: &str,
    ) -> (&'static str, String) {
        if asked.html && code == Code::NoSuchPage {
            return ("text/html; charset=utf-8", self.page(code));
        }
        if asked.json {
            let json = catalogue::json(status.as_u16(), code, words, &self.base, request);
            return ("application/problem+json", json);
        }
        ("text/plain; charset=utf-8", catalogue::text(status::class(status), code, words, &self.base))
    }

    /// The page that explains a code.
    pub(crate) fn page(&self, code: Code) -> String {
        explain(code, &self.title, &self.base)
    }

    fn log(&self, refused: &Refused, code: Code, answered: &Answered, request: &str) {
        let status = answered.status.as_u16();
        let wanted = match self.access_log {
            AccessLog::Off => false,
            AccessLog::Errors => status == 403 || status >= 500,
            AccessLog::All => true,
        };
        let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
        let code = code.name();
        match refused {
            // The words of a fault are in the log alone, so they are there whatever the access log is.
            Refused::Fault(fault) => {
                tracing::error!(event = "http", req = request, code, status, ms, fault);
            }
            // A private name is for nobody's eyes, and its refusal is no trouble (I02).
            Refused::Failure(Failure::LogPrivate { .. } | Failure::LogDenied { .. }) => {}
            Refused::Failure(failure) if wanted => {
                tracing::warn!(event = "http", req = request, code, status, ms, %failure);
            }
            Refused::Relay(error) if wanted => {
                tracing::warn!(event = "http", req = request, code, status, ms, %error);
            }
            _ if wanted => tracing::info!(event = "http", req = request, code, status, ms),
            _ => {}
        }
    }
}

/// A log line for an answer that is no refusal; only where all requests are logged.
pub(crate) fn log_answered(answered: &Answered) {
    let ms = u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX);
    let (status, bytes) = (answered.status.as_u16(), answered.bytes);
    tracing::info!(event = "http", kind = ?answered.kind, status, bytes, ms, cache = ?answered.cache);
}

/// A code's page as HTML.
pub(crate) fn explain(code: Code, title: &str, base: &str) -> String {
    let row = code.row();
    error_page(&ErrorPage {
        title: title.into(),
        base: base.into(),
        heading: row.title.into(),
        status: status::status(code).to_string(),
        code: row.name.into(),
        paragraphs: row.page.iter().map(|&paragraph| paragraph.into()).collect(),
    })
}

fn add_what_the_case_needs(headers: &mut HeaderMap, refused: &Refused, code: Code, content_type: &str) {
    let wait = match refused {
        Refused::Failure(failure) => status::retry_after(failure),
        _ => status::usual_wait(code),
    };
    if let Some(wait) = wait {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let Refused::Range { size } = refused
        && let Ok(range) = HeaderValue::try_from(format!("bytes */{size}"))
    {
        headers.insert(header::CONTENT_RANGE, range);
    }
    if code == Code::BadFraming {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if code == Code::BadMethod {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if content_type.starts_with("text/html") {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    }
}

/// Names for refused requests: in the text, in `X-Request-Id` and in the log.
#[derive(Debug)]
struct RequestIds(AtomicU64);

impl RequestIds {
    /// Counts on from the microsecond of the start, so that ids of two runs do not meet.
    fn new() -> Self {
        let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(AtomicU64::new(u64::try_from(start.as_micros()).unwrap_or_default()))
    }

    /// The next id: 11 digits of base 32, without letters that are mistaken for digits.
    fn next(&self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let number = self.0.fetch_add(1, Relaxed);
        (0..11)
            .rev()
            .map(|place| char::from(DIGITS[usize::try_from(number >> (5 * place) & 31).unwrap_or(0)]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_stand_in_a_header() {
        let ids = RequestIds::new();
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert_eq!(first.len(), 11);
        assert!(HeaderValue::from_str(&first).is_ok());
        assert!(first < second, "and sort by time");
    }
}
