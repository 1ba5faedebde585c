//! T5: a full disk refuses new modules and nothing else, and is forgiven without a restart (R11).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use modkeep_testkit::kinds::noise;
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{ModuleWorld, Upstream};

use crate::log_copy::LogCopy;
use crate::{assert_sound, ended, mirror_of, upstream_of, with_log};

/// Service resumes within ten seconds (R11); the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A small file system of its own, unmounted with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with a line that says why, where mounting is not ours to do.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                eprintln!("disk full: not run, a small file system needs root");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn hostile_k09_a_full_disk_refuses_new_modules_and_serves_the_stored() {
    let mut world = ModuleWorld::every_kind();
    for n in 0..8 {
        let beak = noise(200_000 + n);
        world.add(
            "example.com/gull",
            &format!("v1.0.{n}"),
            &[("go.mod", b"module example.com/gull\n"), ("beak", &beak)],
        );
    }
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream).with("MODKEEP_STORE_MIN_FREE", "0");
    let disk = setup.home().join("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, "24m") else { return };
    let setup = setup.store_at(&disk.join("store"));
    let modkeep = setup.serve();
    let stored = modkeep.get("/birds.example/finch/@v/v0.9.0.zip").body;
    assert_eq!(stored, world.release("birds.example/finch", "v0.9.0").zip);
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.info").status, 200);

    // From much too little room to almost enough: the write fails at another place each time.
    for (n, left) in [0, 4096, 40_000, 120_000, 190_000, 230_000].into_iter().enumerate() {
        let filler = disk.join("filler");
        fill(&filler, left);
        let path = format!("/example.com/gull/@v/v1.0.{n}.zip");
        let answer = modkeep.get(&path);
        let fits = answer.status == 200
            && answer.body == world.release("example.com/gull", &format!("v1.0.{n}")).zip;
        let refused = matches!(answer.status, 503 | 507) && answer.header("retry-after").is_some();
        assert!(fits || refused, "{left} bytes left: {} {}", answer.status, answer.text());
        assert!(left > 100_000 || refused, "{left} bytes cannot hold 200,000");
        assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").body, stored);
        assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.info").status, 200);
        std::fs::remove_file(&filler).unwrap();
        until_served(&modkeep, &path);
    }
    modkeep.stop();
    assert_sound(&setup);
}

/// The same for our own log: at whatever step of an append the space ends, nothing signed is lost or unsaid, what is in the
/// log is read, and the record comes when there is room again, without a restart.
#[test]
fn a_full_disk_keeps_new_records_waiting_and_serves_the_log() {
    const STEPS: [u64; 8] = [0, 4096, 8192, 16_384, 40_000, 70_000, 120_000, 200_000];
    let Some(small) = SmallMirror::with_steps(STEPS.len()) else { return };
    let SmallMirror { setup, key, filler, .. } = &small;
    let modkeep = setup.serve();
    let early = modkeep.get(EARLY);
    assert_eq!(early.status, 200, "{}", early.text());
    let mut copy = LogCopy::new(key);
    for (step, left) in STEPS.into_iter().enumerate() {
        fill(filler, left);
        let path = format!("/log/lookup/step{step}.example/m@v1.0.0");
        assert_answered_or_refused(&modkeep, &path, left);
        assert_eq!(modkeep.get(EARLY).status, 200, "{left} bytes left");
        copy.follow(&modkeep).unwrap();
        std::fs::remove_file(filler).unwrap();
        until_served(&modkeep, &path);
        copy.follow(&modkeep).unwrap();
        copy.was_given(&path, &modkeep.get(&path).body).unwrap();
    }
    assert_eq!(copy.records(), 1 + u64::try_from(STEPS.len()).unwrap());
    modkeep.stop();
    assert_sound(setup);
    ended(&setup.run(&["log", "fsck"]), 0);
}

