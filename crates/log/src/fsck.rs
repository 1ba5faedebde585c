//! The oracle of our own log: everything in the store against everything else (R26).
//!
//! Rows to texts, texts to data tiles and to leaf hashes, leaf hashes to every tile of hashes, those to the root, and the
//! root to every head that is stored, in both of its notes; names to the key index, imported records to the proofs that
//! came with them. It believes nothing but hashes and signatures, changes nothing, and works beside a running server: it
//! looks at the tree as it was built when it began.
//!
//! Rows and tiles are two copies of every record. Where they differ, the signed root says which of the two is damaged.

mod heads;
mod leaves;
mod tree;

use std::ops::{ControlFlow, Range};

use modkeep_store::fsck::{Finding, Severity};
use modkeep_store::{Error, KeyFault, KeyName, KeySum, LogRow, LogStore, TileFile};
use modkeep_tlog::{RecordId, TreeSize, VerifierKey};

use crate::audit::duplicates::{Entry, Equals, sort};
use crate::audit::tree::WIDTH;
use crate::fsck::heads::Heads;
use crate::fsck::leaves::{Job, Leaves};
use crate::fsck::tree::Rows;

/// Findings that are listed; further ones are counted.
const FINDINGS_MAX: usize = 10_000;
/// Tiles of records that one thread reads at a time: 4,096 rows.
const TILES_AT_ONCE: usize = 16;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose signatures the newest head must bear, the log's present key first; those below it may bear one of the keys that
    /// the log remembers to have signed with. None: signatures are not looked at.
    pub keys: Vec<VerifierKey>,
    /// Records that are read; their tiles whole. Of the others only the leaf hashes are looked at.
    pub records: Range<u64>,
    /// Of these, every so many tiles one is read: 1 for all.
    pub sample: u64,
    /// Threads that hash.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { keys: Vec::new(), records: 0..u64::MAX, sample: 1, jobs: 2 }
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Records done.
    pub records: u64,
    /// Records that there are.
    pub of: u64,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Checked {
    /// Rows compared with tiles and hashed.
    pub records: u64,
    /// Tiles, of records and of hashes.
    pub tiles: u64,
    /// Stored heads compared with the root of their size.
    pub heads: u64,
}

/// The outcome.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is not as it should be, in order of its place.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit.
    pub unlisted: u64,
    /// What was looked at.
    pub checked: Checked,
    /// Whether it came to the end.
    pub complete: bool,
}

impl Report {
    /// Whether every promise holds.
    pub fn is_sound(&self) -> bool {
        self.unlisted == 0 && self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }
}

/// Something that breaks a promise. `id` is the rule of the specification.
fn broken(id: &'static str, place: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { id, severity: Severity::Error, path: place.into(), text: text.into() }
}

/// Checks the whole log. Memory grows by 16 bytes a record, for the search for duplicates.
pub fn run(
    store: &LogStore,
    options: &Options,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, Error> {
    let mut report = Report::default();
    let state = store.state()?;
    let mut heads = Heads::read(store, &state, &options.keys, &mut report)?;
    let mut rows = Rows::default();
    let mut names = Names::default();
    heads.compare(&rows, TreeSize::EMPTY, &[], &mut report);

    let leaves = Leaves { store, options, sources: store.sources()? };
    let built = state.built.get();
    let full = built / WIDTH;
    let inner = heads.inner();
    let jobs = (0..full).step_by(TILES_AT_ONCE).map(|first| {
        let tiles = first..(first + TILES_AT_ONCE as u64).min(full);
        Job { heads: inner.within(&tiles), tiles }
    });
    let mut tile = 0;
    let goes_on = leaves.check_all(jobs, &mut |outcomes| {
        for found in outcomes {
            found.findings.into_iter().for_each(|finding| report.add(finding));
            found.names.into_iter().for_each(|(id, name)| names.push(id, name));
            report.checked.records += found.records;
            report.checked.tiles += found.tiles;
            for (size, prefix) in &found.prefixes {
                heads.compare(&rows, *size, prefix, &mut report);
            }
            rows.push(store, found.root, &mut report)?;
            tile += 1;
            if let Some(size) = TreeSize::new(tile * WIDTH) {
                heads.compare(&rows, size, &[], &mut report);
            }
        }
        Ok(watch(Progress { records: tile * WIDTH, of: built }))
    })?;
    if goes_on.is_break() {
        return Ok(report);
    }
    let open = leaves.open(&state, &mut report, &mut names)?;
    for size in inner.within(&(full..full + 1)) {
        let width = usize::try_from(size.get() - full * WIDTH).unwrap_or_default();
        heads.compare(&rows, size, open.get(..width * 32).unwrap_or(&open), &mut report);
    }
    rows.compare_edge(&state, &open, &mut report);
    heads.unproven(&mut report);
    let Names { mut entries, sum } = names;
    let mut stray = Report::default();
    let (faults, walked) = std::thread::scope(|scope| {
        // The first writer makes the index.
        let check =
            || if state.epoch > 0 { store.check_keys_knowing(sum, FINDINGS_MAX) } else { Ok(Vec::new()) };
        let faults = scope.spawn(check);
        let walked = strays(store, state.sequenced, &mut stray);
        sort(&mut entries);
        (faults.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), walked)
    });
    duplicates(store, &entries, &mut report)?;
    beyond(store, &mut report)?;
    keys(faults?, &mut report);
    walked?;
    stray.findings.into_iter().for_each(|finding| report.add(finding));
    report.unlisted += stray.unlisted;
    report.checked.heads = heads.checked;
    report.complete = true;
    Ok(report)
}

