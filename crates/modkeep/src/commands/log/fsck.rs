//! `log fsck`: every record, tile and head of our own log against each other (R26).

use std::ops::ControlFlow;

use modkeep_log::fsck::{self, Options};
use modkeep_store::fsck::Severity;
use modkeep_tlog::VerifierKey;
use serde_json::json;

use crate::cli::LogFsck;
use crate::commands::open_read_only;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(in crate::commands) fn run(
    fsck: &LogFsck,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let keys = keys(fsck, effective)?;
    if keys.is_empty() {
        output.notice("no key is configured or named with --key: signatures are not looked at");
    }
    let log = open_read_only(effective)?.log()?;
    let records = fsck.from..fsck.to.unwrap_or(u64::MAX);
    let options = Options { keys, records, sample: fsck.sample, jobs: fsck.jobs.into() };
    let report = fsck::run(&log, &options, &mut |at| {
        output.progress(|| format!("{} of {} records", at.records, at.of));
        ControlFlow::Continue(())
    })?;
    for finding in report.findings.iter().filter(|found| found.severity > Severity::Note || output.is_json())
    {
        output.result(
            || finding.to_string(),
            || {
                json!({
                    "type": "finding", "id": finding.id, "severity": finding.severity.to_string(),
                    "path": finding.path, "text": finding.text,
                })
            },
        );
    }
    let (checked, sound) = (report.checked, report.is_sound());
    output.summary(
        || {
            let verdict = if sound { "sound" } else { "DAMAGED" };
            format!(
                "{verdict}: {} records, {} tiles, {} heads checked",
                checked.records, checked.tiles, checked.heads
            )
        },
        json!({
            "sound": sound, "records": checked.records, "tiles": checked.tiles, "heads": checked.heads,
            "findings": report.findings.len() as u64 + report.unlisted,
        }),
    );
    Ok(if sound { Exit::Done } else { Exit::Integrity })
}

fn keys(fsck: &LogFsck, effective: &Effective) -> Result<Vec<VerifierKey>, Failed> {
    if fsck.key.is_empty() {
        return crate::wiring::log_verifiers(effective);
    }
    let parse = |text: &String| {
        VerifierKey::parse(text).map_err(|error| Failed::new(Exit::Usage, format!("--key {text:?}: {error}")))
    };
    fsck.key.iter().map(parse).collect()
}
