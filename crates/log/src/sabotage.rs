//! Deliberate mistakes, so that tests can show that they would notice. None of this exists in a release.

/// Whether the sequencer has been told to make this mistake. Always false in a release.
macro_rules! mutant {
    ($config:expr, $name:ident) => {{
        #[cfg(any(test, feature = "testing"))]
        {
            $config.sabotage.mutant == Some($crate::sabotage::Mutant::$name)
        }
        #[cfg(not(any(test, feature = "testing")))]
        {
            let _ = &$config;
            false
        }
    }};
}

/// Tells a test that a step of a batch begins.
macro_rules! step {
    ($config:expr, $name:ident) => {
        #[cfg(any(test, feature = "testing"))]
        $config.sabotage.at($crate::sabotage::Step::$name);
    };
}

pub(crate) use {mutant, step};

#[cfg(any(test, feature = "testing"))]
pub use testing::{Mutant, Sabotage, Step};

#[cfg(any(test, feature = "testing"))]
mod testing {
    use std::fmt;
    use std::sync::Arc;

    /// A mistake to make.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Mutant {
        /// Callers are answered when their records have ids, before a head covers them (R24, R1).
        AnswerBeforeHead,
        /// The head is public, and callers are answered, before it is committed (R6).
        PublishBeforeCommit,
        /// The head is committed before its tiles are written (R6).
        CommitBeforeTiles,
        /// What was written is not read back (R14).
        SkipReadBack,
        /// After an error the work goes on from memory (R10).
        RestartFromMemory,
        /// Heads that others have seen are not looked at (I17).
        SkipPublicHeads,
        /// A conflict is passed over in silence (C3).
        HideConflicts,
        /// A leaf is changed in memory after the ids are given.
        FlipLeaf,
        /// A byte of a text is changed in memory after its hash was taken.
        FlipText,
        /// A byte of a full tile is changed in memory before it is written.
        FlipTile,
        /// A bit of the edge is changed in memory between two batches.
        FlipEdge,
    }

    /// The steps of a batch, as C3 counts them.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub enum Step {
        /// Before transaction A.
        Sequence,
        /// Ids are given and durable; nothing is derived yet.
        Derive,
        /// Derived in memory; no tile is written yet.
        Tiles,
        /// Tiles are durable, nothing was read back yet.
        Check,
        /// Checked; nothing is signed yet.
        Sign,
        /// Signed; transaction B has not begun.
        Commit,
        /// Transaction B is durable; nothing is public yet.
        Publish,
        /// Published; nobody was answered yet.
        Answer,
    }

    /// What a test does to a sequencer.
    #[derive(Clone, Default)]
    pub struct Sabotage {
        /// The mistake to make.
        pub mutant: Option<Mutant>,
        /// Called before each step, on the sequencer's thread.
        pub hook: Option<Hook>,
    }

    type Hook = Arc<dyn Fn(Step) + Send + Sync>;

    impl Sabotage {
        pub(crate) fn at(&self, step: Step) {
            if let Some(hook) = &self.hook {
                hook(step);
            }
        }
    }

    impl fmt::Debug for Sabotage {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Sabotage").field("mutant", &self.mutant).finish_non_exhaustive()
        }
    }
}
