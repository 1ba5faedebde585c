//! Where a question goes when the store does not settle it: the flight there is for it, and the memory of how
//! the last one ended.

use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use modkeep_module::{ModulePath, ModuleVersion, Query};
use modkeep_store::{FileKind, StoredAnswer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::failure::{Failure, Subject};
use crate::flight::{Boarding, Flights, Refused, Unlanded};
use crate::negative::Negatives;
use crate::observe::{Event, Kind};
use crate::{Config, Fetch, Inner};

/// Work in the air. Boxed, because the flight of a query starts the flight of an `.info`.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// A question that one flight answers for all who ask it.
pub(crate) trait Topic: Clone + Eq + Hash + Send + Sync + 'static {
    /// What the flight brings home.
    type Landed: Clone + Send + Sync + 'static;

    /// Whether the go command probes every prefix of a path with such questions, so that a directory of a stored module
    /// may be told as absent while the sources are away (D9).
    const IS_PROBED: bool = true;

    /// What was asked, for texts.
    fn subject(&self) -> Subject;
    /// What was asked, for counters.
    fn kind(&self) -> Kind;
    /// Where questions of this sort go.
    fn desk(inner: &Inner) -> &Desk<Self>;
    /// The work itself, begun at `take_off`.
    fn work(self, fetch: Fetch, take_off: Instant) -> Work<Self::Landed>;
}

/// The flights of one sort of question, and what is remembered of them.
pub(crate) struct Desk<T: Topic> {
    flights: Flights<T, Result<T::Landed, Failure>>,
    /// What the authorities denied.
    denied: Negatives<T, Failure>,
    /// Where the sources were in trouble a moment ago; heeded only where an older answer stands in.
    resting: Negatives<T, Failure>,
}

impl<T: Topic> Desk<T> {
    pub(crate) fn new(config: &Config, tracker: TaskTracker, cancel: CancellationToken) -> Self {
        Self {
            flights: Flights::new(config.flights_max, tracker, cancel),
            denied: Negatives::new(config.failures_max, config.absent_ttl),
            resting: Negatives::new(config.failures_max, config.rest),
        }
    }

    pub(crate) fn in_the_air(&self) -> usize {
        self.flights.in_the_air()
    }

    pub(crate) fn remembered(&self) -> usize {
        self.denied.held() + self.resting.held()
    }

    /// Forgets a "no" that something else has overtaken.
    pub(crate) fn forgive(&self, topic: &T) {
        self.denied.forget(topic);
    }

    /// Remembers how a flight ended: a "no" for its lifetime, trouble for the source's rest.
    fn learn(&self, topic: &T, failure: Option<&Failure>, now: Instant) {
        match failure {
            None => {
                self.denied.forget(topic);
                self.resting.forget(topic);
            }
            Some(failure) if failure.is_lasting() => {
                self.denied.remember(topic.clone(), failure.clone(), now);
            }
            Some(failure) => self.resting.remember(topic.clone(), failure.clone(), now),
        }
    }
}

/// A file of a version.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FileOf(pub(crate) ModuleVersion, pub(crate) FileKind);

/// A question whose answer changes with time.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Changing {
    /// `@v/list`.
    List(ModulePath),
    /// `@latest`.
    Latest(ModulePath),
    /// `@v/<query>.info`.
    Query(ModulePath, Query),
}

impl Topic for FileOf {
    /// The file is in the store then; each caller opens it for itself.
    type Landed = ();

    fn subject(&self) -> Subject {
        Subject::version(&self.0)
    }

    fn kind(&self) -> Kind {
        match self.1 {
            FileKind::Info => Kind::Info,
            FileKind::Mod => Kind::Mod,
            FileKind::Zip => Kind::Zip,
        }
    }

    fn desk(inner: &Inner) -> &Desk<Self> {
        &inner.files
    }

    fn work(self, fetch: Fetch, take_off: Instant) -> Work<()> {
        Box::pin(async move {
            match self.1 {
                FileKind::Info => fetch.bring_info(&self.0, take_off).await,
                FileKind::Mod => fetch.bring_mod(&self.0, take_off).await,
                FileKind::Zip => fetch.bring_zip(&self.0, take_off).await,
            }
        })
    }
}

