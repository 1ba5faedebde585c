//! T5: a full disk refuses new modules and nothing else, and is forgiven without a restart (R11).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use modkeep_testkit::ModuleWorld;
use modkeep_testkit::kinds::noise;

use crate::log_copy::LogCopy;
use crate::{assert_sound, ended, mirror_of, upstream_of, with_log};

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
        let begin = Instant::now();
        while modkeep.get(&path).status != 200 {
            assert!(begin.elapsed() < Duration::from_secs(10), "no service after room came back");
            std::thread::sleep(Duration::from_millis(100)); // the store looks at real time
        }
    }
    modkeep.stop();
    assert_sound(&setup);
}

/// The same for our own log: at whatever step of an append the space ends, nothing signed is lost or unsaid, what is in the
/// log is read, and the record comes when there is room again, without a restart.
#[test]
fn a_full_disk_keeps_new_records_waiting_and_serves_the_log() {
    const STEPS: [u64; 8] = [0, 4096, 8192, 16_384, 40_000, 70_000, 120_000, 200_000];
    let mut world = ModuleWorld::new();
    world.add_library("early.example/m", "v1.0.0");
    for step in 0..STEPS.len() {
        world.add_library(&format!("step{step}.example/m"), "v1.0.0");
    }
    let upstream = upstream_of(&world);
    let (setup, key) = with_log(mirror_of(&upstream).with("MODKEEP_STORE_MIN_FREE", "0"));
    let disk = setup.home().join("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, "24m") else { return };
    let setup = setup.store_at(&disk.join("store"));
    let modkeep = setup.serve();
    let early = modkeep.get("/log/lookup/early.example/m@v1.0.0");
    assert_eq!(early.status, 200, "{}", early.text());
    let mut copy = LogCopy::new(&key);
    for (step, left) in STEPS.into_iter().enumerate() {
        let filler = disk.join("filler");
        fill(&filler, left);
        let path = format!("/log/lookup/step{step}.example/m@v1.0.0");
        let answer = modkeep.get(&path);
        let refused = matches!(answer.status, 503 | 507) && answer.header("retry-after").is_some();
        assert!(answer.status == 200 || refused, "{left} bytes left: {} {}", answer.status, answer.text());
        assert_eq!(modkeep.get("/log/lookup/early.example/m@v1.0.0").status, 200, "{left} bytes left");
        copy.follow(&modkeep).unwrap();
        std::fs::remove_file(&filler).unwrap();
        let begin = Instant::now();
        while modkeep.get(&path).status != 200 {
            assert!(begin.elapsed() < Duration::from_secs(10), "no service after room came back");
            std::thread::sleep(Duration::from_millis(100)); // the store looks at real time
        }
        copy.follow(&modkeep).unwrap();
        copy.was_given(&path, &modkeep.get(&path).body).unwrap();
    }
    assert_eq!(copy.records(), 1 + u64::try_from(STEPS.len()).unwrap());
    modkeep.stop();
    assert_sound(&setup);
    ended(&setup.run(&["log", "fsck"]), 0);
}

/// Started where there is no room at all, it serves what is kept, log included.
#[test]
fn a_start_on_a_full_disk_serves_the_log() {
    let mut world = ModuleWorld::new();
    world.add_library("early.example/m", "v1.0.0");
    let upstream = upstream_of(&world);
    let (setup, key) = with_log(mirror_of(&upstream).with("MODKEEP_STORE_MIN_FREE", "0"));
    let disk = setup.home().join("disk");
    let Some(_mounted) = SmallDisk::mount(&disk, "24m") else { return };
    let setup = setup.store_at(&disk.join("store"));
    let modkeep = setup.serve();
    let early = modkeep.get("/log/lookup/early.example/m@v1.0.0");
    assert_eq!(early.status, 200, "{}", early.text());
    modkeep.stop();
    let filler = disk.join("filler");
    fill(&filler, 0);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/log/lookup/early.example/m@v1.0.0").body, early.body);
    let mut copy = LogCopy::new(&key);
    copy.follow(&modkeep).unwrap();
    assert_eq!(copy.records(), 1);
    modkeep.stop();
    std::fs::remove_file(&filler).unwrap();
    assert_sound(&setup);
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
