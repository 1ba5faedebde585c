//! Proofs of inclusion and consistency (RFC 6962, RFC 9162).

use alloc::vec::Vec;

use crate::hash::{Hash, RecordId, TreeSize};

/// The proof does not prove it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("invalid proof")]
pub struct ProofError;

/// A complete subtree: `level` 0 is a leaf, `index` counts from the left.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// Leaves below it are `2^level`.
    pub level: u8,
    /// Position among the nodes of its level.
    pub index: u64,
}

/// Where proofs take their hashes from.
pub trait NodeSource {
    /// The hash of the node, or `None` where the source does not have it.
    fn node(&self, node: Node) -> Option<Hash>;
}

/// Checks that `leaf` is record `id` of the tree `(size, root)`.
pub fn verify_inclusion(
    proof: &[Hash],
    size: TreeSize,
    root: Hash,
    id: RecordId,
    leaf: Hash,
) -> Result<(), ProofError> {
    let _ = (proof, size, root, id, leaf);
    todo!()
}
/// Checks that the tree `new` continues the tree `old`.
pub fn verify_consistency(
    proof: &[Hash],
    old: (TreeSize, Hash),
    new: (TreeSize, Hash),
) -> Result<(), ProofError> {
    let _ = (proof, old, new);
    todo!()
}
/// The inclusion proof; `None` if the source lacks a node or the tree lacks the record.
pub fn prove_inclusion(nodes: &impl NodeSource, size: TreeSize, id: RecordId) -> Option<Vec<Hash>> {
    let _ = (nodes, size, id);
    todo!()
}
/// The consistency proof; `None` if the source lacks a node or `old > new`.
pub fn prove_consistency(nodes: &impl NodeSource, old: TreeSize, new: TreeSize) -> Option<Vec<Hash>> {
    let _ = (nodes, old, new);
    todo!()
}
