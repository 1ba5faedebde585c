//! Prover, verifier and tiles against the go command's own (checksum-database part D, "Tests that must exist", 9): random
//! records and sizes, and every size around a power of 256.

use std::fmt::Write as _;
use std::path::Path;

use modkeep_testkit::Oracle;
use modkeep_tlog::proof::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
use modkeep_tlog::tile::tiles_of;
use modkeep_tlog::{Hash, RecordId, Tile};
use sha2::{Digest as _, Sha256};

use crate::driver::{LARGE, LOG, record, size};

/// Around the powers of 256 and the small sizes of every shape.
fn edges() -> Vec<u64> {
    let around = [256, 512, 65_536, 65_536 + 256].into_iter().flat_map(|size: u64| size - 2..=size + 2);
    (1..40).chain(around).chain([LARGE]).collect()
}

/// Pairs of a size and something below it: each edge with each of its own kind, and 2,000 anywhere.
fn pairs() -> Vec<(u64, u64)> {
    let edges = edges();
    let mut pairs: Vec<_> =
        edges.iter().flat_map(|n| edges.iter().filter(move |m| *m < n).map(move |m| (*n, *m))).collect();
    let mut state = 0x746c_6f67_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    pairs.extend((0..2000).map(|_| {
        let n = 1 + random(LARGE);
        (n, random(n))
    }));
    pairs
}

fn reference() -> Oracle {
    Oracle::build(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reference.go"))
}

/// In the words of `reference.go`.
fn list(hashes: &[Hash]) -> String {
    let mut list = String::new();
    for hash in hashes {
        for byte in hash.as_bytes() {
            write!(list, "{byte:02x}").unwrap();
        }
        list.push(',');
    }
    list + "."
}

fn inclusion(n: u64, id: u64) -> Vec<Hash> {
    prove_inclusion(&*LOG, size(n), RecordId::new(id).unwrap()).unwrap()
}

fn consistency(n: u64, m: u64) -> Vec<Hash> {
    prove_consistency(&*LOG, size(m), size(n)).unwrap()
}

#[test]
fn roots_proofs_and_tiles_are_those_of_the_reference() {
    let mut expected = Vec::new();
    for n in edges() {
        expected.push((format!("root {n}"), list(&[LOG.root(size(n)).unwrap()])));
        expected.push((format!("tiles {n}"), tiles(n)));
    }
    for (n, other) in pairs() {
        expected.push((format!("record {n} {other}"), list(&inclusion(n, other))));
        if other > 0 {
            expected.push((format!("tree {n} {other}"), list(&consistency(n, other))));
        }
    }
    let questions: Vec<String> = expected.iter().map(|(question, _)| question.clone()).collect();
    for ((question, ours), theirs) in expected.iter().zip(reference().ask(&questions)) {
        assert_eq!(*ours, theirs, "{question}");
    }
}

/// Path and sum of every hash tile.
fn tiles(n: u64) -> String {
    let sum = |tile: Tile| {
        let mut sum = format!("{}=", tile.path());
        for byte in Sha256::digest(LOG.tile(&tile, size(n)).unwrap()) {
            write!(sum, "{byte:02x}").unwrap();
        }
        sum
    };
    let mut sums: Vec<_> = tiles_of(size(n)).map(sum).collect();
    sums.sort();
    sums.join(",")
}

/// A proof, whole, or with a hash flipped, dropped, doubled or moved: both verifiers say the same.
#[test]
fn proofs_are_judged_as_by_the_reference() {
    let mut questions = Vec::new();
    let mut ours = Vec::new();
    for (turn, (n, other)) in pairs().into_iter().enumerate().filter(|(_, (_, other))| *other > 0) {
        let root = |n| LOG.root(size(n)).unwrap();
        let proof = damaged(inclusion(n, other), turn);
        let (id, leaf) = (RecordId::new(other).unwrap(), record(other).leaf_hash());
        ours.push(verify_inclusion(&proof, size(n), root(n), id, leaf).is_ok());
        questions.push(format!("check-record {n} {other} {}", list(&proof)));
        let proof = damaged(consistency(n, other), turn);
        ours.push(verify_consistency(&proof, (size(other), root(other)), (size(n), root(n))).is_ok());
        questions.push(format!("check-tree {n} {other} {}", list(&proof)));
    }
    let theirs = reference().ask(&questions);
    let (good, bad) = theirs.iter().partition::<Vec<_>, _>(|answer| *answer == "ok");
    assert!(good.len() > 500 && bad.len() > 1000, "{} and {}", good.len(), bad.len());
    for ((question, ours), theirs) in questions.iter().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs == "ok", "{question}: {theirs}");
    }
}

fn damaged(mut proof: Vec<Hash>, turn: usize) -> Vec<Hash> {
    let at = turn % proof.len().max(1);
    match turn % 5 {
        1 if !proof.is_empty() => proof[at].0[turn % 32] ^= 1,
        2 => drop(proof.pop()),
        3 => proof.extend(proof.first().copied().or(LOG.root(size(1)))),
        4 if proof.len() > 1 => proof.swap(0, at),
        _ => {}
    }
    proof
}
