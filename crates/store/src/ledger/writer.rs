//! The one writer: a thread that owns the writing connection and commits many callers' work at once.
//!
//! Callers wait until the transaction that holds their work is on stable storage. While one commit syncs, the next
//! callers queue up and share the following one, so the syncs per caller fall as the load rises.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::engine::{Lost, failed};
use crate::error::Error;

/// How many callers may share one transaction: large enough to hide the sync, small enough to bound the wait.
const GROUP_MAX: usize = 256;
/// How many callers may wait; more block before they queue (R30).
const QUEUE_MAX: usize = 1024;

/// Tells the caller how its transaction ended.
type Landing = Box<dyn FnOnce(Result<(), &Error>) + Send>;
/// A caller's work, inside the transaction or, when there can be none, told why.
type Job = Box<dyn FnOnce(Result<&Connection, &Error>) -> Landing + Send>;

#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE_MAX);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = commits.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || serve(&connection, &queue, &counter))
            .map_err(|error| Error::Ledger { doing: "start the writer", detail: error.to_string() })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), commits })
    }

    /// Runs `work` in a transaction, and returns when that is durable. An error of `work` undoes its part alone.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, wait) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let outcome =
                connection.map_err(Clone::clone).and_then(|connection| in_savepoint(connection, work));
            Box::new(move |end| {
                // The caller's own error says more than that of the transaction it brought down.
                let outcome = outcome.and_then(|value| end.map_err(Clone::clone).map(|()| value));
                // The caller waits for it; if it is gone, nobody needs the answer.
                let _ = answer.send(outcome);
            })
        });
        self.jobs.as_ref().ok_or(Error::Closed)?.send(job).map_err(|_| Error::Closed)?;
        wait.recv().map_err(|_| Error::Closed)?
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, queue: &Receiver<Job>, commits: &AtomicU64) {
    let mut broken: Option<Error> = None;
    while let Ok(first) = queue.recv() {
        if let Some(error) = &broken {
            first(Err(error))(Err(error));
            continue;
        }
        let (landings, end) = one_transaction(connection, first, queue);
        if end.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        let end = end.map_err(|lost| {
            if !lost.is_final {
                return lost.error;
            }
            let reason =
                format!("the ledger could not be made durable ({}); restart to check and resume", lost.error);
            broken.insert(Error::ReadOnly { reason: reason.into() }).clone()
        });
        for landing in landings {
            landing(end.as_ref().copied());
        }
    }
}

fn one_transaction(
    connection: &Connection,
    first: Job,
    queue: &Receiver<Job>,
) -> (Vec<Landing>, Result<(), Lost>) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let lost = Lost { error: failed("begin a transaction")(error), is_final: false };
        return (vec![first(Err(&lost.error))], Err(lost));
    }
    let mut landings = vec![first(Ok(connection))];
    while landings.len() < GROUP_MAX && !connection.is_autocommit() {
        let Ok(next) = queue.try_recv() else { break };
        landings.push(next(Ok(connection)));
    }
    // The engine ends a transaction by itself after errors such as a full disk; nothing of it is left then.
    let end = if connection.is_autocommit() {
        let error =
            Error::Ledger { doing: "commit", detail: "the engine rolled the transaction back".to_owned() };
        Err(Lost { error, is_final: false })
    } else {
        connection.execute_batch("COMMIT").map_err(Lost::at_commit)
    };
    if end.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    (landings, end)
}

fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.execute_batch("SAVEPOINT job").map_err(failed("begin"))?;
    let outcome = work(connection);
    let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    if !connection.is_autocommit() {
        connection.execute_batch(end).map_err(failed("end"))?;
    }
    outcome
}
