//! One function per parser that meets foreign bytes, for fuzzers and for the property tests.
//!
//! Each must return for any input, and what a parser accepts must be written back in the same bytes.
#![expect(clippy::missing_panics_doc, reason = "a panic is how these functions report")]

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::str;

use crate::{
    checkpoint::{Checkpoint, GO_SUM_ORIGIN},
    cosignature::{Algorithm, WitnessKey, WitnessSigner},
    hash::{EMPTY_ROOT, Hash},
    head::TreeHead,
    log_list::{self, LOGS_MAX, LogList},
    lookup::LookupPath,
    note::{Note, SignerKey, VerifierKey},
    policy::{ENTRIES_MAX, Policy},
    proof_file::ProofFile,
    record::{
        GoSumRecord, LookupAnswer, RecordText, read_bundle, read_data_tile, texts_in, write_bundle,
        write_data_tile,
    },
    tile::{Layout, Tile},
    witness::{self, AddCheckpoint, Refusal, WitnessedLog},
};

/// Feeds a parser; panics when it misbehaves.
pub type Feed = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Feed); 14] = [
    ("add_checkpoint", add_checkpoint),
    ("checkpoint", checkpoint),
    ("data_tile", data_tile),
    ("hash", hash),
    ("head", head),
    ("key", key),
    ("log_list", log_list),
    ("lookup_answer", lookup_answer),
    ("lookup_path", lookup_path),
    ("note", note),
    ("policy", policy),
    ("proof", proof),
    ("record", record),
    ("tile_path", tile_path),
];

/// [`AddCheckpoint`], judged by a witness that trusts a key which has signed nothing; and a witness's answers.
pub fn add_checkpoint(bytes: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_text().as_bytes(), bytes);
        let log = WitnessedLog { origin: request.origin().into(), keys: strangers() };
        assert_eq!(request.authenticate(Some(&log)), Err(Refusal::BadSignature));
    }
    if let Some(size) = witness::recorded_size(bytes) {
        assert_eq!(witness::conflict_body(size).as_bytes(), bytes);
    }
    let checkpoint = Checkpoint::go_sum(TreeHead::EMPTY);
    assert!(witness::cosignatures(bytes, &checkpoint, &[]).unwrap_or_default().is_empty());
}

/// [`Checkpoint`] from its text.
pub fn checkpoint(bytes: &[u8]) {
    if let Some((text, Ok(checkpoint))) = text(bytes).map(|text| (text, Checkpoint::parse(text))) {
        assert_eq!(checkpoint.to_text(), text);
    }
}

/// [`read_data_tile`], [`read_bundle`] and [`texts_in`], whose first input byte is the width.
pub fn data_tile(bytes: &[u8]) {
    let Some((width, tile)) = bytes.split_first() else { return };
    if let Ok(texts) = read_data_tile(tile, u32::from(*width)) {
        let written = write_data_tile(&texts);
        assert!(written == tile || [&written, &b"\n"[..]].concat() == tile);
        assert!(texts_in(tile).eq(texts.iter().map(|text| text.as_str().as_bytes())));
    }
    if let Ok(texts) = read_bundle(tile, u32::from(*width)) {
        assert_eq!(write_bundle(&texts), tile);
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

/// [`VerifierKey`], [`SignerKey`], [`WitnessKey`] and [`WitnessSigner`] from their texts.
pub fn key(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(alloc::format!("{key}"), text);
    }
    if let Ok(key) = SignerKey::parse(text) {
        assert_eq!(key.to_text(), text);
    }
    if let Ok(key) = WitnessKey::parse(text) {
        assert_eq!(alloc::format!("{key}"), text);
    }
    if let Ok(key) = WitnessSigner::parse(text) {
        assert_eq!(key.to_text(), text);
    }
}

/// [`LogList`]: what of it can be written is read back as it was.
pub fn log_list(bytes: &[u8]) {
    if let Ok(list) = LogList::parse(bytes) {
        assert!(list.logs.len() <= LOGS_MAX);
        let written = LogList::parse(log_list::to_text(&list.logs).as_bytes());
        assert_eq!(written, Ok(LogList { logs: list.logs, skipped: Vec::new() }));
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
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_text().as_bytes(), bytes);
    }
    assert!(Note::open(bytes, &strangers()).is_err());
}

/// [`Policy`], which nobody has signed anything for.
pub fn policy(bytes: &[u8]) {
    if let Ok(policy) = Policy::parse(bytes) {
        assert!(policy.logs().len() <= ENTRIES_MAX && policy.witnesses().len() <= ENTRIES_MAX);
        let nobody = policy.check_quorum(&[]);
        assert!(nobody.is_ok() || !policy.witnesses().is_empty());
    }
}

