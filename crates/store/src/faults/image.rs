//! A file system in memory, and what a crash leaves of it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use super::recording::Change;

/// What of the changes that no sync covered survives a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Survival {
    /// All of it: the process was killed, the machine went on.
    All,
    /// None of it: the power was cut, and nothing had been written back.
    Synced,
    /// Some of it, chosen by this seed: entries each on their own, files cut at a multiple of 512 bytes, and of what was
    /// written in place each block of 512 bytes on its own.
    Some(u64),
    /// Every name as it is now, and of the bytes only those that were synced: renames came before the data.
    Names,
    /// All but one operation that no sync covered; see [`Crash::pending`].
    Without(usize),
    /// What was synced, and one operation that was not.
    Alone(usize),
    /// All, but of one write only the first of so many blocks of 512 bytes.
    Torn(usize, usize),
    /// All, but of one write the first of so many blocks of 512 bytes are lost.
    Beheaded(usize, usize),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Node {
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

    /// Files cut at a multiple of 512 bytes, and of what was written in place each block on its own.
    fn by_chance(&self, chance: &mut Chance) -> Vec<u8> {
        let Self { bytes, synced, .. } = self;
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
pub(super) struct Image {
    pub(super) now: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    files: BTreeMap<usize, Content>,
}

impl Image {
    /// The change of this number, to bytes and names.
    pub(super) fn apply(&mut self, number: usize, change: &Change, root: &Path) {
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
    pub(super) fn rename_only(&mut self, change: &Change, root: &Path) {
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

    /// Operations that no sync covered, in the order of names: entries that changed, and writes.
    fn pending(&self) -> Vec<Operation> {
        let mut pending: Vec<Operation> = self
            .names()
            .into_iter()
            .filter(|path| self.now.get(*path) != self.durable.get(*path))
            .map(|path| Operation::Entry(path.clone()))
            .collect();
        for (file, content) in &self.files {
            let is_named =
                |names: &BTreeMap<PathBuf, Node>| names.values().any(|it| *it == Node::File(*file));
            if is_named(&self.now) || is_named(&self.durable) {
                let writes = content.since.iter();
                pending.extend(
                    writes.map(|(number, _, bytes)| Operation::Write { number: *number, bytes: bytes.len() }),
                );
            }
        }
        pending
    }

    fn names(&self) -> BTreeSet<&PathBuf> {
        self.now.keys().chain(self.durable.keys()).collect()
    }
}

/// Something that a crash may undo.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Operation {
    Entry(PathBuf),
    Write { number: usize, bytes: usize },
}

/// What survives of one write.
enum Kept {
    All,
    Nothing,
    /// These bytes of it.
    Part(std::ops::Range<usize>),
}

/// A crash at one moment: what was there, and what of it no sync covered.
#[derive(Debug)]
pub struct Crash {
    image: Image,
    mark: Option<usize>,
    pending: Vec<Operation>,
}

impl Crash {
    pub(super) fn new(image: Image, mark: Option<usize>) -> Self {
        Self { pending: image.pending(), image, mark }
    }

    /// The number of the last mark before it.
    pub fn mark(&self) -> Option<usize> {
        self.mark
    }

    /// How many operations no sync covered: entries of directories that changed, and writes.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Every way in which it can be staged, with so many seeds of chance.
    pub fn survivals(&self, seeds: std::ops::Range<u64>) -> Vec<Survival> {
        let mut all = vec![Survival::All, Survival::Synced, Survival::Names];
        for (place, operation) in self.pending.iter().enumerate() {
            all.extend([Survival::Without(place), Survival::Alone(place)]);
            if let Operation::Write { bytes, .. } = operation {
                let blocks = bytes.div_ceil(512);
                for cut in [1, blocks / 2, blocks.saturating_sub(1)] {
                    if (1..blocks).contains(&cut) {
                        all.extend([Survival::Torn(place, cut), Survival::Beheaded(place, cut)]);
                    }
                }
            }
        }
        all.extend(seeds.map(Survival::Some));
        all
    }

    /// Makes in `into`, an empty directory, what is left.
    pub fn stage(&self, survival: Survival, into: &Path) -> io::Result<()> {
        for (path, left) in self.left(survival) {
            let full = into.join(path);
            match left {
                None => std::fs::create_dir(&full)?,
                Some(bytes) => std::fs::write(&full, bytes)?,
            }
        }
        Ok(())
    }

    /// A number that tells what is left from anything else that could be.
    pub fn fingerprint(&self, survival: Survival) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.left(survival).hash(&mut hasher);
        hasher.finish()
    }

    /// The names that are left, with their bytes; `None` is a directory.
    fn left(&self, survival: Survival) -> BTreeMap<&Path, Option<Vec<u8>>> {
        let mut chance = Chance(if let Survival::Some(seed) = survival { seed } else { 0 });
        let mut left = BTreeMap::new();
        for path in self.image.names() {
            let node = self.node(path, survival, &mut chance);
            // An entry cannot survive without the directories above it.
            let above = path.parent().unwrap_or(Path::new(""));
            if above != Path::new("") && left.get(above) != Some(&None) {
                continue;
            }
            match node {
                None => {}
                Some(Node::Directory) => {
                    left.insert(path.as_path(), None);
                }
                Some(Node::File(file)) => {
                    left.insert(path.as_path(), Some(self.content(file, survival, &mut chance)));
                }
            }
        }
        left
    }

    fn node(&self, path: &Path, survival: Survival, chance: &mut Chance) -> Option<Node> {
        let is_it = |place: usize| matches!(self.pending.get(place), Some(Operation::Entry(entry)) if entry.as_path() == path);
        let is_new = match survival {
            Survival::All | Survival::Names | Survival::Torn(..) | Survival::Beheaded(..) => true,
            Survival::Synced => false,
            Survival::Some(_) => chance.flip(),
            Survival::Without(place) => !is_it(place),
            // A write that survives alone does so in a file that can be found.
            Survival::Alone(place) => {
                is_it(place) || matches!(self.pending.get(place), Some(Operation::Write { .. }))
            }
        };
        let names = if is_new { &self.image.now } else { &self.image.durable };
        names.get(path).copied()
    }

    fn content(&self, file: usize, survival: Survival, chance: &mut Chance) -> Vec<u8> {
        let Some(content) = self.image.files.get(&file) else { return Vec::new() };
        let Content { bytes, synced, since } = content;
        match survival {
            Survival::All => bytes.clone(),
            Survival::Synced | Survival::Names => synced.clone(),
            Survival::Some(_) => content.by_chance(chance),
            _ => since.iter().fold(synced.clone(), |mut left, (number, offset, bytes)| {
                match self.kept(*number, survival) {
                    Kept::All => put(&mut left, *offset, bytes),
                    Kept::Nothing => {}
                    Kept::Part(part) => {
                        let part = part.start.min(bytes.len())..part.end.min(bytes.len());
                        put(&mut left, *offset + part.start, &bytes[part]);
                    }
                }
                left
            }),
        }
    }

    /// What is left of the write that was the change of this number.
    fn kept(&self, change: usize, survival: Survival) -> Kept {
        let is_it = |place: usize| matches!(self.pending.get(place), Some(Operation::Write { number, .. }) if *number == change);
        match survival {
            Survival::Without(place) if is_it(place) => Kept::Nothing,
            Survival::Alone(place) if !is_it(place) => Kept::Nothing,
            Survival::Torn(place, blocks) if is_it(place) => Kept::Part(0..blocks * 512),
            Survival::Beheaded(place, blocks) if is_it(place) => Kept::Part(blocks * 512..usize::MAX),
            _ => Kept::All,
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
