//! Heads that others have seen, compared with the history that we know: what finds a log that shows each of two people
//! a history of their own. Spec D, `audit gossip`.

use alloc::{format, string::String, vec::Vec};

use crate::{
    hash::{Hash, TreeSize},
    head::TreeHead,
};

/// What somebody else's head is to the history that we know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Comparison {
    /// A head of the same history.
    Consistent {
        /// The head that was brought.
        theirs: TreeHead,
        /// The newest of ours.
        ours: TreeHead,
    },
    /// Signed, and larger than any head that we know: nothing can be said yet.
    UnknownFuture {
        /// The head that was brought.
        theirs: TreeHead,
        /// The newest of ours.
        ours: TreeHead,
    },
    /// The two cannot both be true.
    Inconsistent {
        /// The head that was brought.
        theirs: TreeHead,
        /// The newest of ours.
        ours: TreeHead,
        /// Both notes and the proof, for people and files: see [`evidence`].
        evidence: String,
    },
    /// No head that the log's key has signed, so it says nothing about the log: anybody can write one.
    NotOurs {
        /// What it is instead.
        why: String,
    },
}

impl Comparison {
    /// One word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Consistent { .. } => "consistent",
            Self::UnknownFuture { .. } => "unknown-future",
            Self::Inconsistent { .. } => "inconsistent",
            Self::NotOurs { .. } => "not-ours",
        }
    }

    /// The head that was brought and the newest of ours, where the first is one.
    pub fn heads(&self) -> Option<(TreeHead, TreeHead)> {
        match self {
            Self::Consistent { theirs, ours }
            | Self::UnknownFuture { theirs, ours }
            | Self::Inconsistent { theirs, ours, .. } => Some((*theirs, *ours)),
            Self::NotOurs { .. } => None,
        }
    }
}

/// Two signed notes of one log that contradict each other, and the consistency proof from the smaller size to the larger
/// that does not lead from the one root to the other: a text to publish.
pub fn evidence(known: (TreeSize, &[u8]), new: (TreeSize, &[u8]), proof: &[Hash]) -> String {
    let proof: Vec<String> = proof.iter().map(|hash| format!("{hash}")).collect();
    format!(
        "checksum database misbehaviour: two signed tree heads contradict each other\n\n\
         old head, size {}:\n\n{}\nnew head, size {}:\n\n{}\n\
         proof of misbehaviour, from the smaller size to the larger (RFC 6962 consistency proof):\n\n{}\n",
        known.0,
        String::from_utf8_lossy(known.1),
        new.0,
        String::from_utf8_lossy(new.1),
        proof.join("\n"),
    )
}
