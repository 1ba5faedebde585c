//! T1: killed at any moment under load, the program forgets nothing that it acknowledged (R1–R9).
//!
//! A cycle starts the program, loads it with cold fetches, reads and lookups in our own log, kills it at a random
//! moment, runs both fscks, and starts it again. What a client got complete is in its ledger: all of it must come back,
//! byte for byte, from the store alone. Of the log the test keeps a copy of its own that can only grow: every record and
//! every head that anybody was ever given must be in it. `MODKEEP_TORTURE_CYCLES` and `MODKEEP_TORTURE_SEED` choose how
//! often and how.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use modkeep_testkit::client::try_request;
use modkeep_testkit::program::Setup;
use modkeep_testkit::{ModuleWorld, Upstream};

use crate::log_copy::LogCopy;
use crate::{mirror_of, upstream_of, with_log};

/// New modules for each cycle, each with three files.
const MODULES: u64 = 40;
const CLIENTS: u64 = 4;
/// Answers of earlier cycles that are asked for again after each kill.
const SAMPLE: usize = 300;

/// What clients were given: path, and the body that came complete with status 200. Of lookups, whose heads grow, the
/// last one.
type Ledger = BTreeMap<String, Vec<u8>>;

/// What was once public and may only grow.
struct Seen {
    feed: Vec<String>,
    log: LogCopy,
}

#[derive(Default)]
struct Figures {
    acknowledged: usize,
    records: u64,
    heads: usize,
    lost: Vec<String>,
    restarts: Vec<Duration>,
}

#[test]
fn killed_again_and_again_it_loses_nothing() {
    let cycles = number("MODKEEP_TORTURE_CYCLES", 20);
    let seed = number("MODKEEP_TORTURE_SEED", 1);
    let upstream = upstream_of(&ModuleWorld::new());
    let (setup, key) = with_log(mirror_of(&upstream));
    let (mut ledger, mut figures) = (Ledger::new(), Figures::default());
    let mut seen = Seen { feed: Vec::new(), log: LogCopy::new(&key) };
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for cycle in 0..cycles {
        let names: Vec<String> = (0..MODULES).map(|n| format!("cycle{cycle}.example/m{n}")).collect();
        let mut world = ModuleWorld::new();
        for name in &names {
            world.add_library(name, "v1.0.0");
        }
        upstream.change(|site| site.publish(&world));
        let given = load_and_kill(&setup, &names, &mut random);
        let sample = sample(&ledger, &mut random);
        check(&setup, &upstream, given.iter().chain(sample), &mut seen, &mut figures);
        ledger.extend(given);
    }
    check(&setup, &upstream, ledger.iter(), &mut seen, &mut figures);
    figures.acknowledged = ledger.len();
    (figures.records, figures.heads) = (seen.log.records(), seen.log.heads());
    report(cycles, seed, &mut figures);
}

/// Some of what earlier cycles gave; the last check takes all of it.
fn sample<'a>(ledger: &'a Ledger, random: &mut Random) -> impl Iterator<Item = (&'a String, &'a Vec<u8>)> {
    let count = u64::try_from(ledger.len()).unwrap().max(1);
    let skip = usize::try_from(random.below(count)).unwrap();
    ledger.iter().skip(skip).take(SAMPLE)
}

/// Runs clients against the program until the moment comes to kill it.
fn load_and_kill(setup: &Setup, names: &[String], random: &mut Random) -> Ledger {
    let modkeep = setup.serve();
    let (over, given) = (AtomicBool::new(false), Mutex::new(Ledger::new()));
    let life = Duration::from_millis(20 + random.below(800));
    let url = modkeep.url().to_owned();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (over, given, url) = (&over, &given, &url);
            let mut random = Random(random.next() ^ client);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let name = &names[usize::try_from(random.below(MODULES)).unwrap()];
                    let path = match random.below(5) {
                        0 => format!("{name}/@v/v1.0.0.info"),
                        1 => format!("{name}/@v/v1.0.0.mod"),
                        2 => format!("{name}/@v/v1.0.0.zip"),
                        _ => format!("log/lookup/{name}@v1.0.0"),
                    };
                    let Ok(answer) = try_request("GET", &format!("{url}/{path}"), &[]) else { continue };
                    if answer.status == 200 && answer.complete && !answer.body.is_empty() {
                        given.lock().unwrap().insert(path, answer.body);
                    }
                }
            });
        }
        std::thread::sleep(life); // the moment of death is the experiment
        modkeep.kill();
        over.store(true, Ordering::Relaxed);
    });
    given.into_inner().unwrap()
}

