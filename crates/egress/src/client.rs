//! Requests, and the loop that takes one of them through turns, gate, connection and redirects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT,
};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use url::Url;

use crate::body::Body;
use crate::budget::{Budget, Share, Turn};
use crate::connect::{Connector, Ways};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::gate::Gate;
use crate::host::{AllowRule, HostPattern, HostPort};
use crate::proxy::ProxyEnv;
use crate::resolve::{Resolve, SystemResolver};
use crate::surplus::BehindHead;
use crate::tls::{self, SetupError};

/// Requests at once to one origin host, and how many may wait (`hostile-inputs.md` part 1).
const ORIGIN: Share = Share { parallel: 2, queue_max: 256 };
/// The largest head of an answer.
const HEAD_MAX: u32 = 64 * 1024;
/// The body of a redirect is read to the end if it is this short, so that the connection can be kept.
const REDIRECT_BODY_MAX: u64 = 8 * 1024;

/// How the way out is set up. [`Config::default`] allows nothing private and knows no proxy.
#[derive(Clone)]
pub struct Config {
    /// The `User-Agent` of every request; see [`user_agent`].
    pub user_agent: String,
    /// Private places that may be contacted (`[egress] allow`).
    pub allow: Vec<AllowRule>,
    /// Configured infrastructure: upstreams and checksum databases, exempt from the gate by exact host
    /// and port.
    pub named: Vec<HostPort>,
    /// Where this server itself listens, and its public name: refused as a loop unless named (E07).
    pub own: Vec<HostPort>,
    /// Hosts that are never contacted (E09).
    pub deny: Vec<HostPattern>,
    /// If not empty: nobody else is contacted (E09). Named places and allowed ones always are.
    pub only: Vec<HostPattern>,
    /// A PEM file of certificate authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Forward proxies.
    pub proxies: ProxyEnv,
    /// Parallel requests to one named host. Default 64.
    pub per_upstream: usize,
    /// Requests that may wait for one named host. Default 10,000.
    pub queue_max: usize,
    /// Who turns names into addresses. The system, but for tests.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: user_agent(None),
            allow: Vec::new(),
            named: Vec::new(),
            own: Vec::new(),
            deny: Vec::new(),
            only: Vec::new(),
            ca_file: None,
            proxies: ProxyEnv::default(),
            per_upstream: 64,
            queue_max: 10_000,
            resolver: Arc::new(SystemResolver),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("user_agent", &self.user_agent)
            .field("allow", &self.allow)
            .field("named", &self.named)
            .field("own", &self.own)
            .field("deny", &self.deny)
            .field("only", &self.only)
            .field("ca_file", &self.ca_file)
            .field("proxies", &self.proxies)
            .field("per_upstream", &self.per_upstream)
            .field("queue_max", &self.queue_max)
            .finish_non_exhaustive()
    }
}

/// `modkeep/VERSION`, or `modkeep/VERSION (+CONTACT)`: whom an origin's owner may write to.
///
/// Characters of the contact that no header may carry are dropped.
pub fn user_agent(contact: Option<&str>) -> String {
    let name = concat!("modkeep/", env!("CARGO_PKG_VERSION"));
    let contact: String =
        contact.unwrap_or_default().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    if contact.trim().is_empty() { name.to_owned() } else { format!("{name} (+{})", contact.trim()) }
}

/// Whose budget a request draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A configured mirror or database: 64 at once, 10,000 waiting, as configured.
    Named,
    /// Somebody's repository or page: 2 at once, 256 waiting.
    Origin,
}

/// Whether the answer may come compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is: zips gain nothing, and a known length is worth more.
    Plain,
    /// gzip is welcome and undone on the way.
    Gzip,
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

/// One GET.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to: http or https, no user part (credentials have their own field), fragment ignored.
    pub url: Url,
    /// Further headers. Only `Accept`, `If-None-Match`, `If-Modified-Since` and `Range` survive a redirect to
    /// another host (M03).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A login for the URL's own host; sent over https only.
    pub credentials: Option<Credentials>,
    /// The limits.
    pub limits: Limits,
    /// Whose budget it draws on.
    pub kind: Kind,
    /// Whether the answer may come compressed.
    pub encoding: Encoding,
}

impl Request {
    /// A plain GET under the default limits, for a configured host.
    pub fn named(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            credentials: None,
            limits: Limits::default(),
            kind: Kind::Named,
            encoding: Encoding::Plain,
        }
    }
}

/// An answer, of whatever status; its body is yet to be read.
#[derive(Debug)]
pub struct Response {
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

/// The one way out. Cheap to clone; all clones share connections, turns and memory.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<Connector, Empty<Bytes>>,
    ways: Arc<Ways>,
    budget: Budget,
    user_agent: HeaderValue,
    named: Share,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Egress").finish_non_exhaustive()
    }
}

