//! T9: the wall clock jumps at every step of every batch, and across restarts (R25).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use modkeep_log::{Config, Log, Sabotage};

use crate::oracle::Oracle;
use crate::support::{Seen, WallClock, audit_some, fill, new_folder, open_store, parts_with, real};

/// An hour and ten years to and fro, the beginning of time and before it, two centuries on, and a clock that stands still.
fn times() -> Vec<SystemTime> {
    let (now, epoch) = (SystemTime::now(), SystemTime::UNIX_EPOCH);
    let (hour, decade) = (Duration::from_hours(1), Duration::from_hours(10 * 365 * 24));
    let frozen = now + hour * 5;
    vec![
        now,
        now + hour,
        now - hour,
        now + decade,
        now - decade,
        frozen,
        frozen,
        frozen,
        epoch,
        epoch - decade,
        now + decade * 20,
        now - Duration::from_micros(1),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r25_clocks_that_jump_at_every_step_stop_and_reorder_nothing() {
    let (folder, oracle, times) = (new_folder(), Oracle::new(900), times());
    let (seen, clock, turn) =
        (Seen::default(), Arc::new(WallClock::default()), Arc::new(AtomicUsize::new(0)));
    let jump = {
        let (clock, times) = (clock.clone(), times.clone());
        // Seven is prime to the number of times and of steps: each step meets each time.
        move || clock.set(times[turn.fetch_add(1, Ordering::Relaxed) * 7 % times.len()])
    };
    let hook = Arc::new(jump.clone());
    for (round, time) in times.iter().enumerate() {
        clock.set(*time);
        let store = open_store(folder.path(), real());
        let hook = hook.clone();
        let sabotage = Sabotage { mutant: None, hook: Some(Arc::new(move |_| hook())) };
        let config = Config { sabotage, ..Config::default() };
        let log = Log::open(parts_with(&store, config, &seen, clock.clone())).unwrap();
        let first = round as u64 * 75;
        for batch in [first..first + 1, first + 1..first + 2, first + 2..first + 40, first + 40..first + 75] {
            fill(&log, batch).await;
            jump();
        }
        log.close().await;
        assert_eq!(seen.stops(), [], "it never stopped");
    }
    let heads = seen.heads();
    for head in &heads {
        oracle.believes(&head.note, "a head under a lying clock");
    }
    assert!(heads.windows(2).all(|pair| pair[0].size <= pair[1].size), "no head goes back");
    let store = open_store(folder.path(), real());
    let log = Log::open(parts_with(&store, Config::default(), &seen, clock)).unwrap();
    audit_some(&log, 900, &heads, 13).unwrap();
}
