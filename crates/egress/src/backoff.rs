//! What we remember about a host that is in trouble, or asked for patience.
//!
//! Facts in, decision out: no clock and no lock, so a table can test it.

use std::time::Duration;

use tokio::time::Instant;

/// While a host asks us to wait, one request may try in this time (H05).
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// `Retry-After` is believed up to this; a year is a mistake or a trick (H05).
const THROTTLE_MAX: Duration = Duration::from_hours(1);
/// What a 429 without `Retry-After` is taken to mean.
const THROTTLE_DEFAULT: Duration = Duration::from_secs(10);
/// So many failures in a row are bad luck; more are a state. The next question after a single broken
/// answer goes out at once (H01).
const LUCK: u32 = 3;
/// The first pause; it doubles with each further failure.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: a server that comes back is noticed within 10 s.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Requests that may go out together with a probe after failures. What a client asks may take several at once (a zip
/// and the lookup of its sum at the same host); if one alone passed, the refusal of the others would end it, each time.
const COMPANIONS: u32 = 3;

/// The memory of one host.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    throttle: Option<Throttle>,
    failures: u32,
    paused_until: Option<Instant>,
    /// How many more may go out although the pause goes on.
    companions: u32,
}

#[derive(Debug)]
struct Throttle {
    since: Instant,
    until: Instant,
    next_probe: Instant,
}

/// Why a request may not go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The host asked for it.
    Throttled(Duration),
    /// The host failed so often, in a row.
    Failing { failures: u32, wait: Duration },
}

impl Backoff {
    /// Whether a request may go out now. A yes to a troubled host is a probe: the next yes takes a while.
    ///
    /// `jitter` is a random number in `0.0..1.0`.
    pub(crate) fn admit(&mut self, now: Instant, jitter: f64) -> Result<(), Wait> {
        if let Some(wait) = self.pausing(now) {
            return Err(wait);
        }
        if let Some(throttle) = self.throttle.as_mut().filter(|throttle| throttle.until > now) {
            throttle.next_probe = now + PROBE_EVERY;
        } else if self.paused_until.is_some_and(|until| until > now) {
            self.companions = self.companions.saturating_sub(1);
        } else if self.paused_until.is_some() {
            self.paused_until = Some(now + pause(self.failures, jitter));
            self.companions = COMPANIONS;
        }
        Ok(())
    }

    /// The wait a request would meet now, without using up a probe.
    pub(crate) fn pausing(&self, now: Instant) -> Option<Wait> {
        if let Some(throttle) = self.throttle.as_ref().filter(|throttle| throttle.until > now) {
            let next = throttle.next_probe.min(throttle.until);
            return (next > now).then(|| Wait::Throttled(next - now));
        }
        let until = self.paused_until.filter(|until| *until > now && self.companions == 0)?;
        Some(Wait::Failing { failures: self.failures, wait: until - now })
    }

    /// The host said 429, or 503 with `Retry-After`.
    pub(crate) fn throttled(&mut self, now: Instant, retry_after: Option<Duration>) {
        let wait = retry_after.unwrap_or(THROTTLE_DEFAULT).min(THROTTLE_MAX);
        self.throttle = Some(Throttle { since: now, until: now + wait, next_probe: now + PROBE_EVERY });
    }

    /// A connection, a handshake or an answer failed.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= LUCK {
            self.paused_until = Some(now + pause(self.failures, jitter));
            self.companions = 0;
        }
    }

    /// A request that went out at `started` was answered in full.
    pub(crate) fn succeeded(&mut self, started: Instant) {
        self.failures = 0;
        self.paused_until = None;
        // An answer to a question asked before the host complained does not take the complaint back.
        if self.throttle.as_ref().is_some_and(|throttle| started >= throttle.since) {
            self.throttle = None;
        }
    }

    /// Whether there is nothing worth remembering.
    pub(crate) fn is_calm(&self, now: Instant) -> bool {
        self.failures == 0 && self.throttle.as_ref().is_none_or(|throttle| throttle.until <= now)
    }
}

