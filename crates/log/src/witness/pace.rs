//! How often a log is cosigned: as many times a day as was agreed, in bursts of a minute's worth at most.

use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_hours(24);
/// Questions that may come at once after a quiet time.
const BURST: f64 = 60.0;

/// Cosignatures a log may have in a day (`qpd` of the witness network's lists). 86,400 is one each second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Qpd(pub u32);

impl Default for Qpd {
    fn default() -> Self {
        Self(86_400)
    }
}

/// A bucket of permits that fills with time.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    permits: f64,
    filled: Instant,
}

impl Pace {
    pub(super) fn new(qpd: Qpd, now: Instant) -> Self {
        Self { per_second: f64::from(qpd.0.max(1)) / DAY.as_secs_f64(), permits: BURST, filled: now }
    }

    /// Takes a permit, or says when there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.permits = BURST.min(self.permits + since * self.per_second);
        self.filled = now;
        if self.permits < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.permits) / self.per_second));
        }
        self.permits -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cosigned_at_the_agreed_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(Qpd(86_400), start);
        assert!((0..60).all(|_| pace.take(start).is_ok()));
        let wait = pace.take(start).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(pace.take(start + Duration::from_millis(1001)).is_ok());
        assert!(pace.take(start + Duration::from_millis(1001)).is_err());
        // Never more than the burst, however long it was quiet.
        let later = start + DAY;
        assert_eq!((0..100).filter(|_| pace.take(later).is_ok()).count(), 60);
    }
}
