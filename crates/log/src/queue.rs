//! Where appends wait for the sequencer: bounded, taken out a batch at a time.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use modkeep_store::NewRecord;
use modkeep_tlog::{Hash, RecordText, TreeSize};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

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

/// Who is answered, and the place that is free again then, even when nobody answers because something panicked.
#[derive(Debug)]
pub(crate) struct Waiter {
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    place: OwnedSemaphorePermit,
}

impl Waiter {
    /// A waiter that holds a place, and the end at which it waits.
    pub(crate) fn new(
        place: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<Appended, AppendError>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { answer, place }, receiver)
    }

    /// Answers. A caller that has gone away harms nobody.
    pub(crate) fn answer(self, outcome: Result<Appended, AppendError>) {
        drop(self.place); // first: who is answered and comes back at once finds it free
        let _ = self.answer.send(outcome);
    }
}

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
    /// How many records the sequencer waits for, while it waits for the bell: before that it is not worth ringing.
    awaited: Option<usize>,
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
            awaited: None,
        };
        Self { inside: Mutex::new(inside), bell: Condvar::new() }
    }

    /// Takes a record in, unless the log takes none.
    pub(crate) fn push(&self, pending: Pending) -> Result<(), AppendError> {
        let mut inside = self.lock();
        inside.check_open()?;
        inside.pending.push_back(pending);
        if inside.awaited.is_some_and(|awaited| inside.pending.len() >= awaited) {
            self.ring(inside);
        }
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
    ///
    /// `returning` is how many waited when the last batch was answered, its own among them. Callers that append one record
    /// after the other are back in an instant, so a batch that would be much smaller waits for them that instant: else those
    /// who come back and those who waited meanwhile would take turns, in twice as many batches with twice as many syncs. A
    /// lone caller's record is never kept waiting.
    pub(crate) fn next(&self, returning: usize, patience: Duration) -> Work {
        let now = Instant::now();
        let returning = (returning - returning / 8).clamp(1, BATCH_MAX);
        let linger = LINGER_EACH * u32::try_from(returning).unwrap_or(u32::MAX);
        let (deadline, lingers_until) = (now + patience, now + linger.min(LINGER_MAX));
        let mut inside = self.lock();
        loop {
            if let Some(cosigned) = inside.cosigned.pop() {
                return Work::Cosigned(cosigned);
            }
            let now = Instant::now();
            let lingers = inside.pending.len() < returning && now < lingers_until && !inside.closing;
            if !inside.pending.is_empty() && !lingers {
                return Work::Batch(inside.take_batch());
            }
            if inside.closing {
                return Work::End;
            }
            if now >= deadline {
                return Work::Idle;
            }
            let (awaited, until) = if lingers { (returning, lingers_until) } else { (1, deadline) };
            inside = self.sleep(inside, awaited, until.saturating_duration_since(now));
        }
    }

    /// How many wait to be taken.
    pub(crate) fn len(&self) -> usize {
        self.lock().pending.len()
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
            inside = self.sleep(inside, usize::MAX, left);
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

    fn sleep<'a>(
        &self,
        mut inside: MutexGuard<'a, Inside>,
        awaited: usize,
        patience: Duration,
    ) -> MutexGuard<'a, Inside> {
        inside.awaited = Some(awaited);
        let (mut inside, _) =
            self.bell.wait_timeout(inside, patience).unwrap_or_else(PoisonError::into_inner);
        inside.awaited = None;
        inside
    }

    fn ring(&self, mut inside: MutexGuard<'_, Inside>) {
        let waits = inside.awaited.take().is_some();
        drop(inside);
        if waits {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a batch waits for callers that were answered a moment ago, for each of them: what making and queueing a record
/// takes. And how long at most, whatever their number: about what the syncs of a batch take.
const LINGER_EACH: Duration = Duration::from_micros(4);
const LINGER_MAX: Duration = Duration::from_millis(2);

/// Longer than anybody waits; a deadline that far can still be computed.
const FOREVER: Duration = Duration::from_hours(1);

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
            (State::Reading, _) => "it was opened for reading".into(),
            (State::Stopped { reason, .. }, _) | (_, Some(reason)) => reason.clone(),
            (_, None) => "it is closing".into(),
        };
        AppendError::Paused { reason }
    }
}
