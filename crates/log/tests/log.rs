//! What the log promises, seen by a client that believes nothing but its key.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modkeep_log::keys::KeySigner;
use modkeep_log::{AppendError, Config, Gate, HeadAlign, Log, OpenError, Parts, Shown, State, fsck};
use modkeep_module::ModulePath;
use modkeep_store::{RecordSource, Store};
use modkeep_tlog::note::Note;
use modkeep_tlog::record::read_data_tile;
use modkeep_tlog::{
    Checkpoint, Level, LookupAnswer, ProofFile, SignedCheckpoint, SignerKey, Tile, TreeHead, TreeSize,
};
use proptest::prelude::*;
use support::{
    Judge, Seen, WallClock, audit, fill, key, module, new_folder, open, open_store, parts, record, vkey,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_log_has_a_signed_head_of_nothing_and_grows() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    assert_eq!(log.name(), support::NAME);
    assert_eq!(log.latest().size, TreeSize::EMPTY);
    Judge::new().believes(&log, &log.latest().note).unwrap();
    assert_eq!(log.lookup("example.com/m0", "v1.0.0").unwrap(), None);

    let first = log.append(record(0)).await.unwrap();
    assert_eq!((first.id.get(), first.was_known, first.head_size.get()), (0, false, 1));
    let again = log.append(record(0)).await.unwrap();
    assert_eq!((again.id.get(), again.was_known, again.is_same), (0, true, true));
    assert_eq!(log.latest().size.get(), 1, "a batch without new records signs nothing");
    audit(&log, 1, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_answers_with_the_recorded_sums_and_raises_an_alarm() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let seen = Seen::default();
    let log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
    fill(&log, 0..3).await;
    let mut moved = record(1);
    moved.record.zip_h1 = [9; 32];
    let answer = log.append(moved).await.unwrap();
    assert_eq!((answer.id.get(), answer.was_known, answer.is_same), (1, true, false));
    support::until("the alarm", || seen.conflicts() == [1]).await;
    audit(&log, 3, &seen.heads()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i04_a_thousand_first_appends_of_one_version_give_one_record() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            tokio::spawn({
                let log = log.clone();
                async move { log.append(record(7)).await }
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        let appended = task.await.unwrap().unwrap();
        assert_eq!(appended.id.get(), 0);
        new += usize::from(!appended.was_known);
    }
    assert_eq!((new, log.latest().size.get()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i09_texts_that_are_no_records_do_not_pass_the_door() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    for (module, version) in [
        ("example.com/m\n", "v1.0.0"),
        ("example.com/m\n\n", "v1.0.0"),
        ("example.com/m", "v1.0.0\nexample.com/x v1.0.0 h1:AAAA"),
        ("example.com/m x", "v1.0.0"),
        ("example.com/m", "v1.0.0 "),
        ("example.com/m\u{7}", "v1.0.0"),
        ("example.com/m", "v1.0.0/go.mod"),
        ("", "v1.0.0"),
        ("example.com/m", ""),
        ("example.com/m", "latest"),
        ("example.com/m", "v1.0"),
        ("example.com/m", "v01.0.0"),
        ("example.com/m", "v1.0.0+meta"),
        ("example.com/m", "v2.0.0"),
        ("example.com/m/v2", "v1.0.0"),
        ("nodot/m", "v1.0.0"),
    ] {
        let mut bad = record(0);
        (bad.record.module, bad.record.version) = (module.to_owned(), version.to_owned());
        let refused = log.append(bad).await.unwrap_err();
        assert!(matches!(refused, AppendError::Refused(_)), "{module:?} {version:?}: {refused}");
    }
    assert_eq!(log.latest().size, TreeSize::EMPTY);
    assert_eq!(log.waiting(), 0);
    assert!(ModulePath::parse("golang.org/toolchain").is_ok());
    let mut toolchain = record(0);
    (toolchain.record.module, toolchain.record.version) =
        ("golang.org/toolchain".into(), "v0.0.1-go1.27.3.linux-amd64".into());
    log.append(toolchain).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_i03_a_hundred_thousand_lookups_of_what_is_not_there_leave_no_record() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..2).await;
    let head = log.latest();
    for i in 0..100_000_u64 {
        assert_eq!(log.find("example.com/m0", &format!("v1.{i}.7")).unwrap(), None);
    }
    assert_eq!(log.latest(), head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_width_of_every_tile_is_served_and_nothing_beyond_the_head() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..600).await;
    let size = log.latest().size;
    for index in 0..4 {
        // Every width where the tree ends, some in the full tiles before.
        for width in (1..=256_u32).step_by(if index == 2 { 1 } else { 17 }) {
            for tile in
                [Tile::hashes(Level::LEAVES, index, width).unwrap(), Tile::data(index, width).unwrap()]
            {
                let bytes = log.tile(&tile).unwrap();
                assert_eq!(bytes.is_some(), tile.is_within(size), "{}", tile.path());
                let Some(bytes) = bytes else { continue };
                let first = index * 256;
                let texts = (first..first + u64::from(width)).map(|i| record(i).record.to_text().unwrap());
                if tile.is_data() {
                    assert!(texts.eq(read_data_tile(&bytes, width).unwrap()), "{}", tile.path());
                    assert!(!bytes.ends_with(b"\n\n"));
                } else {
                    assert!(
                        texts.flat_map(|text| text.leaf_hash().0).eq(bytes.iter().copied()),
                        "{}",
                        tile.path()
                    );
                }
            }
        }
    }
    let above = |width| Tile::hashes(Level::new(1).unwrap(), 0, width).unwrap();
    assert!(log.tile(&above(2)).unwrap().is_some());
    assert_eq!(log.tile(&above(3)).unwrap(), None);
    assert_eq!(log.tile(&Tile::parse("tile/1/0/000").unwrap()).unwrap(), None, "another height");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_lookups_carry_aligned_heads_where_those_cover_the_record() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    for (align, sizes) in [(HeadAlign::Tile, [512, 600]), (HeadAlign::Newest, [600, 600])] {
        let log = Log::open(parts(&store, Config { align, ..Config::default() }, &Seen::default())).unwrap();
        fill(&log, 0..600).await;
        assert_eq!(log.aligned().unwrap().size.get(), 512);
        for (i, size) in [(3, sizes[0]), (511, sizes[0]), (512, sizes[1])] {
            let (module, version) = module(i);
            let answer = log.lookup(&module, &version).unwrap().unwrap();
            let text = String::from_utf8(answer.to_vec()).unwrap();
            assert!(text.starts_with(&format!("{i}\n{module} {version} h1:")), "{text}");
            assert!(text.contains(&format!("\n\ngo.sum database tree\n{size}\n")), "{text}");
        }
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_and_checkpoints_convince_without_us() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    let mut imported = record(999);
    imported.source = RecordSource::Upstream("sum.golang.org".into());
    imported.provenance = Some(b"proof of the public database".to_vec());
    log.append(imported).await.unwrap();
    fill(&log, 0..299).await;

    let (module_999, version_999) = module(999);
    assert_eq!(log.provenance(&module_999, &version_999).unwrap().unwrap(), "proof of the public database");
    let (module, version) = module(77);
    assert_eq!(log.provenance(&module, &version).unwrap(), None);
    let file = ProofFile::parse(&log.proof(&module, &version).unwrap().unwrap()).unwrap();
    let leaf = record(77).record.to_text().unwrap().leaf_hash();
    file.verify_with_keys(leaf, log.name(), &[vkey()]).unwrap();
    assert_eq!(log.proof("example.com/none", "v1.0.0").unwrap(), None);

    // A cosigned checkpoint is kept, shown while it is the newest, and never taken for another tree.
    let head = log.latest();
    let cosigned = [&head.checkpoint[..], "— witness.example AAAAAAEC\n".as_bytes()].concat();
    log.put_checkpoint(head.size, cosigned.clone().into()).await.unwrap();
    assert_eq!(log.checkpoint().unwrap(), cosigned);
    let other = Note::open(&head.note, &[vkey()]).unwrap();
    assert!(other.text().starts_with("go.sum database tree\n"));
    assert!(
        log.put_checkpoint(head.size, head.note.clone()).await.is_err(),
        "a go.sum head is no checkpoint of ours"
    );
    fill(&log, 299..301).await;
    assert_eq!(log.checkpoint().unwrap(), log.latest().checkpoint);
    assert_eq!(log.cosigned().unwrap().0, head.size);

    // At sizes of the past too, whether their heads are still kept or not; and never at one of the future.
    for (size, root, is_ours) in [
        (head.size, head.root, true),
        (head.size, modkeep_tlog::Hash([9; 32]), false),
        (TreeSize::new(150).unwrap(), modkeep_tlog::Hash([9; 32]), false),
        (TreeSize::new(303).unwrap(), head.root, false),
    ] {
        let checkpoint = Checkpoint::new(support::NAME, TreeHead { size, root }).unwrap();
        let signed = SignedCheckpoint::sign(checkpoint, &[&key()]).unwrap().to_text();
        assert_eq!(log.put_checkpoint(size, signed.into()).await.is_ok(), is_ours, "{size} {root}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_is_busy_and_a_waiter_that_leaves_harms_nobody() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let seen = Seen::default();
    let gate = Arc::new(std::sync::Barrier::new(2));
    let wait = gate.clone();
    let sabotage = support::at(modkeep_log::Step::Sequence, 1, move || {
        wait.wait();
    });
    let config = Config { queue: 3, sabotage, ..Config::default() };
    let log = Log::open(parts(&store, config, &seen)).unwrap();
    let append = |i| {
        let log = log.clone();
        async move { log.append(record(i)).await }
    };
    let mut waiting: Vec<_> = (0..3).map(|i| tokio::spawn(append(i))).collect();
    support::until("three wait", || log.waiting() == 3).await;
    assert!(matches!(log.append(record(3)).await, Err(AppendError::Busy { .. })));
    waiting.remove(1).abort();
    gate.wait();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    support::until("all places are free", || log.waiting() == 0).await;
    fill(&log, 0..4).await;
    audit(&log, 4, &seen.heads()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_answered_and_comes_back_finds_a_place() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let config = Config { queue: 8, ..Config::default() };
    let log = Log::open(parts(&store, config, &Seen::default())).unwrap();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                for i in 0..100 {
                    log.append(record(caller * 100 + i)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(log.latest().size.get(), 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_log_takes_nothing_and_a_closed_one_reads_on() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..5).await;
    log.pause("an operator looks at it");
    assert_eq!(log.state(), State::Paused { reason: "an operator looks at it".into() });
    let refused = log.append(record(5)).await.unwrap_err();
    assert!(
        matches!(&refused, AppendError::Paused { reason } if &**reason == "an operator looks at it"),
        "{refused}"
    );
    log.resume();
    fill(&log, 5..6).await;
    log.close().await;
    assert_eq!(log.state(), State::Closed);
    assert!(matches!(log.append(record(6)).await, Err(AppendError::Paused { .. })));
    assert_eq!(log.head_after(log.latest().size).await, None);
    audit(&log, 6, &[]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_serves_what_was_published_and_follows() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..300).await;
    let reader = Log::open_reading(store.log().unwrap(), vec![vkey()], Config::default()).unwrap();
    assert_eq!(reader.state(), State::Reading);
    audit(&reader, 300, &[]).unwrap();
    assert!(matches!(reader.append(record(300)).await, Err(AppendError::Paused { .. })));
    fill(&log, 300..310).await;
    assert_eq!(reader.latest().size.get(), 300);
    reader.refresh().unwrap();
    audit(&reader, 310, &[]).unwrap();
    let stranger = SignerKey::from_seed(support::NAME, [8; 32]).unwrap().verifier();
    let refused = Log::open_reading(store.log().unwrap(), vec![stranger], Config::default()).unwrap_err();
    assert!(matches!(refused, OpenError::OtherKey { .. }), "{refused}");
}

/// A log whose heads are signed by these keys.
fn signed_by(store: &Store, keys: Vec<SignerKey>, config: Config) -> Parts {
    let signers = keys.into_iter().map(|key| Arc::new(KeySigner::from(key)) as _).collect();
    Parts { signers, ..parts(store, config, &Seen::default()) }
}

/// Where lookups wait for witnesses, what these cosigned before the new key came lets nothing pass: its heads bear the old
/// key alone (B3, A5).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_rotation_leaves_no_old_head_in_lookups_that_wait_for_witnesses() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let config = Config { gate: Gate::Cosigned, shown: Shown::Cosigned, ..Config::default() };
    let new = SignerKey::from_seed(support::NAME, [8; 32]).unwrap();
    let lookup = |log: &Log| log.lookup("example.com/m0", "v1.0.0").unwrap();
    let cosign = async |log: &Log| {
        let head = log.latest();
        let cosigned = [&head.checkpoint[..], "— witness.example AAAAAAEC\n".as_bytes()].concat();
        log.put_checkpoint(head.size, cosigned.into()).await.unwrap();
    };
    // The newest head is beyond what was cosigned, so that the one at the gate is not signed once more.
    for (first, keys) in [(0, vec![key()]), (10, vec![key(), new.clone()]), (20, vec![new.clone()])] {
        let log = Log::open(signed_by(&store, keys.clone(), config.clone())).unwrap();
        if first < 20 {
            assert_eq!(lookup(&log), None, "from {first}: nothing that all keys signed is cosigned");
            assert_eq!((log.checkpoint(), log.cosigned()), (None, None));
        }
        fill(&log, first..first + 5).await;
        cosign(&log).await;
        let note = LookupAnswer::parse(&lookup(&log).unwrap()).unwrap().note;
        for key in &keys {
            let note = Note::open(&note, &[key.verifier()]);
            assert!(note.is_ok(), "from {first}: {}", key.verifier());
        }
        fill(&log, first + 5..first + 10).await;
        assert!(lookup(&log).is_some(), "what was cosigned is shown on");
        log.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_rotation_signs_every_head_with_both_keys() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..3).await;
    log.close().await;

    let new = SignerKey::from_seed(support::NAME, [8; 32]).unwrap();
    let with = |keys: Vec<SignerKey>| signed_by(&store, keys, Config::default());
    // A switch without overlap is refused: clients could not open their saved heads.
    assert!(matches!(Log::open(with(vec![new.clone()])), Err(OpenError::OtherKey { .. })));
    let log = Log::open(with(vec![key(), new.clone()])).unwrap();
    let both =
        |note: &[u8]| [key(), new.clone()].iter().all(|key| Note::open(note, &[key.verifier()]).is_ok());
    assert!(both(&log.latest().note), "the stored head is signed once more");
    fill(&log, 3..5).await;
    assert!(both(&log.latest().note) && both(&log.latest().checkpoint));
    audit(&log, 5, &[]).unwrap();
    log.close().await;
    let log = Log::open(with(vec![new.clone()])).unwrap();
    fill(&log, 5..6).await;
    assert!(Note::open(&log.latest().note, &[vkey()]).is_err());

    let other = SignerKey::from_seed("other.example/log", [8; 32]).unwrap();
    assert!(matches!(Log::open(with(vec![new.clone(), other])), Err(OpenError::Signers(_))));
    assert!(matches!(Log::open(with(vec![new.clone(), new])), Err(OpenError::Signers(_))));
    assert!(matches!(Log::open(with(Vec::new())), Err(OpenError::Signers(_))));
}

/// What was signed before the new key came is shown to nobody and is no damage either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_rotation_leaves_no_old_head_in_lookups_and_none_that_fsck_calls_damaged() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let log = open(&store);
    fill(&log, 0..300).await;
    let note_of = |log: &Log| {
        let answer = log.lookup("example.com/m0", "v1.0.0").unwrap().unwrap();
        LookupAnswer::parse(&answer).unwrap().note
    };
    assert!(Note::open(&note_of(&log), &[vkey()]).is_ok());
    log.close().await;

    let new = SignerKey::from_seed(support::NAME, [8; 32]).unwrap();
    for keys in [vec![key(), new.clone()], vec![new.clone()]] {
        let log = Log::open(signed_by(&store, keys, Config::default())).unwrap();
        let note = note_of(&log);
        assert!(Note::open(&note, &[new.verifier()]).is_ok(), "{}", String::from_utf8_lossy(&note));
        log.close().await;
        let reading =
            Log::open_reading(store.log().unwrap(), vec![new.verifier()], Config::default()).unwrap();
        assert!(Note::open(&note_of(&reading), &[new.verifier()]).is_ok());
    }
    let options = fsck::Options { keys: vec![new.verifier()], ..fsck::Options::default() };
    let report = fsck::run(&store.log().unwrap(), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let stranger = SignerKey::from_seed(support::NAME, [9; 32]).unwrap();
    let options = fsck::Options { keys: vec![stranger.verifier()], ..options };
    let report = fsck::run(&store.log().unwrap(), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!report.is_sound(), "the newest head is the present key's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r25_clocks_may_lie_and_nothing_is_reordered() {
    let folder = new_folder();
    let store = open_store(folder.path(), support::real());
    let (seen, clock) = (Seen::default(), Arc::new(WallClock::default()));
    let log = Log::open(support::parts_with(&store, Config::default(), &seen, clock.clone())).unwrap();
    let decade = Duration::from_hours(10 * 365 * 24);
    let now = SystemTime::now();
    for (turn, time) in
        [now, now - decade, now + decade, SystemTime::UNIX_EPOCH, now - decade * 6].into_iter().enumerate()
    {
        clock.set(time);
        let turn = turn as u64;
        fill(&log, turn * 100..(turn + 1) * 100).await;
    }
    audit(&log, 500, &seen.heads()).unwrap();
    log.close().await;
    audit(&open(&store), 500, &seen.heads()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However appends come, by how many callers, with however many restarts: one id each, every answer covered, every
    /// head consistent with every later one.
    #[test]
    fn heads_never_disagree(rounds in prop::collection::vec((1_u64..400, 1_u64..20, any::<bool>()), 1..6)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = new_folder();
            let store = open_store(folder.path(), support::real());
            let seen = Seen::default();
            let mut log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
            let mut next = 0;
            for (count, callers, restart) in rounds {
                // Half of what each round offers is known already.
                let from = next - next.min(count / 2);
                let mut tasks = Vec::new();
                for caller in 0..callers {
                    let log = log.clone();
                    tasks.push(tokio::spawn(async move {
                        for i in (from..from + count).filter(|i| i % callers == caller) {
                            let appended = log.append(record(i)).await.unwrap();
                            assert!(appended.head_size.contains(appended.id));
                            assert!(log.latest().size >= appended.head_size);
                            let (module, version) = module(i);
                            assert_eq!(log.find(&module, &version).unwrap(), Some(appended.id));
                        }
                    }));
                }
                for task in tasks {
                    task.await.unwrap();
                }
                next = next.max(from + count);
                if restart {
                    log.close().await;
                    log = Log::open(parts(&store, Config::default(), &seen)).unwrap();
                }
            }
            audit(&log, next, &seen.heads()).unwrap();
        });
    }
}
