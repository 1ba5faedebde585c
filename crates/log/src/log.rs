//! The log as the rooms above use it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use modkeep_module::{ModulePath, ModuleVersion, Version};
use modkeep_store::{Error, LogStore, NewRecord};
use modkeep_tlog::note::Note;
use modkeep_tlog::record::RecordError;
use modkeep_tlog::{
    Hash, ProofFile, RecordId, RecordText, SignedCheckpoint, Tile, TreeSize, VerifierKey, proof,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::check;
use crate::config::{Config, Parts, Shown};
use crate::error::{AppendError, OpenError};
use crate::event::{Event, Observer};
use crate::head::{Head, Published};
use crate::queue::{Cosigned, Pending, Queue, Waiter};
use crate::sequencer::Founder;
use crate::shared::Shared;
use crate::sign::{Signers, have_all_signed};

/// What became of an append: the record is in the log, covered by a durable, signed, published head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Where.
    pub id: RecordId,
    /// Whether it was there before; then with the sums that were recorded first.
    pub was_known: bool,
    /// Whether the recorded sums are the ones that were offered. If not, a conflict was raised, and the recorded ones
    /// stand (C3).
    pub is_same: bool,
    /// The size of the head that covers it.
    pub head_size: TreeSize,
}

/// What the sequencer does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// Records are taken.
    Running,
    /// Opened for reading: no key, no sequencer.
    Reading,
    /// An operator said so.
    Paused {
        /// In their words.
        reason: Arc<str>,
    },
    /// Nothing is signed.
    Stopped {
        /// Why.
        reason: Arc<str>,
        /// Whether it starts again by itself, from what is stored.
        restarts: bool,
    },
    /// Closed for good.
    Closed,
}

