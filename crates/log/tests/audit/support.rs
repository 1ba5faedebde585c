//! A log in memory that tells the truth, but for what a test puts in its place.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use modkeep_log::audit::{self, Away, Kind, Options, Parts, Report, Severity, Source, State};
use modkeep_tlog::{GoSumRecord, RecordId, RecordText, SignerKey, Tile, TreeBuilder, TreeSize};
use tempfile::TempDir;

pub(crate) const NAME: &str = "sums.example/log";

pub(crate) fn key() -> SignerKey {
    SignerKey::from_seed(NAME, [7; 32]).unwrap()
}

pub(crate) fn size(n: u64) -> TreeSize {
    TreeSize::new(n).unwrap()
}

pub(crate) fn id(n: u64) -> RecordId {
    RecordId::new(n).unwrap()
}

pub(crate) fn module(n: u64) -> String {
    format!("example.com/m{n}")
}

pub(crate) fn record(module: &str, version: &str, sum: u64) -> RecordText {
    let mut zip_h1 = [0; 32];
    zip_h1[..8].copy_from_slice(&sum.to_be_bytes());
    let record =
        GoSumRecord { module: module.to_owned(), version: version.to_owned(), zip_h1, go_mod_h1: [1; 32] };
    record.to_text().unwrap()
}

/// A log whose answers can be replaced one by one.
pub(crate) struct Log {
    pub(crate) tree: TreeBuilder,
    /// By path: other bytes, or nothing.
    pub(crate) instead: HashMap<String, Option<Vec<u8>>>,
    /// Every question below this prefix is answered with an error.
    pub(crate) trouble: Option<String>,
    pub(crate) asked: AtomicU64,
}

impl Log {
    pub(crate) fn of(records: u64) -> Self {
        let mut log = Self {
            tree: TreeBuilder::new(),
            instead: HashMap::new(),
            trouble: None,
            asked: AtomicU64::new(0),
        };
        log.grow(records);
        log
    }

    pub(crate) fn copy(&self) -> Self {
        Self { tree: self.tree.clone(), ..Self::of(0) }
    }

    pub(crate) fn grow(&mut self, records: u64) {
        let start = self.tree.size().get();
        for n in start..start + records {
            self.tree.append(record(&module(n), "v1.0.0", n));
        }
    }

    pub(crate) fn set(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.instead.insert(path.to_owned(), Some(bytes.into()));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.instead.insert(path.to_owned(), None);
    }

    pub(crate) fn tile(&self, path: &str) -> Vec<u8> {
        self.tree.tile(&Tile::parse(path).unwrap(), self.tree.size()).unwrap()
    }

    pub(crate) fn flip(&mut self, path: &str, byte: usize) {
        let mut bytes = self.tile(path);
        bytes[byte] ^= 1;
        self.set(path, bytes);
    }

    pub(crate) fn answer(&self, path: &str) -> Option<Vec<u8>> {
        match self.instead.get(path) {
            Some(answer) => answer.clone(),
            None => self.tree.serve(path, self.tree.size(), &key()),
        }
    }
}

impl Source for Log {
    fn get(&self, path: &str, _bytes_max: u64, _fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.trouble.as_deref().is_some_and(|prefix| path.starts_with(prefix)) {
            return Err(Away { place: path.to_owned(), reason: "answered 500".to_owned() });
        }
        Ok(self.answer(path))
    }
}

/// An auditor with a memory and a drawer for evidence.
pub(crate) struct Auditor {
    pub(crate) home: TempDir,
    pub(crate) options: Options,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options { evidence: Some(home.path().join("evidence")), ..Options::default() };
        Self { home, options }
    }

    pub(crate) fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let Self { home, mut options } = self;
        change(&mut options);
        Self { home, options }
    }

    pub(crate) fn state(&self) -> State {
        State::open(&self.home.path().join("state"), NAME).unwrap()
    }

    pub(crate) fn try_audit(&self, log: &dyn Source) -> Result<Report, audit::Error> {
        let parts = Parts { source: log, key: &key().verifier(), held: None, options: self.options.clone() };
        audit::run(&parts, &mut self.state(), &mut |_| ControlFlow::Continue(()))
    }

    pub(crate) fn audit(&self, log: &dyn Source) -> Report {
        self.try_audit(log).unwrap()
    }

    pub(crate) fn evidence(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.home.path().join("evidence")) else { return Vec::new() };
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The kinds of misbehaviour in a report, each once, in order.
pub(crate) fn kinds(report: &Report) -> Vec<Kind> {
    let grave = report.findings.iter().filter(|finding| finding.severity == Severity::Misbehaviour);
    let mut kinds: Vec<Kind> = grave.map(|finding| finding.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}
