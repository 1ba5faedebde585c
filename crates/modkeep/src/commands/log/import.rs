//! `log import`: every version of a go.sum in our log, each compared with what the go.sum says (C7).

use std::sync::Arc;

use modkeep_egress::Egress;
use modkeep_fetch::Fetch;
use modkeep_log::{Log, State};
use modkeep_module::{H1, ModuleVersion, VersionOrQuery};
use modkeep_tlog::LookupAnswer;
use modkeep_tlog::record::lookup_path;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::cli::LogImport;
use crate::commands::fetching::{Sums, Wanted, Wish, ask, of_fetch, server_of};
use crate::commands::prefetch::named_in;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::wiring::{Door, House, Sources, unremembered};

/// A lookup answer: a record of two lines, and a head with few signatures.
const ANSWER_MAX: u64 = 256 * 1024;

/// Where records are made: here, or by a running server.
#[derive(Clone)]
enum Via {
    Here { fetch: Fetch, log: Log },
    Server { egress: Egress, base: Url },
}

pub(in crate::commands) fn run(
    import: &LogImport,
    effective: &Effective,
    output: &Output,
) -> Result<Exit, Failed> {
    let mut wanted = Vec::new();
    for file in &import.files {
        for wish in named_in(file)? {
            wanted.push((version_of(&wish)?, wish.sums));
        }
    }
    crate::commands::runtime()?.block_on(async {
        let sources = Sources::of(effective)?;
        if let Some(server) = &import.fetching.server {
            let (egress, base) = server_of(server, effective, &sources)?;
            return Ok(record_all(wanted, import.fetching.jobs, Via::Server { egress, base }, output).await);
        }
        let told = modkeep_log::Observer::default();
        if let Some(warning) = unremembered(effective) {
            output.notice(warning);
        }
        let house = House::build_with_log(effective, &sources, modkeep_fetch::unobserved(), told)?;
        let exit = match &house.log {
            Door::Off => Err(Failed::from(effective.slip("log.enabled", "there is no log to import into"))),
            Door::Closed { reason, .. } => Err(Failed::new(Exit::Integrity, reason.clone())),
            Door::Open(log) if log.state() == State::Reading => {
                let text = "the log does not sign, so it takes no records; \"modkeep log recover\" says what it lacks";
                Err(Failed::new(Exit::Integrity, text))
            }
            Door::Open(log) => {
                let via = Via::Here { fetch: house.fetch.clone(), log: log.clone() };
                Ok(record_all(wanted, import.fetching.jobs, via, output).await)
            }
        };
        house.close().await;
        exit
    })
}

/// Only versions have records.
fn version_of(wish: &Wish) -> Result<ModuleVersion, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Usage, format!("{}: {reason}", wish.path));
    match &wish.version {
        Wanted::Named(VersionOrQuery::Version(version)) => {
            ModuleVersion::new(wish.path.clone(), version.clone()).map_err(|error| wrong(error.to_string()))
        }
        _ => Err(wrong("want module@version".to_owned())),
    }
}

#[derive(Default)]
struct Tally {
    recorded: u64,
    failed: u64,
    worst: Option<Exit>,
}

async fn record_all(wanted: Vec<(ModuleVersion, Sums)>, jobs: u16, via: Via, output: &Output) -> Exit {
    let (total, turns) = (wanted.len(), Arc::new(Semaphore::new(usize::from(jobs))));
    let mut running = JoinSet::new();
    for (of, sums) in wanted {
        let (via, turns) = (via.clone(), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire_owned().await;
            let outcome = via.record(&of, sums).await;
            (of, outcome)
        });
    }
    let mut tally = Tally::default();
    while let Some(done) = running.join_next().await {
        let Ok((of, outcome)) = done else { continue };
        tally.note(&of, outcome, output);
        output.progress(|| format!("{} of {total}", tally.recorded + tally.failed));
    }
    output.summary(
        || format!("{} in the log, {} not", tally.recorded, tally.failed),
        json!({ "recorded": tally.recorded, "failed": tally.failed }),
    );
    tally.exit()
}

impl Tally {
    fn note(&mut self, of: &ModuleVersion, outcome: Result<u64, Failed>, output: &Output) {
        let (path, version) = (of.path().as_str(), of.version().as_str());
        match outcome {
            Ok(id) => {
                self.recorded += 1;
                output.result(
                    || format!("{id} {path} {version}"),
                    || json!({ "path": path, "version": version, "ok": true, "record": id }),
                );
            }
            Err(failed) => {
                self.failed += 1;
                if self.worst != Some(Exit::Integrity) {
                    self.worst = Some(failed.exit);
                }
                if output.is_json() {
                    let error = failed.text;
                    output.result(
                        String::new,
                        || json!({ "path": path, "version": version, "ok": false, "error": error }),
                    );
                } else {
                    output.problem(&format!("{of}: {}", failed.text));
                }
            }
        }
    }

    fn exit(&self) -> Exit {
        match self.worst {
            None => Exit::Done,
            Some(Exit::Integrity) => Exit::Integrity,
            Some(_) if self.recorded > 0 => Exit::Partly,
            Some(exit) => exit,
        }
    }
}

impl Via {
    /// Has a version recorded and compares the record with the sums of the go.sum; gives its number.
    async fn record(&self, of: &ModuleVersion, sums: Sums) -> Result<u64, Failed> {
        let (module, version) = (of.path().as_str(), of.version().as_str());
        let answer = match self {
            Self::Here { fetch, log } => {
                fetch.import_record(of).await.map_err(|failure| of_fetch(&failure))?;
                let (log, asked) = (log.clone(), of.clone());
                let found = tokio::task::spawn_blocking(move || {
                    log.lookup(asked.path().as_str(), asked.version().as_str())
                });
                let found = found.await.map_err(|error| Failed::new(Exit::Failed, error.to_string()))??;
                found.ok_or_else(|| Failed::new(Exit::Failed, "recorded, and not in the log"))?.to_vec()
            }
            Self::Server { egress, base } => {
                ask(egress, base, &format!("log/{}", lookup_path(module, version)), ANSWER_MAX).await?
            }
        };
        let unreadable = |error: &dyn std::fmt::Display| Failed::new(Exit::Integrity, error.to_string());
        let answer = LookupAnswer::parse(&answer).map_err(|error| unreadable(&error))?;
        let recorded = answer.text.sums(module, version).map_err(|error| unreadable(&error))?;
        for (name, wanted, recorded) in
            [("zip", sums.zip, recorded.zip), ("go.mod", sums.go_mod, recorded.go_mod)]
        {
            let recorded = recorded.map(H1::from_bytes);
            if wanted.is_some() && wanted != recorded {
                let shown = |sum: Option<H1>| sum.map_or_else(|| "nothing".to_owned(), |sum| sum.to_string());
                let text = format!(
                    "{name}: go.sum says {}, record {} says {}",
                    shown(wanted),
                    answer.id,
                    shown(recorded)
                );
                return Err(Failed::new(Exit::Integrity, text));
            }
        }
        Ok(answer.id.get())
    }
}
