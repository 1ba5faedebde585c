//! What does it cost to give a record its id, durably and only once, in a small log and in a large one?
//!
//! `cargo bench -p modkeep-store --bench sequence -- [--at DIRECTORY] [RECORDS...]` (10,000 and 10,000,000 unless told
//! otherwise). Each log is filled in transactions of 65,536; then batches of 256 new records are measured, then 1,000 lone
//! appends with their heads, then what a start costs. CPU is that of the whole process, so the thread that syncs the key
//! index is in it. The directory should lie on the disk in question, not in memory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a bench fails by panicking, reports by printing, and its figures are estimates"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use modkeep_store::{
    Config, HeadCommit, LogStore, LogWriter, MinFree, NewRecord, RecordSource, Store, StoredHead, SystemClock,
};
use modkeep_tlog::{GoSumRecord, Hash, TreeSize};

const BATCH: u64 = 256;
const BATCHES: u64 = 400;
const FILL: u64 = 65_536;
const LONE: u64 = 1000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench").peekable();
    let at = arguments.next_if(|argument| argument == "--at").and_then(|_| arguments.next());
    let at = at.unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let sizes: Vec<u64> = arguments.map(|records| records.parse().unwrap()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 10_000_000] } else { sizes };
    println!(
        "records before | wall us/record | CPU us/record (user + system) | records/s | lone append p50, p99 | start"
    );
    for records in sizes {
        let folder = tempfile::tempdir_in(&at).unwrap();
        measure(folder.path(), records);
    }
}

fn open(folder: &Path) -> (LogStore, LogWriter) {
    let config = Config { path: folder.to_owned(), min_free: MinFree::Bytes(0) };
    let log = Store::open(config, Arc::new(SystemClock)).unwrap().log().unwrap();
    let writer = log.writer().unwrap();
    (log, writer)
}

fn measure(folder: &Path, before: u64) {
    let (log, mut writer) = open(folder);
    let mut next = 0;
    while next < before {
        let count = FILL.min(before - next);
        writer.sequence(&batch(next, count), SystemTime::now()).unwrap();
        next += count;
    }
    let batches: Vec<_> = (0..BATCHES).map(|number| batch(next + number * BATCH, BATCH)).collect();
    next += BATCHES * BATCH;
    let (started, cpu) = (Instant::now(), cpu_seconds());
    for batch in &batches {
        let outcomes = writer.sequence(batch, SystemTime::now()).unwrap();
        assert_eq!(outcomes.len() as u64, BATCH);
    }
    let (wall, after) = (started.elapsed().as_secs_f64(), cpu_seconds());
    let count = (BATCHES * BATCH) as f64;
    let (p50, p99) = lone(&mut writer, next);
    drop((log, writer));
    let started = Instant::now();
    let (log, writer) = open(folder);
    let start = started.elapsed();
    assert_eq!(log.state().unwrap().sequenced.get(), next + LONE);
    drop(writer);
    let (user, system) = (after.0 - cpu.0, after.1 - cpu.1);
    println!(
        "{before} | {:.1} | {:.1} ({:.1} + {:.1}) | {:.0} | {p50:?}, {p99:?} | {start:?}",
        wall * 1e6 / count,
        (user + system) * 1e6 / count,
        user * 1e6 / count,
        system * 1e6 / count,
        count / wall,
    );
}

/// A record and its head, one after the other: two transactions.
fn lone(writer: &mut LogWriter, first: u64) -> (Duration, Duration) {
    let size = |records| TreeSize::new(records).unwrap();
    let edge = vec![vec![7; 128 * 32], vec![7; 128 * 32], vec![7; 32]];
    let mut built = 0;
    let mut times: Vec<Duration> = (first..first + LONE)
        .map(|number| {
            let started = Instant::now();
            writer.sequence(&batch(number, 1), SystemTime::now()).unwrap();
            let head = StoredHead {
                size: size(number + 1),
                root: Hash([1; 32]),
                note: vec![b'n'; 200],
                checkpoint: vec![b'c'; 250],
                signed_at: SystemTime::now(),
            };
            let mut edge = edge.clone();
            edge[0].truncate(32 * (1 + usize::try_from(number % 128).unwrap()));
            writer.commit_heads(HeadCommit { built: size(built), heads: &[head], edge: &edge }).unwrap();
            built = number + 1;
            started.elapsed()
        })
        .collect();
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn batch(first: u64, count: u64) -> Vec<NewRecord> {
    let sum = |number: u64| {
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (place % 8 * 8)) as u8 ^ place as u8;
        }
        bytes
    };
    (first..first + count)
        .map(|number| NewRecord {
            record: GoSumRecord {
                module: format!("code.example.com/organisation/project-{}", number / 20),
                version: format!("v1.{}.0", number % 20),
                zip_h1: sum(number),
                go_mod_h1: sum(!number),
            },
            source: RecordSource::Own,
            provenance: None,
        })
        .collect()
}

/// User and system time of this process.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap() / 100.0;
    (ticks(11), ticks(12))
}
