//! The public checksum database's own answers, under its own key.
//!
//! Two tiers: the golden set in `testdata/public-log/`, always; and all 134 lookups of the fixtures (`FIXTURES_DIR`,
//! default `../shared/fixtures` beside the repository) where they are found. The test says which it ran.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use modkeep_tlog::{
    ClientError, LookupPath, SignedHead, Tile, VerifierKey,
    client::{Head, Lookup, TileCheck},
    leaf_hash,
    proof::verify_inclusion,
};

use crate::driver::{check_head, check_tile, look_up};

const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn key() -> VerifierKey {
    VerifierKey::parse(KEY).unwrap()
}

/// All lookups below a folder, as paths of requests.
fn lookups(log: &Path) -> Vec<LookupPath> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&log.join("lookup"), &mut found);
    found.sort();
    let name = |path: &PathBuf| LookupPath::parse(path.strip_prefix(log).unwrap().to_str().unwrap()).unwrap();
    found.iter().map(name).collect()
}

/// Every lookup, at first contact and under the newest head; every head against the newest. How many of each.
fn prove_all(log: &Path) -> (usize, usize) {
    let serve = |path: &str, _: bool| fs::read(log.join(path)).ok();
    let latest = SignedHead::open(&serve("latest", false).unwrap(), &key()).unwrap();
    let (names, mut heads) = (lookups(log), Vec::new());
    for name in &names {
        let (module, version) = (name.module(), name.version());
        for known in [None, Some(latest.clone())] {
            let mut lookup = Lookup::new(key(), known.clone(), module, version);
            let outcome =
                look_up(&mut lookup, serve).unwrap_or_else(|error| panic!("{module}@{version}: {error}"));
            assert_eq!(outcome.record.log_name(), "sum.golang.org");
            let (record, head) = (&outcome.record, outcome.record.head());
            let leaf = leaf_hash(record.text().as_bytes());
            verify_inclusion(record.inclusion(), head.size(), head.root(), record.id(), leaf).unwrap();
            assert!(outcome.record.zip_h1().is_some() && outcome.record.go_mod_h1().is_some());
            assert_eq!(Some(outcome.lookup), serve(&name.path(), false));
            if known.is_some() {
                assert_eq!(outcome.head, latest);
            } else if !heads.contains(&outcome.head) {
                heads.push(outcome.head);
            }
        }
    }
    for head in &heads {
        // Both ways round: the newest is known and an older one comes, and an older one grows into the newest.
        for (known, candidate) in [(&latest, head), (head, &latest)] {
            let mut check = Head::new(key(), Some(known.clone()), candidate.note());
            assert_eq!(check_head(&mut check, serve).unwrap().head, latest);
        }
    }
    (names.len(), heads.len())
}

#[test]
fn golden_set_proves_under_the_public_key() {
    let (lookups, heads) = prove_all(&root().join("testdata/public-log"));
    println!("public log: the golden set: {lookups} lookups, {heads} heads");
    assert_eq!((lookups, heads), (4, 4));
}

#[test]
fn fixtures_prove_under_the_public_key() {
    let fixtures =
        env::var_os("FIXTURES_DIR").map_or_else(|| root().join("../shared/fixtures"), PathBuf::from);
    let log = fixtures.join("mirror/sumdb/sum.golang.org");
    if !log.is_dir() {
        println!("public log: no fixtures at {}: only the golden set ran", fixtures.display());
        return;
    }
    let (lookups, heads) = prove_all(&log);
    println!("public log: the real-world tier: {lookups} lookups, {heads} heads");
    assert_eq!((lookups, heads), (134, 21));
}

#[test]
fn golden_tiles_prove_one_by_one_and_changed_ones_do_not() {
    let log = root().join("testdata/public-log");
    let serve = |tile: &Tile, _: bool| fs::read(log.join(tile.path())).ok();
    let latest = SignedHead::open(&fs::read(log.join("latest")).unwrap(), &key()).unwrap();
    let name = LookupPath::new("rsc.io/quote", "v1.5.2").unwrap();
    let mut lookup = Lookup::new(key(), Some(latest.clone()), name.module(), name.version());
    let outcome = look_up(&mut lookup, |path, _| fs::read(log.join(path)).ok()).unwrap();
    for (tile, bytes) in &outcome.tiles {
        let checked = check_tile(&mut TileCheck::new(latest.clone(), *tile), serve).unwrap();
        assert_eq!(&checked.bytes, bytes, "{}", tile.path());
        let refused = check_tile(&mut TileCheck::new(latest.clone(), *tile), |asked, bypass_cache| {
            let mut bytes = serve(asked, bypass_cache)?;
            bytes[0] ^= u8::from(asked.full() == tile.full());
            Some(bytes)
        });
        assert!(matches!(refused, Err(ClientError::InconsistentTile(_))), "{}", tile.path());
    }
}
