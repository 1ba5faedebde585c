//! The reading side.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use modkeep_tlog::{RecordId, Tile, TreeSize};
use rusqlite::Connection;

use crate::blobs::{BlobEntry, Room};
use crate::disk::EntryKind;
use crate::engine::damaged;
use crate::error::Error;
use crate::ledger::readers::Readers;
use crate::log::keys::{Digest, KEYS, Keys};
use crate::log::restored::RESTORED;
use crate::log::seen::SEEN;
use crate::log::tiles::{self, TileFile};
use crate::log::{
    CHECKPOINT, DATABASE, FOLDER, LATEST, LeafChain, LogRecord, LogRow, LogState, LogTuning, LogWriter,
    StoredHead, rows,
};
use crate::store::Inner as StoreInner;

/// The matter of the log. Cheap to clone; its calls block, briefly.
#[derive(Clone, Debug)]
pub struct LogStore(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    // Declared first, so dropped first: the last connection to close tidies the WAL away, while the store's lock is held.
    pub(super) readers: Readers,
    pub(super) keys: Arc<Keys>,
    pub(super) store: Arc<StoreInner>,
    pub(super) tuning: LogTuning,
}

/// One thing that the key index and the rows do not agree on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyFault {
    /// There is no file of the index: somebody removed it. The next writer makes it again.
    Absent,
    /// A record is not found by its module version, or another one is too: then that has two (R7).
    Missing(RecordId),
    /// The index has more or fewer entries than the log has records.
    Count {
        /// Entries of the index.
        entries: u64,
        /// Records of the log.
        records: u64,
    },
    /// A file is damaged, so that nothing can be said; the reason. The next writer makes the index again.
    Damaged(String),
}

/// What a module version is filed under in the key index: ten bytes of a hash that is salted, so that nobody chooses names
/// that fall together. Equal ones are a hint; the texts decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyName(Digest);

impl KeyName {
    /// Its bytes.
    pub fn bytes(self) -> [u8; 10] {
        self.0.0
    }
}

/// What the key index has to hold for the first records of a log, in one number: the sum over all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeySum {
    records: u64,
    sum: u128,
}

impl KeySum {
    /// Adds the next record: the first one added has id 0, and so on, without a gap.
    pub fn add(&mut self, name: KeyName) {
        self.sum = self.sum.wrapping_add(name.0.fingerprint(self.records));
        self.records += 1;
    }

    /// How many were added.
    pub fn records(self) -> u64 {
        self.records
    }
}

/// The longest file that [`LogStore::published`] reads: a note has less than this (I10).
const PUBLISHED_BYTES_MAX: u64 = 1 << 20;

impl Inner {
    pub(super) fn room(&self) -> &Room {
        self.store.room()
    }

    /// The record of a module version, on a connection of the caller's.
    pub(super) fn find(
        &self,
        connection: &Connection,
        module: &str,
        version: &str,
    ) -> Result<Option<u64>, Error> {
        let digest = self.keys.digest(module, version);
        loop {
            // Asked first: what is filed after this moment is found in the rows.
            let filed = self.keys.filed();
            for id in self.keys.candidates(digest)? {
                if rows::sums_if(connection, id, module, version)?.is_some() {
                    return Ok(Some(id));
                }
            }
            // Nothing, as a rule, or the batch of this instant. Beside another process: what it has added since its mark.
            let sequenced = rows::sequenced(connection)?;
            let unfiled = sequenced.saturating_sub(filed);
            let mark_every = self.tuning.mark_at(sequenced);
            if unfiled > mark_every / 8 && self.keys.follow(rows::key_state(connection)?.mark)? {
                continue;
            }
            // A start after a crash leaves a quarter of this to file, and a failed batch itself. Beside an index that is made
            // again from nothing each search would read all rows; so it reads a small part of them, or none.
            if unfiled <= mark_every * 4 + BATCH {
                return rows::find_from(connection, filed, module, version);
            }
            let reason = "it is being made again, or nobody has done so yet".to_owned();
            return Err(Error::Corrupt { name: format!("{FOLDER}/{KEYS}"), reason });
        }
    }
}

/// No batch of the sequencer is larger (C3).
const BATCH: u64 = 4096;

impl LogStore {
    /// Takes the right to write. Every earlier writer is fenced from this moment on: its next transaction is
    /// [`Error::Fenced`] (R28). [`Error::ReadOnly`] where the store takes no writes.
    ///
    /// What an earlier process sequenced and did not file in the key index is filed now; an index that is not to be
    /// trusted is made again, at some microseconds a record.
    pub fn writer(&self) -> Result<LogWriter, Error> {
        LogWriter::take(self.clone())
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.0.readers.run(work)
    }

    /// Where the log stands.
    pub fn state(&self) -> Result<LogState, Error> {
        self.read(rows::state)
    }

    /// The chain over the leaf hashes of the newest records as their callers gave them, and the size where it ends: it
    /// covers at least every record without a head. `None` when that is unknown.
    pub fn leaf_chain(&self) -> Result<Option<(LeafChain, TreeSize)>, Error> {
        self.read(rows::chain)
    }

