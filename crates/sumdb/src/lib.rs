//! The checksum database face: our own log, and the relay of foreign databases under `/sumdb/NAME/`.
//!
//! [`Own`] serves what our log has recorded, and has recorded what it is asked for first.
//!
//! [`Relay`]: only configured names are relayed, never an open relay (I21). Everything is verified before it is kept,
//! so the relay protects clients that verify too little, and complete tiles and records are served from the
//! store when the database is away (P-101). Private names are never forwarded (P-105).
//!
//! One question is asked of a database once, however many clients wait for the answer, and a database's "no"
//! is remembered for a minute (I03, I04).

mod own;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modkeep_fetch::flight::{Flights, Refused, Unlanded};
use modkeep_fetch::negative::Negatives;
use modkeep_fetch::{Failure, Reach, Subject};
use modkeep_module::Patterns;
use modkeep_store::Sha256Sum;
use modkeep_tlog::Comparison;
use modkeep_upstream::{Database, DatabaseError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use own::Own;
use request::{Ask, split};

/// How many questions are worked on at once, and how many failures are remembered.
const QUESTIONS_MAX: usize = 16_384;

/// How long a database's "no" is told again without asking (A6).
const ABSENT_FOR: Duration = Duration::from_mins(1);

/// Memory for tiles, bookkeeping included: about 1,000 full ones, far more than a day's edge of a log.
const TILES_BYTES_MAX: u64 = 8 << 20;

/// What a tile in memory costs beside its bytes.
const TILE_OVERHEAD: u64 = 256;

/// What the relay is built from.
pub struct Parts {
    /// The databases that are relayed.
    pub databases: Vec<Database>,
    /// Names that are never forwarded (P-105).
    pub private: Patterns,
    /// The longest that a request waits; the work goes on. Default of the house 50 s.
    pub hold: Duration,
    /// Counts the work in the air; whoever stops the program waits for it.
    pub tracker: TaskTracker,
    /// Lets the work go when the program stops.
    pub cancel: CancellationToken,
}

/// The relay. Cheap to clone.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    /// Longest name first, so that `a.example/b` wins over `a.example` (P-100).
    databases: Vec<Database>,
    private: Patterns,
    hold: Duration,
    flights: Flights<Box<str>, Result<Bytes, RelayError>>,
    denied: Negatives<Box<str>, RelayError>,
    tiles: Cache<Box<str>, RelayAnswer, TileWeight>,
}

#[derive(Clone)]
struct TileWeight;

impl Weighter<Box<str>, RelayAnswer> for TileWeight {
    fn weight(&self, path: &Box<str>, tile: &RelayAnswer) -> u64 {
        (path.len() + tile.body.len()) as u64 + TILE_OVERHEAD
    }
}

/// One answer of the relay: always a success.
#[derive(Clone, Debug)]
pub struct RelayAnswer {
    /// The bytes.
    pub body: Bytes,
    /// What they are; lifetimes on the wire follow from this.
    pub object: RelayObject,
    /// The strong `ETag` with its quotes.
    pub etag: Bytes,
}

/// The kinds of objects that the relay serves.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RelayObject {
    /// `supported`: empty.
    Supported,
    /// `latest`: a signed tree head.
    Latest,
    /// `lookup/…`: a record and a signed tree head.
    Lookup,
    /// A full tile of hashes: for ever.
    FullTile,
    /// A partial tile of hashes.
    PartialTile,
    /// A full tile of records: for ever, worth compressing.
    FullDataTile,
    /// A partial tile of records.
    PartialDataTile,
    /// The newest head of our own log: new at every moment.
    OwnLatest,
    /// A lookup in our own log: right for ever, and yet to be asked again for a newer head.
    OwnLookup,
    /// A full tile of records of our own log.
    OwnFullDataTile,
    /// A partial tile of records of our own log.
    OwnPartialDataTile,
    /// The newest checkpoint of our own log.
    Checkpoint,
    /// A proof that our own log has a version.
    Proof,
    /// What an imported record of our own log was taken from: for ever.
    Provenance,
}

impl RelayObject {
    fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Supported => Self::Supported,
            Ask::Latest => Self::Latest,
            Ask::Lookup(_) => Self::Lookup,
            Ask::Tile(tile) => match (tile.is_data(), tile.is_full()) {
                (false, true) => Self::FullTile,
                (false, false) => Self::PartialTile,
                (true, true) => Self::FullDataTile,
                (true, false) => Self::PartialDataTile,
            },
        }
    }
}

