//! Transparency log words: hashes, tiles, proofs, signed notes, heads, records and the verifying client.
//!
//! No input, no output, no clock, no allocation beyond what an answer needs. Spec: `docs/spec/checksum-database.md`.
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod builder;
pub mod client;
pub mod hash;
pub mod head;
pub mod note;
pub mod proof;
pub mod record;
pub mod tile;

pub use builder::TreeBuilder;
pub use client::{ClientError, Outcome, ProvenRecord, Step};
pub use hash::{Hash, RecordId, TreeSize, empty_root, leaf_hash, node_hash};
pub use head::{SignedHead, TreeHead};
pub use note::{Note, SignerKey, VerifierKey};
pub use record::{GoSumRecord, LookupAnswer, RecordText};
pub use tile::{Level, Tile};
