//! Objects at hand: a passing file with the contents of one pack, inflated, and the index of what is where.
//!
//! The file loses its name as soon as it is open, so it is gone with its last reader, whatever happens. Each object
//! was hashed once on its way in; what is read back is not hashed again.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use modkeep_store::Workspace;

use crate::git::tree::{ObjectId, ObjectKind};

/// How many bytes may be written between two looks at the free space.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// Where an object lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) kind: ObjectKind,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Why bytes did not find room.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// More than a fetch may take of the disk.
    Limit(u64),
    /// Our own disk.
    Disk(modkeep_store::Error),
}

/// The file, while it is filled. Appended to by several threads.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    workspace: Workspace,
    tail: AtomicU64,
    looked: AtomicU64,
    bytes_max: u64,
}

impl Spool {
    /// An empty one that may grow to `bytes_max`.
    pub(crate) fn create(workspace: &Workspace, bytes_max: u64) -> Result<Self, NoRoom> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = workspace.passing().join(format!("objects-{number}"));
        let failed = |error| NoRoom::Disk(modkeep_store::Error::io("create", &path, error));
        workspace.admit(0).map_err(NoRoom::Disk)?;
        let _ = std::fs::remove_file(&path); // of a process that was killed
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(failed)?;
        let (tail, looked) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { file, workspace: workspace.clone(), tail, looked, bytes_max })
    }

    /// Claims a place for `len` bytes.
    pub(crate) fn reserve(&self, len: u64) -> Result<u64, NoRoom> {
        let end = self.tail.load(Ordering::Relaxed).saturating_add(len);
        if end > self.bytes_max {
            return Err(NoRoom::Limit(self.bytes_max));
        }
        let looked = self.looked.load(Ordering::Relaxed);
        if end > looked.saturating_add(LOOK_EVERY_BYTES) {
            self.workspace.admit(len).map_err(NoRoom::Disk)?;
            self.looked.store(end, Ordering::Relaxed);
        }
        Ok(self.tail.fetch_add(len, Ordering::Relaxed))
    }

    /// Fills a part of a claimed place.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), NoRoom> {
        self.file.write_all_at(bytes, offset).map_err(|error| {
            NoRoom::Disk(modkeep_store::Error::io("write", &self.workspace.passing(), error))
        })
    }

    /// Reads what was written.
    pub(crate) fn read_at(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// The objects of one pack, or of several, at hand as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct AtHand {
    spool: Spool,
    /// Ascending: half the size of a map, and there may be millions.
    index: Vec<(ObjectId, Slot)>,
    /// What was added later.
    more: HashMap<ObjectId, Slot>,
    /// Files that no zip needs and that were therefore not fetched.
    pub(crate) left_out: HashSet<ObjectId>,
}

impl AtHand {
    /// The objects that lie in a spool.
    pub(crate) fn new(spool: Spool, mut index: Vec<(ObjectId, Slot)>) -> Self {
        index.sort_unstable_by_key(|(id, _)| *id);
        Self { spool, index, more: HashMap::new(), left_out: HashSet::new() }
    }

    /// Where an object lies.
    pub(crate) fn slot(&self, id: &ObjectId) -> Option<&Slot> {
        match self.index.binary_search_by_key(id, |(id, _)| *id) {
            Ok(at) => Some(&self.index[at].1),
            Err(_) => self.more.get(id),
        }
    }

    /// The ids of all objects of a kind.
    pub(crate) fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = &ObjectId> {
        self.index.iter().filter(move |(_, slot)| slot.kind == kind).map(|(id, _)| id)
    }

    /// An object's contents.
    pub(crate) fn read(&self, id: &ObjectId) -> io::Result<Option<(ObjectKind, Vec<u8>)>> {
        let Some(slot) = self.slot(id) else { return Ok(None) };
        Ok(Some((slot.kind, self.spool.read_at(slot.offset, slot.len)?)))
    }

    /// Adds an object whose id is known to be right.
    pub(crate) fn add(&mut self, id: ObjectId, kind: ObjectKind, contents: &[u8]) -> Result<(), NoRoom> {
        let len = contents.len() as u64;
        let offset = self.spool.reserve(len)?;
        self.spool.write_at(contents, offset)?;
        self.more.insert(id, Slot { kind, offset, len });
        Ok(())
    }
}
