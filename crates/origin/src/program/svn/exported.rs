//! A tree in a folder that `svn export` wrote.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use modkeep_module::zip::rules::Kind;
use rustix::fs::{Mode, OFlags};

use crate::error::Error;
use crate::repository::{Entry, Tree};

/// An exported folder, with the names and sizes that `svn list` told. It is gone when this is dropped.
pub(super) struct Exported {
    host: String,
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Exported {
    /// Holds the folder against the list: each listed file must be there with its listed size, or be a link.
    /// Blocking.
    pub(super) fn open(folder: PathBuf, listed: Vec<(String, u64)>, host: &str) -> Result<Self, Error> {
        let mut tree = Self { host: host.to_owned(), folder, entries: Vec::with_capacity(listed.len()) };
        for (name, size) in listed {
            let kind = tree.kind(&name, size).map_err(|what| tree.malformed(what))?;
            tree.entries.push(Entry { path: name.into_bytes(), kind });
        }
        tree.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn kind(&self, name: &str, listed: u64) -> Result<Kind, String> {
        if Path::new(name).is_absolute() || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("a path in the list".to_owned());
        }
        let found = fs::symlink_metadata(self.folder.join(name));
        match found {
            Ok(found) if found.is_symlink() => Ok(Kind::Symlink),
            Ok(found) if found.is_file() && found.len() == listed => Ok(Kind::Regular { bytes: listed }),
            Ok(found) if found.is_file() => {
                Err(format!("a file is listed with {listed} bytes and exported with {}", found.len()))
            }
            Ok(_) => Ok(Kind::Special),
            Err(_) => Err("a file is listed and not exported".to_owned()),
        }
    }

    fn malformed(&self, what: String) -> Error {
        Error::Malformed { host: self.host.clone(), what: format!("svn: {what}") }
    }
}

impl Tree for Exported {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
        let Some(Entry { path, kind: Kind::Regular { bytes } }) = self.entries.get(entry) else {
            return Ok(Vec::new());
        };
        let path = self.folder.join(std::ffi::OsStr::from_bytes(path));
        let mut contents = Vec::with_capacity(usize::try_from(*bytes).unwrap_or(0));
        // The folder is ours and nobody works in it any more; even so no link is followed.
        let read =
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(std::io::Error::from)
                .and_then(|file| File::from(file).take(bytes + 1).read_to_end(&mut contents));
        match read {
            Ok(read) if read as u64 == *bytes => Ok(contents),
            Ok(_) => Err(self.malformed("a file changed its size".to_owned())),
            Err(error) => Err(self.malformed(format!("a file cannot be read: {}", error.kind()))),
        }
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder); // what stays is swept when the repository is opened next
    }
}
