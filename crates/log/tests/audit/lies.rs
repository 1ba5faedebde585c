//! One lie at a time.

use modkeep_log::audit::{Held, Kind, Parts, Severity};
use modkeep_tlog::record::{LookupAnswer, Sums, write_data_tile};
use modkeep_tlog::{RecordText, SignerKey, TreeBuilder, TreeHead};

use crate::server::Server;
use crate::support::{Auditor, Log, id, key, kinds, module, record, size};

/// So many records that the tree has full tiles, and partial ones in two rows.
const RECORDS: u64 = 1_300;
/// So many that a tile of the second row is full.
const MANY: u64 = 65_800;

fn text(bytes: &str) -> RecordText {
    RecordText::parse(bytes.as_bytes()).unwrap()
}

#[test]
fn an_honest_log_gives_no_finding_at_any_size() {
    let auditor = Auditor::new().with(|options| options.lookups = 5);
    let mut log = Log::of(0);
    // The same auditor all along, so each head is also compared with the one before.
    for step in [0, 1, 1, 253, 1, 1, 300, 65_000, 400] {
        log.grow(step);
        let report = auditor.audit(&log);
        assert_eq!(report.findings, [], "at {}", log.tree.size());
        assert!(report.gaps.is_empty() && report.complete, "at {}", log.tree.size());
        assert_eq!(report.head.map(|head| head.size), Some(log.tree.size()));
        assert_eq!(auditor.state().next(), log.tree.size().get());
    }
    assert!(auditor.evidence().is_empty());
}

