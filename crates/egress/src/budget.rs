//! Turns: how many requests one host gets at a time, how many may wait, and when it is left alone.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::backoff::{Backoff, Wait};
use crate::domain::registrable;
use crate::error::Error;
use crate::host::HostPort;

/// Hosts remembered at a time. Far more than a mirror ever talks to at once; a flood of invented names
/// pushes out hosts that nobody is using and that are well.
const HOSTS_MAX: usize = 4_096;
/// Requests at once to all repositories and pages, for each core; to those of one registrable domain; and how many wait
/// for either (`hostile-inputs.md` part 1).
const SLOTS_PER_CORE: usize = 4;
const PER_DOMAIN: usize = 4;
const COMMON_QUEUE_MAX: usize = 256;

/// How much one host gets (`hostile-inputs.md` part 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Requests in the air at once.
    pub(crate) parallel: usize,
    /// Requests that may wait for a turn.
    pub(crate) queue_max: usize,
    /// Whether it takes part in the slots that all hosts nobody configured have together (K03, K04).
    pub(crate) draws_on_common: bool,
}

/// The turns of all hosts.
#[derive(Default)]
pub(crate) struct Budget {
    hosts: Mutex<HashMap<HostPort, Arc<Host>>>,
    common: Common,
}

/// What repositories and pages share: slots for each registrable domain, slots for all, and a queue for both.
struct Common {
    domains: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
    waiting: AtomicUsize,
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
    _common: Option<[OwnedSemaphorePermit; 2]>,
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
            let _place_in_queue = Queued::enter(&host.waiting, place, share.queue_max)?;
            turns.acquire_owned().await.map_err(|_| queue_full(place, 0))?
        };
        // After the host's own turn, so that those who wait for a slow host hold no slot of the others (K03).
        let common = if share.draws_on_common { Some(self.common.slots(place).await?) } else { None };
        host.admit(place)?;
        Ok(Turn { place: place.clone(), host, started: Instant::now(), _permit: permit, _common: common })
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

impl Default for Common {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            domains: Mutex::default(),
            all: Arc::new(Semaphore::new(cores * SLOTS_PER_CORE)),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Common {
    /// A slot of the domain's, then one of all; as many wait as [`COMMON_QUEUE_MAX`] says, the rest is told so at once.
    async fn slots(&self, place: &HostPort) -> Result<[OwnedSemaphorePermit; 2], Error> {
        let domain = self.domain(registrable(place.host()));
        let now = |slots: &Arc<Semaphore>| Arc::clone(slots).try_acquire_owned();
        if let (Ok(domain), Ok(all)) = (now(&domain), now(&self.all)) {
            return Ok([domain, all]);
        }
        let _place_in_queue = Queued::enter(&self.waiting, place, COMMON_QUEUE_MAX)?;
        let closed = |_| queue_full(place, 0);
        Ok([
            domain.acquire_owned().await.map_err(closed)?,
            Arc::clone(&self.all).acquire_owned().await.map_err(closed)?,
        ])
    }

    fn domain(&self, name: &str) -> Arc<Semaphore> {
        let mut domains = lock(&self.domains);
        if domains.len() >= HOSTS_MAX {
            domains.retain(|_, slots| Arc::strong_count(slots) > 1 || slots.available_permits() < PER_DOMAIN);
        }
        let slots = domains.entry(name.into()).or_insert_with(|| Arc::new(Semaphore::new(PER_DOMAIN)));
        Arc::clone(slots)
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

/// A place in a queue, given up on drop.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(waiting: &'a AtomicUsize, place: &HostPort, queue_max: usize) -> Result<Self, Error> {
        let queued = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        if before >= queue_max { Err(queue_full(place, before)) } else { Ok(queued) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

    const SMALL: Share = Share { parallel: 1, queue_max: 2, draws_on_common: false };
    const ORIGIN: Share = Share { parallel: 2, queue_max: 256, draws_on_common: true };

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

    #[tokio::test]
    async fn hostile_k03_a_hanging_host_holds_two_slots_and_the_others_go_on() {
        let budget = Arc::new(Budget::default());
        let hanging =
            [budget.turn(&place(0), ORIGIN).await.unwrap(), budget.turn(&place(0), ORIGIN).await.unwrap()];
        let free = budget.common.all.available_permits();
        let waiters: Vec<_> = (0..500)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move { budget.turn(&place(0), ORIGIN).await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(budget.common.all.available_permits(), free, "who waits for the host holds nothing else");
        for n in 1..20 {
            let elsewhere = HostPort::parse(&format!("h.other{n}.example:443")).unwrap();
            assert!(budget.turn(&elsewhere, ORIGIN).await.is_ok());
        }
        drop(hanging);
        let mut told = 0;
        for waiter in waiters {
            told += usize::from(matches!(waiter.await.unwrap(), Err(Error::QueueFull { waiting: 256, .. })));
        }
        assert_eq!(told, 500 - 256);
    }

    #[tokio::test]
    async fn hostile_k04_the_hosts_of_one_domain_share_four_slots() {
        let budget = Budget::default();
        let mut held = Vec::new();
        for n in 0..PER_DOMAIN {
            held.push(
                budget
                    .turn(&HostPort::parse(&format!("h{n}.flood.example:443")).unwrap(), ORIGIN)
                    .await
                    .unwrap(),
            );
        }
        let fifth = HostPort::parse("h5.flood.example:443").unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(5), budget.turn(&fifth, ORIGIN)).await.is_err());
        held.pop();
        assert!(budget.turn(&fifth, ORIGIN).await.is_ok());
        for n in 0..2 * HOSTS_MAX {
            drop(budget.common.domain(&format!("d{n}.example")));
        }
        assert!(lock(&budget.common.domains).len() <= HOSTS_MAX);
    }

    #[tokio::test]
    async fn hostile_k02_a_thousand_cold_hosts_are_told_at_once_when_the_queue_is_full() {
        let budget = Arc::new(Budget::default());
        let slots = budget.common.all.available_permits();
        let mut held = Vec::new();
        for n in 0..slots {
            held.push(
                budget.turn(&HostPort::parse(&format!("h.d{n}.example:443")).unwrap(), ORIGIN).await.unwrap(),
            );
        }
        let began = Instant::now();
        let waiters: Vec<_> = (slots..1_000)
            .map(|n| {
                let (budget, place) =
                    (Arc::clone(&budget), HostPort::parse(&format!("h.d{n}.example:443")).unwrap());
                tokio::spawn(async move { (budget.turn(&place, ORIGIN).await.map(drop), began.elapsed()) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(held);
        let mut told = 0;
        for waiter in waiters {
            let (answer, after) = waiter.await.unwrap();
            if answer.is_err() {
                told += 1;
                assert!(after < Duration::from_millis(500), "{after:?}");
            }
        }
        assert_eq!(told, 1_000 - slots - COMMON_QUEUE_MAX);
    }

    #[test]
    fn jitter_is_a_fraction() {
        for _ in 0..100 {
            assert!((0.0..1.0).contains(&jitter()));
        }
    }
}
