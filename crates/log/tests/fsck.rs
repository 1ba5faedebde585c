//! Every kind of damage to the log that we can think of is planted, and fsck finds each (R26). The ledger's are in
//! `crates/store/tests/fsck.rs`.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use modkeep_log::audit::{self, Stored};
use modkeep_log::fsck::{self, Options, Report};
use modkeep_log::rebuild;
use modkeep_store::{
    Config, HeadCommit, LogStore, LogWriter, MinFree, NewRecord, RecordSource, Store, StoredHead, SystemClock,
};
use modkeep_tlog::record::write_data_tile;
use modkeep_tlog::{
    Checkpoint, GoSumRecord, Note, ProofFile, RecordText, SignedCheckpoint, SignerKey, Tail, Tile,
    TreeBuilder, TreeHead, TreeSize,
};
use tempfile::TempDir;

const NAME: &str = "sums.example/log";
/// Two full tiles, an open one, and two records that no head covers.
const RECORDS: u64 = 702;
const BUILT: u64 = 700;
/// Heads inside a tile, at its end, and at the end of the tree.
const HEADS: [u64; 5] = [3, 256, 300, 512, BUILT];
/// The record that was imported from another log.
const IMPORTED: u64 = 5;
/// That other log.
const SOURCE: &str = "sum.golang.org";

fn key() -> SignerKey {
    SignerKey::from_seed(NAME, [7; 32]).unwrap()
}

fn record(n: u64) -> GoSumRecord {
    let mut zip_h1 = [0; 32];
    zip_h1[..8].copy_from_slice(&n.to_be_bytes());
    GoSumRecord {
        module: format!("example.com/m{n}"),
        version: "v1.0.0".to_owned(),
        zip_h1,
        go_mod_h1: [1; 32],
    }
}

fn text(n: u64) -> RecordText {
    record(n).to_text().unwrap()
}

/// The proof that another log has the record.
fn provenance(n: u64) -> Vec<u8> {
    let mut other = TreeBuilder::new();
    other.append(text(n + 1_000));
    other.append(text(n));
    let theirs = SignerKey::from_seed(SOURCE, [8; 32]).unwrap();
    let proven = other.prove(&theirs, &record(n).module, "v1.0.0").unwrap();
    let note = Note::parse(proven.head().note()).unwrap();
    ProofFile::new(proven.id(), proven.inclusion().to_vec(), note).unwrap().to_text().into_bytes()
}

fn stored_head(head: TreeHead) -> StoredHead {
    let checkpoint = SignedCheckpoint::sign(Checkpoint::new(NAME, head).unwrap(), &[&key()]).unwrap();
    StoredHead {
        size: head.size,
        root: head.root,
        note: key().sign(&head.to_text()).unwrap().into_bytes(),
        checkpoint: checkpoint.to_text().into_bytes(),
        signed_at: SystemTime::now(),
    }
}

struct Sound {
    home: TempDir,
}

impl Sound {
    /// A log as the sequencer leaves it when it dies between the two transactions of a batch.
    fn new() -> Self {
        let sound = Self { home: tempfile::tempdir().unwrap() };
        let log = sound.open();
        let mut writer = log.writer().unwrap();
        let batch: Vec<NewRecord> = (0..RECORDS)
            .map(|n| {
                let source = match n {
                    IMPORTED => RecordSource::Upstream(SOURCE.into()),
                    _ => RecordSource::Own,
                };
                let provenance = (n == IMPORTED).then(|| provenance(n));
                NewRecord { record: record(n), source, provenance }
            })
            .collect();
        writer.sequence(&batch, SystemTime::now()).unwrap();

        let (mut tail, mut tiles, mut heads) = (Tail::empty(), Vec::new(), Vec::new());
        for n in 0..BUILT {
            tail.append(text(n).leaf_hash(), |tile, bytes| tiles.push((tile, bytes.to_vec()))).unwrap();
            if HEADS.contains(&(n + 1)) {
                heads.push(stored_head(tail.head()));
            }
        }
        for index in 0..BUILT / 256 {
            let texts: Vec<RecordText> = (index * 256..(index + 1) * 256).map(text).collect();
            tiles.push((Tile::data(index, 256).unwrap(), write_data_tile(&texts)));
        }
        writer.put_tiles(&tiles).unwrap();
        let edge: Vec<Vec<u8>> = edge_of(&tail);
        writer.commit_heads(HeadCommit { built: TreeSize::EMPTY, heads: &heads, edge: &edge }).unwrap();
        writer.publish(heads.last().unwrap()).unwrap();
        sound
    }

