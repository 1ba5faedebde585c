//! `verify`: every line of go.sum files against a checksum database, as the go command would check it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use modkeep_log::audit::{self, Client, ProveError};
use modkeep_module::gosum::{GoSum, Kind};
use modkeep_module::{H1, ModuleVersion};
use serde_json::json;

use super::database::Place;
use super::runtime;
use crate::cli::Verify;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// One sum that stands in a file.
#[derive(Clone, Debug)]
struct Line {
    kind: Kind,
    h1: H1,
    file: String,
}

/// What came of one line.
#[derive(Clone, Debug)]
enum Verdict {
    /// The database says the same.
    Verified,
    /// The database says another sum.
    Differs(String),
    /// The database has no such record.
    Unlisted,
    /// Not asked: its name is private.
    Private,
    /// Nothing can be said.
    Failed(Exit, String),
}

#[derive(Default)]
struct Totals {
    verified: u64,
    different: u64,
    unlisted: u64,
    private: u64,
    failed: u64,
    /// The exit code of the first failure.
    exit: Option<Exit>,
}

pub(super) fn run(verify: &Verify, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let place = match &verify.database {
        Some(database) => Place::parse(database, None)?,
        None => Place::configured(effective)?,
    };
    let wanted = wanted(verify)?;
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    let folder = place.memory(verify.state.as_ref(), "sumdb")?;
    let evidence = folder.join("evidence");
    let client = Client::open(source.as_ref(), &place.key, &folder, Some(evidence))?;
    // A database that was named here is asked for everything: it may be our own.
    let skipped = if verify.database.is_some() { Vec::new() } else { crate::wiring::unasked(effective)? };
    let is_private = |version: &ModuleVersion| skipped.iter().any(|p| p.matches(version.path().as_str()));

    let queue = Mutex::new(wanted.iter());
    let totals = Mutex::new(Totals::default());
    let forked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..verify.jobs.clamp(1, 64) {
            scope.spawn(|| {
                while let Some((version, lines)) = next(&queue) {
                    let verdicts = if is_private(version) {
                        lines.iter().map(|_| Verdict::Private).collect()
                    } else {
                        check(&client, version, lines, &forked)
                    };
                    let Ok(mut totals) = totals.lock() else { return };
                    for (line, verdict) in lines.iter().zip(verdicts) {
                        tell(version, line, &verdict, &mut totals, output);
                    }
                    output.progress(|| format!("{} verified of {}", totals.verified, wanted.len()));
                }
            });
        }
    });
    let totals = totals.into_inner().map_err(|_| Failed::new(Exit::Failed, "a thread has died"))?;
    Ok(sum_up(&totals, &place, &client, output))
}

type Wanted = BTreeMap<ModuleVersion, Vec<Line>>;

fn next<'a>(
    queue: &Mutex<std::collections::btree_map::Iter<'a, ModuleVersion, Vec<Line>>>,
) -> Option<(&'a ModuleVersion, &'a Vec<Line>)> {
    queue.lock().ok()?.next()
}

/// The sums of all files, by version.
fn wanted(verify: &Verify) -> Result<Wanted, Failed> {
    let mut wanted = Wanted::new();
    for path in &verify.files {
        let file = path.display().to_string();
        for line in sums(path)?.lines {
            let version = ModuleVersion::new(line.path, line.version)
                .map_err(|error| Failed::new(Exit::Failed, format!("{file}: {error}")))?;
            let line = Line { kind: line.kind, h1: line.h1, file: file.clone() };
            wanted.entry(version).or_default().push(line);
        }
    }
    Ok(wanted)
}

fn sums(path: &Path) -> Result<GoSum, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Failed, format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    GoSum::parse(&bytes).map_err(|error| wrong(error.to_string()))
}

