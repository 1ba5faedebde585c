//! The thread that writes the key index and makes it durable from time to time, out of the way of appends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::log::keys::Keys;

/// Owned by the writer, and joined with it.
#[derive(Debug)]
pub(in crate::log) struct Marker {
    keys: Arc<Keys>,
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    jobs: SyncSender<u64>,
    handle: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// Ids below it are durable in the index.
    mark: AtomicU64,
    /// Why the index could not be written.
    failure: OnceLock<Error>,
}

impl Marker {
    pub(in crate::log) fn start(keys: Arc<Keys>, mark: u64, in_line: bool) -> Result<Self, Error> {
        let shared = Arc::new(Shared { mark: AtomicU64::new(mark), failure: OnceLock::new() });
        let thread = if in_line { None } else { Some(spawn(keys.clone(), shared.clone())?) };
        Ok(Self { keys, shared, thread })
    }

    /// Ids below it are durable in the index.
    pub(in crate::log) fn mark(&self) -> u64 {
        self.shared.mark.load(Ordering::Acquire)
    }

    /// Begins to move the mark to `filed`, below which all ids are filed. While the last move is under way it does nothing,
    /// unless it `must`: then it waits, so that what is in memory alone does not grow for ever. The failure of an earlier
    /// move is told here.
    pub(in crate::log) fn advance(&self, filed: u64, must: bool) -> Result<(), Error> {
        let Some(thread) = &self.thread else {
            self.keys.sync()?;
            self.shared.mark.store(filed, Ordering::Release);
            return Ok(());
        };
        if must {
            let _ = thread.jobs.send(filed); // it ends after a failure, which is told below
        } else {
            let _ = thread.jobs.try_send(filed);
        }
        self.shared.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Ends the thread, after what is under way.
    pub(in crate::log) fn stop(&mut self) {
        if let Some(Thread { jobs, handle }) = self.thread.take() {
            drop(jobs);
            let _ = handle.join();
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(keys: Arc<Keys>, shared: Arc<Shared>) -> Result<Thread, Error> {
    // Without a place to wait in: a job is taken when the one before it is done.
    let (jobs, queue) = mpsc::sync_channel::<u64>(0);
    let work = move || {
        while let Ok(filed) = queue.recv() {
            if let Err(error) = keys.sync() {
                // The mark stays, and the next start begins from it.
                let _ = shared.failure.set(error);
                return;
            }
            shared.mark.store(filed, Ordering::Release);
        }
    };
    let handle = std::thread::Builder::new()
        .name("log-keys".to_owned())
        .spawn(work)
        .map_err(|error| Error::Ledger { doing: "start a thread", detail: error.to_string() })?;
    Ok(Thread { jobs, handle })
}
