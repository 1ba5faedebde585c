//! T2 for the log's matter: a crash after each change of the disk, in every strength, with the state that the database had
//! then; and a crash of the database in the middle of each of its transactions. What was acknowledged is there, every module
//! version has one id, ids have no gap, a head's tiles are there, and the log goes on.
//!
//! The database is not written through `Disk`. Its files are copied whenever a call to the disk finds them changed, so each
//! crash has the database of its moment; what its own recovery makes of files that are cut or have holes is tried apart.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;
#[path = "support/log.rs"]
mod support_log;

use std::collections::HashSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use modkeep_store::contract::head;
use modkeep_store::faults::{Call, Crash, RecordingDisk, Survival};
use modkeep_store::{Error, LogMutant, LogStore, LogTuning, LogWriter, Store, SystemClock};
use support::{config, new_folder};
use support_log::*;

const FILES: [&str; 2] = ["log.sqlite", "log.sqlite-wal"];

/// The database's file and its WAL at one moment; empty before they are there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct World([Vec<u8>; 2]);

impl World {
    fn of(root: &Path) -> Self {
        Self(FILES.map(|name| std::fs::read(root.join("log").join(name)).unwrap_or_default()))
    }

    fn put(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("log")).unwrap();
        for (name, bytes) in FILES.iter().zip(&self.0).filter(|(_, bytes)| !bytes.is_empty()) {
            std::fs::write(folder.join("log").join(name), bytes).unwrap();
        }
    }
}

/// What was promised by the time of so many changes.
#[derive(Clone, Debug, Default)]
struct Promise {
    changes: usize,
    model: Model,
    built: u64,
    cosigned: u64,
}

/// Everything that happened in a run.
struct Recorded {
    disk: RecordingDisk,
    worlds: Vec<World>,
    promises: Vec<Promise>,
}

impl Recorded {
    fn promised(&self, changes: usize) -> &Promise {
        self.promises.iter().rev().find(|promise| promise.changes <= changes).unwrap()
    }
}

struct Script<'a> {
    disk: &'a RecordingDisk,
    now: Promise,
    promises: Vec<Promise>,
}

impl Script<'_> {
    /// A call has returned: from here on every crash has to keep what it said.
    fn promise(&mut self) {
        self.disk.look_outside();
        self.now.changes = self.disk.changes();
        self.promises.push(self.now.clone());
    }

    fn sequence(&mut self, writer: &mut LogWriter, numbers: Range<u64>) {
        let batch = records(numbers);
        let outcomes = writer.sequence(&batch, now()).unwrap();
        self.now.model.learn(&batch, &outcomes, "script");
        self.promise();
    }

    /// Tiles, heads and files for all that has an id.
    fn build(&mut self, writer: &mut LogWriter) {
        let (before, after) = (self.now.built, self.now.model.len());
        writer.put_tiles(&tiles(before, after)).unwrap();
        self.disk.look_outside();
        commit(writer, before, after).unwrap();
        self.now.built = after;
        self.promise();
        writer.publish(&head(after, 1)).unwrap();
    }

    fn cosign(&mut self, writer: &mut LogWriter, covers: u64) {
        writer.put_cosigned(size(covers), format!("cosigned {covers}\n").as_bytes()).unwrap();
        self.now.cosigned = covers;
        self.promise();
    }
}

fn open_on(root: &Path, disk: &RecordingDisk, tuning: LogTuning) -> LogStore {
    let store = Store::open_on(config(root), Arc::new(disk.clone()), Arc::new(SystemClock)).unwrap();
    store.log_tuned(tuning).unwrap()
}

