//! Heads as they are published.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use modkeep_store::StoredHead;
use modkeep_tlog::{Hash, RecordId, TreeHead, TreeSize};

use crate::config::HeadAlign;

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

impl Head {
    /// Size and root.
    pub fn tree(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }

    pub(crate) fn to_stored(&self) -> StoredHead {
        StoredHead {
            size: self.size,
            root: self.root,
            note: self.note.to_vec(),
            checkpoint: self.checkpoint.to_vec(),
            signed_at: self.signed_at,
        }
    }
}

impl From<StoredHead> for Head {
    fn from(stored: StoredHead) -> Self {
        Self {
            size: stored.size,
            root: stored.root,
            note: stored.note.into(),
            checkpoint: stored.checkpoint.into(),
            signed_at: stored.signed_at,
        }
    }
}

/// What readers see: one moment of the log, replaced as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) latest: Arc<Head>,
    /// The newest whose size is a multiple of 256.
    pub(crate) aligned: Option<Arc<Head>>,
    /// The partial hash tiles of the newest head, by level; empty where the level has none.
    pub(crate) edge: Vec<Bytes>,
    /// The newest checkpoint that witnesses have cosigned, and its size.
    pub(crate) cosigned: Option<(TreeSize, Bytes)>,
}

impl Published {
    /// A head with the edge that was stored beside it.
    pub(crate) fn alone(head: Head, edge: Vec<Vec<u8>>) -> Self {
        let edge = edge.into_iter().map(Bytes::from).collect();
        Self { latest: Arc::new(head), aligned: None, edge, cosigned: None }
    }

    pub(crate) fn size(&self) -> TreeSize {
        self.latest.size
    }

    /// The head that goes with the record's lookup; `None` when no published one covers it (C5).
    pub(crate) fn head_for(&self, id: RecordId, align: HeadAlign) -> Option<&Arc<Head>> {
        let aligned = self.aligned.as_ref().filter(|_| align == HeadAlign::Tile);
        let covers = |head: &&Arc<Head>| head.size.contains(id);
        aligned.filter(covers).or(Some(&self.latest).filter(covers))
    }

    /// The newest checkpoint to show: of the newest head, with its cosignatures where there are any.
    pub(crate) fn checkpoint(&self) -> Bytes {
        match &self.cosigned {
            Some((size, cosigned)) if *size == self.latest.size => cosigned.clone(),
            _ => self.latest.checkpoint.clone(),
        }
    }
}

/// Hashes in the open tiles by level, as they are stored beside a head.
pub(crate) fn edge_of(tail: &modkeep_tlog::Tail) -> Vec<Vec<u8>> {
    let mut edge: Vec<Vec<u8>> = Vec::new();
    for (tile, bytes) in tail.partial_tiles() {
        let level = tile.level().map_or(0, |level| usize::from(level.get()));
        edge.resize(level.max(edge.len()), Vec::new());
        edge.push(bytes.to_vec());
    }
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64) -> Arc<Head> {
        let size = TreeSize::new(size).unwrap();
        let (note, checkpoint) = (Bytes::from(format!("note {size}")), Bytes::from(format!("plain {size}")));
        Arc::new(Head { size, root: Hash([0; 32]), note, checkpoint, signed_at: SystemTime::UNIX_EPOCH })
    }

    #[test]
    fn c5_the_aligned_head_goes_with_the_records_it_covers() {
        let published =
            Published { latest: head(600), aligned: Some(head(512)), edge: Vec::new(), cosigned: None };
        for (id, align, size) in [
            (0, HeadAlign::Tile, Some(512)),
            (511, HeadAlign::Tile, Some(512)),
            (512, HeadAlign::Tile, Some(600)),
            (599, HeadAlign::Tile, Some(600)),
            (600, HeadAlign::Tile, None),
            (0, HeadAlign::Newest, Some(600)),
            (600, HeadAlign::Newest, None),
        ] {
            let sent = published.head_for(RecordId::new(id).unwrap(), align).map(|head| head.size.get());
            assert_eq!(sent, size, "{id} {align:?}");
        }
    }

    #[test]
    fn b3_a_checkpoint_is_shown_with_cosignatures_only_at_their_size() {
        let mut published = Published { latest: head(600), aligned: None, edge: Vec::new(), cosigned: None };
        assert_eq!(published.checkpoint(), "plain 600");
        published.cosigned = TreeSize::new(512).map(|size| (size, "cosigned 512".into()));
        assert_eq!(published.checkpoint(), "plain 600");
        published.cosigned = TreeSize::new(600).map(|size| (size, "cosigned 600".into()));
        assert_eq!(published.checkpoint(), "cosigned 600");
    }
}
