//! Proofs that stand alone: `proof.json`, and the bad ones that it lacks.

use modkeep_tlog::{
    GO_SUM_ORIGIN, Hash, Note, Policy, ProofFile, RecordId, RecordText, Tile, TileSet,
    checkpoint::CheckpointError,
    client::Lookup,
    leaf_hash,
    policy::NotAccepted,
    proof::{prove_consistency, prove_inclusion},
    proof_file::{EXTRA_BYTES_MAX, ProofFileError},
    tile_set::{tiles_for_consistency, tiles_for_inclusion},
};
use proptest::prelude::*;

use crate::{
    driver::{LARGE, LOG, honest, look_up, name, record, signer, size},
    vectors::{id, rows, text, vectors},
    witnesses::{ORIGIN, checkpoint, log_key, time, witness},
};

#[test]
fn proof_is_made_and_verified_as_in_the_vectors() {
    let vectors = vectors("proof.json");
    let expected = text(&vectors, "proof");
    let leaf = RecordText::parse(text(&vectors, "record").as_bytes()).unwrap().leaf_hash();
    assert_eq!(leaf, record(5).leaf_hash());

    let mut cosigned = checkpoint(300);
    cosigned.add(witness().cosign(cosigned.checkpoint(), time(1_796_000_000)).unwrap()).unwrap();
    let hashes = prove_inclusion(&*LOG, size(300), id(5)).unwrap();
    let made = ProofFile::new(id(5), hashes, Note::parse(cosigned.to_text().as_bytes()).unwrap()).unwrap();
    assert_eq!(made.to_text(), expected);
    let parsed = ProofFile::parse(expected.as_bytes()).unwrap();
    assert_eq!(parsed, made);

    for row in rows(&vectors, "policies") {
        let policy = Policy::parse(text(row, "policy").as_bytes());
        let Some(accept) = row.get("accept") else {
            assert!(policy.is_err(), "{}", row["error"]);
            continue;
        };
        let verdict = parsed.verify(leaf, &policy.unwrap());
        assert_eq!(verdict.is_ok(), *accept, "{row}: {verdict:?}");
        match row.get("why").and_then(|why| why.as_str()) {
            Some("w2 did not cosign") => {
                let why = "quorum not met: both has 1 of the 2 it needs, without w2";
                assert_eq!(verdict.unwrap_err().to_string(), why);
            }
            Some(_) => {
                assert!(matches!(verdict, Err(ProofFileError::NotAccepted(NotAccepted::Checkpoint(_)))));
            }
            None => assert_eq!(verdict.unwrap().id(), id(5)),
        }
    }
}

#[test]
fn go_sum_head_serves_as_the_checkpoint() {
    let head = LOG.sign_head(size(300), &signer()).unwrap();
    let hashes = prove_inclusion(&*LOG, size(300), id(299)).unwrap();
    let proof = ProofFile::new(id(299), hashes, Note::parse(head.as_bytes()).unwrap()).unwrap();
    let proof = proof.with_extra(b"record 299").unwrap();
    let proof = ProofFile::parse(proof.to_text().as_bytes()).unwrap();
    assert_eq!(proof.extra(), Some(&b"record 299"[..]));

    let leaf = record(299).leaf_hash();
    let included = proof.verify_with_keys(leaf, GO_SUM_ORIGIN, &[signer().verifier()]).unwrap();
    assert_eq!((included.leaf(), included.checkpoint().head()), (leaf, LOG.head(size(300)).unwrap()));
    let policy = format!("log {}\nquorum none\n", signer().verifier());
    assert!(proof.verify(leaf, &Policy::parse(policy.as_bytes()).unwrap()).is_ok());

    let refused = proof.verify_with_keys(leaf, "sumdb.example.org/test", &[signer().verifier()]);
    let origin = CheckpointError::Origin(GO_SUM_ORIGIN.into());
    assert_eq!(refused, Err(ProofFileError::Checkpoint(origin)));
    assert!(proof.verify_with_keys(leaf, GO_SUM_ORIGIN, &[log_key().verifier()]).is_err());
}

