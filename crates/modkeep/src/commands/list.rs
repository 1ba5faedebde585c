//! `list`: what is kept, by module or by version.

use modkeep_module::{ModulePath, Patterns};
use modkeep_store::{Store, VersionRecord};

use super::kept::Kept;
use super::{open_read_only, runtime};
use crate::cli::List;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(list: &List, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let wanted = list.pattern.as_deref().map(Patterns::parse).transpose();
    let wanted = wanted.map_err(|error| Failed::new(Exit::Usage, error.to_string()))?;
    if list.broken {
        return super::broken::run(list, wanted.as_ref(), effective, output);
    }
    let store = open_read_only(effective)?;
    let totals = runtime()?.block_on(walk(&store, list, wanted.as_ref(), output))?;
    output.summary(
        || format!("{} modules, {} versions", totals.modules, totals.versions),
        serde_json::json!({ "modules": totals.modules, "versions": totals.versions }),
    );
    Ok(Exit::Done)
}

#[derive(Default)]
struct Totals {
    modules: usize,
    versions: usize,
}

async fn walk(
    store: &Store,
    list: &List,
    wanted: Option<&Patterns>,
    output: &Output,
) -> Result<Totals, Failed> {
    let mut totals = Totals::default();
    let mut kept = Kept::of(store);
    let matches = |module: &ModulePath| wanted.is_none_or(|wanted| wanted.matches(module.as_str()));
    while let Some((module, mut versions)) = kept.next(matches).await? {
        versions.retain(|record| !list.unverified || is_unverified(record));
        if versions.is_empty() {
            continue;
        }
        totals.modules += 1;
        totals.versions += versions.len();
        if list.versions || list.unverified {
            for record in &versions {
                output.result(|| line(record), || super::show::json(record));
            }
        } else {
            output.result(
                || format!("{module} {}", versions.len()),
                || serde_json::json!({ "path": module.as_str(), "versions": versions.len() }),
            );
        }
    }
    Ok(totals)
}

/// Whether some file of it was taken on its source's word alone.
fn is_unverified(record: &VersionRecord) -> bool {
    [&record.go_mod, &record.zip].into_iter().flatten().any(|facts| !facts.basis.is_certified())
}

fn line(record: &VersionRecord) -> String {
    let sum =
        record.zip.as_ref().map_or_else(|| "(no zip)".to_owned(), |zip| format!("{} {}", zip.h1, zip.size));
    format!("{} {} {sum}", record.module, record.version)
}
