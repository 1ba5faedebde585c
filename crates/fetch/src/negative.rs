//! The memory of failures (P-78, R23).
//!
//! The go command probes every prefix of an import path and asks each refused question twice over https, so
//! "no" is the most frequent answer there is. A "no" that the authority gave is kept here for a short while;
//! trouble never is.

use std::hash::Hash;
use std::time::{Duration, Instant};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

/// A bounded memory of failures, each for at most its lifetime; the least recently used goes first.
pub struct Negatives<K, F> {
    remembered: Cache<K, (Instant, F)>,
    lifetime: Duration,
}

impl<K: Clone + Eq + Hash, F: Clone> Negatives<K, F> {
    /// A memory of at most `max` failures for `lifetime` each.
    pub fn new(max: usize, lifetime: Duration) -> Self {
        Self { remembered: Cache::new(max), lifetime }
    }

    /// The failure remembered for `key` and its age, unless its time is over.
    pub fn recall<Q>(&self, key: &Q, now: Instant) -> Option<(F, Duration)>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        let (at, failure) = self.remembered.get(key)?;
        let age = now.saturating_duration_since(at);
        if age < self.lifetime {
            return Some((failure, age));
        }
        self.remembered.remove(key);
        None
    }

    /// Remembers `failure` from `now` on.
    pub fn remember(&self, key: K, failure: F, now: Instant) {
        self.remembered.insert(key, (now, failure));
    }

    /// Forgets `key`: something came to be.
    pub fn forget(&self, key: &K) {
        self.remembered.remove(key);
    }

    /// How many failures are held, those past their time included.
    pub fn held(&self) -> usize {
        self.remembered.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_mins(1);

    #[test]
    fn a_no_is_told_for_a_minute_and_not_longer() {
        let memory = Negatives::new(16, LIFETIME);
        let start = Instant::now();
        memory.remember("m@v1.0.0", "not found", start);
        for (seconds, told) in [(0, true), (1, true), (59, true), (60, false), (61, false)] {
            memory.remember("m@v1.0.0", "not found", start);
            let age = Duration::from_secs(seconds);
            let expected = told.then_some(("not found", age));
            assert_eq!(memory.recall(&"m@v1.0.0", start + age), expected, "after {seconds} s");
        }
        assert_eq!(memory.held(), 0, "what is past its time is let go");
    }

    #[test]
    fn what_comes_to_be_is_no_longer_denied() {
        let memory = Negatives::new(16, LIFETIME);
        memory.remember(1, "no", Instant::now());
        memory.forget(&1);
        assert_eq!(memory.recall(&1, Instant::now()), None);
    }

    #[test]
    fn the_memory_is_bounded_by_its_size_not_by_its_callers() {
        let memory = Negatives::new(100, LIFETIME);
        for probe in 0..100_000 {
            memory.remember(probe, "no", Instant::now());
        }
        assert!(memory.held() <= 128, "{}", memory.held());
    }
}
