//! T17: a backup taken under load has everything that was acknowledged before it began, comes back sound, and does not
//! sign behind what was signed since (R27, C4).
//!
//! `MODKEEP_TORTURE_BACKUPS` and `MODKEEP_TORTURE_SEED` choose how many and when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use modkeep_testkit::client::try_request;
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{ModuleWorld, Upstream};

use crate::kill::{Random, number};
use crate::log_copy::LogCopy;
use crate::{assert_sound, ended, log_size, mirror_of, upstream_of, with_log};

const CLIENTS: u64 = 4;
/// New modules for each backup.
const MODULES: u64 = 60;

/// What clients were given: path and body. Of lookups, the last one.
type Given = BTreeMap<String, Vec<u8>>;

/// A mirror with a log, whose settings a restored copy can be started with.
struct World {
    setup: Setup,
    key: String,
    upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let upstream = upstream_of(&ModuleWorld::new());
        let (setup, key) = with_log(mirror_of(&upstream));
        Self { setup, key, upstream }
    }

    fn publish(&self, names: &[String]) {
        let mut world = ModuleWorld::new();
        for name in names {
            world.add_library(name, "v1.0.0");
        }
        self.upstream.change(|site| site.publish(&world));
    }

    fn dir(&self) -> PathBuf {
        self.setup.home().join("backup")
    }

    fn key_file(&self) -> PathBuf {
        self.setup.home().join("key")
    }

    /// Another machine with the same settings and the key, with or without the copy of the newest head beside it.
    fn elsewhere(&self, with_head: bool) -> Setup {
        let setup = mirror_of(&self.upstream);
        let key_file = setup.home().join("key");
        std::fs::copy(self.key_file(), &key_file).unwrap();
        if with_head {
            let head = |key: &Path| key.with_extension("head");
            std::fs::copy(head(&self.key_file()), head(&key_file)).unwrap();
        }
        setup
            .with("MODKEEP_LOG_ENABLED", "true")
            .with("MODKEEP_LOG_NAME", crate::LOG)
            .with("MODKEEP_LOG_KEY_FILE", key_file.to_str().unwrap())
            .with("MODKEEP_ORIGIN_UPSTREAM", "off")
    }

    fn back_up(&self) -> serde_json::Value {
        let done = self.setup.run(&["backup", self.dir().to_str().unwrap(), "--json"]);
        ended(&done, 0);
        summary(&done.stdout)
    }

    fn restore(&self, to: &Setup, more: &[&str]) -> serde_json::Value {
        let dir = self.dir();
        let done = to.run(&[&["restore", dir.to_str().unwrap(), "--json"], more].concat());
        ended(&done, 0);
        summary(&done.stdout)
    }
}