/// [`ProofFile`], under a key that has signed nothing.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = ProofFile::parse(bytes) {
        assert_eq!(proof.to_text().as_bytes(), bytes);
        assert!(proof.verify_with_keys(EMPTY_ROOT, GO_SUM_ORIGIN, &strangers()).is_err());
    }
}

/// [`RecordText`], and [`GoSumRecord`] out of it.
pub fn record(bytes: &[u8]) {
    let Ok(text) = RecordText::parse(bytes) else { return };
    assert_eq!(text.as_str().as_bytes(), bytes);
    if let Ok(record) = GoSumRecord::parse(&text) {
        assert_eq!(record.to_text(), Ok(text));
    }
}

/// [`Tile`] from its path of either layout.
pub fn tile_path(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Tile::parse_either(text) {
        Ok((Layout::GoSum, tile)) => assert_eq!(tile.path(), text),
        Ok((Layout::TlogTiles, tile)) => assert_eq!(tile.alias_path().as_deref(), Some(text)),
        Err(_) => {}
    }
}

/// Good inputs, each with the number of its parser in [`ALL`]: what fuzzers and the property test begin with.
pub fn seeds() -> Vec<(usize, Vec<u8>)> {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let record = alloc::format!("example.com/m v1.0.0 h1:{root}\nexample.com/m v1.0.0/go.mod h1:{root}\n");
    let signer = SignerKey::from_seed("sums.example.org", [2; 32]).expect("a good name");
    let tree = alloc::format!("go.sum database tree\n0\n{root}\n");
    let head_note = signer.sign(&tree).expect("a good text");
    let cosigner = WitnessSigner::from_seed("w.example", Algorithm::Ed25519, [3; 32]).expect("a good name");
    let text = alloc::format!("log.example/x\n7\n{root}\nextension\n");
    let signed = signer.sign(&text).expect("a good text");
    let policy_text = alloc::format!(
        "# x\nlog {} https://x\nwitness w {}\ngroup g 1 w\nquorum g\n",
        signer.verifier(),
        cosigner.key()
    );
    let list = alloc::format!(
        "# x\nlogs/v0\n\nvkey {key}\norigin log.example/x\nqpd 24\nbastion none\ncontact who (at) log.example\n\n\
         vkey {key}\norigin none\nqpd 7\n\nvkey x\nqpd 1\n",
        key = signer.verifier()
    );
    let texts: [(&str, String); 21] = [
        ("add_checkpoint", alloc::format!("old 5\n{root}\n{root}\n\n{signed}")),
        ("add_checkpoint", "300\n".to_string()),
        ("checkpoint", text),
        ("data_tile", "\x01\0\x02x\n".to_string()),
        ("key", cosigner.key().to_string()),
        ("key", cosigner.to_text()),
        ("log_list", list),
        ("policy", policy_text),
        ("proof", alloc::format!("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 5\n{root}\n\n{signed}")),
        ("tile_path", "tile/entries/x001/234.p/7".to_string()),
        ("data_tile", alloc::format!("\x02{record}\n{record}")),
        ("hash", root.to_string()),
        ("head", tree),
        ("key", signer.verifier().to_string()),
        ("key", signer.to_text()),
        ("lookup_answer", alloc::format!("17\n{record}\n{head_note}")),
        ("lookup_path", "lookup/github.com/!burnt!sushi/toml@v1.2.0-!r!c1+incompatible".to_string()),
        ("note", head_note),
        ("record", record),
        ("tile_path", "tile/8/0/x001/x234/067.p/7".to_string()),
        ("tile_path", "tile/8/data/999".to_string()),
    ];
    let number = |parser: &str| ALL.iter().position(|(name, _)| *name == parser);
    texts.into_iter().filter_map(|(parser, text)| Some((number(parser)?, text.into_bytes()))).collect()
}

/// A key that has signed nothing.
fn strangers() -> Vec<VerifierKey> {
    SignerKey::from_seed("fuzz", [1; 32]).iter().map(SignerKey::verifier).collect()
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_inputs_pass() {
        let seeds = seeds();
        assert!(
            (0..ALL.len()).all(|number| seeds.iter().any(|(of, _)| *of == number)),
            "every parser has one"
        );
        for (number, input) in seeds {
            ALL[number].1(&input);
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
            let (number, mut input) = seeds().swap_remove(seed);
            for (at, edit, byte) in edits {
                let at = at.index(input.len().max(1));
                match edit {
                    0 if !input.is_empty() => input[at] = byte,
                    1 if !input.is_empty() => drop(input.remove(at)),
                    2 => input.insert(at, byte),
                    _ => input = [input.as_slice(), input.get(at..).unwrap_or_default()].concat(),
                }
            }
            ALL[number].1(&input);
        }
    }
}
