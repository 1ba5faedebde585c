//! One record for each module version (A1, rule 1): found by sorting, in bounded memory.
//!
//! For every record 16 bytes are kept: ten of the SHA-256 of its name and six of its id. New ones gather in memory, a
//! million at most (16 MiB); then a thread sorts them into a file while the next ones come. At the end of an audit the files are merged into one, and
//! equal names stand side by side; where only few are new they are looked up in the sorted file instead. A hash is
//! never trusted: equal ones are found out by the texts of both records. 70 million records take 1.1 GB of disk.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap, hash_map};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use modkeep_tlog::{RecordId, SignedHead, Tile};
use serde::{Deserialize, Serialize};

use crate::audit::evidence::{Evidence, Found};
use crate::audit::finding::{Finding, Kind};
use crate::audit::record::{cut, read};
use crate::audit::source::{self, Unsettled};
use crate::audit::state::State;
use crate::audit::tree::WIDTH;
use crate::audit::{Error, Parts};

/// Entries that gather in memory before they are sorted into a file; as many are being sorted meanwhile.
const RECENT_MAX: usize = 1 << 20;
/// Up to so many new entries are looked up one by one; for more the files are merged.
const PROBES_MAX: usize = 16 << 10;
/// Pairs of equal hashes that one audit looks at.
const PAIRS_MAX: usize = 10_000;
/// Fewer entries on each side are not worth a thread.
const SPLIT_MIN: usize = 32 << 10;
/// Bits of an entry that hold the id.
const ID_BITS: u32 = 48;
const ENTRY_BYTES: u64 = 16;

/// A record's name and place: 80 bits of the name's hash above 48 bits of the id, so that order is by name, then by id.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Entry(u128);

impl Entry {
    pub(crate) fn new(name: [u8; 10], id: RecordId) -> Self {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(&name);
        bytes[10..].copy_from_slice(&id.get().to_be_bytes()[2..]);
        Self(u128::from_be_bytes(bytes))
    }

    pub(crate) fn name(self) -> u128 {
        self.0 >> ID_BITS
    }

    pub(crate) fn id(self) -> Option<RecordId> {
        u64::try_from(self.0 & ((1 << ID_BITS) - 1)).ok().and_then(RecordId::new)
    }
}

/// Which files make the index, and how much of them counts.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Manifest {
    /// The number in the name of the next file.
    serial: u64,
    /// Sorted files.
    sorted: Vec<Run>,
    /// Whether the only one of them was searched for duplicates.
    #[serde(default)]
    searched: bool,
    /// The file of recent entries, in the order in which they came.
    recent: Option<Run>,
    /// So many of the recent ones were looked up already.
    probed: u64,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Run {
    file: String,
    entries: u64,
}

/// The names of all records read so far.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    manifest: Manifest,
    recent: Vec<Entry>,
    sealing: Option<Sealing>,
    /// Memory for the next recent ones.
    spare: Vec<Entry>,
}

/// Entries on their way into a sorted file.
#[derive(Debug)]
struct Sealing {
    run: Run,
    /// Gives them back, for their memory or for another try.
    thread: JoinHandle<(Vec<Entry>, io::Result<()>)>,
}

impl Index {
    pub(crate) fn open(folder: &Path, manifest: &Manifest) -> io::Result<Self> {
        let mut recent = Vec::new();
        if let Some(run) = &manifest.recent {
            let mut file = Reader::open(&folder.join(&run.file), run.entries)?;
            while let Some(entry) = file.next()? {
                recent.push(entry);
            }
        }
        for run in &manifest.sorted {
            let bytes = folder.join(&run.file).metadata()?.len();
            if bytes < run.entries * ENTRY_BYTES {
                return Err(io::Error::other(format!("{} is too short", run.file)));
            }
        }
        let (sealing, spare) = (None, Vec::new());
        Ok(Self { folder: folder.to_owned(), manifest: manifest.clone(), recent, sealing, spare })
    }

    /// Forgets everything. The files go with the next save.
    pub(crate) fn clear(&mut self) {
        // Whether it could be written is of no interest any more.
        let _ = self.settle();
        self.manifest = Manifest { serial: self.manifest.serial, ..Manifest::default() };
        self.recent.clear();
    }

