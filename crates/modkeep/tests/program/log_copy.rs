//! A copy of a log that a test keeps beside it. It can only grow; whatever does not fit to it is a broken promise.

use std::collections::BTreeMap;

use modkeep_testkit::program::Program;
use modkeep_tlog::builder::TreeBuilder;
use modkeep_tlog::note::VerifierKey;
use modkeep_tlog::record::read_data_tile;
use modkeep_tlog::tile::{FULL_WIDTH, Tile};
use modkeep_tlog::{GoSumRecord, Hash, LookupAnswer, RecordId, SignedHead, TreeSize};

/// The records that were ever public, and the heads that were ever signed.
pub(crate) struct LogCopy {
    key: VerifierKey,
    tree: TreeBuilder,
    /// By module and version, for the duplicates (R7).
    ids: BTreeMap<(String, String), RecordId>,
    /// By size: all heads of one key are of one tree (R5).
    heads: BTreeMap<TreeSize, Hash>,
}

impl LogCopy {
    /// Nothing yet, of the log with this key.
    pub(crate) fn new(key: &str) -> Self {
        let key = VerifierKey::parse(key).unwrap();
        Self { key, tree: TreeBuilder::new(), ids: BTreeMap::new(), heads: BTreeMap::new() }
    }

    /// How many records were seen.
    pub(crate) fn records(&self) -> u64 {
        self.tree.size().get()
    }

    /// How many different heads were seen.
    pub(crate) fn heads(&self) -> usize {
        self.heads.len()
    }

    /// Takes what is new in the running log, and compares its newest head and its last tile with what was seen.
    pub(crate) fn follow(&mut self, log: &Program) -> Result<(), String> {
        let latest = log.get("/log/latest");
        let head = self.seen(&latest.body).map_err(|lost| format!("latest, {}: {lost}", latest.status))?;
        if head.size() < self.tree.size() {
            return Err(format!("the log went back from {} to {}", self.tree.size(), head.size()));
        }
        let (first, size) = (self.tree.size().get() / u64::from(FULL_WIDTH), head.size().get());
        for index in first..size.div_ceil(FULL_WIDTH.into()) {
            let width =
                u32::try_from(size - index * u64::from(FULL_WIDTH)).unwrap_or(FULL_WIDTH).min(FULL_WIDTH);
            let tile = Tile::data(index, width).unwrap();
            let answer = log.get(&format!("/log/{}", tile.path()));
            let texts =
                read_data_tile(&answer.body, width).map_err(|error| format!("{}: {error}", tile.path()))?;
            for (id, text) in
                (index * u64::from(FULL_WIDTH)..).map(|id| RecordId::new(id).unwrap()).zip(texts)
            {
                if let Some(known) = self.tree.text(id) {
                    if *known != text {
                        return Err(format!("record {id} was {known:?} and is {text:?}"));
                    }
                    continue;
                }
                let record = GoSumRecord::parse(&text).map_err(|error| format!("record {id}: {error}"))?;
                if let Some(other) = self.ids.insert((record.module, record.version), id) {
                    return Err(format!("records {other} and {id} are of one version"));
                }
                self.tree.append(text);
            }
        }
        match self.heads.iter().find(|(size, root)| self.tree.root(**size) != Some(**root)) {
            Some((size, _)) => Err(format!("a signed head of size {size} is not of this tree")),
            None => Ok(()),
        }
    }

    /// A lookup answer that somebody was given before the last [`follow`](Self::follow).
    pub(crate) fn was_given(&mut self, path: &str, answer: &[u8]) -> Result<(), String> {
        let answer = LookupAnswer::parse(answer).map_err(|error| format!("{path}: {error}"))?;
        if self.tree.text(answer.id) != Some(&answer.text) {
            return Err(format!("{path}: record {} is lost or another", answer.id));
        }
        let head = self.seen(&answer.note).map_err(|lost| format!("{path}: {lost}"))?;
        if head.size().get() <= answer.id.get() {
            return Err(format!("{path}: the head of size {} does not cover the record", head.size()));
        }
        if self.tree.root(head.size()) != Some(head.root()) {
            return Err(format!("{path}: its head of size {} is not of this tree", head.size()));
        }
        Ok(())
    }

    /// Opens a head and remembers it; two of one size have to be equal.
    fn seen(&mut self, note: &[u8]) -> Result<SignedHead, String> {
        let head = SignedHead::open(note, &self.key).map_err(|error| error.to_string())?;
        match self.heads.insert(head.size(), head.root()) {
            Some(other) if other != head.root() => Err(format!("two heads of size {}", head.size())),
            _ => Ok(head),
        }
    }
}
