//! How fast one host is asked: a bucket of tokens that fills steadily (K04, K05).

use std::time::Duration;

use tokio::time::Instant;

/// The pace kept with hosts that are not configured (`[origin] pace`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Requests a second to one host, on and on. A registrable domain gets twice that, all its hosts together.
    pub per_second: f64,
    /// Requests that may go out at once after a rest.
    pub burst: u32,
}

impl Default for Pace {
    /// 10 a second after a burst of 30: a third of what one go command does to a host while it resolves a build.
    fn default() -> Self {
        Self { per_second: 10.0, burst: 30 }
    }
}

impl Pace {
    /// The pace of a whole registrable domain.
    pub(crate) fn of_domain(self) -> Self {
        Self { per_second: self.per_second * 2.0, burst: self.burst.saturating_mul(2) }
    }

    /// Never faster than one request in so much time, without bursts.
    pub(crate) fn with_delay(self, delay: Option<Duration>) -> Self {
        match delay.filter(|delay| !delay.is_zero()) {
            Some(delay) if delay.as_secs_f64().recip() < self.per_second => {
                Self { per_second: delay.as_secs_f64().recip(), burst: 1 }
            }
            _ => self,
        }
    }

    fn gap(self) -> Duration {
        Duration::try_from_secs_f64(self.per_second.max(0.001).recip()).unwrap_or(Duration::from_secs(1_000))
    }
}

/// What one host has used of its pace: the moment at which the bucket is full again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes a token that is there now or within `patience`, and says how long until then; else when to come again.
    pub(crate) fn take(
        &mut self,
        pace: Pace,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let full_at = self.full_at.unwrap_or(now).max(now);
        let room = pace.gap() * pace.burst.max(1).saturating_sub(1);
        let wait = (full_at - now).saturating_sub(room);
        if wait > patience {
            return Err(wait);
        }
        self.full_at = Some(full_at + pace.gap());
        Ok(wait)
    }

    /// Whether it is full, so that forgetting it changes nothing.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_burst_and_then_a_steady_pace() {
        let (pace, now, mut bucket) =
            (Pace { per_second: 10.0, burst: 3 }, Instant::now(), Bucket::default());
        let waits: Vec<_> = (0..6).map(|_| bucket.take(pace, now, PATIENCE).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
        let later = now + Duration::from_secs(10);
        assert!(bucket.is_full(later));
        assert_eq!(bucket.take(pace, later, PATIENCE), Ok(Duration::ZERO));
    }

    #[test]
    fn who_would_wait_too_long_is_told_so_and_takes_nothing() {
        let (pace, now, mut bucket) = (Pace { per_second: 0.1, burst: 1 }, Instant::now(), Bucket::default());
        let ten = |n: u64| Duration::from_secs(10 * n);
        for n in 0..4 {
            assert_eq!(bucket.take(pace, now, PATIENCE), Ok(ten(n)));
        }
        assert_eq!(bucket.take(pace, now, PATIENCE), Err(ten(4)));
        assert_eq!(bucket.take(pace, now + ten(1), PATIENCE), Ok(ten(3)));
    }

    #[test]
    fn a_crawl_delay_slows_down_and_never_speeds_up() {
        let pace = Pace::default();
        assert_eq!(pace.with_delay(Some(Duration::from_secs(10))), Pace { per_second: 0.1, burst: 1 });
        assert_eq!(pace.with_delay(Some(Duration::from_millis(1))), pace);
        assert_eq!(pace.with_delay(Some(Duration::ZERO)), pace);
        assert_eq!(pace.with_delay(None), pace);
    }
}
