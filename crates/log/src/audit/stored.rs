//! Our own log as an auditor inside the process sees it: straight from the store, past every cache and server.

use modkeep_store::{Error, LogStore};
use modkeep_tlog::record::write_data_tile;
use modkeep_tlog::{LookupAnswer, LookupPath, RecordId, RecordText, Tile};

use crate::audit::source::{Away, Source};
use crate::audit::tree::{HASH, WIDTH};

/// The log in a store. Beside a running sequencer it answers with what is committed at that moment.
#[derive(Clone, Debug)]
pub struct Stored(LogStore);

impl Stored {
    /// The log of this store.
    pub fn new(store: LogStore) -> Self {
        Self(store)
    }

    fn answer(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        if path == "latest" {
            return Ok(self.0.newest_head()?.map(|head| head.note));
        }
        if let Ok(tile) = Tile::parse(path) {
            return if tile.is_data() { self.data(&tile) } else { self.hashes(&tile) };
        }
        match LookupPath::parse(path) {
            Ok(name) => self.lookup(&name),
            Err(_) => Ok(None),
        }
    }

    fn hashes(&self, tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
        let (Some(level), Some(length)) = (tile.level(), tile.byte_len()) else { return Ok(None) };
        if let Some(full) = self.0.tile(&tile.full())? {
            return Ok(full.get(..length).map(<[u8]>::to_vec));
        }
        let state = self.0.state()?;
        if level.hashes(state.built) / WIDTH != tile.index() {
            return Ok(None);
        }
        let row = state.edge.get(usize::from(level.get())).map(Vec::as_slice).unwrap_or_default();
        debug_assert_eq!(row.len() % HASH, 0, "a row of the edge is whole hashes");
        Ok(row.get(..length).map(<[u8]>::to_vec))
    }

    /// A full tile is a file; the records of the open one are rows.
    fn data(&self, tile: &Tile) -> Result<Option<Vec<u8>>, Error> {
        if tile.is_full() {
            return self.0.tile(tile);
        }
        let Some(first) = RecordId::new(tile.index() * WIDTH) else { return Ok(None) };
        if self.0.state()?.built.get() < first.get() + u64::from(tile.width()) {
            return Ok(None);
        }
        let rows = self.0.records(first, tile.width())?;
        let texts: Option<Vec<RecordText>> = rows.iter().map(|row| row.record.to_text().ok()).collect();
        let texts = texts.filter(|texts| texts.len() == tile.width() as usize);
        Ok(texts.map(|texts| write_data_tile(&texts)))
    }

    fn lookup(&self, name: &LookupPath) -> Result<Option<Vec<u8>>, Error> {
        let Some(id) = self.0.find(name.module(), name.version())? else { return Ok(None) };
        let (Some(row), Some(head)) = (self.0.record(id)?, self.0.newest_head()?) else { return Ok(None) };
        let text = row.record.to_text().ok().filter(|_| head.size.contains(id));
        Ok(text.map(|text| LookupAnswer { id, text, note: head.note.into() }.to_bytes()))
    }
}

impl Source for Stored {
    fn get(&self, path: &str, _bytes_max: u64, _fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        self.answer(path).map_err(|error| Away { place: path.to_owned(), reason: error.to_string() })
    }
}
