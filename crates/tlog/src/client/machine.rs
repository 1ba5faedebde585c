//! How every machine runs: two attempts, the second past all caches, and an end.

use alloc::boxed::Box;

use super::{ClientError, Step};

/// How often the machine has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Attempt {
    /// With whatever answers came, from a cache or not.
    First,
    /// Past the caches.
    Second,
    /// Done or refused.
    Over,
}

/// What the three machines have in common: two attempts, and an end.
pub(super) trait Machine {
    type Outcome;

    fn attempt(&mut self) -> &mut Attempt;
    /// Drops all that was handed in.
    fn restart(&mut self);
    /// Goes as far as it can with what was handed in.
    fn advance(&mut self, bypass_cache: bool) -> Result<Step<Box<Self::Outcome>>, ClientError>;
}

pub(super) fn step<M: Machine>(machine: &mut M) -> Step<Box<M::Outcome>> {
    loop {
        let attempt = *machine.attempt();
        if attempt == Attempt::Over {
            return Step::Failed(ClientError::Ended);
        }
        let step = match machine.advance(attempt == Attempt::Second) {
            Err(error) if attempt == Attempt::First && error.may_come_from_a_cache() => {
                *machine.attempt() = Attempt::Second;
                machine.restart();
                continue;
            }
            Err(error) => Step::Failed(error),
            Ok(step) => step,
        };
        if matches!(step, Step::Done(_) | Step::Failed(_)) {
            *machine.attempt() = Attempt::Over;
        }
        return step;
    }
}

impl ClientError {
    /// Whether a forged or damaged cache, our own or one on the way, could have caused it.
    fn may_come_from_a_cache(&self) -> bool {
        match self {
            Self::MalformedLookup(_)
            | Self::BadHead(_)
            | Self::NoHead
            | Self::InconsistentTile(_)
            | Self::MissingTile(_)
            | Self::RecordBeyondHead { .. }
            | Self::RecordMismatch { .. }
            | Self::MissingLine { .. }
            | Self::Contradiction { .. } => true,
            Self::BadName(_)
            | Self::SavedHead(_)
            | Self::Fork(_)
            | Self::TileBeyondHead { .. }
            | Self::Ended => false,
        }
    }
}
