//! `prefetch`: fetch everything that a go.sum, a go.mod or a list names.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use modkeep_module::gomod::GoMod;
use modkeep_module::gosum::{self, GoSum};
use modkeep_module::{ModulePath, Version, VersionOrQuery};

use super::fetching::{self, Sums, Wanted, Wish};
use crate::cli::Prefetch;
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

/// The longest file of wishes that is read: four times the largest go.sum we have heard of.
const FILE_MAX: u64 = 16 << 20;

pub(super) fn run(prefetch: &Prefetch, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let mut wishes = Vec::new();
    for file in &prefetch.files {
        wishes.extend(named_in(file)?);
    }
    fetching::run(wishes, &prefetch.fetching, effective, output)
}

/// Reads a file by its kind: `go.sum` and `go.mod` by their name's ending, anything else as a list.
pub(super) fn named_in(file: &Path) -> Result<Vec<Wish>, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Failed, format!("{}: {reason}", file.display()));
    let mut bytes = Vec::new();
    let read = |from: &mut dyn Read, into: &mut Vec<u8>| from.take(FILE_MAX + 1).read_to_end(into);
    if file == Path::new("-") {
        read(&mut std::io::stdin(), &mut bytes)?;
    } else {
        let mut opened = std::fs::File::open(file).map_err(|error| wrong(error.to_string()))?;
        read(&mut opened, &mut bytes).map_err(|error| wrong(error.to_string()))?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_MAX) {
        return Err(wrong(format!("longer than {FILE_MAX} bytes")));
    }
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("sum") => of_go_sum(&bytes).map_err(wrong),
        Some("mod") => of_go_mod(&bytes),
        _ => of_list(&bytes),
    }
}

/// One wish for each version of a go.sum: the zip where it has a line for the zip, else the go.mod alone.
fn of_go_sum(bytes: &[u8]) -> Result<Vec<Wish>, String> {
    let sums = GoSum::parse(bytes).map_err(|error| error.to_string())?;
    let mut known: BTreeMap<(ModulePath, Version), Sums> = BTreeMap::new();
    for line in &sums.lines {
        let entry = known.entry((line.path.clone(), line.version.clone())).or_default();
        match line.kind {
            gosum::Kind::Zip => entry.zip = Some(line.h1),
            gosum::Kind::GoMod => entry.go_mod = Some(line.h1),
        }
    }
    let wish = |((path, version), sums): ((ModulePath, Version), Sums)| Wish {
        path,
        version: Wanted::Named(VersionOrQuery::Version(version)),
        go_mod_only: sums.zip.is_none(),
        sums,
    };
    Ok(known.into_iter().map(wish).collect())
}

/// One wish for each requirement of a go.mod.
fn of_go_mod(bytes: &[u8]) -> Result<Vec<Wish>, Failed> {
    let go_mod = GoMod::parse(bytes).map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
    go_mod
        .require
        .iter()
        .map(|required| Wish::parse(&format!("{}@{}", required.path, required.version)))
        .collect()
}

/// Lines of `module@version`; empty ones and those that begin with `#` are passed over.
fn of_list(bytes: &[u8]) -> Result<Vec<Wish>, Failed> {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Wish::parse)
        .collect()
}
