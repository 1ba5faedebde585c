//! T17: the data directory is put back from a copy of any earlier instant. Nothing is signed from it until `log recover` has
//! gone forward to what was seen (R5, R27).

use std::fs;
use std::sync::Arc;

use modkeep_log::keys::KeySigner;
use modkeep_log::{Config, GivenHead, KnownHead, Log, OpenError, Recovery, recover};
use modkeep_store::SystemClock;
use modkeep_testkit::copy_folder;
use modkeep_tlog::Tile;

use crate::oracle::{Chance, Oracle};
use crate::support::{Seen, audit_some, fill, key, new_folder, open_store, parts, real, vkey};

/// How the world knows that there was more.
#[derive(Clone, Copy, Debug)]
enum Memory {
    BesideTheKey,
    Latest,
    Witness,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_signed_from_twenty_instants_of_a_load_until_it_is_recovered() {
    let (folder, copies, mut chance) = (new_folder(), new_folder(), Chance(17));
    let store = open_store(folder.path(), real());
    let beside = copies.path().join("key.head");
    let config = Config { head_copy: Some(beside.clone()), ..Config::default() };
    let seen = Seen::default();
    let log = Log::open(parts(&store, config, &seen)).unwrap();
    let mut sizes = Vec::new();
    let mut next = 0;
    for instant in 0..20 {
        copy_folder(folder.path(), &copies.path().join(instant.to_string()));
        sizes.push(next);
        for _ in 0..=chance.below(3) {
            let count = [1, 2, 30, 90][chance.below(4)];
            fill(&log, next..next + count).await;
            next += count;
        }
    }
    let newest = log.latest();
    assert_eq!(newest.size.get(), next);
    log.close().await;
    let (latest, oracle) = (fs::read(folder.path().join("log/latest")).unwrap(), Oracle::new(next + 10));
    for (instant, size) in sizes.into_iter().enumerate() {
        let memory = [Memory::BesideTheKey, Memory::Latest, Memory::Witness][instant % 3];
        let context = format!("instant {instant}, {size} of {next} records, known by {memory:?}");
        let old = new_folder();
        copy_folder(&copies.path().join(instant.to_string()), old.path());
        let mut config = Config::default();
        match memory {
            Memory::BesideTheKey => config.head_copy = Some(beside.clone()),
            Memory::Latest => fs::write(old.path().join("log/latest"), &latest).unwrap(),
            Memory::Witness => config.known_heads.push(KnownHead {
                seen_by: "witness.example".into(),
                size: newest.size,
                root: None,
            }),
        }
        let store = open_store(old.path(), real());
        let said = Seen::default();
        let refused = Log::open(parts(&store, config.clone(), &said)).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Behind { seen, ours, .. }
            if *seen == newest.size && ours.get() <= size),
            "{context}: {refused}"
        );
        assert!(said.heads().is_empty(), "{context}");
        let stored = store.log().unwrap().newest_head().unwrap().map_or(0, |head| head.size.get());
        assert!(stored <= size, "{context}: something was signed");
        let reader = Log::open_reading(store.log().unwrap(), vec![vkey()], Config::default()).unwrap();
        oracle.believes(&reader.latest().note, &context);

        let done = recover(Recovery {
            store: store.log().unwrap(),
            signers: vec![Arc::new(KeySigner::from(key()))],
            config: config.clone(),
            clock: Arc::new(SystemClock),
            heads: vec![GivenHead { file: "latest".into(), note: newest.note.to_vec() }],
            tiles: &|tile: &Tile| log.tile(tile).unwrap().map(Vec::from),
        })
        .unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(done.to, newest.size, "{context}");
        config.head_copy = None;
        let log =
            Log::open(parts(&store, config, &said)).unwrap_or_else(|error| panic!("{context}: {error}"));
        fill(&log, next..next + 10).await;
        oracle.believes(&log.latest().note, &context);
        audit_some(&log, next + 10, &seen.heads(), 29).unwrap_or_else(|error| panic!("{context}: {error}"));
        log.close().await;
    }
}
