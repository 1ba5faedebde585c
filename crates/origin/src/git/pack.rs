//! A pack becomes objects, while it arrives.
//!
//! Everything is done once: an entry is inflated as it comes in, hashed on another thread, and kept inflated in a
//! [`Spool`]; then deltas are applied, each to a base that lies ready, on all cores. Nothing here calls itself, so no
//! chain is too deep for the stack; every size is compared with its limit before memory or disk is taken (C15). An
//! object's name is what its contents hash to, so a pack cannot give an object a false one (C16).
//!
//! Format: gitformat-pack, version 2.

mod delta;
mod input;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use input::{Fault, Input};

use crate::git::object::{Hasher, id_of, raw_len};
use crate::git::spool::{AtHand, NoRoom, Slot, Spool};
use crate::git::tree::{ObjectId, ObjectKind};
use crate::git::wire::ObjectFormat;

/// What a pack may cost us (`hostile-inputs.md` part 1, C15).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "limits end in `_max` in this house")]
pub(crate) struct PackLimits {
    /// The most objects. Default 4,000,000: twice the largest histories known, some 300 MiB of memory.
    pub(crate) objects_max: u32,
    /// The largest single object. Default 1 GiB: twice what a module may hold, because it may be a file of another one.
    pub(crate) object_bytes_max: u64,
    /// The longest chain of deltas. Default 4,095, git's own limit.
    pub(crate) chain_max: u32,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self { objects_max: 4_000_000, object_bytes_max: 1 << 30, chain_max: 4095 }
    }
}

/// Why a pack did not become objects.
#[derive(Debug)]
pub(crate) enum PackError {
    /// The stream broke off; whoever feeds it knows why.
    Stream(io::Error),
    /// It is no pack.
    Malformed(String),
    /// It is larger than we allow: which limit.
    Limit(&'static str),
    /// Our own disk.
    Disk(modkeep_store::Error),
}

impl From<NoRoom> for PackError {
    fn from(error: NoRoom) -> Self {
        match error {
            NoRoom::Limit(_) => Self::Limit("the disk space of one fetch"),
            NoRoom::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<Fault> for PackError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Stream(error) => Self::Stream(error),
            Fault::Malformed(what) => Self::Malformed(what.to_owned()),
        }
    }
}

/// Contents of bases that are not in a thin pack.
pub(crate) type Bases<'a> = &'a (dyn Fn(&ObjectId) -> Option<(ObjectKind, Vec<u8>)> + Sync);

/// Objects up to this size are hashed on the other thread; larger ones pass through in pieces.
const SMALL_BYTES: u64 = 256 << 10;
/// How many of them may wait for their hash.
const WAITING: usize = 32;
/// Threads that apply deltas: as many as cores, and no more than make sense.
const THREADS_MAX: usize = 4;

/// What a delta stands on.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// The entry with this number.
    Entry(u32),
    /// The object of that id, in the pack or elsewhere.
    Id(ObjectId),
}

/// One entry of the pack.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it begins in the pack.
    at: u64,
    /// Its contents; of a delta, its instructions.
    offset: u64,
    len: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Whole(ObjectKind),
    Delta(Base),
}

/// Reads a pack to its end.
///
/// Blocking and busy. With `bases` the pack may be thin: what cannot be resolved even with them is left out. Without,
/// a delta that has no base is malformed, which covers cycles.
pub(crate) fn read(
    stream: impl Read,
    format: ObjectFormat,
    spool: Spool,
    limits: &PackLimits,
    bases: Option<Bases<'_>>,
) -> Result<AtHand, PackError> {
    let mut input = Input::new(stream, format);
    let count = header(&mut input, limits)?;
    let (entries, ids) = whole_objects(&mut input, count, format, &spool, limits)?;
    input.trailer()?;
    let mut resolving = Resolving { format, spool, limits, entries: &entries, ids };
    resolving.deltas(bases)?;
    let Resolving { spool, ids, .. } = resolving;
    drop(entries);
    Ok(AtHand::new(spool, ids.into_iter().flatten().collect()))
}

