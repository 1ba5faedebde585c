//! Every golden vector of `testdata/vectors/` that concerns this room.

use std::{collections::BTreeSet, fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use modkeep_tlog::{
    ClientError, Hash, LookupAnswer, LookupPath, Note, RecordId, RecordText, SignedHead, SignerKey, Tile,
    TreeHead, VerifierKey,
    client::Lookup,
    note::NoteError,
    proof::{Node, prove_consistency, prove_inclusion, stored_count, verify_consistency, verify_inclusion},
    record::{bundle_of, read_bundle, read_data_tile, texts_in, write_bundle},
    tile::{Content, Layout, new_tiles, tiles_of},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::driver::{LARGE, LOG, look_up, record, signer, size};

pub(crate) fn vectors(name: &str) -> Value {
    let file: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../testdata/vectors", name].iter().collect();
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

pub(crate) fn rows<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    vectors[name].as_array().unwrap()
}

pub(crate) fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap()
}

pub(crate) fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap()
}

pub(crate) fn hash(row: &Value, name: &str) -> Hash {
    text(row, name).parse().unwrap()
}

fn proof(row: &Value) -> Vec<Hash> {
    rows(row, "proof").iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
}

pub(crate) fn id(number: u64) -> RecordId {
    RecordId::new(number).unwrap()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.map(|b| format!("{b:02x}")).concat()
}

#[test]
fn tree_leaves_and_roots() {
    let tree = vectors("tree.json");
    for row in rows(&tree, "records") {
        let text = RecordText::parse(text(row, "text").as_bytes()).unwrap();
        assert_eq!(text, record(number(row, "index")));
        assert_eq!(text.leaf_hash(), hash(row, "leaf_hash"));
    }
    for row in rows(&tree, "roots") {
        let size = size(number(row, "size"));
        assert_eq!(LOG.head(size).unwrap().root, hash(row, "root"), "{size}");
    }
}

#[test]
fn tree_proofs_are_made_and_verified() {
    let tree = vectors("tree.json");
    for row in rows(&tree, "inclusion") {
        let (size, id, proof) = (size(number(row, "size")), id(number(row, "index")), proof(row));
        assert_eq!(
            verify_inclusion(&proof, size, hash(row, "root"), id, hash(row, "leaf_hash")),
            Ok(()),
            "{row}"
        );
        assert_eq!(prove_inclusion(&*LOG, size, id), Some(proof), "{row}");
    }
    for row in rows(&tree, "consistency") {
        let (old, new, proof) = (size(number(row, "old_size")), size(number(row, "new_size")), proof(row));
        let (old_root, new_root) = (hash(row, "old_root"), hash(row, "new_root"));
        assert_eq!(verify_consistency(&proof, (old, old_root), (new, new_root)), Ok(()), "{row}");
        assert_eq!(prove_consistency(&*LOG, old, new), Some(proof), "{row}");
    }
}

#[test]
fn tree_proofs_that_prove_nothing() {
    let tree = vectors("tree.json");
    for row in rows(&tree, "invalid") {
        let proof = proof(row);
        let refused = match text(row, "kind") {
            "inclusion" => {
                let (size, id) = (size(number(row, "size")), id(number(row, "index")));
                verify_inclusion(&proof, size, hash(row, "root"), id, hash(row, "leaf_hash")).is_err()
            }
            "consistency" => {
                let old = (size(number(row, "old_size")), hash(row, "old_root"));
                verify_consistency(&proof, old, (size(number(row, "new_size")), hash(row, "new_root")))
                    .is_err()
            }
            kind => panic!("unknown kind {kind}"),
        };
        assert!(refused, "{row}");
    }
}

#[test]
fn tree_storage_indexes() {
    let tree = vectors("tree.json");
    for row in rows(&tree, "stored_hash_index") {
        let node = Node::new(u8::try_from(number(row, "level")).unwrap(), number(row, "n")).unwrap();
        assert_eq!(node.stored_index(), Some(number(row, "index")), "{row}");
    }
    for row in rows(&tree, "stored_hash_count") {
        assert_eq!(stored_count(size(number(row, "records"))), number(row, "stored_hashes"), "{row}");
    }
}

