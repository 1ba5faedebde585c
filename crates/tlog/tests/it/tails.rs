//! The tail that grows a tree, and the judge that computes the root again: each agrees with the whole tree.

use std::collections::BTreeMap;

use modkeep_tlog::{
    Hash, Tail, Tile, TreeHead, TreeSize,
    recompute::{self, RecomputeError},
    tile::{new_tiles, tiles_of},
};
use proptest::prelude::*;

use crate::driver::{LARGE, LOG, record, size};

/// Sizes at which rows begin, fill and overflow.
fn sizes() -> Vec<u64> {
    let mut sizes: Vec<u64> = (0..=20).chain([100, 300, 65_000, LARGE - 1, LARGE]).collect();
    for edge in [256, 512, 1024, 65_280, 65_536, 65_792] {
        sizes.extend(edge - 2..=edge + 2);
    }
    sizes
}

fn any_size() -> impl Strategy<Value = u64> {
    prop_oneof![0..600_u64, 65_000..66_000_u64, 0..=LARGE, prop::sample::select(sizes())]
}

fn head(records: u64) -> TreeHead {
    LOG.head(size(records)).unwrap()
}

fn tail(records: u64) -> Tail {
    Tail::open(size(records), |tile| LOG.tile(tile, size(LARGE))).unwrap()
}

#[test]
fn tail_of_any_size_has_the_root_and_the_edge() {
    for records in sizes() {
        let tail = tail(records);
        assert_eq!(tail.head(), head(records), "{records}");
        assert_eq!(tail.edge().len(), records.count_ones() as usize, "{records}");
        for (tile, bytes) in tail.partial_tiles() {
            assert_eq!(Some(bytes.to_vec()), LOG.tile(&tile, size(records)), "{records}: {}", tile.path());
        }
        assert_eq!(
            recompute::root(size(records), |tile| LOG.tile(tile, size(records))),
            Ok(head(records).root)
        );
    }
}

/// Grows a tail and hands in what was published: the tiles that were completed, and those that are partial at the end.
fn grow(tail: &mut Tail, to: u64) -> BTreeMap<Tile, Vec<u8>> {
    let mut tiles = BTreeMap::new();
    for id in tail.size().get()..to {
        let appended = tail.append(record(id).leaf_hash(), |tile, bytes| {
            assert_eq!(tiles.insert(tile, bytes.to_vec()), None, "each full tile once");
        });
        assert_eq!(appended.unwrap().get(), id);
    }
    tiles.extend(tail.partial_tiles().map(|(tile, bytes)| (tile, bytes.to_vec())));
    tiles
}

#[test]
fn tail_grown_from_nothing_makes_every_tile() {
    let mut tail = Tail::empty();
    let tiles = grow(&mut tail, LARGE);
    assert_eq!(tail.head(), head(LARGE));
    assert_eq!(tiles.keys().copied().collect::<Vec<_>>(), {
        let mut all: Vec<Tile> = tiles_of(size(LARGE)).collect();
        all.sort();
        all
    });
    assert!(tiles.iter().all(|(tile, bytes)| LOG.tile(tile, size(LARGE)).as_ref() == Some(bytes)));
}

#[test]
fn tail_does_not_open_on_tiles_of_another_length() {
    for broken in Tail::tiles(size(LARGE)) {
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
            |bytes: &mut Vec<u8>| bytes.push(0),
            Vec::clear,
        ] {
            let refused = Tail::open(size(LARGE), |tile| {
                let mut bytes = LOG.tile(tile, size(LARGE))?;
                if *tile == broken {
                    change(&mut bytes);
                }
                Some(bytes)
            });
            assert_eq!(refused.unwrap_err().0, broken);
        }
        let refused = Tail::open(size(LARGE), |tile| LOG.tile(tile, size(LARGE)).filter(|_| *tile != broken));
        assert_eq!(refused.unwrap_err().0, broken);
    }
}

/// What was read back, all of it in memory; the data tiles are the log's.
fn read_back(tree: TreeSize) -> impl FnMut(&Tile) -> Option<Vec<u8>> {
    move |tile| LOG.tile(tile, tree)
}

#[test]
fn growth_around_the_edges_of_rows_is_recomputed() {
    for new in sizes() {
        for old in
            [0, 1, new / 2, new.saturating_sub(300), new.saturating_sub(256), new.saturating_sub(1), new]
        {
            let old = old.min(new);
            assert_eq!(
                recompute::growth(head(old), size(new), read_back(size(new))),
                Ok(head(new).root),
                "{old} to {new}"
            );
        }
    }
}

