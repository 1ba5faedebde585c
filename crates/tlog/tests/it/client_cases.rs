//! The cases of a client that `docs/spec/README.md` says the vectors lack.

use modkeep_tlog::{
    ClientError, Hash, RecordId, RecordText, SignedHead, SignerKey, Tile, TreeBuilder, TreeSize, VerifierKey,
    client::{Head, Lookup, TileCheck},
    head::HeadError,
    note::NoteError,
};

use crate::{
    driver::{LARGE, LOG, check_head, check_tile, honest, look_up, record, signer, size},
    hostile::{answer, head, lookup_of},
};

#[test]
fn large_tree_with_a_forged_tile_of_any_level() {
    let id = 12_345;
    let forged = record(id + 1_000_000);
    // The attacker puts a forged record's hash where the true one was, and makes all tiles up to `level` fit it.
    for level in 0..=1 {
        let mut fake = TreeBuilder::new();
        for i in 0..LARGE {
            fake.append(if i == id { forged.clone() } else { record(i) });
        }
        let refused = look_up(&mut lookup_of(id, None), |path, _| {
            if path.starts_with("lookup/") {
                return Some(answer(id, forged.clone(), LOG.sign_head(size(LARGE), &signer()).unwrap()));
            }
            let fits = (0..=level).any(|level| path.starts_with(&format!("tile/8/{level}/")));
            if fits { fake.serve(path, size(LARGE), &signer()) } else { honest(path, size(LARGE)) }
        });
        assert!(matches!(refused, Err(ClientError::InconsistentTile(_))), "{level}: {refused:?}");
    }
}

#[test]
fn forged_tile_in_our_own_cache_is_fetched_again() {
    for cached in
        ["tile/8/0/048", "tile/8/1/000", "tile/8/1/001.p/17", "tile/8/2/000.p/1", "tile/8/0/273.p/112"]
    {
        let mut asked = Vec::new();
        let outcome = look_up(&mut lookup_of(12_345, None), |path, bypass_cache| {
            asked.push((path.to_owned(), bypass_cache));
            let mut bytes = honest(path, size(LARGE))?;
            if path == cached && !bypass_cache {
                bytes[9] ^= 1;
            }
            Some(bytes)
        });
        assert_eq!(outcome.unwrap().record.text(), record(12_345).as_str(), "{cached}");
        let (cached, bypassed): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|(_, bypass_cache)| !bypass_cache);
        assert_eq!(cached.len(), bypassed.len(), "everything is asked for once more, and only once");
    }
}

#[test]
fn forged_or_broken_lookup_in_our_own_cache_is_fetched_again() {
    let note = LOG.sign_head(size(300), &signer()).unwrap();
    for cached in [
        answer(5, record(1_000_005), note.as_bytes()),
        answer(6, record(6), note.as_bytes()),
        answer(6, record(5), note.as_bytes()),
        answer(299, record(299), LOG.sign_head(size(100), &signer()).unwrap()),
        answer(5, record(5), "not a note"),
        Vec::new(),
    ] {
        let outcome = look_up(&mut lookup_of(5, None), |path, bypass_cache| match path {
            path if path.starts_with("lookup/") && !bypass_cache => Some(cached.clone()),
            path => honest(path, size(300)),
        });
        assert_eq!(outcome.unwrap().record.id(), RecordId::new(5).unwrap());
    }
}

#[test]
fn empty_head_at_first_contact() {
    // No head at all.
    let refused = look_up(&mut lookup_of(5, None), |_, _| Some(answer(5, record(5), "")));
    assert_eq!(refused.unwrap_err(), ClientError::NoHead);
    // The head of the empty tree: signed, and it holds no record.
    let empty = LOG.sign_head(TreeSize::EMPTY, &signer()).unwrap();
    let refused = look_up(&mut lookup_of(0, None), |_, _| Some(answer(0, record(0), empty.as_bytes())));
    let id = RecordId::new(0).unwrap();
    assert_eq!(refused.unwrap_err(), ClientError::RecordBeyondHead { id, size: TreeSize::EMPTY });
    // An empty tree with a root of its own: no tree.
    let odd = signer().sign(&format!("go.sum database tree\n0\n{}\n", Hash([7; 32]))).unwrap();
    let refused = look_up(&mut lookup_of(0, None), |_, _| Some(answer(0, record(0), odd.as_bytes())));
    assert_eq!(refused.unwrap_err(), ClientError::BadHead(HeadError::Malformed));
}

