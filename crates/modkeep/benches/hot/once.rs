//! Figures that need no rounds: memory, start, import, herd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use modkeep_testkit::program::Setup;
use modkeep_testkit::{Fault, ModuleWorld, Pending, Site, Upstream};
use rusqlite::Connection;

use crate::load::{Load, wrk};
use crate::servers::cpu_seconds;
use crate::{MODKEEP, house};

/// A measurement, told as the line to print.
type Figure = fn() -> String;

/// Each by its name.
pub(crate) const FIGURES: &[(&str, Figure)] = &[
    ("idle-rss", idle_rss),
    ("rss-256", rss_at_256),
    ("start-million", start_with_a_million),
    ("import", import),
    ("herd", herd),
    ("own-log", own_log),
];

/// Resident memory of a server that has done nothing yet. Bar: 20 MiB.
fn idle_rss() -> String {
    let (_upstream, setup) = house(&ModuleWorld::new());
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/healthz").status, 200);
    std::thread::sleep(Duration::from_secs(2));
    format!("{:.1} MiB (bar 20)", modkeep.resident_bytes() as f64 / 1_048_576.0)
}

/// Resident memory after small files at 256 connections: 2,000 different ones. Bar: 64 MiB.
fn rss_at_256() -> String {
    let mut world = ModuleWorld::new();
    (0..1000).for_each(|n| {
        world.add_library(&format!("small.example/m{n}"), "v1.0.0");
    });
    let (_upstream, setup) = house(&world);
    let modkeep = setup.serve();
    let paths: Vec<String> = world.releases().iter().flat_map(|r| [r.file("info"), r.file("mod")]).collect();
    for path in &paths {
        assert_eq!(modkeep.get(&format!("/{path}")).status, 200, "{path}");
    }
    let list: String = paths.iter().map(|path| format!("\"/{path}\",")).collect();
    let script = setup.home().join("many.lua");
    let turn = "request = function() n = n % #paths + 1; return wrk.format('GET', paths[n]) end";
    std::fs::write(&script, format!("local n = 0\nlocal paths = {{{list}}}\n{turn}\n")).unwrap();
    let before = cpu_seconds(&[modkeep.pid()]);
    let told = wrk(256, 5, &["-s", script.to_str().unwrap()], modkeep.url());
    assert!(!told.contains("Non-2xx"), "{told}");
    let spent = cpu_seconds(&[modkeep.pid()]) - before;
    let rate = told
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    let mib = modkeep.resident_bytes() as f64 / 1_048_576.0;
    format!(
        "{mib:.1} MiB (bar 64), {} different files, {rate} req/s, {spent:.1} s of CPU in 5 s",
        paths.len()
    )
}

/// From the start of the process to the first answered request, 10^6 versions in the ledger. Bar: 0.2 s.
fn start_with_a_million() -> String {
    let (_upstream, setup) = house(&ModuleWorld::every_kind());
    let modkeep = setup.serve();
    let path = "/birds.example/finch/@v/v0.9.0.info";
    assert_eq!(modkeep.get(path).status, 200);
    modkeep.stop();
    let ledger = ledger_in(setup.store()).expect("a ledger in the store");
    fill(&ledger, 1_000_000);
    let mut times: Vec<Duration> = Vec::new();
    let mut mib = 0.0;
    for _ in 0..5 {
        let begin = Instant::now();
        let modkeep = setup.serve();
        assert_eq!(modkeep.get(path).status, 200);
        times.push(begin.elapsed());
        mib = modkeep.resident_bytes() as f64 / 1_048_576.0;
        modkeep.stop();
    }
    times.sort_unstable();
    let size = std::fs::metadata(&ledger).map_or(0, |m| m.len() >> 20);
    format!(
        "{:.3} s to the first answer (bar 0.2), {mib:.1} MiB resident, ledger of {size} MiB",
        times[2].as_secs_f64()
    )
}

/// The one file below the data directory that SQLite wrote.
fn ledger_in(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()).find(|path| {
        path.is_file() && std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
    })
}

/// Adds `count` versions of `count / 10` modules, each with its line in the feed, as rows without blobs.
fn fill(ledger: &Path, count: u32) {
    let connection = Connection::open(ledger).unwrap();
    let modules = count / 10;
    let rows = format!(
        "PRAGMA synchronous = OFF;
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {modules})
           INSERT INTO modules (id, repository, path, versions)
           SELECT 1000000 + i, 1, 'many.example/owner' || (i % 1000) || '/module' || i, 10 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
           INSERT INTO versions (id, module, version, private, info_size, info_sha256, mod_size, mod_sha256, mod_h1,
             mod_basis, zip_size, zip_sha256, zip_h1, zip_basis, first_seen, zip_at, source)
           SELECT 10000000 + i, 1000000 + i / 10, 'v1.' || (i % 10) || '.0', 0, 60, randomblob(32), 40, randomblob(32),
             randomblob(32), 'first-sight', 9000, randomblob(32), randomblob(32), 'first-sight', 0, 0, 'bench' FROM n;
         INSERT INTO feed (position, at_micros, version)
           SELECT id, id, id FROM versions WHERE id >= 10000000;
         UPDATE totals SET modules = modules + {modules}, versions = versions + {count}, zips = zips + {count};
         COMMIT;"
    );
    connection.execute_batch(&rows).unwrap();
}