    pub(crate) fn push(&mut self, entries: &[Entry]) -> io::Result<()> {
        self.recent.extend_from_slice(entries);
        if self.recent.len() >= RECENT_MAX { self.seal() } else { Ok(()) }
    }

    /// Has what is recent sorted into a file while the next entries come.
    fn seal(&mut self) -> io::Result<()> {
        self.settle()?;
        let run = Run { file: self.new_name(), entries: self.recent.len() as u64 };
        let place = self.folder.join(&run.file);
        self.manifest.searched = self.manifest.sorted.is_empty() && self.manifest.probed == run.entries;
        (self.manifest.recent, self.manifest.probed) = (None, 0);
        let mut entries = mem::replace(&mut self.recent, mem::take(&mut self.spare));
        let thread = std::thread::spawn(move || {
            entries.sort_unstable();
            let written = write(&place, &entries);
            (entries, written)
        });
        self.sealing = Some(Sealing { run, thread });
        Ok(())
    }

    /// Waits for the file that is being written. What could not be written is recent again.
    fn settle(&mut self) -> io::Result<()> {
        let Some(Sealing { run, thread }) = self.sealing.take() else { return Ok(()) };
        let (mut entries, written) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if written.is_ok() {
            self.manifest.sorted.push(run);
            entries.clear();
            self.spare = entries;
        } else {
            entries.append(&mut self.recent);
            self.recent = entries;
        }
        written
    }

