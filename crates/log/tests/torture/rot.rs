//! T6: random damage to the files of a small log: a flipped bit, a file cut short, a page of zeros, two files exchanged. Either
//! fsck finds it, or nothing comes of it; in no case is anything wrong served or signed (R13, R14).

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use modkeep_log::{Config, Log, fsck};
use modkeep_store::{MinFree, Store};
use modkeep_testkit::copy_folder;
use modkeep_tlog::tile::tiles_of;
use modkeep_tlog::{RecordText, Tile, TreeSize};

use crate::oracle::{Chance, Oracle};
use crate::support::{Seen, fill, module, new_folder, open, open_store, parts, real, record, vkey};

/// A full tile and an open one.
const RECORDS: u64 = 300;

/// How many times something is damaged; `ROT_FLIPS=1000` is the nightly amount.
fn flips() -> u64 {
    std::env::var("ROT_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(60)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else if entry.metadata().unwrap().len() > 0 {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Changes a file as no program of ours would. A tile is read-only, so it is another file under its name.
fn change(path: &Path, work: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    work(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Damages something below `log/`, and says what. Mostly one of the few files that are no shard of the key index.
fn damage(folder: &Path, chance: &mut Chance) -> String {
    let mut files = files_below(&folder.join("log"));
    files.retain(|path| !path.ends_with("log.sqlite-shm")); // of this run of the machine, and made anew
    if chance.below(4) > 0 {
        files.retain(|path| !path.parent().unwrap().ends_with("keys"));
    }
    let path = files.remove(chance.below(files.len()));
    let name = path.strip_prefix(folder).unwrap().display().to_string();
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let place = chance.below(length);
    match chance.below(10) {
        0 => {
            change(&path, |bytes| bytes.truncate(place));
            format!("{name} is cut at {place} of {length}")
        }
        1 => {
            let page = if length > 4096 { 4096 } else { 512 };
            let start = place / page * page;
            change(&path, |bytes| bytes[start..length.min(start + page)].fill(0));
            format!("{name} has zeros from {start}")
        }
        2 => {
            let other = files.swap_remove(chance.below(files.len()));
            let (ours, theirs) = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
            change(&path, |bytes| *bytes = theirs);
            change(&other, |bytes| *bytes = ours);
            format!("{name} is exchanged with {}", other.strip_prefix(folder).unwrap().display())
        }
        _ => {
            let bit = chance.below(8);
            change(&path, |bytes| bytes[place] ^= 1 << bit);
            format!("bit {bit} of byte {place} of {name} is flipped")
        }
    }
}

/// What fsck says, of a store that takes no writes: a start would make what is derived again. An error is a finding too.
fn is_found(folder: &Path) -> bool {
    let config = modkeep_store::Config { path: folder.to_owned(), min_free: MinFree::Bytes(0) };
    let Ok(matter) = Store::open_read_only(config).and_then(|store| store.log()) else { return true };
    let options = fsck::Options { keys: vec![vkey()], ..fsck::Options::default() };
    let report = fsck::run(&matter, &options, &mut |_| ControlFlow::Continue(()));
    let published = matter.published().ok().flatten();
    // The two published files are not durable, and written anew at every start.
    let is_published = published == matter.newest_head().ok().flatten().map(|head| head.note)
        && matter.published_checkpoint().ok().flatten()
            == matter.newest_head().ok().flatten().map(|head| head.checkpoint);
    !is_published || !report.is_ok_and(|report| report.is_sound())
}

/// What became of a damaged log.
#[derive(Debug, Default)]
struct Figures {
    found: u64,
    refused: u64,
    /// Answers that were errors, in logs that started.
    errors: u64,
    answers: u64,
}

impl Figures {
    /// Whatever is served is right.
    fn serve(&mut self, log: &Log, sound: &Log, oracle: &Oracle, context: &str) {
        let size = oracle.believes(&log.latest().note, context);
        for i in (0..size).step_by(7) {
            let (module, version) = module(i);
            match log.lookup(&module, &version) {
                Err(_) => self.errors += 1,
                Ok(answer) => {
                    let answer = answer.unwrap_or_else(|| panic!("{context}: record {i} is denied"));
                    oracle.assert_answer(i, &answer, context);
                    self.answers += 1;
                }
            }
        }
        let size = TreeSize::new(size).unwrap();
        let data = (0..size.get().div_ceil(256)).filter_map(|index| Tile::data(index, 1)?.in_tree(size));
        for tile in data.chain(tiles_of(size)) {
            match log.tile(&tile) {
                Err(_) => self.errors += 1,
                Ok(bytes) => {
                    assert!(bytes.is_some(), "{context}: {} is denied", tile.path());
                    assert_eq!(bytes, sound.tile(&tile).unwrap(), "{context}: {}", tile.path());
                    self.answers += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_random_damage_is_found_or_nothing_comes_of_it() {
    let (pristine, oracle) = (new_folder(), Oracle::new(RECORDS + 20));
    let store = open_store(pristine.path(), real());
    let log = open(&store);
    for batch in [0..1, 1..100, 100..256, 256..290, 290..RECORDS] {
        fill(&log, batch).await;
    }
    log.close().await;
    drop((log, store));
    assert!(!is_found(pristine.path()), "a sound log");
    let sound = new_folder();
    copy_folder(pristine.path(), sound.path());
    let store = open_store(sound.path(), real());
    let sound = open(&store);
    fill(&sound, RECORDS..RECORDS + 20).await;

    let (mut figures, mut quiet) = (Figures::default(), Vec::new());
    for seed in 0..flips() {
        let folder = new_folder();
        copy_folder(pristine.path(), folder.path());
        let what = damage(folder.path(), &mut Chance(seed * 1_000_003));
        let context = format!("seed {seed}: {what}");
        let is_found = is_found(folder.path());
        figures.found += u64::from(is_found);
        if !is_found {
            quiet.push(what);
        }
        let Ok(store) = std::panic::catch_unwind(|| open_store(folder.path(), real())) else {
            figures.refused += 1;
            continue;
        };
        let opened = store.log().map(|_| Log::open(parts(&store, Config::default(), &Seen::default())));
        let Ok(Ok(log)) = opened else {
            figures.refused += 1;
            continue;
        };
        figures.serve(&log, &sound, &oracle, &context);
        for i in RECORDS..RECORDS + 20 {
            // One at a time, so that ids are in order; where nothing is taken, nothing may be signed either.
            if log.append(record(i)).await.is_err() {
                break;
            }
        }
        figures.serve(&log, &sound, &oracle, &context);
        log.close().await;
    }
    println!("{} times damaged: {figures:?}; of the rest nothing came: {quiet:#?}", flips());
    let texts: &[RecordText] = &oracle.texts;
    assert_eq!(texts.len() as u64, RECORDS + 20);
    // What fsck does not name lies in bytes of the database that hold nothing, or that start again from zero.
    assert!(figures.found * 100 >= flips() * 70, "fsck found only {} of {}", figures.found, flips());
}
