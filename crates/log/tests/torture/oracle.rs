//! What the log of the first records is, computed from their texts.

use modkeep_log::Log;
use modkeep_tlog::{Hash, RecordText, SignedHead, Tail};

use crate::support::{record, vkey};

pub(crate) struct Oracle {
    pub(crate) texts: Vec<RecordText>,
    /// By size.
    roots: Vec<Hash>,
}

impl Oracle {
    /// Of the records before `count`, in their order.
    pub(crate) fn new(count: u64) -> Self {
        let texts: Vec<RecordText> = (0..count).map(|i| record(i).record.to_text().unwrap()).collect();
        let mut tail = Tail::empty();
        let mut roots = vec![tail.root()];
        for text in &texts {
            tail.append(text.leaf_hash(), |_, _| ()).unwrap();
            roots.push(tail.root());
        }
        Self { texts, roots }
    }

    /// The size of a head that is signed and of this tree.
    pub(crate) fn believes(&self, note: &[u8], context: &str) -> u64 {
        let head = SignedHead::open(note, &vkey()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let size = head.size().get();
        let root = usize::try_from(size).ok().and_then(|size| self.roots.get(size));
        assert_eq!(root, Some(&head.root()), "{context}: another tree at size {size}");
        size
    }

    /// Asserts that an answer to a lookup is that of the `i`-th record, under a head of this tree.
    pub(crate) fn assert_answer(&self, i: u64, answer: &[u8], context: &str) {
        let lines = format!("{i}\n{}\n", self.texts[usize::try_from(i).unwrap()].as_str());
        let note = answer.strip_prefix(lines.as_bytes());
        let note = note.unwrap_or_else(|| panic!("{context}: record {i} is answered wrongly"));
        assert!(self.believes(note, context) > i, "{context}: record {i} is not covered by its head");
    }

    /// Asserts that the log answers for the `i`-th record, and rightly.
    pub(crate) fn assert_found(&self, log: &Log, i: u64, context: &str) {
        let (module, version) = crate::support::module(i);
        let answer = log.lookup(&module, &version).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.assert_answer(i, &answer.unwrap_or_else(|| panic!("{context}: record {i} is lost")), context);
    }
}

/// A small deterministic source of choices (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap() % bound.max(1)
    }
}
