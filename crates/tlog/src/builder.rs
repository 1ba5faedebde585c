//! A whole log in memory: append, tiles, signed heads, lookups. What a test server stands on.
//!
//! A server that lies takes the honest parts from here and changes them on the way out; every part is plain bytes.

use alloc::{string::String, vec::Vec};

use crate::{
    client::{ClientError, Lookup, ProvenRecord, Step},
    hash::{Hash, RecordId, TreeSize, node_hash},
    head::TreeHead,
    lookup::LookupPath,
    note::SignerKey,
    proof::{self, Node, NodeSource},
    record::{LookupAnswer, RecordText, write_data_tile},
    tile::{Content, FULL_WIDTH, Tile},
};

/// A growing tree with all its texts and nodes: about 64 bytes a record beside the texts.
#[derive(Clone, Debug, Default)]
pub struct TreeBuilder {
    texts: Vec<RecordText>,
    /// By level, the hashes of all complete subtrees.
    levels: Vec<Vec<Hash>>,
}

impl TreeBuilder {
    /// A log without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a record: `1 + trailing_ones(id)` new nodes (A3).
    pub fn append(&mut self, text: RecordText) -> RecordId {
        let id = self.size().next_id();
        let mut hash = text.leaf_hash();
        self.texts.push(text);
        let mut level = 0_usize;
        loop {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(level) else { return id };
            row.push(hash);
            // The second of a pair completes the subtree above it.
            let [.., left, right] = row.as_slice() else { return id };
            if row.len() % 2 == 1 {
                return id;
            }
            hash = node_hash(*left, *right);
            level = level.saturating_add(1);
        }
    }

    /// How many records.
    #[expect(clippy::missing_panics_doc, reason = "it cannot: see the message")]
    pub fn size(&self) -> TreeSize {
        u64::try_from(self.texts.len()).ok().and_then(TreeSize::new).expect("memory ends before 2^63 records")
    }

    /// The text of a record.
    pub fn text(&self, id: RecordId) -> Option<&RecordText> {
        self.texts.get(usize::try_from(id.get()).ok()?)
    }

    /// The first record that states a sum for this module version. Looks at all of them.
    pub fn find(&self, module: &str, version: &str) -> Option<RecordId> {
        let states =
            |text: &RecordText| text.sums(module, version).is_ok_and(|it| it.zip.or(it.go_mod).is_some());
        let position = self.texts.iter().position(states)?;
        RecordId::new(u64::try_from(position).ok()?)
    }

    /// The root of the tree at a size up to the present one.
    pub fn root(&self, size: TreeSize) -> Option<Hash> {
        proof::root(self, size)
    }

    /// The head of the tree at a size up to the present one.
    pub fn head(&self, size: TreeSize) -> Option<TreeHead> {
        Some(TreeHead { size, root: self.root(size)? })
    }

    /// The note of a head at a size up to the present one.
    pub fn sign_head(&self, size: TreeSize, key: &SignerKey) -> Option<String> {
        key.sign(&self.head(size)?.to_text()).ok()
    }

    /// The content of a tile, of hashes or of records; `None` unless the tree of this size has all of it.
    pub fn tile(&self, tile: &Tile, size: TreeSize) -> Option<Vec<u8>> {
        let first = tile
            .is_within(size.min(self.size()))
            .then(|| tile.index().checked_mul(FULL_WIDTH.into()))
            .flatten()?;
        let start = usize::try_from(first).ok()?;
        let end = start.checked_add(usize::try_from(tile.width()).ok()?)?;
        match tile.content() {
            Content::Data => Some(write_data_tile(self.texts.get(start..end)?)),
            Content::Hashes(level) => {
                let row = self.levels.get(usize::from(Node::first_of(level, 0)?.level()))?;
                Some(row.get(start..end)?.iter().flat_map(|hash| hash.0).collect())
            }
        }
    }

    /// The answer to a lookup of a record, with a head of this size.
    pub fn lookup(&self, id: RecordId, size: TreeSize, key: &SignerKey) -> Option<Vec<u8>> {
        let note = self.sign_head(size, key)?.into_bytes().into();
        Some(LookupAnswer { id, text: self.text(id)?.clone(), note }.to_bytes())
    }

    /// The answer to any request below the log's base URL, e.g. `latest`, with heads of this size; `None` is a 404.
    pub fn serve(&self, path: &str, size: TreeSize, key: &SignerKey) -> Option<Vec<u8>> {
        if path == "latest" {
            return Some(self.sign_head(size, key)?.into_bytes());
        }
        if let Ok(tile) = Tile::parse(path) {
            return self.tile(&tile, size);
        }
        let name = LookupPath::parse(path).ok()?;
        self.lookup(self.find(name.module(), name.version())?, size, key)
    }

    /// Runs an honest client against this log: how a test comes by a [`ProvenRecord`].
    pub fn prove(&self, key: &SignerKey, module: &str, version: &str) -> Result<ProvenRecord, ClientError> {
        let mut lookup = Lookup::new(key.verifier(), None, module, version);
        loop {
            match lookup.step() {
                Step::NeedLookup { path, .. } => {
                    lookup.supply_lookup(&self.serve(&path, self.size(), key).unwrap_or_default());
                }
                Step::NeedTiles { tiles, .. } => {
                    for tile in tiles {
                        lookup.supply_tile(&tile, self.tile(&tile, self.size()).as_deref());
                    }
                }
                Step::Done(outcome) => return Ok(outcome.record),
                Step::Failed(error) => return Err(error),
            }
        }
    }
}

impl NodeSource for TreeBuilder {
    fn node(&self, node: Node) -> Option<Hash> {
        self.levels.get(usize::from(node.level()))?.get(usize::try_from(node.index()).ok()?).copied()
    }
}