/// Started where there is no room, or too little, it serves what is kept, log included; once there is room it takes new
/// modules and records without another start.
#[test]
fn a_start_on_a_full_disk_serves_what_is_kept_and_takes_new_modules_when_there_is_room() {
    const LEFT: [u64; 7] = [0, 4096, 36_000, 70_000, 110_000, 160_000, 300_000];
    let Some(small) = SmallMirror::with_steps(LEFT.len()) else { return };
    let SmallMirror { setup, key, filler, .. } = &small;
    let modkeep = setup.serve();
    let early = modkeep.get(EARLY);
    assert_eq!(early.status, 200, "{}", early.text());
    assert_eq!(modkeep.get("/early.example/m/@v/v1.0.0.zip").status, 200);
    modkeep.stop();
    let mut copy = LogCopy::new(key);
    for (step, left) in LEFT.into_iter().enumerate() {
        fill(filler, left);
        let modkeep = setup.serve();
        assert_eq!(modkeep.get(EARLY).status, 200, "{left} bytes left");
        assert_eq!(modkeep.get("/early.example/m/@v/v1.0.0.zip").status, 200, "{left} bytes left");
        copy.follow(&modkeep).unwrap();
        let path = format!("/log/lookup/step{step}.example/m@v1.0.0");
        assert_answered_or_refused(&modkeep, &path, left);
        if left == 0 {
            let ready = modkeep_testkit::get(&format!("{}/readyz?verbose", modkeep.admin())).text();
            assert!(ready.contains("store: degraded storage is full"), "{ready}");
        }
        std::fs::remove_file(filler).unwrap();
        until_served(&modkeep, &format!("/step{step}.example/m/@v/v1.0.0.zip"));
        until_served(&modkeep, &path);
        copy.follow(&modkeep).unwrap();
        copy.was_given(&path, &modkeep.get(&path).body).unwrap();
        modkeep.stop();
    }
    assert_eq!(copy.records(), 1 + u64::try_from(LEFT.len()).unwrap());
    assert_sound(setup);
    ended(&setup.run(&["log", "fsck"]), 0);
}

const EARLY: &str = "/log/lookup/early.example/m@v1.0.0";

/// A mirror with a log on a file system of 24 MiB, before a world of `early.example/m` and of one module for each step.
struct SmallMirror {
    setup: Setup,
    key: String,
    filler: PathBuf,
    _upstream: Upstream,
    _mounted: SmallDisk,
}

impl SmallMirror {
    fn with_steps(steps: usize) -> Option<Self> {
        let mut world = ModuleWorld::new();
        world.add_library("early.example/m", "v1.0.0");
        for step in 0..steps {
            world.add_library(&format!("step{step}.example/m"), "v1.0.0");
        }
        let upstream = upstream_of(&world);
        let (setup, key) = with_log(mirror_of(&upstream).with("MODKEEP_STORE_MIN_FREE", "0"));
        let disk = setup.home().join("disk");
        let mounted = SmallDisk::mount(&disk, "24m")?;
        let (setup, filler) = (setup.store_at(&disk.join("store")), disk.join("filler"));
        Some(Self { setup, key, filler, _upstream: upstream, _mounted: mounted })
    }
}

#[track_caller]
fn assert_answered_or_refused(modkeep: &Program, path: &str, left: u64) {
    let answer = modkeep.get(path);
    let refused = matches!(answer.status, 503 | 507) && answer.header("retry-after").is_some();
    assert!(answer.status == 200 || refused, "{left} bytes left: {} {}", answer.status, answer.text());
}

#[track_caller]
fn until_served(modkeep: &Program, path: &str) {
    let begin = Instant::now();
    while modkeep.get(path).status != 200 {
        let waited = begin.elapsed();
        assert!(waited < PATIENCE, "no service after room came back: {path} {}", modkeep.said());
        std::thread::sleep(Duration::from_millis(100)); // the store looks at real time
    }
}

/// Writes until only this much is left.
fn fill(filler: &Path, left: u64) {
    use std::io::Write;
    let mut file = std::fs::File::create(filler).unwrap();
    let block = vec![0x5a; 4096];
    while file.write_all(&block).is_ok() {}
    drop(file);
    let size = std::fs::metadata(filler).unwrap().len();
    std::fs::File::options().write(true).open(filler).unwrap().set_len(size.saturating_sub(left)).unwrap();
}

#[test]
fn below_min_free_nothing_new_is_stored() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let mut setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let stored = modkeep.get("/birds.example/finch/@v/v0.9.0.zip");
    assert_eq!(stored.status, 200);
    modkeep.stop();
    setup.set("MODKEEP_STORE_MIN_FREE", "1024TiB");
    let modkeep = setup.serve();
    let refused = modkeep.get("/example.com/marsh/@v/v1.0.0.zip");
    assert_eq!((refused.status, refused.code()), (503, Some("storage")), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").body, stored.body);
}
