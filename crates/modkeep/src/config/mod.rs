//! The configuration: one documented file of defaults, and the layers laid over it.
//!
//! `default.toml` beside this file is the manual page, the table of keys and the defaults at once. Over it go, each
//! stronger than the last: Go's own variables, configuration files, `MODKEEP_…` variables, flags. Each setting is
//! checked where it is laid, so that a slip is answered with its file and line, or its variable.

mod layer;
mod origin;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub(crate) use layer::{Place, Setting, environment, file, go_environment};
pub(crate) use origin::{Credential, Origin, Rewrite, Robots, Vanity, VcsName};
pub(crate) use value::{Pace, Period, Size};

/// Every key with its meaning and its default, as `config init` prints it.
pub(crate) const DEFAULTS: &str = include_str!("default.toml");

/// How long a go-import page may be believed: whoever moves a module waits that long, and every module asks its page that
/// often (V-23).
const DISCOVERY_TTL: RangeInclusive<Duration> = Duration::from_mins(10)..=Duration::from_hours(1);

/// What the program runs with. Meanings and units of the fields: `default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) origin: Origin,
    pub(crate) egress: Egress,
    pub(crate) verify: Verify,
    pub(crate) log: Log,
    pub(crate) web: Web,
    pub(crate) observe: Observe,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: Vec<String>,
    pub(crate) public_url: String,
    pub(crate) admin_listen: String,
    pub(crate) hold: Period,
    pub(crate) drain: Period,
    pub(crate) tls_cert: String,
    pub(crate) tls_key: String,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) path: String,
    pub(crate) min_free: String,
    pub(crate) hot_cache: Size,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egress {
    pub(crate) ca_file: String,
    pub(crate) allow: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    pub(crate) log: String,
    pub(crate) unchecked: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) enabled: bool,
    pub(crate) name: String,
    pub(crate) key_file: String,
    pub(crate) second_key_file: String,
    pub(crate) key: String,
    pub(crate) signer: Vec<String>,
    pub(crate) head_copy: String,
    pub(crate) deny: Vec<String>,
    pub(crate) align: u64,
    pub(crate) witnesses: Vec<String>,
    pub(crate) witness_policy: String,
    pub(crate) witness_mode: WitnessMode,
    pub(crate) gate_lookups: bool,
    pub(crate) cosign_latest: bool,
}

/// What witnesses are to the log (B3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WitnessMode {
    Off,
    BestEffort,
    Required,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Web {
    pub(crate) title: String,
    pub(crate) notice: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Observe {
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Auto,
    Json,
    Text,
}

/// The least serious line that is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Why the configuration cannot be used. Every message names the place to mend.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{place}: unknown key \"{key}\"{}", hint(.nearest.as_deref()))]
    UnknownKey { place: Place, key: String, nearest: Option<String> },
    #[error("{place}: {key}: {reason}")]
    Invalid { place: Place, key: String, reason: String },
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; \"modkeep config init\" prints every key".to_owned(),
        |name| format!("; did you mean \"{name}\"?"),
    )
}

/// The configuration in force, and where each value that is not a default came from.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) config: Config,
    table: toml::Table,
    places: BTreeMap<String, Place>,
}

impl Effective {
    /// Lays `settings` over the defaults, weakest first.
    pub(crate) fn new(settings: Vec<Setting>) -> Result<Self, Error> {
        let mut table = default_table();
        let mut places = BTreeMap::new();
        for setting in settings {
            let setting = setting.typed(&table)?;
            let mut tried = table.clone();
            lay(&mut tried, &setting.key, setting.value);
            if let Err(wrong) = Config::deserialize(tried.clone()) {
                let reason = wrong.message().to_owned();
                return Err(Error::Invalid { place: setting.place, key: setting.key, reason });
            }
            table = tried;
            places.insert(setting.key, setting.place);
        }
        let config = Config::deserialize(table.clone()).map_err(|wrong| Error::File {
            path: "default.toml".to_owned(),
            reason: wrong.message().to_owned(),
        })?;
        let effective = Self { config, table, places };
        effective.agree()?;
        Ok(effective)
    }

