//! The decisions of the mirror: whether a question is answered from the store or taken to a source, by whom,
//! in which order, on whose word the bytes are accepted, and what is remembered of a failure.
//!
//! [`Fetch`] answers six questions about a module. Three have answers that never change: the
//! [`info`](Fetch::info), [`go_mod`](Fetch::go_mod) and [`zip`](Fetch::zip) of a version. Three have answers
//! that change with time: [`list`](Fetch::list), [`latest`](Fetch::latest) and [`query`](Fetch::query).
//!
//! Each question is worked on by at most one flight at a time, however many callers wait for it (D10), and
//! a caller that leaves never stops a flight. `docs/life-of-a-version.md` tells the whole way of one version.

mod answers;
mod chain;
mod computed;
mod desk;
mod enclosing;
mod failure;
mod files;
pub mod flight;
mod fresh;
pub mod negative;
mod observe;
mod record;
mod said;
mod source;
mod take_in;
mod verify;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use modkeep_module::{ModulePath, ModuleVersion, Patterns, Query};
use modkeep_store::{FileKind, Repository, Store, StoredFile};
use modkeep_upstream::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use chain::Link;
pub use failure::{Absent, Authority, Failure, Subject};
pub use fresh::{Lifetimes, Plan, Reach, plan};
pub use observe::{Alarm, Event, Kind, Observer, Verdict, unobserved};
pub use record::{Class, Drained, OwnLog};
pub use source::Source;
pub use take_in::Taken;

use desk::{Changing, Desk, FileOf};
use record::{Growth, RecordOf};

/// How patient and how forgetful the room is. The defaults are those of spec/README item 7 and hostile-inputs part 1.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The longest that a request waits for a fetch; the fetch goes on. Default 50 s.
    pub hold: Duration,
    /// The same where an older answer can stand in. Default 5 s.
    pub hold_with_stand_in: Duration,
    /// Lifetimes of lists, latest versions and queries. Defaults 60 s and 10 min.
    pub lifetimes: Lifetimes,
    /// How long a source's "no" is told again without asking (R23). Default 60 s.
    pub absent_ttl: Duration,
    /// How long a source that was in trouble is left alone where an older answer stands in. Default 10 s.
    pub rest: Duration,
    /// How many failures are remembered for files, and again for answers. Default 65,536, about 16 MiB each.
    pub failures_max: usize,
    /// How many files are fetched at once, and again how many answers; more are refused as busy (R20).
    /// Default 16,384.
    pub flights_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(50),
            hold_with_stand_in: Duration::from_secs(5),
            lifetimes: Lifetimes { fresh: Duration::from_mins(1), usable: Duration::from_mins(10) },
            absent_ttl: Duration::from_mins(1),
            rest: Duration::from_secs(10),
            failures_max: 65_536,
            flights_max: 16_384,
        }
    }
}

/// What the room is built from.
pub struct Parts {
    /// Where everything is kept.
    pub store: Store,
    /// The sources in the order in which to ask them; empty is `off`.
    pub chain: Vec<Link>,
    /// The checksum database. Without one only paths matching `unchecked` can be fetched.
    pub database: Option<Database>,
    /// Paths that are not checked in the database (GONOSUMDB). `golang.org/toolchain` is checked whatever
    /// this says (P-107); the pattern `*` stands for `GOSUMDB=off`.
    pub unchecked: Patterns,
    /// Paths that are never asked of an upstream or of a public database (D14): they come from the chain's origin, or
    /// from the store alone where it has none.
    pub private: Patterns,
    /// Our own checksum database, where there is one.
    pub own: Option<OwnLog>,
    /// Patience and memory.
    pub config: Config,
    /// Told of what happens.
    pub observer: Observer,
    /// Counts the flights; whoever stops the program waits for it.
    pub tracker: TaskTracker,
    /// Lets the flights go when the program stops.
    pub cancel: CancellationToken,
}

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Fetch(Arc<Inner>);

struct Inner {
    repository: Repository,
    store: Store,
    chain: Vec<Link>,
    /// The one authority for private names: the first origin of the chain, or nobody (D14).
    private_chain: Vec<Link>,
    database: Option<Database>,
    unchecked: Patterns,
    private: Patterns,
    own: Option<OwnLog>,
    config: Config,
    observer: Observer,
    files: Desk<FileOf>,
    answers: Desk<Changing>,
    records: Desk<RecordOf>,
    growth: Growth,
    /// Something is pending for our own log.
    pending: Notify,
    /// How many versions were pending when last looked.
    waiting: AtomicU64,
}

/// How an answer was come by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// From the store.
    Stored,
    /// A source was asked, by this caller's flight or one that it joined.
    Fetched,
}

/// A file of a version, ready to be read.
#[derive(Debug)]
pub struct Got {
    /// The open file.
    pub file: StoredFile,
    /// How it was come by.
    pub how: How,
}