/// The names of all rows that were read.
#[derive(Default)]
struct Names {
    entries: Vec<Entry>,
    /// Of the first rows, up to one that was not read.
    sum: KeySum,
}

impl Names {
    fn push(&mut self, id: RecordId, name: KeyName) {
        self.entries.push(Entry::new(name.bytes(), id));
        if self.sum.records() == id.get() {
            self.sum.add(name);
        }
    }
}

/// Two rows of one name (A1, rule 1), among sorted names.
fn duplicates(store: &LogStore, names: &[Entry], report: &mut Report) -> Result<(), Error> {
    let mut equals = Equals::default();
    for entry in names {
        equals.meet(*entry);
    }
    let mut told = None;
    for (older, newer) in equals.pairs {
        let (Some(first), Some(second)) = (older.id(), newer.id()) else { continue };
        if told == Some(second) {
            continue;
        }
        if let Some(name) = name_of(store, first)?
            && name_of(store, second)?.is_some_and(|other| other == name)
        {
            told = Some(second);
            report.add(broken("A1", record_place(second), format!("{name} has record {first} already")));
        }
    }
    Ok(())
}

/// The module version of a row that is there, whoever vouches for it.
fn name_of(store: &LogStore, id: RecordId) -> Result<Option<String>, Error> {
    let mut name = None;
    let mut meet = |row: LogRow<'_>| name = Some(format!("{}@{}", row.lines.module, row.lines.version));
    match store.each_record(id, 1, &mut meet) {
        Ok(()) | Err(Error::Ledger { .. }) => Ok(name),
        Err(error) => Err(error),
    }
}

/// Rows of records that have no id: they would be found by name, and be in no tree.
fn beyond(store: &LogStore, report: &mut Report) -> Result<(), Error> {
    let (records, proofs) = store.beyond(u32::try_from(FINDINGS_MAX).unwrap_or(u32::MAX))?;
    for id in records {
        report.add(broken("C2", format!("log/log.sqlite: record {id}"), "a row beyond every record"));
    }
    for id in proofs {
        report.add(broken("C7", format!("log/log.sqlite: record {id}"), "a proof beyond every record"));
    }
    Ok(())
}

/// What is wrong with the key index, which answers lookups, beside the rows. It is derived: one that is not there breaks no
/// promise, one that says something else answers wrongly.
fn keys(faults: Vec<KeyFault>, report: &mut Report) {
    const AGAIN: &str =
        "it is derived: remove log/keys while no server runs, and the next start makes it again";
    for fault in faults {
        let text = match fault {
            KeyFault::Absent => {
                let text = "is not there; it is derived from the records, and the next start makes it again";
                let path = "log/keys".to_owned();
                report.add(Finding { id: "C2", severity: Severity::Warning, path, text: text.to_owned() });
                continue;
            }
            KeyFault::Missing(id) => format!("record {id} is not found by its module version; {AGAIN}"),
            KeyFault::Count { entries, records } => {
                format!("{entries} entries for {records} records; {AGAIN}")
            }
            KeyFault::Damaged(reason) => format!("{reason}; {AGAIN}"),
        };
        report.add(broken("C2", "log/keys", text));
    }
}

/// Files that belong to no tile of the tree. A server puts tiles meanwhile, of records that have an id by then: one that
/// seems to be beyond them is judged by how many there are now.
fn strays(store: &LogStore, mut sequenced: TreeSize, report: &mut Report) -> Result<(), Error> {
    store.walk_tiles(&mut |file| {
        if let TileFile::Tile(tile) = &file
            && !tile.is_within(sequenced)
        {
            sequenced = store.state()?.sequenced;
        }
        let (place, text, severity) = match file {
            TileFile::Tile(tile) if tile.is_within(sequenced) => return Ok(()),
            TileFile::Tile(tile) => {
                (format!("log/{}", tile.path()), "a tile beyond every record", Severity::Error)
            }
            TileFile::Stray(path) => (path, "not a tile; garbage of a crash, perhaps", Severity::Note),
        };
        report.add(Finding { id: "D2", severity, path: place, text: text.to_owned() });
        Ok(())
    })
}

/// Where a row is.
fn record_place(id: RecordId) -> String {
    format!("log/log.sqlite: record {id}")
}
