//! When a witness is asked next: decided from facts alone.

use std::time::Duration;

use modkeep_tlog::TreeSize;
use tokio::time::Instant;

/// After the first failure; doubled after each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause after failures.
const PAUSE_LONGEST: Duration = Duration::from_mins(5);
/// A quiet log's newest head is cosigned anew once a day: whoever asks for a young cosignature finds one.
const REFRESH: Duration = Duration::from_hours(24);

/// Where we stand with one witness.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// What it has recorded, as far as we were told.
    pub(super) recorded: Option<TreeSize>,
    /// What it cosigned last for us, and when.
    cosigned: Option<(TreeSize, Instant)>,
    failures: u32,
    /// Not before.
    rest_until: Option<Instant>,
}

impl Turn {
    /// When it is to be asked about the head of this size.
    pub(super) fn due(&self, size: TreeSize, now: Instant) -> Instant {
        let wanted = match self.cosigned {
            Some((done, at)) if done >= size => at + REFRESH,
            _ => now,
        };
        self.rest_until.map_or(wanted, |rest| rest.max(wanted))
    }

    /// It has cosigned a head of this size.
    pub(super) fn cosigned(&mut self, size: TreeSize, now: Instant) {
        *self = Self { recorded: Some(size), cosigned: Some((size, now)), failures: 0, rest_until: None };
    }

    /// It has, and the line was lost: it is to be asked again.
    pub(super) fn again(&mut self, now: Instant, chance: u32) {
        self.cosigned = None;
        self.failed(now, chance);
    }

    /// It has not. `chance` is any number: the pauses of many logs should not fall together.
    pub(super) fn failed(&mut self, now: Instant, chance: u32) {
        self.failures = self.failures.saturating_add(1);
        let doubled = PAUSE_FIRST.saturating_mul(1_u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(PAUSE_LONGEST);
        // From half the pause to all of it.
        let share = f64::from(chance) / f64::from(u32::MAX) / 2.0 + 0.5;
        self.rest_until = Some(now + pause.mul_f64(share));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_a_witness_is_asked_about_new_heads_and_rests_after_failures() {
        let (now, size) = (Instant::now(), |n| TreeSize::new(n).unwrap());
        let mut turn = Turn::default();
        assert_eq!(turn.due(size(5), now), now);
        for (failure, longest) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].into_iter().enumerate() {
            let longest = Duration::from_secs(longest);
            let mut lucky = turn;
            lucky.failed(now, 0);
            assert_eq!(lucky.due(size(5), now), now + longest / 2, "failure {failure}");
            turn.failed(now, u32::MAX);
            assert_eq!(turn.due(size(5), now), now + longest, "failure {failure}");
        }
        turn.cosigned(size(5), now);
        assert_eq!(turn.recorded, Some(size(5)));
        assert_eq!(turn.due(size(5), now), now + REFRESH);
        assert_eq!(turn.due(size(6), now), now);
        turn.failed(now, u32::MAX);
        assert_eq!(turn.due(size(6), now), now + PAUSE_FIRST);
    }
}
