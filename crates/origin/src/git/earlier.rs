//! Files of earlier versions, found again in the zips that were made of them.
//!
//! What a version has in common with one that was packed before is not fetched again: the kept trees of the earlier
//! commit say which path held which file, its stored zip holds the contents, and the file's id says whether they are
//! the right ones (conversions change some). What cannot be found so is fetched.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::read::DeflateDecoder;
use modkeep_module::{ModulePath, ModuleVersion, Version};
use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use crate::error::Error;
use crate::git::object::id_of;
use crate::git::objects::{Found, Objects, format_of};
use crate::git::repo::Zips;
use crate::git::tree::{ObjectId, ObjectKind};

/// How many packed versions of one repository are remembered, the last ones.
const PACKED_MAX: usize = 64;
/// How many earlier versions one fetch builds upon.
const BASES_MAX: usize = 4;
/// The largest file in a zip (`hostile-inputs.md` part 1).
const FILE_BYTES_MAX: u64 = 500 << 20;

/// A version whose zip was stored.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Packed {
    commit: ObjectId,
    dir: String,
    version: ModuleVersion,
}

/// The versions that were packed, the last one last. A file of lines; what does not read as one is forgotten.
#[derive(Debug)]
pub(crate) struct PackedVersions {
    path: PathBuf,
    lines: Mutex<Vec<Packed>>,
}

impl PackedVersions {
    /// Those that a folder remembers. Blocking, briefly.
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("packed");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(Packed::parse).collect();
        Self { path, lines: Mutex::new(lines) }
    }

    /// One more. Blocking, briefly.
    pub(crate) fn add(&self, commit: ObjectId, dir: &str, version: &ModuleVersion) {
        let packed = Packed { commit, dir: dir.to_owned(), version: version.clone() };
        let mut lines = self.lines();
        lines.retain(|line| *line != packed);
        lines.push(packed);
        let surplus = lines.len().saturating_sub(PACKED_MAX);
        lines.drain(..surplus);
        let text: String = lines.iter().map(Packed::line).collect();
        // Losing it costs a larger fetch.
        if let Err(error) = fs::write(&self.path, text) {
            tracing::debug!(path = %self.path.display(), %error, "packed versions are not remembered");
        }
    }

    /// The last versions of these directories whose zips are still there.
    pub(crate) fn bases(&self, dirs: &[&str], zips: &Zips, objects: &Objects) -> Vec<Earlier> {
        let lines = self.lines().clone();
        let of_dirs = lines.iter().rev().filter(|packed| dirs.contains(&packed.dir.as_str()));
        of_dirs.filter_map(|packed| Earlier::open(packed, zips, objects)).take(BASES_MAX).collect()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Packed>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Packed {
    fn line(&self) -> String {
        let Self { commit, dir, version } = self;
        format!("{commit} {} {} {dir}\n", version.path(), version.version())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let commit = ObjectId::from_hex(words.next()?)?;
        let path = ModulePath::parse(words.next()?).ok()?;
        let version = ModuleVersion::new(path, Version::parse(words.next()?).ok()?).ok()?;
        Some(Self { commit, dir: words.next()?.to_owned(), version })
    }
}

/// One earlier version, open.
#[derive(Debug)]
pub(crate) struct Earlier {
    pub(crate) commit: ObjectId,
    /// Which files the zip should hold, by their ids.
    entries: HashMap<ObjectId, Place>,
    archive: ZipArchive<FileReader>,
}

impl Earlier {
    /// `None`: its zip or one of its trees is gone.
    fn open(packed: &Packed, zips: &Zips, objects: &Objects) -> Option<Self> {
        let Ok(Found::Tree(root)) = objects.find(&packed.commit, &packed.dir) else { return None };
        let (archive, by_name) = directory(zips(&packed.version)?, &format!("{}/", packed.version)).ok()?;
        let mut entries = HashMap::with_capacity(by_name.len());
        let listed = objects.list(&root, |path, line| {
            if line.is_file()
                && let Some(place) = by_name.get(path)
            {
                entries.insert(line.id, *place);
            }
            Ok(())
        });
        if let Ok(Found::File(license)) = objects.find(&packed.commit, "LICENSE")
            && let Some(place) = by_name.get(&b"LICENSE"[..])
        {
            entries.entry(license).or_insert(*place); // the copied one (Z-20)
        }
        listed.is_ok().then_some(Self { commit: packed.commit, entries, archive })
    }

    /// A file by its id, when the zip holds exactly that. Blocking.
    pub(crate) fn read(&self, id: &ObjectId) -> Option<Vec<u8>> {
        let contents = self.contents(*self.entries.get(id)?).ok()?;
        (id_of(format_of(id), ObjectKind::Blob, &contents)? == *id).then_some(contents)
    }

    fn contents(&self, (wayfinder, method): Place) -> io::Result<Vec<u8>> {
        let entry = self.archive.get_entry(wayfinder).map_err(io::Error::other)?;
        let mut contents = Vec::new();
        let reader = entry.reader();
        match method {
            CompressionMethod::STORE => reader.take(FILE_BYTES_MAX).read_to_end(&mut contents)?,
            CompressionMethod::DEFLATE => {
                DeflateDecoder::new(reader).take(FILE_BYTES_MAX).read_to_end(&mut contents)?
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(contents)
    }
}

/// Where an entry lies, and how it is packed.
type Place = (ZipArchiveEntryWayfinder, CompressionMethod);
type ByName = HashMap<Vec<u8>, Place>;

/// The entries of a zip by their names below the prefix.
fn directory(file: File, prefix: &str) -> Result<(ZipArchive<FileReader>, ByName), Error> {
    let unreadable = |error: rawzip::Error| {
        Error::Store(modkeep_store::Error::io("read", Path::new("zip"), io::Error::other(error)))
    };
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(unreadable)?;
    let mut by_name = HashMap::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(unreadable)? {
        if let Some(name) = entry.file_path().as_bytes().strip_prefix(prefix.as_bytes()) {
            by_name.insert(name.to_vec(), (entry.wayfinder(), entry.compression_method()));
        }
    }
    Ok((archive, by_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_versions_are_remembered_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let commit = id_of(crate::git::wire::ObjectFormat::Sha1, ObjectKind::Blob, b"").unwrap();
        let packed = PackedVersions::open(folder.path());
        for number in 0..100 {
            let version =
                Packed::parse(&format!("{commit} example.com/m v1.{number}.0 a dir")).unwrap().version;
            packed.add(commit, "a dir", &version);
        }
        fs::write(folder.path().join("packed"), fs::read_to_string(&packed.path).unwrap() + "nonsense\n")
            .unwrap();
        let again = PackedVersions::open(folder.path());
        let lines = again.lines().clone();
        assert_eq!(lines, *packed.lines());
        assert_eq!((lines.len(), &*lines[63].dir), (PACKED_MAX, "a dir"));
    }
}
