//! What does a cached answer cost, beside nginx that serves the same files? And: how fast do we start, how
//! much do we hold, how fast do we import, what does a herd cost the upstream?
//!
//! `cargo xtask bench hot` runs it. Servers are pinned to core 0 and take turns, the load to core 1, where
//! there are two; rows are medians of rounds. Rates on shared machines swing, so judge by CPU per request.
//! Arguments: `--quick` for one short round, names of rows to run only those.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::format_collect,
    reason = "a bench fails by panicking, reports by printing, and its figures are estimates"
)]

mod load;
mod once;
mod servers;

use modkeep_testkit::kinds::noise;
use modkeep_testkit::program::Setup;
use modkeep_testkit::{ModuleWorld, Site, SumDb, Upstream};

use crate::load::{Load, Sample};
use crate::servers::{Nginx, cpu_seconds};

const MODKEEP: &str = env!("CARGO_BIN_EXE_modkeep");

/// One kind of answer, asked for again and again.
struct Row {
    name: &'static str,
    path: String,
    connections: u32,
    /// Bound on the ratio of CPU per request, ours to nginx's.
    target: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|w| *w == name);
    modkeep_testkit::client::allow_descriptors();
    println!("{}", machine());

    let rows = rows();
    if rows.iter().any(|row| runs(row.name)) {
        side_by_side(rows.iter().filter(|row| runs(row.name)), if quick { (1, 1) } else { (5, 4) });
    }
    for (name, figure) in once::FIGURES {
        if runs(name) {
            println!("{name}: {}", figure());
        }
    }
}

fn rows() -> Vec<Row> {
    let row = |name, file: &str, connections, target| {
        let path = format!("/bench.example/{file}");
        Row { name, path, connections, target }
    };
    vec![
        row("info", "small/@v/v1.0.0.info", 64, 1.0),
        row("mod", "small/@v/v1.0.0.mod", 64, 1.0),
        row("list", "small/@v/list", 64, 1.0),
        row("latest", "small/@latest", 64, 1.0),
        row("zip-50k", "zip50k/@v/v1.0.0.zip", 64, 1.1),
        row("zip-1m", "zip1m/@v/v1.0.0.zip", 64, 1.1),
        row("zip-100m", "zip100m/@v/v1.0.0.zip", 8, 1.5),
    ]
}

/// The modules that the rows ask for; the large ones do not compress.
fn world() -> ModuleWorld {
    let mut world = ModuleWorld::new();
    for patch in 0..20 {
        world.add_library("bench.example/small", &format!("v1.{patch}.0"));
    }
    for (name, bytes) in [("zip50k", 50_000), ("zip1m", 1_000_000), ("zip100m", 100 << 20)] {
        let module = format!("bench.example/{name}");
        let go_mod = format!("module {module}\n");
        let body = noise(bytes);
        world.add(&module, "v1.0.0", &[("go.mod", go_mod.as_bytes()), ("body.bin", &body)]);
    }
    world
}

/// An upstream with this world, and a mirror of it whose lists live for the whole run.
fn house(world: &ModuleWorld) -> (Upstream, Setup) {
    let database = SumDb::of("sums.bench.example", world);
    let upstream = Upstream::start(Site::of(world).with_database(database));
    let setup = Setup::new(MODKEEP).upstream(&upstream).with("MODKEEP_ORIGIN_LIST_TTL", "1h");
    (upstream, setup.through(servers::ON_CORE_0))
}

fn side_by_side<'a>(rows: impl Iterator<Item = &'a Row>, (rounds, seconds): (u32, u32)) {
    let world = world();
    let (upstream, setup) = house(&world);
    let modkeep = setup.serve();
    for path in world.files().keys() {
        assert_eq!(modkeep.get(&format!("/{path}")).status, 200, "{path}");
    }
    modkeep.stop();
    let tree = setup.home().join("tree");
    assert!(setup.run(&["export", "--out", tree.to_str().unwrap()]).status.success(), "export");
    for (path, bytes) in world.files() {
        let file = tree.join(&path);
        if !file.exists() {
            std::fs::write(file, bytes).unwrap(); // an export may leave @latest out
        }
    }
    let nginx = Nginx::start(&tree, setup.home());
    let modkeep = setup.serve();
    upstream.forget();

    println!(
        "\n| cached | CPU/request nginx | modkeep | ratio | bar | req/s nginx | modkeep | ratio | p99 nginx | modkeep |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let right = modkeep_testkit::get(&format!("{}{}", nginx.url(), row.path));
        assert_eq!(right.status, 200, "nginx {}", row.path);
        let load = Load { path: &row.path, bytes: right.body.len(), connections: row.connections, seconds };
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            theirs.push(load.run(nginx.url(), || cpu_seconds(&nginx.pids())));
            ours.push(load.run(modkeep.url(), || cpu_seconds(&[modkeep.pid()])));
        }
        println!("{}", line(row, &theirs, &ours));
    }
    let asked = upstream.seen().len();
    println!("\nupstream requests during all of this: {asked}");
    println!("RSS after it: {} MiB", modkeep.resident_bytes() >> 20);
}

fn line(row: &Row, theirs: &[Sample], ours: &[Sample]) -> String {
    let of = |samples: &[Sample], figure: fn(&Sample) -> f64| {
        let mut figures: Vec<f64> = samples.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let (cpu_theirs, cpu_ours) = (of(theirs, |s| s.cpu_micros), of(ours, |s| s.cpu_micros));
    let (rate_theirs, rate_ours) = (of(theirs, |s| s.per_second), of(ours, |s| s.per_second));
    let (p99_theirs, p99_ours) = (of(theirs, |s| s.p99_ms), of(ours, |s| s.p99_ms));
    format!(
        "| {} | {cpu_theirs:.2} µs | {cpu_ours:.2} µs | **{:.2}** | ≤ {:.1} | {rate_theirs:.0} | {rate_ours:.0} | {:.2} | {p99_theirs:.2} ms | {p99_ours:.2} ms |",
        row.name,
        cpu_ours / cpu_theirs,
        row.target,
        rate_ours / rate_theirs,
    )
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("\t: unknown");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("machine: {cores} cores,{}, Linux {}", model.trim_start_matches(['\t', ':']), kernel.trim())
}