    /// Whether a file is being written that a save would have to wait for.
    pub(crate) fn is_sealing(&self) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| !sealing.thread.is_finished())
    }

    /// Makes the recent entries durable; what is returned describes the index as it now lies on disk.
    pub(crate) fn save(&mut self) -> io::Result<Manifest> {
        self.settle()?;
        let mut run = match self.manifest.recent.take() {
            Some(run) => run,
            None => Run { file: self.new_name(), entries: 0 },
        };
        let mut file =
            File::options().create(true).truncate(false).write(true).open(self.folder.join(&run.file))?;
        let saved = usize::try_from(run.entries).unwrap_or(usize::MAX);
        let fresh = self.recent.get(saved..).unwrap_or_default();
        if !fresh.is_empty() {
            file.seek(SeekFrom::Start(run.entries * ENTRY_BYTES))?;
            let bytes: Vec<u8> = fresh.iter().flat_map(|entry| entry.0.to_le_bytes()).collect();
            file.write_all(&bytes)?;
            file.sync_data()?;
        }
        run.entries = self.recent.len() as u64;
        self.manifest.recent = Some(run);
        Ok(self.manifest.clone())
    }

    /// Removes files that are no part of the index any more.
    pub(crate) fn sweep(&self, kept: &Manifest) -> io::Result<()> {
        let is_kept = |name: &str| kept.sorted.iter().chain(&kept.recent).any(|run| run.file == name);
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && name.starts_with("names-")
                && !is_kept(&name)
            {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn new_name(&mut self) -> String {
        self.manifest.serial += 1;
        format!("names-{}", self.manifest.serial)
    }

    /// Pairs of entries with one name, the older first, that no call before this one has given out.
    fn pairs(&mut self) -> io::Result<Vec<(Entry, Entry)>> {
        self.settle()?;
        let probed = usize::try_from(self.manifest.probed).unwrap_or(usize::MAX);
        let fresh = self.recent.len().saturating_sub(probed);
        let is_searched = match self.manifest.sorted.len() {
            0 => true,
            1 => self.manifest.searched,
            _ => false,
        };
        if !is_searched || fresh > PROBES_MAX {
            return self.merge();
        }
        let pairs = self.probe(probed)?;
        self.manifest.probed = self.recent.len() as u64;
        Ok(pairs)
    }

    /// Looks the entries from `probed` on up among the others.
    fn probe(&self, probed: usize) -> io::Result<Vec<(Entry, Entry)>> {
        let mut met: HashMap<u128, Vec<Entry>> = HashMap::new();
        let mut sorted = self.manifest.sorted.first().map(|run| self.sorted(run)).transpose()?;
        // Each that is found makes a pair.
        let mut left = PAIRS_MAX;
        for entry in self.recent.get(probed..).unwrap_or_default() {
            if let hash_map::Entry::Vacant(vacant) = met.entry(entry.name()) {
                let earlier = match &mut sorted {
                    Some((file, entries)) => find(file, *entries, entry.name(), left)?,
                    None => Vec::new(),
                };
                left -= earlier.len();
                vacant.insert(earlier);
            }
        }
        let mut pairs = Vec::new();
        for (at, entry) in self.recent.iter().enumerate() {
            let Some(earlier) = met.get_mut(&entry.name()) else { continue };
            if at >= probed {
                let room = PAIRS_MAX - pairs.len();
                pairs.extend(earlier.iter().take(room).map(|earlier| (*earlier, *entry)));
            }
            earlier.push(*entry);
        }
        Ok(pairs)
    }

    fn sorted(&self, run: &Run) -> io::Result<(File, u64)> {
        Ok((File::open(self.folder.join(&run.file))?, run.entries))
    }

    /// Merges all into one sorted file.
    fn merge(&mut self) -> io::Result<Vec<(Entry, Entry)>> {
        // The file of recent ones has them in another order.
        (self.manifest.recent, self.manifest.probed) = (None, 0);
        sort(&mut self.recent);
        let name = self.new_name();
        let mut sources: Vec<Box<dyn Iterator<Item = io::Result<Entry>> + '_>> =
            vec![Box::new(self.recent.iter().map(|entry| Ok(*entry)))];
        for run in &self.manifest.sorted {
            let mut file = Reader::open(&self.folder.join(&run.file), run.entries)?;
            sources.push(Box::new(std::iter::from_fn(move || file.next().transpose())));
        }
        let mut heads = BinaryHeap::new();
        for (at, source) in sources.iter_mut().enumerate() {
            heads.extend(source.next().transpose()?.map(|entry| Reverse((entry, at))));
        }
        let mut file = BufWriter::with_capacity(1 << 20, File::create(self.folder.join(&name))?);
        let (mut equals, mut entries) = (Equals::default(), 0);
        while let Some(mut least) = heads.peek_mut() {
            let Reverse((entry, at)) = *least;
            file.write_all(&entry.0.to_le_bytes())?;
            entries += 1;
            equals.meet(entry);
            match sources.get_mut(at).and_then(Iterator::next).transpose()? {
                Some(next) => *least = Reverse((next, at)),
                None => drop(PeekMut::pop(least)),
            }
        }
        file.into_inner()?.sync_data()?;
        drop(sources);
        self.recent.clear();
        (self.manifest.sorted, self.manifest.searched) = (vec![Run { file: name, entries }], true);
        Ok(equals.pairs)
    }
}

/// The thread that writes a file is not left behind.
impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.settle();
    }
}

/// All pairs of equal hashes among sorted entries, [`PAIRS_MAX`] at most. Neighbours alone would not do: of two names with
/// one hash, the other one may stand between two entries of the first.
#[derive(Debug, Default)]
pub(crate) struct Equals {
    /// The entries of the last name.
    run: Vec<Entry>,
    /// The older first; those of one newer entry follow each other.
    pub(crate) pairs: Vec<(Entry, Entry)>,
}

impl Equals {
    pub(crate) fn meet(&mut self, entry: Entry) {
        let room = PAIRS_MAX - self.pairs.len();
        if self.run.first().is_some_and(|first| first.name() != entry.name()) {
            self.run.clear();
        }
        self.pairs.extend(self.run.iter().take(room).map(|older| (*older, entry)));
        if room > 0 {
            self.run.push(entry);
        }
    }
}

/// Sorts on both sides of the middle at the same time.
pub(crate) fn sort(entries: &mut [Entry]) {
    let middle = entries.len() / 2;
    if middle < SPLIT_MIN {
        return entries.sort_unstable();
    }
    let (lower, _, upper) = entries.select_nth_unstable(middle);
    std::thread::scope(|scope| {
        scope.spawn(|| lower.sort_unstable());
        upper.sort_unstable();
    });
}

/// Writes a sorted file, durably.
fn write(place: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(place)?);
    for entry in entries {
        file.write_all(&entry.0.to_le_bytes())?;
    }
    file.into_inner()?.sync_data()
}

