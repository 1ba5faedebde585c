//! Heads of our own log that others bring: compared with what is published (spec D, `audit gossip`; C4, check 2).

use modkeep_store::Error;
use modkeep_tlog::comparison::evidence;
use modkeep_tlog::note::NoteError;
use modkeep_tlog::{Checkpoint, Comparison, Note, TreeHead, TreeSize, proof};

use crate::check;
use crate::event::Event;
use crate::head::Published;
use crate::log::{Log, State};

/// Who has shown a head that was brought, in events.
const SOMEBODY: &str = "somebody";

/// A head that our key has signed.
struct Theirs {
    head: TreeHead,
    /// Whether it stands under the log's own origin line, not under that of all checksum databases (B1).
    is_checkpoint: bool,
}

impl Log {
    /// Compares a note that somebody was shown, a head or a checkpoint of this log, with what is published. Blocking.
    ///
    /// A contradiction is told as [`Event::Fork`]; keep the evidence. A head that our key has signed and that is larger
    /// than the newest one means that this is an old copy of the log, or not the only one: it is told as
    /// [`Event::Ahead`], and the log takes no more records until an operator has looked (I17). The note is kept, so that a
    /// restart does not forget it.
    pub fn compare(&self, note: &[u8]) -> Result<Comparison, Error> {
        let theirs = match self.opened(note) {
            Ok(theirs) => theirs,
            Err(why) => return Ok(Comparison::NotOurs { why }),
        };
        let seen = self.shared().published();
        let ours = seen.latest.tree();
        if theirs.head.size > ours.size {
            self.remember(note, theirs.head.size);
            self.is_ahead(SOMEBODY, theirs.head.size);
            return Ok(Comparison::UnknownFuture { theirs: theirs.head, ours });
        }
        let nodes = self.shared().reader.nodes(&seen);
        let root = proof::root(&nodes, theirs.head.size);
        if let Some(error) = nodes.into_error() {
            return Err(error);
        }
        if root == Some(theirs.head.root) {
            return Ok(Comparison::Consistent { theirs: theirs.head, ours });
        }
        let evidence = self.contradiction(&seen, &theirs, note)?;
        let (theirs, evidence) = (theirs.head, evidence);
        self.tell(&Event::Fork { theirs, ours, evidence: &evidence });
        Ok(Comparison::Inconsistent { theirs, ours, evidence })
    }

    /// Keeps the largest head that was brought, for the checks of the next start. Where it cannot be kept, this process signs
    /// nothing all the same.
    fn remember(&self, note: &[u8], size: TreeSize) {
        let store = &self.shared().store;
        let kept = store.seen().and_then(|kept| {
            let known = kept.and_then(|(note, _)| check::open_seen(&note, self.keys()).ok());
            if known.is_some_and(|known| known.size >= size) { Ok(()) } else { store.keep_seen(note) }
        });
        if let Err(error) = kept {
            tracing::error!(%size, %error, "a larger head of our key could not be kept: do not start again before you have looked");
        }
    }

    /// A head larger than ours was signed with our key, and `seen_by` has it: tells it, and takes no more records.
    pub(crate) fn is_ahead(&self, seen_by: &str, seen: TreeSize) {
        let ours = self.latest().size;
        self.tell(&Event::Ahead { seen_by, seen, ours });
        if !matches!(self.state(), State::Reading | State::Closed) {
            self.pause(&format!(
                "{seen_by} has seen a head of size {seen}, the newest one here has size {ours}; is this an old copy of \
                 the log? Restore a newer one, or run `modkeep log recover`"
            ));
        }
    }

    /// What our key has signed in this note, or why it is none of ours.
    fn opened(&self, note: &[u8]) -> Result<Theirs, String> {
        let note = Note::open(note, self.keys()).map_err(|error| match error {
            NoteError::Unverified => format!("no key of {} has signed it", self.name()),
            other => other.to_string(),
        })?;
        if let Ok(head) = TreeHead::parse(note.text()) {
            return Ok(Theirs { head, is_checkpoint: false });
        }
        match Checkpoint::parse(note.text()) {
            Ok(checkpoint) if checkpoint.origin() == self.name() => {
                Ok(Theirs { head: checkpoint.head(), is_checkpoint: true })
            }
            _ => Err(format!("it is no head of {}", self.name())),
        }
    }

    /// Both notes, and the proof between the trees that we have.
    fn contradiction(&self, seen: &Published, theirs: &Theirs, note: &[u8]) -> Result<String, Error> {
        let (size, ours) = (theirs.head.size, &seen.latest);
        let nodes = self.shared().reader.nodes(seen);
        let proof = proof::prove_consistency(&nodes, size, ours.size);
        if let Some(error) = nodes.into_error() {
            return Err(error);
        }
        let known = if theirs.is_checkpoint { &ours.checkpoint } else { &ours.note };
        Ok(evidence((ours.size, known), (size, note), &proof.unwrap_or_default()))
    }
}
