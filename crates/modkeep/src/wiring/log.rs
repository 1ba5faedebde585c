//! The `[log]` section as the log room understands it (spec A5, C4).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use modkeep_egress::Egress;
use modkeep_fetch::{Fetch, OwnLog};
use modkeep_log::keys::{CommandSigner, KeySigner, PATIENCE, SocketSigner};
use modkeep_log::witness::{Collector, Panel, known_heads};
use modkeep_log::{
    Config, Event, Gate, GivenHead, HeadAlign, KnownHead, Log, LogName, Observer, OpenError, Parts,
    Recovered, Recovery, Shown, Signer,
};
use modkeep_module::Patterns;
use modkeep_store::{LogStore, Store, SystemClock};
use modkeep_sumdb::Own;
use modkeep_tlog::{Policy, Tile, VerifierKey};
use url::Url;

use super::{Sources, home_expanded, patterns, store_config};
use crate::config::{Effective, WitnessMode};
use crate::exit::{Exit, Failed};

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
    pub(crate) fn face(&self, fetch: &Fetch, store: &Store, hold: Duration) -> Option<Own> {
        match self {
            Self::Off => None,
            Self::Open(log) => Some(Own::new(log.clone(), fetch.clone(), store.clone(), hold)),
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
    /// Who is asked to cosign, if anybody is.
    panel: Option<Panel>,
    /// Whether heads are to be cosigned as well as checkpoints.
    cosign_latest: bool,
}

impl Plan {
    /// Where the witnesses are.
    pub(super) fn witnesses(&self) -> Vec<Url> {
        self.panel.iter().flat_map(Panel::urls).cloned().collect()
    }
}

/// The keys that open our heads, the present one first; none where no log is configured.
pub(super) fn verifiers(effective: &Effective) -> Result<Vec<VerifierKey>, Failed> {
    let signers = plan(effective)?.map(|plan| plan.signers).unwrap_or_default();
    Ok(signers.iter().map(|signer| signer.verifier().clone()).collect())
}

/// Goes forward, with the keys and the known heads of the section; its witnesses are asked, as at a start.
pub(super) fn recover(
    effective: &Effective,
    store: LogStore,
    heads: Vec<GivenHead>,
    tiles: &dyn Fn(&Tile) -> Option<Vec<u8>>,
) -> Result<Recovered, Failed> {
    let Some(plan) = plan(effective)? else {
        return Err(Failed::new(Exit::Config, "no log is configured: its key is needed to go on with it"));
    };
    let witnesses = plan.witnesses();
    let Plan { signers, mut config, panel, .. } = plan;
    if let Some(panel) = panel {
        let keys: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier().clone()).collect();
        crate::commands::runtime()?.block_on(async {
            let egress = super::egress(effective, &Sources::of(effective)?, &witnesses)?;
            config.known_heads = known_heads(&panel, &egress, &store, &keys).await;
            Ok::<_, Failed>(())
        })?;
    }
    let recovery = Recovery { store, signers, config, clock: Arc::new(SystemClock), heads, tiles };
    modkeep_log::recover(recovery).map_err(|error| match error {
        OpenError::Store(error) => error.into(),
        error @ OpenError::Forked { .. } => Failed::new(Exit::Integrity, format!("INCONSISTENT: {error}")),
        error @ OpenError::NoHead { .. } => Failed::new(Exit::Usage, error.to_string()),
        error => Failed::new(Exit::Integrity, error.to_string()),
    })
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
    let align = if section.align == 1 { HeadAlign::Newest } else { HeadAlign::Tile };
    let head_copy = head_copy(effective)?;
    let deny = patterns(effective, "log.deny", &section.deny)?;
    let required = section.witness_mode == WitnessMode::Required;
    let shown = if required { Shown::Cosigned } else { Shown::Newest };
    let panel = panel(effective)?;
    if required && panel.is_none() {
        return Err(slip(
            "log.witness_mode",
            "cosignatures are required, and no witness is named".to_owned(),
        ));
    }
    let gate = if section.gate_lookups { Gate::Cosigned } else { Gate::Open };
    if section.gate_lookups && !required {
        let reason = "lookups can wait for witnesses only where witness_mode is \"required\"";
        return Err(slip("log.gate_lookups", reason.to_owned()));
    }
    if section.cosign_latest && panel.is_none() {
        return Err(slip("log.cosign_latest", "there is no witness to cosign a head".to_owned()));
    }
    let config = Config { align, head_copy, shown, gate, ..Config::default() };
    let cosign_latest = section.cosign_latest;
    Ok(Some(Plan { name, signers, deny, config, panel, cosign_latest }))
}

/// Who is asked to cosign (B3, B5): the witnesses of a policy, or of a list, of which one is enough, or all are.
fn panel(effective: &Effective) -> Result<Option<Panel>, Failed> {
    let section = &effective.config.log;
    if section.witness_mode == WitnessMode::Off {
        return Ok(None);
    }
    let (key, text) = match (section.witness_policy.as_str(), section.witnesses.as_slice()) {
        ("", []) => return Ok(None),
        ("", lines) => ("log.witnesses", policy_of(lines, section.witness_mode)),
        (file, _) => {
            let read = std::fs::read(home_expanded(file)?);
            let read =
                read.map_err(|error| effective.slip("log.witness_policy", format!("{file}: {error}")))?;
            ("log.witness_policy", read)
        }
    };
    let policy = Policy::parse(&text).map_err(|error| effective.slip(key, error.to_string()))?;
    let panel = Panel::new(policy).map_err(|error| effective.slip(key, error.to_string()))?;
    Ok(Some(panel))
}