    /// The head of the largest size; `None` before the first.
    pub fn newest_head(&self) -> Result<Option<StoredHead>, Error> {
        self.read(rows::newest_head)
    }

    /// The newest head whose size is a multiple of 256 and not 0 (C5).
    pub fn newest_aligned_head(&self) -> Result<Option<StoredHead>, Error> {
        self.read(rows::newest_aligned_head)
    }

    /// The smallest kept head that covers `size` records.
    pub fn head_at_least(&self, size: TreeSize) -> Result<Option<StoredHead>, Error> {
        self.read(|connection| rows::head_at_least(connection, size))
    }

    /// Kept heads smaller than `before` (or all), largest first; at most `limit`. All aligned ones are kept, and the last
    /// 1,000 others (C2).
    pub fn heads(&self, before: Option<TreeSize>, limit: u32) -> Result<Vec<StoredHead>, Error> {
        self.read(|connection| rows::heads(connection, before, limit))
    }

    /// The keys that ever signed heads of this log, in their verifier form.
    pub fn remembered_keys(&self) -> Result<Vec<String>, Error> {
        self.read(rows::remembered_keys)
    }

    /// Records from an id on, in order; at most `limit`. Their ids follow each other without a gap, or
    /// [`Error::Ledger`].
    pub fn records(&self, from: RecordId, limit: u32) -> Result<Vec<LogRecord>, Error> {
        let found = self.read(|connection| rows::records(connection, from.get(), limit))?;
        let is_row = found.iter().zip(from.get()..).all(|(record, id)| record.id.get() == id);
        if is_row { Ok(found) } else { Err(damaged(format!("a record after {from} is missing"))) }
    }

    /// Lends at most `limit` records from an id on, in order. As for [`records`](Self::records), ids follow each other without a
    /// gap, or [`Error::Ledger`]; those before the gap were met. The store is being read meanwhile: `meet` does not call it.
    pub fn each_record(
        &self,
        from: RecordId,
        limit: u32,
        meet: &mut dyn FnMut(LogRow<'_>),
    ) -> Result<(), Error> {
        let mut next = from.get();
        self.read(|connection| {
            rows::each_record(connection, from.get(), limit, |row| {
                if row.id.get() != next {
                    return Err(damaged(format!("record {next} is missing")));
                }
                next += 1;
                meet(row);
                Ok(())
            })
        })
    }

    /// What a module version is filed under in the key index, for [`KeySum::add`] and the search for two of a name.
    pub fn key_name(&self, module: &str, version: &str) -> KeyName {
        KeyName(self.0.keys.digest(module, version))
    }

    /// One record.
    pub fn record(&self, id: RecordId) -> Result<Option<LogRecord>, Error> {
        self.read(|connection| rows::record(connection, id.get()))
    }

    /// The record of a module version, covered by a head or not. [`Error::Corrupt`] when the key index is damaged, or is
    /// being made again: then nothing is known, and the next [`writer`](Self::writer) makes it again.
    pub fn find(&self, module: &str, version: &str) -> Result<Option<RecordId>, Error> {
        let found = self.read(|connection| self.0.find(connection, module, version))?;
        Ok(found.and_then(RecordId::new))
    }

    /// The bytes of a full tile; `None` when it was never put. A partial tile is never here: hashes of the open edge are in
    /// [`LogState::edge`], its records are the newest rows. Nothing is compared: the tree above proves a tile (A4).
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
        tiles::read(&*self.0.store.blobs, tile)
    }

    /// The proof that came with a record.
    pub fn provenance(&self, id: RecordId) -> Result<Option<Vec<u8>>, Error> {
        self.read(|connection| rows::provenance(connection, id))
    }

    /// The names of the databases that vouch for records, by the number that rows have for each.
    pub fn sources(&self) -> Result<HashMap<i64, String>, Error> {
        self.read(rows::sources)
    }

    /// One of them; `None` where the number stands for none, and no record that has it can be read.
    pub fn source(&self, number: i64) -> Result<Option<String>, Error> {
        self.read(|connection| rows::source(connection, number))
    }

    /// Which of `count` records from an id on have a proof that came with them, in order.
    pub fn proofs(&self, from: RecordId, count: u64) -> Result<Vec<RecordId>, Error> {
        let ids = self.read(|connection| rows::proofs(connection, from.get(), count))?;
        Ok(ids.into_iter().filter_map(RecordId::new).collect())
    }

    /// Ids of rows that no sequenced record has, at most about `limit`: of records, and of proofs. There are none. For the
    /// log's fsck.
    pub fn beyond(&self, limit: u32) -> Result<(Vec<i64>, Vec<i64>), Error> {
        let of = |table| self.read(|connection| rows::beyond(connection, table, limit));
        Ok((of("log_record")?, of("log_provenance")?))
    }

    /// The note that was published last (the file `latest`). It is not synced: after a power cut it may be an older one, or
    /// not a note at all, so whoever reads it verifies it.
    pub fn published(&self) -> Result<Option<Vec<u8>>, Error> {
        self.file(LATEST)
    }

    /// The checkpoint that was published last, in the same way.
    pub fn published_checkpoint(&self) -> Result<Option<Vec<u8>>, Error> {
        self.file(CHECKPOINT)
    }

