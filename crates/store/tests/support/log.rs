//! A small log with a script: records, tiles and heads that say what they are, signed by nobody.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modkeep_store::contract::{head, own};
use modkeep_store::{
    Error, HeadCommit, LogRecord, LogStore, LogTuning, LogWriter, NewRecord, RecordSource, Sequenced,
};
use modkeep_tlog::{Level, RecordId, Tile, TreeSize};

/// Two files of keys, which grow within some hundred records, and a mark that moves often and in order.
pub(crate) const SMALL: LogTuning =
    LogTuning { key_shards: 2, mark_every: 40, mark_in_line: true, mutant: None };

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub(crate) fn size(records: u64) -> TreeSize {
    TreeSize::new(records).unwrap()
}

/// A version that is one of `number`: the same number gives the same record.
pub(crate) fn record(number: u64) -> NewRecord {
    let new = own(&format!("example.com/m{}", number % 7), &format!("v1.{number}.0"), 1);
    if number % 11 != 5 {
        return new;
    }
    let proof = format!("proof of {number}\n").repeat(20).into_bytes();
    NewRecord { source: RecordSource::Upstream("sum.example.org".into()), provenance: Some(proof), ..new }
}

pub(crate) fn records(numbers: std::ops::Range<u64>) -> Vec<NewRecord> {
    numbers.map(record).collect()
}

/// What a full tile holds in these tests.
pub(crate) fn tile_bytes(tile: &Tile) -> Vec<u8> {
    tile.path().repeat(40).into_bytes()
}

/// The full tiles that a log has when it grows.
pub(crate) fn tiles(before: u64, after: u64) -> Vec<(Tile, Vec<u8>)> {
    let numbers = before / 256..after / 256;
    let pair = |number| [Tile::data(number, 256), Tile::hashes(Level::LEAVES, number, 256)];
    let tiles = numbers.flat_map(pair).flatten();
    tiles.map(|tile| (tile, tile_bytes(&tile))).collect()
}

/// What transaction B makes of a log: one head, and an edge that tells its size.
pub(crate) fn commit(writer: &mut LogWriter, built: u64, covers: u64) -> Result<(), Error> {
    let edge = [vec![u8::try_from(covers % 251).unwrap(); 32]];
    writer.commit_heads(HeadCommit { built: size(built), heads: &[head(covers, 1)], edge: &edge })
}

/// Which record each module version has, as a map beside the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    ids: HashMap<(String, String), RecordId>,
}

impl Model {
    pub(crate) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Checks the outcomes of a batch, and learns from them.
    pub(crate) fn learn(&mut self, batch: &[NewRecord], outcomes: &[Sequenced], context: &str) {
        assert_eq!(batch.len(), outcomes.len(), "{context}");
        for (new, outcome) in batch.iter().zip(outcomes) {
            let key = (new.record.module.clone(), new.record.version.clone());
            let expected = match self.ids.get(&key) {
                Some(id) => Sequenced::Known { id: *id, is_same: true },
                None => Sequenced::New(RecordId::new(self.len()).unwrap()),
            };
            assert_eq!(*outcome, expected, "{context}: {key:?}");
            self.ids.insert(key, outcome.id());
        }
    }

    /// Asserts the same as [`assert_in`](Self::assert_in), but looks only some versions up one by one: that every other is
    /// found, and alone, is said by the comparison of the whole index with the rows.
    #[allow(dead_code)] // the crash test alone
    pub(crate) fn assert_in_at_once(&self, log: &LogStore, context: &str) {
        let sequenced = log.state().unwrap().sequenced.get();
        assert!(sequenced >= self.len(), "{context}: records are lost");
        let all = log.records(RecordId::new(0).unwrap(), u32::MAX).unwrap();
        assert_eq!(all.len() as u64, sequenced, "{context}");
        assert_eq!(log.check_keys(3).unwrap(), [], "{context}: a duplicate, or one that is not found (R7)");
        let mut kept = 0;
        for row in all {
            let LogRecord { id, record, source, .. } = row;
            if id.get() % 61 == 7 {
                assert_eq!(log.find(&record.module, &record.version).unwrap(), Some(id), "{context}");
            }
            if source != RecordSource::Own {
                assert!(log.provenance(id).unwrap().is_some(), "{context}: the proof of record {id} is lost");
            }
            if let Some(known) = self.ids.get(&(record.module, record.version)) {
                assert_eq!(*known, id, "{context}: an id has changed");
                kept += 1;
            }
        }
        assert_eq!(kept, self.len(), "{context}: records are lost");
    }

    /// Asserts that a log holds all of this, and that what more it holds is contiguous and comes once.
    #[allow(dead_code)] // the fault test alone
    pub(crate) fn assert_in(&self, log: &LogStore, context: &str) {
        let sequenced = log.state().unwrap().sequenced.get();
        assert!(sequenced >= self.len(), "{context}: records are lost");
        let all = log.records(RecordId::new(0).unwrap(), u32::MAX).unwrap();
        assert_eq!(all.len() as u64, sequenced, "{context}");
        let mut seen = HashMap::new();
        for row in all {
            let key = (row.record.module, row.record.version);
            assert_eq!(log.find(&key.0, &key.1).unwrap(), Some(row.id), "{context}: {key:?}");
            assert_eq!(seen.insert(key, row.id), None, "{context}: a duplicate (R7)");
        }
        for (key, id) in &self.ids {
            assert_eq!(seen.get(key), Some(id), "{context}: {key:?}");
        }
    }
}

/// Asserts that every full tile below the built size is there (R6), and the head too.
pub(crate) fn assert_built(log: &LogStore, context: &str) {
    let built = log.state().unwrap().built.get();
    for (tile, bytes) in tiles(0, built) {
        assert_eq!(log.tile(&tile).unwrap().as_ref(), Some(&bytes), "{context}: {}", tile.path());
    }
    let newest = log.newest_head().unwrap();
    assert_eq!(newest.map_or(0, |head| head.size.get()), built, "{context}");
}

/// Brings a log to the end of the script: all records of `numbers`, in tiles, under a head.
pub(crate) fn finish(log: &LogStore, numbers: std::ops::Range<u64>) -> Result<Model, Error> {
    let mut writer = log.writer()?;
    let mut model = Model::default();
    let known = log.records(RecordId::new(0).unwrap(), u32::MAX)?;
    for row in known {
        model.ids.insert((row.record.module, row.record.version), row.id);
    }
    let batch = records(numbers);
    let outcomes = writer.sequence(&batch, now())?;
    model.learn(&batch, &outcomes, "at the end");
    let state = log.state()?;
    writer.put_tiles(&tiles(state.built.get() / 256 * 256, state.sequenced.get()))?;
    if state.built < state.sequenced {
        commit(&mut writer, state.built.get(), state.sequenced.get())?;
    }
    Ok(model)
}
