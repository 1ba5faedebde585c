//! The pages and small answers under words of our own: front page, style, codes, health, version.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use modkeep_module::Patterns;
use modkeep_store::{Error, FeedLine, Store};
use modkeep_web::{Announcement, CONTENT_SECURITY_POLICY, FrontPage, Newest, STYLE_PATH};
use tokio::sync::Mutex;

use crate::asked::Asked;
use crate::body::Body;
use crate::catalogue::Code;
use crate::conditional::not_modified;
use crate::door::{Refusal, Way};
use crate::probes::Probes;
use crate::refuse::{Refused, explain};
use crate::representation::{common, content_tag, finish};
use crate::service::Config;
use crate::status;

/// How long a front page is shown again without counting anew.
const FRONT_LASTS: Duration = Duration::from_secs(10);
/// Versions shown as the newest.
const NEWEST: usize = 10;
/// Feed lines read at once while looking for the newest.
const GLANCE: u32 = 200;

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The pages of one service.
pub(crate) struct Pages {
    store: Store,
    template: FrontPage,
    /// Paths that no public page names (D14).
    private: Patterns,
    front: Mutex<Option<(Instant, Bytes)>>,
}

impl Pages {
    pub(crate) fn new(store: Store, config: &Config) -> Self {
        let template = FrontPage {
            title: config.title.clone(),
            notice: config.notice.clone(),
            base: config.public_url.trim_end_matches('/').to_owned(),
            sumdb: config.sumdb.clone(),
            log_key: config.log_key.clone(),
            private: config.private.clone(),
            version: config.version.clone(),
            ..FrontPage::default()
        };
        let private = Patterns::lenient(&config.private);
        Self { store, template, private, front: Mutex::default() }
    }

    /// Answers a way that leads to a page.
    pub(crate) async fn answer(
        &self,
        way: Way,
        asked: &Asked<'_>,
        probes: &Probes,
    ) -> Result<Response<Body>, Refused> {
        match way {
            Way::Front => {
                let page = self.front().await.map_err(|cause| Refused::Fault(cause.to_string()))?;
                Ok(Page::new(HTML, "public, max-age=10", page).answer(asked))
            }
            Way::Asset(name) if STYLE_PATH.strip_prefix("/assets/") == Some(&name) => {
                const FOREVER: &str = "public, max-age=31536000, immutable";
                Ok(Page::new("text/css; charset=utf-8", FOREVER, modkeep_web::style()).answer(asked))
            }
            Way::Explain(code) => Ok(self.explanation(code, asked)),
            Way::Health => {
                // Alive is all that this asks; a degraded part is told, not punished with a restart (R12).
                let summary = probes.ask().summary();
                Ok(Page::new(PLAIN, "no-store", summary).answer(asked))
            }
            Way::Readiness => Ok(readiness(probes, false, asked)),
            Way::Version => {
                let text = format!("modkeep {}\n", self.template.version);
                Ok(Page::new(PLAIN, "public, max-age=60", text).answer(asked))
            }
            Way::Asset(_) | Way::Module(..) | Way::Relay(..) | Way::Log(..) | Way::Index { .. } => {
                Err(Refused::Door(Refusal::new(Code::NoSuchPage, "nothing is here.")))
            }
        }
    }

    /// A go-import page. It may be kept as long as go commands and other mirrors would believe it.
    pub(crate) fn announcement(&self, announcement: &Announcement, asked: &Asked<'_>) -> Response<Body> {
        let page = modkeep_web::import_page(announcement, &self.template.base);
        let mut response = Page::new(HTML, "public, max-age=300", page).answer(asked);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Host"));
        response
    }

    fn explanation(&self, code: Code, asked: &Asked<'_>) -> Response<Body> {
        let (title, base) = (&self.template.title, &self.template.base);
        let page = if asked.html {
            Page::new(HTML, "public, max-age=3600", explain(code, title, base))
        } else {
            let row = code.row();
            let status = status::status(code);
            let text = format!("{} [{}]\n{status}\n\n{}\n", row.title, row.name, row.page.join("\n\n"));
            Page::new(PLAIN, "public, max-age=3600", text)
        };
        let mut response = page.answer(asked);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }

    /// The front page, counted at most once in [`FRONT_LASTS`] however many ask.
    async fn front(&self) -> Result<Bytes, Error> {
        let mut kept = self.front.lock().await;
        if let Some((made, page)) = &*kept
            && made.elapsed() < FRONT_LASTS
        {
            return Ok(page.clone());
        }
        let counts = self.store.counts().await?;
        let newest = newest(&self.store).await?.into_iter();
        let newest = newest.filter(|line| !self.private.matches(line.path.as_str())).take(NEWEST);
        let page = FrontPage {
            modules: counts.modules,
            versions: counts.versions,
            bytes: counts.bytes,
            entries: counts.zips,
            newest: newest.map(|line| shown(&line)).collect(),
            ..self.template.clone()
        };
        let page = Bytes::from(modkeep_web::front(&page));
        *kept = Some((Instant::now(), page.clone()));
        Ok(page)
    }
}

fn shown(line: &FeedLine) -> Newest {
    let at = jiff::Timestamp::from_microsecond(line.at_micros).unwrap_or_default();
    let whole = at.round(jiff::Unit::Second).unwrap_or(at);
    Newest { path: line.path.to_string(), version: line.version.to_string(), at: whole.to_string() }
}

/// The last lines of the feed, newest first: some more than are shown.
///
/// The feed is read forwards, so the moment from which a glance shows its end is found by halving: about twenty
/// glances at most, for a page that is made once in ten seconds.
async fn newest(store: &Store) -> Result<Vec<FeedLine>, Error> {
    let now = store.clock().now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut early, mut late) = (0, i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let mut since = early;
    let mut lines = store.feed(Some(since), GLANCE).await?;
    let full = |lines: &[FeedLine]| lines.len() == GLANCE as usize;
    while (full(&lines) || lines.len() < NEWEST && since > 0) && late - early > 1 {
        if full(&lines) {
            early = since;
        } else {
            late = since;
        }
        since = early + (late - early) / 2;
        lines = store.feed(Some(since), GLANCE).await?;
    }
    lines.reverse();
    Ok(lines)
}

/// `/readyz`: 503 when a part cannot work. The details are for operators only.
pub(crate) fn readiness(probes: &Probes, verbose: bool, asked: &Asked<'_>) -> Response<Body> {
    let report = probes.ask();
    let text = if verbose { report.summary() + &report.details() } else { report.summary() };
    let mut response = Page::new(PLAIN, "no-store", text).answer(asked);
    if !report.is_ready() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// A small answer, whole in memory.
pub(crate) struct Page {
    content_type: &'static str,
    cache_control: &'static str,
    content: Bytes,
}

impl Page {
    pub(crate) fn new(
        content_type: &'static str,
        cache_control: &'static str,
        content: impl Into<Bytes>,
    ) -> Self {
        Self { content_type, cache_control, content: content.into() }
    }

    pub(crate) fn answer(self, asked: &Asked<'_>) -> Response<Body> {
        let tag = content_tag(&self.content);
        let mut response = Response::new(Body::empty());
        let fields = asked.headers.get_all(header::IF_NONE_MATCH);
        if asked.conditional && not_modified(fields.iter(), None, &[&tag], None) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Body::full(self.content);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        if let Ok(tag) = HeaderValue::from_maybe_shared(tag) {
            headers.insert(header::ETAG, tag);
        }
        common(headers);
        if self.content_type == HTML {
            for (name, value) in HTML_FIELDS {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        if response.status() == StatusCode::NOT_MODIFIED { response } else { finish(response, asked) }
    }
}

/// What a page for browsers carries besides.
const HTML_FIELDS: [(&str, &str); 3] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Keeps the type in one place for the admin service.
pub(crate) fn plain(text: impl Into<Bytes>, asked: &Asked<'_>) -> Response<Body> {
    Page::new(PLAIN, "no-store", text).answer(asked)
}

/// The metrics in the type that Prometheus asks for.
pub(crate) fn metrics(text: String, asked: &Asked<'_>) -> Response<Body> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Page::new(OPEN_METRICS, "no-store", text).answer(asked)
}