fn header<R: Read>(input: &mut Input<R>, limits: &PackLimits) -> Result<u32, PackError> {
    let head: [u8; 12] = input.array()?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if &head[..4] != b"PACK" || !matches!(number(4), 2 | 3) {
        return Err(PackError::Malformed("not a pack of version 2".to_owned()));
    }
    if number(8) > limits.objects_max {
        Err(PackError::Limit("the objects of one pack"))
    } else {
        Ok(number(8))
    }
}

type Named = Option<(ObjectId, Slot)>;

/// Inflates all entries; hashes those that are no deltas.
fn whole_objects<R: Read>(
    input: &mut Input<R>,
    count: u32,
    format: ObjectFormat,
    spool: &Spool,
    limits: &PackLimits,
) -> Result<(Vec<Entry>, Vec<Named>), PackError> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let (back, empty) = sync_channel(WAITING + 2);
        let hashing = scope.spawn(move || hash_all(format, &receiver, &back));
        let mut inflating =
            Inflating { input, spool, limits, sender, empty, entries: Vec::new(), ids: Vec::new() };
        let outcome = inflating.all(count, format);
        let Inflating { entries, mut ids, sender, .. } = inflating;
        drop(sender);
        let hashed =
            hashing.join().map_err(|_| PackError::Malformed("the hashing thread panicked".to_owned()))?;
        outcome?;
        ids.resize(entries.len(), None);
        for (number, id) in hashed {
            let entry = &entries[number as usize];
            let What::Whole(kind) = entry.what else { continue };
            ids[number as usize] = Some((id.ok_or_else(collision)?, slot(entry, kind)));
        }
        Ok((entries, ids))
    })
}

fn slot(entry: &Entry, kind: ObjectKind) -> Slot {
    Slot { kind, offset: entry.offset, len: entry.len }
}

fn collision() -> PackError {
    PackError::Malformed("an object made to collide with another (SHA-1)".to_owned())
}

/// A small object on its way to its hash.
type Waiting = (u32, ObjectKind, Vec<u8>);

fn hash_all(
    format: ObjectFormat,
    receiver: &Receiver<Waiting>,
    back: &SyncSender<Vec<u8>>,
) -> Vec<(u32, Option<ObjectId>)> {
    let hash = |(number, kind, contents): Waiting| {
        let id = id_of(format, kind, &contents);
        let _ = back.try_send(contents); // one buffer more or less
        (number, id)
    };
    receiver.iter().map(hash).collect()
}

struct Inflating<'a, R> {
    input: &'a mut Input<R>,
    spool: &'a Spool,
    limits: &'a PackLimits,
    sender: SyncSender<Waiting>,
    empty: Receiver<Vec<u8>>,
    entries: Vec<Entry>,
    ids: Vec<Named>,
}