    /// A small file of the log's folder.
    pub(super) fn file(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.0.room().root().join(FOLDER).join(name);
        let mut bytes = Vec::new();
        let read = self
            .0
            .room()
            .disk()
            .open(&path)
            .and_then(|file| file.take(PUBLISHED_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// The newest checkpoint with cosignatures, and its size.
    pub fn cosigned(&self) -> Result<Option<(TreeSize, Vec<u8>)>, Error> {
        self.read(rows::cosigned)
    }

    /// Meets every file below `log/tile`. For the log's fsck.
    pub fn walk_tiles(&self, meet: &mut dyn FnMut(TileFile) -> Result<(), Error>) -> Result<(), Error> {
        tiles::walk(&*self.0.store.blobs, meet)
    }

    /// What lies in the log's folder and is nothing of ours, by path below the data directory; files below `log/tile` apart,
    /// which are met by [`walk_tiles`](Self::walk_tiles). For the log's fsck.
    pub fn strays(&self) -> Result<Vec<String>, Error> {
        let blobs = &self.0.store.blobs;
        let keys = format!("{FOLDER}/{KEYS}");
        let mut strays = Vec::new();
        for BlobEntry { path, kind } in [blobs.list(FOLDER)?, blobs.list(&keys)?].into_iter().flatten() {
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            let is_ours = match name {
                "tile" | KEYS => kind == EntryKind::Directory && folder == FOLDER,
                LATEST | CHECKPOINT | RESTORED | SEEN => kind == EntryKind::File && folder == FOLDER,
                _ if folder == FOLDER => {
                    name.strip_prefix(DATABASE).is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm"))
                }
                // `.new` is left by a crash while a file grew.
                _ => self.0.keys.is_file(name.strip_suffix(".new").unwrap_or(name)),
            };
            if !is_ours {
                strays.push(path);
            }
        }
        Ok(strays)
    }

    /// Compares the key index with every row, which also tells whether a module version has two (R7). At most `limit`
    /// faults. For the log's fsck. A microsecond or two a record; some more where it has to name what differs.
    ///
    /// Beside a running server the newest records may not be filed yet; of those above the last mark only what contradicts
    /// another is a fault.
    pub fn check_keys(&self, limit: usize) -> Result<Vec<KeyFault>, Error> {
        self.check_keys_knowing(KeySum::default(), limit)
    }

    /// The same by a caller who has just read the first records: they are not read again, unless something differs.
    pub fn check_keys_knowing(&self, known: KeySum, limit: usize) -> Result<Vec<KeyFault>, Error> {
        if self.0.store.blobs.list(&format!("{FOLDER}/{KEYS}"))?.is_empty() {
            return Ok(vec![KeyFault::Absent]);
        }
        let check = |connection: &Connection| {
            if self.is_same(connection, known)? { Ok(Vec::new()) } else { self.compare(connection, limit) }
        };
        self.read(check).or_else(|error| match error {
            Error::Corrupt { name, reason } => Ok(vec![KeyFault::Damaged(format!("{name}: {reason}"))]),
            other => Err(other),
        })
    }

    /// Whether entries and rows are the same, each under a digest of its own.
    fn is_same(&self, connection: &Connection, known: KeySum) -> Result<bool, Error> {
        let (keys, records) = (&self.0.keys, rows::sequenced(connection)?);
        let survey = keys.survey(records)?;
        let KeySum { records: mut next, mut sum } = known;
        while next < records {
            let limit = u32::try_from(records - next).map_or(PAGE, |left| left.min(PAGE));
            let read = rows::each_name(connection, next, limit, |id, module, version| {
                sum = sum.wrapping_add(keys.digest(module, version).fingerprint(id));
                Ok(())
            })?;
            next = read.unwrap_or(records);
        }
        Ok(survey.are_plain && survey.entries == records && survey.fingerprint == sum)
    }

    /// Looks every row up.
    fn compare(&self, connection: &Connection, limit: usize) -> Result<Vec<KeyFault>, Error> {
        let (keys, mut faults, mut next) = (&self.0.keys, Vec::new(), 0);
        let (filed, records) = (keys.filed(), rows::sequenced(connection)?);
        while next < records && faults.len() < limit {
            let read = rows::each_name(connection, next, PAGE, |id, module, version| {
                let mut found = Vec::new();
                for other in keys.candidates(keys.digest(module, version))? {
                    found.extend(rows::sums_if(connection, other, module, version)?.map(|_| other));
                }
                if found != [id] && (id < filed || !found.is_empty()) {
                    faults.extend(RecordId::new(id).map(KeyFault::Missing));
                }
                Ok(())
            })?;
            next = read.unwrap_or(records);
        }
        let (entries, records) = (keys.survey(records)?.entries, rows::sequenced(connection)?);
        // Entries may be ahead of what this process knows to be filed, never of the rows.
        if entries < filed || entries > records {
            faults.push(KeyFault::Count { entries, records });
        }
        faults.truncate(limit);
        Ok(faults)
    }
}

/// How many rows are held at once on a walk.
pub(super) const PAGE: u32 = 4096;