#[test]
fn tile_paths() {
    let paths = vectors("tile-paths.json");
    for row in rows(&paths, "valid") {
        let path = text(row, "path");
        let tile = Tile::parse(path).unwrap();
        assert_eq!(tile.path(), path);
        assert_eq!(
            tile.alias_path().as_deref(),
            row.get("c2sp_path").map(|path| path.as_str().unwrap()),
            "{path}"
        );
        assert_eq!(Tile::parse_either(path), Ok((Layout::GoSum, tile)), "{path}");
        if let Some(alias) = tile.alias_path() {
            assert_eq!(Tile::parse_either(&alias), Ok((Layout::TlogTiles, tile)), "{alias}");
            assert!(
                Tile::parse(&alias).is_err() && Tile::parse_alias(path).is_err(),
                "{path}: of one grammar only"
            );
        }
        assert_eq!(u64::from(tile.height()), number(row, "height"), "{path}");
        assert_eq!(u64::from(tile.width()), number(row, "width"), "{path}");
        assert_eq!(tile.index(), number(row, "n"), "{path}");
        match tile.content() {
            Content::Data => assert_eq!(row["level"], "data", "{path}"),
            Content::Hashes(level) => assert_eq!(row["level"], level.get(), "{path}"),
        }
    }
    for path in rows(&paths, "invalid") {
        assert!(Tile::parse(path.as_str().unwrap()).is_err(), "{path}");
    }
}

#[test]
fn tiles_to_publish() {
    let paths = vectors("tile-paths.json");
    for row in rows(&paths, "new_tiles") {
        let tiles = new_tiles(size(number(row, "old_size")), size(number(row, "new_size")));
        let expected: Vec<&str> = rows(row, "tiles").iter().map(|tile| tile.as_str().unwrap()).collect();
        assert_eq!(tiles.map(|tile| tile.path()).collect::<Vec<_>>(), expected, "{row}");
    }
    for row in rows(&paths, "tiles_of_tree") {
        let tiles: Vec<Tile> = tiles_of(size(number(row, "size"))).collect();
        let partial: Vec<String> = tiles.iter().filter(|tile| !tile.is_full()).map(Tile::path).collect();
        assert_eq!(serde_json::json!(partial), row["partial_tiles"], "{row}");
        for (level, full) in row["full_tiles_per_level"].as_object().unwrap() {
            let of_level =
                |tile: &&Tile| tile.is_full() && tile.path().starts_with(&format!("tile/8/{level}/"));
            assert_eq!(tiles.iter().filter(of_level).count() as u64, full.as_u64().unwrap(), "{row}");
        }
    }
    for row in rows(&paths, "tile_for_node") {
        let node = Node::new(u8::try_from(number(row, "level")).unwrap(), number(row, "n")).unwrap();
        assert_eq!(node.least_tile().unwrap().path(), text(row, "least_tile"), "{row}");
    }
}

#[test]
fn tile_data() {
    let data = vectors("tile-data.json");
    for row in rows(&data, "hash_tiles") {
        let tile = LOG.tile(&Tile::parse(text(row, "path")).unwrap(), size(LARGE)).unwrap();
        assert_eq!(tile.len() as u64, number(row, "bytes"), "{row}");
        assert_eq!(sha256_hex(&tile), text(row, "sha256"), "{row}");
        if let Some(base64) = row.get("base64") {
            assert_eq!(*base64, STANDARD.encode(&tile), "{row}");
        }
    }
    for row in rows(&data, "data_tiles") {
        let tile = Tile::parse(text(row, "path")).unwrap();
        let bytes = LOG.tile(&tile, size(LARGE)).unwrap();
        assert_eq!(bytes.len() as u64, number(row, "bytes"), "{row}");
        assert_eq!(sha256_hex(&bytes), text(row, "sha256"), "{row}");
        let with_blank_line = [&bytes, &b"\n"[..]].concat();
        assert_eq!(sha256_hex(&with_blank_line), text(row, "with_trailing_blank_line_sha256"), "{row}");

        let texts = read_data_tile(&bytes, tile.width()).unwrap();
        assert_eq!(read_data_tile(&with_blank_line, tile.width()), Ok(texts.clone()));
        assert!(read_data_tile(&bytes, tile.width() + 1).is_err());
        assert!(read_data_tile(&bytes, tile.width() - 1).is_err());
        assert!(read_data_tile(&[&with_blank_line, &b"\n"[..]].concat(), tile.width()).is_err());
        assert_eq!(texts[0], record(tile.index() * 256));

        let bundle = write_bundle(&texts);
        assert_eq!(bundle.len() as u64, number(row, "bundle_bytes"), "{row}");
        assert_eq!(sha256_hex(&bundle), text(row, "bundle_sha256"), "{row}");
        // No phantom entry after a blank line (A2).
        for tile_bytes in [&bytes, &with_blank_line] {
            assert_eq!(bundle_of(tile_bytes, tile.width()), Ok(bundle.clone()), "{row}");
            let cut: Vec<&[u8]> = texts_in(tile_bytes).collect();
            assert!(cut.iter().copied().eq(texts.iter().map(|text| text.as_str().as_bytes())), "{row}");
        }
        assert_eq!(read_bundle(&bundle, tile.width()), Ok(texts));
        assert!(read_bundle(&bundle, tile.width() + 1).is_err());
        assert!(read_bundle(&bundle, tile.width() - 1).is_err());
        assert!(read_bundle(&bundle[..bundle.len() - 1], tile.width()).is_err());
        assert!(read_bundle(&[&bundle[..], &[0, 0]].concat(), tile.width() + 1).is_err(), "a phantom entry");
    }
}