    fn open(&self) -> LogStore {
        let config = Config { path: self.home.path().to_owned(), min_free: MinFree::Bytes(0) };
        Store::open(config, Arc::new(SystemClock)).unwrap().log().unwrap()
    }

    fn fsck(&self, options: &Options) -> Report {
        fsck::run(&self.open(), options, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join("log").join(below)
    }

    fn change(&self, below: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(below);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        unlock(&path);
        std::fs::write(path, bytes).unwrap();
    }

    fn remove(&self, below: &str) {
        std::fs::remove_file(self.path(below)).unwrap();
    }

    fn sql(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.path("log.sqlite")).unwrap();
        database.execute_batch(sql).unwrap();
    }
}

fn unlock(path: &Path) {
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of a test's own")]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).unwrap();
}

/// The open tile of each level, lowest first.
fn edge_of(tail: &Tail) -> Vec<Vec<u8>> {
    let mut edge = Vec::new();
    for (tile, bytes) in tail.partial_tiles() {
        let level = usize::from(tile.level().unwrap().get());
        edge.resize(edge.len().max(level + 1), Vec::new());
        edge[level] = bytes.to_vec();
    }
    edge
}

fn keys() -> Options {
    Options { keys: vec![key().verifier()], ..Options::default() }
}

#[test]
fn a_sound_log_has_no_finding() {
    let sound = Sound::new();
    for options in [
        Options::default(),
        keys(),
        Options { jobs: 1, ..keys() },
        Options { sample: 2, ..keys() },
        Options { records: 300..400, ..keys() },
    ] {
        let report = sound.fsck(&options);
        assert_eq!(report.findings, [], "{options:?}");
        assert!(report.complete && report.is_sound());
        assert_eq!(report.checked.heads, HEADS.len() as u64);
        assert!(report.checked.tiles >= 2, "{options:?}");
    }
    assert_eq!(sound.fsck(&keys()).checked.records, RECORDS);
}

#[test]
fn an_empty_log_is_sound() {
    let empty = Sound { home: tempfile::tempdir().unwrap() };
    let report = empty.fsck(&keys());
    assert_eq!(report.findings, []);
    assert!(report.complete);
}

