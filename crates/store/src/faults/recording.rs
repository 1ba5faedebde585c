//! A disk that remembers everything.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Call;
use super::image::{Crash, Image, Node, Survival};
use crate::disk::{Disk, Entry, Lock, RealDisk, Stat, UpdateFile, WriteFile};
use crate::space::Space;

/// One change of a recorded disk.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create {
        file: usize,
        path: PathBuf,
    },
    Append {
        file: usize,
        bytes: Vec<u8>,
    },
    WriteAt {
        file: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
    /// Covers the changes of the file before the one of this number.
    Sync {
        file: usize,
        upto: usize,
    },
    SyncDir {
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    Mark {
        number: usize,
    },
}

/// A disk that remembers every change below one directory, to stage crashes from.
#[derive(Clone, Debug)]
pub struct RecordingDisk {
    root: PathBuf,
    log: Arc<Mutex<Vec<Change>>>,
    /// Says when the world outside the disk has a new state, and its number.
    outside: Option<Outside>,
    /// Calls that are made and left out of the record, as by a program that forgot them.
    forgotten: Option<Call>,
}

#[derive(Clone)]
struct Outside(Arc<dyn Fn() -> Option<usize> + Send + Sync>);

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

impl RecordingDisk {
    /// Records what happens below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), log: Arc::default(), outside: None, forgotten: None }
    }

    /// Asks before each change whether the world outside the disk, such as the engine's files, has come to a new state; its
    /// number is marked then.
    #[must_use]
    pub fn watching(self, outside: impl Fn() -> Option<usize> + Send + Sync + 'static) -> Self {
        Self { outside: Some(Outside(Arc::new(outside))), ..self }
    }

    /// Leaves syncs of this kind out of the record: the disk of a program that forgot them, to show that a test would notice.
    #[must_use]
    pub fn forgetting(self, call: Call) -> Self {
        Self { forgotten: Some(call), ..self }
    }

    /// Asks about the world outside now.
    pub fn look_outside(&self) {
        if let Some(number) = self.outside.as_ref().and_then(|outside| outside.0()) {
            self.mark(number);
        }
    }

    /// Leaves a mark among the changes: from here on, the world outside the disk is in state `number`.
    pub fn mark(&self, number: usize) {
        self.push(Change::Mark { number });
    }

    /// How many changes were recorded. A crash may follow each of them.
    pub fn changes(&self) -> usize {
        self.log().len()
    }

    /// Makes in `into`, an empty directory, what a crash after the first `changes` leaves, and returns the number of
    /// the last mark before it.
    pub fn stage(&self, changes: usize, survival: Survival, into: &Path) -> io::Result<Option<usize>> {
        let crash = self.crash_after(changes);
        crash.stage(survival, into)?;
        Ok(crash.mark())
    }

    /// A crash after the first `changes`.
    pub fn crash_after(&self, changes: usize) -> Crash {
        let log = self.log();
        let (mut image, mut mark) = (Image::default(), None);
        for (number, change) in log.iter().take(changes).enumerate() {
            image.apply(number, change, &self.root);
            if let Change::Mark { number } = change {
                mark = Some(*number);
            }
        }
        Crash::new(image, mark)
    }

    /// The number of the mark that the change of this number is.
    pub fn mark_at(&self, change: usize) -> Option<usize> {
        if let Some(Change::Mark { number }) = self.log().get(change) { Some(*number) } else { None }
    }

    fn log(&self) -> MutexGuard<'_, Vec<Change>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, change: Change) {
        let is_forgotten = match change {
            Change::Sync { .. } => self.forgotten == Some(Call::Sync),
            Change::SyncDir { .. } => self.forgotten == Some(Call::SyncDir),
            _ => false,
        };
        if !is_forgotten {
            self.log().push(change);
        }
    }

    /// The file that a path stands for now.
    fn file_at(&self, path: &Path) -> Option<usize> {
        let mut image = Image::default();
        self.log().iter().for_each(|change| image.rename_only(change, &self.root));
        match image.now.get(path.strip_prefix(&self.root).ok()?)? {
            Node::File(file) => Some(*file),
            Node::Directory => None,
        }
    }
}

#[derive(Debug)]
struct RecordedFile {
    file: Box<dyn WriteFile>,
    number: usize,
    disk: RecordingDisk,
}

impl WriteFile for RecordedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.look_outside();
        self.file.append(bytes)?;
        self.disk.push(Change::Append { file: self.number, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.look_outside();
        self.file.sync()?;
        self.disk.push(Change::Sync { file: self.number, upto: usize::MAX });
        Ok(())
    }
}

#[derive(Debug)]
struct RecordedUpdateFile {
    file: Box<dyn UpdateFile>,
    number: usize,
    disk: RecordingDisk,
}

impl UpdateFile for RecordedUpdateFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.look_outside();
        self.file.write_at(bytes, offset)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.push(Change::WriteAt { file: self.number, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.look_outside();
        // What others write while this sync is under way is not promised by it.
        let from = self.disk.log().len();
        self.file.sync()?;
        self.disk.push(Change::Sync { file: self.number, upto: from });
        Ok(())
    }
}

impl Disk for RecordingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.look_outside();
        let file = RealDisk.create(path)?;
        let mut log = self.log();
        let number = log.len();
        log.push(Change::Create { file: number, path: path.to_owned() });
        drop(log);
        Ok(Box::new(RecordedFile { file, number, disk: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn create_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        self.look_outside();
        let file = RealDisk.create_update(path)?;
        let mut log = self.log();
        let number = log.len();
        log.push(Change::Create { file: number, path: path.to_owned() });
        drop(log);
        Ok(Box::new(RecordedUpdateFile { file, number, disk: self.clone() }))
    }

    fn open_update(&self, path: &Path, writable: bool) -> io::Result<Box<dyn UpdateFile>> {
        let file = RealDisk.open_update(path, writable)?;
        let number = self.file_at(path).ok_or_else(|| io::Error::other("a file that was not recorded"))?;
        Ok(Box::new(RecordedUpdateFile { file, number, disk: self.clone() }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.look_outside();
        RealDisk.sync_dir(path)?;
        self.push(Change::SyncDir { path: path.to_owned() });
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.look_outside();
        RealDisk.make_dir(path)?;
        self.push(Change::MakeDir { path: path.to_owned() });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look_outside();
        RealDisk.link(from, to)?;
        self.push(Change::Link { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.look_outside();
        RealDisk.rename(from, to)?;
        self.push(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.look_outside();
        RealDisk.remove(path)?;
        self.push(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<Lock> {
        RealDisk.lock(path, text)
    }
}