/// Why the relay has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RelayError {
    /// No configured database has a name that begins the path: 404, the client goes elsewhere.
    #[error("no checksum database of that name is relayed here")]
    UnknownDatabase,
    /// Not a request of the protocol: 400.
    #[error("{reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A tile that no tree has, or that is beyond this one: 404, not to be cached (I05).
    #[error("no such tile: {reason}")]
    NoSuchTile {
        /// Why.
        reason: &'static str,
    },
    /// A head or tile asked of the store alone, which lacks it: 404, not to be cached (P-94).
    #[error("{log}: not stored here")]
    NotCached {
        /// The database's name.
        log: Arc<str>,
    },
    /// A head or tile could not be had from the database: 503.
    #[error("{log}: {reason}")]
    Down {
        /// The database's name.
        log: Arc<str>,
        /// What happened, for the log.
        reason: Arc<str>,
    },
    /// The database showed two histories; nothing is asked of it until an operator decides: 503.
    #[error("{log}: a tree that does not extend the one verified at size {size}")]
    Inconsistent {
        /// The database's name.
        log: Arc<str>,
        /// The size we had verified.
        size: u64,
    },
    /// Our own log cannot be served, as it was found when the program started: 503.
    #[error("{log}: {reason}")]
    Closed {
        /// Its name.
        log: Arc<str>,
        /// Why, for the log.
        reason: Arc<str>,
    },
    /// The record has nothing of the kind: no other database's proof came with it. 404.
    #[error("{what}")]
    NoSuchProof {
        /// What is missing, of which version.
        what: Box<str>,
    },
    /// A lookup failed: the failure names the version.
    #[error(transparent)]
    Lookup(Box<Failure>),
}

impl From<Failure> for RelayError {
    fn from(failure: Failure) -> Self {
        Self::Lookup(Box::new(failure))
    }
}

impl Relay {
    /// A relay over its parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { mut databases, private, hold, tracker, cancel } = parts;
        databases.sort_by_key(|database| std::cmp::Reverse(database.name().len()));
        let tiles = usize::try_from(TILES_BYTES_MAX / (8192 + TILE_OVERHEAD)).unwrap_or(usize::MAX);
        Self(Arc::new(Inner {
            databases,
            private,
            hold,
            flights: Flights::new(QUESTIONS_MAX, tracker, cancel),
            denied: Negatives::new(QUESTIONS_MAX, ABSENT_FOR),
            tiles: Cache::with_weighter(tiles, TILES_BYTES_MAX, TileWeight),
        }))
    }

    /// The names that are relayed, longest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.databases.iter().map(Database::name)
    }

    /// Answers the decoded path after `/sumdb/`, as `sum.golang.org/lookup/example.com/m@v1.0.0`.
    ///
    /// Cancel safe: what was begun is finished for the next caller.
    pub async fn answer(&self, path: &str, reach: Reach) -> Result<RelayAnswer, RelayError> {
        if let Some(tile) = self.0.tiles.get(path) {
            return Ok(tile);
        }
        let (at, rest) = split(self.names(), path).ok_or(RelayError::UnknownDatabase)?;
        let database = self.0.databases.get(at).ok_or(RelayError::UnknownDatabase)?;
        let ask = Ask::parse(rest)?;
        if let Ask::Lookup(of) = &ask
            && self.0.private.matches(of.path().as_str())
        {
            return Err(
                Failure::LogPrivate { subject: Subject::version(of), log: database.name().into() }.into()
            );
        }
        let body = match reach {
            Reach::CachedOnly => stored(database, &ask).await?,
            Reach::MayFetch => self.asked(path, database, &ask).await?,
        };
        let answer = finished(body, &ask);
        if let Ask::Tile(_) = ask {
            self.0.tiles.insert(path.into(), answer.clone());
        }
        Ok(answer)
    }

    /// Compares a head of the database with this name that somebody was shown with the history that we have verified
    /// (spec D, `audit gossip`). A fork stops the database, and its evidence is kept.
    ///
    /// Cancel safe.
    pub async fn compare(&self, name: &str, note: &[u8]) -> Result<Comparison, RelayError> {
        let database = self.0.databases.iter().find(|database| database.name() == name);
        let database = database.ok_or(RelayError::UnknownDatabase)?;
        database.compare(note).await.map_err(|error| failed(&Ask::Latest, error))
    }

    /// Asks the database, together with everybody who has the same question.
    async fn asked(&self, path: &str, database: &Database, ask: &Ask) -> Result<Bytes, RelayError> {
        let now = Instant::now();
        if let Some((denied, age)) = self.0.denied.recall(path, now) {
            return Err(told_after(denied, age));
        }
        let work = {
            let (relay, key) = (self.clone(), Box::<str>::from(path));
            let (database, ask) = (database.clone(), ask.clone());
            move || async move {
                let outcome = relayed(&database, &ask).await;
                if let Err(error) = &outcome
                    && is_lasting(error)
                {
                    relay.0.denied.remember(key, error.clone(), Instant::now());
                }
                outcome
            }
        };
        let trouble = |reason: &str| unanswered(database, ask, reason);
        let seat = match self.0.flights.board(path.into(), work) {
            Ok(seat) => seat,
            Err(Refused::Full) => return Err(trouble("too many questions at once")),
            Err(Refused::Closed) => return Err(trouble("this server is stopping")),
        };
        match self.0.flights.land(seat, self.0.hold).await {
            Ok(outcome) => outcome,
            Err(Unlanded::StillFlying) => Err(still_asking(database, ask, self.0.hold)),
            Err(Unlanded::Cancelled) => Err(trouble("this server is stopping")),
            Err(Unlanded::Crashed) => Err(trouble("the question could not be worked on")),
        }
    }
}