/// Doubling from [`PAUSE_FIRST`] to [`PAUSE_MAX`], then between half and all of it.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(LUCK).min(8);
    (PAUSE_FIRST * 2_u32.pow(doublings)).min(PAUSE_MAX).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn hostile_h05_a_year_of_retry_after_means_one_probe_per_30_s() {
        let (start, mut host) = (Instant::now(), Backoff::default());
        host.throttled(start, Some(secs(31_536_000)));
        let mut sent = 0;
        for second in 0..3_600 {
            if host.admit(start + secs(second), 0.5).is_ok() {
                sent += 1;
            }
        }
        assert_eq!(sent, 119, "one at 30 s, 60 s, ...");
        assert!(host.admit(start + secs(3_601), 0.5).is_ok(), "after an hour the host is a host again");
    }

    #[test]
    fn hostile_h05_an_hour_of_503_is_not_hammered() {
        let (start, mut host) = (Instant::now(), Backoff::default());
        let mut sent = 0;
        for second in 0..3_600 {
            let now = start + secs(second);
            if host.admit(now, 0.5).is_ok() {
                sent += 1;
                host.throttled(now, Some(secs(30)));
            }
        }
        assert_eq!(sent, 120);
    }

    #[test]
    fn a_short_retry_after_is_obeyed_to_the_second() {
        let (start, mut host) = (Instant::now(), Backoff::default());
        host.throttled(start, Some(secs(5)));
        assert_eq!(host.admit(start + secs(2), 0.0), Err(Wait::Throttled(secs(3))));
        assert_eq!(host.admit(start + secs(5), 0.0), Ok(()));
    }

    #[test]
    fn failures_in_a_row_lengthen_the_pause_and_one_success_ends_it() {
        let (start, mut host) = (Instant::now(), Backoff::default());
        host.failed(start, 1.0);
        host.failed(start, 1.0);
        assert_eq!(host.admit(start, 1.0), Ok(()), "twice is bad luck");
        for (failures, wait) in [(3, 1), (4, 2), (5, 4), (6, 8), (7, 10), (8, 10)] {
            host.failed(start, 1.0);
            assert_eq!(host.admit(start, 1.0), Err(Wait::Failing { failures, wait: secs(wait) }));
        }
        assert_eq!(host.admit(start + secs(10), 1.0), Ok(()), "a probe");
        for _ in 0..COMPANIONS {
            assert_eq!(host.admit(start + secs(10), 1.0), Ok(()), "what belongs to it goes with it");
        }
        assert!(host.admit(start + secs(10), 1.0).is_err(), "a probe, not a herd");
        assert_eq!(host.admit(start + secs(20), 1.0), Ok(()), "the next probe");
        host.failed(start + secs(20), 1.0);
        assert!(host.admit(start + secs(20), 1.0).is_err(), "a probe that fails ends it for its companions");
        host.succeeded(start + secs(10));
        assert_eq!(host.admit(start + secs(10), 1.0), Ok(()));
        assert!(host.is_calm(start));
    }

    #[test]
    fn an_old_answer_does_not_lift_a_new_throttle() {
        let (start, mut host) = (Instant::now(), Backoff::default());
        host.throttled(start + secs(1), Some(secs(20)));
        host.succeeded(start);
        assert!(host.admit(start + secs(2), 0.0).is_err());
        host.succeeded(start + secs(2));
        assert!(host.admit(start + secs(2), 0.0).is_ok());
    }

    #[test]
    fn jitter_keeps_between_half_and_all() {
        for failures in 3..40 {
            let (low, high) = (pause(failures, 0.0), pause(failures, 1.0));
            assert_eq!(low * 2, high);
            assert!(high <= PAUSE_MAX);
        }
    }
}