/// A checksum database. Cheap to clone; clones share the one sequencer, which ends with the last of them.
///
/// The reading calls touch the disk and block, briefly: call them on the blocking pool. [`latest`](Self::latest),
/// [`aligned`](Self::aligned) and [`checkpoint`](Self::checkpoint) do not. What is read was compared with the tree on the
/// way (R13): damage is [`Error::Corrupt`], never an answer.
#[derive(Clone, Debug)]
pub struct Log(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Log {
    /// Opens the log for appending and starts its sequencer, after the checks of C4. Blocking.
    ///
    /// A new store gets a signed head of the empty tree. Any sequencer that was started on this store before is fenced
    /// (I18). Where the disk is full, what was published is served, and the sequencer starts by itself, checks included, once
    /// there is room (R11).
    pub fn open(parts: Parts) -> Result<Self, OpenError> {
        let Parts { store, signers, config, clock, observer } = parts;
        let signers = Signers::new(signers)?;
        let keys = signers.keys().to_vec();
        let founder = Founder { signers, clock };
        let (start, published, state) = match founder.begin(&store, &config) {
            Ok((writer, standing, published)) => (Some((writer, standing)), published, State::Running),
            Err(error @ OpenError::Store(Error::DiskFull { .. })) => {
                let state = State::Stopped { reason: error.to_string().into(), restarts: true };
                (None, stored_moment(&store, &keys).map_err(|_| error)?, state)
            }
            Err(error) => return Err(error),
        };
        let queue = Queue::new(state);
        let shared = Arc::new(Shared::new(store, keys, config, observer, queue, published));
        let working = shared.clone();
        let thread = thread::Builder::new()
            .name("log-sequencer".to_owned())
            .spawn(move || founder.run(working, start))
            .map_err(|error| OpenError::Signers(format!("no thread for the sequencer: {error}")))?;
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Opens the log for reading: what was published is served, nothing is signed. Blocking.
    ///
    /// The keys are the log's public ones: the newest stored head opens with one of them. This is also how a log is
    /// served that refuses to sign ([`OpenError`]).
    pub fn open_reading(store: LogStore, keys: Vec<VerifierKey>, config: Config) -> Result<Self, OpenError> {
        if keys.is_empty() {
            return Err(OpenError::Signers("no key was given".to_owned()));
        }
        let published = stored_moment(&store, &keys)?;
        let queue = Queue::new(State::Reading);
        let shared = Arc::new(Shared::new(store, keys, config, Observer::default(), queue, published));
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::default() })))
    }

    /// Looks for a newer head in the store, where another process writes it and this one was opened for reading.
    /// Blocking.
    pub fn refresh(&self) -> Result<(), OpenError> {
        if self.state() != State::Reading {
            return Ok(());
        }
        let newer = stored_moment(&self.shared().store, &self.shared().keys)?;
        // What was shown never goes back.
        if newer.size() >= self.latest().size {
            self.shared().publish(newer);
        }
        Ok(())
    }

    /// Appends a record; answered when a durable, signed, published head covers it (C3).
    ///
    /// A version that the log has already is answered with its id, whatever sums were offered: look at
    /// [`is_same`](Appended::is_same). Cancel safe: what was queued is appended all the same.
    pub async fn append(&self, record: NewRecord) -> Result<Appended, AppendError> {
        let text = check_record(&record).map_err(AppendError::Refused)?;
        let Ok(place) = self.shared().places.clone().try_acquire_owned() else {
            self.shared().observer.tell(&Event::Busy);
            return Err(AppendError::Busy { waiting: self.shared().config.queue });
        };
        wait(self.enqueue(record, text, place)?).await
    }

    /// Appends many, in this order, and waits for all. They take their places in the queue as it empties, so this is
    /// never [`Busy`](AppendError::Busy). The outcomes come in the order of the records.
    ///
    /// Cancel safe: what was queued is appended all the same, the rest is not.
    pub async fn append_all(&self, records: Vec<NewRecord>) -> Vec<Result<Appended, AppendError>> {
        let mut waiting = Vec::with_capacity(records.len());
        for record in records {
            waiting.push(self.enqueue_patiently(record).await);
        }
        let mut outcomes = Vec::with_capacity(waiting.len());
        for one in waiting {
            outcomes.push(match one {
                Ok(answer) => wait(answer).await,
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn enqueue_patiently(&self, record: NewRecord) -> Result<Answer, AppendError> {
        let text = check_record(&record).map_err(AppendError::Refused)?;
        let place = self.shared().places.clone().acquire_owned().await;
        self.enqueue(record, text, place.map_err(|_| self.shared().queue.refusal())?)
    }

    fn enqueue(
        &self,
        record: NewRecord,
        text: RecordText,
        place: OwnedSemaphorePermit,
    ) -> Result<Answer, AppendError> {
        let (waiter, answer) = Waiter::new(place);
        let leaf = text.leaf_hash(); // from the caller's copy, before anybody else has touched it (R14)
        self.shared().queue.push(Pending { record, text, leaf, waiter })?;
        Ok(answer)
    }

    /// The log's name, which is that of its key.
    pub fn name(&self) -> &str {
        self.keys().first().map_or("", VerifierKey::name)
    }

    /// The keys that sign its heads, the present one first.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.shared().keys
    }

    /// What the sequencer does.
    pub fn state(&self) -> State {
        self.shared().queue.state()
    }

    /// How many appends wait, those of the batch at work included.
    pub fn waiting(&self) -> usize {
        self.shared().config.queue.saturating_sub(self.shared().places.available_permits())
    }

    /// Takes no records until [`resume`](Self::resume); what is queued is finished.
    pub fn pause(&self, reason: &str) {
        self.shared().queue.pause(reason);
    }

    /// Takes records again; where the sequencer has stopped, it starts again now, from what is stored.
    pub fn resume(&self) {
        self.shared().queue.resume();
    }

    /// The newest head. As `latest` shows it: [`latest_note`](Self::latest_note).
    pub fn latest(&self) -> Arc<Head> {
        self.shared().published().latest.clone()
    }

    /// The newest head whose size is a multiple of 256 and not 0, if there is one (C5).
    pub fn aligned(&self) -> Option<Arc<Head>> {
        self.shared().published().aligned.clone()
    }

    /// The checkpoint to show: of the newest head, with the cosignatures that it has (B1), or the newest that has enough
    /// of them, where [`Config::shown`] wants that (B3); then `None` until there is one.
    pub fn checkpoint(&self) -> Option<Bytes> {
        let seen = self.shared().published();
        match self.shared().config.shown {
            Shown::Newest => Some(seen.checkpoint()),
            Shown::Cosigned => seen.cosigned.as_ref().map(|(_, checkpoint)| checkpoint.clone()),
        }
    }

    /// The newest checkpoint that [`put_checkpoint`](Self::put_checkpoint) brought, and its size: what is shown where
    /// cosignatures are required (B3).
    pub fn cosigned(&self) -> Option<(TreeSize, Bytes)> {
        self.shared().published().cosigned.clone()
    }

    /// The proof that the tree of size `new` continues the one of size `old`; `None` beyond the newest head. Blocking.
    pub fn consistency(&self, old: TreeSize, new: TreeSize) -> Result<Option<Vec<Hash>>, Error> {
        let seen = self.shared().published();
        if new > seen.size() || old > new {
            return Ok(None);
        }
        let nodes = self.shared().reader.nodes(&seen);
        let hashes = proof::prove_consistency(&nodes, old, new);
        match nodes.into_error() {
            Some(error) => Err(error),
            None => Ok(hashes),
        }
    }

    /// The root of the first `size` records, from the tiles; `None` beyond the newest head. Blocking.
    fn root(&self, size: TreeSize) -> Result<Option<Hash>, Error> {
        let seen = self.shared().published();
        if size >= seen.size() {
            return Ok((size == seen.size()).then_some(seen.latest.root));
        }
        let nodes = self.shared().reader.nodes(&seen);
        let root = proof::root(&nodes, size);
        match nodes.into_error() {
            Some(error) => Err(error),
            None => Ok(root),
        }
    }

    /// Keeps a cosigned checkpoint of a published head, and shows it with that head (B3).
    ///
    /// Refused unless it opens with the log's key and says what the published head of that size says. An older one than
    /// what is kept already is stored and not shown.
    pub async fn put_checkpoint(&self, size: TreeSize, cosigned: Bytes) -> Result<(), AppendError> {
        let refused = |reason| AppendError::Refused(RecordError(reason));
        let signed = SignedCheckpoint::open(&cosigned, self.name(), self.keys())
            .map_err(|_| refused("the checkpoint is not one of this log"))?;
        let log = self.clone();
        let root = tokio::task::spawn_blocking(move || log.root(size)).await;
        let root = root.unwrap_or(Err(Error::Closed)).map_err(AppendError::Store)?;
        if signed.head().size != size || root != Some(signed.head().root) {
            return Err(refused("the checkpoint is not of a published head"));
        }
        let (waiter, answer) = oneshot::channel();
        self.shared().queue.push_cosigned(Cosigned { size, checkpoint: cosigned, waiter })?;
        answer.await.unwrap_or_else(|_| Err(self.shared().queue.refusal()))
    }

    /// The record of a version, if a published head covers it. Blocking.
    pub fn find(&self, module: &str, version: &str) -> Result<Option<RecordId>, Error> {
        self.find_in(&self.shared().published(), module, version)
    }

    /// The bytes of a tile of hashes or records, at any width that the newest published head has; `None` beyond it and
    /// for heights other than 8 (A4). Blocking.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Bytes>, Error> {
        self.shared().reader.tile(&self.shared().published(), tile)
    }

    /// The C2SP proof of a version's record, under the newest cosigned checkpoint where that covers it, else under the
    /// newest one (B5); where [`Config::shown`] wants cosignatures, there is none until a cosigned one covers it (B3).
    /// Blocking.
    pub fn proof(&self, module: &str, version: &str) -> Result<Option<Bytes>, Error> {
        let seen = self.shared().published();
        let Some(id) = self.find_in(&seen, module, version)? else { return Ok(None) };
        let cosigned = seen.cosigned.as_ref().filter(|(size, _)| size.contains(id) && *size <= seen.size());
        let newest = || (seen.size(), seen.latest.checkpoint.clone());
        let (size, checkpoint) = match (cosigned.cloned(), self.shared().config.shown) {
            (Some(cosigned), _) => cosigned,
            (None, Shown::Newest) => newest(),
            (None, Shown::Cosigned) => return Ok(None),
        };
        let nodes = self.shared().reader.nodes(&seen);
        let hashes = proof::prove_inclusion(&nodes, size, id);
        let Some(hashes) = hashes else { return nodes.into_error().map_or(Ok(None), Err) };
        let unfit =
            |reason: String| Error::Corrupt { name: format!("log: the checkpoint of size {size}"), reason };
        let note = Note::parse(&checkpoint).map_err(|error| unfit(error.to_string()))?;
        let file = ProofFile::new(id, hashes, note).map_err(|error| unfit(error.to_string()))?;
        Ok(Some(file.to_text().into_bytes().into()))
    }

    /// The proof that a record of the public database came with (C7); `None` for records of our own. Blocking.
    pub fn provenance(&self, module: &str, version: &str) -> Result<Option<Bytes>, Error> {
        let Some(id) = self.find(module, version)? else { return Ok(None) };
        Ok(self.shared().store.provenance(id)?.map(Bytes::from))
    }

    /// Waits until a head larger than `size` is published, and returns it; `None` when the log is closed. What
    /// witnesses, feeds and replicas wait for. Cancel safe.
    pub async fn head_after(&self, size: TreeSize) -> Option<Arc<Head>> {
        let mut sizes = self.shared().sizes.subscribe();
        loop {
            let newest = *sizes.borrow_and_update();
            let ended = self.state() == State::Closed;
            if newest > size {
                return Some(self.latest());
            }
            if ended || sizes.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Finishes what is queued and ends the sequencer. Later appends are [`Paused`](AppendError::Paused); reads go on.
    pub async fn close(&self) {
        self.shared().queue.close();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread is in the log of the process already.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    pub(crate) fn find_in(
        &self,
        seen: &Published,
        module: &str,
        version: &str,
    ) -> Result<Option<RecordId>, Error> {
        Ok(self.shared().store.find(module, version)?.filter(|id| seen.size().contains(*id)))
    }

    /// Tells whoever listens to this log.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.shared().observer.tell(event);
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

type Answer = oneshot::Receiver<Result<Appended, AppendError>>;

async fn wait(answer: Answer) -> Result<Appended, AppendError> {
    let ended = || AppendError::Paused { reason: "the sequencer ended".into() };
    answer.await.unwrap_or_else(|_| Err(ended()))
}

/// The door of the log: a canonical version of a well-named module, two lines and nothing else (A1; I09).
fn check_record(record: &NewRecord) -> Result<RecordText, RecordError> {
    let path = ModulePath::parse(&record.record.module).map_err(|_| RecordError("bad module path"))?;
    let version =
        Version::parse(&record.record.version).map_err(|_| RecordError("version is not canonical"))?;
    ModuleVersion::new(path, version)
        .map_err(|_| RecordError("the major version does not fit the module path"))?;
    record.record.to_text()
}

/// The newest head in the store, with the edge of the same moment.
fn stored_moment(store: &LogStore, keys: &[VerifierKey]) -> Result<Published, OpenError> {
    // Another process may commit a head between the two reads; then they are read again.
    for _ in 0..MOMENT_TRIES {
        let (head, state) = (store.newest_head()?, store.state()?);
        let Some(head) = head else {
            return Err(check::damaged("no head is stored: nothing was ever published"));
        };
        if head.size != state.built {
            continue;
        }
        Note::open(&head.note, keys).map_err(|error| OpenError::OtherKey {
            vkey: keys.first().map(ToString::to_string).unwrap_or_default(),
            detail: error.to_string(),
        })?;
        let mut published = Published::alone(head.into(), state.edge);
        let aligned = store.newest_aligned_head()?.filter(|head| have_all_signed(keys, &head.note));
        published.aligned = aligned.map(|head| Arc::new(head.into()));
        let cosigned = store.cosigned()?.filter(|(_, checkpoint)| have_all_signed(keys, checkpoint));
        published.cosigned = cosigned.map(|(size, checkpoint)| (size, checkpoint.into()));
        return Ok(published);
    }
    Err(check::damaged("the newest head is not of the built size"))
}

/// A writer commits a few hundred heads a second, and reading the two rows takes microseconds.
const MOMENT_TRIES: usize = 100;
