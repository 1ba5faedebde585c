//! Our own checksum database, told to people and to Prometheus (user-experience.md section 7, spec C8).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modkeep_fetch::Fetch;
use modkeep_http::Metrics;
use modkeep_log::witness::Reply;
use modkeep_log::{Event, Log, Observer, State, Timings};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;

use super::Alarms;
use crate::wiring::Door;

/// Upper ends of the histogram of one step, in seconds: from a hash in memory to a disk that stalls.
const STEP_BOUNDS_S: [f64; 9] = [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0, 10.0];

/// Upper ends of the histogram of batch sizes.
const BATCH_BOUNDS: [f64; 7] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Step {
    step: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Asked {
    witness: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    witness: String,
}

/// An observer of the sequencer that counts and logs. It is called between a batch and its waiters, so it is quick.
pub(crate) fn observer(metrics: &Metrics, alarms: Alarms) -> Observer {
    let records = Family::<Outcome, Counter>::default();
    let steps =
        Family::<Step, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(STEP_BOUNDS_S));
    let batches = Histogram::new(BATCH_BOUNDS);
    // As many labels as the configuration names witnesses.
    let (asked, last) = (Family::<Asked, Counter>::default(), Family::<Of, Gauge>::default());
    metrics.register(|registry| {
        registry.register("witness_requests", "Questions to the witnesses of our own log", asked.clone());
        registry.register(
            "witness_last_cosign_timestamp_seconds",
            "When a witness cosigned last",
            last.clone(),
        );
        registry.register("log_records", "Records offered to our own log", records.clone());
        registry.register("log_step_duration_seconds", "The steps of a batch", steps.clone());
        registry.register("log_batch_records", "Records that one batch took", batches.clone());
    });
    Observer::new(move |event| {
        let count = |result, by: usize| {
            records.get_or_create(&Outcome { result }).inc_by(u64::try_from(by).unwrap_or(u64::MAX));
        };
        match event {
            Event::Batch { appended, known, timings } => {
                count("new", *appended);
                count("known", *known);
                batches.observe(f64::from(u32::try_from(appended + known).unwrap_or(u32::MAX)));
                for (step, took) in named(timings) {
                    steps.get_or_create(&Step { step }).observe(took.as_secs_f64());
                }
            }
            Event::Conflict { .. } => count("conflict", 1),
            Event::Busy => count("busy", 1),
            Event::Witness { witness, reply, .. } => {
                let witness = (*witness).to_owned();
                asked.get_or_create(&Asked { witness: witness.clone(), result: reply.word() }).inc();
                if matches!(reply, Reply::Cosigned(_)) {
                    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                    last.get_or_create(&Of { witness }).set(seconds);
                }
            }
            _ => {}
        }
        if let Some(alarm) = alarm(event) {
            alarms.raise(alarm);
        }
        log(event);
    })
}

/// What of it is an alarm (C8). A conflict is one as well, told by whoever offered the record.
fn alarm(event: &Event<'_>) -> Option<&'static str> {
    match event {
        Event::Refused { .. } => Some("log_refused"),
        Event::Stopped { .. } => Some("log_stopped"),
        Event::Ahead { .. } => Some("log_ahead"),
        Event::Fork { .. } => Some("log_fork"),
        Event::WitnessContradicts { .. } => Some("witness_contradicts"),
        _ => None,
    }
}

fn named(timings: &Timings) -> [(&'static str, Duration); 7] {
    [
        ("sequence", timings.sequence),
        ("derive", timings.derive),
        ("tiles", timings.tiles),
        ("check", timings.check),
        ("sign", timings.sign),
        ("commit", timings.commit),
        ("publish", timings.publish),
    ]
}

fn log(event: &Event<'_>) {
    match event {
        Event::Head(head) => {
            tracing::debug!(event = "log_head", size = head.size.get(), root = %head.root);
        }
        Event::Started { size } => tracing::info!(event = "log_head", size = size.get(), "the log is open"),
        Event::Refused { reason } => tracing::error!(event = "log", "nothing will be signed: {reason}"),
        Event::Stopped { reason, restarts } => {
            tracing::error!(event = "log", restarts, "nothing is signed any more: {reason}");
        }
        Event::Witness { witness, reply: Reply::Cosigned(_), .. } => {
            tracing::debug!(event = "witness", witness, "cosigned");
        }
        Event::Witness { witness, reply, .. } => tracing::warn!(event = "witness", witness, "{reply}"),
        Event::WitnessContradicts { witness, size, text } => {
            let size = size.get();
            tracing::error!(
                event = "witness",
                witness,
                size,
                "a witness finds that our newest head does not continue what it has cosigned: {text}"
            );
        }
        Event::Ahead { seen_by, seen, ours } => {
            let (seen, ours) = (seen.get(), ours.get());
            tracing::error!(
                event = "log",
                seen,
                ours,
                "{seen_by} has seen a larger head than the newest one here; no record is taken any more"
            );
        }
        Event::Fork { theirs, ours, evidence } => {
            let (size, ours) = (theirs.size.get(), ours.size.get());
            tracing::error!(
                event = "log",
                size,
                ours,
                evidence,
                "our key has signed a head that our tree contradicts"
            );
        }
        _ => {}
    }
}

/// Numbers of the log that are asked for rather than counted.
pub(crate) fn gauges(metrics: &Metrics, door: &Door, fetch: &Fetch) {
    let log = match door {
        Door::Off => return,
        Door::Open(log) => Ok(log.clone()),
        Door::Closed { name, .. } => Err(Arc::from(name.as_str())),
    };
    let gauges = Gauges { log, fetch: fetch.clone() };
    metrics.register(|registry| registry.register_collector(Box::new(gauges)));
}

struct Gauges {
    /// The log, or the name of the one that is closed.
    log: Result<Log, Arc<str>>,
    fetch: Fetch,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let name = self.log.as_ref().map_or_else(|name| &**name, Log::name);
        let mut gauge = |key: &str, help: &str, value: u64| {
            let mut family = out.encode_descriptor(key, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family.encode_family(&[("log", name)])?)
        };
        let is_signing = self.log.as_ref().is_ok_and(|log| log.state() == State::Running);
        gauge("log_signing", "Whether records are taken and heads signed", u64::from(is_signing))?;
        gauge("log_pending", "Stored versions that the log was not yet told of", self.fetch.log_pending())?;
        let Ok(log) = &self.log else { return Ok(()) };
        let head = log.latest();
        let signed = head.signed_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        gauge("log_size", "Records that the newest head covers", head.size.get())?;
        gauge("log_head_timestamp_seconds", "When the newest head was signed", signed.as_secs())
    }
}