#[test]
fn log_that_was_empty_when_first_seen_may_grow() {
    let outcome = look_up(&mut lookup_of(5, Some(head(0))), |path, _| honest(path, size(300))).unwrap();
    assert_eq!(outcome.head, head(300));
}

#[test]
fn corrupt_saved_head() {
    let saved = LOG.sign_head(size(300), &signer()).unwrap();
    for at in 0..saved.len() {
        let mut corrupt = saved.clone().into_bytes();
        corrupt[at] ^= 1;
        assert!(SignedHead::open(&corrupt, &signer().verifier()).is_err(), "byte {at}");
    }
    // A head that is sound but was saved under another key never becomes the known one.
    let other = SignerKey::from_seed("other.example.org", [9; 32]).unwrap();
    let known =
        SignedHead::open(LOG.sign_head(size(300), &other).unwrap().as_bytes(), &other.verifier()).unwrap();
    let refused = look_up(&mut lookup_of(5, Some(known.clone())), |_, _| panic!("nothing is fetched"));
    assert_eq!(refused.unwrap_err(), ClientError::SavedHead(HeadError::Note(NoteError::Unverified)));
    let mut check = Head::new(signer().verifier(), Some(known), saved.as_bytes());
    let refused = check_head(&mut check, |_, _| panic!("nothing is fetched"));
    assert_eq!(refused.unwrap_err(), ClientError::SavedHead(HeadError::Note(NoteError::Unverified)));
}

/// What the record says and what the client makes of it.
fn prove_in(text: &str) -> Result<modkeep_tlog::ProvenRecord, ClientError> {
    let mut log = TreeBuilder::new();
    log.append(record(0));
    let id = log.append(RecordText::parse(text.as_bytes()).unwrap());
    log.append(record(2));
    let mut lookup = Lookup::new(signer().verifier(), None, "example.com/m", "v1.5.0");
    look_up(&mut lookup, |path, _| match Tile::parse(path) {
        Ok(tile) => log.tile(&tile, log.size()),
        Err(_) => log.lookup(id, log.size(), &signer()),
    })
    .map(|outcome| outcome.record)
}

#[test]
fn record_with_one_of_its_two_lines() {
    let (one, two) = (Hash([1; 32]), Hash([2; 32]));
    let zip = format!("example.com/m v1.5.0 h1:{one}\n");
    let go_mod = format!("example.com/m v1.5.0/go.mod h1:{two}\n");
    for (text, zip_h1, go_mod_h1) in [
        (format!("{zip}{go_mod}"), Some(one.0), Some(two.0)),
        (zip.clone(), Some(one.0), None),
        (go_mod.clone(), None, Some(two.0)),
        (format!("{zip}{zip}"), Some(one.0), None),
        (format!("a line of next year\n{go_mod}{zip}"), Some(one.0), Some(two.0)),
    ] {
        let record = prove_in(&text).unwrap();
        assert_eq!((record.zip_h1(), record.go_mod_h1()), (zip_h1, go_mod_h1), "{text}");
        assert_eq!(record.text(), text);
    }
    let contradiction = prove_in(&format!("{zip}example.com/m v1.5.0 h1:{two}\n"));
    assert!(matches!(contradiction, Err(ClientError::Contradiction { .. })), "{contradiction:?}");
}

#[test]
fn neighbour_versions_and_modules_say_nothing() {
    let sum = Hash([1; 32]);
    for line in [
        format!("example.com/m v1.5.0-x h1:{sum}"),
        format!("example.com/m v1.5.0-x/go.mod h1:{sum}"),
        format!("example.com/m v1.5.0+incompatible h1:{sum}"),
        format!("example.com/m v1.5.01 h1:{sum}"),
        format!("example.com/m v1.5.0/go.modx h1:{sum}"),
        format!("example.com/m/v2 v1.5.0 h1:{sum}"),
        format!("example.com/M v1.5.0 h1:{sum}"),
        format!(" example.com/m v1.5.0 h1:{sum}"),
        format!("example.com/m v1.5.0 h1:{sum} "),
        format!("example.com/m v1.5.0  h1:{sum}"),
        format!("example.com/m v1.5.0 h2:{sum}"),
        format!("example.com/m v1.5.0 h1:{sum}x"),
    ] {
        let refused = prove_in(&format!("{line}\n"));
        assert!(matches!(refused, Err(ClientError::MissingLine { .. })), "{line}: {refused:?}");
    }
}

