//! What happens in the rooms below, told to people (log lines) and to Prometheus (user-experience.md section 7).

pub(crate) mod log;
pub(crate) mod witness;

use std::sync::Arc;

use modkeep_fetch::{Alarm, Event, Failure, Fetch, Kind, Observer, Verdict};
use modkeep_http::Metrics;
use modkeep_store::Store;
use modkeep_upstream::Database;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::wiring::House;

/// Upper ends of the fetch histogram, in seconds: from a list in the next rack to a large repository far away.
const BOUNDS_S: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Upper ends of the append histogram, in seconds: from a lone append on a good disk to a batch behind a long queue.
const APPEND_BOUNDS_S: [f64; 10] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0, 10.0];

/// Labels are words from closed sets, so that no request can add a series (K10).
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Fetched {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Why {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Result_ {
    result: &'static str,
}

/// There is one log to a process.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfLog {
    log: String,
}

/// What an operator should see at once, counted by its name: `alarms_total`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms(Family<Why, Counter>);

impl Alarms {
    /// Counted from now on.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let alarms = Self::default();
        let help = "What an operator should see at once";
        metrics.register(|registry| registry.register("alarms", help, alarms.0.clone()));
        alarms
    }

    fn raise(&self, reason: &'static str) {
        self.0.get_or_create(&Why { reason }).inc();
    }
}

#[derive(Debug)]
struct Counters {
    fetches: Family<Fetched, Counter>,
    seconds: Histogram,
    bytes: Counter,
    coalesced: Family<Why, Counter>,
    avoided: Family<Why, Counter>,
    verified: Family<Result_, Counter>,
    alarms: Alarms,
    appends: Family<OfLog, Histogram, fn() -> Histogram>,
}

/// An observer that counts and logs. New modules get a line each; requests do not.
pub(crate) fn observer(metrics: &Metrics, alarms: Alarms) -> Observer {
    let counters = Arc::new(Counters {
        fetches: Family::default(),
        seconds: Histogram::new(BOUNDS_S),
        bytes: Counter::default(),
        coalesced: Family::default(),
        avoided: Family::default(),
        verified: Family::default(),
        alarms,
        appends: Family::new_with_constructor(|| Histogram::new(APPEND_BOUNDS_S)),
    });
    metrics.register(|registry| {
        let c = &counters;
        registry.register("fetch", "Questions taken to a source", c.fetches.clone());
        registry.register("fetch_duration_seconds", "From take-off to landing", c.seconds.clone());
        registry.register("fetch_bytes", "Bytes that sources sent and we accepted", c.bytes.clone());
        registry.register("fetch_coalesced", "Callers that joined a fetch under way", c.coalesced.clone());
        registry.register(
            "fetch_avoided",
            "Questions answered without asking or without a body",
            c.avoided.clone(),
        );
        registry.register("verify", "How go.mod files and zips were judged", c.verified.clone());
        registry.register(
            "log_append_duration_seconds",
            "From a record's offer to the published head that covers it",
            c.appends.clone(),
        );
    });
    Arc::new(move |event| {
        counters.count(event);
        log(event);
    })
}

impl Counters {
    fn count(&self, event: &Event<'_>) {
        match event {
            Event::Fetched { kind, bytes, took, not_modified, .. } => {
                self.fetches.get_or_create(&Fetched { kind: kind.word(), result: "ok" }).inc();
                self.seconds.observe(took.as_secs_f64());
                self.bytes.inc_by(*bytes);
                if *not_modified {
                    self.avoided.get_or_create(&Why { reason: "etag" }).inc();
                }
            }
            Event::Failed { kind, failure, took } => {
                self.fetches.get_or_create(&Fetched { kind: kind.word(), result: word(failure) }).inc();
                self.seconds.observe(took.as_secs_f64());
            }
            Event::Coalesced { .. } => {
                self.coalesced.get_or_create(&Why { reason: "singleflight" }).inc();
            }
            Event::Remembered { .. } => {
                self.avoided.get_or_create(&Why { reason: "negative" }).inc();
            }
            Event::ServedStale { .. } => {
                self.avoided.get_or_create(&Why { reason: "stale" }).inc();
            }
            Event::Verified { verdict, .. } => {
                let result = match verdict {
                    Verdict::Match => "match",
                    Verdict::Mismatch => "mismatch",
                    Verdict::Absent => "absent",
                    Verdict::Skipped => "skipped",
                };
                self.verified.get_or_create(&Result_ { result }).inc();
            }
            Event::Recorded { log, took, .. } => {
                let of = OfLog { log: (*log).to_owned() };
                self.appends.get_or_create(&of).observe(took.as_secs_f64());
            }
            Event::Alarm { alarm, .. } => {
                self.alarms.raise(name(*alarm));
            }
        }
    }
}

