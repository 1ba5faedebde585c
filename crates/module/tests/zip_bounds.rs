//! Time and memory of a check: hostile-inputs.md F22 and F23, and inputs that would be slow if anything were quadratic.
//!
//! Each check runs in a process of its own (this test binary, started again), so that its peak resident set, as Linux
//! counts it, is its own. Time limits are those of the table in a release build; an unoptimised one gets five times
//! as long.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use craft::{DEFLATE, Entry, Zip, of};
use modkeep_module::zip::{Limits, check, write};

/// Names the zip that the child process checks.
const ZIP: &str = "MODKEEP_TEST_ZIP";

/// What a check found and took.
struct Cost {
    h1: String,
    files: u64,
    uncompressed: u64,
    anomalies: u64,
    took: Duration,
    /// How much the peak resident set rose, in KiB; 0 where it cannot be measured.
    rose_kib: u64,
}

/// The child's part: checks one zip and prints the cost on one line.
#[test]
fn child() {
    let Some(zip) = std::env::var_os(ZIP) else { return };
    let zip = File::open(zip).unwrap();
    let size = zip.metadata().unwrap().len();
    let before = peak_kib();
    let start = Instant::now();
    let facts = check(&zip, size, &of(), &Limits::default()).unwrap();
    let took = start.elapsed().as_micros();
    let rose = peak_kib().saturating_sub(before);
    let anomalies = facts.anomalies.len();
    println!("cost {} {} {} {anomalies} {took} {rose}", facts.h1, facts.files, facts.uncompressed);
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}

/// Checks a zip from a file in a new process.
fn cost(zip: &[u8]) -> Cost {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("m.zip");
    std::fs::write(&file, zip).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", "child", "--nocapture"]).env(ZIP, file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("cost ")).map(|(_, line)| line);
    let line = line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    eprintln!("{line}");
    let fields: Vec<_> = line.split(' ').collect();
    let number = |at: usize| fields[at].parse().unwrap();
    Cost {
        h1: fields[0].to_owned(),
        files: number(1),
        uncompressed: number(2),
        anomalies: number(3),
        took: Duration::from_micros(number(4)),
        rose_kib: number(5),
    }
}

impl Cost {
    fn within(&self, limit: Duration, mib: u64) {
        let limit = if cfg!(debug_assertions) { limit * 20 } else { limit };
        assert!(self.took <= limit, "{:?}, limit {limit:?}", self.took);
        assert!(self.rose_kib <= mib << 10, "{} KiB, limit {mib} MiB", self.rose_kib);
    }
}

#[test]
fn hostile_f22_400_mib_of_zeros() {
    let zeros = craft::deflate(&vec![0; 400 << 20]);
    let mut crc = flate2::Crc::new();
    let mib = vec![0; 1 << 20];
    (0..400).for_each(|_| crc.update(&mib));
    let entry = Entry::named("zeros").change(|e| {
        (e.method, e.crc, e.uncompressed) = (DEFLATE, crc.sum(), 400 << 20);
        e.compressed = u32::try_from(zeros.len()).unwrap();
        e.payload = zeros;
    });
    let cost = cost(&Zip::of([entry]).bytes());
    assert_eq!((cost.uncompressed, cost.anomalies), (400 << 20, 0));
    cost.within(Duration::from_secs(5), 32);
}

#[test]
fn hostile_f23_120_000_empty_files() {
    let mut zip = Vec::new();
    let h1 =
        write((0..120_000).map(|n| (format!("dir{}/file{n}.go", n % 100), "")), &of(), &mut zip).unwrap();
    let cost = cost(&zip);
    assert_eq!((cost.files, &cost.h1, cost.anomalies), (120_000, &h1.to_string(), 0));
    cost.within(Duration::from_secs(1), 64);
}

/// Memory per entry: 300,000 of them, a third of what the directory limit lets through.
#[test]
fn many_entries_cost_in_proportion() {
    let entries = (0..300_000).map(|n| Entry::named(format!("{n:x}")).stored(""));
    let zip = Zip { zip64: true, ..Zip::of(entries) };
    let cost = cost(&zip.bytes());
    assert_eq!((cost.files, cost.anomalies), (300_000, 0));
    cost.within(Duration::from_secs(3), 96);
}

/// Deep paths cost what they are long: 3 MiB of names with 30,000 levels each.
#[test]
fn deep_paths_cost_in_proportion() {
    let deep = "d/".repeat(30_000);
    let entries = (0..50).map(|n| Entry::named(format!("{deep}{n}")).stored(""));
    let cost = cost(&Zip::of(entries).bytes());
    assert_eq!((cost.files, cost.anomalies), (50, 0));
    cost.within(Duration::from_secs(1), 32);
}
