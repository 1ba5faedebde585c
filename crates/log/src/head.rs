//! Heads as they are published.

use bytes::Bytes;
use modkeep_tlog::{Hash, TreeSize};
use std::time::SystemTime;

/// A head that is durable and public: a promise (C1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// How many records it covers.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// The go.sum note, signed: what `latest` and lookups carry (A5).
    pub note: Bytes,
    /// The same size and root under the log's own origin line, signed by the same keys (B1). Cosignatures of witnesses
    /// are not on it: see [`Log::checkpoint`](crate::Log::checkpoint).
    pub checkpoint: Bytes,
    /// When it was signed, by our wall clock.
    pub signed_at: SystemTime,
}