fn check(client: &Client<'_>, version: &ModuleVersion, lines: &[Line], forked: &AtomicBool) -> Vec<Verdict> {
    let all = |verdict: Verdict| vec![verdict; lines.len()];
    if forked.load(Ordering::Relaxed) {
        return all(Verdict::Failed(Exit::Integrity, "the database was shown to misbehave".to_owned()));
    }
    let record = match client.prove(version.path().as_str(), version.version().as_str()) {
        Ok(outcome) => outcome.record,
        Err(ProveError::NotFound) => return all(Verdict::Unlisted),
        Err(error) => {
            let exit = exit_of(&error);
            forked.fetch_or(matches!(error, ProveError::Misbehaviour(_)), Ordering::Relaxed);
            return all(Verdict::Failed(exit, error.to_string()));
        }
    };
    let compare = |line: &Line| {
        let logged = match line.kind {
            Kind::Zip => record.zip_h1(),
            Kind::GoMod => record.go_mod_h1(),
        };
        match logged.map(H1::from_bytes) {
            Some(logged) if logged == line.h1 => Verdict::Verified,
            Some(logged) => Verdict::Differs(format!("{logged} (record {})", record.id())),
            None => Verdict::Failed(Exit::Integrity, format!("record {} has no such line", record.id())),
        }
    };
    lines.iter().map(compare).collect()
}

fn exit_of(error: &ProveError) -> Exit {
    match error {
        ProveError::NotFound => Exit::NotFound,
        ProveError::Trouble(audit::Error::Away(_)) => Exit::Origin,
        ProveError::Misbehaviour(_) | ProveError::Refused(_) => Exit::Integrity,
        _ => Exit::Failed,
    }
}

fn tell(version: &ModuleVersion, line: &Line, verdict: &Verdict, totals: &mut Totals, output: &Output) {
    let what = match line.kind {
        Kind::Zip => version.to_string(),
        Kind::GoMod => format!("{version}/go.mod"),
    };
    let (word, detail) = match verdict {
        Verdict::Verified => {
            totals.verified += 1;
            ("verified", String::new())
        }
        Verdict::Differs(logged) => {
            totals.different += 1;
            ("different", format!("{}: go.sum has {}, the database {logged}", line.file, line.h1))
        }
        Verdict::Unlisted => {
            totals.unlisted += 1;
            ("unlisted", "not in the database".to_owned())
        }
        Verdict::Private => {
            totals.private += 1;
            ("private", "not asked".to_owned())
        }
        Verdict::Failed(exit, reason) => {
            totals.failed += 1;
            // Wrong bytes are the news that must not be lost among the rest.
            if *exit == Exit::Integrity {
                totals.exit = Some(*exit);
            }
            totals.exit.get_or_insert(*exit);
            ("failed", reason.clone())
        }
    };
    if output.is_json() || !matches!(verdict, Verdict::Verified | Verdict::Private) {
        output.result(
            || format!("{word}: {what}: {detail}"),
            || json!({ "type": "line", "line": what, "verdict": word, "detail": detail, "file": line.file }),
        );
    }
}

fn sum_up(totals: &Totals, place: &Place, client: &Client<'_>, output: &Output) -> Exit {
    let size = client.head().map(|head| head.size().get());
    output.summary(
        || {
            let mut parts = vec![format!("{} verified", totals.verified)];
            for (number, word) in [
                (totals.different, "DIFFERENT"),
                (totals.unlisted, "not in the database"),
                (totals.private, "private and not asked"),
                (totals.failed, "failed"),
            ] {
                if number > 0 {
                    parts.push(format!("{number} {word}"));
                }
            }
            format!("{}: {}", place.name(), parts.join(", "))
        },
        json!({
            "log": place.name(), "size": size, "verified": totals.verified, "different": totals.different,
            "unlisted": totals.unlisted, "private": totals.private, "failed": totals.failed,
        }),
    );
    exit_code(totals)
}

fn exit_code(totals: &Totals) -> Exit {
    match totals {
        Totals { different: 1.., .. } => Exit::Integrity,
        Totals { exit: Some(exit), .. } => *exit,
        Totals { unlisted: 1.., verified: 0, .. } => Exit::NotFound,
        Totals { unlisted: 1.., .. } => Exit::Partly,
        _ => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_the_worst() {
        for (totals, exit) in [
            (Totals::default(), Exit::Done),
            (Totals { verified: 3, private: 2, ..Totals::default() }, Exit::Done),
            (Totals { verified: 3, unlisted: 1, ..Totals::default() }, Exit::Partly),
            (Totals { unlisted: 1, ..Totals::default() }, Exit::NotFound),
            (Totals { verified: 3, failed: 1, exit: Some(Exit::Origin), ..Totals::default() }, Exit::Origin),
            (
                Totals { different: 1, failed: 1, exit: Some(Exit::Origin), ..Totals::default() },
                Exit::Integrity,
            ),
        ] {
            assert_eq!(exit_code(&totals), exit);
        }
    }
}
