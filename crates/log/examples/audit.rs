//! How fast are an audit of a local log and fsck of a store? Target: at least a million records a second, on two threads.
//!
//! ```console
//! $ cargo run --release -p modkeep-log --example audit -- make DIR 10000000     # a log of ten million records
//! $ cargo run --release -p modkeep-log --example audit -- run DIR [THREADS]     # audits it from the start
//! $ cargo run --release -p modkeep-log --example audit -- take DIR STORE        # takes it into an empty store
//! $ cargo run --release -p modkeep-log --example audit -- fsck STORE [THREADS]  # checks that one
//! ```
//!
//! `make` writes a whole log in the protocol's layout: data tiles, hash tiles, and `latest` and `checkpoint`, signed with the test key of
//! the name `bench.example/log` (seed 32 × 0x07). Its records have names and sizes like the public database's.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use modkeep_log::audit::{self, Directory, Options, Parts, State};
use modkeep_log::{fsck, rebuild};
use modkeep_store::{Config, LogStore, MinFree, Store, SystemClock};
use modkeep_tlog::{
    Checkpoint, GoSumRecord, Hash, Level, RecordText, SignedCheckpoint, SignerKey, Tile, TreeHead, TreeSize,
    node_hash,
};

const NAME: &str = "bench.example/log";
const WIDTH: usize = 256;

type Failed = Box<dyn std::error::Error>;

/// How many in a second, rounded.
fn rate(records: u64, seconds: f64) -> f64 {
    f64::from(u32::try_from(records).unwrap_or(u32::MAX)) / seconds
}

fn main() -> Result<ExitCode, Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", folder, records] => make(Path::new(folder), records.parse()?)?,
        ["take", folder, store] => take(Path::new(folder), Path::new(store))?,
        ["fsck", store] => fsck_of(Path::new(store), 2)?,
        ["fsck", store, threads] => fsck_of(Path::new(store), threads.parse()?)?,
        ["run", folder] => run(Path::new(folder), 2)?,
        ["run", folder, threads] => run(Path::new(folder), threads.parse()?)?,
        _ => {
            eprintln!(
                "usage: audit make DIR RECORDS | run DIR [THREADS] | take DIR STORE | fsck STORE [THREADS]"
            );
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn key() -> Result<SignerKey, Failed> {
    Ok(SignerKey::from_seed(NAME, [7; 32])?)
}

fn make(folder: &Path, records: u64) -> Result<(), Failed> {
    let begun = Instant::now();
    let mut log = Writer { folder, rows: Vec::new(), texts: Vec::new(), tiles: 0 };
    for n in 0..records {
        log.append(record(n)?)?;
    }
    let size = TreeSize::new(records).ok_or("too many records")?;
    let root = log.finish()?;
    let head = TreeHead { size, root };
    fs::write(folder.join("latest"), key()?.sign(&head.to_text())?)?;
    let checkpoint = SignedCheckpoint::sign(Checkpoint::new(NAME, head)?, &[&key()?])?;
    fs::write(folder.join("checkpoint"), checkpoint.to_text())?;
    eprintln!("{records} records in {:.1} s; key {}", begun.elapsed().as_secs_f64(), key()?.verifier());
    Ok(())
}

/// About 230 bytes, as the public database's records are on average.
fn record(n: u64) -> Result<RecordText, Failed> {
    let mut zip_h1 = [0x5a; 32];
    zip_h1[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let record = GoSumRecord {
        module: format!("github.com/somebody-{}/project-{}", n / 97 % 100_000, n / 7),
        version: format!("v1.{}.{}", n % 7, n % 97),
        zip_h1,
        go_mod_h1: [0x3c; 32],
    };
    Ok(record.to_text()?)
}

/// Writes tiles as they fill, holding one open tile of each row.
struct Writer<'a> {
    folder: &'a Path,
    rows: Vec<Row>,
    texts: Vec<RecordText>,
    tiles: u64,
}

#[derive(Default)]
struct Row {
    hashes: Vec<Hash>,
    full: u64,
}

impl Writer<'_> {
    fn append(&mut self, text: RecordText) -> Result<(), Failed> {
        let mut hash = text.leaf_hash();
        self.texts.push(text);
        for row in 0.. {
            if self.rows.len() == row {
                self.rows.push(Row::default());
            }
            let Row { hashes, full } = &mut self.rows[row];
            hashes.push(hash);
            if hashes.len() < WIDTH {
                return Ok(());
            }
            let (index, hashes) = (*full, std::mem::take(hashes));
            *full += 1;
            hash = fold(&hashes);
            self.write(row, index, &hashes)?;
        }
        Ok(())
    }

    /// Writes what is open, and folds the root.
    fn finish(&mut self) -> Result<Hash, Failed> {
        let mut root: Option<Hash> = None;
        for row in 0..self.rows.len() {
            let hashes = std::mem::take(&mut self.rows[row].hashes);
            if !hashes.is_empty() {
                self.write(row, self.rows[row].full, &hashes)?;
            }
            let mut end = hashes.len();
            while end > 0 {
                let start = end & (end - 1);
                let left = fold(&hashes[start..end]);
                root = Some(root.map_or(left, |right| node_hash(left, right)));
                end = start;
            }
        }
        Ok(root.unwrap_or_else(modkeep_tlog::empty_root))
    }

    fn write(&mut self, row: usize, index: u64, hashes: &[Hash]) -> Result<(), Failed> {
        let width = u32::try_from(hashes.len())?;
        let level = Level::new(u8::try_from(row)?).ok_or("too many rows")?;
        let tile = Tile::hashes(level, index, width).ok_or("no such tile")?;
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        put(self.folder, &tile, &bytes)?;
        if row == 0 {
            let data = Tile::data(index, width).ok_or("no such tile")?;
            put(self.folder, &data, &modkeep_tlog::record::write_data_tile(&self.texts))?;
            self.texts.clear();
        }
        self.tiles += 1;
        Ok(())
    }
}

