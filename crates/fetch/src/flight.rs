//! One flight per question (D10, P-161, R18).
//!
//! A flight is a detached, tracked task with a watch channel. It takes off for the first caller that asks
//! and lands for everybody who came aboard meanwhile. A caller that goes away never cancels it; a panic in
//! it lands it too, so that no waiter hangs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The flights in the air, by question.
///
/// Bounded: at most `max` questions are worked on at once, however many callers wait for each.
pub struct Flights<K, V> {
    table: Arc<Table<K, V>>,
    max: usize,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

/// A seat on a flight.
#[derive(Debug)]
pub struct Seat<V> {
    outcome: watch::Receiver<Option<V>>,
    /// Whether this caller started the flight or joined one in the air.
    pub boarding: Boarding,
}

/// How a caller came aboard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Boarding {
    /// This caller's question started the flight.
    First,
    /// The flight was in the air.
    Joined,
}

/// Why a flight could not be boarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// As many flights as allowed are in the air (R20, R30).
    Full,
    /// The program is stopping.
    Closed,
}

/// Why a seat brought no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unlanded {
    /// The caller's patience ended; the flight goes on.
    StillFlying,
    /// The work panicked.
    Crashed,
    /// The program is stopping and the work was let go.
    Cancelled,
}

struct Table<K, V>(Mutex<HashMap<K, watch::Receiver<Option<V>>>>);

impl<K, V> Table<K, V> {
    /// The table, also after a panic elsewhere: each change to it is a single map operation.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the flight off the table when its task ends, however it ends.
///
/// Before the outcome is told: whoever hears of a failure and asks again starts a new flight and does not get
/// the same failure once more. Who comes between the two starts one too, so work begins with a look at whether
/// it is done already.
struct Landing<K: Eq + Hash, V> {
    table: Arc<Table<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.table.lock().remove(&self.key);
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty sky. Tasks are counted by `tracker`, whose owner waits for them, and let go on `cancel`.
    pub fn new(max: usize, tracker: TaskTracker, cancel: CancellationToken) -> Self {
        Self { table: Arc::new(Table(Mutex::new(HashMap::new()))), max, tracker, cancel }
    }

    /// Boards the flight for `key`, starting `work` if none is in the air.
    ///
    /// Cancel safe: a seat that is dropped leaves the flight running for the others.
    pub fn board<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<Seat<V>, Refused>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = self.table.lock();
        let in_the_air = table.len();
        let vacant = match table.entry(key) {
            Entry::Occupied(flight) => {
                return Ok(Seat { outcome: flight.get().clone(), boarding: Boarding::Joined });
            }
            Entry::Vacant(_) if self.cancel.is_cancelled() => return Err(Refused::Closed),
            Entry::Vacant(_) if in_the_air >= self.max => return Err(Refused::Full),
            Entry::Vacant(vacant) => vacant,
        };
        let (land, outcome) = watch::channel(None);
        let landing = Landing { table: Arc::clone(&self.table), key: vacant.key().clone() };
        vacant.insert(outcome.clone());
        drop(table);
        let work = work();
        let cancel = self.cancel.clone();
        self.tracker.spawn(async move {
            let landing = landing;
            let outcome = cancel.run_until_cancelled_owned(work).await;
            drop(landing);
            if let Some(outcome) = outcome {
                land.send_replace(Some(outcome));
            }
        });
        Ok(Seat { outcome, boarding: Boarding::First })
    }

    /// How many flights are in the air.
    pub fn in_the_air(&self) -> usize {
        self.table.lock().len()
    }

