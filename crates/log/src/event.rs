//! What the log tells about itself: metrics and alarms (C8).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use modkeep_store::NewRecord;
use modkeep_tlog::{RecordId, TreeSize};

use crate::head::Head;

/// Something happened. Told on the sequencer's thread, so whoever listens is quick.
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

    pub(crate) fn tell(&self, event: &Event<'_>) {
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