    /// Rules that bind several keys.
    fn agree(&self) -> Result<(), Error> {
        let server = &self.config.server;
        if server.tls_cert.is_empty() != server.tls_key.is_empty() {
            return Err(self.slip("server.tls_key", "tls_cert and tls_key go together"));
        }
        if server.listen.is_empty() {
            return Err(self.slip("server.listen", "at least one address is needed"));
        }
        let log = &self.config.log;
        if log.enabled && log.name.is_empty() {
            return Err(
                self.slip("log.name", "the log needs a name: HOST/log, as \"modkeep log keygen\" was told")
            );
        }
        if log.enabled && log.key_file.is_empty() == log.signer.is_empty() {
            return Err(self.slip("log.key_file", "say one of key_file and signer"));
        }
        if !log.witnesses.is_empty() && !log.witness_policy.is_empty() {
            return Err(self.slip("log.witness_policy", "say one of witnesses and witness_policy"));
        }
        if log.align != 1 && log.align != 256 {
            return Err(self.slip("log.align", "must be 256 or 1"));
        }
        for key in ["per_upstream", "per_host", "queue_max"] {
            if self.table["origin"].get(key).and_then(toml::Value::as_integer) == Some(0) {
                return Err(self.slip(&format!("origin.{key}"), "must be at least 1"));
            }
        }
        let told = |key: &str| self.table["origin"].get(key).map(ToString::to_string).unwrap_or_default();
        if !DISCOVERY_TTL.contains(&self.config.origin.discovery_ttl.0) {
            let reason = format!("{} is out of bounds; say 10m to 1h", told("discovery_ttl"));
            return Err(self.slip("origin.discovery_ttl", reason));
        }
        if self.config.origin.cache_max.0 == 0 {
            let reason = format!(
                "{} would fetch whole repositories again for each question; say how much may be kept, \"2GiB\"",
                told("cache_max")
            );
            return Err(self.slip("origin.cache_max", reason));
        }
        Ok(())
    }

    /// An error at the place that set `key`.
    pub(crate) fn slip(&self, key: &str, reason: impl Into<String>) -> Error {
        let place = self.places.get(key).cloned().unwrap_or(Place::Default);
        Error::Invalid { place, key: key.to_owned(), reason: reason.into() }
    }

    /// Whether the value of `key` is what one of Go's own variables says.
    pub(crate) fn is_from_go(&self, key: &str) -> bool {
        self.places.get(key).is_some_and(Place::is_go)
    }

    /// The values in force as TOML, each with the place it came from; credentials in URLs are masked (M04).
    pub(crate) fn show(&self, changed_only: bool) -> String {
        // Writing to a string cannot fail.
        let (mut out, defaults) = (String::new(), default_table());
        for (section, keys) in &self.table {
            let Some(keys) = keys.as_table() else { continue };
            let mut lines = String::new();
            for (key, value) in keys {
                let place = self.places.get(&format!("{section}.{key}"));
                let is_default = defaults.get(section).and_then(|keys| keys.get(key)) == Some(value);
                if changed_only && is_default {
                    continue;
                }
                let note = place.map(|place| format!("  # {place}")).unwrap_or_default();
                let _ = writeln!(lines, "{key} = {}{note}", masked(value));
            }
            if !lines.is_empty() {
                let _ = writeln!(out, "[{section}]\n{lines}");
            }
        }
        out.trim_end().to_owned() + "\n"
    }

    /// The values in force as one JSON document, credentials masked.
    pub(crate) fn json(&self, changed_only: bool) -> serde_json::Value {
        let text = self.show(changed_only);
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        serde_json::to_value(table).unwrap_or_default()
    }
}

/// The value with `user:password@` of any URL in it replaced.
fn masked(value: &toml::Value) -> toml::Value {
    use toml::Value;
    match value {
        Value::String(text) => Value::String(mask_credentials(text)),
        Value::Array(values) => Value::Array(values.iter().map(masked).collect()),
        Value::Table(keys) => {
            Value::Table(keys.iter().map(|(key, value)| (key.clone(), masked(value))).collect())
        }
        other => other.clone(),
    }
}

