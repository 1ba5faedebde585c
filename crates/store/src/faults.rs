//! Disks for tests: one that fails when told to (T4, T5), and one that remembers everything, so that any crash can be
//! staged afterwards (T2).
//!
//! `SQLite`'s own files are outside: they are not written through [`Disk`].

mod image;
mod recording;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, Entry, Lock, RealDisk, Stat, UpdateFile, WriteFile};
use crate::space::Space;

pub use image::{Crash, Survival};
pub use recording::RecordingDisk;

/// A call that changes something.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Call {
    /// [`Disk::create`] and [`Disk::create_update`].
    Create,
    /// [`WriteFile::append`].
    Append,
    /// [`UpdateFile::write_at`].
    WriteAt,
    /// [`WriteFile::sync`] and [`UpdateFile::sync`].
    Sync,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::make_dir`] of a directory that does not exist.
    MakeDir,
    /// [`Disk::link`].
    Link,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The device failed (EIO).
    Io,
    /// No space is left (ENOSPC); an append or a write in place writes half of its bytes first.
    Full,
    /// The file system takes no writes (EROFS).
    ReadOnly,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io => rustix::io::Errno::IO,
            Self::Full => rustix::io::Errno::NOSPC,
            Self::ReadOnly => rustix::io::Errno::ROFS,
        }
        .into()
    }
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// The number of the first call to fail, from 0, and whether those after it fail too.
    from: Option<(u64, Fault, bool)>,
    /// What the disk says about its space, when it is not asked.
    space: Option<Space>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    calls: Vec<Call>,
    faults: u64,
}

/// A disk that counts the calls that change something, and fails those it was told to.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

impl FaultyDisk {
    /// A disk that works.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails the changing call that comes after `skip` more have passed; and all after it, when `lasting`.
    pub fn fail_after(&self, skip: u64, fault: Fault, lasting: bool) {
        let mut state = self.state();
        let from = state.calls.len() as u64 + skip;
        state.plan.from = Some((from, fault, lasting));
    }

    /// Works again.
    pub fn heal(&self) {
        self.state().plan = Plan::default();
    }

    /// Says this about its space from now on; `None` says the truth.
    pub fn claim_space(&self, space: Option<Space>) {
        self.state().plan.space = space;
    }

    /// The changing calls so far, failed ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls have failed.
    pub fn faults(&self) -> u64 {
        self.state().faults
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, call: Call) -> Result<(), Fault> {
        let mut state = self.state();
        let number = state.calls.len() as u64;
        state.calls.push(call);
        match state.plan.from {
            Some((from, fault, lasting)) if number == from || (lasting && number > from) => {
                state.faults += 1;
                Err(fault)
            }
            _ => Ok(()),
        }
    }

    fn pass(&self, call: Call) -> io::Result<()> {
        self.meet(call).map_err(Fault::error)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn WriteFile>,
    disk: FaultyDisk,
}

impl WriteFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.meet(Call::Append).map_err(|fault| {
            if fault == Fault::Full {
                let _ = self.file.append(&bytes[..bytes.len() / 2]);
            }
            fault.error()
        })?;
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.pass(Call::Sync)?;
        self.file.sync()
    }
}

#[derive(Debug)]
struct FaultyUpdateFile {
    file: Box<dyn UpdateFile>,
    disk: FaultyDisk,
}

impl UpdateFile for FaultyUpdateFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.meet(Call::WriteAt).map_err(|fault| {
            if fault == Fault::Full {
                // Whole blocks: no device writes less.
                let _ = self.file.write_at(&bytes[..bytes.len() / 2 / 512 * 512], offset);
            }
            fault.error()
        })?;
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass(Call::Sync)?;
        self.file.sync()
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.pass(Call::Create)?;
        Ok(Box::new(FaultyFile { file: RealDisk.create(path)?, disk: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        RealDisk.open(path)
    }

    fn create_update(&self, path: &Path) -> io::Result<Box<dyn UpdateFile>> {
        self.pass(Call::Create)?;
        Ok(Box::new(FaultyUpdateFile { file: RealDisk.create_update(path)?, disk: self.clone() }))
    }

    fn open_update(&self, path: &Path, writable: bool) -> io::Result<Box<dyn UpdateFile>> {
        Ok(Box::new(FaultyUpdateFile { file: RealDisk.open_update(path, writable)?, disk: self.clone() }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.pass(Call::SyncDir)?;
        RealDisk.sync_dir(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.pass(Call::MakeDir)?;
        RealDisk.make_dir(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Call::Link)?;
        RealDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(Call::Rename)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass(Call::Remove)?;
        RealDisk.remove(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        RealDisk.stat(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let claimed = self.state().plan.space;
        claimed.map_or_else(|| RealDisk.space(path), Ok)
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<Lock> {
        match self.state().plan.from {
            Some((_, Fault::ReadOnly, true)) => Err(Fault::ReadOnly.error()),
            _ => RealDisk.lock(path, text),
        }
    }
}
