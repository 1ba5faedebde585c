//! `audit`: follows any checksum database and believes nothing but signatures and hashes; `audit gossip`: compares a
//! head that somebody else was shown.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use modkeep_log::audit::{self, Begin, Finding, Gossip, Held, Options, Parts, Progress, Report, State};
use modkeep_tlog::record::Sums;
use modkeep_tlog::{RecordId, TreeHead};
use serde_json::json;
use tokio::runtime::Runtime;

use super::database::Place;
use super::kept::Kept;
use super::{open_read_only, runtime};
use crate::cli::{Audit, AuditCommand, GossipFile};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// Records that are looked up, unless the command line says how many.
const LOOKUPS: u32 = 20;
/// The largest head that is read from a file.
const HEAD_MAX: u64 = 1024 * 1024;

pub(super) fn run(audit: &Audit, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    match &audit.command {
        Some(AuditCommand::Gossip(file)) => return gossip(file, effective, output),
        Some(AuditCommand::Watch(watch)) => return super::audit_watch::run(watch, effective, output),
        None => {}
    }
    let Some(log) = &audit.log else {
        return Err(Failed::new(Exit::Usage, "say whom to audit: a name, a URL with --key, or \"KEY URL\""));
    };
    let place = Place::parse(log, audit.key.as_deref())?;
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    let held = if audit.held { Some(Sheet::of(effective, &runtime)?) } else { None };
    let folder = place.memory(audit.state.as_ref(), "audit")?;
    let mut state = State::open(&folder, place.name())?;
    let evidence = audit.evidence.clone().unwrap_or_else(|| folder.join("evidence"));
    let options = Options {
        from: begin(audit),
        jobs: audit.jobs.into(),
        partial: audit.partial,
        lookups: audit.lookups.unwrap_or(if place.is_copy() { 0 } else { LOOKUPS }),
        seed: moment(),
        evidence: Some(evidence),
        now: SystemTime::now(),
    };
    let held = held.as_ref().map(|held| held as &dyn Held);
    let parts = Parts { source: source.as_ref(), key: &place.key, held, options };
    let stop = interruption(&runtime);
    let mut next = 0;
    let report = audit::run(&parts, &mut state, &mut |at| {
        next = at.next;
        output.progress(|| line_of(at));
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let stopped = (stop.load(Ordering::Relaxed) && !report.complete).then_some(next);
    Ok(tell(&report, &place, stopped, output))
}

fn begin(audit: &Audit) -> Begin {
    match audit.from.and_then(RecordId::new) {
        Some(record) => Begin::At(record),
        None if audit.full => Begin::Start,
        None => Begin::Resume,
    }
}

/// What chooses the records that are looked up: another choice at each run.
fn moment() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() ^ u64::from(since.subsec_nanos()).rotate_left(32)
}

fn line_of(at: Progress) -> String {
    let percent = at.next.saturating_mul(100).checked_div(at.size).unwrap_or(100);
    format!("{percent} %: {} of {} records, {} findings", at.next, at.size, at.findings)
}

/// Raised by Ctrl-C: the audit then ends at the next tile, and its state knows where.
fn interruption(runtime: &Runtime) -> Arc<AtomicBool> {
    let stop = Arc::<AtomicBool>::default();
    let raised = Arc::clone(&stop);
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            raised.store(true, Ordering::Relaxed);
        }
    });
    stop
}

/// `stopped`: the record that is next, when it was interrupted.
fn tell(report: &Report, place: &Place, stopped: Option<u64>, output: &Output) -> Exit {
    report.findings.iter().for_each(|finding| tell_finding(finding, output));
    for gap in &report.gaps {
        output.result(
            || format!("not checked: {gap}"),
            || json!({ "type": "gap", "from": gap.from, "to": gap.to, "why": gap.why }),
        );
    }
    let head = report.head;
    let (checked, honest) = (report.checked, report.is_honest());
    output.summary(
        || format!("{}: {}", place.name(), verdict(report, stopped)),
        json!({
            "log": place.name(), "url": place.address(), "honest": honest, "complete": report.complete,
            "size": head.map(|head| head.size.get()), "root": head.map(|head| head.root.to_string()),
            "records": checked.records, "hash_tiles": checked.hash_tiles, "data_tiles": checked.data_tiles,
            "bytes": checked.bytes, "lookups": checked.lookups, "held": checked.held,
            "findings": report.findings.len() as u64 + report.unlisted, "gaps": report.gaps.len(),
        }),
    );
    if !honest {
        Exit::Integrity
    } else if stopped.is_some() {
        output.notice("interrupted; the same command goes on from here");
        Exit::Interrupted
    } else if !report.gaps.is_empty() || !report.complete {
        Exit::Partly
    } else {
        Exit::Done
    }
}

