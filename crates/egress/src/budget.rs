//! Turns: how many requests one host gets at a time, how many may wait, and when it is left alone.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::backoff::{Backoff, Wait};
use crate::error::Error;
use crate::host::HostPort;

/// Hosts remembered at a time. Far more than a mirror ever talks to at once; a flood of invented names
/// pushes out hosts that nobody is using and that are well.
const HOSTS_MAX: usize = 4_096;

/// How much one host gets (`hostile-inputs.md` part 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Requests in the air at once.
    pub(crate) parallel: usize,
    /// Requests that may wait for a turn.
    pub(crate) queue_max: usize,
}

/// The turns of all hosts.
#[derive(Default)]
pub(crate) struct Budget {
    hosts: Mutex<HashMap<HostPort, Arc<Host>>>,
}

struct Host {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    memory: Mutex<Backoff>,
}

/// Permission for one request to one host. Given back when dropped.
pub(crate) struct Turn {
    place: HostPort,
    host: Arc<Host>,
    started: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// Waits for a turn. The host's pause is looked at first and again when the turn has come, so that a
    /// queue does not march into a wall one by one.
    ///
    /// Cancel safe: a caller that leaves gives up its place in the queue.
    pub(crate) async fn turn(&self, place: &HostPort, share: Share) -> Result<Turn, Error> {
        let host = self.host(place, share)?;
        let turns = Arc::clone(&host.turns);
        let permit = if let Ok(permit) = Arc::clone(&turns).try_acquire_owned() {
            permit
        } else {
            host.refuse_if_pausing(place)?;
            let _place_in_queue = Queued::enter(&host, place, share)?;
            turns.acquire_owned().await.map_err(|_| queue_full(place, 0))?
        };
        host.admit(place)?;
        Ok(Turn { place: place.clone(), host, started: Instant::now(), _permit: permit })
    }

    fn host(&self, place: &HostPort, share: Share) -> Result<Arc<Host>, Error> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(place) {
            return Ok(Arc::clone(host));
        }
        if hosts.len() >= HOSTS_MAX {
            make_room(&mut hosts);
        }
        if hosts.len() >= HOSTS_MAX {
            return Err(queue_full(place, hosts.len()));
        }
        let host = Arc::new(Host {
            turns: Arc::new(Semaphore::new(share.parallel)),
            waiting: AtomicUsize::new(0),
            memory: Mutex::default(),
        });
        hosts.insert(place.clone(), Arc::clone(&host));
        Ok(host)
    }
}

/// Forgets the hosts nobody is using: first those that are well, then, if need be, all of them.
fn make_room(hosts: &mut HashMap<HostPort, Arc<Host>>) {
    let now = Instant::now();
    hosts.retain(|_, host| Arc::strong_count(host) > 1 || !lock(&host.memory).is_calm(now));
    if hosts.len() >= HOSTS_MAX {
        hosts.retain(|_, host| Arc::strong_count(host) > 1);
    }
}

impl Host {
    fn admit(&self, place: &HostPort) -> Result<(), Error> {
        let verdict = lock(&self.memory).admit(Instant::now(), jitter());
        verdict.map_err(|wait| not_now(place, wait))
    }

    /// Spares the queue a request that could not go out anyway. Probes are left to those whose turn it is.
    fn refuse_if_pausing(&self, place: &HostPort) -> Result<(), Error> {
        match lock(&self.memory).pausing(Instant::now()) {
            Some(wait) => Err(not_now(place, wait)),
            None => Ok(()),
        }
    }
}

/// A place in the queue, given up on drop.
struct Queued<'a>(&'a Host);

impl<'a> Queued<'a> {
    fn enter(host: &'a Host, place: &HostPort, share: Share) -> Result<Self, Error> {
        let queued = Self(host);
        let before = host.waiting.fetch_add(1, Ordering::Relaxed);
        if before >= share.queue_max { Err(queue_full(place, before)) } else { Ok(queued) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turn {
    /// Whose turn it is.
    pub(crate) fn place(&self) -> &HostPort {
        &self.place
    }

    /// The host answered in full.
    pub(crate) fn succeeded(&self) {
        lock(&self.host.memory).succeeded(self.started);
    }

    /// The host, or the way to it, failed.
    pub(crate) fn failed(&self) {
        lock(&self.host.memory).failed(Instant::now(), jitter());
    }

    /// The host asked for patience.
    pub(crate) fn throttled(&self, retry_after: Option<Duration>) {
        lock(&self.host.memory).throttled(Instant::now(), retry_after);
    }
}

fn queue_full(place: &HostPort, waiting: usize) -> Error {
    Error::QueueFull { host: place.to_string(), waiting }
}

fn not_now(place: &HostPort, wait: Wait) -> Error {
    let host = place.to_string();
    match wait {
        Wait::Throttled(retry_after) => Error::Throttled { host, retry_after },
        Wait::Failing { failures, wait } => Error::BackingOff { host, failures, retry_after: wait },
    }
}

/// A number in `0.0..1.0` that differs between processes and calls. It spreads retries; nothing secret
/// depends on it, so the standard library's keyed hasher is randomness enough.
fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 40;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
}

/// Every critical section here is a few assignments that cannot panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: usize) -> HostPort {
        HostPort::parse(&format!("h{n}.example:443")).unwrap()
    }

    const SMALL: Share = Share { parallel: 1, queue_max: 2 };

    #[tokio::test]
    async fn one_flies_two_wait_the_rest_is_told_so() {
        let budget = Arc::new(Budget::default());
        let first = budget.turn(&place(0), SMALL).await.unwrap();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move { budget.turn(&place(0), SMALL).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(matches!(budget.turn(&place(0), SMALL).await, Err(Error::QueueFull { waiting: 2, .. })));
        assert!(budget.turn(&place(1), SMALL).await.is_ok(), "another host is another matter");
        drop(first);
        for waiter in waiters {
            assert!(waiter.await.unwrap().is_ok());
        }
        assert!(budget.turn(&place(0), SMALL).await.is_ok());
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_frees_its_place() {
        let budget = Arc::new(Budget::default());
        let _first = budget.turn(&place(0), SMALL).await.unwrap();
        for _ in 0..10 {
            let wait = tokio::time::timeout(Duration::from_millis(1), budget.turn(&place(0), SMALL)).await;
            assert!(wait.is_err(), "it waited");
        }
    }

    #[tokio::test]
    async fn a_throttled_host_is_not_asked() {
        let budget = Budget::default();
        budget.turn(&place(0), SMALL).await.unwrap().throttled(Some(Duration::from_secs(9)));
        let error = budget.turn(&place(0), SMALL).await.map(drop).unwrap_err();
        assert!(matches!(&error, Error::Throttled { .. }), "{error}");
        assert!(error.retry_after().unwrap() <= Duration::from_secs(9));
    }

    #[tokio::test]
    async fn the_table_of_hosts_is_bounded() {
        let budget = Budget::default();
        for n in 0..HOSTS_MAX + 10 {
            budget.turn(&place(n), SMALL).await.unwrap();
        }
        assert!(lock(&budget.hosts).len() <= HOSTS_MAX);
    }

    #[test]
    fn jitter_is_a_fraction() {
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&jitter()));
        }
    }
}