/// Replaces what stands between `://` and `@`, and what follows `?`, in each URL of a text: a query may be a
/// credential too (P-15).
pub(crate) fn mask_credentials(text: &str) -> String {
    text.split_inclusive([',', '|', ' ']).map(mask_url).collect()
}

fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, separator) = rest.split_at(rest.find([',', '|', ' ']).unwrap_or(rest.len()));
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let shown = rest[..authority].rfind('@').map_or(rest.to_owned(), |at| format!("xxxxx{}", &rest[at..]));
    let shown = shown.find('?').map_or(shown.clone(), |at| format!("{}?xxxxx", &shown[..at]));
    format!("{scheme}://{shown}{separator}")
}

fn default_table() -> toml::Table {
    // The text is compiled in and parsed by the tests below.
    toml::from_str(DEFAULTS).unwrap_or_default()
}

fn lay(table: &mut toml::Table, key: &str, value: toml::Value) {
    if let Some((section, name)) = key.split_once('.')
        && let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut)
    {
        section.insert(name.to_owned(), value);
    }
}

/// Every key as `section.name`, in the order of the file.
pub(crate) fn keys() -> Vec<String> {
    default_table()
        .iter()
        .filter_map(|(section, keys)| Some((section, keys.as_table()?)))
        .flat_map(|(section, keys)| keys.keys().map(move |key| format!("{section}.{key}")))
        .collect()
}

/// Where configuration files are looked for when none is named: the first that exists is read.
pub(crate) fn search_path(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    let user = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    let mut paths = vec![PathBuf::from("modkeep.toml")];
    paths.extend(user.map(|dir| dir.join("modkeep").join("modkeep.toml")));
    paths.push(PathBuf::from("/etc/modkeep/modkeep.toml"));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(settings: &[(&str, &str)]) -> Result<Effective, Error> {
        let flags = settings.iter().map(|(key, text)| Setting::flag(key, text)).collect();
        Effective::new(flags)
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let effective = Effective::new(Vec::new()).unwrap();
        assert_eq!(effective.config.server.listen, ["localhost:8080"]);
        assert_eq!(effective.config.origin.upstream, "public,direct");
    }

    #[test]
    fn every_key_is_explained_by_a_comment() {
        let mut before = "";
        for line in DEFAULTS.lines() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(before.starts_with('#') || before.contains(" = "), "{line} has no comment");
            }
            before = line;
        }
    }

    #[test]
    fn a_later_layer_wins_and_its_place_is_known() {
        let effective = laid(&[("server.hold", "5s"), ("server.hold", "7s")]).unwrap();
        assert_eq!(effective.config.server.hold.0.as_secs(), 7);
        let same = laid(&[("server.hold", "7s"), ("server.drain", "30s")]).unwrap();
        assert_eq!(same.show(true), "[server]\nhold = \"7s\"  # --hold\n");
    }

    #[test]
    fn slips_are_refused_with_the_place_and_a_hint() {
        let unknown = laid(&[("server.listn", ":1")]).unwrap_err().to_string();
        assert!(unknown.contains("did you mean \"server.listen\"?"), "{unknown}");
        for (key, text) in
            [("server.hold", "soon"), ("origin.per_upstream", "0"), ("observe.log_format", "loud")]
        {
            let refused = laid(&[(key, text)]).unwrap_err().to_string();
            assert!(refused.contains(key), "{refused}");
        }
        assert!(laid(&[("server.tls_cert", "cert.pem")]).is_err());
    }

    #[test]
    fn hostile_m04_config_show_masks_credentials() {
        let chain = "https://u:canary@mirror.example/x?t=canary,https://canary@b.example|https://c.example?canary|off";
        let shown = laid(&[("origin.upstream", chain)]).unwrap().show(false);
        assert!(!shown.contains("canary"), "{shown}");
        let masked =
            "https://xxxxx@mirror.example/x?xxxxx,https://xxxxx@b.example|https://c.example?xxxxx|off";
        assert!(shown.contains(masked), "{shown}");
    }
}