/// After the kill: fsck is content, and a restart serves everything that was ever given, asking nobody.
fn check<'a>(
    setup: &Setup,
    upstream: &Upstream,
    given: impl Iterator<Item = (&'a String, &'a Vec<u8>)>,
    seen: &mut Seen,
    figures: &mut Figures,
) {
    for fsck in [&["fsck", "--json"][..], &["log", "fsck", "--json"]] {
        let fsck = setup.run(fsck);
        if !fsck.status.success() {
            figures.lost.push(format!("fsck: {}", String::from_utf8_lossy(&fsck.stdout)));
        }
    }
    let modkeep = setup.serve();
    figures.restarts.push(modkeep.started_in());
    if let Err(lost) = seen.log.follow(&modkeep) {
        figures.lost.push(lost);
    }
    upstream.forget();
    for (path, bytes) in given {
        if path.starts_with("log/") {
            figures.lost.extend(seen.log.was_given(path, bytes).err());
            continue;
        }
        let answer = modkeep.get(&format!("/cached-only/{path}"));
        if answer.status != 200 || &answer.body != bytes {
            figures.lost.push(format!("{path}: {} instead of what was given", answer.status));
        }
    }
    assert_eq!(upstream.count("/@v/"), 0, "the replay asked the upstream");
    follow(crate::index_feed::whole(&modkeep, 2000), &mut seen.feed, figures);
    modkeep.kill();
}

/// The feed only ever grows at its end (R8).
fn follow(lines: Vec<String>, feed: &mut Vec<String>, figures: &mut Figures) {
    let kept = lines.len() >= feed.len() && lines[..feed.len()] == feed[..];
    if !kept {
        figures.lost.push(format!("the feed had {} lines, now {} others", feed.len(), lines.len()));
    }
    *feed = lines;
}

/// The line that reliability.md asks every torture test to print.
fn report(cycles: u64, seed: u64, figures: &mut Figures) {
    figures.restarts.sort_unstable();
    let p99 = figures.restarts[(figures.restarts.len() * 99 / 100).min(figures.restarts.len() - 1)];
    println!(
        "{{\"test\":\"T1 kill\",\"seed\":{seed},\"cycles\":{cycles},\"acknowledged\":{},\"records\":{},\"heads\":{},\
         \"figure\":{},\"target\":0,\"restart_p99_ms\":{},\"pass\":{},\"violations\":{:?}}}",
        figures.acknowledged,
        figures.records,
        figures.heads,
        figures.lost.len(),
        p99.as_millis(),
        figures.lost.is_empty(),
        figures.lost,
    );
    assert!(figures.lost.is_empty(), "{}", figures.lost.join("\n"));
    assert!(figures.acknowledged > 0, "no client was ever served: the test saw nothing");
    assert!(figures.records > 0 && figures.heads > 0, "nothing was ever logged: the test saw nothing");
}

pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// xorshift: the same seed, the same moments.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[test]
fn a_killed_import_is_taken_up_again() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let tree = setup.home().join("tree");
    world.write_tree(&tree);
    for life_ms in [5, 30, 60, 120] {
        let mut command = setup.command();
        command.arg("import").arg(&tree).arg("--store").arg(setup.store());
        let mut child =
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(life_ms) && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1)); // the moment of death is the experiment
        }
        drop(child.kill());
        child.wait().unwrap();
    }
    crate::ended(&setup.run(&["import", tree.to_str().unwrap()]), 0);
    crate::assert_sound(&setup);
    let setup = setup.with("MODKEEP_ORIGIN_UPSTREAM", "off");
    let modkeep = setup.serve();
    for release in world.releases() {
        assert_eq!(modkeep.get(&format!("/cached-only/{}", release.file("zip"))).body, release.zip);
    }
}