/// The entries of this name in a sorted file, so many at most.
fn find(file: &mut File, entries: u64, name: u128, limit: usize) -> io::Result<Vec<Entry>> {
    let (mut low, mut high) = (0, entries);
    let mut at = |place: u64| -> io::Result<Entry> {
        let mut bytes = [0; 16];
        file.seek(SeekFrom::Start(place * ENTRY_BYTES))?;
        file.read_exact(&mut bytes)?;
        Ok(Entry(u128::from_le_bytes(bytes)))
    };
    while low < high {
        let middle = low.midpoint(high);
        if at(middle)?.name() < name { low = middle + 1 } else { high = middle }
    }
    let mut found = Vec::new();
    while low < entries && found.len() < limit {
        let entry = at(low)?;
        if entry.name() != name {
            break;
        }
        found.push(entry);
        low += 1;
    }
    Ok(found)
}

/// A file of entries, from its start.
struct Reader {
    file: BufReader<File>,
    left: u64,
}

impl Reader {
    fn open(place: &Path, entries: u64) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(64 << 10, File::open(place)?), left: entries })
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut bytes = [0; 16];
        self.file.read_exact(&mut bytes)?;
        Ok(Some(Entry(u128::from_le_bytes(bytes))))
    }
}

/// Finds the records that have the name of an older one, and compares their texts.
pub(crate) fn report(
    parts: &Parts<'_>,
    evidence: &Evidence,
    head: &SignedHead,
    state: &mut State,
) -> Result<(), Error> {
    let pairs = state.index().pairs().map_err(|source| state.failed(source))?;
    let mut told = None;
    for (older, newer) in pairs {
        let (Some(first), Some(second)) = (older.id(), newer.id()) else { continue };
        // The oldest of its name is enough.
        if told == Some(second) {
            continue;
        }
        let (one, other) = (text_of(parts, head, first)?, text_of(parts, head, second)?);
        let (Some(one), Some(other)) = (one, other) else {
            // The tiles were there a moment ago. What the hashes say is all there is to go by.
            let text =
                format!("its name hashes like that of record {first}, and their texts cannot be read again");
            state.keep(evidence, Found::bare(Finding::of(Kind::Duplicate, text).about(second)))?;
            continue;
        };
        let name = read(&one).name;
        if let Some((module, version)) = name.filter(|name| read(&other).name == Some(*name)) {
            told = Some(second);
            let text = format!("{module} {version} has a record already: {first}");
            let both =
                [format!("{first}\n").as_bytes(), &one, format!("\n{second}\n").as_bytes(), &other].concat();
            state.keep(
                evidence,
                Found::with(Finding::of(Kind::Duplicate, text).about(second), "duplicate", &both),
            )?;
        }
    }
    Ok(())
}