fn summary(stdout: &[u8]) -> serde_json::Value {
    let text = std::str::from_utf8(stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Whether a program signs: then a lookup of what the log has not yet is answered with a new head.
fn signs(modkeep: &Program) -> bool {
    modkeep.get("/log/lookup/late.example/m@v1.0.0").status == 200
}

#[test]
fn a_backup_under_load_has_what_was_acknowledged_before_it() {
    let backups = number("MODKEEP_TORTURE_BACKUPS", 4);
    let mut random = Random(number("MODKEEP_TORTURE_SEED", 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let world = World::new();
    let modkeep = world.setup.serve();
    let (over, given, names) = (AtomicBool::new(false), Mutex::new(Given::new()), Mutex::new(Vec::new()));
    let mut lost = Vec::new();
    let (mut acknowledged, mut records) = (0, 0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (over, given, names, url) = (&over, &given, &names, modkeep.url());
            let mut random = Random(random.next() ^ client | 1);
            scope.spawn(move || load(url, over, names, given, &mut random));
        }
        for cycle in 0..backups {
            let fresh: Vec<String> = (0..MODULES).map(|n| format!("cycle{cycle}.example/m{n}")).collect();
            world.publish(&fresh);
            names.lock().unwrap().extend(fresh);
            std::thread::sleep(Duration::from_millis(20 + random.below(500))); // the moment is the experiment
            let before = given.lock().unwrap().clone();
            world.back_up();
            (acknowledged, records) = check(&world, &before, &mut lost);
        }
        over.store(true, Ordering::Relaxed);
    });
    println!(
        "{{\"test\":\"T17 backup\",\"cycles\":{backups},\"acknowledged\":{acknowledged},\"records\":{records},\
         \"figure\":{},\"target\":0,\"pass\":{},\"violations\":{lost:?}}}",
        lost.len(),
        lost.is_empty(),
    );
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    assert!(acknowledged > 0 && records > 0, "no client was ever served: the test saw nothing");
}

/// One client, until it is over.
fn load(url: &str, over: &AtomicBool, names: &Mutex<Vec<String>>, given: &Mutex<Given>, random: &mut Random) {
    while !over.load(Ordering::Relaxed) {
        let name = {
            let names = names.lock().unwrap();
            let count = u64::try_from(names.len()).unwrap();
            if count == 0 {
                drop(names);
                std::thread::yield_now();
                continue;
            }
            // The newest most often: what is in flight matters.
            let back = random.below(count.min(MODULES));
            names[usize::try_from(count - 1 - back).unwrap()].clone()
        };
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
}

/// Puts the backup back elsewhere and asks for everything; says how much that was.
fn check(world: &World, given: &Given, lost: &mut Vec<String>) -> (usize, u64) {
    let copy = world.elsewhere(true);
    let restored = world.restore(&copy, &[]);
    if restored["sound"] != true {
        lost.push(format!("not sound: {restored}"));
    }
    let modkeep = copy.serve();
    let mut log = LogCopy::new(&world.key);
    lost.extend(log.follow(&modkeep).err());
    for (path, bytes) in given {
        if path.starts_with("log/") {
            lost.extend(log.was_given(path, bytes).err());
            continue;
        }
        let answer = modkeep.get(&format!("/cached-only/{path}"));
        if answer.status != 200 || &answer.body != bytes {
            lost.push(format!("{path}: {} instead of what was given", answer.status));
        }
    }
    modkeep.kill();
    (given.len(), log.records())
}

#[test]
fn a_log_put_back_signs_only_when_it_is_known_to_be_the_newest() {
    let world = World::new();
    let names: Vec<String> = ["early", "late"].map(|name| format!("{name}.example/m")).to_vec();
    world.publish(&names);
    let modkeep = world.setup.serve();
    assert_eq!(modkeep.get("/log/lookup/early.example/m@v1.0.0").status, 200);
    let size = log_size(&modkeep);
    let early = modkeep.get("/log/lookup/early.example/m@v1.0.0").body;
    world.back_up();
    let online = |setup: Setup| {
        let database = world.upstream.gosumdb();
        setup.with("MODKEEP_ORIGIN_UPSTREAM", &world.upstream.url()).with("MODKEEP_VERIFY_LOG", &database)
    };

    // Whether anything was signed since is unknown: what is there is served, nothing is signed.
    let unknown = online(world.elsewhere(false));
    assert_eq!(world.restore(&unknown, &[])["signs_at_once"], false);
    let restored = unknown.serve();
    assert!(restored.said().contains("put back from a backup"), "{}", restored.said());
    assert!(!signs(&restored));
    assert_eq!(restored.get("/log/lookup/early.example/m@v1.0.0").body, early);
    assert_eq!(log_size(&restored), size);
    restored.stop();
    // Recovering knows no better, as long as it is shown no head.
    let recovered = unknown.run(&["log", "recover"]);
    assert_ne!(recovered.status.code(), Some(0), "{recovered:?}");
    assert!(unknown.store().join("log/restored").exists());
    // The operator says so, by the file that the message names.
    std::fs::remove_file(unknown.store().join("log/restored")).unwrap();
    let restored = unknown.serve();
    assert!(!restored.said().contains("nothing will be signed"), "{}", restored.said());
    assert!(signs(&restored));
    restored.stop();
    // Or at once.
    let told = online(world.elsewhere(false));
    assert_eq!(world.restore(&told, &["--log-is-newest"])["signs_at_once"], true);
    let restored = told.serve();
    assert!(!restored.said().contains("nothing will be signed"), "{}", restored.said());
    restored.stop();

    // The first log went on: its newest head is larger, and the copy beside the key knows it.
    assert_eq!(modkeep.get("/log/lookup/late.example/m@v1.0.0").status, 200);
    modkeep.stop();
    let behind = online(world.elsewhere(true));
    world.restore(&behind, &["--log-is-newest"]);
    let restored = behind.serve();
    assert!(restored.said().contains("old copy of the log"), "{}", restored.said());
    let answer = restored.get("/log/lookup/early.example/m@v1.0.0");
    assert_eq!((answer.status, answer.body), (200, early), "what was there is read");
    restored.stop();

    // A backup of a server at rest is the newest state, and the copy beside the key says so.
    world.back_up();
    let moved = online(world.elsewhere(true));
    world.restore(&moved, &[]);
    let restored = moved.serve();
    assert!(!restored.said().contains("nothing will be signed"), "{}", restored.said());
    assert!(!moved.store().join("log/restored").exists());
    assert!(signs(&restored));
    restored.stop();
    assert_sound(&moved);
}

#[test]
fn a_second_backup_copies_what_is_new_and_an_interrupted_one_is_never_taken_for_whole() {
    let world = World::new();
    world.publish(&["one.example/m".to_owned(), "two.example/m".to_owned()]);
    let modkeep = world.setup.serve();
    assert_eq!(modkeep.get("/one.example/m/@v/v1.0.0.zip").status, 200);
    let first = world.back_up();
    assert_eq!((first["number"].as_u64(), first["kept"].as_u64()), (Some(1), Some(0)));
    assert_eq!(modkeep.get("/two.example/m/@v/v1.0.0.zip").status, 200);

    // What a run leaves that was killed: files, and databases without a manifest of theirs.
    let dir = world.dir();
    std::fs::create_dir_all(dir.join("databases/2")).unwrap();
    std::fs::write(dir.join("databases/2/ledger.sqlite"), b"half of one").unwrap();
    let torn = dir.join("repos/main/two.example/m/@v/v1.0.0.zip");
    std::fs::create_dir_all(torn.parent().unwrap()).unwrap();
    let length =
        std::fs::metadata(world.setup.store().join("repos/main/two.example/m/@v/v1.0.0.zip")).unwrap();
    std::fs::write(&torn, vec![0; usize::try_from(length.len()).unwrap()]).unwrap();
    let earlier = world.elsewhere(false);
    assert_eq!(world.restore(&earlier, &[])["number"], 1);
    assert_sound(&earlier);

    let second = world.back_up();
    assert_eq!(second["number"], 2);
    assert_eq!(second["kept"], first["files"]);
    assert!(!dir.join("databases/1").exists(), "the earlier copies were let go");
    let later = world.elsewhere(false);
    world.restore(&later, &[]);
    assert_sound(&later);
    assert!(later.store().join("repos/main/two.example/m/@v/v1.0.0.zip").exists());

    // A file of the backup that went bad is noticed with --verify, and left out of a restore.
    let bad = dir.join("repos/main/one.example/m/@v/v1.0.0.zip");
    let mut bytes = std::fs::read(&bad).unwrap();
    bytes[10] ^= 1;
    std::fs::remove_file(&bad).unwrap();
    std::fs::write(&bad, bytes).unwrap();
    let partly = world.elsewhere(false);
    let told = ended(&partly.run(&["restore", dir.to_str().unwrap()]), 3);
    assert!(told.contains("one.example/m/@v/v1.0.0.zip") && told.contains("sound"), "{told}");
    let repaired = world.setup.run(&["backup", dir.to_str().unwrap(), "--verify", "--json"]);
    ended(&repaired, 0);
    assert_eq!(summary(&repaired.stdout)["copied"], 1);
    assert_sound(&world.setup);
}

#[test]
fn backups_and_restores_touch_nothing_that_is_not_theirs() {
    let world = World::new();
    world.publish(&["one.example/m".to_owned()]);
    let modkeep = world.setup.serve();
    assert_eq!(modkeep.get("/one.example/m/@v/v1.0.0.zip").status, 200);
    let dir = world.dir();
    let refused = |arguments: &[&str], setup: &Setup, why: &str| {
        let told = ended(&setup.run(arguments), 9);
        assert!(told.contains(why), "{told}");
    };
    // Not into a folder with other things, nor into the data directory, nor over another store's backup.
    let other = world.setup.home().join("photos");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("cat.jpg"), b"cat").unwrap();
    refused(&["backup", other.to_str().unwrap()], &world.setup, "cat.jpg");
    let inside = world.setup.store().join("backup");
    refused(&["backup", inside.to_str().unwrap()], &world.setup, "beside the data directory");
    std::fs::remove_dir(&inside).unwrap();
    refused(&["restore", other.to_str().unwrap()], &world.elsewhere(false), "no backup here that is whole");
    world.back_up();
    let stranger = World::new();
    stranger.publish(&["other.example/m".to_owned()]);
    let served = stranger.setup.serve();
    assert_eq!(served.get("/other.example/m/@v/v1.0.0.zip").status, 200);
    refused(&["backup", dir.to_str().unwrap()], &stranger.setup, "another data directory");
    // Not over a store, in use or not.
    refused(&["restore", dir.to_str().unwrap()], &stranger.setup, "in use");
    served.stop();
    refused(&["restore", dir.to_str().unwrap()], &stranger.setup, "already");
    assert_sound(&stranger.setup);
    // Half of a restore is no store, and is gone on with.
    let half = world.elsewhere(false);
    std::fs::create_dir(half.store()).unwrap();
    std::fs::write(half.store().join("restoring"), b"").unwrap();
    std::fs::write(half.store().join("ledger.sqlite"), b"half of one").unwrap();
    refused(&["fsck"], &half, "a restore into this directory did not end");
    world.restore(&half, &[]);
    assert_sound(&half);
}

#[test]
fn hostile_m08_a_backup_has_no_key_and_is_read_by_nobody_who_may_not_read_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    world.publish(&["one.example/m".to_owned()]);
    // The worst place for a key: in the data directory itself.
    std::fs::create_dir_all(world.setup.store().join("log")).unwrap();
    let inside = world.setup.store().join("log/key");
    std::fs::copy(world.key_file(), &inside).unwrap();
    world.setup.set("MODKEEP_LOG_KEY_FILE", inside.to_str().unwrap());
    std::fs::set_permissions(world.setup.store(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let modkeep = world.setup.serve();
    assert_eq!(modkeep.get("/log/lookup/one.example/m@v1.0.0").status, 200);
    world.back_up();
    let key = std::fs::read_to_string(&inside).unwrap();
    let secret = key.trim().splitn(5, '+').last().unwrap().as_bytes().to_vec();
    assert!(secret.len() > 30, "the canary is the secret part of the key");
    let mut folders = vec![world.dir()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{:?}", entry.path());
        }
    }
    assert!(files > 4, "{files} files were searched");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.dir()), 0o700);
    let copy = world.elsewhere(false);
    world.restore(&copy, &[]);
    assert_eq!(mode(copy.store()), 0o700);
}
