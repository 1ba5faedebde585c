//! Deflating on all cores, writing in order.
//!
//! The files that stay are cut into batches, in order. Worker threads take the next batch, read and deflate its files,
//! and lay the result down; the calling thread picks the batches up in order and writes them. A worker may only take a
//! batch while what was taken and not yet written is less than the window, so memory stays bounded however fast the
//! workers are. A file larger than the window is left to the calling thread, which deflates it straight into the zip.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use modkeep_module::zip::{PackedFile, Packer, Writer};
use modkeep_store::ZipSink;

use super::{Files, Stop};

/// How much of contents is in one batch at least, in bytes: enough that locks do not show.
const BATCH_BYTES: u64 = 256 << 10;

/// How many files are in one batch at most.
const BATCH_FILES: usize = 256;

/// How much of contents may be read and not yet written, in bytes, and at most as much again deflated.
const WINDOW_BYTES: u64 = 16 << 20;

/// As many threads as a zip of 500 MiB can make use of while others are built beside it.
const WORKERS_MAX: usize = 8;

/// A run of files, as an index range of [`Files::kept`].
struct Batch {
    files: Range<usize>,
    bytes: u64,
}

impl Batch {
    fn is_large(&self) -> bool {
        self.bytes > WINDOW_BYTES
    }
}

pub(super) struct Packing<'a> {
    files: &'a Files<'a>,
    batches: Vec<Batch>,
    state: Mutex<State>,
    /// A batch was laid down.
    laid: Condvar,
    /// A batch was written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    /// The batch that is taken next.
    next: usize,
    /// The contents of all batches that were taken and not yet written, in bytes.
    open_bytes: u64,
    done: BTreeMap<usize, Result<Vec<PackedFile>, Stop>>,
    /// Nobody needs any more: an error was met, or a worker died.
    over: bool,
}

impl<'a> Packing<'a> {
    pub(super) fn new(files: &'a Files<'a>) -> Self {
        Self {
            files,
            batches: batches(files),
            state: Mutex::default(),
            laid: Condvar::new(),
            written: Condvar::new(),
        }
    }

    /// Whether threads would cost more than they bring.
    pub(super) fn is_small(&self) -> bool {
        self.batches.len() < 2
    }

    /// Packs and writes everything.
    pub(super) fn run(&self, writer: &mut Writer<ZipSink<'_>>) -> Result<(), Stop> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = cores.min(WORKERS_MAX).min(self.batches.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.work());
            }
            let _over = Over(self);
            self.write(writer)
        })
    }

    fn work(&self) {
        let _over = OverIfPanicking(self);
        let mut packer = Packer::new();
        while let Some(index) = self.take() {
            let packed = self.pack(&self.batches[index], &mut packer);
            self.state().done.insert(index, packed);
            self.laid.notify_all();
        }
    }

    /// The next batch, once there is room for it. `None`: there is nothing more to do.
    fn take(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            while self.batches.get(state.next).is_some_and(Batch::is_large) {
                state.next += 1;
            }
            let batch = self.batches.get(state.next).filter(|_| !state.over)?;
            if state.open_bytes == 0 || state.open_bytes + batch.bytes <= WINDOW_BYTES {
                state.open_bytes += batch.bytes;
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pack(&self, batch: &Batch, packer: &mut Packer) -> Result<Vec<PackedFile>, Stop> {
        let files = &self.files.kept[batch.files.clone()];
        files.iter().map(|file| Ok(packer.pack(self.files.path(*file)?, &self.files.read(*file)?)?)).collect()
    }

    fn write(&self, writer: &mut Writer<ZipSink<'_>>) -> Result<(), Stop> {
        for (index, batch) in self.batches.iter().enumerate() {
            if batch.is_large() {
                for file in &self.files.kept[batch.files.clone()] {
                    writer.add(self.files.path(*file)?, &self.files.read(*file)?)?;
                }
                continue;
            }
            // The end of the scope tells of a dead worker.
            let Some(packed) = self.pick_up(index) else { return Ok(()) };
            for file in packed? {
                writer.append(file)?;
            }
            self.state().open_bytes -= batch.bytes;
            self.written.notify_all();
        }
        Ok(())
    }

    /// Waits for a batch. `None`: a worker died.
    fn pick_up(&self, index: usize) -> Option<Result<Vec<PackedFile>, Stop>> {
        let mut state = self.state();
        loop {
            if let Some(packed) = state.done.remove(&index) {
                return Some(packed);
            }
            if state.over {
                return None;
            }
            state = self.laid.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.state().over = true;
        self.laid.notify_all();
        self.written.notify_all();
    }
}

/// Sends the workers home, however the writing ended.
struct Over<'a, 'b>(&'a Packing<'b>);

impl Drop for Over<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Keeps the others from waiting for a dead worker.
struct OverIfPanicking<'a, 'b>(&'a Packing<'b>);

impl Drop for OverIfPanicking<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

/// Cuts the files into batches. A large file is alone in its batch.
fn batches(files: &Files<'_>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for (index, file) in files.kept.iter().enumerate() {
        match batches.last_mut() {
            Some(last)
                if last.bytes < BATCH_BYTES
                    && last.files.len() < BATCH_FILES
                    && last.bytes + file.bytes <= WINDOW_BYTES =>
            {
                last.files.end = index + 1;
                last.bytes += file.bytes;
            }
            _ => batches.push(Batch { files: index..index + 1, bytes: file.bytes }),
        }
    }
    batches
}
