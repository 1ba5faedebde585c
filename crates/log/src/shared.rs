//! What the two sides of a log share: those who read and append, and the one who writes.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use modkeep_store::LogStore;
use modkeep_tlog::{TreeSize, VerifierKey};
use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::event::{Event, Observer};
use crate::head::Published;
use crate::queue::{Pending, Queue};
use crate::read::Reader;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: LogStore,
    pub(crate) reader: Reader,
    pub(crate) keys: Vec<VerifierKey>,
    pub(crate) config: Config,
    pub(crate) observer: Observer,
    pub(crate) queue: Queue,
    /// One permit for each append that may wait.
    pub(crate) places: Arc<Semaphore>,
    published: RwLock<Arc<Published>>,
    /// The newest head that carries cosignatures over its own text, where they are asked for (`heads.cosign_latest`, B2):
    /// its size and its note. In memory alone: after a start the witnesses are asked again.
    cosigned_note: RwLock<Option<(TreeSize, Bytes)>>,
    /// The size of the newest head; closed when the sequencer has ended.
    pub(crate) sizes: watch::Sender<TreeSize>,
}

impl Shared {
    pub(crate) fn new(
        store: LogStore,
        keys: Vec<VerifierKey>,
        config: Config,
        observer: Observer,
        queue: Queue,
        published: Published,
    ) -> Self {
        Self {
            reader: Reader::new(store.clone()),
            places: Arc::new(Semaphore::new(config.queue)),
            sizes: watch::Sender::new(published.size()),
            published: RwLock::new(Arc::new(published)),
            cosigned_note: RwLock::default(),
            store,
            keys,
            config,
            observer,
            queue,
        }
    }

    /// What is public this moment.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest head with cosignatures over its own text.
    pub(crate) fn cosigned_note(&self) -> Option<(TreeSize, Bytes)> {
        self.cosigned_note.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a head with its cosignatures from now on, unless a larger one is shown.
    pub(crate) fn put_cosigned_note(&self, size: TreeSize, note: Bytes) {
        let mut shown = self.cosigned_note.write().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(before, _)| *before <= size) {
            *shown = Some((size, note));
        }
    }

    /// Makes a newer moment public. Readers that hold the old one finish with it.
    pub(crate) fn publish(&self, published: Published) {
        let (size, head) = (published.size(), published.latest.clone());
        let newer = Arc::new(published);
        let before =
            std::mem::replace(&mut *self.published.write().unwrap_or_else(PoisonError::into_inner), newer);
        if before.latest != head {
            self.observer.tell(&Event::Head(&head));
        }
        self.sizes.send_replace(size);
    }

    /// Answers those who wait in vain.
    pub(crate) fn turn_away(&self, waiting: Vec<Pending>) {
        let refusal = self.queue.refusal();
        for pending in waiting {
            pending.waiter.answer(Err(refusal.clone()));
        }
    }
}
