//! `modkeep log recover` as an operator runs it: an old copy was put back, somebody has a newer head, or another one (C4, R5).

use std::path::{Path, PathBuf};

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Upstream, copy_folder};

use crate::gossip::bring;
use crate::{ended, log_size, mirror_of, upstream, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";
const MARSH: &str = "example.com/marsh@v1.0.0";
const TERN: &str = "example.com/tern@v1.5.2";

/// A mirror whose log has one record, and a copy of that store.
struct World {
    setup: Setup,
    _upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let upstream = upstream();
        let (setup, _) = with_log(mirror_of(&upstream));
        let world = Self { setup, _upstream: upstream };
        world.record(&[FINCH]);
        copy_folder(world.setup.store(), &world.old());
        world
    }

    fn old(&self) -> PathBuf {
        self.setup.home().join("old")
    }

    /// Has these recorded, and stops.
    fn record(&self, versions: &[&str]) {
        let modkeep = self.setup.serve();
        for version in versions {
            assert_signed(&modkeep, version);
        }
        modkeep.stop();
    }

    /// The newest head and its tree, as files in a folder.
    fn export(&self, to: &str, layout: &str) -> String {
        let to = self.setup.home().join(to).to_str().unwrap().to_owned();
        ended(&self.setup.run(&["log", "export", "--out", &to, "--layout", layout]), 0);
        to
    }

    /// The copy is put back. What remembers the newest head beside the key is lost as well.
    fn put_old_back(&self) {
        std::fs::remove_dir_all(self.setup.store()).unwrap();
        copy_folder(&self.old(), self.setup.store());
        std::fs::remove_file(self.setup.home().join("key.head")).unwrap();
    }

    #[track_caller]
    fn recover(&self, more: &[&str], code: i32) -> String {
        ended(&self.setup.run(&[&["log", "recover"], more].concat()), code)
    }

    /// Nothing is changed, and nobody says that the log may be started.
    #[track_caller]
    fn assert_forked(&self, more: &[&str]) {
        let before = std::fs::read(self.setup.store().join("log/latest")).unwrap();
        let said = self.recover(more, 7);
        assert!(said.contains("INCONSISTENT") && said.contains("nothing will be signed"), "{said}");
        assert!(!said.contains("may be started"), "{said}");
        assert_eq!(std::fs::read(self.setup.store().join("log/latest")).unwrap(), before);
    }
}

#[track_caller]
fn assert_signed(modkeep: &Program, version: &str) {
    let told = modkeep.get(&format!("/log/lookup/{version}"));
    assert_eq!(told.status, 200, "{} {}", told.text(), modkeep.said());
}

#[test]
fn an_old_copy_goes_forward_to_the_head_of_an_exported_tree_and_signs_again() {
    let world = World::new();
    world.record(&[MARSH]);
    let tree = world.export("tree", "go");
    let latest = format!("{tree}/latest");
    for arguments in [&["--from", &tree][..], &["--from", &tree, "--head", &latest]] {
        world.put_old_back();
        let said = world.recover(arguments, 0);
        assert!(said.contains("1 records became 2"), "{said}");
        assert!(world.recover(arguments, 0).contains("2 records; no newer head is known"));
        let modkeep = world.setup.serve();
        assert_signed(&modkeep, TERN);
        assert_eq!(log_size(&modkeep), 3);
        let told = bring(&modkeep, "/log/gossip", &std::fs::read(&latest).unwrap(), "");
        assert!(told.text().starts_with("consistent: size 2 "), "{}", told.text());
        modkeep.stop();
        ended(&world.setup.run(&["log", "fsck"]), 0);
    }

    // A head alone says that there was more. Where its records are is not known, so nothing is changed.
    world.put_old_back();
    let said = world.recover(&["--head", &latest], 7);
    assert!(said.contains("is nowhere") && said.contains("log recover --from DIR"), "{said}");
    assert!(!said.contains("log fsck"), "nothing here is damaged: {said}");
}

#[test]
fn an_old_copy_goes_forward_to_a_head_that_was_brought_to_it() {
    let world = World::new();
    world.record(&[MARSH]);
    let tree = world.export("tree", "both");
    for brought in ["latest", "checkpoint"] {
        world.put_old_back();
        let modkeep = world.setup.serve();
        let note = std::fs::read(Path::new(&tree).join(brought)).unwrap();
        let told = bring(&modkeep, "/log/gossip", &note, "");
        assert!(told.text().starts_with("unknown future: "), "{}", told.text());
        modkeep.stop();
        assert!(world.recover(&[], 7).contains("is nowhere"));
        assert!(world.recover(&["--from", &tree], 0).contains("1 records became 2"));
        world.record(&[TERN]);
        ended(&world.setup.run(&["log", "fsck"]), 0);
    }
}

#[test]
fn a_head_of_another_history_is_a_fork_and_nothing_may_be_signed() {
    let world = World::new();
    world.record(&[MARSH]);
    let theirs = world.export("theirs", "both");
    let (latest, checkpoint) = (format!("{theirs}/latest"), format!("{theirs}/checkpoint"));
    // The old copy signs again, because nobody remembers: two heads of one size under one key.
    world.put_old_back();
    world.record(&[TERN]);
    let ours = world.export("ours", "go");
    for given in [["--head", &latest], ["--head", &checkpoint], ["--from", &theirs]] {
        world.assert_forked(&given);
    }
    // Nor does it settle that a log was put back whose newest head this is.
    let mark = world.setup.store().join("log/restored");
    std::fs::write(&mark, "2026-11-21\n").unwrap();
    world.assert_forked(&["--head", &latest]);
    std::fs::copy(&latest, world.setup.home().join("key.head")).unwrap();
    world.assert_forked(&[]);
    let modkeep = world.setup.serve();
    assert!(modkeep.said().contains("nothing will be signed"), "{}", modkeep.said());
    assert_eq!(modkeep.get(&format!("/log/lookup/{MARSH}")).status, 503);
    modkeep.stop();
    assert!(mark.exists());
    std::fs::remove_file(&mark).unwrap();
    std::fs::remove_file(world.setup.home().join("key.head")).unwrap();

    // A head that is smaller than ours is compared as well, ...
    world.record(&["example.com/tern/v2@v2.0.1"]);
    world.assert_forked(&["--head", &latest]);
    // ... and two that were given, where both are ahead of us.
    world.put_old_back();
    world.assert_forked(&["--from", &ours, "--head", &latest]);
}

#[test]
fn a_folder_without_a_head_is_a_mistake_and_says_nothing_about_the_log() {
    let world = World::new();
    let missing = world.setup.home().join("missing").to_str().unwrap().to_owned();
    for folder in [missing, world.export("c2sp", "c2sp")] {
        let said = world.recover(&["--from", &folder], 5);
        assert!(said.contains("no file \"latest\"") && said.contains("modkeep log export"), "{said}");
        assert!(!said.contains("may be started"), "{said}");
    }
    let said = world.recover(&["--head", "/nonexistent"], 1);
    assert!(!said.contains("may be started"), "{said}");
    let readme = world.setup.home().join("readme").to_str().unwrap().to_owned();
    std::fs::write(&readme, "no note at all\n").unwrap();
    let said = world.recover(&["--head", &readme], 2);
    assert!(
        said.contains(&format!("{readme} is no head of this log")) && said.contains("/log/latest"),
        "{said}"
    );
    assert!(!said.contains("damaged") && !said.contains("may be started"), "{said}");
    assert!(world.recover(&[], 0).contains("1 records; no newer head is known"));
}