fn fold(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| node_hash(pair[0], pair[1])).collect();
    }
    row[0]
}

fn put(folder: &Path, tile: &Tile, bytes: &[u8]) -> io::Result<()> {
    let place = folder.join(tile.path());
    if let Err(error) = fs::write(&place, bytes) {
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
        fs::create_dir_all(place.parent().unwrap_or(folder))?;
        fs::write(&place, bytes)?;
    }
    Ok(())
}

fn run(folder: &Path, jobs: usize) -> Result<(), Failed> {
    let state = folder.join("audit-state");
    if state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let (source, key) = (Directory::new(folder), key()?.verifier());
    let parts =
        Parts { source: &source, key: &key, held: None, options: Options { jobs, ..Options::default() } };
    let begun = Instant::now();
    let report = audit::run(&parts, &mut State::open(&state, NAME)?, &mut |_| ControlFlow::Continue(()))?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = rate(report.checked.records, seconds);
    for finding in &report.findings {
        eprintln!("{finding}");
    }
    eprintln!(
        "{} records, {} MB in {seconds:.2} s on {jobs} threads: {rate:.0} records/s; honest: {}, gaps: {}",
        report.checked.records,
        report.checked.bytes / 1_000_000,
        report.is_honest(),
        report.gaps.len(),
    );
    Ok(())
}

fn log_in(store: &Path) -> Result<LogStore, Failed> {
    let config = Config { path: store.to_owned(), min_free: MinFree::Bytes(0) };
    Ok(Store::open(config, Arc::new(SystemClock))?.log()?)
}

fn take(folder: &Path, store: &Path) -> Result<(), Failed> {
    let (log, key, begun) = (log_in(store)?, key()?.verifier(), Instant::now());
    let rebuilt = rebuild::from_tree(&log, &mut log.writer()?, folder, &key, &folder.join("audit-state"))?;
    eprintln!("{} records taken in, in {:.1} s", rebuilt.records, begun.elapsed().as_secs_f64());
    Ok(())
}

fn fsck_of(store: &Path, jobs: usize) -> Result<(), Failed> {
    let (log, keys) = (log_in(store)?, vec![key()?.verifier()]);
    let begun = Instant::now();
    let options = fsck::Options { keys, jobs, ..fsck::Options::default() };
    let report = fsck::run(&log, &options, &mut |_| ControlFlow::Continue(()))?;
    let seconds = begun.elapsed().as_secs_f64();
    let (records, rate) = (report.checked.records, rate(report.checked.records, seconds));
    for finding in &report.findings {
        eprintln!("{finding}");
    }
    eprintln!(
        "{records} records, {} tiles in {seconds:.2} s on {jobs} threads: {rate:.0} records/s",
        report.checked.tiles
    );
    Ok(())
}
