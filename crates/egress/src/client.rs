//! The way out itself: the loop that takes a request through turns, gate, connection and redirects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use url::Url;

use crate::body::Body;
use crate::budget::{Budget, Share, Turn};
use crate::connect::{Connector, Ways};
use crate::courtesy::Errand;
use crate::error::Error;
use crate::gate::Gate;
use crate::hop::{Hop, bad_redirect, is_redirect, keeps_method, redirect_target};
use crate::host::{AllowRule, HostPattern, HostPort};
use crate::manners::{Manners, OptOut};
use crate::pace::Pace;
use crate::proxy::ProxyEnv;
use crate::request::{Encoding, Kind, Limits, Post, Request, Response, Trust, retry_after};
use crate::resolve::{Resolve, SystemResolver};
use crate::robots::CrawlRules;
use crate::surplus::BehindHead;
use crate::tls::{self, SetupError};

/// Requests at once to one origin host, and how many may wait (`hostile-inputs.md` part 1).
const ORIGIN: Share = Share { parallel: 2, queue_max: 256, draws_on_common: true };
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
    /// A PEM file of certificate authorities trusted beside the system's (`[egress] ca_file`).
    pub ca_file: Option<PathBuf>,
    /// Forward proxies.
    pub proxies: ProxyEnv,
    /// Parallel requests to one named host. Default 64.
    pub per_upstream: usize,
    /// Requests that may wait for one named host. Default 10,000.
    pub queue_max: usize,
    /// Parallel requests to one host that is not named (`[origin] per_host`). Default 2.
    pub per_origin: usize,
    /// Who asked to be left alone (`[origin] opt_out`); holds for [`Kind::Origin`].
    pub opt_out: Vec<OptOut>,
    /// Whose rules in a host's `robots.txt` we obey.
    pub crawl_rules: CrawlRules,
    /// The pace kept with hosts that are not configured.
    pub pace: Pace,
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
            per_origin: ORIGIN.parallel,
            opt_out: Vec::new(),
            crawl_rules: CrawlRules::default(),
            pace: Pace::default(),
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
            .field("per_origin", &self.per_origin)
            .field("opt_out", &self.opt_out)
            .field("crawl_rules", &self.crawl_rules)
            .field("pace", &self.pace)
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