/// Import of a tree: MB/s, and syncs per version where strace is there to count them.
fn import() -> String {
    let fixtures = std::env::var_os("FIXTURES_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
        PathBuf::from,
    );
    let (tree, name) = (fixtures.join("mirror"), "fixtures");
    if !tree.is_dir() {
        return format!("not run: no fixtures at {}", fixtures.display());
    }
    let (versions, bytes) = zips_below(&tree);
    let upstream = Upstream::start(Site::tree(&tree));
    let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let database = format!("{key} {}/sumdb/sum.golang.org", upstream.url());
    let setup = || {
        let setup = Setup::new(MODKEEP).with("MODKEEP_ORIGIN_UPSTREAM", &upstream.url());
        setup.with("MODKEEP_VERIFY_LOG", &database)
    };
    let plain = setup();
    let begin = Instant::now();
    let output = plain.run(&["import", tree.to_str().unwrap()]);
    let took = begin.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rate = bytes as f64 / 1e6 / took;
    let syncs = syncs(setup(), &tree).map_or("not counted, no strace".to_owned(), |n| {
        format!("{:.1} syncs per version", n / versions as f64)
    });
    format!(
        "{name}: {versions} versions, {:.1} MB in {took:.2} s, {rate:.1} MB/s, {syncs}",
        bytes as f64 / 1e6
    )
}

fn zips_below(tree: &Path) -> (u64, u64) {
    let mut found = (0, 0);
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "zip") {
                found = (found.0 + 1, found.1 + entry.metadata().unwrap().len());
            }
        }
    }
    found
}

fn syncs(setup: Setup, tree: &Path) -> Option<f64> {
    Command::new("strace").arg("-V").output().ok()?;
    let counts = setup.home().join("syncs");
    let file = counts.to_str()?.to_owned();
    let setup =
        setup.through(&["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", &file]);
    setup.run(&["import", tree.to_str()?]).status.success().then_some(())?;
    let told = std::fs::read_to_string(counts).ok()?;
    let calls =
        told.lines().filter(|line| line.ends_with("sync")).filter_map(|l| l.split_whitespace().nth(3));
    Some(calls.filter_map(|calls| calls.parse::<f64>().ok()).sum())
}

/// A thousand callers of one cold zip of a megabyte, held together at the upstream. Bar: one request.
fn herd() -> String {
    let world = ModuleWorld::every_kind();
    let (upstream, setup) = house(&world);
    let modkeep = setup.serve();
    let path = "/example.com/pelican/@v/v1.0.0.zip";
    upstream.fault(path, Fault::Hold);
    let url = format!("{}{path}", modkeep.url());
    let crowd: Vec<Pending> =
        (0..1000_u32).map(|n| Pending::send(&url, 2 + u8::try_from(n / 200).unwrap())).collect();
    upstream.wait_for(path);
    let begin = Instant::now();
    upstream.mend();
    let right = &world.release("example.com/pelican", "v1.0.0").zip;
    let served =
        crowd.into_iter().map(Pending::finish).filter(|a| a.status == 200 && &a.body == right).count();
    let took = begin.elapsed().as_secs_f64();
    format!(
        "{served} of 1000 served with {} upstream request(s) (bar 1), {took:.2} s from its answer",
        upstream.count(path)
    )
}

/// CPU of the server for an answer of a checksum database of its own, beside that for a cached `.info`. Bar: 1.5 times.
fn own_log() -> String {
    const VERSIONS: usize = 300; // more than a tile, so that there are full ones and partial ones
    let mut world = ModuleWorld::new();
    (0..VERSIONS).for_each(|n| {
        world.add_library(&format!("bench.example/m{n}"), "v1.0.0");
    });
    let (_upstream, setup) = house(&world);
    let key = setup.home().join("log.key");
    let name = "sums.bench.example/log";
    let made = setup.run(&["log", "keygen", "--name", name, "--out", key.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let setup = setup
        .with("MODKEEP_LOG_ENABLED", "true")
        .with("MODKEEP_LOG_NAME", name)
        .with("MODKEEP_LOG_KEY_FILE", key.to_str().unwrap());
    let modkeep = setup.serve();
    for n in 0..VERSIONS {
        let path = format!("/log/lookup/bench.example/m{n}@v1.0.0");
        assert_eq!(modkeep.get(&path).status, 200, "{path}");
    }
    let info = "/bench.example/m0/@v/v1.0.0.info";
    let asked = [
        info,
        "/log/lookup/bench.example/m7@v1.0.0",
        "/log/lookup/bench.example/m299@v1.0.0",
        "/log/latest",
        "/log/tile/8/0/000",
        "/log/tile/8/0/001.p/40",
        "/log/tile/8/data/000",
        "/log/tile/8/data/001.p/40",
    ];
    let cpu = || cpu_seconds(&[modkeep.pid()]);
    let mut costs = vec![Vec::new(); asked.len()];
    for _ in 0..5 {
        for (path, costs) in asked.iter().zip(&mut costs) {
            let bytes = modkeep.get(path).body.len();
            costs.push(Load { path, bytes, connections: 64, seconds: 2 }.run(modkeep.url(), cpu).cpu_micros);
        }
    }
    let medians = costs.into_iter().map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    let medians: Vec<f64> = medians.collect();
    let row =
        |(path, cost): (&&str, &f64)| format!("\n  {path}: {cost:.2} µs, {:.2} times", cost / medians[0]);
    asked.iter().zip(&medians).map(row).collect()
}
