//! Heads that others have seen: a log that shows each of two people a history of their own is found when they compare.

use modkeep_tlog::{SignedHead, TreeHead};

use crate::audit::evidence::{Evidence, Found};
use crate::audit::finding::Finding;
use crate::audit::source::{Unsettled, settle};
use crate::audit::state::State;
use crate::audit::{Error, Parts, newest_head};

/// What somebody else's head is to the history that we know.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Gossip {
    /// A head of the same history.
    Consistent {
        /// The head that was brought.
        theirs: TreeHead,
        /// The newest of ours.
        ours: TreeHead,
    },
    /// Larger than any head that the log has shown us: nothing can be said yet. Ask again later; a log that never comes
    /// to show it has shown somebody a history of their own.
    UnknownFuture {
        /// The head that was brought.
        theirs: TreeHead,
        /// The newest of ours; none where there never was one.
        ours: Option<TreeHead>,
    },
    /// The two cannot both be true, or the head is none. The finding has the evidence.
    Inconsistent(Finding),
    /// The log does not serve the tiles that would show the one or the other.
    Unproven(Finding),
}

/// Compares a head, for example a user's `pkg/sumdb/NAME/latest`, with the newest one, which is fetched for that.
pub fn gossip(parts: &Parts<'_>, state: &mut State, note: &[u8]) -> Result<Gossip, Error> {
    let evidence = Evidence::new(&parts.options);
    let theirs = match SignedHead::open(note, parts.key) {
        Ok(theirs) => theirs,
        // Anybody can write such a file, so it says nothing about the log.
        Err(error) => {
            let refused = Found::refusal(modkeep_tlog::ClientError::BadHead(error), note);
            return Ok(Gossip::Inconsistent(evidence.write(refused)?));
        }
    };
    let ours = newest_head(parts, state, &evidence)?.or(state.head(parts.key)?);
    state.save()?;
    let Some(ours) = ours.filter(|ours| ours.size() >= theirs.size()) else {
        let ours = state.head(parts.key)?.map(|head| head.head());
        return Ok(Gossip::UnknownFuture { theirs: theirs.head(), ours });
    };
    match settle(parts.source, parts.key, Some(ours.clone()), note) {
        Ok(_) => Ok(Gossip::Consistent { theirs: theirs.head(), ours: ours.head() }),
        Err(Unsettled::Away(away)) => Err(away.into()),
        Err(Unsettled::Refused(error)) => {
            let is_fork = matches!(*error, modkeep_tlog::ClientError::Fork(_));
            let finding = evidence.write(Found::refusal(*error, note))?;
            if !is_fork {
                return Ok(Gossip::Unproven(finding));
            }
            state.find(finding.clone());
            state.save()?;
            Ok(Gossip::Inconsistent(finding))
        }
    }
}