fn log(event: &Event<'_>) {
    match event {
        Event::Fetched { subject, kind: Kind::Zip, source, bytes, took, new_version: true, .. } => {
            let ms = took.as_millis();
            tracing::info!(event = "fetch", module = %subject.module, version = subject.version.as_deref(), origin = source, bytes, ms, "+ {subject}");
        }
        Event::Fetched { subject, kind, source, bytes, took, .. } => {
            tracing::debug!(event = "fetch", kind = kind.word(), %subject, origin = source, bytes, ms = took.as_millis());
        }
        Event::Failed { kind, failure, took } if failure.is_absence() => {
            tracing::debug!(event = "fetch_failed", kind = kind.word(), ms = took.as_millis(), "{failure}");
        }
        Event::Failed { kind, failure, took } => {
            tracing::warn!(event = "fetch_failed", kind = kind.word(), ms = took.as_millis(), "{failure}");
        }
        Event::Recorded { subject, id, source, was_known: false, .. } => {
            tracing::debug!(event = "log", record = id, source, "{subject}");
        }
        Event::Alarm { subject, alarm, detail } => {
            tracing::error!(event = "checksum_conflict", alarm = name(*alarm), %subject, "{detail}");
        }
        _ => {}
    }
}

/// A failure's word for the label `result`.
fn word(failure: &Failure) -> &'static str {
    match failure {
        failure if failure.is_absence() => "not-found",
        Failure::Unlisted { .. } => "unlisted",
        Failure::Checksum { .. } => "checksum",
        Failure::BadContent { .. } | Failure::BadAnswer { .. } | Failure::TooLarge { .. } => "bad",
        Failure::OriginLimit { .. } | Failure::Busy { .. } => "limit",
        Failure::LogDown { .. } | Failure::LogInconsistent { .. } => "log",
        Failure::Storage { .. } | Failure::Corrupt { .. } => "store",
        _ => "error",
    }
}

fn name(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::ChecksumMismatch => "checksum_mismatch",
        Alarm::UpstreamChanged => "upstream_changed",
        Alarm::GoModDiffers => "go_mod_differs",
        Alarm::LogInconsistent => "log_inconsistent",
        Alarm::StoreDamaged => "store_damaged",
        Alarm::MirrorMismatch => "mirror_mismatch",
        Alarm::AuthorityConflict => "authority_conflict",
        Alarm::RecordConflict => "record_conflict",
    }
}

/// Numbers that are asked for rather than counted: the store's room and cost, the flights.
pub(crate) fn gauges(metrics: &Metrics, house: &House, hot_bytes: impl Fn() -> u64 + Send + Sync + 'static) {
    let gauges = Gauges {
        store: house.store.clone(),
        fetch: house.fetch.clone(),
        database: house.database.clone(),
        hot_bytes: Box::new(hot_bytes),
    };
    metrics.register(|registry| {
        registry.register_collector(Box::new(gauges));
    });
}

/// The numbers of a checksum database that we check against.
fn of_database(database: &Database, out: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    for (name, help, value) in [
        (
            "upstream_log_inconsistent",
            "The checksum database contradicted itself and is not asked",
            u64::from(database.is_stopped().is_some()),
        ),
        (
            "upstream_log_verified_size",
            "Size of the newest head of the checksum database that was verified",
            database.verified_size(),
        ),
        (
            "upstream_log_lag_records",
            "Records that the newest signed head seen of the checksum database has more than the newest verified one",
            database.lag_records(),
        ),
    ] {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family.encode_family(&[("log", database.name())])?)?;
    }
    Ok(())
}

struct Gauges {
    store: Store,
    fetch: Fetch,
    database: Option<Database>,
    hot_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let usage = self.store.usage();
        let free = self.store.space().map_or(0, |space| space.free);
        let in_flight = u64::try_from(self.fetch.in_flight()).unwrap_or(u64::MAX);
        if let Some(database) = &self.database {
            of_database(database, &mut out)?;
        }
        for (name, help, value) in [
            ("store_free_bytes", "Room on the disk of the store", free),
            ("fetch_in_flight", "Questions being worked on", in_flight),
            ("hot_cache_bytes", "Memory taken by hot answers", (self.hot_bytes)()),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(out.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help = "Versions served here that do not stand at their origin any more";
        let mut missing = out.encode_descriptor("origin_missing_modules", help, None, MetricType::Gauge)?;
        for (state, versions) in self.store.broken_counts() {
            let gauge = ConstGauge::new(versions);
            gauge.encode(missing.encode_family(&[("kind", state.word())])?)?;
        }
        for (name, help, value) in [
            ("store_syncs", "Syncs of files and directories, and of the ledger", usage.syncs),
            ("store_written_bytes", "Bytes of blobs made durable", usage.bytes),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(out.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
