//! Two heads and the tiles that reconcile them. Spec A8.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::mem;

use super::{ClientError, Fork};
use crate::{
    hash::{RecordId, TreeSize},
    head::{HeadError, SignedHead},
    note::VerifierKey,
    proof::{self, Node},
    record::{RecordText, read_data_tile},
    tile::Tile,
    tree::{Authentic, Unauthenticated, tiles_for},
};

/// Opens a saved head once more, with the key of this log: it may have been opened with another's.
pub(super) fn reopen(saved: Option<SignedHead>, key: &VerifierKey) -> Result<Option<SignedHead>, HeadError> {
    saved.map(|head| SignedHead::open(head.note(), key)).transpose()
}

/// Two signed heads, and the tiles that show whether the smaller one's tree is how the larger one's began.
#[derive(Debug)]
pub(super) struct Merge {
    known: SignedHead,
    /// The other head, when it is of another size.
    candidate: Option<SignedHead>,
    pub(super) tiles: Gathering,
}

impl Merge {
    pub(super) fn new(
        known: SignedHead,
        candidate: Option<SignedHead>,
        record: Option<RecordId>,
    ) -> Result<Self, ClientError> {
        let candidate = candidate.filter(|candidate| candidate.head() != known.head());
        if let Some(new) = candidate.as_ref().filter(|candidate| candidate.size() == known.size()) {
            return Err(ClientError::Fork(Box::new(Fork { known, new: new.clone(), proof: Vec::new() })));
        }
        let mut merge = Self { known, candidate, tiles: Gathering::default() };
        let size = merge.newer().size();
        if let Some(id) = record.filter(|id| !size.contains(*id)) {
            return Err(ClientError::RecordBeyondHead { id, size });
        }
        let older = merge.older().map_or(TreeSize::EMPTY, SignedHead::size);
        merge.tiles = Gathering::of(tiles_for(size, proof::subtrees(older).chain(record.map(Node::leaf))));
        Ok(merge)
    }

    fn newer(&self) -> &SignedHead {
        self.candidate
            .as_ref()
            .filter(|candidate| candidate.size() > self.known.size())
            .unwrap_or(&self.known)
    }

    fn older(&self) -> Option<&SignedHead> {
        let candidate = self.candidate.as_ref()?;
        Some(if candidate.size() > self.known.size() { &self.known } else { candidate })
    }

    /// The newer head and the part of its tree that was asked for, or the evidence of a fork.
    pub(super) fn finish(mut self) -> Result<(SignedHead, Authentic), ClientError> {
        let (tree, _) = mem::take(&mut self.tiles).finish(self.newer())?;
        if let Some(older) = self.older() {
            let root = proof::root(&tree, older.size());
            let root =
                root.expect("the tiles of all subtrees of the older tree were asked for and are authentic");
            if root != older.root() {
                let proof = proof::prove_consistency(&tree, older.size(), self.newer().size());
                let new = self.candidate.unwrap_or_else(|| self.known.clone());
                let fork = Fork { known: self.known, new, proof: proof.unwrap_or_default() };
                return Err(ClientError::Fork(Box::new(fork)));
            }
        }
        Ok((self.newer().clone(), tree))
    }
}

/// Tiles asked for, and those that came. Nothing leaves it but through [`Unauthenticated::authenticate`].
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Tile to ask for → tile that is wanted: the same, or the partial one whose full tile is asked for instead.
    asked: BTreeMap<Tile, Tile>,
    tiles: Unauthenticated,
    /// The texts of the one data tile, if one is wanted.
    texts: Vec<RecordText>,
    fault: Option<ClientError>,
}

impl Gathering {
    pub(super) fn of(tiles: Vec<Tile>) -> Self {
        Self { asked: tiles.into_iter().map(|tile| (tile, tile)).collect(), ..Self::default() }
    }

    pub(super) fn want(&mut self, tile: Tile) {
        self.asked.insert(tile, tile);
    }

    /// What is still to come; nothing once something is wrong.
    pub(super) fn missing(&self) -> Vec<Tile> {
        if self.fault.is_some() { Vec::new() } else { self.asked.keys().copied().collect() }
    }

    pub(super) fn supply(&mut self, tile: &Tile, bytes: Option<&[u8]>) {
        let Some(wanted) = self.asked.remove(tile) else { return };
        let taken = match bytes {
            Some(bytes) => self.take(tile, wanted, bytes).ok_or(ClientError::InconsistentTile(*tile)),
            // A log may drop a partial tile once the full one exists (A4).
            None if !tile.is_full() => {
                self.asked.insert(tile.full(), wanted);
                Ok(())
            }
            None => Err(ClientError::MissingTile(wanted)),
        };
        self.fault = self.fault.take().or(taken.err());
    }

    /// Takes what is wanted out of what came; `None` when that is not as long as its name says.
    fn take(&mut self, came: &Tile, wanted: Tile, bytes: &[u8]) -> Option<()> {
        if came.is_data() {
            self.texts = read_data_tile(bytes, came.width()).ok()?;
            self.texts.truncate(usize::try_from(wanted.width()).ok()?);
        } else {
            let bytes = (came.byte_len() == Some(bytes.len())).then_some(bytes)?;
            self.tiles.insert(wanted, bytes.get(..wanted.byte_len()?)?.to_vec());
        }
        Some(())
    }

    pub(super) fn finish(self, head: &SignedHead) -> Result<(Authentic, Vec<RecordText>), ClientError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let tree = self.tiles.authenticate(head.head()).map_err(ClientError::InconsistentTile)?;
        Ok((tree, self.texts))
    }
}