impl Egress {
    /// Sets up TLS and the pool. Reads the system's certificates, or the files that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name; call it at the start of the program.
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let tls = Arc::new(tls::client_config(config.ca_file.as_deref())?);
        let ways = Arc::new(Ways {
            gate: Gate {
                named: config.named,
                allow: config.allow,
                own: config.own,
                deny: config.deny,
                only: config.only,
            },
            resolver: config.resolver,
            proxies: config.proxies,
            tls,
        });
        let user_agent =
            HeaderValue::from_str(&config.user_agent).unwrap_or(HeaderValue::from_static("modkeep"));
        let inner = Inner {
            client: pool(Connector(Arc::clone(&ways))),
            ways,
            budget: Budget::default(),
            user_agent,
            named: Share { parallel: config.per_upstream.max(1), queue_max: config.queue_max },
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sends one GET and follows its redirects; the answer's body is read by the caller.
    ///
    /// Any status comes back as a [`Response`]; an [`Error`] means that there was no usable answer. A
    /// successful answer whose declared length is above the limit is refused before its body is read (F31).
    ///
    /// Cancel safe: dropping it gives the turn back and sends nothing further.
    pub async fn get(&self, request: Request) -> Result<Response, Error> {
        let deadline = Instant::now() + request.limits.total;
        let host = HostPort::of(&request.url).map(|place| place.to_string()).unwrap_or_default();
        let after = request.limits.total;
        match tokio::time::timeout_at(deadline, self.follow(request, deadline)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { host, after }),
        }
    }

    async fn follow(&self, request: Request, deadline: Instant) -> Result<Response, Error> {
        let mut hop = Hop::first(&request);
        for _ in 0..=request.limits.redirects_max.min(10) {
            let place = self.check(&hop.url)?;
            let turn = self.inner.budget.turn(&place, self.share(request.kind)).await?;
            let answer = self.send(&hop, &request, &turn).await?;
            if !is_redirect(answer.status()) {
                return finish(answer, turn, request.limits, deadline);
            }
            let next = hop.redirected(&place, redirect_target(answer.headers()))?;
            drain(answer).await;
            turn.succeeded();
            hop = next;
        }
        Err(bad_redirect(&hop.place(), "too many of them"))
    }

    /// What can be said about a URL before its host's turn comes.
    fn check(&self, url: &Url) -> Result<HostPort, Error> {
        let refused =
            |host: &str, reason: &str| Error::Refused { host: host.to_owned(), reason: reason.to_owned() };
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => {
                return Err(refused(
                    url.host_str().unwrap_or_default(),
                    "only http and https addresses are fetched",
                ));
            }
        };
        let place = HostPort::of(url).ok_or_else(|| refused("", "the address names no host"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(&place.to_string(), "the address carries a user name"));
        }
        self.inner.ways.gate.judge(&place, tls)?;
        Ok(place)
    }

    fn share(&self, kind: Kind) -> Share {
        match kind {
            Kind::Named => self.inner.named,
            Kind::Origin => ORIGIN,
        }
    }

    /// One request on the wire, up to the head of its answer; the host's memory is told how it went.
    async fn send(
        &self,
        hop: &Hop,
        request: &Request,
        turn: &Turn,
    ) -> Result<http::Response<Incoming>, Error> {
        let outgoing = self.outgoing(hop, request, turn.place())?;
        let host = || turn.place().to_string();
        let result =
            match tokio::time::timeout(request.limits.head, self.inner.client.request(outgoing)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(explain(&error, host())),
                Err(_) => Err(Error::Timeout { host: host(), after: request.limits.head }),
            };
        match &result {
            Ok(answer) => note_status(answer, turn),
            Err(Error::Refused { .. }) => {}
            Err(_) => turn.failed(),
        }
        result
    }

    fn outgoing(
        &self,
        hop: &Hop,
        request: &Request,
        place: &HostPort,
    ) -> Result<http::Request<Empty<Bytes>>, Error> {
        let mut url = hop.url.clone();
        url.set_fragment(None);
        let uri: Uri = url.as_str().parse().map_err(|_| Error::Refused {
            host: place.to_string(),
            reason: "the address cannot be put into a request".to_owned(),
        })?;
        let proxy = if hop.url.scheme() == "http" { self.inner.ways.proxies.before(&uri) } else { None };
        let mut outgoing = http::Request::new(Empty::new());
        *outgoing.uri_mut() = uri;
        let headers = outgoing.headers_mut();
        for (name, value) in &hop.headers {
            headers.append(name, value.clone());
        }
        headers.insert(USER_AGENT, self.inner.user_agent.clone());
        if request.encoding == Encoding::Gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(login) = hop.credentials.as_ref().filter(|_| hop.url.scheme() == "https") {
            headers.extend(login.header().map(|value| (AUTHORIZATION, value)));
        }
        headers.extend(proxy.and_then(|proxy| proxy.authorization).map(|value| (PROXY_AUTHORIZATION, value)));
        Ok(outgoing)
    }
}

/// The pool. HTTP/2 windows: 1 MiB keeps a stream busy at 50 ms and 160 Mbit/s; 16 MiB for a connection
/// bounds what 64 stalled readers can hold.
fn pool(connector: Connector) -> Client<Connector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(32)
        .http1_max_buf_size(HEAD_MAX as usize)
        .http2_max_header_list_size(HEAD_MAX)
        .http2_initial_stream_window_size(1024 * 1024)
        .http2_initial_connection_window_size(16 * 1024 * 1024)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(connector)
}

