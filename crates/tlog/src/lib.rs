//! Transparency log words: hashes, tiles, proofs, signed notes, heads, records and the verifying client.
//!
//! No input, no output, no clock, and nothing of our own below it: `no_std` with `alloc`. Spec:
//! `docs/spec/checksum-database.md`, parts A and B.
//!
//! The life of a record, seen from a client: a [`LookupAnswer`] claims it, the tiles named by [`Step::NeedTiles`] lead
//! from it to the root of a [`SignedHead`], and what survives the comparison is a [`ProvenRecord`].
#![no_std]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod builder;
pub mod checkpoint;
pub mod client;
pub mod comparison;
pub mod cosignature;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod hash;
pub mod head;
mod key;
pub mod log_list;
pub mod lookup;
pub mod note;
pub mod policy;
pub mod proof;
pub mod proof_file;
pub mod recompute;
pub mod record;
pub mod tail;
pub mod tile;
pub mod tile_set;
mod tree;
pub mod witness;

pub use builder::TreeBuilder;
pub use checkpoint::{Checkpoint, GO_SUM_ORIGIN, SignedCheckpoint};
pub use client::{ClientError, Outcome, ProvenRecord, Step};
pub use comparison::Comparison;
pub use cosignature::{Cosignature, PosixTime, WitnessKey, WitnessSigner};
pub use hash::{Hash, RecordId, TreeSize, empty_root, leaf_hash, leaf_hashes, node_hash, node_hashes};
pub use head::{SignedHead, TreeHead};
pub use lookup::LookupPath;
pub use note::{Note, SignatureLine, SignerKey, VerifierKey};
pub use policy::Policy;
pub use proof_file::ProofFile;
pub use record::{GoSumLines, GoSumRecord, LookupAnswer, RecordText};
pub use tail::Tail;
pub use tile::{Level, Tile};
pub use tile_set::TileSet;
