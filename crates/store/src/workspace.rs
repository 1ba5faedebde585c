//! Folders of derived data: what a repository's readers keep to spare its host, below `work/origins/`.
//!
//! Nothing in them is a promise. Any of them may be emptied at any time while nobody holds it, nothing in them is
//! synced, and `fsck` does not look into them. Together they are bounded; the least recently used goes first.
//!
//! They bypass [`Disk`](crate::disk::Disk): a fault there can cost a fetch, never a byte that was promised.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::blobs::Room;
use crate::error::Error;
use crate::name::Sha256Sum;

/// The folder of all derived data in the data directory.
pub(crate) const WORK: &str = "work";
/// What workspaces may hold together unless configured otherwise.
const BYTES_MAX_DEFAULT: u64 = 2 << 30;
/// The folder inside a workspace for files that do not outlive the process.
const PASSING: &str = "passing";

/// A folder of derived data for one repository, held: it is not emptied before the last holder lets go.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workspace(Arc<Held>);

#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    all: Arc<Workspaces>,
    key: String,
    path: PathBuf,
}

impl Workspace {
    /// The folder. It exists, and whoever holds the workspace may do in it what he likes.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The folder for files that do not outlive the process: emptied at the next start.
    pub fn passing(&self) -> PathBuf {
        self.0.path.join(PASSING)
    }

    /// Whether `bytes` more may be written: not after a failed sync (R10), not into the reserve (R11).
    ///
    /// Blocking, briefly. Asked before a large file is begun, and again every few megabytes.
    pub fn admit(&self, bytes: u64) -> Result<(), Error> {
        self.0.room.admit(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.let_go(&self.key, &self.path);
    }
}

/// All workspaces of a store.
#[derive(Debug)]
pub(crate) struct Workspaces {
    root: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    bytes_max: u64,
    folders: HashMap<String, Folder>,
}

#[derive(Debug)]
struct Folder {
    /// As measured when it was last let go.
    bytes: u64,
    used: SystemTime,
    holders: usize,
}

impl Workspaces {
    /// Nothing is touched yet.
    pub(crate) fn below(data: &Path) -> Self {
        let known = Known { bytes_max: BYTES_MAX_DEFAULT, folders: HashMap::new() };
        Self { root: data.join(WORK).join("origins"), known: Mutex::new(known) }
    }

    /// At the start: forgets what did not outlive the last process, learns what is there, and makes room.
    pub(crate) fn sweep(&self) {
        let mut known = self.known();
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if !is_key(&name) || !path.is_dir() {
                remove_all(&path);
                continue;
            }
            remove_all(&path.join(PASSING));
            let used = entry.metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            known.folders.insert(name, Folder { bytes: bytes_of(&path), used, holders: 0 });
        }
        self.make_room(&mut known);
    }

    /// What they may hold together, in bytes.
    pub(crate) fn set_bytes_max(&self, bytes_max: u64) {
        let mut known = self.known();
        known.bytes_max = bytes_max;
        self.make_room(&mut known);
    }

    /// Holds the folder of a name, making it when it is missing.
    pub(crate) fn hold(self: &Arc<Self>, room: Arc<Room>, name: &str) -> Result<Workspace, Error> {
        room.writable()?;
        let key = Sha256Sum::of(name.as_bytes()).to_string();
        let path = self.root.join(&key);
        let mut known = self.known();
        fs::create_dir_all(path.join(PASSING)).map_err(|error| room.full_or("make", &path, error))?;
        let folder = known.folders.entry(key.clone()).or_insert(Folder {
            bytes: 0,
            used: SystemTime::now(),
            holders: 0,
        });
        folder.holders += 1;
        drop(known);
        Ok(Workspace(Arc::new(Held { room, all: self.clone(), key, path })))
    }

