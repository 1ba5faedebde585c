//! The thread that makes the key index durable from time to time, out of the way of appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
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
    busy: AtomicBool,
}

impl Marker {
    pub(in crate::log) fn start(keys: Arc<Keys>, mark: u64, in_line: bool) -> Result<Self, Error> {
        let shared = Arc::new(Shared { mark: AtomicU64::new(mark), busy: AtomicBool::new(false) });
        let thread = if in_line { None } else { Some(spawn(keys.clone(), shared.clone())?) };
        Ok(Self { keys, shared, thread })
    }

    /// Ids below it are durable in the index.
    pub(in crate::log) fn mark(&self) -> u64 {
        self.shared.mark.load(Ordering::Acquire)
    }

    /// Begins to move the mark to `filed`, below which all ids are filed; not while it is under way already.
    pub(in crate::log) fn advance(&self, filed: u64) -> Result<(), Error> {
        let Some(thread) = &self.thread else {
            self.keys.sync()?;
            self.shared.mark.store(filed, Ordering::Release);
            return Ok(());
        };
        if !self.shared.busy.swap(true, Ordering::AcqRel) {
            // The queue has a place, since nothing is under way.
            let _ = thread.jobs.try_send(filed);
        }
        Ok(())
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
    let (jobs, queue) = mpsc::sync_channel::<u64>(1);
    let work = move || {
        while let Ok(filed) = queue.recv() {
            // A failure has closed the store; the mark stays, and the next start begins from it.
            if keys.sync().is_ok() {
                shared.mark.store(filed, Ordering::Release);
            }
            shared.busy.store(false, Ordering::Release);
        }
    };
    let handle = std::thread::Builder::new()
        .name("log-keys".to_owned())
        .spawn(work)
        .map_err(|error| Error::Ledger { doing: "start a thread", detail: error.to_string() })?;
    Ok(Thread { jobs, handle })
}
