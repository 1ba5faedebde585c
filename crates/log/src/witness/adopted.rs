//! The file in which a witness keeps the logs that lists brought: a list itself, `logs/v0`, with the addition that nothing
//! in it is ever changed or removed by one (B4).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use modkeep_tlog::log_list::{LIST_BYTES_MAX, ListedLog, LogList, to_text};

use super::keeper::{WitnessError, sync};

const FILE: &str = "logs";
const NEXT: &str = "logs.new";

/// What lists have brought so far.
pub(super) fn read(folder: &Path) -> Result<Vec<ListedLog>, WitnessError> {
    let path = folder.join(FILE);
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|file| file.take(LIST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(WitnessError::Io { path, source }),
    }
    let damaged = |reason: String| WitnessError::Damaged { path: path.clone(), reason };
    let list = LogList::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
    match list.skipped.first() {
        Some(line) => Err(damaged(format!("line {line}: an item that is none"))),
        None => Ok(list.logs),
    }
}

/// Durable when it returns.
pub(super) fn write(folder: &Path, logs: &[ListedLog]) -> Result<(), WitnessError> {
    let (path, next) = (folder.join(FILE), folder.join(NEXT));
    let write = || {
        let mut file = File::create(&next)?;
        file.write_all(b"# What lists brought. Written by modkeep witness; an item goes when its operator takes it out.\n")?;
        file.write_all(to_text(logs).as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &path)
    };
    write().map_err(|source| WitnessError::Io { path: next.clone(), source })?;
    sync(folder)
}
