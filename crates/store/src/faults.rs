//! Disks for tests: one that fails when told to (T4, T5), and one that remembers everything, so that any crash can be
//! staged afterwards (T2).
//!
//! `SQLite`'s own files are outside: they are not written through [`Disk`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, Entry, Lock, RealDisk, Stat, UpdateFile, WriteFile};
use crate::space::Space;

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

/// One change of a recorded disk.
#[derive(Clone, Debug)]
enum Change {
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

/// What of the changes that no sync covered survives a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Survival {
    /// All of it: the process was killed, the machine went on.
    All,
    /// None of it: the power was cut, and nothing had been written back.
    Synced,
    /// Some of it, chosen by this seed: entries each on their own, files cut at a multiple of 512 bytes, and of what was
    /// written in place each block of 512 bytes on its own.
    Some(u64),
}

/// A disk that remembers every change below one directory, to stage crashes from.
#[derive(Clone, Debug)]
pub struct RecordingDisk {
    root: PathBuf,
    log: Arc<Mutex<Vec<Change>>>,
}

impl RecordingDisk {
    /// Records what happens below `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), log: Arc::default() }
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
        let log = self.log();
        let mut image = Image::default();
        log.iter()
            .take(changes)
            .enumerate()
            .for_each(|(number, change)| image.apply(number, change, &self.root));
        image.write(survival, into)?;
        let mut marks = log.iter().take(changes).rev();
        Ok(marks.find_map(|change| if let Change::Mark { number } = change { Some(*number) } else { None }))
    }

    fn log(&self) -> MutexGuard<'_, Vec<Change>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, change: Change) {
        self.log().push(change);
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
        self.file.append(bytes)?;
        self.disk.push(Change::Append { file: self.number, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
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
        self.file.write_at(bytes, offset)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.disk.push(Change::WriteAt { file: self.number, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // What others write while this sync is under way is not promised by it.
        let from = self.disk.log().len();
        self.file.sync()?;
        self.disk.push(Change::Sync { file: self.number, upto: from });
        Ok(())
    }
}

impl Disk for RecordingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
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
        RealDisk.sync_dir(path)?;
        self.push(Change::SyncDir { path: path.to_owned() });
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.make_dir(path)?;
        self.push(Change::MakeDir { path: path.to_owned() });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)?;
        self.push(Change::Link { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)?;
        self.push(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
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

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Node {
    Directory,
    File(usize),
}

/// The bytes of a file now, and as far as a sync covered them. Writes in place that no sync covered yet wait in `since`.
#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// With the numbers of their changes.
    since: Vec<(usize, usize, Vec<u8>)>,
}

impl Content {
    fn write(&mut self, number: usize, offset: usize, bytes: &[u8]) {
        put(&mut self.bytes, offset, bytes);
        self.since.push((number, offset, bytes.to_vec()));
    }

    fn sync(&mut self, upto: usize) {
        let (covered, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.since).into_iter().partition(|(number, ..)| *number < upto);
        for (_, offset, bytes) in &covered {
            put(&mut self.synced, *offset, bytes);
        }
        self.since = later;
    }
}

/// Writes into bytes at an offset, zeros where nothing was.
fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

/// A file system as a table of names: what they stand for now, and what they stood for at the last sync of their
/// directory.
#[derive(Debug, Default)]
struct Image {
    now: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    files: BTreeMap<usize, Content>,
}

impl Image {
    /// The change of this number, to bytes and names.
    fn apply(&mut self, number: usize, change: &Change, root: &Path) {
        match change {
            Change::Create { file, .. } => {
                self.files.insert(*file, Content::default());
            }
            Change::Append { file, bytes } => {
                let content = self.files.entry(*file).or_default();
                content.write(number, content.bytes.len(), bytes);
            }
            Change::WriteAt { file, offset, bytes } => {
                self.files.entry(*file).or_default().write(number, *offset, bytes);
            }
            Change::Sync { file, upto } => self.files.entry(*file).or_default().sync(*upto),
            Change::SyncDir { .. }
            | Change::MakeDir { .. }
            | Change::Link { .. }
            | Change::Rename { .. }
            | Change::Remove { .. }
            | Change::Mark { .. } => {}
        }
        self.rename_only(change, root);
    }

    /// What a change does to names.
    fn rename_only(&mut self, change: &Change, root: &Path) {
        let inside = |path: &Path| path.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        match change {
            Change::Create { file, path } => {
                self.now.insert(inside(path), Node::File(*file));
            }
            Change::SyncDir { path } => self.sync_dir(&inside(path)),
            Change::MakeDir { path } => {
                self.now.insert(inside(path), Node::Directory);
            }
            Change::Link { from, to } => {
                if let Some(node) = self.now.get(&inside(from)).copied() {
                    self.now.insert(inside(to), node);
                }
            }
            Change::Rename { from, to } => {
                if let Some(node) = self.now.remove(&inside(from)) {
                    self.now.insert(inside(to), node);
                }
            }
            Change::Remove { path } => {
                self.now.remove(&inside(path));
            }
            Change::Append { .. } | Change::WriteAt { .. } | Change::Sync { .. } | Change::Mark { .. } => {}
        }
    }

    fn sync_dir(&mut self, directory: &Path) {
        let below = |path: &Path| path.parent() == Some(directory) && path != Path::new("");
        self.durable.retain(|path, _| !below(path));
        let entries = self.now.iter().filter(|(path, _)| below(path));
        self.durable.extend(entries.map(|(path, node)| (path.clone(), *node)));
    }

    fn write(&self, survival: Survival, into: &Path) -> io::Result<()> {
        let mut chance = Chance(match survival {
            Survival::Some(seed) => seed,
            Survival::All | Survival::Synced => 0,
        });
        let names: BTreeSet<&PathBuf> = self.now.keys().chain(self.durable.keys()).collect();
        for path in names {
            let (now, durable) = (self.now.get(path), self.durable.get(path));
            let node = match survival {
                Survival::All => now,
                Survival::Synced => durable,
                Survival::Some(_) => {
                    if chance.flip() {
                        now
                    } else {
                        durable
                    }
                }
            };
            let full = into.join(path);
            // An entry cannot survive without the directories above it.
            if !full.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match node {
                None => {}
                Some(Node::Directory) => std::fs::create_dir(&full)?,
                Some(Node::File(file)) => std::fs::write(&full, self.content(*file, survival, &mut chance))?,
            }
        }
        Ok(())
    }

    fn content(&self, file: usize, survival: Survival, chance: &mut Chance) -> Vec<u8> {
        let Some(Content { bytes, synced, .. }) = self.files.get(&file) else { return Vec::new() };
        match survival {
            Survival::All => bytes.clone(),
            Survival::Synced => synced.clone(),
            Survival::Some(_) => {
                let unsynced = bytes.len() - synced.len();
                let kept = synced.len() + (chance.below(unsynced / 512 + 2) * 512).min(unsynced);
                let mut left = bytes[..kept].to_vec();
                for (left, synced) in left.chunks_mut(512).zip(synced.chunks(512)) {
                    // The last block may have grown since: all of it is old or new.
                    if left[..synced.len()] != *synced && chance.flip() {
                        left[..synced.len()].copy_from_slice(synced);
                    }
                }
                left
            }
        }
    }
}

/// A small deterministic source of choices (xorshift64*).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed ^= mixed >> 12;
        mixed ^= mixed << 25;
        mixed ^= mixed >> 27;
        mixed.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn flip(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound.max(1)
    }
}
