//! A checksum database with a test key: honest, or lying in one of the known ways.
//!
//! It holds three trees of equal shape. The honest one records what the world's modules really are. In the
//! *other* tree every zip has another sum, so to a fresh client it is a consistent database that disagrees
//! with the modules, and to a client that has seen the honest tree it is a fork. In the *halved* tree the
//! records lack the line of the zip.

use std::collections::HashMap;

use modkeep_tlog::{
    GoSumRecord, Hash, LookupAnswer, RecordId, RecordText, SignerKey, Tile, TreeBuilder, TreeHead, TreeSize,
};

use crate::world::ModuleWorld;

/// Records before the first of the world, so that the tree has full tiles and more than one level.
const FILLERS: u64 = 300;

/// What the database does instead of telling the truth.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Lie {
    /// Nothing: it tells the truth.
    #[default]
    None,
    /// Shows the other tree: a fork to whoever saw the honest one, wrong sums to everybody.
    OtherTree,
    /// Shows records that lack the line of the zip (CVE-2026-42501).
    MissingLine,
    /// Sends heads that do not cover the record.
    StaleHead,
    /// Flips one bit in every hash tile (CVE-2026-56865).
    ForgedTiles,
    /// Answers lookups with nothing (hostile I10).
    EmptyLookup,
    /// Answers lookups with the record of another module (I11).
    AnotherRecord,
    /// The same, with the wanted lines hidden in the signed head (I12, CVE-2026-56864).
    HiddenLine,
    /// Has never heard of any version.
    Forgetful,
}

/// A checksum database in memory.
pub struct SumDb {
    name: String,
    key: SignerKey,
    honest: TreeBuilder,
    other: TreeBuilder,
    halved: TreeBuilder,
    /// The id of each record, by the path that looks it up.
    ids: HashMap<String, RecordId>,
    lie: Lie,
}

impl std::fmt::Debug for SumDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SumDb").field("name", &self.name).field("lie", &self.lie).finish_non_exhaustive()
    }
}

impl SumDb {
    /// A database of this name that records every version of the world.
    ///
    /// # Panics
    /// When the name is no key name.
    pub fn of(name: &str, world: &ModuleWorld) -> Self {
        let key = SignerKey::from_seed(name, [7; 32]).expect("a good key name");
        let mut database = Self {
            name: name.to_owned(),
            key,
            honest: TreeBuilder::new(),
            other: TreeBuilder::new(),
            halved: TreeBuilder::new(),
            ids: HashMap::new(),
            lie: Lie::None,
        };
        (0..FILLERS).for_each(|n| database.append(&filler(n)));
        database.record(world);
        database
    }

    /// The verifier key.
    pub fn key(&self) -> String {
        self.key.verifier().to_string()
    }

    /// From now on the database lies like this.
    pub fn lie(&mut self, lie: Lie) {
        self.lie = lie;
    }

    /// Appends the versions of this world that are not recorded yet, in the world's order.
    pub fn record(&mut self, world: &ModuleWorld) {
        for release in world.releases() {
            if !self.ids.contains_key(&lookup_path(&release.module, &release.version)) {
                self.append(&GoSumRecord {
                    module: release.module.clone(),
                    version: release.version.clone(),
                    zip_h1: *release.zip_h1.as_bytes(),
                    go_mod_h1: *release.go_mod_h1.as_bytes(),
                });
            }
        }
    }

    /// What it answers for a path: `sumdb/NAME/…` as behind a proxy, or `db/…` directly.
    pub fn answer(&self, path: &str) -> Option<Vec<u8>> {
        let relayed = path.strip_prefix("sumdb/").and_then(|rest| rest.strip_prefix(self.name.as_str()));
        let ask = relayed.and_then(|rest| rest.strip_prefix('/')).or_else(|| path.strip_prefix("db/"))?;
        match ask {
            "supported" => Some(Vec::new()),
            "latest" => self.head(self.tree().size()).map(String::into_bytes),
            _ if ask.starts_with("lookup/") => self.lookup(ask),
            _ => self.tile(ask),
        }
    }

    fn append(&mut self, record: &GoSumRecord) {
        let text = record.to_text().expect("a record of our own");
        let mut wrong = record.clone();
        wrong.zip_h1[0] ^= 1;
        let halved = text.as_str().lines().nth(1).map(|line| format!("{line}\n")).unwrap_or_default();
        self.other.append(wrong.to_text().expect("a record of our own"));
        self.halved.append(RecordText::parse(halved.as_bytes()).expect("one line is a record text"));
        let id = self.honest.append(text);
        self.ids.insert(lookup_path(&record.module, &record.version), id);
    }

    fn tree(&self) -> &TreeBuilder {
        match self.lie {
            Lie::OtherTree => &self.other,
            Lie::MissingLine => &self.halved,
            _ => &self.honest,
        }
    }

    fn head(&self, size: TreeSize) -> Option<String> {
        self.tree().sign_head(size, &self.key)
    }

    fn lookup(&self, ask: &str) -> Option<Vec<u8>> {
        let id = *self.ids.get(ask)?;
        let tree = self.tree();
        match self.lie {
            Lie::Forgetful => None,
            Lie::EmptyLookup => Some(Vec::new()),
            Lie::StaleHead => self.answer_with(id, self.head(TreeSize::new(id.get())?)?),
            Lie::AnotherRecord => tree.lookup(RecordId::new(0)?, tree.size(), &self.key),
            Lie::HiddenLine => self.answer_with(RecordId::new(0)?, self.head_hiding(id)?),
            _ => tree.lookup(id, tree.size(), &self.key),
        }
    }

    fn answer_with(&self, id: RecordId, head: String) -> Option<Vec<u8>> {
        let text = self.tree().text(id)?.clone();
        Some(LookupAnswer { id, text, note: head.into_bytes().into() }.to_bytes())
    }

    /// A head, rightly signed, whose text goes on with the lines of the record.
    fn head_hiding(&self, id: RecordId) -> Option<String> {
        let tree = self.tree();
        let root: Hash = tree.root(tree.size())?;
        let head = TreeHead { size: tree.size(), root };
        self.key.sign(&format!("{}{}", head.to_text(), tree.text(id)?.as_str())).ok()
    }

    fn tile(&self, ask: &str) -> Option<Vec<u8>> {
        let tile = Tile::parse(ask).ok()?;
        let mut bytes = self.tree().tile(&tile, self.tree().size())?;
        if self.lie == Lie::ForgedTiles && !tile.is_data() {
            bytes[0] ^= 1;
        }
        Some(bytes)
    }
}

fn lookup_path(module: &str, version: &str) -> String {
    modkeep_tlog::record::lookup_path(module, version).trim_start_matches('/').to_owned()
}

fn filler(n: u64) -> GoSumRecord {
    let mut zip_h1 = [0; 32];
    zip_h1[..8].copy_from_slice(&n.to_be_bytes());
    GoSumRecord {
        module: "filler.example/sand".to_owned(),
        version: format!("v1.0.{n}"),
        zip_h1,
        go_mod_h1: [1; 32],
    }
}
