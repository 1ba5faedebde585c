//! What holds for every tree, every byte and every path.

use modkeep_tlog::{
    Level, RecordId, SignedHead, Tile,
    client::{Head, Lookup},
    proof::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion},
};
use proptest::prelude::*;

use crate::driver::{LARGE, LOG, check_head, honest, look_up, name, record, signer, size};

/// Two sizes, the smaller first: half of the cases small, where every shape occurs, half anywhere.
fn growth() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![(0..300_u64, 0..300_u64), (0..=LARGE, 0..=LARGE)].prop_map(|(a, b)| (a.min(b), a.max(b)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_growth_of_a_tree_proves_consistent((old, new) in growth(), at in any::<prop::sample::Index>()) {
        let root = |tree| LOG.head(size(tree)).unwrap().root;
        let mut proof = prove_consistency(&*LOG, size(old), size(new)).unwrap();
        prop_assert_eq!(verify_consistency(&proof, (size(old), root(old)), (size(new), root(new))), Ok(()));
        if !proof.is_empty() {
            let at = at.index(proof.len());
            proof[at].0[0] ^= 1;
            prop_assert!(verify_consistency(&proof, (size(old), root(old)), (size(new), root(new))).is_err());
        }
        if old < new {
            prop_assert!(verify_consistency(&proof, (size(new), root(new)), (size(old), root(old))).is_err());
        }
    }

    #[test]
    fn any_growth_satisfies_a_client_that_knew_the_smaller_tree((old, new) in growth()) {
        let key = signer().verifier();
        let note = |tree| LOG.sign_head(size(tree), &signer()).unwrap();
        for (known, candidate) in [(old, new), (new, old)] {
            let known = SignedHead::open(note(known).as_bytes(), &key).unwrap();
            let mut check = Head::new(key.clone(), Some(known), note(candidate).as_bytes());
            let outcome = check_head(&mut check, |path, _| honest(path, size(new)));
            prop_assert_eq!(outcome.unwrap().head.size(), size(new));
        }
    }

    #[test]
    fn any_record_of_any_tree_proves_included(
        (tree, id) in prop_oneof![1..300_u64, 1..=LARGE].prop_flat_map(|tree| (Just(tree), 0..tree)),
    ) {
        let id = RecordId::new(id).unwrap();
        let root = LOG.head(size(tree)).unwrap().root;
        let proof = prove_inclusion(&*LOG, size(tree), id).unwrap();
        prop_assert_eq!(verify_inclusion(&proof, size(tree), root, id, record(id.get()).leaf_hash()), Ok(()));
        prop_assert!(verify_inclusion(&proof, size(tree), root, id, record(id.get() + 1).leaf_hash()).is_err());
    }

    /// A root belongs to one size: a proof that was right does not carry it over to another shape of tree.
    #[test]
    fn no_proof_holds_for_another_size((old, new) in (1..40_u64, 1..40_u64), claimed in 1..80_u64) {
        let (old, new) = (size(old.min(new)), size(old.max(new)));
        let (old_root, new_root) = (LOG.root(old).unwrap(), LOG.root(new).unwrap());
        let (id, claimed) = (RecordId::new(old.get() - 1).unwrap(), size(claimed));
        let (included, continued) =
            (prove_inclusion(&*LOG, new, id).unwrap(), prove_consistency(&*LOG, old, new).unwrap());
        let leaf = record(id.get()).leaf_hash();
        // Two sizes may ask for a proof of one shape; only where the way to the root differs must the proof fail.
        let way = |tree| prove_inclusion(&*LOG, tree, id).map(|proof| proof.len());
        if way(claimed) != way(new) {
            prop_assert!(verify_inclusion(&included, claimed, new_root, id, leaf).is_err());
            if old < new {
                prop_assert!(verify_consistency(&continued, (old, old_root), (claimed, new_root)).is_err());
            }
        }
    }

    #[test]
    fn any_flipped_byte_in_any_answer_is_refused(
        (tree, id) in prop_oneof![1..300_u64, 1..=LARGE].prop_flat_map(|tree| (Just(tree), 0..tree)),
        known in any::<prop::sample::Index>(),
        answer in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let key = signer().verifier();
        let known = LOG.sign_head(size(known.index(usize::try_from(tree).unwrap()) as u64), &signer()).unwrap();
        let known = SignedHead::open(known.as_bytes(), &key).unwrap();
        let (module, version) = name(id);
        let look = |flipped: Option<usize>| {
            // The second attempt asks for the same answers in the same order, and gets the same ones.
            let mut answers: Vec<String> = Vec::new();
            let mut lookup = Lookup::new(key.clone(), Some(known.clone()), &module, &version);
            let outcome = look_up(&mut lookup, |path, _| {
                let place = answers.iter().position(|answer| answer == path).unwrap_or_else(|| {
                    answers.push(path.to_owned());
                    answers.len() - 1
                });
                let mut bytes = honest(path, size(tree))?;
                if Some(place) == flipped {
                    let at = byte.index(bytes.len());
                    bytes[at] ^= flip;
                }
                Some(bytes)
            });
            (outcome, answers.len())
        };
        let (outcome, answers) = look(None);
        let proven = outcome.unwrap().record;
        prop_assert_eq!(proven.id().get(), id);
        let (head, leaf) = (proven.head(), record(id).leaf_hash());
        prop_assert!(verify_inclusion(proven.inclusion(), head.size(), head.root(), proven.id(), leaf).is_ok());
        let (outcome, _) = look(Some(answer.index(answers)));
        prop_assert!(outcome.is_err());
    }

    #[test]
    fn tile_paths_are_read_as_written(
        level in prop::option::of(0..=63_u8),
        index in prop_oneof![0..2000_u64, 0..=(i64::MAX as u64)],
        width in 1..=256_u32,
    ) {
        let tile = match level {
            Some(level) => Tile::hashes(Level::new(level).unwrap(), index, width).unwrap(),
            None => Tile::data(index, width).unwrap(),
        };
        prop_assert_eq!(Tile::parse(&tile.path()), Ok(tile));
        prop_assert_eq!(tile.path().ends_with(&format!(".p/{width}")), width != 256);
        let alias = tile.alias_path().unwrap();
        prop_assert_eq!(Tile::parse_alias(&alias), Ok(tile));
        prop_assert!(Tile::parse(&alias).is_err() && Tile::parse_alias(&tile.path()).is_err());
    }

    #[test]
    fn tile_paths_that_parse_are_in_their_one_form(
        path in r"tile/([0-9]{1,2}/)?(data|entries|[0-9]{1,3})/(x?[0-9]{1,4}/){0,3}[0-9]{2,4}(\.p/[0-9]{1,3})?",
    ) {
        if let Ok(tile) = Tile::parse(&path) {
            prop_assert_eq!(&tile.path(), &path);
        }
        if let Ok(tile) = Tile::parse_alias(&path) {
            prop_assert_eq!(tile.alias_path(), Some(path));
        }
    }
}
