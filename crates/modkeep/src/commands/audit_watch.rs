//! `audit watch`: tells the owners of modules of each version that is logged. The main use of a log is that somebody looks.

use std::ops::ControlFlow;
use std::time::SystemTime;

use modkeep_log::audit::{self, Begin, News, Options, Parts, Report, Source, State};
use modkeep_module::Patterns;
use modkeep_tlog::RecordId;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::audit::tell_finding;
use super::database::Place;
use super::runtime;
use super::witness::stopping;
use crate::cli::AuditWatch;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(watch: &AuditWatch, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let patterns = Patterns::parse(&watch.patterns.join(","))
        .map_err(|error| Failed::new(Exit::Usage, error.to_string()))?;
    let place = match &watch.log {
        Some(log) => Place::parse(log, watch.key.as_deref())?,
        None => Place::configured(effective)?,
    };
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    // A place of its own: whatever an audit has read on the way is news to this one.
    let folder = place.memory(watch.state.as_ref(), "watch")?;
    let mut state = State::open(&folder, place.name())?;
    if state.is_new() && watch.from.is_none() {
        output.notice("begins with what is logged from now on; --from 0 tells of everything");
    }
    let evidence = watch.evidence.clone().unwrap_or_else(|| folder.join("evidence"));
    let look =
        Look { place: &place, source: source.as_ref(), owner: Owner { patterns, place: &place, output } };
    let stop = stopping(&runtime);
    loop {
        let from = watch.from.filter(|_| state.is_new()).and_then(RecordId::new);
        let options = Options {
            from: from.map_or(Begin::Newest, Begin::At),
            jobs: watch.jobs.into(),
            evidence: Some(evidence.clone()),
            now: SystemTime::now(),
            ..Options::default()
        };
        let exit = look.once(options, &mut state, &stop);
        let Some(every) = watch.every else { return exit };
        match exit {
            Ok(Exit::Integrity) => return exit, // somebody has to look
            Ok(_) => {}
            // It may answer the next time.
            Err(failed) if failed.exit == Exit::Origin => output.problem(&failed.to_string()),
            Err(failed) => return Err(failed),
        }
        if runtime.block_on(async { tokio::time::timeout(every.0, stop.cancelled()).await }).is_ok() {
            return Ok(Exit::Done);
        }
    }
}

struct Look<'a> {
    place: &'a Place,
    source: &'a dyn Source,
    owner: Owner<'a>,
}

impl Look<'_> {
    /// Reads what is new, and tells of it.
    fn once(&self, options: Options, state: &mut State, stop: &CancellationToken) -> Result<Exit, Failed> {
        let parts = Parts { source: self.source, key: &self.place.key, held: None, options };
        let report = audit::run_telling(&parts, state, &self.owner, &mut |_| {
            if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(self.judge(&report))
    }

    fn judge(&self, report: &Report) -> Exit {
        let output = self.owner.output;
        let (name, size) = (self.place.name(), report.head.map(|head| head.size.get()));
        let unread = report.gaps.iter().filter(|gap| !gap.is_wanted()).count();
        if !report.is_honest() {
            report.findings.iter().for_each(|finding| tell_finding(finding, output));
        }
        output.summary(
            || {
                let size = size.map_or_else(|| "no head".to_owned(), |size| format!("{size} records"));
                let rest = if unread == 0 { "" } else { "; not all of it could be read: see audit" };
                format!("{name}: {size}, {} read now{rest}", report.checked.records)
            },
            json!({ "log": name, "size": size, "records": report.checked.records, "honest": report.is_honest(), "gaps": unread }),
        );
        match report {
            report if !report.is_honest() => Exit::Integrity,
            report if unread > 0 || !report.complete => Exit::Partly,
            _ => Exit::Done,
        }
    }
}

/// Who hears of it: the owner of some modules.
struct Owner<'a> {
    patterns: Patterns,
    place: &'a Place,
    output: &'a Output,
}

impl News for Owner<'_> {
    fn wants(&self, module: &str) -> bool {
        self.patterns.matches(module)
    }

    fn tell(&self, record: RecordId, text: &str) {
        let mut fields = text.lines().next().unwrap_or_default().split(' ');
        let (module, version) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        self.output.result(
            || format!("{record} {module} {version}"),
            || {
                json!({
                    "type": "record", "log": self.place.name(), "record": record.get(), "module": module,
                    "version": version, "text": text,
                })
            },
        );
    }
}
