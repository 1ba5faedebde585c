//! `show`: everything known about one version.

use modkeep_store::{Repository, SumFacts, VersionRecord};
use serde_json::{Value, json};

use super::{module_version, open_read_only, runtime};
use crate::cli::Show;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(show: &Show, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let version = module_version(&show.module)?;
    let store = open_read_only(effective)?;
    let found = runtime()?.block_on(store.version(&Repository::main(), &version))?;
    let Some(record) = found else {
        return Err(Failed::new(
            Exit::NotFound,
            format!("{version} is not kept here; \"modkeep get {version}\" fetches it"),
        ));
    };
    output.result(|| text(&record), || json(&record));
    Ok(Exit::Done)
}

fn text(record: &VersionRecord) -> String {
    let mut lines = vec![format!("{}@{}", record.module, record.version)];
    let mut say = |name: &str, value: String| lines.push(format!("  {name:<8} {value}"));
    let summed = |facts: &SumFacts| {
        let damaged = if facts.quarantined { "  DAMAGED, put aside" } else { "" };
        format!("{}  {} bytes  ({}){damaged}", facts.h1, facts.size, facts.basis)
    };
    say("zip", record.zip.as_ref().map_or_else(|| "not kept".to_owned(), summed));
    say("go.mod", record.go_mod.as_ref().map_or_else(|| "not kept".to_owned(), summed));
    say(
        "info",
        record.info.as_ref().map_or_else(|| "not kept".to_owned(), |info| format!("{} bytes", info.size)),
    );
    if let Some(time) = record.time {
        say("time", time.to_string());
    }
    say("source", record.source.clone());
    say("here", crate::output::time(record.first_seen));
    lines.join("\n")
}

/// One version as `list --json` and `show --json` give it.
pub(super) fn json(record: &VersionRecord) -> Value {
    let summed = |facts: &SumFacts| json!({ "h1": facts.h1.to_string(), "size": facts.size, "basis": facts.basis.to_string(), "damaged": facts.quarantined });
    json!({
        "path": record.module.as_str(),
        "version": record.version.as_str(),
        "time": record.time.map(|time| time.to_string()),
        "zip": record.zip.as_ref().map(summed),
        "go_mod": record.go_mod.as_ref().map(summed),
        "info": record.info.as_ref().map(|info| json!({ "size": info.size, "damaged": info.quarantined })),
        "source": record.source,
        "first_seen": crate::output::time(record.first_seen),
    })
}
