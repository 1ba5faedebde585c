//! A whole log in memory: append, tiles, signed heads. A test server now, the log later.

use alloc::{string::String, vec::Vec};

use crate::{
    client::{ClientError, ProvenRecord},
    hash::{Hash, RecordId, TreeSize},
    note::SignerKey,
    proof::{Node, NodeSource},
    record::RecordText,
    tile::Tile,
};

/// A growing tree with all its nodes and texts.
#[derive(Clone, Debug, Default)]
pub struct TreeBuilder {
    levels: Vec<Vec<Hash>>,
    texts: Vec<RecordText>,
}
impl TreeBuilder {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a record.
    pub fn append(&mut self, text: RecordText) -> RecordId {
        self.texts.push(text);
        let _ = &self.levels;
        todo!()
    }
    /// How many records.
    pub fn size(&self) -> TreeSize {
        todo!()
    }
    /// A record's text.
    pub fn text(&self, id: RecordId) -> Option<&RecordText> {
        let _ = id;
        todo!()
    }
    /// The root at a size up to the present one.
    pub fn root(&self, size: TreeSize) -> Option<Hash> {
        let _ = size;
        todo!()
    }
    /// The bytes of a hash or data tile, `None` unless it lies wholly below `size`.
    pub fn tile(&self, tile: &Tile, size: TreeSize) -> Option<Vec<u8>> {
        let _ = (tile, size);
        todo!()
    }
    /// A signed head at a size up to the present one.
    pub fn sign_head(&self, size: TreeSize, key: &SignerKey) -> Option<String> {
        let _ = (size, key);
        todo!()
    }
    /// The lookup answer for a record with a head of `size`.
    pub fn lookup(&self, id: RecordId, size: TreeSize, key: &SignerKey) -> Option<Vec<u8>> {
        let _ = (id, size, key);
        todo!()
    }
    /// Runs an honest client against this log: the way tests get a [`ProvenRecord`].
    pub fn prove(&self, key: &SignerKey, module: &str, version: &str) -> Result<ProvenRecord, ClientError> {
        let _ = (key, module, version);
        todo!()
    }
}
impl NodeSource for TreeBuilder {
    fn node(&self, node: Node) -> Option<Hash> {
        let _ = node;
        todo!()
    }
}
