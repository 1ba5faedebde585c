//! Rows I06 to I15 of `hostile-inputs.md`.

use modkeep_tlog::{
    ClientError, GoSumRecord, Level, LookupAnswer, Note, RecordId, RecordText, SignedHead, SignerKey, Tile,
    TreeBuilder, TreeSize,
    client::{Head, Lookup, TileCheck},
    note::{NOTE_BYTES_MAX, NoteError},
    tile::TilePathError,
};

use crate::driver::{LARGE, LOG, check_head, check_tile, honest, look_up, name, record, signer, size};

pub(crate) fn lookup_of(i: u64, known: Option<SignedHead>) -> Lookup {
    let (module, version) = name(i);
    Lookup::new(signer().verifier(), known, &module, &version)
}

pub(crate) fn head(tree: u64) -> SignedHead {
    SignedHead::open(LOG.sign_head(size(tree), &signer()).unwrap().as_bytes(), &signer().verifier()).unwrap()
}

pub(crate) fn answer(id: u64, text: RecordText, note: impl Into<Vec<u8>>) -> Vec<u8> {
    let note: Vec<u8> = note.into();
    LookupAnswer { id: RecordId::new(id).unwrap(), text, note: note.into() }.to_bytes()
}

/// A log of 300 records that is `LOG` but for one record.
fn forked_at(changed: u64) -> TreeBuilder {
    let mut fork = TreeBuilder::new();
    for i in 0..300 {
        fork.append(record(if i == changed { i + 1_000_000 } else { i }));
    }
    fork
}

#[test]
fn hostile_i06_tile_paths_not_of_the_grammar() {
    for path in [
        "tile/8/0/0",
        "tile/08/0/000",
        "tile/8/00/000",
        "tile/8/0/000.p/0",
        "tile/8/0/000.p/256",
        "tile/8/0/000.p/01",
        "tile/8/-1/000",
        "tile/8/0/+01",
        "tile/8/0/x1/000",
        "tile/8/0/000/",
        "tile/8/0/x000/001",
        "tile/8/0/000.p/1.p/1",
        "tile/8/0/٠٠٠",
        "tile/8/0/000.p/4294967297",
        "tile/8//000",
    ] {
        assert_eq!(Tile::parse(path), Err(TilePathError::Malformed), "{path}");
    }
}

#[test]
fn hostile_i07_other_heights_are_legal_and_never_served() {
    for path in ["tile/1/0/000", "tile/30/0/000", "tile/30/0/000.p/1073741823"] {
        let tile = Tile::parse(path).unwrap();
        assert_ne!(tile.height(), 8);
        assert!(!tile.is_within(size(LARGE)), "{path}");
        assert_eq!(LOG.tile(&tile, size(LARGE)), None, "{path}");
        let refused = check_tile(&mut TileCheck::new(head(LARGE), tile), |_, _| panic!("nothing is fetched"));
        assert!(matches!(refused, Err(ClientError::TileBeyondHead { .. })), "{path}");
    }
}

#[test]
fn hostile_i08_levels_and_numbers_no_tree_has() {
    for path in [
        "tile/8/64/000",
        "tile/8/200/000",
        "tile/8/9999/000",
        "tile/8/0/x009/x223/x372/x036/x854/x775/808", // 2^63
        "tile/8/0/x018/x446/x744/x073/x709/x551/616", // 2^64
        "tile/8/0/x999/x999/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Tile::parse(path), Err(TilePathError::NoSuchTile), "{path}");
    }
    let last = Tile::parse("tile/8/0/x009/x223/x372/x036/x854/x775/807").unwrap(); // 2^63-1
    assert_eq!(last.index(), i64::MAX as u64);
    let largest = TreeSize::new(i64::MAX as u64).unwrap();
    assert!(!last.is_within(largest), "256 times the number is beyond any tree");
    assert_eq!(LOG.tile(&last, largest), None);
    let top = Tile::parse("tile/8/63/000.p/1").unwrap();
    assert!(!top.is_within(largest));
    assert_eq!(Level::new(64), None);
}

#[test]
fn hostile_i09_records_that_our_log_never_takes() {
    let lines = record(5).as_str().to_owned();
    let other = record(6).as_str().to_owned();
    let (zip, go_mod) = lines.split_once('\n').unwrap();
    for (text, why) in [
        (format!("{lines}\n"), "blank line"),
        (lines.replace('m', "\u{1}"), "control byte"),
        (format!("{lines}{other}"), "other module's lines"),
        (format!("{lines}{zip}\n"), "third line"),
        (format!("{zip}\n"), "one line"),
        (format!("{go_mod}{zip}\n"), "order"),
        (format!("{zip}\n{}", other.split_once('\n').unwrap().1), "other module's go.mod"),
        (lines.replacen(' ', "  ", 1), "two spaces"),
        (lines.replacen('\n', " \n", 1), "trailing space"),
        (lines.replace("h1:", "h2:"), "unknown hash"),
        (lines.replacen("=\n", "\n", 1), "padding"),
    ] {
        let door = RecordText::parse(text.as_bytes()).and_then(|text| GoSumRecord::parse(&text));
        assert!(door.is_err(), "{why}");
    }
    let door = RecordText::parse(lines.as_bytes()).and_then(|text| GoSumRecord::parse(&text)).unwrap();
    for (module, version) in
        [("a b", "v1.0.0"), ("a\nb", "v1.0.0"), ("a", "v1.0.0 x"), ("a", "v1.0.0/go.mod"), ("", "v1")]
    {
        let record = GoSumRecord { module: module.into(), version: version.into(), ..door.clone() };
        assert!(record.to_text().is_err(), "{module:?} {version:?}");
    }
}

