//! `fsck`: every byte kept against what was promised.

use std::sync::Arc;

use modkeep_store::fsck::{Options, Progress, Severity};
use modkeep_store::{Store, SystemClock};
use serde_json::json;

use super::open_read_only;
use crate::cli::Fsck;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(fsck: &Fsck, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let store = if fsck.repair {
        Store::open(crate::wiring::store_config(effective)?, Arc::new(SystemClock))?
    } else {
        open_read_only(effective)?
    };
    let options = Options { quarantine: fsck.repair };
    let mut show = |at: Progress| {
        output.progress(|| {
            format!("{} of {} versions, {} MB", at.versions, at.versions_total, at.bytes / 1_000_000)
        });
    };
    let report = modkeep_store::fsck::run(&store, options, &mut show)?;
    for finding in
        report.findings.iter().filter(|finding| finding.severity > Severity::Note || output.is_json())
    {
        output.result(
            || finding.to_string(),
            || json!({ "id": finding.id, "severity": finding.severity.to_string(), "path": finding.path, "text": finding.text }),
        );
    }
    let (checked, sound) = (report.checked, report.is_sound());
    output.summary(
        || {
            let verdict = if sound { "sound" } else { "DAMAGED" };
            format!(
                "{verdict}: {} versions, {} files, {} bytes checked",
                checked.versions, checked.files, checked.bytes
            )
        },
        json!({
            "sound": sound, "versions": checked.versions, "files": checked.files, "bytes": checked.bytes,
            "findings": report.findings.len() as u64 + report.unlisted, "put_aside": report.put_aside,
        }),
    );
    Ok(if sound { Exit::Done } else { Exit::Integrity })
}
