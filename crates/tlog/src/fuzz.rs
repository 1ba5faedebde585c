//! One function per parser that meets foreign bytes, for fuzzers and for the property tests.
//!
//! Each must return for any input, and what a parser accepts must be written back in the same bytes.
#![expect(clippy::missing_panics_doc, reason = "a panic is how these functions report")]

use alloc::vec::Vec;
use core::str;

use crate::{
    hash::Hash,
    head::TreeHead,
    lookup::LookupPath,
    note::{Note, SignerKey, VerifierKey},
    record::{GoSumRecord, LookupAnswer, RecordText, read_data_tile, write_data_tile},
    tile::Tile,
};

/// Feeds a parser; panics when it misbehaves.
pub type Feed = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Feed); 9] = [
    ("data_tile", data_tile),
    ("hash", hash),
    ("head", head),
    ("key", key),
    ("lookup_answer", lookup_answer),
    ("lookup_path", lookup_path),
    ("note", note),
    ("record", record),
    ("tile_path", tile_path),
];

/// [`read_data_tile`], whose first input byte is the width.
pub fn data_tile(bytes: &[u8]) {
    let Some((width, tile)) = bytes.split_first() else { return };
    if let Ok(texts) = read_data_tile(tile, u32::from(*width)) {
        let written = write_data_tile(&texts);
        assert!(written == tile || [&written, &b"\n"[..]].concat() == tile);
    }
}

/// [`Hash`] from its text.
pub fn hash(bytes: &[u8]) {
    if let Some((text, Ok(hash))) = text(bytes).map(|text| (text, text.parse::<Hash>())) {
        assert_eq!(alloc::format!("{hash}"), text);
    }
}

/// [`TreeHead`] from its text.
pub fn head(bytes: &[u8]) {
    if let Some((text, Ok(head))) = text(bytes).map(|text| (text, TreeHead::parse(text))) {
        assert!(text.starts_with(&head.to_text()));
    }
}

/// [`VerifierKey`] and [`SignerKey`] from their texts.
pub fn key(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(alloc::format!("{key}"), text);
    }
    if let Ok(key) = SignerKey::parse(text) {
        assert_eq!(key.to_text(), text);
    }
}

/// [`LookupAnswer`].
pub fn lookup_answer(bytes: &[u8]) {
    if let Ok(answer) = LookupAnswer::parse(bytes) {
        assert_eq!(answer.to_bytes(), bytes);
    }
}

/// [`LookupPath`] from its text.
pub fn lookup_path(bytes: &[u8]) {
    if let Some((text, Ok(name))) = text(bytes).map(|text| (text, LookupPath::parse(text))) {
        assert_eq!(name.path(), text);
    }
}

/// [`Note`], opened with a key that has signed nothing.
pub fn note(bytes: &[u8]) {
    let keys: Vec<VerifierKey> =
        SignerKey::from_seed("fuzz", [1; 32]).iter().map(SignerKey::verifier).collect();
    assert!(Note::open(bytes, &keys).is_err());
}

/// [`RecordText`], and [`GoSumRecord`] out of it.
pub fn record(bytes: &[u8]) {
    let Ok(text) = RecordText::parse(bytes) else { return };
    assert_eq!(text.as_str().as_bytes(), bytes);
    if let Ok(record) = GoSumRecord::parse(&text) {
        assert_eq!(record.to_text(), Ok(text));
    }
}

/// [`Tile`] from its path.
pub fn tile_path(bytes: &[u8]) {
    if let Some((text, Ok(tile))) = text(bytes).map(|text| (text, Tile::parse(text))) {
        assert_eq!(tile.path(), text);
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use proptest::prelude::*;

    use super::*;

    /// One good input per parser, from which the property test makes nearly good ones.
    fn seeds() -> Vec<(Feed, Vec<u8>)> {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let record =
            alloc::format!("example.com/m v1.0.0 h1:{root}\nexample.com/m v1.0.0/go.mod h1:{root}\n");
        let signer = SignerKey::from_seed("sums.example.org", [2; 32]).expect("a good name");
        let tree = alloc::format!("go.sum database tree\n0\n{root}\n");
        let head_note = signer.sign(&tree).expect("a good text");
        let texts: [(Feed, String); 11] = [
            (data_tile, alloc::format!("\x02{record}\n{record}")),
            (hash, root.to_string()),
            (head, tree),
            (key, signer.verifier().to_string()),
            (key, signer.to_text()),
            (lookup_answer, alloc::format!("17\n{record}\n{head_note}")),
            (lookup_path, "lookup/github.com/!burnt!sushi/toml@v1.2.0-!r!c1+incompatible".to_string()),
            (note, head_note),
            (super::record, record),
            (tile_path, "tile/8/0/x001/x234/067.p/7".to_string()),
            (tile_path, "tile/8/data/999".to_string()),
        ];
        texts.map(|(feed, text)| (feed, text.into_bytes())).into()
    }

    #[test]
    fn good_inputs_pass() {
        for (feed, input) in seeds() {
            feed(&input);
        }
    }

    proptest! {
        #[test]
        fn no_input_breaks_a_parser(input in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, feed) in ALL {
                feed(&input);
            }
        }

        #[test]
        fn no_nearly_good_input_breaks_a_parser(
            seed in 0..seeds().len(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..4),
        ) {
            let (feed, mut input) = seeds().swap_remove(seed);
            for (at, edit, byte) in edits {
                let at = at.index(input.len().max(1));
                match edit {
                    0 if !input.is_empty() => input[at] = byte,
                    1 if !input.is_empty() => drop(input.remove(at)),
                    2 => input.insert(at, byte),
                    _ => input = [input.as_slice(), input.get(at..).unwrap_or_default()].concat(),
                }
            }
            feed(&input);
        }
    }
}