#[test]
fn notes_keys() {
    let notes = vectors("notes.json");
    for row in rows(&notes, "keys") {
        let key = VerifierKey::parse(text(row, "vkey"));
        assert_eq!(key.is_ok(), row["valid"], "{row}");
        if let Ok(key) = key {
            assert_eq!(key.to_string(), text(row, "vkey"));
            assert_eq!(key.name(), row.get("name").map_or(key.name(), |name| name.as_str().unwrap()));
            if let Some(hash) = row.get("key_hash") {
                assert_eq!(*hash, format!("{:08x}", key.hash()));
            }
        }
    }
    for (skey, vkey) in [("log_skey", "log_vkey"), ("next_skey", "next_vkey")] {
        let signer = SignerKey::parse(text(&notes, skey)).unwrap();
        assert_eq!(signer.to_text(), text(&notes, skey));
        assert_eq!(signer.verifier().to_string(), text(&notes, vkey));
        let seed = format!("{signer:?}");
        assert!(
            !seed.contains("seed") && !seed.contains("key:"),
            "the secret stays out of debug texts: {seed}"
        );
    }
}

#[test]
fn notes_open() {
    let notes = vectors("notes.json");
    let key = VerifierKey::parse(text(&notes, "log_vkey")).unwrap();
    for row in rows(&notes, "notes") {
        let note = match row.get("note_base64") {
            Some(base64) => STANDARD.decode(base64.as_str().unwrap()).unwrap(),
            None => text(row, "note").as_bytes().to_vec(),
        };
        let open = Note::open(&note, std::slice::from_ref(&key));
        let name = text(row, "name");
        if row["opens"] == true {
            let open = open.unwrap();
            assert_eq!(open.verified().len() as u64, number(row, "verified"), "{name}");
            assert_eq!(open.unverified().len() as u64, number(row, "unverified"), "{name}");
            assert!(note.starts_with(open.text().as_bytes()), "{name}");
            continue;
        }
        let class = match open.unwrap_err() {
            NoteError::Malformed(_) => "malformed",
            NoteError::BadSignature { .. } => "invalid signature by a known key",
            NoteError::Unverified => "no verifiable signature",
        };
        assert_eq!(class, text(row, "error"), "{name}");
    }
}

#[test]
fn notes_signed_here_are_those_of_the_vectors() {
    let notes = vectors("notes.json");
    let tree = text(&rows(&notes, "tree_texts")[0], "text");
    assert_eq!(signer().sign(tree).unwrap(), text(&rows(&notes, "notes")[0], "note"));
}

#[test]
fn tree_texts() {
    for row in rows(&vectors("notes.json"), "tree_texts") {
        let head = TreeHead::parse(text(row, "text"));
        assert_eq!(head.is_ok(), row["valid"], "{row}");
        if let Ok(head) = head {
            assert!(text(row, "text").starts_with(&head.to_text()), "{row}");
        }
    }
}

#[test]
fn records() {
    let records = vectors("records.json");
    for row in rows(&records, "parse") {
        let answer = LookupAnswer::parse(text(row, "input").as_bytes());
        assert_eq!(answer.is_ok(), row["accept"], "{row}");
        if let Ok(answer) = answer {
            assert_eq!(answer.id.get(), number(row, "id"), "{row}");
            assert_eq!(answer.text.as_str(), text(row, "text"), "{row}");
            assert_eq!(*answer.note, *text(row, "rest").as_bytes(), "{row}");
            assert_eq!(answer.to_bytes(), text(row, "input").as_bytes());
        }
    }
    for row in rows(&records, "record_text") {
        assert_eq!(
            RecordText::parse(text(row, "text").as_bytes()).is_ok(),
            row["valid_record_text"],
            "{row}"
        );
    }
    let answer = LookupAnswer { id: id(5), text: record(5), note: Box::default() };
    assert_eq!(answer.to_bytes(), text(&records, "formatted_5").as_bytes());
}

