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
    jobs: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Ids below it are durable in the index.
    mark: AtomicU64,
    busy: AtomicBool,
}

impl Marker {
    pub(in crate::log) fn start(keys: Arc<Keys>, mark: u64) -> Result<Self, Error> {
        let shared = Arc::new(Shared { mark: AtomicU64::new(mark), busy: AtomicBool::new(false) });
        let (jobs, queue) = mpsc::sync_channel::<u64>(1);
        let told = shared.clone();
        let work = move || {
            while let Ok(upto) = queue.recv() {
                // A failure has closed the store; the mark stays, and the next start begins from it.
                if keys.sync().is_ok() {
                    told.mark.store(upto, Ordering::Release);
                }
                told.busy.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new()
            .name("log-keys".to_owned())
            .spawn(work)
            .map_err(|error| Error::Ledger { doing: "start a thread", detail: error.to_string() })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), shared })
    }

    /// Ids below it are durable in the index.
    pub(in crate::log) fn mark(&self) -> u64 {
        self.shared.mark.load(Ordering::Acquire)
    }

    /// Begins to move the mark to `filed`, below which all ids are filed; not while it is under way already.
    pub(in crate::log) fn advance(&self, filed: u64) {
        if !self.shared.busy.swap(true, Ordering::AcqRel)
            && let Some(jobs) = &self.jobs
        {
            // The queue has a place, since nothing is under way.
            let _ = jobs.try_send(filed);
        }
    }

    /// Ends the thread, after what is under way.
    pub(in crate::log) fn stop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.stop();
    }
}
