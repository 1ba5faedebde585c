//! Time as the store sees it: a wall clock that may lie, a monotonic one that may not (R25).

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from. Tests bring their own.
pub trait Clock: Send + Sync + Debug {
    /// The time of day. It may jump by years in either direction; only stamps are made from it, never durations.
    fn now(&self) -> SystemTime;
    /// A clock that only goes forward, for durations and deadlines.
    fn monotonic(&self) -> Instant;
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// Microseconds since 1970-01-01 UTC, negative before; pinned to the ends of `i64` beyond them.
pub(crate) fn to_micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

/// The instant that [`to_micros`] gave; the epoch when the platform cannot express it.
pub(crate) fn from_micros(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micros_survive_the_round_trip() {
        for micros in [0, 1, -1, 1_700_000_000_000_000, -62_135_596_800_000_000, 253_402_300_799_999_999] {
            assert_eq!(to_micros(from_micros(micros)), micros);
        }
    }
}
