//! `log rebuild`: what is derived from the records is made again, or the records from an exported tree (C2).

use std::path::Path;
use std::sync::Arc;

use modkeep_log::rebuild::{self, RebuildError};
use modkeep_store::{Store, SystemClock};
use modkeep_tlog::VerifierKey;
use serde_json::json;

use crate::cli::LogRebuild;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(in crate::commands) fn run(
    rebuild: &LogRebuild,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let config = crate::wiring::store_config(effective)?;
    let memory = std::env::temp_dir().join(format!("modkeep-rebuild-{}", std::process::id()));
    let log = Store::open(config, Arc::new(SystemClock))?.log()?;
    // Taking the right to write makes an index of names again that is not to be trusted.
    let mut writer = log.writer()?;
    let rebuilt = match &rebuild.from {
        None => rebuild::tiles(&log, &mut writer)?,
        Some(tree) => {
            let key = key(rebuild, effective)?;
            let rebuilt = rebuild::from_tree(&log, &mut writer, tree, &key, &memory);
            forget(&memory)?;
            let rebuilt = rebuilt?;
            if rebuild.log_is_newest {
                log.settle_restored()?;
            } else {
                output.notice(
                    "the log signs once a copy of its newest head beside the key, a witness, or log recover says that this \
                     tree is the newest; --log-is-newest says so at once",
                );
            }
            rebuilt
        }
    };
    for tile in &rebuilt.damaged {
        output.result(
            || format!("log/{tile}: has other bytes; move it away and run this once more"),
            || json!({ "type": "damaged", "path": format!("log/{tile}") }),
        );
    }
    output.summary(
        || {
            let edge = if rebuilt.edge { ", the hashes of the open tiles made again" } else { "" };
            let keys = if rebuilt.keys { ", the index of names made again" } else { "" };
            format!("{} records, {} tiles written{edge}{keys}", rebuilt.records, rebuilt.written)
        },
        json!({
            "records": rebuilt.records, "written": rebuilt.written, "edge": rebuilt.edge, "keys": rebuilt.keys,
            "damaged": rebuilt.damaged.len(),
        }),
    );
    Ok(if rebuilt.damaged.is_empty() { Exit::Done } else { Exit::Integrity })
}

fn key(rebuild: &LogRebuild, effective: &Effective) -> Result<VerifierKey, Failed> {
    match &rebuild.key {
        Some(text) => VerifierKey::parse(text)
            .map_err(|error| Failed::new(Exit::Usage, format!("--key {text:?}: {error}"))),
        None => crate::wiring::log_verifiers(effective)?
            .into_iter()
            .next()
            .ok_or_else(|| Failed::new(Exit::Usage, "no log is configured: say whose tree it is with --key")),
    }
}

/// The audit's notes are of no use afterwards.
fn forget(memory: &Path) -> Result<(), Failed> {
    match std::fs::remove_dir_all(memory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

impl From<RebuildError> for Failed {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Store(error) => error.into(),
            RebuildError::Audit(error) => error.into(),
            other => Self::new(Exit::Integrity, other.to_string()),
        }
    }
}