/// What is planted, the rule it is found under, a word of what is said, and how.
type Damage = (&'static str, &'static str, &'static str, fn(&Sound));

const DAMAGE: &[Damage] = &[
    // tiles
    ("a flipped bit in a record's text", "A4", "record 3 is not the one", |s| {
        s.change("tile/8/data/000", |tile| {
            let at = String::from_utf8(tile.clone()).unwrap().find("m3 v1.0.0 h1:").unwrap() + 16;
            tile[at] ^= 1;
        });
    }),
    ("a record cut off a tile", "A2", "holds 255", |s| {
        s.change("tile/8/data/001", |tile| {
            let end = String::from_utf8(tile.clone()).unwrap().rfind("\n\n").unwrap() + 1;
            tile.truncate(end);
        });
    }),
    ("a blank line behind the last record", "A2", "blank line", |s| {
        s.change("tile/8/data/001", |tile| tile.push(b'\n'));
    }),
    ("an emptied tile of records", "A2", "holds 0", |s| s.change("tile/8/data/001", Vec::clear)),
    ("a missing tile of records", "C2", "is missing", |s| s.remove("tile/8/data/000")),
    ("a flipped bit in a leaf hash", "A4", "hash of record 2 ", |s| {
        s.change("tile/8/0/000", |tile| tile[64] ^= 1);
    }),
    ("a short tile of hashes", "A4", "not as long", |s| {
        s.change("tile/8/0/001", |tile| tile.truncate(8_000));
    }),
    ("a missing tile of hashes", "A4", "is missing", |s| s.remove("tile/8/0/001")),
    ("two tiles of hashes swapped", "A4", "the hash of record", |s| {
        let (one, two) = (s.path("tile/8/0/000"), s.path("tile/8/0/001"));
        std::fs::rename(&one, s.path("swap")).unwrap();
        std::fs::rename(&two, &one).unwrap();
        std::fs::rename(s.path("swap"), &two).unwrap();
    }),
    ("a tile of records that were never sequenced", "D2", "beyond every record", |s| {
        std::fs::copy(s.path("tile/8/data/001"), s.path("tile/8/data/007")).unwrap();
    }),
    // rows
    ("a changed row", "C2", "not the record that was logged", |s| {
        s.sql("UPDATE log_record SET zip_h1 = zeroblob(32) WHERE id = 300");
    }),
    ("a changed row of the open tile", "A3", "the tree has", |s| {
        s.sql("UPDATE log_record SET zip_h1 = zeroblob(32) WHERE id = 600");
    }),
    ("a missing row", "C2", "record 77: is missing", |s| s.sql("DELETE FROM log_record WHERE id = 77")),
    ("a missing row of the open tile", "C2", "record 650: is missing", |s| {
        s.sql("DELETE FROM log_record WHERE id = 650");
    }),
    ("a missing last row", "C2", "record 701: is missing", |s| {
        s.sql("DELETE FROM log_record WHERE id = 701");
    }),
    ("two rows of one name", "A1", "has record 9 already", |s| {
        s.sql("UPDATE log_record SET module = 'example.com/m9' WHERE id = 701");
    }),
    ("a row that is no module version", "A1", "is no module version", |s| {
        s.sql("UPDATE log_record SET version = 'master' WHERE id = 701");
    }),
    ("a row that fits into no line", "A1", "malformed record", |s| {
        s.sql("UPDATE log_record SET module = 'example.com/a b' WHERE id = 701");
    }),
    // heads
    ("a head with another root", "A3", "promises root", |s| {
        s.sql("UPDATE log_head SET root = zeroblob(32) WHERE size = 256");
    }),
    ("a head inside a tile with another root", "A3", "promises root", |s| {
        s.sql("UPDATE log_head SET root = zeroblob(32) WHERE size = 300");
    }),
    ("a head whose note is another's", "A5", "says another size", |s| {
        s.sql("UPDATE log_head SET note = (SELECT note FROM log_head WHERE size = 256) WHERE size = 300");
    }),
    ("a head whose note is damaged", "A5", "signature", |s| {
        s.sql("UPDATE log_head SET note = CAST(replace(CAST(note AS TEXT), '300', '301') AS BLOB) WHERE size = 300");
    }),
    ("a head whose checkpoint is another's", "B1", "says another size", |s| {
        s.sql("UPDATE log_head SET checkpoint = (SELECT checkpoint FROM log_head WHERE size = 256) WHERE size = 300");
    }),
    ("a head without a checkpoint", "B1", "", |s| {
        s.sql("UPDATE log_head SET checkpoint = x'' WHERE size = 300");
    }),
    ("the newest head is missing", "C2", "of the built size is missing", |s| {
        s.sql("DELETE FROM log_head WHERE size = 700");
    }),
    ("a head beyond the tree", "C2", "never built", |s| {
        s.sql("INSERT INTO log_head SELECT 701, root, note, checkpoint, signed_at FROM log_head WHERE size = 700");
    }),
    ("an edge with a flipped bit", "C2", "edge of row 0", |s| {
        s.sql("UPDATE log_edge SET hashes = zeroblob(length(hashes)) WHERE level = 0");
    }),
    ("an edge without a row", "C2", "edge of row 1", |s| s.sql("DELETE FROM log_edge WHERE level = 1")),
    // proofs of imported records
    ("an imported record without its proof", "C7", "is not there", |s| s.sql("DELETE FROM log_provenance")),
    ("a proof that is none", "C7", "the proof that came with it", |s| {
        s.sql("UPDATE log_provenance SET proof = x'00'");
    }),
    ("a proof of another record", "C7", "of another record", |s| {
        s.sql(&format!(
            "UPDATE log_provenance SET proof = CAST(replace(CAST(proof AS TEXT), 'index 1', 'index 0') AS BLOB) WHERE id = {IMPORTED}"
        ));
    }),
    // who vouches
    (
        "sources that are not there",
        "C7",
        "record 5: its source has number 1, and no database has that",
        |s| {
            s.sql("DELETE FROM log_source");
        },
    ),
    ("sources that are not there, and two rows of one name", "A1", "has record 5 already", |s| {
        s.sql("DELETE FROM log_source; UPDATE log_record SET module = 'example.com/m5' WHERE id = 701");
    }),
    ("sources that are not there, and a missing row", "C7", "record 5: its source has number 1", |s| {
        s.sql("DELETE FROM log_source; DELETE FROM log_record WHERE id = 77");
    }),
    ("a record of no known source", "C7", "record 701: its source has number 9, and", |s| {
        s.sql("UPDATE log_record SET source = 9 WHERE id = 701");
    }),
    ("a record of a source below all", "C7", "record 300: its source has number -1, and", |s| {
        s.sql("UPDATE log_record SET source = -1 WHERE id = 300");
    }),
    (
        "a source of another name",
        "C7",
        "is sum.example.org, and the proof that came with it is signed by sum.golang.org",
        |s| {
            s.sql("UPDATE log_source SET name = 'sum.example.org'");
        },
    ),
    ("an imported record that is said to be ours", "C7", "record 5: is our own word", |s| {
        s.sql("UPDATE log_record SET source = 0 WHERE id = 5");
    }),
    ("a proof with a record of ours in the open tile", "C7", "record 701: is our own word", |s| {
        s.sql("INSERT INTO log_provenance SELECT 701, proof FROM log_provenance WHERE id = 5");
    }),
    // rows that no record has
    ("a row beyond the last record", "C2", "record 702: a row beyond every record", |s| {
        s.sql("INSERT INTO log_record SELECT 702, 'example.com/more', version, zip_h1, mod_h1, source, sequenced_at FROM log_record WHERE id = 701");
    }),
    ("a row before the first record", "C2", "record -1: a row beyond every record", |s| {
        s.sql("INSERT INTO log_record SELECT -1, 'example.com/more', version, zip_h1, mod_h1, source, sequenced_at FROM log_record WHERE id = 701");
    }),
    ("a proof beyond the last record", "C7", "record 9000: a proof beyond every record", |s| {
        s.sql("INSERT INTO log_provenance SELECT 9000, proof FROM log_provenance");
    }),
    // what was published
    ("a published head of another history", "C4", "a fork", |s| {
        let head = TreeHead { size: TreeSize::new(300).unwrap(), root: modkeep_tlog::Hash([9; 32]) };
        std::fs::write(s.path("latest"), key().sign(&head.to_text()).unwrap()).unwrap();
    }),
    ("a published head that the store never built", "C4", "an old copy", |s| {
        let head = TreeHead { size: TreeSize::new(9_000).unwrap(), root: modkeep_tlog::Hash([9; 32]) };
        std::fs::write(s.path("latest"), key().sign(&head.to_text()).unwrap()).unwrap();
    }),
];

#[test]
fn every_kind_of_planted_damage_is_found() {
    for (what, id, word, plant) in DAMAGE {
        let sound = Sound::new();
        plant(&sound);
        let report = sound.fsck(&keys());
        let found = report.findings.iter().any(|f| f.id == *id && f.to_string().contains(word));
        assert!(found, "{what}: {:#?}", report.findings);
        assert!(!report.is_sound(), "{what}");
    }
}

/// R26: fsck works beside a running server, whose tiles come while it looks.
#[test]
fn tiles_of_records_that_came_meanwhile_are_no_damage() {
    let sound = Sound::new();
    let log = sound.open();
    let mut writer = log.writer().unwrap();
    let mut server_works = || {
        let new = |n| NewRecord { record: record(n), source: RecordSource::Own, provenance: None };
        writer.sequence(&(RECORDS..768).map(new).collect::<Vec<_>>(), SystemTime::now()).unwrap();
        let texts: Vec<RecordText> = (512..768).map(text).collect();
        writer.put_tiles(&[(Tile::data(2, 256).unwrap(), write_data_tile(&texts))]).unwrap();
    };
    let mut has_worked = false;
    let report = fsck::run(&log, &keys(), &mut |_| {
        if !std::mem::replace(&mut has_worked, true) {
            server_works();
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(has_worked && report.complete);
    assert_eq!(report.findings, []);
}

#[test]
fn garbage_of_a_crash_is_a_note() {
    let sound = Sound::new();
    std::fs::write(sound.path("tile/8/data/.tmp-1"), "x").unwrap();
    std::fs::write(sound.path("latest"), "").unwrap();
    let report = sound.fsck(&keys());
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert!(!report.findings.is_empty());
}

#[test]
fn a_lost_name_in_the_key_index_is_found() {
    let sound = Sound::new();
    let shards = std::fs::read_dir(sound.path("keys")).unwrap();
    let largest = shards
        .map(|shard| shard.unwrap().path())
        .filter(|path| path.is_file())
        .max_by_key(|path| std::fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let end = bytes.len();
    bytes[end / 2..].fill(0);
    unlock(&largest);
    std::fs::write(&largest, bytes).unwrap();
    let report = sound.fsck(&keys());
    assert!(report.findings.iter().any(|f| f.path == "log/keys"), "{:#?}", report.findings);
}

/// What is derived may be removed (docs/format.md): no promise is broken, and the next start makes it again.
#[test]
fn a_removed_key_index_is_no_damage_and_a_half_of_one_is() {
    let sound = Sound::new();
    std::fs::remove_dir_all(sound.path("keys")).unwrap();
    let report = sound.fsck(&keys());
    let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].starts_with("warning [C2] log/keys: is not there"), "{said:?}");
    assert!(said[0].contains("the next start makes it again"), "{said:?}");
    assert!(report.is_sound() && report.complete);
    drop(sound.open().writer().unwrap());
    assert_eq!(sound.fsck(&keys()).findings, []);

    let shard = std::fs::read_dir(sound.path("keys")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(shard).unwrap();
    let report = sound.fsck(&keys());
    assert!(!report.is_sound(), "{:#?}", report.findings);
    assert!(report.findings[0].to_string().contains("remove log/keys"), "{:#?}", report.findings);
}

#[test]
fn missing_tiles_are_made_from_rows_and_damaged_ones_are_named() {
    let sound = Sound::new();
    for tile in ["tile/8/data/000", "tile/8/0/001"] {
        sound.remove(tile);
    }
    sound.change("tile/8/0/000", |tile| tile[64] ^= 1);
    let log = sound.open();
    let rebuilt = rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap();
    assert_eq!((rebuilt.written, rebuilt.damaged), (2, vec!["tile/8/0/000".to_owned()]));
    sound.remove("tile/8/0/000");
    assert_eq!(rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap().written, 1);
    drop(log);
    assert_eq!(sound.fsck(&keys()).findings, []);
}

#[test]
fn a_damaged_edge_is_made_again_from_rows_and_said_to_be() {
    let harms = [
        "UPDATE log_edge SET hashes = zeroblob(length(hashes)) WHERE level = 0",
        "UPDATE log_edge SET hashes = zeroblob(length(hashes)) WHERE level = 1",
        "DELETE FROM log_edge WHERE level = 0",
        "DELETE FROM log_edge WHERE level = 1",
        "DELETE FROM log_edge",
        "INSERT INTO log_edge VALUES (2, zeroblob(64))",
    ];
    for harm in harms {
        let sound = Sound::new();
        sound.sql(harm);
        assert!(!sound.fsck(&keys()).is_sound(), "{harm}");
        let log = sound.open();
        let rebuilt = rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap();
        assert_eq!((rebuilt.records, rebuilt.written, rebuilt.edge), (BUILT, 0, true), "{harm}");
        assert!(!rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap().edge, "{harm}: a second time");
        drop(log);
        assert_eq!(sound.fsck(&keys()).findings, [], "{harm}");
    }
}

#[test]
fn nothing_is_made_where_no_head_says_which_rows_are_right() {
    let sound = Sound::new();
    sound.sql("DELETE FROM log_head");
    let log = sound.open();
    let refused = rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("do not lead to the newest head"), "{refused}");
}

#[test]
fn no_tile_is_made_from_rows_that_do_not_lead_to_the_signed_root() {
    let sound = Sound::new();
    sound.remove("tile/8/data/000");
    sound.sql("UPDATE log_record SET zip_h1 = zeroblob(32) WHERE id = 300");
    let log = sound.open();
    let refused = rebuild::tiles(&log, &mut log.writer().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("do not lead to the newest head"), "{refused}");
    assert!(!sound.path("tile/8/data/000").exists());
}

/// The log as a tree in both layouts.
fn exported(folder: &Path) {
    let mut tree = TreeBuilder::new();
    (0..BUILT).for_each(|n| {
        tree.append(text(n));
    });
    let write = |name: &str, bytes: Vec<u8>| {
        let place = folder.join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    };
    for tile in modkeep_tlog::tile::tiles_of(tree.size()) {
        write(&tile.path(), tree.tile(&tile, tree.size()).unwrap());
        if tile.level() == Some(modkeep_tlog::Level::LEAVES) {
            let data = Tile::data(tile.index(), tile.width()).unwrap();
            write(&data.path(), tree.tile(&data, tree.size()).unwrap());
        }
    }
    let head = stored_head(tree.head(tree.size()).unwrap());
    write("latest", head.note);
    write("checkpoint", head.checkpoint);
}

#[test]
fn an_exported_tree_becomes_a_log_again() {
    let (tree, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    exported(tree.path());
    let fresh = Sound { home: tempfile::tempdir().unwrap() };
    let log = fresh.open();
    let mut writer = log.writer().unwrap();
    let take = |writer: &mut LogWriter, memory: &Path| {
        rebuild::from_tree(&log, writer, tree.path(), &key().verifier(), memory)
    };
    assert_eq!(take(&mut writer, memory.path()).unwrap().records, BUILT);
    assert!(log.restored().unwrap().is_some(), "whether newer heads were signed, the tree cannot say (R27)");
    assert!(take(&mut writer, memory.path()).unwrap_err().to_string().contains("has records"));
    drop((writer, log));
    assert_eq!(fresh.fsck(&keys()).findings, []);
}

#[test]
fn a_damaged_tree_is_not_taken_in() {
    let (tree, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    exported(tree.path());
    let tile = tree.path().join("tile/8/data/001");
    let damaged = std::fs::read_to_string(&tile).unwrap().replacen("h1:A", "h1:B", 1);
    std::fs::write(tile, damaged).unwrap();
    let fresh = Sound { home: tempfile::tempdir().unwrap() };
    let log = fresh.open();
    let refused =
        rebuild::from_tree(&log, &mut log.writer().unwrap(), tree.path(), &key().verifier(), memory.path());
    assert!(refused.unwrap_err().to_string().contains("does not stand an audit"));
    assert_eq!(log.state().unwrap().sequenced, TreeSize::EMPTY);
}

#[test]
fn the_auditor_reads_the_log_straight_from_the_store() {
    let sound = Sound::new();
    let memory = tempfile::tempdir().unwrap();
    let (source, key) = (Stored::new(sound.open()), key().verifier());
    let options = audit::Options { lookups: 20, ..audit::Options::default() };
    let parts = audit::Parts { source: &source, key: &key, held: None, options };
    let mut state = audit::State::open(memory.path(), NAME).unwrap();
    let report = audit::run(&parts, &mut state, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.complete && report.gaps.is_empty());
    // What was sequenced and is not covered by a head yet is nobody's business.
    assert_eq!(report.checked.records, BUILT);
    assert!(report.checked.lookups > 10);
}