/// The policy of a list of witnesses: a line of the list is a line of it.
fn policy_of(lines: &[String], mode: WitnessMode) -> Vec<u8> {
    let witness = |(n, line): (usize, &String)| format!("witness w{n} {line}\n");
    let witnesses: Vec<String> = (1..).zip(lines).map(witness).collect();
    let names: Vec<String> = (1..=lines.len()).map(|n| format!(" w{n}")).collect();
    let (witnesses, names) = (witnesses.concat(), names.concat());
    let enough = if mode == WitnessMode::Required { "all" } else { "any" };
    format!("{witnesses}group enough {enough}{names}\nquorum enough\n").into_bytes()
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

/// Where a copy of the newest head lies, beside the key unless told otherwise: it tells when the data directory was put back
/// from an old copy (I17).
fn head_copy(effective: &Effective) -> Result<Option<PathBuf>, Failed> {
    let section = &effective.config.log;
    match (section.head_copy.as_str(), section.key_file.as_str()) {
        ("", "") => Ok(None),
        ("", key_file) => Ok(Some(home_expanded(&format!("{key_file}.head"))?)),
        (told, _) => {
            let copy = std::path::absolute(home_expanded(told)?)?;
            if copy.starts_with(std::path::absolute(store_config(effective)?.path)?) {
                let reason = format!("{told} lies in the data directory, and would be put back with it");
                return Err(effective.slip("log.head_copy", reason).into());
            }
            Ok(Some(copy))
        }
    }
}

/// What is to be said at the start of a log of which nothing outside the data directory remembers the newest head (R5).
pub(crate) fn unremembered(effective: &Effective) -> Option<&'static str> {
    let section = &effective.config.log;
    let is_copied = !section.key_file.is_empty() || !section.head_copy.is_empty();
    let is_witnessed = section.witness_mode != WitnessMode::Off
        && !(section.witnesses.is_empty() && section.witness_policy.is_empty());
    (section.enabled && !is_copied && !is_witnessed).then_some(
        "nothing outside the data directory remembers the newest head of the log: an old copy that is put back would not be \
         noticed, and would be signed from; name a file elsewhere in log.head_copy, or witnesses",
    )
}

/// The log as this process has it.
pub(super) struct Opened {
    pub(super) door: Door,
    /// What `fetch` records into.
    pub(super) own: Option<OwnLog>,
    /// Who asks its witnesses, as long as the house stands.
    pub(super) collectors: Vec<Collector>,
}

/// Opens the log. One that may not sign is read, one that cannot be read is closed: modules are served all the same, and
/// the log's own answers say why (I17).
pub(super) fn open(plan: Option<(Plan, Observer)>, store: &Store, egress: &Egress) -> Opened {
    let Some((Plan { name, signers, deny, mut config, panel, cosign_latest }, observer)) = plan else {
        return Opened { door: Door::Off, own: None, collectors: Vec::new() };
    };
    let keys: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier().clone()).collect();
    let opened = store.log().map_err(OpenError::Store).and_then(|matter| {
        if let Some(panel) = &panel {
            config.known_heads = asked(panel, egress, &matter, &keys);
        }
        let parts = Parts {
            store: matter,
            signers,
            config: config.clone(),
            clock: Arc::new(SystemClock),
            observer: observer.clone(),
        };
        Log::open(parts)
    });
    let refused = match opened {
        Ok(log) => {
            let of_heads = panel.clone().filter(|_| cosign_latest);
            let of_heads = of_heads.map(|panel| Collector::of_heads(log.clone(), panel, egress));
            let collector = panel.map(|panel| Collector::new(log.clone(), panel, egress));
            let collectors = collector.into_iter().chain(of_heads).collect();
            return Opened { collectors, ..opened_door(log, deny) };
        }
        Err(error) => error,
    };
    observer.tell(&Event::Refused { reason: &refused });
    let reading = store.log().map_err(OpenError::Store);
    match reading.and_then(|matter| Log::open_reading(matter, keys, config)) {
        Ok(log) => opened_door(log, deny),
        Err(error) => {
            tracing::error!(event = "log", log = %name, "nothing of the log is served: {error}");
            let door = Door::Closed { name: name.to_string(), reason: refused.to_string() };
            Opened { door, own: None, collectors: Vec::new() }
        }
    }
}

fn opened_door(log: Log, deny: Patterns) -> Opened {
    Opened { door: Door::Open(log.clone()), own: Some(OwnLog { log, deny }), collectors: Vec::new() }
}

/// What the witnesses have seen (C4, check 2). They are asked on a thread of its own, because the house is built within
/// the runtime and waits for nothing else.
fn asked(panel: &Panel, egress: &Egress, store: &LogStore, keys: &[VerifierKey]) -> Vec<KnownHead> {
    let runtime = tokio::runtime::Handle::current();
    let asking = std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(known_heads(panel, egress, store, keys))).join()
    });
    asking.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_witnesses_is_a_policy() {
        let key = "witness.example.org/w1+a0cc35f5+BK6xVoZRZxAa6z8XVDUfYUZ4vHJyhQ2JhPGvLIxc3Q9l";
        let line = format!("{key} https://w1.example/");
        for (mode, enough) in [(WitnessMode::BestEffort, "any"), (WitnessMode::Required, "all")] {
            let text = String::from_utf8(policy_of(&[line.clone(), line.clone()], mode)).unwrap();
            let wanted =
                format!("witness w1 {line}\nwitness w2 {line}\ngroup enough {enough} w1 w2\nquorum enough\n");
            assert_eq!(text, wanted);
        }
    }
}