#[test]
fn lookup_paths() {
    let paths = vectors("lookup-paths.json");
    for row in rows(&paths, "good") {
        let (module, version) = (text(row, "module"), text(row, "version"));
        let path = text(row, "path").strip_prefix('/').unwrap();
        let name = LookupPath::new(module, version).unwrap();
        assert_eq!(name.path(), path);
        assert_eq!(LookupPath::parse(path), Ok(name));
    }
    for row in rows(&paths, "bad") {
        let path = text(row, "path").strip_prefix('/').unwrap();
        assert!(LookupPath::parse(path).is_err() && Tile::parse(path).is_err() && path != "latest", "{path}");
    }
}

/// The whole-client scenarios, the three attacks of 2026 among them.
#[test]
fn client_scenarios() {
    let client = vectors("client.json");
    let key = VerifierKey::parse(text(&client, "vkey")).unwrap();
    let bytes = |entry: &Value| match entry.get("blob") {
        Some(blob) => STANDARD.decode(client["blobs"][blob.as_str().unwrap()].as_str().unwrap()).unwrap(),
        None => text(entry, "text").as_bytes().to_vec(),
    };
    for scenario in rows(&client, "scenarios") {
        let name = text(scenario, "name");
        let known = match text(scenario, "latest_before") {
            "" => None,
            note => Some(SignedHead::open(note.as_bytes(), &key).unwrap()),
        };
        // One lookup serves both lines (A6); which of them the scenario means is said by its suffix.
        let (module, asked) = (text(&scenario["lookup"], "module"), text(&scenario["lookup"], "version"));
        let version = asked.strip_suffix("/go.mod").unwrap_or(asked);
        let mut lookup = Lookup::new(key.clone(), known.clone(), module, version);
        let mut fetched = BTreeSet::new();
        let outcome = look_up(&mut lookup, |path, bypass_cache| {
            let cached = &scenario["cached_before"][format!("{}/{path}", key.name())];
            if !cached.is_null() && !bypass_cache {
                return Some(bytes(cached));
            }
            let path = format!("/{path}");
            let served = scenario["served"].get(&path).map(&bytes);
            fetched.insert(path);
            served
        });

        match (text(scenario, "result"), &outcome) {
            ("lines", Ok(outcome)) => {
                let record = &outcome.record;
                let sum = if asked == version { record.zip_h1() } else { record.go_mod_h1() };
                let line = format!("{module} {asked} h1:{}", Hash(sum.unwrap()));
                assert_eq!(serde_json::json!([line]), scenario["lines"], "{name}");
                assert_eq!(record.head(), &outcome.head, "{name}");
            }
            ("security error", Err(ClientError::Fork(fork))) => {
                assert_eq!(Some(&fork.known), known.as_ref(), "{name}");
                let report = fork.report();
                for note in [fork.known.note(), fork.new.note()] {
                    assert!(report.contains(std::str::from_utf8(note).unwrap()), "{name}");
                }
                assert_eq!(fork.proof.is_empty(), fork.new.size() == fork.known.size(), "{name}");
            }
            ("no lines", refused) => {
                assert!(matches!(refused, Err(ClientError::MissingLine { .. })), "{name}");
            }
            ("error", Err(error)) => {
                let other = matches!(error, ClientError::Fork(_) | ClientError::MissingLine { .. });
                assert!(!other, "{name}: {error}");
            }
            (result, _) => panic!("{name}: want {result}, have {outcome:?}"),
        }
        let saved = lookup.established().map_or(&[][..], SignedHead::note);
        assert_eq!(std::str::from_utf8(saved).unwrap(), text(scenario, "latest_after"), "{name}");

        let reference: BTreeSet<String> =
            rows(scenario, "fetched").iter().map(|path| path.as_str().unwrap().into()).collect();
        // The reference reads the known tree's edge when it starts; we need only the new tree, which holds it.
        let only_there: Vec<&String> = reference.difference(&fetched).collect();
        assert!(only_there.is_empty() || only_there == ["/tile/8/0/000.p/100"], "{name}: {only_there:?}");
        assert!(fetched.is_subset(&reference), "{name}: {fetched:?}");
    }
}