impl Changing {
    pub(crate) fn module(&self) -> &ModulePath {
        match self {
            Self::List(module) | Self::Latest(module) | Self::Query(module, _) => module,
        }
    }
}

impl Topic for Changing {
    /// The answer, as it is in the store then.
    type Landed = Arc<StoredAnswer>;

    fn subject(&self) -> Subject {
        match self {
            Self::List(module) => Subject::module(module),
            Self::Latest(module) => Subject::latest(module),
            Self::Query(module, query) => Subject::query(module, query),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::List(_) => Kind::List,
            Self::Latest(_) => Kind::Latest,
            Self::Query(..) => Kind::Query,
        }
    }

    fn desk(inner: &Inner) -> &Desk<Self> {
        &inner.answers
    }

    fn work(self, fetch: Fetch, take_off: Instant) -> Work<Arc<StoredAnswer>> {
        Box::pin(async move { fetch.bring_answer(&self, take_off).await })
    }
}

impl Fetch {
    /// Takes `topic` to the sources and waits for the outcome, at most for `patience`.
    ///
    /// Cancel safe: the flight goes on without this caller.
    pub(crate) async fn fly<T: Topic>(&self, topic: &T, patience: Duration) -> Result<T::Landed, Failure> {
        let subject = || topic.subject();
        let flights = &T::desk(&self.0).flights;
        let seat = match flights.board(topic.clone(), || self.clone().run(topic.clone())) {
            Ok(seat) => seat,
            Err(Refused::Full) => {
                return Err(Failure::Busy { subject: subject(), retry_after: self.0.config.rest });
            }
            Err(Refused::Closed) => return Err(Failure::Stopping { subject: subject() }),
        };
        if seat.boarding == Boarding::Joined {
            self.tell(&Event::Coalesced { kind: topic.kind() });
        }
        match flights.land(seat, patience).await {
            Ok(outcome) => outcome,
            Err(Unlanded::StillFlying) => {
                let failure = Failure::StillFetching { subject: subject(), waited: patience };
                Err(self.settled::<T>(failure).await)
            }
            Err(Unlanded::Cancelled) => Err(Failure::Stopping { subject: subject() }),
            Err(Unlanded::Crashed) => {
                Err(Failure::Internal { subject: subject(), reason: "the fetch panicked".into() })
            }
        }
    }

    /// Starts a flight that nobody here waits for, unless one is in the air or the source is resting.
    pub(crate) fn fly_behind<T: Topic>(&self, topic: &T) {
        if self.is_resting(topic) {
            return;
        }
        // A full sky or a stopping program refuses: then the next request tries again.
        let seat = T::desk(&self.0).flights.board(topic.clone(), || self.clone().run(topic.clone()));
        drop(seat);
    }

    /// The flight itself: the work, then what is remembered and told of its end.
    fn run<T: Topic>(self, topic: T) -> Work<T::Landed> {
        Box::pin(async move {
            let take_off = self.now();
            let outcome = match topic.clone().work(self.clone(), take_off).await {
                Err(failure) => Err(self.settled::<T>(failure).await),
                Ok(landed) => Ok(landed),
            };
            T::desk(&self.0).learn(&topic, outcome.as_ref().err(), self.now());
            if let Err(failure) = &outcome {
                let took = self.now().saturating_duration_since(take_off);
                self.tell(&Event::Failed { kind: topic.kind(), failure, took });
            }
            outcome
        })
    }

    async fn settled<T: Topic>(&self, failure: Failure) -> Failure {
        if T::IS_PROBED { self.settle(failure).await } else { failure }
    }

    /// The failure remembered for this question, told again without asking anybody (P-78).
    pub(crate) fn recall<T: Topic>(&self, topic: &T) -> Result<(), Failure> {
        match T::desk(&self.0).denied.recall(topic, self.now()) {
            None => Ok(()),
            Some((failure, age)) => {
                self.tell(&Event::Remembered { kind: topic.kind() });
                Err(failure.told_after(age))
            }
        }
    }

    /// Whether the sources were in trouble with this question a moment ago.
    pub(crate) fn is_resting<T: Topic>(&self, topic: &T) -> bool {
        T::desk(&self.0).resting.recall(topic, self.now()).is_some()
    }
}