/// What is planted, and what must be found.
type Lie = (&'static str, fn(&mut Log), Kind);

const LIES: &[Lie] = &[
    (
        "a record is served otherwise than it was logged",
        |log| {
            let tile = String::from_utf8(log.tile("tile/8/data/003")).unwrap();
            log.set("tile/8/data/003", tile.replacen("h1:A", "h1:B", 1));
        },
        Kind::ChangedRecord,
    ),
    (
        "so is one on the edge",
        |log| {
            let path = format!("tile/8/data/005.p/{}", RECORDS % 256);
            let tile = String::from_utf8(log.tile(&path)).unwrap();
            log.set(&path, tile.replacen("h1:A", "h1:B", 1));
        },
        Kind::ChangedRecord,
    ),
    (
        "the changed record has its hash in the lowest tile, and the row above still knows",
        |log| {
            let mut texts: Vec<RecordText> =
                (0..256).map(|n| log.tree.text(id(n)).unwrap().clone()).collect();
            texts[7] = record("example.com/m7", "v1.0.0", 999);
            log.set("tile/8/data/000", write_data_tile(&texts));
            let hashes: Vec<u8> = texts.iter().flat_map(|text| text.leaf_hash().0).collect();
            log.set("tile/8/0/000", hashes);
        },
        Kind::BadTile,
    ),
    (
        "one module version has two records",
        |log| {
            log.tree.append(record(&module(5), "v1.0.0", 77));
        },
        Kind::Duplicate,
    ),
    (
        "a module version is logged twice alike",
        |log| {
            log.tree.append(record(&module(RECORDS - 1), "v1.0.0", RECORDS - 1));
        },
        Kind::Duplicate,
    ),
    ("a tile of records is withheld", |log| log.remove("tile/8/data/004"), Kind::MissingTile),
    ("a tile of leaf hashes is withheld", |log| log.remove("tile/8/0/004"), Kind::MissingTile),
    (
        "the edge is withheld",
        |log| {
            log.remove("tile/8/1/000.p/5");
        },
        Kind::MissingTile,
    ),
    ("a bit is wrong in a tile of leaf hashes", |log| log.flip("tile/8/0/003", 40), Kind::BadTile),
    ("a bit is wrong on the edge", |log| log.flip("tile/8/1/000.p/5", 3), Kind::BadTile),
    ("a tile is cut short", |log| log.set("tile/8/0/003", [0; 8191]), Kind::BadTile),
    (
        "a data tile holds a record more",
        |log| {
            let more = [log.tile("tile/8/data/003"), b"\none more\n".to_vec()].concat();
            log.set("tile/8/data/003", more);
        },
        Kind::BadTile,
    ),
    (
        "a line of another module is hidden in a record",
        |log| {
            let two = record("example.com/good", "v1.0.0", 1).as_str().to_owned()
                + record("example.com/evil", "v1.0.0", 2).as_str();
            log.tree.append(text(&two));
        },
        Kind::HiddenLine,
    ),
    (
        "a line is hidden in the signed head",
        |log| {
            let root = log.tree.root(log.tree.size()).unwrap();
            let head = TreeHead { size: log.tree.size(), root }.to_text();
            let hidden = record("example.com/evil", "v1.0.0", 1);
            log.set("latest", key().sign(&(head + hidden.as_str())).unwrap());
        },
        Kind::HiddenLine,
    ),
    (
        "the head is signed by somebody else",
        |log| {
            let other = SignerKey::from_seed("sums.example/log", [8; 32]).unwrap();
            log.set("latest", log.tree.sign_head(log.tree.size(), &other).unwrap());
        },
        Kind::BadSignature,
    ),
    (
        "the signature is damaged",
        |log| {
            let note = log.tree.sign_head(log.tree.size(), &key()).unwrap();
            log.set("latest", note.replacen("1300", "1301", 1));
        },
        Kind::BadSignature,
    ),
    (
        "the signed text is no head",
        |log| log.set("latest", key().sign("somebody else's tree\n7\n").unwrap()),
        Kind::BadHead,
    ),
    ("there is no head", |log| log.remove("latest"), Kind::MissingHead),
];

#[test]
fn each_planted_misbehaviour_is_found_in_memory() {
    for (what, plant, kind) in LIES {
        let mut log = Log::of(RECORDS);
        plant(&mut log);
        let report = Auditor::new().audit(&log);
        assert_eq!(kinds(&report), [*kind], "{what}: {:?}", report.findings);
        assert!(!report.is_honest(), "{what}");
    }
}

#[test]
fn misbehaviour_in_the_upper_rows_is_found() {
    let honest = Log::of(MANY);
    for (what, plant, kind) in [
        ("withheld", (|log| log.remove("tile/8/1/000")) as fn(&mut Log), Kind::MissingTile),
        ("a wrong bit", |log| log.flip("tile/8/1/000", 40), Kind::BadTile),
        ("withheld on the edge", |log| log.remove("tile/8/2/000.p/1"), Kind::MissingTile),
        ("a wrong bit on the edge", |log| log.flip("tile/8/2/000.p/1", 3), Kind::BadTile),
    ] {
        let mut log = honest.copy();
        plant(&mut log);
        let report = Auditor::new().audit(&log);
        assert_eq!(kinds(&report), [kind], "{what}: {:?}", report.findings);
        assert!(report.gaps.iter().any(|gap| gap.to - gap.from >= 65_536), "{what}: {:?}", report.gaps);
    }
}

#[test]
fn each_planted_misbehaviour_is_found_over_http() {
    for (what, plant, kind) in LIES {
        let mut log = Log::of(RECORDS);
        plant(&mut log);
        let server = Server::start(log);
        let report = Auditor::new().with(|options| options.jobs = 4).audit(&server.remote());
        assert_eq!(kinds(&report), [*kind], "{what}: {:?}", report.findings);
    }
}

#[test]
fn a_fork_is_found_and_both_heads_are_kept_with_the_proof() {
    for (known, forked_at, shown) in [(1_000, 500, 1_200), (1_000, 500, 1_000), (1, 0, 257)] {
        let auditor = Auditor::new();
        assert!(auditor.audit(&Log::of(known)).is_honest());

        let mut other = Log::of(0);
        other.tree = TreeBuilder::new();
        (0..shown).for_each(|n| {
            let sum = if n < forked_at { n } else { n + 1_000_000 };
            other.tree.append(record(&module(n), "v1.0.0", sum));
        });
        let report = auditor.audit(&other);
        assert!(kinds(&report).contains(&Kind::Fork), "{known} {forked_at} {shown}: {:?}", report.findings);
        assert_eq!(report.head.map(|head| head.size), Some(size(known)), "the first head stays");

        let files = auditor.evidence();
        assert!(files.iter().any(|file| file.starts_with("fork-")), "{files:?}");
        let fork = files.iter().find(|file| file.starts_with("fork-")).unwrap();
        let told = std::fs::read_to_string(auditor.home.path().join("evidence").join(fork)).unwrap();
        assert_eq!(told.matches("go.sum database tree").count(), 2, "{told}");
        assert_eq!(told.matches("— sums.example/log").count(), 2, "{told}");
        // The next audit says it again, whatever the log then shows.
        let again = auditor.audit(&Log::of(known));
        assert!(!again.is_honest());
        assert_eq!(auditor.evidence(), files);
    }
}

#[test]
fn a_smaller_head_of_another_history_is_a_fork_too() {
    let auditor = Auditor::new();
    let mut log = Log::of(1_300);
    assert!(auditor.audit(&log).is_honest());
    let mut other = TreeBuilder::new();
    for n in 0..1_285 {
        other.append(record(&module(n), "v1.0.0", n + 1));
    }
    log.set("latest", other.sign_head(size(1_285), &key()).unwrap());
    assert_eq!(kinds(&auditor.audit(&log)), [Kind::Fork, Kind::Rollback]);
}

#[test]
fn a_log_that_becomes_smaller_is_found() {
    let auditor = Auditor::new();
    assert!(auditor.audit(&Log::of(1_000)).is_honest());
    let mut log = Log::of(1_000);
    log.set("latest", log.tree.sign_head(size(900), &key()).unwrap());
    let report = auditor.audit(&log);
    assert_eq!(kinds(&report), [Kind::Rollback]);
    assert_eq!(report.head.map(|head| head.size), Some(size(1_000)));
    // Smaller in earnest: it does not even serve what it signed.
    assert_eq!(kinds(&auditor.audit(&Log::of(700))), [Kind::Rollback, Kind::MissingTile]);
    assert!(auditor.evidence()[0].starts_with("rollback-"));
}

#[test]
fn a_record_changed_after_it_was_audited_is_found_by_reading_again() {
    let auditor = Auditor::new();
    let mut log = Log::of(1_000);
    assert!(auditor.audit(&log).is_honest());
    let tile = String::from_utf8(log.tile("tile/8/data/001")).unwrap();
    log.set("tile/8/data/001", tile.replacen("h1:A", "h1:B", 1));
    assert!(auditor.audit(&log).is_honest(), "what was read is not read again");
    let again = auditor.with(|options| options.from = modkeep_log::audit::Begin::Start);
    let report = again.audit(&log);
    assert_eq!(kinds(&report), [Kind::ChangedRecord]);
    assert_eq!(report.findings[0].record, Some(256));
    assert!(again.evidence()[0].starts_with("record-256-"));
}

type Change<'a> = Box<dyn Fn(&mut Log) + 'a>;

#[test]
fn a_lookup_that_differs_from_the_log_is_found() {
    let answer =
        |text: RecordText, note: Vec<u8>| LookupAnswer { id: id(0), text, note: note.into() }.to_bytes();
    let note = |log: &Log, n: u64| log.tree.sign_head(size(n), &key()).unwrap().into_bytes();
    let path = "lookup/example.com/m0@v1.0.0";
    let changes: Vec<(&str, Change<'_>, Kind)> = vec![
        (
            "another sum",
            Box::new(|log| {
                let bytes = answer(record(&module(0), "v1.0.0", 5), note(log, 3));
                log.set(path, bytes);
            }),
            Kind::WrongSum,
        ),
        ("denied", Box::new(|log| log.remove(path)), Kind::BadLookup),
        ("nonsense", Box::new(|log| log.set(path, "hello\n")), Kind::BadLookup),
        (
            "a head that does not cover it",
            Box::new(|log| {
                let bytes = answer(record(&module(0), "v1.0.0", 0), note(log, 0));
                log.set(path, bytes);
            }),
            Kind::BadHead,
        ),
        (
            "a head of another history",
            Box::new(|log| {
                let mut other = TreeBuilder::new();
                other.append(record(&module(0), "v1.0.0", 0));
                other.append(record(&module(1), "v1.0.0", 5));
                let head = other.sign_head(size(2), &key()).unwrap().into_bytes();
                let bytes = answer(record(&module(0), "v1.0.0", 0), head);
                log.set(path, bytes);
            }),
            Kind::Fork,
        ),
        (
            "a line hidden in its head (CVE-2026-56864)",
            Box::new(|log| {
                let head = TreeHead { size: size(3), root: log.tree.root(size(3)).unwrap() }.to_text();
                let hidden = record("example.com/evil", "v1.0.0", 1);
                let head = key().sign(&(head + hidden.as_str())).unwrap().into_bytes();
                let bytes = answer(record(&module(0), "v1.0.0", 0), head);
                log.set(path, bytes);
            }),
            Kind::HiddenLine,
        ),
    ];
    for (what, change, kind) in changes {
        let mut log = Log::of(3);
        change(&mut log);
        // Of three records thirty draws miss none.
        let report = Auditor::new().with(|options| options.lookups = 30).audit(&log);
        assert_eq!(kinds(&report), [kind], "{what}: {:?}", report.findings);
    }
}

/// A mirror that holds one version.
struct Mirror {
    version: (String, &'static str),
    sums: Sums,
}

impl Held for Mirror {
    fn held(&self, module: &str, version: &str) -> Option<Sums> {
        (self.version.0 == module && self.version.1 == version).then_some(self.sums)
    }
}

#[test]
fn a_sum_that_differs_from_what_the_mirror_holds_is_found() {
    let log = Log::of(600);
    let logged = log.tree.text(id(300)).unwrap().sums(&module(300), "v1.0.0").unwrap();
    let other = Some([9; 32]);
    for (sums, kind) in [
        (logged, None),
        (Sums { zip: None, ..logged }, None),
        (Sums { zip: other, ..logged }, Some(Kind::WrongSum)),
        (Sums { go_mod: other, ..logged }, Some(Kind::WrongSum)),
    ] {
        let auditor = Auditor::new();
        let mirror = Mirror { version: (module(300), "v1.0.0"), sums };
        let key = key().verifier();
        let parts = Parts { source: &log, key: &key, held: Some(&mirror), options: auditor.options.clone() };
        let report = modkeep_log::audit::run(&parts, &mut auditor.state(), &mut |_| {
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(kinds(&report).first().copied(), kind);
        assert_eq!(report.checked.held, 1);
    }
}

#[test]
fn what_is_unusual_and_legal_is_a_warning() {
    let zip = record("example.com/x", "v1.0.0", 1).as_str().lines().next().unwrap().to_owned() + "\n";
    for (what, odd) in [
        ("one line only", zip.clone()),
        ("a line of another kind", record("example.com/x", "v1.0.0", 1).as_str().to_owned() + "more words\n"),
        ("a path that is none", record("example", "v1.0.0", 1).as_str().to_owned()),
        ("a version that is none", record("example.com/x", "master", 1).as_str().to_owned()),
    ] {
        let mut log = Log::of(3);
        log.tree.append(text(&odd));
        let report = Auditor::new().audit(&log);
        assert!(report.is_honest(), "{what}");
        assert_eq!(report.findings.len(), 1, "{what}: {:?}", report.findings);
        assert_eq!(
            (report.findings[0].kind, report.findings[0].severity),
            (Kind::Grammar, Severity::Warning)
        );
    }
    // A head may go on, with words that nobody takes for a sum.
    let mut log = Log::of(3);
    let head = TreeHead { size: size(3), root: log.tree.root(size(3)).unwrap() }.to_text();
    log.set("latest", key().sign(&(head + "hello\n")).unwrap());
    let report = Auditor::new().audit(&log);
    assert!(report.is_honest());
    assert_eq!(report.findings[0].kind, Kind::HiddenLine);
}