#[test]
fn hostile_i10_empty_lookup_answer() {
    for known in [None, Some(head(300))] {
        let refused = look_up(&mut lookup_of(5, known), |_, _| Some(Vec::new()));
        assert!(matches!(refused, Err(ClientError::MalformedLookup(_))), "{refused:?}");
    }
}

#[test]
fn hostile_i11_lookup_answers_for_another_module() {
    let refused = look_up(&mut lookup_of(5, None), |path, _| {
        if path.starts_with("lookup/") {
            honest("lookup/example.com/m6@v1.6.0", size(300))
        } else {
            honest(path, size(300))
        }
    });
    assert!(matches!(refused, Err(ClientError::MissingLine { .. })), "{refused:?}");
}

#[test]
fn hostile_i12_wanted_line_only_outside_the_record() {
    let line = record(5);
    let text = LOG.head(size(300)).unwrap().to_text();
    let in_the_head = signer().sign(&format!("{text}{}", line.as_str())).unwrap();
    let after_signatures = LOG.sign_head(size(300), &signer()).unwrap() + line.as_str();
    let before_the_head = format!("{}\n{}", line.as_str(), LOG.sign_head(size(300), &signer()).unwrap());
    for note in [in_the_head, after_signatures, before_the_head] {
        let refused = look_up(&mut lookup_of(5, None), |path, _| {
            if path.starts_with("lookup/") {
                Some(answer(6, record(6), note.as_bytes()))
            } else {
                honest(path, size(300))
            }
        });
        assert!(
            matches!(refused, Err(ClientError::MissingLine { .. } | ClientError::BadHead(_))),
            "{refused:?}"
        );
    }
}

/// Sizes from 1 to 70,000: around powers of two and of 256, and some in between.
const SIZES: [u64; 24] = [
    1, 2, 3, 7, 8, 100, 255, 256, 257, 300, 511, 512, 513, 1000, 4096, 10_007, 40_000, 65_280, 65_535,
    65_536, 65_537, 65_793, 69_999, LARGE,
];

