//! What the log tells about itself: metrics and alarms (C8).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use modkeep_store::NewRecord;
use modkeep_tlog::{RecordId, TreeHead, TreeSize};

use crate::error::OpenError;
use crate::head::Head;
use crate::witness::Reply;

/// Something happened. Told on the sequencer's thread, or by whoever asks the witnesses, so whoever listens is quick.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A batch was committed and published, before its waiters wake.
    Batch {
        /// Records that are new in the log.
        appended: usize,
        /// Records that were in it already.
        known: usize,
        /// How long each step took.
        timings: Timings,
    },
    /// A new head is public.
    Head(&'a Arc<Head>),
    /// The log has other sums for this version: the origin moved a tag, or somebody lies. The recorded ones stand.
    /// An alarm (`record_conflict`, C3).
    Conflict {
        /// The record that stands.
        id: RecordId,
        /// What was to be appended.
        offered: &'a NewRecord,
    },
    /// An append was refused because too many wait.
    Busy,
    /// Nothing is signed any more. An alarm.
    Stopped {
        /// Why.
        reason: &'a str,
        /// Whether it starts again by itself, from what is stored.
        restarts: bool,
    },
    /// At a start the log was not opened for signing; told by whoever opens it. What is stored may be read all the same. An
    /// alarm (C8).
    Refused {
        /// Why.
        reason: &'a OpenError,
    },
    /// A witness was asked about a head, and this came of it (B3).
    Witness {
        /// Its name.
        witness: &'a str,
        /// The size of the head.
        size: TreeSize,
        /// What it answered.
        reply: &'a Reply,
    },
    /// As many witnesses as the policy wants have cosigned; the checkpoint is kept with their lines (B3).
    Cosigned {
        /// The size of the head.
        size: TreeSize,
        /// How many lines.
        cosignatures: usize,
    },
    /// A witness finds that the newest head does not continue what it has cosigned (422): a fork, or a proof that is
    /// wrong. An alarm (C8).
    WitnessContradicts {
        /// The witness.
        witness: &'a str,
        /// The size of the head.
        size: TreeSize,
        /// In the witness's words.
        text: &'a str,
    },
    /// A head was signed with our key that is larger than our newest one: this is an old copy of the log, or there is a
    /// second one. The log takes no more records. An alarm (C4, check 2).
    Ahead {
        /// Who has it: `the witness NAME`, or somebody.
        seen_by: &'a str,
        /// The size that they have.
        seen: TreeSize,
        /// The size of our newest head.
        ours: TreeSize,
    },
    /// Somebody brought a head that our key has signed and that our tree contradicts. An alarm (C8).
    Fork {
        /// The head that was brought.
        theirs: TreeHead,
        /// Our newest one.
        ours: TreeHead,
        /// Both notes and a proof.
        evidence: &'a str,
    },
    /// The sequencer has started from what is stored; the newest head has this size.
    Started {
        /// The size.
        size: TreeSize,
    },
}

/// How long the steps of a batch took, on the monotonic clock (C3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timings {
    /// Step 1: transaction A.
    pub sequence: Duration,
    /// Step 2: hashes, tiles and edge, in memory.
    pub derive: Duration,
    /// Step 3: full tiles, durable.
    pub tiles: Duration,
    /// Step 4: read back, and computed again.
    pub check: Duration,
    /// Step 5, first half: signatures.
    pub sign: Duration,
    /// Step 5, second half: transaction B.
    pub commit: Duration,
    /// Step 6: publication.
    pub publish: Duration,
}

impl Timings {
    /// All steps together.
    pub fn total(&self) -> Duration {
        self.sequence + self.derive + self.tiles + self.check + self.sign + self.commit + self.publish
    }
}

/// Who is told. Cheap to clone.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event<'_>) + Send + Sync>);

impl Observer {
    /// Tells this function.
    pub fn new(tell: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells it.
    pub fn tell(&self, event: &Event<'_>) {
        (self.0)(event);
    }
}

impl Default for Observer {
    /// Tells nobody.
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
