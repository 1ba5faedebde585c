//! `import`: a module cache or any tree in the protocol's layout, verified, resumable.

use modkeep_fetch::Taken;
use modkeep_module::ModuleVersion;
use modkeep_upstream::{Inventory, Upstream, noted_sum};
use serde_json::json;

use super::fetching::of_fetch;
use crate::cli::Import;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;
use crate::wiring::{House, Sources};

/// Versions made visible by one ledger transaction.
const BATCH: usize = 64;

pub(super) fn run(import: &Import, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let tree = std::fs::canonicalize(&import.tree)
        .map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", import.tree.display())))?;
    if import.dry_run {
        return Ok(look(Inventory::of(&tree), output));
    }
    super::runtime()?.block_on(async {
        let inventory = Inventory::of(&tree);
        let sources = Sources::of(effective)?.after_tree(inventory.root().to_owned());
        let house = House::build(effective, &sources, modkeep_fetch::unobserved())?;
        let exit = take_in(inventory, &house, output).await;
        let usage = house.store.usage();
        house.close().await;
        let totals = exit?;
        output.summary(
            || {
                format!(
                    "{} versions taken in, {} were here, {} refused",
                    totals.new, totals.known, totals.refused
                )
            },
            json!({
                "new": totals.new, "known": totals.known, "refused": totals.refused, "bytes": totals.bytes,
                "syncs": usage.syncs,
            }),
        );
        Ok(totals.exit())
    })
}

#[derive(Default)]
struct Totals {
    new: u64,
    known: u64,
    refused: u64,
    bytes: u64,
    worst: Option<Exit>,
}

impl Totals {
    fn refuse(&mut self, exit: Exit) {
        self.refused += 1;
        if self.worst != Some(Exit::Integrity) {
            self.worst = Some(exit);
        }
    }

    fn exit(&self) -> Exit {
        match self.worst {
            None => Exit::Done,
            Some(Exit::Integrity) => Exit::Integrity,
            Some(_) if self.new + self.known > 0 => Exit::Partly,
            Some(exit) => exit,
        }
    }
}

/// Says what a tree holds.
fn look(inventory: Inventory, output: &Output) -> Exit {
    let mut versions = 0;
    for found in inventory {
        match found {
            Ok((module, found)) => {
                versions += found.len();
                for version in found {
                    output.result(
                        || format!("{module}@{version}"),
                        || json!({ "path": module.as_str(), "version": version.as_str() }),
                    );
                }
            }
            Err(error) => output.problem(&error.to_string()),
        }
    }
    output.summary(|| format!("{versions} versions"), json!({ "versions": versions }));
    Exit::Done
}

async fn take_in(inventory: Inventory, house: &House, output: &Output) -> Result<Totals, Failed> {
    let root = inventory.root().to_owned();
    let tree = Upstream::new_tree(root.clone());
    let mut totals = Totals::default();
    let mut batch: Vec<ModuleVersion> = Vec::with_capacity(BATCH);
    let mut folders = inventory.fuse();
    loop {
        let next = folders.next();
        let is_last = next.is_none();
        match next {
            Some(Ok((module, versions))) => {
                batch.extend(
                    versions
                        .into_iter()
                        .filter_map(|version| ModuleVersion::new(module.clone(), version).ok()),
                );
            }
            Some(Err(error)) => {
                output.problem(&error.to_string());
                totals.refuse(Exit::Failed);
            }
            None => {}
        }
        while batch.len() >= BATCH || (is_last && !batch.is_empty()) {
            let rest = batch.split_off(batch.len().min(BATCH));
            let outcomes = house.fetch.take_in(&tree, &batch, |of| noted_sum(&root, of)).await;
            for (of, outcome) in batch.iter().zip(outcomes) {
                note(of, outcome.map_err(|failure| of_fetch(&failure)), &mut totals, output);
            }
            output.progress(|| {
                format!("{} new, {} known, {} MB", totals.new, totals.known, totals.bytes / 1_000_000)
            });
            batch = rest;
        }
        if is_last {
            return Ok(totals);
        }
    }
}

fn note(of: &ModuleVersion, outcome: Result<Taken, Failed>, totals: &mut Totals, output: &Output) {
    match outcome {
        Ok(Taken::Known) => totals.known += 1,
        Ok(Taken::New { bytes }) => {
            totals.new += 1;
            totals.bytes += bytes;
        }
        Err(failed) => {
            totals.refuse(failed.exit);
            if output.is_json() {
                output.result(
                    String::new,
                    || json!({ "version": of.to_string(), "ok": false, "error": failed.text }),
                );
            } else {
                output.problem(&format!("{of}: {}", failed.text));
            }
        }
    }
}
