//! What is counted, and how it is shown to Prometheus. Names are those of user-experience.md section 7.
//!
//! A request costs three relaxed additions to counters that its thread has to itself: the labels are closed
//! enums, so every series has its place in a flat table and nothing is hashed. The tables are added up when
//! somebody looks.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::catalogue::Code;
use crate::serve::Crowd;

/// What a request was about: the label `kind`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    List,
    Latest,
    Info,
    Mod,
    Zip,
    Sumdb,
    Index,
    Web,
}

const KINDS: [&str; 8] = ["list", "latest", "info", "mod", "zip", "sumdb", "index", "web"];

/// Where the answer came from: the label `cache`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cache {
    Hit,
    Miss,
    Stale,
    Negative,
    None,
}

const CACHES: [&str; 5] = ["hit", "miss", "stale", "negative", "none"];

/// Every status we send, and 0 for one that this table forgot.
const STATUSES: [(u16, &str); 17] = [
    (0, "other"),
    (200, "200"),
    (206, "206"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (410, "410"),
    (414, "414"),
    (416, "416"),
    (431, "431"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// Upper ends of the duration histogram, in microseconds; a hot answer falls into the first.
const BOUNDS_US: [u64; 12] =
    [100, 500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 20_000_000, 60_000_000];

const REQUESTS: usize = KINDS.len() * STATUSES.len() * CACHES.len();

/// More threads than this share counters, which costs them a little and loses nothing.
const SHARDS: usize = 16;

/// One thread's counters.
#[derive(Debug)]
struct Shard {
    requests: Box<[AtomicU64]>,
    durations: Box<[AtomicU64]>,
    duration_us: [AtomicU64; KINDS.len()],
    bytes: [AtomicU64; KINDS.len()],
}

impl Shard {
    fn new() -> Self {
        let zeroes = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            requests: zeroes(REQUESTS),
            durations: zeroes(KINDS.len() * (BOUNDS_US.len() + 1)),
            duration_us: Default::default(),
            bytes: Default::default(),
        }
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) kind: Kind,
    pub(crate) status: StatusCode,
    pub(crate) cache: Cache,
    /// Length of the body that we are about to send.
    pub(crate) bytes: u64,
    /// From the head's end to the answer's head.
    pub(crate) took: Duration,
}

/// The numbers of one program, with the registry that shows them. A value: nothing here is global.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    tables: Arc<Tables>,
}

#[derive(Debug)]
struct Tables {
    shards: Vec<Shard>,
    errors: [AtomicU64; Code::COUNT],
    in_flight: AtomicI64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    /// An empty set of numbers for a program of this version, built from this commit.
    pub fn new(version: &'static str, commit: &'static str) -> Self {
        let tables = Arc::new(Tables {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            in_flight: AtomicI64::new(0),
        });
        let mut registry = Registry::with_prefix("modkeep");
        registry.register_collector(Box::new(Arc::clone(&tables)));
        registry.register(
            "build",
            "The program that runs",
            Info::new([("version", version), ("commit", commit)]),
        );
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        registry.register(
            "start_time_seconds",
            "When the program started, in seconds since 1970",
            ConstGauge::new(started.as_secs_f64()),
        );
        Self(Arc::new(Inner { registry: Mutex::new(registry), tables }))
    }

    /// Lets another room show its numbers in the same registry, under the same prefix.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.0.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows the connections of a listener.
    pub fn watch(&self, crowd: Arc<Crowd>) {
        self.register(|registry| registry.register_collector(Box::new(Connections(crowd))));
    }

    /// Everything, as `OpenMetrics` text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string fails only where a collector does; what came before it is shown.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            tracing::error!(event = "http", "a metric could not be shown");
        }
        text
    }

    pub(crate) fn answered(&self, answered: Answered) {
        let shard = self.0.tables.own_shard();
        let kind = answered.kind as usize;
        let status = answered.status.as_u16();
        let status = STATUSES.iter().position(|&(known, _)| known == status).unwrap_or(0);
        let place = (kind * STATUSES.len() + status) * CACHES.len() + answered.cache as usize;
        let took = u64::try_from(answered.took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|&bound| took <= bound).unwrap_or(BOUNDS_US.len());
        shard.requests[place].fetch_add(1, Relaxed);
        shard.durations[kind * (BOUNDS_US.len() + 1) + bucket].fetch_add(1, Relaxed);
        shard.duration_us[kind].fetch_add(took, Relaxed);
        shard.bytes[kind].fetch_add(answered.bytes, Relaxed);
    }

    pub(crate) fn error(&self, code: Code) {
        self.0.tables.errors[code.index()].fetch_add(1, Relaxed);
    }

    /// Counts a request that has to wait, until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight {
        self.0.tables.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(&self.0.tables))
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Tables>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Tables {
    /// The shard of this thread: each thread takes the next one when it first counts.
    fn own_shard(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static OWN: usize = NEXT.fetch_add(1, Relaxed) % SHARDS);
        &self.shards[OWN.with(|own| *own)]
    }

    fn sum(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| of(shard).load(Relaxed)).sum()
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("http_requests", "Requests answered", None, MetricType::Counter)?;
        for (k, kind) in KINDS.iter().enumerate() {
            for (s, (_, status)) in STATUSES.iter().enumerate() {
                for (c, cache) in CACHES.iter().enumerate() {
                    let place = (k * STATUSES.len() + s) * CACHES.len() + c;
                    let count = self.sum(|shard| &shard.requests[place]);
                    if count > 0 {
                        let labels = [("kind", *kind), ("status", *status), ("cache", *cache)];
                        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric's sum of seconds is a float by the format")]
    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "http_request_duration_seconds",
            "From a request's head to its answer's head",
            None,
            MetricType::Histogram,
        )?;
        for (k, kind) in KINDS.iter().enumerate() {
            let bounds = BOUNDS_US.iter().map(|&bound| bound as f64 / 1e6).chain([f64::INFINITY]);
            let places = (0..=BOUNDS_US.len()).map(|bucket| k * (BOUNDS_US.len() + 1) + bucket);
            let buckets: Vec<(f64, u64)> =
                bounds.zip(places.map(|place| self.sum(|shard| &shard.durations[place]))).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            if count > 0 {
                let sum = self.sum(|shard| &shard.duration_us[k]) as f64 / 1e6;
                let labels = [("kind", *kind)];
                family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn encode_bytes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "http_response_bytes",
            "Bytes of bodies that were begun",
            None,
            MetricType::Counter,
        )?;
        for (k, kind) in KINDS.iter().enumerate() {
            let labels = [("kind", *kind)];
            let bytes = ConstCounter::new(self.sum(|shard| &shard.bytes[k]));
            bytes.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_errors(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("errors", "Refusals, by code", None, MetricType::Counter)?;
        for (code, count) in Code::all().zip(&self.errors) {
            let labels = [("code", code.name())];
            ConstCounter::new(count.load(Relaxed)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Tables {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        self.encode_bytes(&mut encoder)?;
        self.encode_errors(&mut encoder)?;
        let waiting = encoder.encode_descriptor(
            "http_in_flight",
            "Requests that wait for their answer",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.in_flight.load(Relaxed)).encode(waiting)
    }
}

#[derive(Debug)]
struct Connections(Arc<Crowd>);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let open =
            encoder.encode_descriptor("http_connections", "Connections open now", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.0.connections()).unwrap_or(i64::MAX)).encode(open)?;
        let mut hits =
            encoder.encode_descriptor("limit_hit", "How often a limit was hit", None, MetricType::Counter)?;
        for (limit, count) in self.0.limit_hits() {
            let labels = [("limit", limit)];
            ConstCounter::new(count).encode(hits.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = Metrics::new("1.2.3", "abc");
        let answered = Answered {
            kind: Kind::Info,
            status: StatusCode::OK,
            cache: Cache::Hit,
            bytes: 200,
            took: Duration::from_micros(7),
        };
        metrics.answered(answered);
        metrics.answered(Answered { took: Duration::from_secs(100), ..answered });
        metrics.answered(Answered { status: StatusCode::IM_A_TEAPOT, cache: Cache::None, ..answered });
        metrics.error(Code::NoSuchVersion);
        let waiting = metrics.in_flight();
        let text = metrics.text();
        for line in [
            "modkeep_build_info{version=\"1.2.3\",commit=\"abc\"} 1",
            "modkeep_http_requests_total{kind=\"info\",status=\"200\",cache=\"hit\"} 2",
            "modkeep_http_requests_total{kind=\"info\",status=\"other\",cache=\"none\"} 1",
            "modkeep_http_request_duration_seconds_bucket{le=\"0.0001\",kind=\"info\"} 2",
            "modkeep_http_request_duration_seconds_bucket{le=\"+Inf\",kind=\"info\"} 3",
            "modkeep_http_response_bytes_total{kind=\"info\"} 600",
            "modkeep_errors_total{code=\"no-such-version\"} 1",
            "modkeep_http_in_flight 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        drop(waiting);
        assert!(metrics.text().contains("modkeep_http_in_flight 0"));
    }

    #[test]
    fn every_status_of_the_table_has_its_series() {
        for code in Code::all() {
            let status = crate::status::status(code).as_u16();
            assert!(STATUSES.iter().any(|&(known, _)| known == status), "{status} of {}", code.name());
        }
    }
}
