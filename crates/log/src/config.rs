//! What a log is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use modkeep_store::{Clock, LogStore};
use modkeep_tlog::{Hash, TreeSize};

use crate::event::Observer;
use crate::keys::Signer;

/// Everything that a log stands on.
#[derive(Debug)]
pub struct Parts {
    /// Where records, tiles and heads are kept.
    pub store: LogStore,
    /// Who signs each head, all of them (rotation, A5): the first is the log's present key and gives it its name.
    /// All have the same name.
    pub signers: Vec<Arc<dyn Signer>>,
    /// How.
    pub config: Config,
    /// The time. Only stamps are made from its wall clock (R25).
    pub clock: Arc<dyn Clock>,
    /// Who is told what happens.
    pub observer: Observer,
}

/// How a log behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which head goes with a lookup (C5).
    pub align: HeadAlign,
    /// Which checkpoint is shown (B3).
    pub shown: Shown,
    /// Which heads lookups may show (`witness.gate_lookups`, B3).
    pub gate: Gate,
    /// How many appends may wait; one more is [`Busy`](crate::AppendError::Busy). 4,096, which is also the largest
    /// batch (C3).
    pub queue: usize,
    /// A file outside the data directory, as a rule beside the key (`<key_file>.head`), that gets a copy of the newest head: it
    /// survives when the data directory is put back from a backup, and then tells (C4, check 2). Best effort.
    pub head_copy: Option<PathBuf>,
    /// Heads that others have seen: witnesses' sizes, replicas. One that is larger than our newest, or different at the
    /// same size, keeps us from signing (C4, check 2).
    pub known_heads: Vec<KnownHead>,
    /// What a test does to the sequencer. Not in a release.
    #[cfg(any(test, feature = "testing"))]
    pub sabotage: crate::sabotage::Sabotage,
}

/// Which head goes with a lookup (`heads.align`, C5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HeadAlign {
    /// The newest whose size is a multiple of 256, where that covers the record: clients see few heads, and the
    /// tiles on its edge are full.
    #[default]
    Tile,
    /// The newest.
    Newest,
}

/// Which checkpoint is shown (`witness.mode`, B3). The newest head waits for nobody; lookups as [`Gate`] says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Shown {
    /// That of the newest head, with cosignatures as soon as enough are here.
    #[default]
    Newest,
    /// The newest that has enough of them: it may be older than the newest head.
    Cosigned,
}

/// Which heads lookups may show (`witness.gate_lookups`, B3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Gate {
    /// Every published one: a lookup waits for no witness.
    #[default]
    Open,
    /// Those that a checkpoint with enough cosignatures covers: a lookup of a new record waits for the witnesses.
    Cosigned,
}

/// A head of this log that somebody outside the data directory has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownHead {
    /// Who: a file, a witness. For messages.
    pub seen_by: String,
    /// How many records it covers.
    pub size: TreeSize,
    /// Its root, where that is known.
    pub root: Option<Hash>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            align: HeadAlign::default(),
            shown: Shown::default(),
            gate: Gate::default(),
            queue: QUEUE_MAX,
            head_copy: None,
            known_heads: Vec::new(),
            #[cfg(any(test, feature = "testing"))]
            sabotage: crate::sabotage::Sabotage::default(),
        }
    }
}

/// Appends that may wait (C3: "more than 4,096 waiting → 503").
pub(crate) const QUEUE_MAX: usize = 4096;
