//! A clock that a test moves by hand.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modkeep_store::Clock;

/// Both clocks stand still until the test moves them: together, or the wall clock alone (T9).
#[derive(Debug)]
pub struct ManualClock(Mutex<(SystemTime, Instant)>);

impl ManualClock {
    /// Stands at 2026-03-04 05:06:07 UTC.
    pub fn new() -> Self {
        Self(Mutex::new((UNIX_EPOCH + Duration::from_secs(1_772_600_767), Instant::now())))
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.0 += by;
        clocks.1 += by;
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn set_wall(&self, now: SystemTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_may_jump_back_while_durations_go_on() {
        let clock = ManualClock::new();
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        clock.advance(Duration::from_secs(5));
        clock.set_wall(wall - Duration::from_hours(1));
        assert_eq!(clock.now(), wall - Duration::from_hours(1));
        assert_eq!(clock.monotonic() - monotonic, Duration::from_secs(5));
    }
}
