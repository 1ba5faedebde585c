//! Where appends wait for the sequencer: bounded, taken out a batch at a time.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use modkeep_store::NewRecord;
use modkeep_tlog::{Hash, RecordText, TreeSize};
use tokio::sync::oneshot;

use crate::error::AppendError;
use crate::log::{Appended, State};

/// The largest batch (C3).
pub(crate) const BATCH_MAX: usize = 4096;

/// A record that waits, with what was computed from its caller's copy (R14).
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) record: NewRecord,
    pub(crate) text: RecordText,
    pub(crate) leaf: Hash,
    pub(crate) waiter: Waiter,
}

/// Who is answered. One that has gone away harms nobody.
pub(crate) type Waiter = oneshot::Sender<Result<Appended, AppendError>>;

/// Something for the sequencer to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Records, at least one.
    Batch(Vec<Pending>),
    /// A checkpoint with cosignatures.
    Cosigned(Cosigned),
    /// Nothing for so long as was asked.
    Idle,
    /// Everything is done, and nothing more will come.
    End,
}

/// A checkpoint that witnesses have cosigned, to be kept.
#[derive(Debug)]
pub(crate) struct Cosigned {
    pub(crate) size: TreeSize,
    pub(crate) checkpoint: Bytes,
    pub(crate) waiter: oneshot::Sender<Result<(), AppendError>>,
}

/// The queue, and what its two ends have to tell each other.
#[derive(Debug)]
pub(crate) struct Queue {
    inside: Mutex<Inside>,
    bell: Condvar,
}

#[derive(Debug)]
struct Inside {
    pending: VecDeque<Pending>,
    cosigned: Vec<Cosigned>,
    state: State,
    /// In an operator's words. What is queued is finished; nothing more is taken.
    paused: Option<Arc<str>>,
    closing: bool,
    /// An operator wants a stopped sequencer to try again.
    woken: bool,
    /// Whether the sequencer waits for the bell: then it is worth ringing.
    asleep: bool,
}

impl Queue {
    /// Of a log in this state.
    pub(crate) fn new(state: State) -> Self {
        let inside = Inside {
            pending: VecDeque::new(),
            cosigned: Vec::new(),
            state,
            paused: None,
            closing: false,
            woken: false,
            asleep: false,
        };
        Self { inside: Mutex::new(inside), bell: Condvar::new() }
    }

    /// Takes a record in, unless the log takes none.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), AppendError> {
        let mut inside = self.lock();
        inside.check_open()?;
        inside.pending.push_back(pending);
        self.ring(inside);
        Ok(())
    }

    /// Takes a checkpoint in, unless nothing is written.
    pub(crate) fn push_cosigned(&self, cosigned: Cosigned) -> Result<(), AppendError> {
        let mut inside = self.lock();
        if inside.state != State::Running {
            return Err(inside.refusal());
        }
        inside.cosigned.push(cosigned);
        self.ring(inside);
        Ok(())
    }

    /// What to do next; waits for it, at most so long.
    pub(crate) fn next(&self, patience: Duration) -> Work {
        let deadline = Instant::now() + patience;
        let mut inside = self.lock();
        loop {
            if let Some(cosigned) = inside.cosigned.pop() {
                return Work::Cosigned(cosigned);
            }
            if !inside.pending.is_empty() {
                return Work::Batch(inside.take_batch());
            }
            if inside.closing {
                return Work::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Work::Idle;
            }
            inside = self.sleep(inside, left);
        }
    }

    /// Waits before another start: so long, or until an operator says now. False when the log closes instead.
    pub(crate) fn wait_to_restart(&self, patience: Option<Duration>) -> bool {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut inside = self.lock();
        loop {
            if inside.closing {
                return false;
            }
            if mem::take(&mut inside.woken) {
                return true;
            }
            let left = deadline.map_or(FOREVER, |it| it.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            inside = self.sleep(inside, left);
        }
    }

    /// Says what the sequencer does now, and takes out what waits in vain when it does nothing.
    pub(crate) fn set_state(&self, state: State) -> Vec<Pending> {
        let mut inside = self.lock();
        inside.state = state;
        if inside.state == State::Running {
            return Vec::new();
        }
        inside.cosigned.clear(); // their waiters learn it from the closed channel
        inside.pending.drain(..).collect()
    }

    /// What the sequencer does.
    pub(crate) fn state(&self) -> State {
        let inside = self.lock();
        match (&inside.state, &inside.paused) {
            (State::Running, Some(reason)) => State::Paused { reason: reason.clone() },
            (state, _) => state.clone(),
        }
    }

    /// The answer to those who come while nothing is taken.
    pub(crate) fn refusal(&self) -> AppendError {
        self.lock().refusal()
    }

    pub(crate) fn pause(&self, reason: &str) {
        self.lock().paused = Some(reason.into());
    }

    pub(crate) fn resume(&self) {
        let mut inside = self.lock();
        inside.paused = None;
        inside.woken = matches!(inside.state, State::Stopped { .. });
        self.ring(inside);
    }

    pub(crate) fn close(&self) {
        let mut inside = self.lock();
        inside.closing = true;
        self.ring(inside);
    }

    fn sleep<'a>(&self, mut inside: MutexGuard<'a, Inside>, patience: Duration) -> MutexGuard<'a, Inside> {
        inside.asleep = true;
        let (mut inside, _) =
            self.bell.wait_timeout(inside, patience).unwrap_or_else(PoisonError::into_inner);
        inside.asleep = false;
        inside
    }

    fn ring(&self, mut inside: MutexGuard<'_, Inside>) {
        let asleep = mem::take(&mut inside.asleep);
        drop(inside);
        if asleep {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than anybody waits; a deadline that far can still be computed.
const FOREVER: Duration = Duration::from_secs(3600);

impl Inside {
    fn take_batch(&mut self) -> Vec<Pending> {
        if self.pending.len() <= BATCH_MAX {
            return mem::take(&mut self.pending).into();
        }
        self.pending.drain(..BATCH_MAX).collect()
    }

    fn check_open(&self) -> Result<(), AppendError> {
        let open = self.state == State::Running && self.paused.is_none() && !self.closing;
        if open { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> AppendError {
        let reason = match (&self.state, &self.paused) {
            (State::Stopped { reason, .. }, _) => reason.clone(),
            (State::Reading, _) => "it was opened for reading".into(),
            (_, Some(reason)) => reason.clone(),
            (_, None) => "it is closing".into(),
        };
        AppendError::Paused { reason }
    }
}