    /// Waits for the flight's outcome, at most for `patience`.
    ///
    /// Cancel safe: the flight goes on without this caller.
    pub async fn land(&self, mut seat: Seat<V>, patience: Duration) -> Result<V, Unlanded> {
        let landed = tokio::time::timeout(patience, seat.outcome.wait_for(Option::is_some)).await;
        match landed {
            Err(_elapsed) => Err(Unlanded::StillFlying),
            Ok(Ok(outcome)) => outcome.clone().ok_or(Unlanded::Crashed),
            Ok(Err(_gone)) if self.cancel.is_cancelled() => Err(Unlanded::Cancelled),
            Ok(Err(_gone)) => Err(Unlanded::Crashed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn sky(max: usize) -> Flights<&'static str, usize> {
        Flights::new(max, TaskTracker::new(), CancellationToken::new())
    }

    #[tokio::test]
    async fn a_thousand_callers_one_run() {
        let sky = Arc::new(sky(8));
        let runs = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let (sky, runs, gate) = (Arc::clone(&sky), Arc::clone(&runs), Arc::clone(&gate));
            callers.spawn(async move {
                let seat = sky
                    .board("zip", || async move {
                        let _open = gate.acquire().await.unwrap();
                        runs.fetch_add(1, Ordering::SeqCst) + 7
                    })
                    .unwrap();
                sky.land(seat, PATIENCE).await.unwrap()
            });
        }
        while sky.in_the_air() == 0 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let answers = callers.join_all().await;
        assert_eq!(answers, vec![7; 1000]);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        sky.tracker.close();
        sky.tracker.wait().await;
        assert_eq!(sky.in_the_air(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_hears_the_outcome_finds_the_flight_gone() {
        let sky = sky(8);
        for turn in 0..1000 {
            let seat = sky.board("mod", || async move { turn }).unwrap();
            assert_eq!((seat.boarding, sky.land(seat, PATIENCE).await), (Boarding::First, Ok(turn)));
        }
    }

    #[tokio::test]
    async fn the_flight_goes_on_when_its_first_caller_leaves() {
        let sky = sky(8);
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let first = sky
            .board("mod", || async move {
                let _open = opened.acquire().await.unwrap();
                3
            })
            .unwrap();
        drop(first);
        let second = sky.board("mod", || async { unreachable!("it is in the air") }).unwrap();
        assert_eq!(second.boarding, Boarding::Joined);
        gate.add_permits(1);
        assert_eq!(sky.land(second, PATIENCE).await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_leaves_no_waiter_hanging() {
        let sky = sky(8);
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let work = async move {
            let _open = opened.acquire().await.unwrap();
            panic!("a bug in the work");
        };
        let first = sky.board("info", || work).unwrap();
        let second = sky.board("info", || async { 1 }).unwrap();
        gate.add_permits(1);
        assert_eq!(sky.land(first, PATIENCE).await, Err(Unlanded::Crashed));
        assert_eq!(sky.land(second, PATIENCE).await, Err(Unlanded::Crashed));
        let again = sky.board("info", || async { 5 }).unwrap();
        assert_eq!(again.boarding, Boarding::First, "a crash is not remembered");
        assert_eq!(sky.land(again, PATIENCE).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_the_flight_does_not() {
        let sky = sky(8);
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(90)).await;
            9
        };
        let first = sky.board("zip", slow).unwrap();
        assert_eq!(sky.land(first, Duration::from_secs(50)).await, Err(Unlanded::StillFlying));
        let second = sky.board("zip", slow).unwrap();
        assert_eq!(second.boarding, Boarding::Joined);
        assert_eq!(sky.land(second, Duration::from_secs(50)).await, Ok(9));
    }

    #[tokio::test]
    async fn a_full_sky_refuses_new_questions_and_seats_old_ones() {
        let sky = sky(1);
        let _first = sky.board("a", std::future::pending).unwrap();
        assert_eq!(sky.board("b", std::future::pending).unwrap_err(), Refused::Full);
        assert_eq!(sky.board("a", std::future::pending).unwrap().boarding, Boarding::Joined);
    }

    #[tokio::test]
    async fn stopping_lets_the_work_go_and_tells_the_waiters() {
        let sky = sky(8);
        let seat = sky.board("a", std::future::pending).unwrap();
        sky.cancel.cancel();
        assert_eq!(sky.land(seat, PATIENCE).await, Err(Unlanded::Cancelled));
        assert_eq!(sky.board("b", std::future::pending).unwrap_err(), Refused::Closed);
    }
}