/// The authentic text of a record, if it can be had.
pub(crate) fn text_of(parts: &Parts<'_>, head: &SignedHead, id: RecordId) -> Result<Option<Vec<u8>>, Error> {
    let tile = Tile::data(id.get() / WIDTH, 1).and_then(|tile| tile.in_tree(head.size()));
    let Some(tile) = tile else { return Ok(None) };
    let bytes = match source::proven_tile(parts.source, head, tile) {
        Ok(bytes) => bytes,
        Err(Unsettled::Away(away)) => return Err(away.into()),
        Err(Unsettled::Refused(_)) => return Ok(None),
    };
    let position = usize::try_from(id.get() % WIDTH).unwrap_or_default();
    Ok(cut(&bytes, tile.width()).ok().and_then(|texts| texts.get(position).map(|text| text.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: u8, id: u64) -> Entry {
        Entry::new([name; 10], RecordId::new(id).unwrap())
    }

    fn ids(pairs: Vec<(Entry, Entry)>) -> Vec<(u64, u64)> {
        pairs.iter().map(|(a, b)| (a.id().unwrap().get(), b.id().unwrap().get())).collect()
    }

    #[test]
    fn equal_names_are_found_among_recent_and_sorted_ones_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        index.push(&[entry(5, 0), entry(1, 1), entry(5, 2)]).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(0, 2)]);
        assert_eq!(ids(index.pairs().unwrap()), []);
        index.seal().unwrap();
        index.push(&[entry(9, 3), entry(1, 4)]).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(1, 4)]);
        assert_eq!(ids(index.pairs().unwrap()), []);
    }

    #[test]
    fn merging_finds_what_lies_in_different_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        for (name, id) in [(3, 0), (2, 1), (3, 2), (7, 3), (2, 4)] {
            index.push(&[entry(name, id)]).unwrap();
            index.seal().unwrap();
        }
        assert_eq!(ids(index.pairs().unwrap()), [(1, 4), (0, 2)]);
        assert_eq!(index.manifest.sorted.len(), 1);
        index.push(&[entry(7, 5)]).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(3, 5)]);
    }

    /// The hash is not salted: somebody may make two names that have one. Between two records of a name the other one's
    /// must not hide that they are two.
    #[test]
    fn every_pair_of_equal_hashes_is_given_out() {
        let pairs = [(0, 2), (0, 3), (2, 3)];
        let entries = [entry(5, 0), entry(1, 1), entry(5, 2), entry(5, 3)];
        let folder = tempfile::tempdir().unwrap();
        // Among recent ones.
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        index.push(&entries).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), pairs);
        // Between recent ones and those in the sorted file.
        index.seal().unwrap();
        index.push(&[entry(5, 4), entry(5, 5)]).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(0, 4), (2, 4), (3, 4), (0, 5), (2, 5), (3, 5), (4, 5)]);
        // In files that are merged.
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        for entry in entries {
            index.push(&[entry]).unwrap();
            index.seal().unwrap();
        }
        assert_eq!(ids(index.pairs().unwrap()), pairs);
    }

    #[test]
    fn no_more_than_so_many_pairs_are_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        let entries: Vec<Entry> = (0..1_000).map(|id| entry(5, id)).collect();
        index.push(&entries).unwrap();
        assert_eq!(index.pairs().unwrap().len(), PAIRS_MAX);
        index.seal().unwrap();
        index.push(&[entry(5, 1_000)]).unwrap();
        assert_eq!(index.pairs().unwrap().len(), 1_000);
        assert_eq!(index.merge().unwrap().len(), PAIRS_MAX);
    }

    #[test]
    fn a_duplicate_inside_the_first_sorted_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        index.push(&[entry(5, 0), entry(1, 1), entry(5, 2)]).unwrap();
        index.seal().unwrap();
        let saved = index.save().unwrap();
        drop(index);
        let mut index = Index::open(folder.path(), &saved).unwrap();
        index.push(&[entry(9, 3)]).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(0, 2)]);
        assert_eq!(ids(index.pairs().unwrap()), []);
    }

    #[test]
    fn what_could_not_be_sealed_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(&folder.path().join("later"), &Manifest::default()).unwrap();
        index.push(&[entry(5, 0), entry(1, 1)]).unwrap();
        index.seal().unwrap();
        index.push(&[entry(5, 2)]).unwrap();
        assert!(index.save().is_err());
        std::fs::create_dir(folder.path().join("later")).unwrap();
        index.seal().unwrap();
        assert_eq!(ids(index.pairs().unwrap()), [(0, 2)]);
    }

    #[test]
    fn many_are_sorted_as_few() {
        let mut entries: Vec<Entry> = (0..200_000).map(|n: u64| entry((n * 167 % 251) as u8, n)).collect();
        sort(&mut entries);
        assert!(entries.is_sorted());
    }

    #[test]
    fn what_was_not_saved_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path(), &Manifest::default()).unwrap();
        index.push(&[entry(1, 0)]).unwrap();
        let saved = index.save().unwrap();
        index.push(&[entry(1, 1)]).unwrap();
        let later = index.save().unwrap();
        assert_ne!(saved, later);
        // The crash: the second save never reached state.json.
        let mut index = Index::open(folder.path(), &saved).unwrap();
        assert_eq!(ids(index.pairs().unwrap()), []);
        index.push(&[entry(1, 1)]).unwrap();
        let saved = index.save().unwrap();
        index.sweep(&saved).unwrap();
        assert_eq!(Index::open(folder.path(), &saved).unwrap().recent, index.recent);
    }
}
