//! Log lines on standard error: text for a terminal, JSON for everything else.

use std::fmt;
use std::io::IsTerminal;
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt as layer};

use crate::cli::Color;
use crate::config::{Effective, LogFormat, LogLevel};

/// Sets the process's subscriber, once. Only our own rooms are heard below `warn`: libraries print what they are sent.
pub(crate) fn init(effective: &Effective, color: Color) {
    let observe = &effective.config.observe;
    let level = match observe.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("modkeep", level);
    let terminal = std::io::stderr().is_terminal();
    let json = match observe.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let colour = match color {
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        Color::Always => true,
        Color::Never => false,
    };
    let lines = if json {
        layer::layer().event_format(JsonLine).with_writer(std::io::stderr).boxed()
    } else {
        layer::layer().with_target(false).with_ansi(colour).with_writer(std::io::stderr).boxed()
    };
    // A second call can only come from a test in one process; the first subscriber stays.
    let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
}

/// One object a line, with the keys of user-experience.md section 7: `ts`, `level`, then the event's own.
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        write!(out, "{{\"ts\":\"{now:.6}\",\"level\":\"{level}\"")?;
        for (name, value) in fields.0 {
            write!(out, ",{}:{value}", Value::String(name))?;
        }
        writeln!(out, "}}")
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_u64(field, u64::try_from(value).unwrap_or(u64::MAX));
    }
}