impl<R: Read> Inflating<'_, R> {
    fn all(&mut self, count: u32, format: ObjectFormat) -> Result<(), PackError> {
        for number in 0..count {
            let at = self.input.consumed();
            let (kind, size) = self.entry_header()?;
            if size > self.limits.object_bytes_max {
                return Err(PackError::Limit("the size of one object"));
            }
            let what = self.what(kind, at, format)?;
            let offset = self.spool.reserve(size)?;
            self.entries.push(Entry { at, offset, len: size, what });
            self.contents(number, what, size, offset, format)?;
        }
        Ok(())
    }

    /// Kind (3 bits) and size, seven bits in each byte after the first.
    fn entry_header(&mut self) -> Result<(u8, u64), PackError> {
        let mut byte = self.input.byte()?;
        let kind = byte >> 4 & 7;
        let (mut size, mut shift) = (u64::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = self.input.byte()?;
            if shift > 56 {
                return Err(PackError::Malformed("a size of more than 64 bits".to_owned()));
            }
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok((kind, size))
    }

    fn what(&mut self, kind: u8, at: u64, format: ObjectFormat) -> Result<What, PackError> {
        Ok(match kind {
            1 => What::Whole(ObjectKind::Commit),
            2 => What::Whole(ObjectKind::Tree),
            3 => What::Whole(ObjectKind::Blob),
            4 => What::Whole(ObjectKind::Tag),
            6 => What::Delta(Base::Entry(self.earlier_entry(at)?)),
            7 => What::Delta(Base::Id(self.input.id(raw_len(format))?)),
            _ => return Err(PackError::Malformed(format!("an object of kind {kind}"))),
        })
    }

    /// The entry that begins a given distance before `at`. Always an earlier one, so there are no cycles.
    fn earlier_entry(&mut self, at: u64) -> Result<u32, PackError> {
        let mut byte = self.input.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.input.byte()?;
            let more = (distance + 1).checked_mul(128).map(|more| more | u64::from(byte & 0x7f));
            distance = more.ok_or_else(|| PackError::Malformed("a base before the pack".to_owned()))?;
        }
        let base = at.checked_sub(distance).and_then(|at| {
            self.entries
                .binary_search_by_key(&at, |entry| entry.at)
                .ok()
                .and_then(|base| u32::try_from(base).ok())
        });
        base.ok_or_else(|| PackError::Malformed("a delta whose base is no entry".to_owned()))
    }

    fn contents(
        &mut self,
        number: u32,
        what: What,
        size: u64,
        offset: u64,
        format: ObjectFormat,
    ) -> Result<(), PackError> {
        if size <= SMALL_BYTES {
            let mut contents = self.empty.try_recv().unwrap_or_default();
            contents.clear();
            self.input.inflate(size, |piece| -> Result<(), PackError> {
                contents.extend_from_slice(piece);
                Ok(())
            })?;
            self.spool.write_at(&contents, offset)?;
            if let What::Whole(kind) = what {
                let gone = |_| PackError::Malformed("the hashing thread ended".to_owned());
                self.sender.send((number, kind, contents)).map_err(gone)?;
            }
            return Ok(());
        }
        let mut hasher = match what {
            What::Whole(kind) => Some((kind, Hasher::new(format, kind, size))),
            What::Delta(_) => None,
        };
        let mut at = offset;
        let spool = self.spool;
        self.input.inflate(size, |piece| -> Result<(), PackError> {
            if let Some((_, hasher)) = &mut hasher {
                hasher.update(piece);
            }
            spool.write_at(piece, at)?;
            at += piece.len() as u64;
            Ok(())
        })?;
        if let Some((kind, hasher)) = hasher {
            let id = hasher.finish().ok_or_else(collision)?;
            self.ids.resize(number as usize, None);
            self.ids.push(Some((id, Slot { kind, offset, len: size })));
        }
        Ok(())
    }
}

/// Deltas being applied.
struct Resolving<'a> {
    format: ObjectFormat,
    spool: Spool,
    limits: &'a PackLimits,
    entries: &'a [Entry],
    ids: Vec<Named>,
}

/// A delta whose base lies ready, and how many deltas that one stands on.
#[derive(Clone, Copy)]
struct Ready {
    entry: u32,
    base: Slot,
    depth: u32,
}