/// The one way out. Cheap to clone; all clones share connections, turns and memory.
#[derive(Clone)]
pub struct Egress {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<Connector, Full<Bytes>>,
    /// Connections whose certificate nobody checked are kept apart, so that no other request gets one.
    insecure: Client<Connector, Full<Bytes>>,
    ways: Arc<Ways>,
    /// Whom we believe, where that is not the system's own list.
    authorities: Option<Box<str>>,
    budget: Budget,
    manners: Manners,
    user_agent: HeaderValue,
    named: Share,
    origin: Share,
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
        let roots = tls::Roots::load(config.ca_file.as_deref())?;
        let tls = Arc::new(tls::client_config(&roots)?);
        let tls_unchecked = Arc::new(tls::unchecked(&tls));
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
            tls_unchecked,
        });
        let user_agent =
            HeaderValue::from_str(&config.user_agent).unwrap_or(HeaderValue::from_static("modkeep"));
        let inner = Inner {
            client: pool(Connector { ways: Arc::clone(&ways), trust: Trust::Verified }),
            insecure: pool(Connector { ways: Arc::clone(&ways), trust: Trust::Insecure }),
            ways,
            authorities: roots.pem,
            budget: Budget::default(),
            manners: Manners::new(config.opt_out, config.crawl_rules, config.pace),
            user_agent,
            named: Share {
                parallel: config.per_upstream.max(1),
                queue_max: config.queue_max,
                draws_on_common: false,
            },
            origin: Share { parallel: config.per_origin.max(1), ..ORIGIN },
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
        self.ask(request, None).await
    }

    /// Sends one POST. Redirects that keep the method (307, 308) are followed with it; every other redirect is
    /// [`Error::BadRedirect`]. In all else like [`get`](Self::get).
    ///
    /// Cancel safe: dropping it gives the turn back and sends nothing further.
    pub async fn post(&self, request: Request, post: Post) -> Result<Response, Error> {
        self.ask(request, Some(post)).await
    }

    /// Whether the configuration names this URL's very host and port: no stranger, so that rules for strangers and
    /// manners of crawling do not apply.
    pub fn is_configured(&self, url: &Url) -> bool {
        HostPort::of(url).is_some_and(|place| self.inner.ways.gate.is_exempt(&place))
    }

    /// The certificate authorities that we believe, as PEM, where they are not just the system's own: a `ca_file`, or
    /// what `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Programs that go out through a [`tunnel`](Self::tunnel) see neither.
    pub fn authorities(&self) -> Option<&str> {
        self.inner.authorities.as_deref()
    }

    async fn ask(&self, request: Request, post: Option<Post>) -> Result<Response, Error> {
        let deadline = Instant::now() + request.limits.total;
        let host = HostPort::of(&request.url).map(|place| place.to_string()).unwrap_or_default();
        let after = request.limits.total;
        match tokio::time::timeout_at(deadline, self.follow(request, post, deadline, Errand::Callers)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { host, after }),
        }
    }

    pub(crate) async fn follow(
        &self,
        request: Request,
        post: Option<Post>,
        deadline: Instant,
        errand: Errand,
    ) -> Result<Response, Error> {
        let method = if post.is_some() { Method::POST } else { Method::GET };
        let mut hop = Hop::first(&request);
        for _ in 0..=request.limits.redirects_max.min(10) {
            let place = self.check(&hop)?;
            self.permit(&hop, &place, request.kind, errand, deadline).await?;
            let turn = self.inner.budget.turn(&place, self.share(request.kind)).await?;
            let outgoing = self.outgoing(&hop, &request, post.as_ref(), &place)?;
            let answer = self.send(outgoing, hop.trust, request.limits, &turn).await?;
            if !is_redirect(answer.status()) {
                return finish(answer, hop.url, turn, request.limits, deadline);
            }
            if !keeps_method(answer.status(), &method) {
                return Err(bad_redirect(&hop.place(), "of a POST, which would become a GET"));
            }
            let next = hop.redirected(&place, redirect_target(answer.headers()))?;
            drain(answer).await;
            turn.succeeded();
            hop = next;
        }
        Err(bad_redirect(&hop.place(), "too many of them"))
    }

    /// What can be said about a URL before its host's turn comes.
    fn check(&self, hop: &Hop) -> Result<HostPort, Error> {
        let url = &hop.url;
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
        self.inner.ways.gate.judge(&place, tls, hop.trust)?;
        Ok(place)
    }

    /// Gate, resolver and proxies, for [`crate::Tunnel`].
    pub(crate) fn ways(&self) -> &Ways {
        &self.inner.ways
    }

    pub(crate) fn manners(&self) -> &Manners {
        &self.inner.manners
    }

    /// A turn of its own, for [`crate::Tunnel`].
    pub(crate) async fn turn(&self, place: &HostPort, kind: Kind) -> Result<Turn, Error> {
        self.inner.budget.turn(place, self.share(kind)).await
    }

    fn share(&self, kind: Kind) -> Share {
        match kind {
            Kind::Named => self.inner.named,
            Kind::Origin => self.inner.origin,
        }
    }

    /// One request on the wire, up to the head of its answer; the host's memory is told how it went.
    async fn send(
        &self,
        outgoing: http::Request<Full<Bytes>>,
        trust: Trust,
        limits: Limits,
        turn: &Turn,
    ) -> Result<http::Response<Incoming>, Error> {
        let host = || turn.place().to_string();
        let client = match trust {
            Trust::Verified => &self.inner.client,
            Trust::Insecure => &self.inner.insecure,
        };
        let result = match tokio::time::timeout(limits.head, client.request(outgoing)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(explain(&error, host())),
            Err(_) => Err(Error::Timeout { host: host(), after: limits.head }),
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
        post: Option<&Post>,
        place: &HostPort,
    ) -> Result<http::Request<Full<Bytes>>, Error> {
        let mut url = hop.url.clone();
        url.set_fragment(None);
        let uri: Uri = url.as_str().parse().map_err(|_| Error::Refused {
            host: place.to_string(),
            reason: "the address cannot be put into a request".to_owned(),
        })?;
        let proxy = if hop.url.scheme() == "http" { self.inner.ways.proxies.before(&uri) } else { None };
        let mut outgoing =
            http::Request::new(Full::new(post.map(|post| post.bytes.clone()).unwrap_or_default()));
        *outgoing.uri_mut() = uri;
        if post.is_some() {
            *outgoing.method_mut() = Method::POST;
        }
        let headers = outgoing.headers_mut();
        for (name, value) in &hop.headers {
            headers.append(name, value.clone());
        }
        if let Some(post) = post {
            headers.insert(CONTENT_TYPE, post.content_type.clone());
            if post.encoding == Encoding::Gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
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
fn pool(connector: Connector) -> Client<Connector, Full<Bytes>> {
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

/// Reads a short body to its end, so that the connection can be used again.
async fn drain(answer: http::Response<Incoming>) {
    let body = answer.into_body();
    if body.size_hint().upper().is_some_and(|bytes| bytes <= REDIRECT_BODY_MAX) {
        let _kept = tokio::time::timeout(Duration::from_secs(1), body.collect()).await;
    }
}

fn finish(
    answer: http::Response<Incoming>,
    url: Url,
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
    Ok(Response { url, status: head.status.as_u16(), headers: head.headers, body })
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
