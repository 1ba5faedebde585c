//! What can go wrong, one variant for each thing a caller does differently.

use std::sync::Arc;

use modkeep_tlog::{RecordId, TreeSize};

/// Why a record was not appended, or not answered for. Cloneable, so that one batch can tell all its waiters.
///
/// Except for [`Refused`](Self::Refused) the record may be in the log nevertheless: ask again, the answer is the same id.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Too many are waiting: 503, and a second later there is room (C3, "Backpressure").
    #[error("the log is busy: {waiting} records are waiting")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The log takes no records at present: an operator paused it, it was opened for reading, it is starting again
    /// after an error, or it is closing. 503.
    #[error("the log is paused: {reason}")]
    Paused {
        /// Why, in words for the operator.
        reason: Arc<str>,
    },
    /// The text is no record of a log (I09), and never will be.
    #[error("not a record: {0}")]
    Refused(modkeep_tlog::record::RecordError),
    /// The store failed under this batch. The sequencer starts again from what is stored (R10). 503.
    #[error("the log's store: {0}")]
    Store(modkeep_store::Error),
}

/// Why a log does not sign. Its stored matter can still be served: [`Log::open_reading`](crate::Log::open_reading).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store failed, or is not ours to write.
    #[error("the log's store: {0}")]
    Store(#[from] modkeep_store::Error),
    /// No signer was given, or their names differ.
    #[error("the log has no usable signer: {0}")]
    Signers(String),
    /// The newest head was signed by none of these keys: another log's data directory, or another log's key.
    #[error(
        "the newest head in the store is not signed by {vkey}: {detail}; use the key that began this log, or another data directory"
    )]
    OtherKey {
        /// The key given.
        vkey: String,
        /// What did not fit.
        detail: String,
    },
    /// What is stored contradicts itself (C4, checks 1 and 3): tiles, state and head do not fit together.
    #[error(
        "the stored log is damaged: {detail}; run `modkeep log fsck`, then restore the named file from a replica or a backup"
    )]
    Damaged {
        /// What does not fit what.
        detail: String,
    },
    /// Records that have an id and no head are not what was appended: a row changed between the two transactions, and
    /// would become the truth (R14). Nobody was answered with one of them.
    #[error(
        "records {from} to {to} were given ids and no head yet, and their rows are not what was appended; nothing will be \
         signed from them; look at the disk, then run `modkeep log recover`, which drops these rows: nobody has been \
         answered with one of them, and whoever asks for them again gets them appended again"
    )]
    Changed {
        /// The size of the newest head, which is the first id.
        from: TreeSize,
        /// The end of the ids that were given.
        to: TreeSize,
    },
    /// Somebody has seen a larger head: the data directory was put back from an old copy (C4, check 2; I17).
    #[error(
        "{seen_by} has seen a head of size {seen}, the newest one here has size {ours}: this is an old copy of the log; \
         nothing will be signed from it; restore a newer copy, or run `modkeep log recover`, with `--from DIR` (a newer tree \
         of this log) where the tiles here are as old"
    )]
    Behind {
        /// Who.
        seen_by: String,
        /// The size seen.
        seen: TreeSize,
        /// The size of our newest head.
        ours: TreeSize,
    },
    /// The data directory was put back from a backup, and nobody who would know has seen its newest head (R27): newer ones may
    /// have been signed after the backup.
    #[error(
        "this log was put back from a backup ({backup_of}), and neither a copy of the newest head beside the key nor a \
         witness says that the head of size {ours} is the newest that was signed; put that copy back (KEYFILE.head, or what \
         log.head_copy names), or run `modkeep \
         log recover` with the newest head that is known, or, if nothing was signed after that moment, say so by removing {file}"
    )]
    Restored {
        /// When the backup was made.
        backup_of: String,
        /// The size of our newest head.
        ours: TreeSize,
        /// The mark in the data directory.
        file: String,
    },
    /// Somebody has seen another root at a size that we know: two histories (C4, check 2; R5).
    #[error(
        "{seen_by} has seen another head of size {size} than the one here: two histories of one log; nothing will be \
         signed; keep both heads as evidence, and restore the copy that clients have seen"
    )]
    Forked {
        /// Who.
        seen_by: String,
        /// The size.
        size: TreeSize,
    },
    /// What remembers the largest head that was seen is there and no head of this log (C4, check 2; I17): nobody can say whether
    /// this is an old copy.
    #[error(
        "{file} is damaged: it should be a head of this log, and is not ({detail}); whether this is an old copy of the log cannot \
         be told, so nothing will be signed; {advice}"
    )]
    Unreadable {
        /// The file.
        file: String,
        /// What does not fit.
        detail: String,
        /// What to do.
        advice: &'static str,
    },
    /// What was given as a head is none of this log: a wrong file. Nothing about the log is known from it.
    #[error(
        "{file} is no head of this log: {detail}; want what /log/latest or /log/checkpoint of this log answered, as it came"
    )]
    NoHead {
        /// The file.
        file: String,
        /// What does not fit.
        detail: String,
    },
    /// Going forward needs records that are not here: neither their tile nor their rows.
    #[error(
        "{tile} is needed to go forward to the head of size {size}, and is nowhere; name a tree of this log that has it with \
         `modkeep log recover --from DIR`: what `modkeep log export` of a newer copy wrote, or the files of a replica"
    )]
    NoTile {
        /// Its path.
        tile: String,
        /// The size of the head to be reached.
        size: TreeSize,
    },
    /// Going forward needs a tile that is damaged, here or in the tree that was given.
    #[error("{tile} {place} is damaged: {detail}; {advice}")]
    BadTile {
        /// Its path.
        tile: String,
        /// Where it lies, in words.
        place: &'static str,
        /// What is wrong with it.
        detail: String,
        /// What to do.
        advice: &'static str,
    },
    /// A record that is here is another in the tree of the head that is to be reached. Nothing was changed.
    #[error(
        "record {id} of the tree whose head was seen is not the one here: {detail}; nothing was changed and nothing will be \
         signed; restore a copy of the log from before the two parted, and go forward from that"
    )]
    Conflict {
        /// Its id in that tree.
        id: RecordId,
        /// What does not fit.
        detail: String,
    },
    /// The key refuses to sign.
    #[error("the signer: {0}")]
    Sign(#[from] crate::keys::SignError),
    /// A file outside the store could not be read.
    #[error("cannot read {path}: {detail}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        detail: String,
    },
}
