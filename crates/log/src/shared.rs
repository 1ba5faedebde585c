//! What the two sides of a log share: those who read and append, and the one who writes.

use std::sync::{Arc, PoisonError, RwLock};

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
