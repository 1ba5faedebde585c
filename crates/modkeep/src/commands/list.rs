//! `list`: what is kept, by module or by version.

use modkeep_module::pattern::Patterns;
use modkeep_store::{Repository, Store, VersionRecord};

use super::{PAGE, open_read_only, runtime};
use crate::cli::List;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(list: &List, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let wanted = list.pattern.as_deref().map(Patterns::parse).transpose();
    let wanted = wanted.map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
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
    modules: u64,
    versions: u64,
}

async fn walk(
    store: &Store,
    list: &List,
    wanted: Option<&Patterns>,
    output: &Output,
) -> Result<Totals, Failed> {
    let repository = Repository::main();
    let mut totals = Totals::default();
    let mut after: Option<String> = None;
    loop {
        let page = store.modules(&repository, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(totals) };
        after = Some(last.as_str().to_owned());
        for module in page.iter().filter(|module| wanted.is_none_or(|wanted| wanted.matches(module.as_str())))
        {
            let mut versions = store.versions(&repository, module).await?;
            versions.retain(|record| !list.unverified || is_unverified(record));
            if versions.is_empty() {
                continue;
            }
            versions.sort_by(|a, b| a.version.cmp(&b.version));
            totals.modules += 1;
            totals.versions += u64::try_from(versions.len()).unwrap_or(u64::MAX);
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
    }
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
