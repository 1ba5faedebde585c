//! `proof get`: a file that proves one record to somebody who asks nobody; `proof verify`: that somebody.

use std::path::Path;

use modkeep_log::audit::{self, Client, ProveError};
use modkeep_tlog::proof_file::{Included, ProofFileError};
use modkeep_tlog::{GO_SUM_ORIGIN, Note, Policy, ProofFile, RecordText, VerifierKey, leaf_hash};
use serde_json::json;

use super::database::Place;
use super::{module_version, runtime};
use crate::cli::{ProofCommand, ProofGet, ProofVerify};
use crate::config::Effective;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(super) fn run(command: &ProofCommand, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    match command {
        ProofCommand::Get(get) => fetch(get, effective, output),
        ProofCommand::Verify(verify) => check(verify, output),
    }
}

fn fetch(get: &ProofGet, effective: &Effective, output: &Output) -> Result<Exit, Failed> {
    let place = match &get.database {
        Some(database) => Place::parse(database, None)?,
        None => Place::configured(effective)?,
    };
    let wanted = module_version(&get.module)?;
    let runtime = runtime()?;
    let source = place.source(effective, &runtime)?;
    let folder = place.memory(get.state.as_ref(), "sumdb")?;
    let client = Client::open(source.as_ref(), &place.key, &folder, Some(folder.join("evidence")))?;
    let proven = client.prove(wanted.path().as_str(), wanted.version().as_str());
    let record = proven.map_err(|error| unproven(&wanted.to_string(), &error))?.record;
    let unfit = |error: &dyn std::fmt::Display| Failed::new(Exit::Failed, error.to_string());
    let note = Note::parse(record.head().note()).map_err(|error| unfit(&error))?;
    // The record goes along as extra data: nobody vouches for those, but its hash must lead to the root.
    let file = ProofFile::new(record.id(), record.inclusion().to_vec(), note)
        .and_then(|file| file.with_extra(record.text().as_bytes()))
        .map_err(|error| unfit(&error))?;
    match &get.out {
        None => output.raw(&file.to_text()),
        Some(path) => {
            std::fs::write(path, file.to_text())
                .map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", path.display())))?;
            output.result(
                || format!("{}: record {} of {}", path.display(), record.id(), place.name()),
                || json!({ "file": path.display().to_string(), "log": place.name(), "record": record.id().get() }),
            );
        }
    }
    Ok(Exit::Done)
}

fn unproven(wanted: &str, error: &ProveError) -> Failed {
    let exit = match error {
        ProveError::NotFound => Exit::NotFound,
        ProveError::Trouble(audit::Error::Away(_)) => Exit::Origin,
        ProveError::Misbehaviour(_) | ProveError::Refused(_) => Exit::Integrity,
        _ => Exit::Failed,
    };
    Failed::new(exit, format!("{wanted}: {error}"))
}

/// Asks nobody: the file, the record and the keys are all there is.
fn check(verify: &ProofVerify, output: &Output) -> Result<Exit, Failed> {
    let file = ProofFile::parse(&read(&verify.file)?).map_err(|error| unconvinced(&verify.file, &error))?;
    let text = match (&verify.record, file.extra()) {
        (Some(path), _) => read(path)?,
        (None, Some(extra)) => extra.to_vec(),
        (None, None) => {
            let text = "the proof does not hold its record; say which it is of: --record FILE, the two lines of go.sum";
            return Err(Failed::new(Exit::Usage, text));
        }
    };
    let text = RecordText::parse(&text)
        .map_err(|error| Failed::new(Exit::Integrity, format!("the record: {error}")))?;
    let leaf = leaf_hash(text.as_str().as_bytes());
    let included = judge(verify, &file, leaf)?.map_err(|error| unconvinced(&verify.file, &error))?;
    let head = included.checkpoint().head();
    let witnesses = included.cosignatures().len();
    if !output.is_json() {
        output.raw(text.as_str());
    }
    output.summary(
        || {
            format!(
                "proven: record {} of the tree of {} records, root {}, {witnesses} witnesses",
                included.id(),
                head.size,
                head.root
            )
        },
        json!({
            "proven": true, "record": included.id().get(), "text": text.as_str(), "size": head.size.get(),
            "root": head.root.to_string(), "witnesses": witnesses,
        }),
    );
    Ok(Exit::Done)
}

/// By a policy, or by one key alone.
fn judge(
    verify: &ProofVerify,
    file: &ProofFile,
    leaf: modkeep_tlog::Hash,
) -> Result<Result<Included, ProofFileError>, Failed> {
    if let Some(path) = &verify.policy {
        let policy = Policy::parse(&read(path)?)
            .map_err(|error| Failed::new(Exit::Usage, format!("{}: {error}", path.display())))?;
        return Ok(file.verify(leaf, &policy));
    }
    let key = verify.key.as_deref().unwrap_or("sum.golang.org");
    let key = if key == "sum.golang.org" { modkeep_upstream::PUBLIC_DATABASE_KEY } else { key };
    let key = VerifierKey::parse(key).map_err(|error| Failed::new(Exit::Usage, format!("--key: {error}")))?;
    // A go.sum head and a checkpoint differ in their first line; one key may sign both (B1).
    let is_go_sum = file.note().text().lines().next() == Some(GO_SUM_ORIGIN);
    let origin = if is_go_sum { GO_SUM_ORIGIN } else { key.name() };
    Ok(file.verify_with_keys(leaf, origin, std::slice::from_ref(&key)))
}

fn unconvinced(file: &Path, error: &ProofFileError) -> Failed {
    Failed::new(Exit::Integrity, format!("{}: not proven: {error}", file.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    std::fs::read(path).map_err(|error| Failed::new(Exit::Failed, format!("{}: {error}", path.display())))
}
