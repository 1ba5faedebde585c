//! Which files the databases of a backup name.

use std::collections::HashSet;
use std::path::Path;

use modkeep_module::ModuleVersion;
use modkeep_tlog::tile::tiles_of;
use modkeep_tlog::{Level, Tile, TreeSize};

use crate::backup::databases::Databases;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::log::FOLDER as LOG;
use crate::name::{BlobName, FileKind, Repository, Sha256Sum};

/// How many rows are read at a time.
const ROWS: u32 = 500;

/// What a file is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part {
    /// A version's.
    Version {
        /// Where.
        repository: Repository,
        /// Which.
        version: ModuleVersion,
        /// Which of its files.
        kind: FileKind,
    },
    /// A foreign checksum database's, which can be fetched again.
    Foreign {
        /// Its name.
        database: String,
        /// The path in its protocol.
        path: String,
    },
    /// Kept to be explained: evidence, or a damaged file that was put aside.
    Kept,
    /// A full tile of our own log, which `modkeep log rebuild` makes again from the records.
    Tile,
}

/// A file that belongs to the backup.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: BlobName,
    pub(super) part: Part,
    /// What is recorded of it. Of tiles and of what was put aside nothing is: they are proven, or known to be wrong.
    pub(super) recorded: Option<(Option<u64>, Sha256Sum)>,
    /// Whether an earlier backup that is whole has this very file.
    pub(super) vouched: bool,
}

type Meet<'a> = dyn FnMut(Wanted) -> Result<(), Error> + 'a;

/// Meets every file that is named, in the order of rows. `folder` is for messages.
pub(super) fn each(
    databases: &Databases,
    earlier: Option<&Databases>,
    folder: &Path,
    meet: &mut Meet<'_>,
) -> Result<(), Error> {
    let ledger = &databases.ledger;
    let before = earlier.map(|earlier| &earlier.ledger as &dyn Ledger);
    versions(ledger, before, folder, meet)?;
    foreign(ledger, before, meet)?;
    kept(ledger, before, meet)?;
    let built = earlier.and_then(|earlier| earlier.log).map_or(TreeSize::EMPTY, |log| log.built);
    databases.log.map_or(Ok(()), |log| tiles(log.built, built, meet))
}

fn versions(
    ledger: &dyn Ledger,
    before: Option<&dyn Ledger>,
    folder: &Path,
    meet: &mut Meet<'_>,
) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let rows = ledger.walk(after, ROWS)?;
        let Some((_, last)) = rows.last() else { return Ok(()) };
        after = last.id;
        for (repository, record) in rows {
            let version = record.module_version()?;
            let earlier = before.map(|before| before.version(&repository, &version)).transpose()?.flatten();
            for kind in FileKind::ALL {
                let Some(bytes) = record.bytes(kind).filter(|bytes| !bytes.quarantined) else { continue };
                let known = earlier.as_ref().and_then(|earlier| earlier.bytes(kind));
                if known.as_ref().is_some_and(|known| known.sha256 != bytes.sha256) {
                    let reason = format!("holds another {kind} of {version}: name an empty folder");
                    return Err(Error::Backup { path: folder.to_owned(), reason });
                }
                meet(Wanted {
                    name: BlobName::of_version(&repository, &version, kind)?,
                    recorded: Some((Some(bytes.size), bytes.sha256)),
                    vouched: known.is_some_and(|known| !known.quarantined),
                    part: Part::Version { repository: repository.clone(), version: version.clone(), kind },
                })?;
            }
        }
    }
}

fn foreign(ledger: &dyn Ledger, before: Option<&dyn Ledger>, meet: &mut Meet<'_>) -> Result<(), Error> {
    let mut after: Option<(String, String)> = None;
    loop {
        let from = after.as_ref().map(|(database, path)| (database.as_str(), path.as_str()));
        let rows = ledger.walk_foreign(from, ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some((last.database.clone(), last.path.clone()));
        for row in rows {
            // One that was damaged and fetched again may have other bytes; it costs the earlier backup what can be fetched.
            let earlier =
                before.map(|before| before.foreign(&row.database, &row.path)).transpose()?.flatten();
            meet(Wanted {
                name: BlobName::of_foreign(&row.database, &row.path)?,
                recorded: Some((Some(row.size), row.sha256)),
                vouched: earlier.is_some_and(|earlier| earlier.sha256 == row.sha256),
                part: Part::Foreign { database: row.database, path: row.path },
            })?;
        }
    }
}

/// Evidence, and what was put aside. Neither name is ever used again.
fn kept(ledger: &dyn Ledger, before: Option<&dyn Ledger>, meet: &mut Meet<'_>) -> Result<(), Error> {
    let mut known = HashSet::new();
    if let Some(before) = before {
        known.extend(before.quarantined()?.into_iter().map(|row| row.kept_as));
        bodies(before, &mut |name, _| {
            known.insert(name);
            Ok(())
        })?;
    }
    let mut wanted = |name: String, recorded| {
        let vouched = known.contains(&name);
        meet(Wanted { name: BlobName::parse(&name)?, part: Part::Kept, recorded, vouched })
    };
    bodies(ledger, &mut |name, sum| wanted(name, Some((None, sum))))?;
    for row in ledger.quarantined()?.into_iter().filter(|row| !row.kept_as.is_empty()) {
        wanted(row.kept_as, None)?;
    }
    Ok(())
}

fn bodies(
    ledger: &dyn Ledger,
    meet: &mut dyn FnMut(String, Sha256Sum) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let rows = ledger.evidence(after, ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        for (name, sum) in rows.into_iter().filter_map(|row| row.body) {
            meet(name, sum)?;
        }
    }
}

/// The full tiles of a tree; what is open lies in rows.
fn tiles(size: TreeSize, earlier: TreeSize, meet: &mut Meet<'_>) -> Result<(), Error> {
    for hashes in tiles_of(size).filter(Tile::is_full) {
        let leaves = hashes.level() == Some(Level::LEAVES);
        let data = if leaves { Tile::data(hashes.index(), hashes.width()) } else { None };
        for tile in [data, Some(hashes)].into_iter().flatten() {
            meet(Wanted {
                name: BlobName::parse(&format!("{LOG}/{}", tile.path()))?,
                part: Part::Tile,
                recorded: None,
                vouched: tile.is_within(earlier),
            })?;
        }
    }
    Ok(())
}