pub(super) fn tell_finding(finding: &Finding, output: &Output) {
    output.result(
        || finding.to_string(),
        || {
            json!({
                "type": "finding", "kind": finding.kind.to_string(), "severity": finding.severity,
                "record": finding.record, "text": finding.text, "evidence": finding.evidence,
            })
        },
    );
}

fn verdict(report: &Report, stopped: Option<u64>) -> String {
    let Some(head) = report.head else { return "NO HEAD that could be verified".to_owned() };
    let read = report.checked.records;
    let tree = format!("{} records, root {}", head.size, head.root);
    let rest = if report.gaps.is_empty() { "" } else { "; not all of it could be checked" };
    if let Some(next) = stopped.filter(|_| report.is_honest()) {
        // No verdict: the duplicates, for one, are looked for at the end.
        format!(
            "not finished: at record {next} of {}; {read} read now, nothing is found so far{rest}",
            head.size
        )
    } else if report.is_honest() {
        format!("consistent: {tree}; {read} read now{rest}")
    } else {
        let findings = report.findings.len() as u64 + report.unlisted;
        format!("MISBEHAVIOUR: {findings} findings in {tree}; {read} read now{rest}")
    }
}

/// What the mirror holds, in memory: about 200 bytes for each version.
struct Sheet(HashMap<String, Sums>);

impl Sheet {
    fn of(effective: &Effective, runtime: &Runtime) -> Result<Self, Failed> {
        let store = open_read_only(effective)?;
        let mut sheet = HashMap::new();
        runtime.block_on(async {
            let mut kept = Kept::of(&store);
            while let Some((module, versions)) = kept.next(|_| true).await? {
                for record in versions {
                    let sums = Sums {
                        zip: record.zip.map(|zip| *zip.h1.as_bytes()),
                        go_mod: record.go_mod.map(|go_mod| *go_mod.h1.as_bytes()),
                    };
                    sheet.insert(format!("{module} {}", record.version), sums);
                }
            }
            Ok::<(), Failed>(())
        })?;
        Ok(Self(sheet))
    }
}

impl Held for Sheet {
    fn held(&self, module: &str, version: &str) -> Option<Sums> {
        self.0.get(&format!("{module} {version}")).copied()
    }
}

fn gossip(file: &GossipFile, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let place = match &file.log {
        Some(log) => Place::parse(log, file.key.as_deref())?,
        None => Place::configured(effective)?,
    };
    let note = head_from(&file.file)?;
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    let folder = place.memory(file.state.as_ref(), "audit")?;
    let mut state = State::open(&folder, place.name())?;
    let evidence = file.evidence.clone().unwrap_or_else(|| folder.join("evidence"));
    let options = Options { evidence: Some(evidence), ..Options::default() };
    let parts = Parts { source: source.as_ref(), key: &place.key, held: None, options };
    let sizes = |theirs: TreeHead, ours: Option<TreeHead>, verdict: &str| json!({ "verdict": verdict, "size": theirs.size.get(), "ours": ours.map(|ours| ours.size.get()) });
    match audit::gossip(&parts, &mut state, &note)? {
        Gossip::Consistent { theirs, ours } => {
            output.result(
                || format!("consistent: size {} is how the tree of size {} began", theirs.size, ours.size),
                || sizes(theirs, Some(ours), "consistent"),
            );
            Ok(Exit::Done)
        }
        Gossip::UnknownFuture { theirs, ours } => {
            let known = ours.map_or_else(|| "nothing".to_owned(), |ours| format!("size {}", ours.size));
            output.result(
                || {
                    format!(
                        "unknown future: signed, of size {}; the log shows us {known}. Ask again later and keep the file: \
                         if the log never shows it, it has shown somebody a history of their own",
                        theirs.size
                    )
                },
                || sizes(theirs, ours, "unknown-future"),
            );
            Ok(Exit::Partly)
        }
        Gossip::Inconsistent(finding) => {
            tell_finding(&finding, output);
            Ok(Exit::Integrity)
        }
        Gossip::Unproven(finding) => {
            tell_finding(&finding, output);
            Ok(Exit::Origin)
        }
        _ => Ok(Exit::Failed),
    }
}

fn head_from(file: &Path) -> Result<Vec<u8>, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Failed, format!("{}: {reason}", file.display()));
    let mut note = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(HEAD_MAX).read_to_end(&mut note)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(HEAD_MAX).read_to_end(&mut note))
    };
    read.map_err(|error| wrong(error.to_string()))?;
    Ok(note)
}

impl From<audit::Error> for Failed {
    fn from(error: audit::Error) -> Self {
        match error {
            audit::Error::Away(away) => {
                Self::new(Exit::Origin, format!("{away}; the same command goes on from where it stopped"))
            }
            other => Self::new(Exit::Failed, other.to_string()),
        }
    }
}

impl From<audit::StateError> for Failed {
    fn from(error: audit::StateError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
