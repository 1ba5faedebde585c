//! `backup` and `restore`: a copy of what was promised, and the way back (R27).

use std::ops::ControlFlow;
use std::sync::Arc;

use modkeep_store::backup::{Damaged, Manifest, Options, Progress};
use modkeep_store::fsck::{Options as FsckOptions, Report as FsckReport};
use modkeep_store::{Clock, Store, SystemClock};
use serde_json::json;

use super::open_read_only;
use crate::cli::{Backup, Restore};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::{Output, time};

pub(super) fn backup(backup: &Backup, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let store = open_read_only(effective)?;
    let options = Options { verify: backup.verify };
    let report = store.back_up(&backup.dir, options, &mut |at| show(output, at))?;
    tell_damaged(&report.damaged, output);
    let (manifest, dir, damaged) = (&report.manifest, backup.dir.display(), report.damaged.len());
    output.summary(
        || {
            format!(
                "{}{} in {dir}; {} files copied, {} were there",
                if damaged == 0 { String::new() } else { format!("INCOMPLETE, {damaged} files are damaged: ") },
                contents(manifest),
                report.copied,
                report.kept
            )
        },
        json!({
            "number": manifest.number, "begun": time(manifest.begun), "versions": manifest.versions,
            "records": manifest.log.map(|log| log.sequenced), "head": manifest.log.map(|log| log.built),
            "files": manifest.files, "copied": report.copied, "bytes": report.copied_bytes, "kept": report.kept,
            "damaged": damaged,
        }),
    );
    if damaged > 0 {
        output.notice(
            "the backup is whole but for those files; \"modkeep fsck --repair\" has them fetched again",
        );
        return Ok(Exit::Integrity);
    }
    Ok(Exit::Done)
}

pub(super) fn restore(restore: &Restore, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let config = crate::wiring::store_config(effective)?;
    let path = config.path.display().to_string();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let report =
        modkeep_store::backup::restore(&restore.dir, &config, restore.log_is_newest, &clock, &mut |at| {
            show(output, at);
        })?;
    tell_damaged(&report.damaged, output);
    let sound = if restore.no_fsck { None } else { Some(is_sound(effective, output)?) };
    let (manifest, damaged) = (&report.manifest, report.damaged.len());
    let marked = manifest.log.is_some() && !restore.log_is_newest;
    output.summary(
        || {
            let verdict = match sound {
                None => "not checked; run \"modkeep fsck\" and \"modkeep log fsck\"",
                Some(true) => "sound",
                Some(false) => "DAMAGED",
            };
            format!("{} put back into {path}, as of {}: {verdict}", contents(manifest), time(manifest.begun))
        },
        json!({
            "number": manifest.number, "begun": time(manifest.begun), "versions": manifest.versions,
            "records": manifest.log.map(|log| log.sequenced), "head": manifest.log.map(|log| log.built),
            "copied": report.copied, "bytes": report.copied_bytes, "damaged": damaged, "sound": sound,
            "signs_at_once": !marked,
        }),
    );
    if marked {
        output.notice(
            "the log signs only if the copy of its newest head beside the key, or a witness, says that nothing was signed \
             after the backup",
        );
    }
    Ok(match (sound, damaged) {
        (Some(false), _) => Exit::Integrity,
        (_, 0) => Exit::Done,
        _ => Exit::Partly,
    })
}

fn show(output: &Output, at: Progress) {
    output.progress(|| {
        let megabytes = (at.database_bytes + at.bytes) / 1_000_000;
        format!("{} files, {megabytes} MB copied", at.files)
    });
}

fn contents(manifest: &Manifest) -> String {
    let log = manifest.log.map(|log| format!(" and a log of {} records", log.sequenced)).unwrap_or_default();
    format!("{} versions{log}", manifest.versions)
}

fn tell_damaged(damaged: &[Damaged], output: &Output) {
    for file in damaged {
        output.result(
            || format!("{}: {}", file.path, file.reason),
            || json!({ "type": "damaged", "path": file.path, "text": file.reason }),
        );
    }
}

/// Both fscks on what was put back.
fn is_sound(effective: &Effective, output: &Output) -> Result<bool, Failed> {
    let store = open_read_only(effective)?;
    let report = modkeep_store::fsck::run(&store, FsckOptions { quarantine: false }, &mut |at| {
        output.progress(|| format!("checking: {} of {} versions", at.versions, at.versions_total));
    })?;
    tell_findings(&report, output);
    let mut sound = report.is_sound();
    if store.has_log() {
        sound &= is_log_sound(&store, effective, output)?;
    }
    Ok(sound)
}

fn tell_findings(report: &FsckReport, output: &Output) {
    for finding in
        report.findings.iter().filter(|found| found.severity >= modkeep_store::fsck::Severity::Error)
    {
        output.result(
            || finding.to_string(),
            || json!({ "type": "finding", "id": finding.id, "path": finding.path, "text": finding.text }),
        );
    }
}

fn is_log_sound(store: &Store, effective: &Effective, output: &Output) -> Result<bool, Failed> {
    let keys = crate::wiring::log_verifiers(effective)?;
    let options = modkeep_log::fsck::Options { keys, records: 0..u64::MAX, sample: 1, jobs: 2 };
    let report = modkeep_log::fsck::run(&store.log()?, &options, &mut |at| {
        output.progress(|| format!("checking: {} of {} records", at.records, at.of));
        ControlFlow::Continue(())
    })?;
    for finding in
        report.findings.iter().filter(|found| found.severity >= modkeep_store::fsck::Severity::Error)
    {
        output.result(
            || finding.to_string(),
            || json!({ "type": "finding", "id": finding.id, "path": finding.path, "text": finding.text }),
        );
    }
    Ok(report.is_sound())
}
