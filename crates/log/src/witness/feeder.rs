//! Feeding a witness: the heads of a log that calls none, as the public checksum databases do (B4).

use modkeep_tlog::checkpoint::CheckpointError;
use modkeep_tlog::proof::prove_consistency;
use modkeep_tlog::tile_set::tiles_for_consistency;
use modkeep_tlog::{GO_SUM_ORIGIN, Hash, SignedCheckpoint, TileSet, TreeSize, VerifierKey};
use tokio::runtime::Handle;

use super::ask::{Asker, CONTRADICTION, Reply};
use crate::audit::source::{NOTE_MAX, tile};
use crate::audit::{Away, Source};

/// Conflicts that are followed before the next time: others may feed the same witness.
const REDO_MAX: u32 = 3;

/// Which note of a log is fed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Which {
    /// `latest`, the go.sum head, whose origin all checksum databases share: a witness can watch one of them.
    #[default]
    Latest,
    /// `checkpoint`, the same tree under the log's own name.
    Checkpoint,
}

/// Carries heads of one log to one witness. It believes neither: the witness checks everything again.
#[derive(Debug)]
pub struct Feeder {
    key: VerifierKey,
    which: Which,
    asker: Asker,
    /// What the witness has, as far as it has told us.
    recorded: Option<TreeSize>,
}

/// What came of one feeding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fed {
    /// The size that the witness had.
    pub from: TreeSize,
    /// The size that it has cosigned.
    pub size: TreeSize,
    /// How many of its keys have.
    pub cosignatures: usize,
}

/// Why a head was not cosigned.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] Away),
    /// What the log shows as its newest head is none of that key.
    #[error("the log's head: {0}")]
    Head(#[from] CheckpointError),
    /// The log lacks a tile of its own tree.
    #[error("the log has no proof from size {old} to its head of size {new}")]
    NoProof {
        /// The size that the witness has.
        old: TreeSize,
        /// The size of the head.
        new: TreeSize,
    },
    /// The witness has seen a larger head than the log shows: the log went back, or another copy of it answers.
    #[error("the witness has seen size {seen}, the log shows {shown}: a stale answer, or the log went back")]
    Older {
        /// What the witness has.
        seen: TreeSize,
        /// What the log shows.
        shown: TreeSize,
    },
    /// The witness finds that the head does not continue what it has cosigned (422): misbehaviour of the log, or tiles
    /// that were damaged on the way.
    #[error("the head of size {size} does not continue the one of size {old} that the witness has: {text}")]
    Inconsistent {
        /// The size that the witness has.
        old: TreeSize,
        /// The size of the head.
        size: TreeSize,
        /// In the witness's words.
        text: String,
    },
    /// The witness did not cosign for another reason.
    #[error("the witness {0}")]
    Witness(Reply),
}

impl Feeder {
    /// A feeder of the log with this key.
    pub fn new(key: VerifierKey, which: Which, asker: Asker) -> Self {
        Self { key, which, asker, recorded: None }
    }

    /// Feeds the newest head once. Blocking: not for the runtime's own threads.
    pub fn feed(&mut self, source: &dyn Source, runtime: &Handle) -> Result<Fed, FeedError> {
        let checkpoint = self.newest(source)?;
        let size = checkpoint.head().size;
        let mut old = self.recorded.filter(|recorded| *recorded <= size).unwrap_or(size);
        for _ in 0..=REDO_MAX {
            let proof = prove(source, old, size)?;
            match runtime.block_on(self.asker.submit(old, proof, &checkpoint)) {
                Reply::Cosigned(lines) => {
                    self.recorded = Some(size);
                    return Ok(Fed { from: old, size, cosignatures: lines.len() });
                }
                Reply::Conflict(seen) if seen > size => {
                    self.recorded = Some(seen);
                    return Err(FeedError::Older { seen, shown: size });
                }
                Reply::Conflict(told) => old = told,
                Reply::Refused { status: CONTRADICTION, text } => {
                    return Err(FeedError::Inconsistent { old, size, text });
                }
                other => return Err(FeedError::Witness(other)),
            }
        }
        Err(FeedError::Witness(Reply::Conflict(old)))
    }

    fn newest(&self, source: &dyn Source) -> Result<SignedCheckpoint, FeedError> {
        let (path, origin) = match self.which {
            Which::Latest => ("latest", GO_SUM_ORIGIN),
            Which::Checkpoint => ("checkpoint", self.key.name()),
        };
        let absent = || Away { place: path.to_owned(), reason: "the log has none".to_owned() };
        let note = source.get(path, NOTE_MAX, false)?.ok_or_else(absent)?;
        Ok(SignedCheckpoint::open(&note, origin, std::slice::from_ref(&self.key))?)
    }
}

fn prove(source: &dyn Source, old: TreeSize, new: TreeSize) -> Result<Vec<Hash>, FeedError> {
    let mut tiles = TileSet::new(new);
    for wanted in tiles_for_consistency(old, new) {
        if let Some((_, bytes)) = tile(source, &wanted, false)? {
            tiles.insert(wanted, bytes);
        }
    }
    prove_consistency(&tiles, old, new).ok_or(FeedError::NoProof { old, new })
}
