//! The public service: one request in, one answer out.
//!
//! The hot way comes first: a path that is in the mirror's memory is answered on the spot, without a task, a router
//! or an allocation beyond the answer's own. Everything else goes through the [`door`](crate::door), and what has to
//! wait runs on the runtime that the service was given, so that the threads of the connections stay free.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use modkeep_fetch::{Fetch, Reach};
use modkeep_index::{Index, IndexError};
use modkeep_mirror::{CacheOutcome, Mirror, Object};
use modkeep_module::Patterns;
use modkeep_store::Store;
use modkeep_sumdb::{Own, Relay, RelayAnswer, RelayError};
use modkeep_tlog::Comparison;
use modkeep_web::Announcement;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::announce::Announcements;
use crate::asked::Asked;
use crate::body::Body;
use crate::catalogue::Code;
use crate::door::{self, Refusal, Way};
use crate::gossip::{self, About, Desk};
use crate::gzip::{Kept, Twins};
use crate::metrics::{Answered, Cache, Kind, Metrics};
use crate::pages::Pages;
use crate::probes::Probes;
use crate::refuse::{Refused, Teller};
use crate::representation::{Content, INDEX, Representation, Twin, content_tag};

/// The rooms that answer.
#[derive(Clone)]
pub struct Faces {
    /// The module mirror.
    pub mirror: Mirror,
    /// The relay of foreign checksum databases; an empty one answers 404 to all.
    pub relay: Relay,
    /// Our own checksum database, where there is one.
    pub own: Option<Own>,
    /// The index feed.
    pub index: Index,
    /// Where the front page's numbers come from.
    pub store: Store,
    /// The numbers that are counted here.
    pub metrics: Metrics,
    /// What `/healthz` and `/readyz` ask.
    pub probes: Probes,
}

impl Faces {
    /// The faces over these two rooms, with the defaults of each: no relay, numbers of their own, no checks.
    pub fn new(fetch: Fetch, store: Store) -> Self {
        let nobody = modkeep_sumdb::Parts {
            databases: Vec::new(),
            private: Patterns::lenient(""),
            hold: Duration::ZERO,
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
        };
        Self {
            mirror: Mirror::new(fetch, modkeep_mirror::Config::default()),
            relay: Relay::new(nobody),
            own: None,
            index: Index::new(store.clone()),
            store,
            metrics: Metrics::new(env!("CARGO_PKG_VERSION"), "unknown"),
            probes: Probes::default(),
        }
    }
}

/// How the service presents itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that people put into GOPROXY, without a slash at its end. Every link and text is made from this,
    /// never from a request's `Host` (A14).
    pub public_url: String,
    /// The name on the pages. Default `Go modules`.
    pub title: String,
    /// A word from the operators on the front page; empty shows none.
    pub notice: String,
    /// Private patterns in Go's grammar, joined by commas; for the setup box.
    pub private: String,
    /// The checksum database that is relayed; for the setup box.
    pub sumdb: Option<String>,
    /// The key of our own checksum database, where there is one; for the setup box.
    pub log_key: Option<String>,
    /// Import paths whose go-import pages are served here (`[[origin.vanity]]`).
    pub announced: Vec<Announcement>,
    /// The program's version, for `/version` and the pages.
    pub version: String,
    /// Which requests are logged. Default [`AccessLog::Errors`].
    pub access_log: AccessLog,
    /// Memory for compressed twins of lists, `.mod` files and tiles. Default 4 MiB.
    pub twins_bytes: u64,
    /// Where requests wait that cannot be answered from memory. Without one they wait where they were asked, which is
    /// right for a service mounted into somebody else's program.
    pub runtime: Option<Handle>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            title: "Go modules".into(),
            notice: String::new(),
            private: String::new(),
            sumdb: None,
            log_key: None,
            announced: Vec::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            access_log: AccessLog::default(),
            twins_bytes: 4 << 20,
            runtime: None,
        }
    }
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that could not be answered for a reason of ours or of a source: 403 and 5xx.
    #[default]
    Errors,
    /// All.
    All,
}

/// The service of the public listener: GOPROXY, checksum databases, index, pages.
///
/// A [`tower_service::Service`], to be mounted at the root or under a prefix that is stripped, and hyper's own service for
/// [`crate::Server`]. No body is ever read but that of a head that is brought for comparison. Cheap to clone; it never
/// fails.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

pub(crate) struct Shared {
    faces: Faces,
    config: Config,
    twins: Twins,
    teller: Teller,
    pages: Pages,
    announcements: Announcements,
    desk: Desk,
}