#[test]
fn growth_reads_what_was_written_and_the_edge_each_once() {
    for (old, new) in [(0, 1), (255, 256), (256, 257), (300, 900), (65_535, 65_537), (LARGE, LARGE)] {
        let mut read = Vec::new();
        recompute::growth(head(old), size(new), |tile| {
            read.push(*tile);
            LOG.tile(tile, size(new))
        })
        .unwrap();
        let (count, edge): (_, Vec<Tile>) = (read.len(), Tail::tiles(size(new)).collect());
        read.sort();
        read.dedup();
        assert_eq!(read.len(), count, "{old} to {new}: a tile twice");
        for tile in new_tiles(size(old), size(new)) {
            assert!(read.contains(&tile), "{old} to {new}: {}", tile.path());
        }
        let needed = |tile: &Tile| {
            tile.is_data() || edge.contains(tile) || new_tiles(size(old), size(new)).any(|new| new == *tile)
        };
        assert!(read.iter().all(needed), "{old} to {new}: {read:?}");
    }
}

#[test]
fn growth_finds_who_is_wrong() {
    let (old, new) = (300, 1000);
    let judge = |wrong: &str, change: &dyn Fn(&mut Vec<u8>)| {
        recompute::growth(head(old), size(new), |tile| {
            let mut bytes = LOG.tile(tile, size(new))?;
            if tile.path() == wrong {
                change(&mut bytes);
            }
            Some(bytes)
        })
    };
    let tile = |path| Tile::parse(path).unwrap();
    let id = |id| crate::vectors::id(id);
    let flip = |bytes: &mut Vec<u8>| bytes[32 * 9] ^= 1;
    assert_eq!(judge("none", &flip), Ok(head(new).root));
    // A bit of a text, of a leaf, of a node; a text too many; another length; nothing.
    let text = |bytes: &mut Vec<u8>| bytes[3] ^= 1;
    assert_eq!(judge("tile/8/data/002", &text), Err(RecomputeError::Leaf(id(512))));
    assert_eq!(judge("tile/8/0/002", &flip), Err(RecomputeError::Leaf(id(512 + 9))));
    assert_eq!(judge("tile/8/0/003.p/232", &flip), Err(RecomputeError::Leaf(id(768 + 9))));
    let flip_second = |bytes: &mut Vec<u8>| bytes[32] ^= 1;
    assert_eq!(judge("tile/8/1/000.p/3", &flip_second), Err(RecomputeError::Entry(tile("tile/8/0/001"))));
    // The first entry of that row is older than the growth, and shows in the old root.
    let flip_first = |bytes: &mut Vec<u8>| bytes[0] ^= 1;
    assert_eq!(judge("tile/8/1/000.p/3", &flip_first), Err(RecomputeError::Old(size(old))));
    let longer = |bytes: &mut Vec<u8>| bytes.extend_from_slice(b"\nx\n");
    assert_eq!(judge("tile/8/data/002", &longer), Err(RecomputeError::Records(tile("tile/8/data/002"))));
    for path in ["tile/8/0/002", "tile/8/0/003.p/232", "tile/8/1/000.p/3"] {
        let refused = judge(path, &|bytes| bytes.truncate(31));
        assert_eq!(refused, Err(RecomputeError::Missing(tile(path))));
        let refused = judge(path, &Vec::clear);
        assert_eq!(refused, Err(RecomputeError::Missing(tile(path))));
    }
    let other = TreeHead { root: Hash([7; 32]), ..head(old) };
    let refused = recompute::growth(other, size(new), read_back(size(new)));
    assert_eq!(refused, Err(RecomputeError::Old(size(old))));
    let refused = recompute::growth(head(new), size(old), read_back(size(new)));
    assert_eq!(refused, Err(RecomputeError::Shrunk));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two ways to build, one whole tree in memory to compare with.
    #[test]
    fn any_growth_of_a_tail_makes_the_tiles_and_the_root(from in any_size(), by in 0..2000_u64) {
        let to = (from + by).min(LARGE);
        let mut tail = tail(from);
        let tiles = grow(&mut tail, to);
        prop_assert_eq!(tail.edge(), self::tail(to).edge());
        prop_assert_eq!(tail.head(), head(to));
        for tile in new_tiles(size(from), size(to)) {
            prop_assert_eq!(tiles.get(&tile).cloned(), LOG.tile(&tile, size(to)), "{}", tile.path());
        }
        let read = |tile: &Tile| tiles.get(tile).cloned().or_else(|| LOG.tile(tile, size(to)));
        prop_assert_eq!(recompute::growth(head(from), size(to), read), Ok(tail.root()));
    }

    /// Whatever byte of whatever was read back is changed, there is no root to sign.
    #[test]
    fn any_flipped_byte_in_what_was_written_is_found(
        from in any_size(),
        by in 1..600_u64,
        which in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let to = (from + by).min(LARGE);
        prop_assume!(from < to);
        let mut read = Vec::new();
        recompute::growth(head(from), size(to), |tile| {
            read.push(*tile);
            LOG.tile(tile, size(to))
        })
        .unwrap();
        let wrong = read[which.index(read.len())];
        let found = recompute::growth(head(from), size(to), |tile| {
            let mut bytes = LOG.tile(tile, size(to))?;
            if *tile == wrong {
                let at = byte.index(bytes.len());
                bytes[at] ^= flip;
            }
            Some(bytes)
        });
        prop_assert!(found.is_err(), "{} of {} to {}: {:?}", wrong.path(), from, to, found);
    }
}