/// Three sessions and four writers: lone records and batches, repeats, tiles, growing files of keys and their marks, heads
/// one by one, proofs, cosigned checkpoints, a writer that was overtaken, a restart with records that have no head.
fn run(root: &Path, forgotten: Option<Call>, tuning: LogTuning) -> Recorded {
    let worlds: Arc<Mutex<Vec<World>>> = Arc::default();
    let watch = {
        let (worlds, root) = (worlds.clone(), root.to_owned());
        move || {
            let (now, mut worlds) = (World::of(&root), worlds.lock().unwrap());
            (worlds.last() != Some(&now)).then(|| {
                worlds.push(now);
                worlds.len() - 1
            })
        }
    };
    let disk = RecordingDisk::new(root).watching(watch);
    let disk = match forgotten {
        Some(call) => disk.forgetting(call),
        None => disk,
    };
    let mut script = Script { disk: &disk, now: Promise::default(), promises: vec![Promise::default()] };
    let log = open_on(root, &disk, tuning);
    let mut writer = log.writer().unwrap();
    script.sequence(&mut writer, 0..1);
    script.build(&mut writer);
    script.sequence(&mut writer, 0..60);
    script.sequence(&mut writer, 50..150);
    script.build(&mut writer);
    script.cosign(&mut writer, 150);
    script.sequence(&mut writer, 150..300);
    script.build(&mut writer);
    script.sequence(&mut writer, 300..301);
    let mut overtaken = writer;
    let mut writer = log.writer().unwrap();
    script.promise();
    assert!(matches!(overtaken.sequence(&records(301..310), now()), Err(Error::Fenced)));
    drop(overtaken);
    script.sequence(&mut writer, 290..420);
    script.build(&mut writer);
    script.sequence(&mut writer, 420..470);
    drop((writer, log));
    script.promise();
    let log = open_on(root, &disk, tuning);
    let mut writer = log.writer().unwrap();
    script.promise();
    for number in 470..480 {
        script.sequence(&mut writer, number..number + 1);
        script.build(&mut writer);
    }
    for from in (480..800).step_by(5) {
        script.sequence(&mut writer, from..from + 5);
    }
    script.build(&mut writer);
    script.cosign(&mut writer, 800);
    drop((writer, log));
    script.promise();
    let log = open_on(root, &disk, tuning);
    let mut writer = log.writer().unwrap();
    script.sequence(&mut writer, 790..LAST);
    script.build(&mut writer);
    script.sequence(&mut writer, LAST..LAST + 1);
    disk.look_outside();
    let promises = script.promises;
    drop((writer, log));
    let worlds = worlds.lock().unwrap().clone();
    Recorded { disk, worlds, promises }
}

const LAST: u64 = 830;

/// Opens what a crash has left, and goes on with it.
fn check(folder: &Path, world: &World, promise: &Promise, goes_on: bool, context: &str) {
    world.put(folder);
    let store = Store::open(config(folder), Arc::new(SystemClock))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let log = store.log_tuned(SMALL).unwrap_or_else(|error| panic!("{context}: {error}"));
    let mut writer = log.writer().unwrap_or_else(|error| panic!("{context}: {error}"));
    promise.model.assert_in_at_once(&log, context);
    assert_built(&log, context);
    assert!(log.state().unwrap().built.get() >= promise.built, "{context}: a head is lost");
    let cosigned = log.cosigned().unwrap().map_or(0, |(size, _)| size.get());
    assert!(cosigned >= promise.cosigned, "{context}: a cosigned checkpoint is lost");
    if !goes_on {
        let sequenced = log.state().unwrap().sequenced.get();
        let outcomes = writer.sequence(&records(0..1), now()).unwrap();
        assert_eq!(outcomes[0].id().get(), 0, "{context}");
        assert_eq!(log.state().unwrap().sequenced.get(), sequenced.max(1), "{context}");
        return;
    }
    drop(writer);
    let model = finish(&log, 0..LAST + 20).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(model.len(), LAST + 20, "{context}");
    model.assert_in_at_once(&log, context);
    assert_built(&log, context);
}

/// How many changes lie between two crashes that are tried; `CRASH_EVERY=1` tries them all, and more strengths of each.
fn stride() -> usize {
    std::env::var("CRASH_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(29)
}

/// How many strengths of one crash are tried, apart from the first three.
fn strengths() -> usize {
    if stride() == 1 { usize::MAX } else { 7 }
}

/// One state to try.
struct Job<'a> {
    crash: &'a Crash,
    survival: Survival,
    world: World,
    promise: &'a Promise,
    goes_on: bool,
    context: String,
}