impl Service {
    /// A service over these rooms.
    pub fn new(faces: Faces, config: Config) -> Self {
        let twins = Twins::new(config.twins_bytes);
        let teller = Teller::new(faces.metrics.clone(), &config);
        let pages = Pages::new(faces.store.clone(), &config);
        let announcements = Announcements::new(config.announced.clone(), &config.public_url);
        Self(Arc::new(Shared { faces, config, twins, teller, pages, announcements, desk: Desk::new() }))
    }

    /// Answers a request; its body is dropped unread (A11), unless it brings a head to compare.
    ///
    /// Cancel safe: a client that leaves drops the answer, and no fetch with it.
    pub fn answer<B>(&self, request: Request<B>) -> Answering
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        if parts.method == Method::POST
            && let Some(about) = About::of(&parts.uri)
        {
            return self.wait_for(Arc::clone(&self.0).hear(parts, about, body, began));
        }
        let asked = Asked::read(&parts.method, &parts.headers);
        let way = match self.0.on_the_spot(&parts, &asked, began) {
            Spot::Answer(response) => return Answering::ready(response),
            Spot::Way(way) => way,
        };
        self.wait_for(Arc::clone(&self.0).attend(parts, way, began))
    }

    /// Has work done where waiting disturbs nobody.
    fn wait_for(&self, work: impl Future<Output = Response<Body>> + Send + 'static) -> Answering {
        match &self.0.config.runtime {
            Some(runtime) => Answering(State::There(Errand(runtime.spawn(work)), Arc::clone(&self.0))),
            None => Answering(State::Here(Box::pin(work))),
        }
    }
}

/// What can be said at once.
enum Spot {
    Answer(Response<Body>),
    Way(Way),
}

impl Shared {
    /// The answer from memory, a refusal at the door, or the way to go.
    fn on_the_spot(&self, parts: &Parts, asked: &Asked<'_>, began: Instant) -> Spot {
        if let Err(refusal) = door::check_head(parts, asked) {
            return Spot::Answer(self.refuse(asked, refusal, Kind::Web, began));
        }
        match door::decoded(&parts.uri) {
            Ok(path) => {
                if let Some(response) = self.hot(&path, asked, began) {
                    return Spot::Answer(response);
                }
            }
            Err(refusal) => return Spot::Answer(self.refuse(asked, refusal, Kind::Web, began)),
        }
        match door::way(parts, asked) {
            Ok(way @ Way::Front) => self.announced(parts, asked, began).map_or(Spot::Way(way), Spot::Answer),
            Ok(way) => Spot::Way(way),
            // What names nothing else may be an import path of ours.
            Err(refusal) if refusal.code == Code::NoSuchPage => match self.announced(parts, asked, began) {
                Some(response) => Spot::Answer(response),
                None => Spot::Answer(self.refuse(asked, refusal, Kind::Web, began)),
            },
            Err(refusal) => Spot::Answer(self.refuse(asked, refusal, Kind::Web, began)),
        }
    }

    /// The go-import page that a request asks for, if it is one of ours.
    fn announced(&self, parts: &Parts, asked: &Asked<'_>, began: Instant) -> Option<Response<Body>> {
        let path = door::decoded(&parts.uri).ok()?;
        let announcement = self.announcements.of(parts, &path)?;
        let response = self.pages.announcement(announcement, asked);
        self.count(&response, Kind::Web, Cache::None, began);
        Some(response)
    }

    fn refuse(&self, asked: &Asked<'_>, refusal: Refusal, kind: Kind, began: Instant) -> Response<Body> {
        self.teller.tell(asked, &Refused::Door(refusal), kind, began)
    }

    /// An answer from memory, in any form that needs no waiting.
    fn hot(&self, path: &str, asked: &Asked<'_>, began: Instant) -> Option<Response<Body>> {
        let Some(answer) = self.faces.mirror.hot(path) else { return self.hot_own(path, asked, began) };
        let object = answer.object;
        // What changes with time is computed from the store alone when nothing may be fetched (P-93).
        if asked.no_fetch && !object.is_immutable() {
            return None;
        }
        let cache = cache_of(answer.cache);
        self.at_once(Representation::from(answer), asked, kind_of(object), cache, began)
    }