impl Resolving<'_> {
    fn deltas(&mut self, bases: Option<Bases<'_>>) -> Result<(), PackError> {
        let mut by_entry: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut by_id: HashMap<ObjectId, Vec<u32>> = HashMap::new();
        for (number, entry) in (0..).zip(self.entries) {
            match entry.what {
                What::Delta(Base::Entry(base)) => by_entry.entry(base).or_default().push(number),
                What::Delta(Base::Id(base)) => by_id.entry(base).or_default().push(number),
                What::Whole(_) => {}
            }
        }
        let mut waiting = Waits { by_entry, by_id };
        let mut ready = Vec::new();
        for (number, named) in (0..).zip(&self.ids) {
            if let Some((id, base)) = named {
                ready.extend(waiting.for_base(number, id).map(|entry| Ready {
                    entry,
                    base: *base,
                    depth: 1,
                }));
            }
        }
        self.generations(ready, &mut waiting)?;
        if let Some(bases) = bases {
            self.thin(bases, &mut waiting)?;
        } else if !waiting.by_id.is_empty() || !waiting.by_entry.is_empty() {
            return Err(PackError::Malformed("a delta without its base".to_owned()));
        }
        Ok(())
    }

    /// Bases from elsewhere, one after the other; each may make others possible.
    fn thin(&mut self, bases: Bases<'_>, waiting: &mut Waits) -> Result<(), PackError> {
        let asked: Vec<ObjectId> = waiting.by_id.keys().copied().collect();
        for id in asked {
            if !waiting.by_id.contains_key(&id) {
                continue;
            }
            let Some((kind, contents)) = bases(&id) else { continue };
            let len = contents.len() as u64;
            let offset = self.spool.reserve(len)?;
            self.spool.write_at(&contents, offset)?;
            let base = Slot { kind, offset, len };
            self.ids.push(Some((id, base)));
            let ready = waiting.by_id.remove(&id).into_iter().flatten();
            let ready = ready.map(|entry| Ready { entry, base, depth: 1 }).collect();
            self.generations(ready, waiting)?;
        }
        Ok(())
    }

    /// Applies deltas generation by generation: what becomes possible by one is the next.
    fn generations(&mut self, mut ready: Vec<Ready>, waiting: &mut Waits) -> Result<(), PackError> {
        while !ready.is_empty() {
            let made = self.apply_all(&ready)?;
            let mut next = Vec::new();
            for (Ready { entry, depth, .. }, (id, base)) in ready.iter().zip(made) {
                self.ids[*entry as usize] = Some((id, base));
                let depth = depth + 1;
                next.extend(waiting.for_base(*entry, &id).map(|entry| Ready { entry, base, depth }));
                if depth > self.limits.chain_max && !next.is_empty() {
                    return Err(PackError::Limit("the length of a chain of deltas"));
                }
            }
            ready = next;
        }
        Ok(())
    }

    /// Applies each delta to its base, on all cores when there are many.
    fn apply_all(&self, ready: &[Ready]) -> Result<Vec<(ObjectId, Slot)>, PackError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        if ready.len() < 64 || threads == 1 {
            let mut applier = self.applier();
            return ready.iter().map(|one| applier.apply(one)).collect();
        }
        let (next, outcome) = (AtomicUsize::new(0), Mutex::new(vec![None; ready.len()]));
        std::thread::scope(|scope| {
            let work = || -> Result<(), PackError> {
                let (mut applier, mut made) = (self.applier(), Vec::new());
                // In pieces, so that neighbours, which often share a base, stay together.
                loop {
                    let start = next.fetch_add(32, Ordering::Relaxed);
                    let Some(piece) = ready.get(start..ready.len().min(start + 32)) else { break };
                    for (at, one) in (start..).zip(piece) {
                        made.push((at, applier.apply(one)?));
                    }
                    if piece.is_empty() {
                        break;
                    }
                }
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                for (at, one) in made {
                    outcome[at] = Some(one);
                }
                Ok(())
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(PackError::Malformed("a thread panicked".to_owned()));
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(panicked))
        })?;
        let made = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(made.into_iter().flatten().collect())
    }

    fn applier(&self) -> delta::Applier<'_> {
        delta::Applier::new(self.format, &self.spool, self.limits.object_bytes_max, self.entries)
    }
}

/// Deltas that wait for their base.
struct Waits {
    by_entry: HashMap<u32, Vec<u32>>,
    by_id: HashMap<ObjectId, Vec<u32>>,
}

impl Waits {
    /// Those that wait for this one, which is here now.
    fn for_base(&mut self, entry: u32, id: &ObjectId) -> impl Iterator<Item = u32> + use<> {
        let by_entry = self.by_entry.remove(&entry).into_iter().flatten();
        by_entry.chain(self.by_id.remove(id).into_iter().flatten())
    }
}

#[cfg(test)]
mod tests;