#[test]
fn names_that_are_none_ask_nothing() {
    for (module, version) in
        [("example.com/m?x", "v1.0.0"), ("example.com/../m", "v1.0.0"), ("example.com/m", "master")]
    {
        let mut lookup = Lookup::new(signer().verifier(), None, module, version);
        let refused = look_up(&mut lookup, |_, _| panic!("nothing is fetched"));
        assert!(matches!(refused, Err(ClientError::BadName(_))), "{module} {version}");
    }
}

#[test]
fn relayed_tiles_are_authenticated() {
    let known = head(LARGE);
    for path in [
        "tile/8/0/000",
        "tile/8/0/000.p/100", // the width of an older head
        "tile/8/0/273.p/112",
        "tile/8/0/273.p/1",
        "tile/8/1/000",
        "tile/8/1/001.p/17",
        "tile/8/2/000.p/1",
        "tile/8/data/000",
        "tile/8/data/000.p/100",
        "tile/8/data/273.p/112",
        "tile/8/data/273.p/7",
    ] {
        let tile = Tile::parse(path).unwrap();
        let serve = |tile: &Tile| LOG.tile(tile, size(LARGE));
        let mut asked = Vec::new();
        let checked = check_tile(&mut TileCheck::new(known.clone(), tile), |tile, _| {
            asked.push(*tile);
            serve(tile)
        });
        assert_eq!(Some(checked.unwrap().bytes), serve(&tile), "{path}");
        for flipped in asked {
            let refused = check_tile(&mut TileCheck::new(known.clone(), tile), |tile, _| {
                let mut bytes = serve(tile)?;
                bytes[17] ^= u8::from(*tile == flipped);
                Some(bytes)
            });
            assert!(matches!(refused, Err(ClientError::InconsistentTile(_))), "{path}: {}", flipped.path());
        }
    }
    for path in
        ["tile/8/0/273.p/113", "tile/8/0/273", "tile/8/0/274.p/1", "tile/8/3/000.p/1", "tile/8/data/274.p/1"]
    {
        let mut check = TileCheck::new(known.clone(), Tile::parse(path).unwrap());
        let refused = check_tile(&mut check, |_, _| panic!("nothing is fetched"));
        assert!(matches!(refused, Err(ClientError::TileBeyondHead { .. })), "{path}");
    }
}

#[test]
fn partial_tiles_may_be_gone_once_the_full_ones_exist() {
    // The log has grown to 70,000 since the head of 300, and keeps only full tiles.
    let only_full = |tile: &Tile| LOG.tile(tile, size(LARGE)).filter(|_| tile.is_full());
    let outcome = look_up(&mut lookup_of(5, None), |path, _| match Tile::parse(path) {
        Ok(tile) => only_full(&tile),
        Err(_) => honest(path, size(300)),
    })
    .unwrap();
    // What is kept is what the head proves: the part that the smaller tree has.
    for (tile, bytes) in &outcome.tiles {
        assert_eq!(Some(bytes), LOG.tile(tile, size(300)).as_ref(), "{}", tile.path());
    }
    for path in ["tile/8/0/001.p/44", "tile/8/data/001.p/44"] {
        let tile = Tile::parse(path).unwrap();
        let checked = check_tile(&mut TileCheck::new(head(300), tile), |tile, _| only_full(tile)).unwrap();
        assert_eq!(Some(checked.bytes), LOG.tile(&tile, size(300)));
    }
    let refused = look_up(&mut lookup_of(5, None), |path, _| match Tile::parse(path) {
        Ok(_) => None,
        Err(_) => honest(path, size(300)),
    });
    assert!(matches!(refused, Err(ClientError::MissingTile(_))), "{refused:?}");
}

#[test]
fn keys_that_name_no_place() {
    for (name, plain) in [
        ("sum.golang.org", true),
        ("sums.example.org/corp", true),
        ("../up", false),
        ("sum.golang.org/..", false),
        ("sum.golang.org/", false),
        ("/sum.golang.org", false),
        ("sum.golang.org:443", false),
        ("user@sum.golang.org", false),
        ("sum.golang.org?x", false),
        ("a//b", false),
        (r"a\b", false),
        (".hidden", false),
    ] {
        let key: VerifierKey = SignerKey::from_seed(name, [3; 32]).unwrap().verifier();
        assert_eq!(key.names_a_place(), plain, "{name}");
    }
}