fn try_state(job: &Job<'_>) {
    let folder = new_folder();
    job.crash.stage(job.survival, folder.path()).unwrap();
    check(folder.path(), &job.world, job.promise, job.goes_on, &job.context);
}

/// Some side by side: each of them opens, syncs and closes files.
fn side_by_side(jobs: &[Job<'_>], try_one: &(impl Fn(&Job<'_>) + Sync)) {
    std::thread::scope(|scope| {
        for some in jobs.chunks(jobs.len().div_ceil(4).max(1)) {
            scope.spawn(move || some.iter().for_each(try_one));
        }
    });
}

/// Counts the states, and keeps those apart that were met before.
#[derive(Default)]
struct Tally {
    met: HashSet<(u64, usize)>,
    tried: usize,
}

impl Tally {
    /// Tries every `stride()`-th crash in some strengths, others each time.
    fn try_disk(&mut self, recorded: &Recorded, try_one: &(impl Fn(&Job<'_>) + Sync)) {
        for changes in (0..=recorded.disk.changes()).filter(|changes| changes % stride() == 0) {
            let crash = recorded.disk.crash_after(changes);
            let Some(mark) = crash.mark() else { continue };
            let mut survivals = crash.survivals(0..24);
            let others = survivals.len() - 3;
            survivals[3..].rotate_left(changes * 7 % others);
            survivals.truncate(strengths().saturating_add(3));
            survivals.retain(|survival| self.met.insert((crash.fingerprint(*survival), mark)));
            let jobs: Vec<Job<'_>> = (self.tried..)
                .zip(survivals)
                .map(|(number, survival)| Job {
                    crash: &crash,
                    survival,
                    world: recorded.worlds[mark].clone(),
                    promise: recorded.promised(changes),
                    goes_on: number.is_multiple_of(8),
                    context: format!("crash after {changes} changes, {survival:?}"),
                })
                .collect();
            self.tried += jobs.len();
            side_by_side(&jobs, try_one);
        }
    }

    /// The database alone: each of its transactions is cut at every block of its WAL, or lacks that block; and where the
    /// WAL was carried over into the database, any of its blocks are old and any are new.
    fn try_database(&mut self, recorded: &Recorded) {
        let marks = (0..recorded.disk.changes()).filter_map(|at| Some((at, recorded.disk.mark_at(at)?)));
        for (at, number) in marks.filter(|(_, number)| *number > 0) {
            let (before, after) = (&recorded.worlds[number - 1], &recorded.worlds[number]);
            let crash = recorded.disk.crash_after(at);
            let jobs: Vec<Job<'_>> = (self.tried..)
                .zip(torn(before, after))
                .map(|(number, (world, what))| {
                    let survival = if number.is_multiple_of(2) { Survival::All } else { Survival::Synced };
                    Job {
                        crash: &crash,
                        survival,
                        world,
                        promise: recorded.promised(at),
                        goes_on: number.is_multiple_of(16),
                        context: format!(
                            "on the way to state {number} of the database, {what}, {survival:?}"
                        ),
                    }
                })
                .collect();
            self.tried += jobs.len();
            side_by_side(&jobs, &try_state);
        }
    }
}

/// What may be found of a database that was on its way from one state to the next.
fn torn(before: &World, after: &World) -> Vec<(World, String)> {
    let ([file, wal], [later_file, later_wal]) = (&before.0, &after.0);
    let mut torn = Vec::new();
    if later_wal.starts_with(wal) && file == later_file {
        let blocks = wal.len() / 512..later_wal.len().div_ceil(512);
        for block in blocks.filter(|block| stride() == 1 || block % 17 == 0) {
            let cut = later_wal[..(block * 512).max(wal.len())].to_vec();
            torn.push((World([file.clone(), cut]), format!("cut at block {block}")));
            let mut holed = later_wal.clone();
            let end = holed.len().min((block + 1) * 512);
            holed[(block * 512).max(wal.len())..end].fill(0);
            torn.push((World([file.clone(), holed]), format!("without block {block}")));
        }
    } else if !wal.is_empty() && file != later_file {
        for seed in 0..if stride() == 1 { 64_usize } else { 6 } {
            let mut mixed = later_file.clone();
            for (number, (new, old)) in mixed.chunks_mut(512).zip(file.chunks(512)).enumerate() {
                let is_old = (((number * 2_654_435_761) ^ (seed * 40_503)) >> 7) & 1 == 0;
                if is_old && new.len() == old.len() {
                    new.copy_from_slice(old);
                }
            }
            torn.push((World([mixed, wal.clone()]), format!("carried over in part, {seed}")));
        }
    }
    torn
}

#[test]
fn no_crash_loses_a_record_or_gives_two_ids() {
    let mut states = 0;
    // Keys that are written often, into few files, and seldom, into many at a time.
    for (key_shards, mark_every) in [(2, 5), (8, 30)] {
        let folder = new_folder();
        let recorded = run(folder.path(), None, LogTuning { key_shards, mark_every, ..SMALL });
        let mut tally = Tally::default();
        tally.try_disk(&recorded, &try_state);
        let of_the_disk = tally.tried;
        tally.try_database(&recorded);
        println!(
            "{} crash states, {of_the_disk} of them of the disk, of {} changes and {} states of the database",
            tally.tried,
            recorded.disk.changes(),
            recorded.worlds.len()
        );
        states += tally.tried;
    }
    assert!(states >= if stride() == 1 { 20_000 } else { 500 }, "only {states} crash states");
}

/// Whether a crash of a run ends badly.
fn is_noticed(recorded: &Recorded) -> bool {
    let noticed = AtomicBool::new(false);
    Tally::default().try_disk(recorded, &|job: &Job<'_>| {
        if !noticed.load(Ordering::Relaxed) && catch_unwind(AssertUnwindSafe(|| try_state(job))).is_err() {
            noticed.store(true, Ordering::Relaxed);
        }
    });
    noticed.into_inner()
}

/// The harness itself: a program that forgets its syncs is caught, and so is one that gives ids twice.
#[test]
fn mutants_do_not_survive_the_crashes() {
    for forgotten in [Call::Sync, Call::SyncDir] {
        let folder = new_folder();
        assert!(is_noticed(&run(folder.path(), Some(forgotten), SMALL)), "without {forgotten:?}");
    }
    for mutant in [LogMutant::ReuseId, LogMutant::SkipIndex] {
        let folder = new_folder();
        let tuning = LogTuning { mutant: Some(mutant), ..SMALL };
        let ran = catch_unwind(AssertUnwindSafe(|| run(folder.path(), None, tuning)));
        assert!(ran.is_err(), "{mutant:?}: the script itself learns what ids there are");
    }
}

/// The harness itself: a mark that moved before the keys were synced would be caught.
#[test]
fn an_index_behind_its_mark_is_noticed_and_made_again() {
    let folder = new_folder();
    let recorded = run(folder.path(), None, LogTuning { mark_every: 5, ..SMALL });
    // The database of the end over the keys of its first half: as after a backup that was put back in part.
    let (crashed, old) = (new_folder(), new_folder());
    recorded.disk.stage(recorded.disk.changes(), Survival::All, crashed.path()).unwrap();
    recorded.disk.stage(recorded.disk.changes() / 3, Survival::Synced, old.path()).unwrap();
    for entry in std::fs::read_dir(old.path().join("log/keys")).unwrap() {
        let entry = entry.unwrap();
        let to: PathBuf = crashed.path().join("log/keys").join(entry.file_name());
        std::fs::copy(entry.path(), to).unwrap();
    }
    let world = recorded.worlds.last().unwrap();
    check(crashed.path(), world, recorded.promises.last().unwrap(), true, "old keys");
}
