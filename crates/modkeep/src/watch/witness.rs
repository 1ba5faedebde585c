//! A witness of other logs, told to people and to Prometheus.

use std::time::SystemTime;

use modkeep_http::Metrics;
use modkeep_log::witness::{ListTold, Witness};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

/// As many as the command line names lists.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    list: String,
}

/// What hears of the lists that a witness reads: counts, and a line for each log that is new.
pub(crate) fn lists(metrics: &Metrics, witness: &Witness) -> impl Fn(&ListTold<'_>) + Send + Sync + use<> {
    let (read, failures) = (Family::<Of, Gauge>::default(), Family::<Of, Counter>::default());
    let logs = Logs(witness.clone());
    metrics.register(|registry| {
        registry.register(
            "witness_list_read_timestamp_seconds",
            "When a list of logs was read last",
            read.clone(),
        );
        registry.register("witness_list_failures", "Readings of a list that failed", failures.clone());
        registry.register_collector(Box::new(logs));
    });
    move |told| {
        let of = Of { list: told.place.to_owned() };
        match told.outcome {
            Ok((adopted, skipped)) => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                read.get_or_create(&of).set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
                for log in &adopted.added {
                    let (origin, qpd, contact) = (&log.origin, log.qpd, &log.contact);
                    tracing::info!(event = "witness", list = told.place, key = %log.key, qpd, contact, "watches {origin}");
                }
                if adopted.refused + skipped > 0 {
                    let (refused, list) = (adopted.refused, told.place);
                    tracing::warn!(
                        event = "witness",
                        list,
                        refused,
                        skipped,
                        "logs of a list are not watched"
                    );
                }
            }
            Err(reason) => {
                failures.get_or_create(&of).inc();
                tracing::warn!(
                    event = "witness",
                    list = told.place,
                    "a list of logs was not read; what is watched stays as it is: {reason}"
                );
            }
        }
    }
}

#[derive(Debug)]
struct Logs(Witness);

impl Collector for Logs {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        let logs = ConstGauge::new(u64::try_from(self.0.count()).unwrap_or(u64::MAX));
        let help = "Logs that this witness watches";
        logs.encode(out.encode_descriptor("witness_logs", help, None, MetricType::Gauge)?)
    }
}