#[test]
fn bad_proofs() {
    let good = text(&vectors("proof.json"), "proof").to_owned();
    let leaf = record(5).leaf_hash();
    let verify = |text: &str, leaf: Hash| {
        ProofFile::parse(text.as_bytes())?.verify_with_keys(leaf, ORIGIN, &[log_key().verifier()])
    };
    assert!(verify(&good, leaf).is_ok());
    let hash = prove_inclusion(&*LOG, size(300), id(5)).unwrap()[3];
    let line = format!("{hash}\n");
    let flipped = format!("{}\n", Hash(hash.0.map(|b| b ^ 0x10)));
    for (what, text) in [
        ("wrong index", good.replace("index 5", "index 4")),
        ("index beyond the tree", good.replace("index 5", "index 300")),
        ("flipped hash", good.replace(&line, &flipped)),
        ("missing hash", good.replace(&line, "")),
        ("a hash twice", good.replace(&line, &line.repeat(2))),
        ("too many hashes that are none of the proof", good.replace(&line, &line.repeat(50))),
    ] {
        assert_eq!(verify(&text, leaf), Err(ProofFileError::NotIncluded), "{what}");
    }
    assert_eq!(verify(&good, leaf_hash(b"x\n")), Err(ProofFileError::NotIncluded), "another record");
    for (what, text) in [
        ("leading zero", good.replace("index 5", "index 05")),
        ("sign", good.replace("index 5", "index +5")),
        ("no index", good.replace("index 5\n", "")),
        ("index twice", good.replace("index 5\n", "index 5\nindex 5\n")),
        ("index above 2^63-1", good.replace("index 5", "index 9223372036854775808")),
        ("another version", good.replace("@v1", "@v2")),
        ("extra after index", good.replace("index 5\n", "index 5\nextra AAAA\n")),
        ("extra twice", good.replace("index 5\n", "extra AAAA\nextra AAAA\nindex 5\n")),
        ("extra that is no base64", good.replace("index 5\n", "extra A\nindex 5\n")),
        ("hash with bits left over", good.replacen("=\n", "\n", 1)),
        ("64 hashes", good.replace(&line, &line.repeat(56))),
        ("10,000 hashes", good.replace(&line, &line.repeat(10_000))),
        ("CRLF", good.replace('\n', "\r\n")),
        ("no blank line", good.replacen("\n\n", "\n", 1)),
        ("nothing", String::new()),
        ("long extra", good.replace("index", &format!("extra {}\nindex", "AAAA".repeat(EXTRA_BYTES_MAX)))),
    ] {
        let refused = verify(&text, leaf);
        assert!(matches!(refused, Err(ProofFileError::Malformed(_))), "{what}: {refused:?}");
    }
    for (what, text) in [
        ("changed size", good.replace("\n300\n", "\n301\n")),
        ("no signatures", good.split_once("\n— ").unwrap().0.to_owned()),
        ("not a checkpoint", good.replace("\n300\n", "\n")),
        ("empty proof", good.replace("\n\n", "\n\n\n")),
    ] {
        let refused = verify(&text, leaf);
        assert!(matches!(refused, Err(ProofFileError::Checkpoint(_))), "{what}: {refused:?}");
    }
}

#[test]
fn proof_of_the_only_record_has_no_hashes() {
    let note = Note::parse(checkpoint(1).to_text().as_bytes()).unwrap();
    let proof = ProofFile::new(id(0), Vec::new(), note).unwrap();
    let proof = ProofFile::parse(proof.to_text().as_bytes()).unwrap();
    assert!(proof.verify_with_keys(record(0).leaf_hash(), ORIGIN, &[log_key().verifier()]).is_ok());
}

#[test]
fn lookup_leaves_a_proof_that_stands_alone() {
    for (records, record_id) in [(300, 5), (300, 299), (257, 256), (70_000, 12_345), (70_000, 69_999), (1, 0)]
    {
        let (module, version) = name(record_id);
        let mut lookup = Lookup::new(signer().verifier(), None, &module, &version);
        let outcome = look_up(&mut lookup, |path, _| honest(path, size(records))).unwrap();
        let proof = ProofFile::of(&outcome.record).unwrap();
        let expected = prove_inclusion(&*LOG, size(records), id(record_id)).unwrap();
        assert_eq!(proof.hashes(), expected, "{record_id} of {records}");
        let leaf = leaf_hash(outcome.record.text().as_bytes());
        assert!(proof.verify_with_keys(leaf, GO_SUM_ORIGIN, &[signer().verifier()]).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The tiles named are enough for the proof, and the proof is that of the whole tree.
    #[test]
    fn proofs_are_made_from_the_tiles_named(
        (old, new) in prop_oneof![(0..600_u64, 1..600_u64), (0..=LARGE, 1..=LARGE)],
        from_larger in any::<bool>(),
    ) {
        let (old, new) = (size(old.min(new)), size(old.max(new)));
        let read = |tile: &Tile| {
            // A reader may give more than was asked for: the tile of today, which has grown since.
            let tile = if from_larger { tile.in_tree(size(LARGE)).unwrap() } else { *tile };
            LOG.tile(&tile, size(LARGE)).unwrap()
        };
        let mut tiles = TileSet::new(new);
        let record = RecordId::new(old.get().min(new.get() - 1)).unwrap();
        for tile in tiles_for_inclusion(new, record) {
            prop_assert!(tile.is_within(new));
            tiles.insert(tile, read(&tile));
        }
        prop_assert_eq!(prove_inclusion(&tiles, new, record), prove_inclusion(&*LOG, new, record));
        let mut tiles = TileSet::new(new);
        for tile in tiles_for_consistency(old, new) {
            tiles.insert(tile, read(&tile));
        }
        prop_assert_eq!(prove_consistency(&tiles, old, new), prove_consistency(&*LOG, old, new));
    }
}
