//! The oracle is tested by damage: each kind is planted into a sound store, and has to be found under its id (R26).
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed
#![allow(clippy::semicolon_if_nothing_returned)] // the table of damage reads better without

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use modkeep_module::ModuleVersion;
use modkeep_store::fsck::{self, Options, Progress, Severity};
use modkeep_store::{FetchedMod, FileKind, Parts, Repository, Sha256Sum, Store};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use support::*;

/// A sound store with a bit of everything, at rest.
struct Sound {
    folder: tempfile::TempDir,
    a: ModuleVersion,
    b: ModuleVersion,
}

const TILE: &str = "sumdb/sum.example.org/tile/8/0/000";

impl Sound {
    async fn new() -> Self {
        let folder = new_folder();
        let (a, b) = (version("example.com/Aa", "v1.0.0"), version("example.com/b", "v1.0.0-pre"));
        let store = open(folder.path());
        for which in [&a, &b] {
            store.commit(&Repository::main(), which, parts(&store, which)).await.unwrap();
        }
        let private = Parts { visibility: modkeep_store::Visibility::Private, ..parts(&store, &a) };
        store.commit(&Repository::parse("other").unwrap(), &a, private).await.unwrap();
        let liar = Parts {
            go_mod: Some(seen(FetchedMod::new(b"module liar\n".to_vec(), &a))),
            ..Parts::public("liar")
        };
        store.commit(&Repository::main(), &a, liar).await.unwrap_err();
        let foreign = store.foreign("sum.example.org").unwrap();
        foreign.put(vec![("tile/8/0/000".to_owned(), vec![1; 64])]).await.unwrap();
        let rotten = version("example.com/rotten", "v1.0.0");
        store.commit(&Repository::main(), &rotten, small_parts(&rotten)).await.unwrap();
        damage(&path_of(folder.path(), &rotten, FileKind::Mod), |bytes| bytes[0] ^= 1);
        store.open_file(&Repository::main(), &rotten, FileKind::Mod).await.unwrap_err();
        Self { folder, a, b }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, kind: FileKind) -> PathBuf {
        path_of(self.root(), &self.a, kind)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn sql(&self, statements: &str) {
        let connection = Connection::open(self.at("ledger.sqlite")).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
    }

    /// Replaces a file and lets the ledger agree on size and SHA-256, as no rot would.
    fn forge(&self, kind: FileKind, bytes: &[u8]) {
        damage(&self.path(kind), |old| *old = bytes.to_vec());
        let (size, sum) = (bytes.len(), Sha256Sum::of(bytes));
        self.sql(&format!(
            "UPDATE versions SET {kind}_size = {size}, {kind}_sha256 = x'{sum}' WHERE id = 1; {SUMS}"
        ));
    }

    fn check(&self) -> fsck::Report {
        let store = Store::open_read_only(config(self.root())).unwrap();
        fsck::run(&store, Options::default(), &mut |_| {}).unwrap()
    }
}

/// Makes the totals true again after a forgery.
const SUMS: &str = "UPDATE totals SET bytes = (SELECT sum(coalesce(info_size, 0) + coalesce(mod_size, 0) + \
    coalesce(zip_size, 0)) FROM versions);";

fn write(path: PathBuf, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn chmod(path: PathBuf, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What is planted, the id it has to be found under, a word of the text, and how.
type Damage = (&'static str, &'static str, &'static str, fn(&Sound));

const DAMAGE: &[Damage] = &[
    // bytes
    ("a flipped bit in an info", "R13", "SHA-256", |s| {
        damage(&s.path(FileKind::Info), |bytes| bytes[5] ^= 1)
    }),
    ("a flipped bit in a mod", "R13", "SHA-256", |s| damage(&s.path(FileKind::Mod), |bytes| bytes[5] ^= 1)),
    ("a flipped bit in a zip", "R13", "SHA-256", |s| damage(&s.path(FileKind::Zip), |bytes| bytes[80] ^= 1)),
    ("a truncated zip", "R13", "bytes instead of", |s| {
        damage(&s.path(FileKind::Zip), |bytes| bytes.truncate(100))
    }),
    ("a longer mod", "R13", "bytes instead of", |s| {
        damage(&s.path(FileKind::Mod), |bytes| bytes.push(b'\n'))
    }),
    ("an emptied info", "R13", "bytes instead of", |s| damage(&s.path(FileKind::Info), Vec::clear)),
    ("a missing info", "R9", "cannot be found", |s| std::fs::remove_file(s.path(FileKind::Info)).unwrap()),
    ("a missing mod", "R9", "cannot be found", |s| std::fs::remove_file(s.path(FileKind::Mod)).unwrap()),
    ("a missing zip", "R9", "cannot be found", |s| std::fs::remove_file(s.path(FileKind::Zip)).unwrap()),
    ("a missing folder of versions", "R9", "cannot be found", |s| {
        std::fs::remove_dir_all(s.path(FileKind::Zip).parent().unwrap()).unwrap();
    }),
    ("two zips swapped", "R13", "instead of", |s| {
        let (one, two) = (s.path(FileKind::Zip), path_of(s.root(), &s.b, FileKind::Zip));
        std::fs::rename(&one, s.at("swap")).unwrap();
        std::fs::rename(&two, &one).unwrap();
        std::fs::rename(s.at("swap"), &two).unwrap();
    }),
    ("a blob that is a link", "D2", "not a plain file", |s| {
        let path = s.path(FileKind::Mod);
        std::fs::rename(&path, s.at("scratch/elsewhere")).unwrap();
        std::os::unix::fs::symlink(s.at("scratch/elsewhere"), path).unwrap();
    }),
    ("a blob that is a folder", "D2", "not a plain file", |s| {
        std::fs::remove_file(s.path(FileKind::Mod)).unwrap();
        std::fs::create_dir(s.path(FileKind::Mod)).unwrap();
    }),
    // bytes that the ledger agrees with
    ("a zip that is none", "Z-41", "", |s| s.forge(FileKind::Zip, b"<html>")),
    ("a zip of another version", "Z-41", "", |s| s.forge(FileKind::Zip, &zip_of(&s.b, b"x"))),
    ("a zip with other files", "R4", "its sum is", |s| {
        s.forge(FileKind::Zip, &zip_of(&s.a, b"package evil\n"))
    }),
    ("a zip with a tail, certified by nobody", "D16", "ambiguous", |s| {
        s.forge(FileKind::Zip, &[zip_of(&s.a, b"package m\n"), b"tail".to_vec()].concat());
    }),
    ("another mod", "R4", "its sum is", |s| s.forge(FileKind::Mod, b"module evil\n")),
    ("a mod that differs from the one in the zip", "Z-46", "inside the zip", |s| {
        let text = b"module evil\n";
        s.forge(FileKind::Mod, text);
        let line = format!("{}  go.mod\n", Sha256Sum::of(text));
        let sum = Sha256Sum::from_bytes(Sha256::digest(line).into());
        s.sql(&format!("UPDATE versions SET mod_h1 = x'{sum}' WHERE id = 1"));
    }),
    ("an info that is none", "G08", "", |s| s.forge(FileKind::Info, b"[]")),
    ("an info of another version", "G08", "names version", |s| {
        s.forge(FileKind::Info, br#"{"Version":"v1.0.1","Time":"2024-05-06T07:08:09Z"}"#);
    }),
    ("an info with another time", "R9", "another time", |s| {
        s.forge(FileKind::Info, br#"{"Version":"v1.0.0","Time":"2025-05-06T07:08:09Z"}"#);
    }),
    ("an info with a secret", "G09", "credential", |s| {
        s.forge(FileKind::Info, br#"{"Version":"v1.0.0","Time":"2024-05-06T07:08:09Z","Origin":{"VCS":"git","URL":"https://user:token@example.com/a"}}"#);
    }),
    // the ledger
    ("another sum of a zip", "R4", "the ledger has", |s| {
        s.sql("UPDATE versions SET zip_h1 = zeroblob(32) WHERE id = 1")
    }),
    ("another sum of a mod", "R4", "the ledger has", |s| {
        s.sql("UPDATE versions SET mod_h1 = zeroblob(32) WHERE id = 1")
    }),
    ("another SHA-256", "R13", "SHA-256", |s| {
        s.sql("UPDATE versions SET zip_sha256 = zeroblob(32) WHERE id = 1")
    }),
    ("another size", "R13", "bytes instead of", |s| {
        s.sql("UPDATE versions SET zip_size = zip_size + 1 WHERE id = 1")
    }),
    ("another go.mod inside the zip", "R9", "inside the zip", |s| {
        s.sql("UPDATE versions SET zip_go_mod = zeroblob(32) WHERE id = 1");
    }),
    ("an unreadable basis", "R9", "unknown basis", |s| {
        s.sql("UPDATE versions SET zip_basis = 'hope' WHERE id = 1")
    }),
    ("a sum of the wrong length", "R9", "version row", |s| {
        s.sql("UPDATE versions SET zip_h1 = x'00' WHERE id = 2")
    }),
    ("a version that is none", "R9", "version row", |s| {
        s.sql("UPDATE versions SET version = 'v1' WHERE id = 2")
    }),
    ("a version that does not fit", "R9", "", |s| {
        s.sql("UPDATE versions SET version = 'v2.0.0' WHERE id = 2")
    }),
    ("a module that is none", "R9", "version row", |s| s.sql("UPDATE modules SET path = 'a b' WHERE id = 2")),
    ("a version without a file", "R9", "without any file", |s| {
        s.sql("INSERT INTO versions (module, version, private, first_seen, source) VALUES (1, 'v1.0.9', 0, 0, '')");
    }),
    ("a row that points nowhere", "R9", "points nowhere", |s| {
        s.sql("UPDATE versions SET module = 99 WHERE id = 2")
    }),
    ("wrong totals", "R9", "totals", |s| s.sql("UPDATE totals SET zips = zips + 1")),
    ("a wrong count of versions", "R9", "count of versions", |s| {
        s.sql("UPDATE modules SET versions = 7 WHERE id = 1")
    }),
    ("a feed that goes back", "R8", "does not grow", |s| {
        s.sql("UPDATE feed SET at_micros = 1 WHERE position = 2")
    }),
    ("a feed without a version", "R8", "missing from the feed", |s| {
        s.sql("DELETE FROM feed WHERE position = 1")
    }),
    ("a feed with a version that has no zip", "R8", "without a zip", |s| {
        s.sql("INSERT INTO feed (at_micros, version) SELECT 9000000000000000, max(id) FROM versions");
    }),
    ("a feed with another time", "R8", "not the version's", |s| {
        s.sql("UPDATE feed SET at_micros = at_micros + 1 WHERE position = 2");
    }),
    ("a feed with another repository", "D14", "another repository", |s| {
        s.sql("INSERT INTO feed (at_micros, version) SELECT zip_at + 9000000000000000, id FROM versions WHERE id = 3");
    }),
    ("a damaged page of the ledger", "R1", "", |s| {
        let path = s.at("ledger.sqlite");
        let mut bytes = std::fs::read(&path).unwrap();
        let page = bytes.len() / 4096 / 2 * 4096;
        bytes[page..page + 4096].fill(0);
        std::fs::write(path, bytes).unwrap();
    }),
    ("a mark of quarantine without its row", "R9", "no quarantine is recorded", |s| {
        s.sql("UPDATE versions SET zip_bad = 1 WHERE id = 1");
    }),
    ("a quarantine emptied by somebody", "R9", "but is gone", |s| {
        std::fs::remove_dir_all(s.at("quarantine")).unwrap();
    }),
    // foreign databases and evidence
    ("a flipped bit in a tile", "R13", "SHA-256", |s| damage(&s.at(TILE), |bytes| bytes[5] ^= 1)),
    ("a missing tile", "R9", "cannot be found", |s| std::fs::remove_file(s.at(TILE)).unwrap()),
    ("changed evidence", "R13", "evidence", |s| damage(&s.at("evidence/00000001"), |bytes| bytes[0] ^= 1)),
    ("missing evidence", "R9", "evidence", |s| std::fs::remove_file(s.at("evidence/00000001")).unwrap()),
    // what does not belong
    ("a blob without a row", "D3", "without a ledger row", |s| {
        write(s.at("repos/main/example.com/m/@v/v1.0.0.zip"), b"x");
    }),
    ("a tile without a row", "D3", "without a ledger row", |s| {
        write(s.at("sumdb/a.example/log/tile/8/0/000"), b"x")
    }),
    ("evidence without a row", "D3", "not in the ledger", |s| write(s.at("evidence/00000099"), b"x")),
    ("leftover scratch", "U2", "scratch", |s| write(s.at("scratch/0123"), b"x")),
    ("a capital in a module's folder", "D2", "misplaced", |s| {
        write(s.at("repos/main/example.com/Aa/@v/v1.0.0.zip"), b"x");
    }),
    ("a version that is not canonical", "D2", "misplaced", |s| {
        write(s.at("repos/main/example.com/b/@v/v1.mod"), b"x")
    }),
    ("a list beside the versions", "D2", "misplaced", |s| {
        write(s.at("repos/main/example.com/b/@v/list"), b"x")
    }),
    ("a file outside @v", "D2", "misplaced", |s| write(s.at("repos/main/example.com/README"), b"x")),
    ("a repository that is none", "D2", "misplaced", |s| {
        write(s.at("repos/Bad/x.org/b/@v/v1.0.0.mod"), b"x")
    }),
    ("a file of somebody else", "D2", "nothing of ours", |s| write(s.at("notes.txt"), b"x")),
    ("a link among the blobs", "D2", "link", |s| {
        std::os::unix::fs::symlink("/etc", s.at("repos/main/etc")).unwrap()
    }),
    ("a blob that others may change", "D2", "others may change", |s| chmod(s.path(FileKind::Zip), 0o666)),
    ("a folder that others may change", "D2", "others may change", |s| chmod(s.at("repos/main"), 0o777)),
    ("a blob that cannot be read", "D2", "may not read", |s| chmod(s.path(FileKind::Zip), 0o000)),
];

#[tokio::test]
async fn every_kind_of_planted_damage_is_found() {
    assert!(DAMAGE.len() >= 40, "R26 asks for 40 kinds of damage");
    let mut missed = Vec::new();
    for (what, id, word, plant) in DAMAGE {
        let store = Sound::new().await;
        plant(&store);
        let report = store.check();
        if !report.findings.iter().any(|finding| finding.id == *id && finding.text.contains(word)) {
            missed.push(format!("{what}: no [{id}] …{word}… in {report:#?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {} missed:\n{}", missed.len(), DAMAGE.len(), missed.join("\n"));
    println!("fsck found all of {} kinds of planted damage", DAMAGE.len());
}

#[tokio::test]
async fn a_sound_store_is_called_sound() {
    let store = Sound::new().await;
    let report = store.check();
    assert!(report.is_sound(), "{report:#?}");
    let texts: Vec<_> = report.findings.iter().map(|finding| (finding.id, finding.severity)).collect();
    assert_eq!(texts, [("R13", Severity::Warning)], "only what was put aside on purpose: {report:#?}");
    assert_eq!((report.checked.versions, report.checked.versions_total), (4, 4));
    assert_eq!(report.put_aside, 0);
}

#[tokio::test]
async fn progress_grows_to_the_whole() {
    let store = Sound::new().await;
    let opened = Store::open_read_only(config(store.root())).unwrap();
    let mut last = Progress::default();
    let report = fsck::run(&opened, Options::default(), &mut |now| {
        assert!(now.files > last.files && now.bytes >= last.bytes && now.versions <= now.versions_total);
        last = now;
    });
    assert_eq!(report.unwrap().checked, last);
}

#[tokio::test]
async fn fsck_works_beside_a_running_server_and_puts_aside_when_asked() {
    let sound = Sound::new().await;
    let store = open(sound.root());
    assert!(sound.check().is_sound(), "read-only, beside the writer");
    damage(&sound.path(FileKind::Zip), |bytes| bytes[60] ^= 1);
    let report = fsck::run(&store, Options { quarantine: true }, &mut |_| {}).unwrap();
    assert!(!report.is_sound() && report.put_aside == 1, "{report:#?}");
    let again = fsck::run(&store, Options { quarantine: true }, &mut |_| {}).unwrap();
    assert!(again.is_sound() && again.put_aside == 0, "what was put aside is explained: {again:#?}");
    store.commit(&Repository::main(), &sound.a, parts(&store, &sound.a)).await.unwrap();
    assert_whole(&store, &sound.a).await;
}