/// Where a request stands on its way through redirects.
struct Hop {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    credentials: Option<Credentials>,
}

impl Hop {
    fn first(request: &Request) -> Self {
        Self {
            url: request.url.clone(),
            headers: request.headers.clone(),
            credentials: request.credentials.clone(),
        }
    }

    fn place(&self) -> String {
        HostPort::of(&self.url).map(|place| place.to_string()).unwrap_or_default()
    }

    /// The next hop. The gate will judge it like any other; what is decided here is what it may not take
    /// along, and the steps that no gate would notice: from https to http, and to a user part (E06).
    fn redirected(&self, from: &HostPort, target: Option<&str>) -> Result<Self, Error> {
        let bad = |reason| bad_redirect(&from.to_string(), reason);
        let target = target.ok_or_else(|| bad("without a target"))?;
        // Readers disagree about a backslash: for some it is a slash, for others part of a user name (E06).
        if target.contains('\\') {
            return Err(bad("to an address with a backslash"));
        }
        let url = self.url.join(target).map_err(|_| bad("to something that is no address"))?;
        match (self.url.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => {}
            ("https", "http") => return Err(bad("from https to plain http")),
            _ => return Err(bad("to a scheme that is not fetched")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("to an address with a user name"));
        }
        let stays = HostPort::of(&url).as_ref() == Some(from) && url.scheme() == self.url.scheme();
        if stays {
            return Ok(Self { url, headers: self.headers.clone(), credentials: self.credentials.clone() });
        }
        // Dropped for good: a detour over another host does not bring them back (H12, M03).
        let headers = self.headers.iter().filter(|(name, _)| travels(name)).cloned().collect();
        Ok(Self { url, headers, credentials: None })
    }
}

/// Headers that say nothing about the sender.
fn travels(name: &HeaderName) -> bool {
    use http::header::{ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
    [ACCEPT, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE].contains(name)
}

fn bad_redirect(host: &str, reason: &str) -> Error {
    Error::BadRedirect { host: host.to_owned(), reason: reason.to_owned() }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if there is exactly one target and it is text.
fn redirect_target(headers: &HeaderMap) -> Option<&str> {
    let mut targets = headers.get_all(LOCATION).iter();
    match (targets.next(), targets.next()) {
        (Some(target), None) => target.to_str().ok(),
        _ => None,
    }
}

/// Reads a short body to its end, so that the connection can be used again.
async fn drain(answer: http::Response<Incoming>) {
    let body = answer.into_body();
    if body.size_hint().upper().is_some_and(|bytes| bytes <= REDIRECT_BODY_MAX) {
        let _kept = tokio::time::timeout(Duration::from_secs(1), body.collect()).await;
    }
}

fn finish(
    answer: http::Response<Incoming>,
    turn: Turn,
    limits: Limits,
    deadline: Instant,
) -> Result<Response, Error> {
    let host = turn.place().to_string();
    let (head, incoming) = answer.into_parts();
    let Some(gzip) = content_encoding(&head.headers) else {
        return Err(Error::Malformed { host, reason: "an encoding nobody asked for".to_owned() });
    };
    let declared = incoming.size_hint().exact();
    if head.status.is_success() && declared.is_some_and(|bytes| bytes > limits.bytes_max) {
        return Err(Error::TooLarge { host, limit: limits.bytes_max, declared });
    }
    let behind = head.extensions.get::<BehindHead>().cloned();
    let well = !head.status.is_server_error() && head.status != StatusCode::TOO_MANY_REQUESTS;
    let body = Body::new(incoming, gzip, turn, well, limits, deadline, behind);
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
}

/// Whether the body is gzip; `None` for anything we cannot undo.
fn content_encoding(headers: &HeaderMap) -> Option<bool> {
    let mut gzip = false;
    for value in headers.get_all(CONTENT_ENCODING) {
        match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => {}
            "gzip" | "x-gzip" if !gzip => gzip = true,
            _ => return None,
        }
    }
    Some(gzip)
}

/// What a status alone says about the host. That a body came through is noted when it ends.
fn note_status(answer: &http::Response<Incoming>, turn: &Turn) {
    let asked = retry_after(answer.headers(), SystemTime::now());
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => turn.throttled(asked),
        StatusCode::SERVICE_UNAVAILABLE if asked.is_some() => turn.throttled(asked),
        status if status.is_server_error() => turn.failed(),
        _ => {}
    }
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Finds our own error in the library's, or names what the library met.
fn explain(error: &hyper_util::client::legacy::Error, host: String) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(found) = cause {
        if let Some(ours) = found.downcast_ref::<Error>() {
            return ours.clone();
        }
        if let Some(http) = found.downcast_ref::<hyper::Error>() {
            if http.is_parse() {
                return Error::Malformed { host, reason: http.to_string() };
            }
            if http.is_incomplete_message() {
                return Error::Truncated { host, reason: "closed before an answer".to_owned() };
            }
        }
        last = found.to_string();
        cause = found.source();
    }
    Error::Connect { host, reason: last }
}
