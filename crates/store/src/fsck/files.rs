//! From the bytes to the ledger: whatever lies in the data directory has a reason to.

use modkeep_module::{ModulePath, ModuleVersion, Version};

use crate::blobs::{BlobEntry, EVIDENCE, QUARANTINE, RECHECK, SCRATCH};
use crate::disk::EntryKind;
use crate::error::Error;
use crate::fsck::{Check, Severity};
use crate::log::FOLDER as LOG;
use crate::name::{FileKind, Repository};
use crate::store::{LEDGER, LOCK};
use crate::workspace::WORK;

/// The permission bits that let somebody else change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The permission bit that lets its owner read a file.
const READABLE: u32 = 0o400;

/// What a file below `repos/` is by its name.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Place {
    repository: Repository,
    version: ModuleVersion,
    kind: FileKind,
}

/// Reads `repos/<repository>/<escaped path>/@v/<escaped version>.<kind>`; the error says what is wrong with it.
pub(super) fn place_of(path: &str) -> Result<Place, String> {
    let mut parts = path.splitn(3, '/');
    let (Some("repos"), Some(repository), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("not below a repository".to_owned());
    };
    let repository = Repository::parse(repository).map_err(|error| error.to_string())?;
    let (module, file) = rest.rsplit_once("/@v/").ok_or("not in an @v folder")?;
    let module = ModulePath::from_escaped(module).map_err(|error| error.to_string())?;
    let (version, suffix) = file.rsplit_once('.').ok_or("without a suffix")?;
    let kind = FileKind::ALL.into_iter().find(|kind| kind.as_str() == suffix).ok_or("of no kind of ours")?;
    let version = Version::from_escaped(version).map_err(|error| error.to_string())?;
    let version = ModuleVersion::new(module, version).map_err(|error| error.to_string())?;
    Ok(Place { repository, version, kind })
}

impl Check<'_> {
    /// Everything in the data directory.
    pub(super) fn directory(&mut self) -> Result<(), Error> {
        let root = self.inner.room().root().to_owned();
        let entries =
            self.inner.room().disk().list(&root).map_err(|error| Error::io("list", &root, error))?;
        for entry in entries {
            let is_folder = entry.kind == EntryKind::Directory;
            match entry.name.as_str() {
                "repos" | "sumdb" | SCRATCH | QUARANTINE | EVIDENCE if is_folder => self.tree(&entry.name)?,
                // Derived data: no promise to check. The log: the room of the log judges its own matter.
                WORK | LOG if is_folder => {}
                LEDGER | LOCK | RECHECK => self.permissions(&entry.name),
                name if name.strip_prefix(LEDGER).is_some_and(|rest| matches!(rest, "-wal" | "-shm")) => {}
                name => self.find("D2", Severity::Warning, name, "nothing of ours"),
            }
        }
        Ok(())
    }

    fn tree(&mut self, folder: &str) -> Result<(), Error> {
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            self.permissions(&folder);
            for BlobEntry { path, kind } in self.inner.blobs.list(&folder)? {
                match kind {
                    EntryKind::Directory => folders.push(path),
                    EntryKind::File => self.leaf(&path),
                    EntryKind::Other => {
                        self.error("D2", path, "a link or device, where only files and folders belong");
                    }
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: &str) {
        self.permissions(path);
        match path.split('/').next() {
            Some("repos") => self.version_file(path),
            Some("sumdb") => self.foreign_file(path),
            Some(SCRATCH) => {
                self.find("U2", Severity::Note, path, "left in scratch, or in use by a running server");
            }
            _ if !self.seen.contains(path) => {
                self.find("D3", Severity::Note, path, "kept, but not in the ledger");
            }
            _ => {}
        }
    }

    fn version_file(&mut self, path: &str) {
        let place = match place_of(path) {
            Ok(place) => place,
            Err(reason) => return self.find("D2", Severity::Warning, path, format!("misplaced: {reason}")),
        };
        let record = self.inner.ledger.version(&place.repository, &place.version);
        let Some(record) = self.got("R9", path, record) else { return };
        if !record.is_some_and(|record| record.has(place.kind)) {
            self.find(
                "D3",
                Severity::Note,
                path,
                "bytes without a ledger row: garbage of a crash, or a commit under way",
            );
        }
    }

    /// A database's name may hold slashes, so each `tile` and `lookup` may be where its paths begin.
    fn foreign_file(&mut self, path: &str) {
        let inside = path.strip_prefix("sumdb/").unwrap_or(path);
        let starts = ["/tile/", "/lookup/"].into_iter().flat_map(|start| inside.match_indices(start));
        let known = starts.into_iter().any(|(at, _)| {
            self.inner.ledger.foreign(&inside[..at], &inside[at + 1..]).is_ok_and(|row| row.is_some())
        });
        if !known {
            self.find(
                "D3",
                Severity::Note,
                path,
                "bytes without a ledger row: garbage of a crash, or being stored",
            );
        }
    }

    fn permissions(&mut self, path: &str) {
        let full = self.inner.room().root().join(path);
        let Ok(found) = self.inner.room().disk().stat(&full) else { return }; // gone since it was listed
        if found.mode & WRITABLE_BY_OTHERS != 0 {
            self.find("D2", Severity::Warning, path, format!("others may change it (mode {:o})", found.mode));
        }
        if found.mode & READABLE == 0 {
            self.find(
                "D2",
                Severity::Warning,
                path,
                format!("its owner may not read it (mode {:o})", found.mode),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocols_own_names_are_places() {
        let place = place_of("repos/main/example.com/!fish/@v/v1.0.0-!r!c.1.zip").unwrap();
        assert_eq!(
            (place.version.to_string().as_str(), place.kind),
            ("example.com/Fish@v1.0.0-RC.1", FileKind::Zip)
        );
        for path in [
            "repos/main",
            "repos/Main/example.com/m/@v/v1.0.0.zip",
            "repos/main/example.com/Fish/@v/v1.0.0.zip",
            "repos/main/example.com/m/@v/v1.0.zip",
            "repos/main/example.com/m/@v/v1.0.0.ziphash",
            "repos/main/example.com/m/@v/v2.0.0.zip",
            "repos/main/example.com/m/@v/list",
            "repos/main/example.com/m/v1.0.0.zip",
        ] {
            assert!(place_of(path).is_err(), "{path}");
        }
    }
}