#[test]
fn hostile_i13_one_bit_flipped_in_any_fetched_tile() {
    let mut refusals = 0;
    for tree in SIZES {
        let known = [None, Some(head(tree.div_ceil(3)))];
        for (known, id) in known.into_iter().zip([tree / 2, tree - 1]) {
            let outcome =
                look_up(&mut lookup_of(id, known.clone()), |path, _| honest(path, size(tree))).unwrap();
            assert_eq!(outcome.record.text(), record(id).as_str());
            for (tile, bytes) in &outcome.tiles {
                // The first and the last byte, and one that differs from tile to tile.
                for at in
                    [0, bytes.len() - 1, usize::try_from(tree * 31 + tile.index()).unwrap() % bytes.len()]
                {
                    let refused = look_up(&mut lookup_of(id, known.clone()), |path, _| {
                        let mut bytes = honest(path, size(tree))?;
                        if path == tile.path() {
                            bytes[at] ^= 1 << (at % 8);
                        }
                        Some(bytes)
                    });
                    assert!(
                        matches!(refused, Err(ClientError::InconsistentTile(_))),
                        "{tree} {}",
                        tile.path()
                    );
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals > 300, "the samples reach few tiles: {refusals}");
}

#[test]
fn tiles_of_another_length_than_their_names_say() {
    let changes: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |bytes| [bytes, vec![0]].concat(),
        |bytes| [bytes, vec![0; 32]].concat(),
        |bytes| bytes[1..].to_vec(),
        |_| Vec::new(),
    ];
    for change in changes {
        for changed in ["tile/8/0/000", "tile/8/0/001.p/44", "tile/8/1/000.p/1"] {
            let refused = look_up(&mut lookup_of(5, None), |path, _| {
                let bytes = honest(path, size(300))?;
                Some(if path == changed { change(bytes) } else { bytes })
            });
            assert!(matches!(refused, Err(ClientError::InconsistentTile(_))), "{changed}: {refused:?}");
        }
    }
}

#[test]
fn hostile_i14_two_heads_of_equal_size() {
    let fork = forked_at(7);
    let forked = fork.sign_head(size(300), &signer()).unwrap();
    let refused = look_up(&mut lookup_of(5, Some(head(300))), |path, _| {
        assert!(path.starts_with("lookup/"), "two heads say it all");
        Some(answer(5, record(5), forked.as_bytes()))
    });
    let Err(ClientError::Fork(evidence)) = refused else { panic!("{refused:?}") };
    assert_eq!((evidence.known.note(), evidence.new.note()), (head(300).note(), forked.as_bytes()));
    assert!(evidence.proof.is_empty());
}

#[test]
fn hostile_i14_older_head_after_newer() {
    // Of the same history: fine, and the newer one stays the known one.
    let outcome = look_up(&mut lookup_of(5, Some(head(300))), |path, _| match path {
        path if path.starts_with("lookup/") => honest(path, size(100)),
        path => honest(path, size(300)),
    });
    assert_eq!(outcome.unwrap().head, head(300));

    // Of another history: a fork, whose proof leads from the smaller head to another root than the one signed.
    let fork = forked_at(7);
    let forked = fork.sign_head(size(100), &signer()).unwrap();
    let mut check = Head::new(signer().verifier(), Some(head(300)), forked.as_bytes());
    let refused = check_head(&mut check, |path, _| honest(path, size(300)));
    let Err(ClientError::Fork(evidence)) = refused else { panic!("{refused:?}") };
    assert_eq!((evidence.known.size(), evidence.new.size()), (size(300), size(100)));
    let of_the_log = (size(100), LOG.head(size(100)).unwrap().root);
    let newer = (size(300), evidence.known.root());
    assert_eq!(modkeep_tlog::proof::verify_consistency(&evidence.proof, of_the_log, newer), Ok(()));
    assert!(
        modkeep_tlog::proof::verify_consistency(&evidence.proof, (size(100), evidence.new.root()), newer)
            .is_err()
    );
}

#[test]
fn hostile_i14_newer_head_that_does_not_continue_the_known_one() {
    let fork = forked_at(7);
    let mut lookup = lookup_of(5, Some(head(100)));
    let refused = look_up(&mut lookup, |path, _| match path {
        path if path.starts_with("lookup/") => {
            Some(answer(5, record(5), fork.sign_head(size(300), &signer()).unwrap()))
        }
        path => fork.serve(path, size(300), &signer()),
    });
    assert!(matches!(refused, Err(ClientError::Fork(_))), "{refused:?}");
    assert_eq!(lookup.established(), Some(&head(100)), "the known head stays");
    assert!(matches!(lookup.step(), modkeep_tlog::Step::Failed(ClientError::Ended)));
}

#[test]
fn hostile_i14_head_for_another_log() {
    let other = SignerKey::from_seed("other.example.org", [9; 32]).unwrap();
    let same_name = SignerKey::from_seed("sumdb.example.org/test", [9; 32]).unwrap();
    let text = LOG.head(size(300)).unwrap().to_text();
    for note in [
        other.sign(&text).unwrap(),
        same_name.sign(&text).unwrap(),
        signer().sign(&text.replace("go.sum database tree", "sumdb.example.org/test")).unwrap(),
    ] {
        for known in [None, Some(head(100))] {
            let refused =
                look_up(&mut lookup_of(5, known), |_, _| Some(answer(5, record(5), note.as_bytes())));
            assert!(matches!(refused, Err(ClientError::BadHead(_))), "{refused:?}");
        }
    }
}

#[test]
fn hostile_i15_notes_beyond_the_limits() {
    let key = [signer().verifier()];
    let note = LOG.sign_head(size(300), &signer()).unwrap();
    let (body, line) = note.rsplit_once("\n\n").unwrap();
    let name = signer().verifier().name().to_owned();
    let many = format!("{note}{}", "— w.example AAAAAQk=\n".repeat(10_000));
    let long = format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX));
    for (note, why) in [
        (many, "10,000 signatures"),
        (long, "1 MB"),
        (note.replace('=', ""), "no padding"),
        (note.replace("loXmC", "loX mC"), "space in base64"),
        (note.replace("loXmC", "loXm*"), "bad base64"),
        (note.replace(&name, "sumdb example.org"), "space in the name"),
        (note.replace(&name, "sumdb\u{a0}example.org"), "Unicode space in the name"),
        (note.replace(&name, "sumdb+example.org"), "plus in the name"),
        (note.replace('\n', "\r\n"), "CRLF"),
        (format!("{body}\n\n{line}\r"), "CR at the end"),
        (format!("{body}\r\n\n{line}"), "CR in the text"),
        (note.replace("— ", "—  "), "no name"),
    ] {
        let refused = Note::open(note.as_bytes(), &key);
        assert!(matches!(refused, Err(NoteError::Malformed(_))), "{why}: {refused:?}");
    }
    // Duplicate key ids: one key known twice is one key; a repeated line counts once.
    let twice = [key[0].clone(), key[0].clone()];
    assert_eq!(Note::open(note.as_bytes(), &twice).unwrap().verified().len(), 1);
    assert_eq!(Note::open(format!("{note}{line}").as_bytes(), &key).unwrap().verified().len(), 1);
}