/// An answer that changes with time.
#[derive(Clone, Debug)]
pub struct FreshAnswer {
    /// As it is sent: the list's lines, or one line of JSON.
    pub bytes: Bytes,
    /// When a source last confirmed it.
    pub checked_at: SystemTime,
    /// Its age, where that is past its lifetime.
    pub stale: Option<Duration>,
    /// Until when it may be repeated without asking here again.
    pub fresh_until: Instant,
    /// How it was come by.
    pub how: How,
}

impl Fetch {
    /// The room over its parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, chain, database, unchecked, private, own, config, observer, tracker, cancel } =
            parts;
        let private_chain = chain.iter().filter(|link| link.source.is_origin()).take(1).cloned().collect();
        Self(Arc::new(Inner {
            repository: Repository::main(),
            store,
            chain,
            private_chain,
            database,
            unchecked,
            private,
            own,
            config,
            observer,
            files: Desk::new(&config, tracker.clone(), cancel.clone()),
            records: Desk::new(&config, tracker.clone(), cancel.clone()),
            answers: Desk::new(&config, tracker, cancel),
            growth: Growth::default(),
            pending: Notify::new(),
            waiting: AtomicU64::new(0),
        }))
    }

    /// How many questions are being worked on.
    pub fn in_flight(&self) -> usize {
        self.0.files.in_the_air() + self.0.answers.in_the_air() + self.0.records.in_the_air()
    }

    /// How many failures are remembered now, those past their time included.
    pub fn remembered(&self) -> usize {
        self.0.files.remembered() + self.0.answers.remembered() + self.0.records.remembered()
    }

    /// The `.info` of a version, in its one form for ever (P-33). Never waits for a zip (D7).
    ///
    /// Cancel safe.
    pub async fn info(&self, of: &ModuleVersion, reach: Reach) -> Result<Got, Failure> {
        self.file(of, FileKind::Info, reach).await
    }

    /// The `.mod` of a version, verified. Never waits for a zip (D7).
    ///
    /// Cancel safe.
    pub async fn go_mod(&self, of: &ModuleVersion, reach: Reach) -> Result<Got, Failure> {
        self.file(of, FileKind::Mod, reach).await
    }

    /// The zip of a version, complete and verified.
    ///
    /// Cancel safe.
    pub async fn zip(&self, of: &ModuleVersion, reach: Reach) -> Result<Got, Failure> {
        self.file(of, FileKind::Zip, reach).await
    }

    /// The known tagged versions of a module, ascending, one a line (P-20, P-21).
    ///
    /// Cancel safe.
    pub async fn list(&self, module: &ModulePath, reach: Reach) -> Result<FreshAnswer, Failure> {
        self.answer(Changing::List(module.clone()), reach).await
    }

    /// The info of the version that `latest` means (P-40 to P-44).
    ///
    /// Cancel safe.
    pub async fn latest(&self, module: &ModulePath, reach: Reach) -> Result<FreshAnswer, Failure> {
        self.answer(Changing::Latest(module.clone()), reach).await
    }

    /// The info of the version that a query resolves to (P-31). The canonical `.info` of that version is in
    /// the store afterwards (P-34).
    ///
    /// Cancel safe.
    pub async fn query(
        &self,
        module: &ModulePath,
        query: &Query,
        reach: Reach,
    ) -> Result<FreshAnswer, Failure> {
        self.answer(Changing::Query(module.clone(), query.clone()), reach).await
    }

    /// Why the sources may not be asked about `subject`, if so.
    fn door(&self, subject: &Subject, reach: Reach) -> Result<(), Shut> {
        if reach == Reach::CachedOnly {
            Err(Shut::CachedOnly)
        } else if !self.chain(&subject.module).is_empty() {
            Ok(())
        } else if self.is_private(&subject.module) {
            Err(Shut::Private)
        } else {
            Err(Shut::NoSource)
        }
    }

    /// Who may be asked about a module, in order.
    fn chain(&self, module: &ModulePath) -> &[Link] {
        if self.is_private(module) { &self.0.private_chain } else { &self.0.chain }
    }

    fn tell(&self, event: &Event<'_>) {
        (self.0.observer)(event);
    }

    /// The monotonic time.
    fn now(&self) -> Instant {
        self.0.store.clock().monotonic()
    }

    /// The time of day.
    fn today(&self) -> SystemTime {
        self.0.store.clock().now()
    }
}

/// Why only the store may answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shut {
    /// The client asked so (P-91).
    CachedOnly,
    /// The name is private (D14), and the chain has no origin.
    Private,
    /// The chain is `off`.
    NoSource,
}

impl Fetch {
    /// What to say when only the store may answer, and it cannot.
    async fn shut(&self, subject: Subject, why: Shut) -> Failure {
        match why {
            Shut::CachedOnly => Failure::NotCached { subject },
            Shut::Private => Failure::NoSuchModule {
                subject,
                asked_ago: Duration::ZERO,
                why: Absent::Private,
                said: "".into(),
            },
            Shut::NoSource => {
                let here = self.newest_here(&subject.module).await;
                Failure::Offline { subject, here }
            }
        }
    }
}