    /// The same of our own log. What it has recorded is the answer whatever may be fetched.
    fn hot_own(&self, path: &str, asked: &Asked<'_>, began: Instant) -> Option<Response<Body>> {
        let own = self.faces.own.as_ref()?;
        let answer = own.hot(own.path_of(path)?)?;
        self.at_once(Representation::from(answer), asked, Kind::Sumdb, Cache::Hit, began)
    }

    /// Sends a representation, unless its compressed twin must be made first.
    fn at_once(
        &self,
        mut representation: Representation,
        asked: &Asked<'_>,
        kind: Kind,
        cache: Cache,
        began: Instant,
    ) -> Option<Response<Body>> {
        match representation.twin(asked, &self.twins) {
            Twin::None => {}
            Twin::Ready(twin) => representation.twin = Some(twin),
            Twin::ToMake(_) => return None,
        }
        Some(self.send(representation, asked, kind, cache, began))
    }

    /// Sends a representation, and counts it.
    fn send(
        &self,
        representation: Representation,
        asked: &Asked<'_>,
        kind: Kind,
        cache: Cache,
        began: Instant,
    ) -> Response<Body> {
        let size = representation.size();
        let Some(response) = representation.answer(asked) else {
            return self.teller.tell(asked, &Refused::Range { size }, kind, began);
        };
        self.count(&response, kind, cache, began);
        response
    }

    fn count(&self, response: &Response<Body>, kind: Kind, cache: Cache, began: Instant) {
        let answered = Answered {
            kind,
            status: response.status(),
            cache,
            bytes: response.body().len(),
            took: began.elapsed(),
        };
        self.faces.metrics.answered(answered);
        if self.config.access_log == AccessLog::All {
            crate::refuse::log_answered(&answered);
        }
    }

    /// Answers what has to be looked up, fetched or rendered.
    async fn attend(self: Arc<Self>, parts: Parts, way: Way, began: Instant) -> Response<Body> {
        let _waiting = self.faces.metrics.in_flight();
        let asked = Asked::read(&parts.method, &parts.headers);
        let kind = way.kind();
        let found = match way {
            Way::Module(request, reach) => match self.faces.mirror.answer(request, reach).await {
                Ok(answer) => {
                    let cache = cache_of(answer.cache);
                    Ok((Representation::from(answer), cache))
                }
                Err(failure) => Err(Refused::Failure(failure)),
            },
            Way::Relay(path, reach) => match self.faces.own.as_ref().and_then(|own| own.relayed(&path)) {
                Some(path) => self.of_log(path, reach).await,
                None => of_database(self.faces.relay.answer(&path, reach).await),
            },
            Way::Log(path, reach) => self.of_log(&path, reach).await,
            Way::Index { since, limit } => {
                match self.faces.index.page(since.as_deref(), limit.as_deref()).await {
                    Ok(page) => Ok((page_of_index(page), Cache::None)),
                    Err(error) => Err(index_refusal(error)),
                }
            }
            other => return self.page(other, &asked, began).await,
        };
        match found {
            Ok((representation, cache)) => {
                let representation = self.with_twin(representation, &asked).await;
                self.send(representation, &asked, kind, cache, began)
            }
            Err(refused) => self.teller.tell(&asked, &refused, kind, began),
        }
    }

