//! Answers that are believed for a while (V-23): bounded, one question at a time for each key.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use modkeep_store::Clock;

/// Keys remembered at a time; a flood of invented names pushes out the oldest.
const KEYS_MAX: usize = 4_096;

/// Remembers answers by name.
#[derive(Debug)]
pub(super) struct Memory<T> {
    slots: Mutex<HashMap<Box<str>, Arc<Slot<T>>>>,
    clock: Arc<dyn Clock>,
}

/// One key's answer. Whoever holds its lock is asking; the others wait for what comes.
type Slot<T> = tokio::sync::Mutex<Option<Known<T>>>;

#[derive(Debug)]
struct Known<T> {
    answer: T,
    until: Instant,
}

impl<T: Clone> Memory<T> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { slots: Mutex::default(), clock }
    }

    /// The answer for `key`: remembered, or asked for now and then remembered as long as `lifetime` says of it.
    ///
    /// `ask` is given the last answer, however old. Cancel safe: the next one in line asks again.
    pub(super) async fn get<A: Future<Output = T>>(
        &self,
        key: &str,
        ask: impl FnOnce(Option<T>) -> A,
        lifetime: impl FnOnce(&T) -> Duration,
    ) -> T {
        let slot = self.slot(key);
        let mut known = slot.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.until > self.clock.monotonic()) {
            return known.answer.clone();
        }
        let last = known.as_ref().map(|known| known.answer.clone());
        let answer = ask(last).await;
        let until = self.clock.monotonic() + lifetime(&answer);
        *known = Some(Known { answer: answer.clone(), until });
        answer
    }

    fn slot(&self, key: &str) -> Arc<Slot<T>> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= KEYS_MAX {
            self.make_room(&mut slots);
        }
        let slot = Arc::<Slot<T>>::default();
        slots.insert(key.into(), Arc::clone(&slot));
        slot
    }

    /// Forgets what is stale, and if that is not enough the half that goes stale first. Keys in use stay.
    fn make_room(&self, slots: &mut HashMap<Box<str>, Arc<Slot<T>>>) {
        let until = |slot: &Arc<Slot<T>>| slot.try_lock().ok()?.as_ref().map(|known| known.until);
        let now = self.clock.monotonic();
        let is_used = |slot: &Arc<Slot<T>>| Arc::strong_count(slot) > 1;
        slots.retain(|_, slot| is_used(slot) || until(slot).is_some_and(|until| until > now));
        if slots.len() >= KEYS_MAX {
            let mut ends: Vec<_> = slots.values().filter_map(until).collect();
            ends.sort_unstable();
            let median = ends.get(ends.len() / 2).copied();
            slots.retain(|_, slot| is_used(slot) || until(slot) > median);
        }
    }
}

/// Every critical section here is a few assignments that cannot panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use modkeep_testkit::ManualClock;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn an_answer_is_asked_for_once_in_its_lifetime() {
        let clock = Arc::new(ManualClock::new());
        let memory = Memory::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let asked = AtomicUsize::new(0);
        let get = || memory.get("k", |_| async { asked.fetch_add(1, Ordering::Relaxed) }, |_| MINUTE);
        assert_eq!(tokio::join!(get(), get(), get()), (0, 0, 0));
        clock.advance(Duration::from_secs(59));
        assert_eq!(get().await, 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(get().await, 1);
    }

    #[tokio::test]
    async fn an_asker_that_leaves_is_followed_by_the_next() {
        let memory = Memory::new(Arc::new(ManualClock::new()));
        let hanging = memory.get("k", |_| std::future::pending(), |()| MINUTE);
        assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
        memory.get("k", |last| async move { assert!(last.is_none()) }, |()| MINUTE).await;
    }

    #[tokio::test]
    async fn the_number_of_keys_is_bounded() {
        let clock = Arc::new(ManualClock::new());
        let memory = Memory::new(Arc::clone(&clock) as Arc<dyn Clock>);
        for n in 0..3 * KEYS_MAX {
            memory.get(&n.to_string(), |_| async { n }, |_| MINUTE).await;
            clock.advance(Duration::from_micros(1));
            assert!(lock(&memory.slots).len() <= KEYS_MAX);
        }
        let newest = (3 * KEYS_MAX - 1).to_string();
        assert_eq!(memory.get(&newest, |_| async { 0 }, |_| MINUTE).await, 3 * KEYS_MAX - 1);
    }
}