/// The answer of the database, verified, or of the store in its place.
async fn relayed(database: &Database, ask: &Ask) -> Result<Bytes, RelayError> {
    let answer = match ask {
        Ask::Supported => Ok(Vec::new()),
        Ask::Latest => database.relay_latest().await,
        Ask::Lookup(of) => database.relay_lookup(of).await,
        Ask::Tile(tile) => database.relay_tile(tile).await,
    };
    answer.map(Bytes::from).map_err(|error| failed(ask, error))
}

/// The answer of the store alone (P-95).
async fn stored(database: &Database, ask: &Ask) -> Result<Bytes, RelayError> {
    let answer = match ask {
        Ask::Supported => Ok(Some(Vec::new())),
        Ask::Latest => database.cached_latest().await,
        Ask::Lookup(of) => database.cached_lookup(of).await,
        Ask::Tile(tile) => database.cached_tile(tile).await,
    };
    match (answer.map_err(|error| failed(ask, error))?, ask) {
        (Some(bytes), _) => Ok(Bytes::from(bytes)),
        (None, Ask::Lookup(of)) => Err(Failure::NotCached { subject: Subject::version(of) }.into()),
        (None, _) => Err(RelayError::NotCached { log: database.name().into() }),
    }
}

fn finished(body: Bytes, ask: &Ask) -> RelayAnswer {
    let etag = Bytes::from(format!("\"sha256-{}\"", Sha256Sum::of(&body)));
    RelayAnswer { body, object: RelayObject::of(ask), etag }
}

/// A database's error, about a version where one was asked for.
fn failed(ask: &Ask, error: DatabaseError) -> RelayError {
    if let Ask::Lookup(of) = ask {
        return Failure::of_database(Subject::version(of), error).into();
    }
    let reason = error.to_string().into();
    match error {
        DatabaseError::NotFound { .. } => RelayError::NoSuchTile { reason: "it is beyond the tree" },
        DatabaseError::Inconsistent { log, size } => RelayError::Inconsistent { log: log.into(), size },
        DatabaseError::Away { log, .. }
        | DatabaseError::Unverifiable { log, .. }
        | DatabaseError::MissingLine { log, .. } => RelayError::Down { log: log.into(), reason },
        DatabaseError::Store(_) => RelayError::Down { log: "the store".into(), reason },
    }
}

/// Trouble of ours, not of the database, and never absence.
fn unanswered(database: &Database, ask: &Ask, reason: &str) -> RelayError {
    let (log, reason) = (database.name().into(), reason.into());
    match ask {
        Ask::Lookup(of) => Failure::LogDown { subject: Subject::version(of), log, reason }.into(),
        Ask::Supported | Ask::Latest | Ask::Tile(_) => RelayError::Down { log, reason },
    }
}

fn still_asking(database: &Database, ask: &Ask, waited: Duration) -> RelayError {
    match ask {
        Ask::Lookup(of) => Failure::StillFetching { subject: Subject::version(of), waited }.into(),
        Ask::Supported | Ask::Latest | Ask::Tile(_) => unanswered(database, ask, "no answer yet"),
    }
}

/// Whether a minute's memory is right for it: only what the database itself denied. A tile beyond the tree is
/// not: the tree grows (I05).
fn is_lasting(error: &RelayError) -> bool {
    matches!(error, RelayError::Lookup(failure) if failure.is_lasting())
}

fn told_after(error: RelayError, age: Duration) -> RelayError {
    match error {
        RelayError::Lookup(failure) => failure.told_after(age).into(),
        other => other,
    }
}
