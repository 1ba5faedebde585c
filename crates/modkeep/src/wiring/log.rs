//! The `[log]` section as the log room understands it (spec A5, C4).

use std::path::PathBuf;
use std::sync::Arc;

use modkeep_fetch::{Fetch, OwnLog};
use modkeep_log::keys::{CommandSigner, KeySigner, PATIENCE, SocketSigner};
use modkeep_log::{Config, HeadAlign, Log, LogName, Observer, OpenError, Parts, Signer};
use modkeep_module::Patterns;
use modkeep_store::{Store, SystemClock};
use modkeep_sumdb::Own;
use modkeep_tlog::VerifierKey;

use super::{home_expanded, patterns};
use crate::config::Effective;
use crate::exit::Failed;

/// Our own checksum database, as this process has it.
#[derive(Clone)]
pub(crate) enum Door {
    /// None is enabled, or this command does not keep it.
    Off,
    /// Open; it may be that it is only read.
    Open(Log),
    /// Not even read: what is stored may be false.
    Closed { name: String, reason: String },
}

impl Door {
    /// What the world sees of it.
    pub(crate) fn face(&self, fetch: &Fetch) -> Option<Own> {
        match self {
            Self::Off => None,
            Self::Open(log) => Some(Own::new(log.clone(), fetch.clone())),
            Self::Closed { name, reason } => Some(Own::closed(name, reason)),
        }
    }

    /// The log, where it can be read.
    pub(crate) fn log(&self) -> Option<&Log> {
        match self {
            Self::Open(log) => Some(log),
            Self::Off | Self::Closed { .. } => None,
        }
    }
}

/// What the configuration says, with its keys read.
pub(super) struct Plan {
    name: LogName,
    /// The log's present key first.
    signers: Vec<Arc<dyn Signer>>,
    deny: Patterns,
    config: Config,
}

/// The keys that open our heads, the present one first; none where no log is configured.
pub(super) fn verifiers(effective: &Effective) -> Result<Vec<VerifierKey>, Failed> {
    let signers = plan(effective)?.map(|plan| plan.signers).unwrap_or_default();
    Ok(signers.iter().map(|signer| signer.verifier().clone()).collect())
}

/// Reads the section and the keys. A key that is not fit for use stops the start (I16).
pub(super) fn plan(effective: &Effective) -> Result<Option<Plan>, Failed> {
    let section = &effective.config.log;
    if !section.enabled {
        return Ok(None);
    }
    let slip = |key: &str, reason: String| Failed::from(effective.slip(key, reason));
    let name = LogName::parse(&section.name).map_err(|error| slip("log.name", error.to_string()))?;
    if name.as_str().strip_suffix("/log").is_none_or(str::is_empty) {
        let reason = format!("{name}: want HOST/log, because the log is served below /log of that host");
        return Err(slip("log.name", reason));
    }
    let mut signers = vec![first_signer(effective, &name)?];
    if !section.second_key_file.is_empty() {
        signers.push(key_file(effective, "log.second_key_file", &section.second_key_file, &name)?);
    }
    if !section.witnesses.is_empty() {
        return Err(slip("log.witnesses", "nobody is asked yet: leave it empty".to_owned()));
    }
    let align = if section.align == 1 { HeadAlign::Newest } else { HeadAlign::Tile };
    let head_copy = head_copy(&section.key_file)?;
    let deny = patterns(effective, "log.deny", &section.deny)?;
    Ok(Some(Plan { name, signers, deny, config: Config { align, head_copy, ..Config::default() } }))
}

/// The key in a file, or the program that holds it.
fn first_signer(effective: &Effective, name: &LogName) -> Result<Arc<dyn Signer>, Failed> {
    let section = &effective.config.log;
    let Some(first) = section.signer.first() else {
        return key_file(effective, "log.key_file", &section.key_file, name);
    };
    let key = VerifierKey::parse(&section.key).map_err(|error| {
        effective.slip("log.key", format!("the key that opens what the signer signs: {error}"))
    })?;
    if key.name() != name.as_str() {
        return Err(effective.slip("log.key", format!("is the key of {}, not of {name}", key.name())).into());
    }
    if let Some(socket) = first.strip_prefix("unix:") {
        return Ok(Arc::new(SocketSigner::new(PathBuf::from(socket), key, PATIENCE)));
    }
    if !first.starts_with('/') {
        let reason = "begins with the absolute path of a program, or is one unix:/path/of/socket";
        return Err(effective.slip("log.signer", reason).into());
    }
    Ok(Arc::new(CommandSigner::new(section.signer.clone(), key, PATIENCE)))
}

fn key_file(effective: &Effective, key: &str, path: &str, name: &LogName) -> Result<Arc<dyn Signer>, Failed> {
    let signer = KeySigner::open(&home_expanded(path)?, name);
    Ok(Arc::new(signer.map_err(|error| effective.slip(key, error.to_string()))?))
}

/// Beside the key lies a copy of the newest head: it tells when the data directory was put back from an old copy (I17).
fn head_copy(key_file: &str) -> Result<Option<PathBuf>, Failed> {
    if key_file.is_empty() {
        return Ok(None);
    }
    Ok(Some(home_expanded(&format!("{key_file}.head"))?))
}

/// Opens the log. One that may not sign is read, one that cannot be read is closed: modules are served all the same, and
/// the log's own answers say why (I17).
pub(super) fn open(plan: Option<(Plan, Observer)>, store: &Store) -> (Door, Option<OwnLog>) {
    let Some((Plan { name, signers, deny, config }, observer)) = plan else { return (Door::Off, None) };
    let keys = signers.iter().map(|signer| signer.verifier().clone()).collect();
    let opened = store.log().map_err(OpenError::Store).and_then(|matter| {
        let parts =
            Parts { store: matter, signers, config: config.clone(), clock: Arc::new(SystemClock), observer };
        Log::open(parts)
    });
    let refused = match opened {
        Ok(log) => return opened_door(log, deny),
        Err(error) => error,
    };
    tracing::error!(event = "log", log = %name, "nothing will be signed: {refused}");
    let reading = store.log().map_err(OpenError::Store);
    match reading.and_then(|matter| Log::open_reading(matter, keys, config)) {
        Ok(log) => opened_door(log, deny),
        Err(error) => {
            tracing::error!(event = "log", log = %name, "nothing of the log is served: {error}");
            (Door::Closed { name: name.to_string(), reason: refused.to_string() }, None)
        }
    }
}

fn opened_door(log: Log, deny: Patterns) -> (Door, Option<OwnLog>) {
    (Door::Open(log.clone()), Some(OwnLog { log, deny }))
}