    fn let_go(&self, key: &str, path: &Path) {
        let mut known = self.known();
        let Some(folder) = known.folders.get_mut(key) else { return };
        folder.holders -= 1;
        if folder.holders > 0 {
            return;
        }
        folder.bytes = bytes_of(path);
        folder.used = SystemTime::now();
        // The folder's own time tells the next process which was used last; nothing breaks when it cannot be set.
        let _ = fs::File::open(path).and_then(|file| file.set_modified(folder.used));
        self.make_room(&mut known);
    }

    /// Empties the least recently used until all fit.
    fn make_room(&self, known: &mut Known) {
        let mut total: u64 = known.folders.values().map(|folder| folder.bytes).sum();
        while total > known.bytes_max {
            let idle = known.folders.iter().filter(|(_, folder)| folder.holders == 0 && folder.bytes > 0);
            let Some(oldest) = idle.min_by_key(|(_, folder)| folder.used).map(|(key, _)| key.clone()) else {
                return;
            };
            remove_all(&self.root.join(&oldest));
            total -= known.folders.remove(&oldest).map_or(0, |folder| folder.bytes);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name is one that [`Workspaces::hold`] makes.
fn is_key(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Removes a file or folder. What cannot be removed now is tried again at the next start.
fn remove_all(path: &Path) {
    let outcome = match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "derived data could not be removed");
    }
}

/// The bytes of all files below a folder; links are not followed.
fn bytes_of(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(facts) if facts.is_dir() => folders.push(entry.path()),
                Ok(facts) => bytes += facts.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::space::MinFree;

    struct Rig {
        folder: tempfile::TempDir,
        room: Arc<Room>,
        all: Arc<Workspaces>,
    }

    fn rig(bytes_max: u64) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(Room::new(Arc::new(RealDisk), folder.path().to_owned(), MinFree::Bytes(0)));
        let all = Arc::new(Workspaces::below(folder.path()));
        all.set_bytes_max(bytes_max);
        Rig { folder, room, all }
    }

    fn fill(rig: &Rig, name: &str, bytes: usize) -> PathBuf {
        let workspace = rig.all.hold(rig.room.clone(), name).unwrap();
        fs::write(workspace.path().join("objects"), vec![0; bytes]).unwrap();
        workspace.path().to_owned()
    }

    #[test]
    fn the_least_recently_used_goes_first_and_never_one_in_use() {
        let rig = rig(250);
        let held = rig.all.hold(rig.room.clone(), "git:a").unwrap();
        fs::write(held.path().join("objects"), [0; 100]).unwrap();
        let b = fill(&rig, "git:b", 100);
        let c = fill(&rig, "git:c", 100);
        let again = fill(&rig, "git:b", 100);
        let d = fill(&rig, "git:d", 100);
        assert_eq!(b, again);
        assert!(held.path().exists() && b.exists() && !c.exists() && d.exists());
    }

    #[test]
    fn a_start_sweeps_what_passes_and_keeps_the_rest() {
        let rig = rig(1000);
        let workspace = rig.all.hold(rig.room.clone(), "git:a").unwrap();
        fs::write(workspace.passing().join("pack"), [0; 10]).unwrap();
        fs::write(workspace.path().join("objects"), [0; 10]).unwrap();
        let path = workspace.path().to_owned();
        fs::write(rig.folder.path().join("work/origins/stranger"), "x").unwrap();
        drop(workspace);
        let next = Arc::new(Workspaces::below(rig.folder.path()));
        next.sweep();
        assert!(path.join("objects").exists() && !path.join("passing/pack").exists());
        assert!(!rig.folder.path().join("work/origins/stranger").exists());
        next.set_bytes_max(5);
        assert!(!path.exists(), "what an earlier process left counts too");
    }

    #[test]
    fn a_store_that_takes_no_writes_has_no_workspaces() {
        let rig = rig(1000);
        rig.room.close("it was opened for reading");
        assert!(matches!(rig.all.hold(rig.room.clone(), "git:a"), Err(Error::ReadOnly { .. })));
        assert!(!rig.folder.path().join("work").exists());
    }
}