    /// Compares a head that somebody brings (spec D, `audit gossip`).
    async fn hear<B>(self: Arc<Self>, parts: Parts, about: About, body: B, began: Instant) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        let _waiting = self.faces.metrics.in_flight();
        let asked = Asked::read(&parts.method, &parts.headers);
        let compared = async {
            door::check_form(&parts, &asked)?;
            let (_place, note) = self.desk.take(body).await?;
            self.compared(&about, note).await
        };
        match compared.await {
            Ok(found) => {
                let response = gossip::answer(&found, &asked);
                self.count(&response, Kind::Sumdb, Cache::None, began);
                response
            }
            Err(refused) => self.teller.tell(&asked, &refused, Kind::Sumdb, began),
        }
    }

    async fn compared(&self, about: &About, note: Bytes) -> Result<Comparison, Refused> {
        let own = self.faces.own.as_ref();
        let own = own.filter(|own| match about {
            About::Own => true,
            About::Database(name) => own.name() == name,
        });
        let found = match (own, about) {
            (Some(own), _) => own.compare(note).await,
            (None, About::Database(name)) => self.faces.relay.compare(name, &note).await,
            (None, About::Own) => return Err(Refused::Door(door::no_such_page())),
        };
        found.map_err(Refused::Relay)
    }

    /// The representation with its compressed twin, if it is to have one.
    async fn with_twin(
        self: &Arc<Self>,
        mut representation: Representation,
        asked: &Asked<'_>,
    ) -> Representation {
        representation.twin = match representation.twin(asked, &self.twins) {
            Twin::None => None,
            Twin::Ready(twin) => Some(twin),
            Twin::ToMake(text) => {
                let (shared, tag) = (Arc::clone(self), representation.etag.clone());
                // A panic over there costs the compression only.
                match tokio::task::spawn_blocking(move || shared.twins.make(&tag, &text)).await {
                    Ok(Kept::Twin(twin)) => Some(twin),
                    Ok(Kept::DoesNotPay) | Err(_) => None,
                }
            }
        };
        representation
    }

    /// An answer of our own log, to a path below its base URL.
    async fn of_log(&self, path: &str, reach: Reach) -> Result<(Representation, Cache), Refused> {
        match &self.faces.own {
            Some(own) => of_database(own.answer(path, reach).await),
            None => Err(Refused::Door(door::no_such_page())),
        }
    }

    async fn page(&self, way: Way, asked: &Asked<'_>, began: Instant) -> Response<Body> {
        match self.pages.answer(way, asked, &self.faces.probes).await {
            Ok(response) => {
                self.count(&response, Kind::Web, Cache::None, began);
                response
            }
            Err(refused) => self.teller.tell(asked, &refused, Kind::Web, began),
        }
    }
}

fn of_database(answer: Result<RelayAnswer, RelayError>) -> Result<(Representation, Cache), Refused> {
    match answer {
        Ok(answer) => Ok((Representation::from(answer), Cache::None)),
        Err(RelayError::Lookup(failure)) => Err(Refused::Failure(*failure)),
        Err(error) => Err(Refused::Relay(error)),
    }
}

fn page_of_index(page: Vec<u8>) -> Representation {
    let etag = content_tag(&page);
    Representation {
        content: Content::Bytes(Bytes::from(page)),
        manner: &INDEX,
        etag,
        modified: None,
        stale: None,
        origin: None,
        twin: None,
    }
}

fn kind_of(object: Object) -> Kind {
    match object {
        Object::List => Kind::List,
        Object::Latest => Kind::Latest,
        Object::Info | Object::QueryInfo => Kind::Info,
        Object::Mod => Kind::Mod,
        Object::Zip => Kind::Zip,
    }
}

fn cache_of(outcome: CacheOutcome) -> Cache {
    match outcome {
        CacheOutcome::Hit => Cache::Hit,
        CacheOutcome::Miss => Cache::Miss,
        CacheOutcome::Stale => Cache::Stale,
    }
}

fn index_refusal(error: IndexError) -> Refused {
    match error {
        IndexError::Store(cause) => Refused::Fault(cause.to_string()),
        error => Refused::Door(Refusal::new(Code::BadRequest, error.to_string())),
    }
}

/// An answer on its way: at hand for a hot path, otherwise being worked on.
pub struct Answering(State);

enum State {
    Ready(Option<Response<Body>>),
    Here(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
    There(Errand, Arc<Shared>),
}

/// Work on another runtime, given up when nobody waits for it any more.
struct Errand(JoinHandle<Response<Body>>);

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answering {
    fn ready(response: Response<Body>) -> Self {
        Self(State::Ready(Some(response)))
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.0 {
            State::Ready(response) => response.take().expect("a future is not polled after its end"),
            State::Here(work) => ready!(work.as_mut().poll(cx)),
            State::There(errand, shared) => match ready!(Pin::new(&mut errand.0).poll(cx)) {
                Ok(response) => response,
                Err(fault) => shared.lost(&fault),
            },
        };
        Poll::Ready(Ok(response))
    }
}

impl Shared {
    /// The work panicked, or its runtime is going down.
    fn lost(&self, fault: &tokio::task::JoinError) -> Response<Body> {
        let headers = HeaderMap::new();
        let asked = Asked::read(&http::Method::GET, &headers);
        let refused = if fault.is_panic() {
            Refused::Fault("the request's task panicked".into())
        } else {
            Refused::Door(Refusal::new(Code::Stopping, "this server is stopping."))
        };
        self.teller.tell(&asked, &refused, Kind::Web, Instant::now())
    }
}

impl<B: http_body::Body<Data = Bytes> + Send + 'static> tower_service::Service<Request<B>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request)
    }
}

impl hyper::service::Service<Request<hyper::body::Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Answering {
        self.answer(request)
    }
}
