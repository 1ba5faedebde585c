//! Every touch of the data directory, in one small trait, so that tests can break each of them (T2, T4, T5).
//!
//! `SQLite` reads and writes its own files itself; it is the one exception.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags};

use crate::space::Space;

/// A file that is being written, from its first byte to its sync.
pub trait WriteFile: Send + Debug {
    /// Appends all of `bytes`, or fails.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Waits until what was appended, and the length, are on stable storage. After a failure the file is lost:
    /// it is never synced again nor trusted (R10).
    fn sync(&mut self) -> io::Result<()>;
}

/// A file of derived data that is read and changed in place, by anybody who holds it.
///
/// Whole blocks of 512 bytes at multiples of 512 are written: a crash tears between them, never inside one.
pub trait UpdateFile: Send + Sync + Debug {
    /// How many bytes it has.
    fn size(&self) -> io::Result<u64>;
    /// Fills all of `bytes` from an offset, or fails.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at an offset, or fails. On stable storage after the next sync, perhaps before.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Waits until what was written before the call is on stable storage. A failure is final (R10).
    fn sync(&self) -> io::Result<()>;
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link, socket, pipe or device: nothing of ours.
    Other,
}

/// Facts about a path, symbolic links not followed.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
}

/// One line of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, lossily decoded when it is not UTF-8 (such a name is nothing of ours).
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// The outcome of asking for the writer's lock.
#[derive(Debug)]
pub enum Lock {
    /// Ours as long as the file stays open.
    Held(File),
    /// Somebody else's; the process id as far as the file tells.
    Taken(Option<u32>),
}

/// The operations on files that the store needs. Paths are absolute.
pub trait Disk: Send + Sync + Debug {
    /// Makes a new file of mode 0444 for writing; fails when the name exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a plain file for reading; a symbolic link or a device is an error.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Makes a new file of mode 0644 to be changed in place; fails when the name exists.
    fn create_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>>;
    /// Opens a plain file to be changed in place, or, unless `writable`, to be read at places.
    fn open_update(&self, path: &Path, writable: bool) -> io::Result<Box<dyn UpdateFile>>;
    /// Waits until the entries of a directory are on stable storage.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes one directory; its parent has to exist.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name; fails when that exists.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file within the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Facts about a path.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Room on the file system that holds a path.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Takes the writer's lock on a file, made when missing, and writes `text` into it.
    fn lock(&self, path: &Path, text: &str) -> io::Result<Lock>;
}

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

impl WriteFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[derive(Debug)]
struct RealUpdateFile(File);

impl RealUpdateFile {
    fn over(file: File) -> Self {
        // Else each read after a write writes the time of it into the file's inode. Where that is not allowed it goes on.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fcntl_getfl(&file)
            .and_then(|flags| rustix::fs::fcntl_setfl(&file, flags | OFlags::NOATIME));
        Self(file)
    }
}

impl UpdateFile for RealUpdateFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Derived data is changed in place, by its owner alone.
const UPDATE_MODE: u32 = 0o644;

/// Blobs are never changed, and their mode says so.
const BLOB_MODE: u32 = 0o444;

/// The bits that `custom_flags` takes.
fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn kind_of(file_type: std::fs::FileType) -> EntryKind {
    if file_type.is_file() {
        EntryKind::File
    } else if file_type.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(BLOB_MODE).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        // NONBLOCK: opening a pipe that somebody put there must not hang; it means nothing to plain files.
        let how = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
        let file = OpenOptions::new().read(true).custom_flags(how).open(path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a plain file")) }
    }

    fn create_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        let mut how = OpenOptions::new();
        let file = how.read(true).write(true).create_new(true).mode(UPDATE_MODE).open(path)?;
        Ok(Box::new(RealUpdateFile::over(file)))
    }

    fn open_update(&self, path: &Path, writable: bool) -> io::Result<Box<dyn UpdateFile>> {
        let how = flags(OFlags::NOFOLLOW | OFlags::NONBLOCK);
        let file = OpenOptions::new().read(true).write(writable).custom_flags(how).open(path)?;
        if file.metadata()?.is_file() {
            Ok(Box::new(RealUpdateFile::over(file)))
        } else {
            Err(io::Error::other("not a plain file"))
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, kind: kind_of(entry.file_type()?) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Stat { kind: kind_of(found.file_type()), size: found.len(), mode: found.mode() & 0o7777 })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<Lock> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Only for people and error texts: on a full disk the lock holds without it.
                let _ = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| file.write_all(text.as_bytes()));
                Ok(Lock::Held(file))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The holder may be writing it this instant; then we do not know it.
                let _ = file.take(32).read_to_string(&mut holder);
                Ok(Lock::Taken(holder.trim().parse().ok()))
            }
            Err(error) => Err(error.into()),
        }
    }
}
