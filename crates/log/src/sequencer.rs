//! The one writer: takes batches from the queue, and starts again from what is stored after an error.

mod batch;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use modkeep_store::{Clock, Error, LogWriter};
use modkeep_tlog::tile::FULL_WIDTH;
use modkeep_tlog::{RecordText, Tail, TreeSize};

use crate::check::{self, Standing, texts};
use crate::config::{Config, KnownHead};
use crate::error::{AppendError, OpenError};
use crate::event::Event;
use crate::head::{Head, Published};
use crate::head_copy::HeadCopy;
use crate::keys::SignError;
use crate::log::State;
use crate::queue::{BATCH_MAX, Cosigned, Work};
use crate::sabotage::mutant;
use crate::shared::Shared;
use crate::sign::Signers;

use batch::Leaf;

/// Before the second start after an error; doubled each time, up to the longest.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(30);

/// The longest while the disk is full: ten seconds after there is room, records are taken (R11).
const RESTART_FULL_LONGEST: Duration = Duration::from_secs(5);

/// The files `latest` and `checkpoint` are written no oftener than this; readers of ours see each head at once. Each time two
/// files are replaced, and ext4 walks over every inode that was let go in the last seconds whenever it makes a file: at fifty
/// times a second that was a quarter of all CPU.
const FILES_EVERY: Duration = Duration::from_millis(250);

/// How long the sequencer sleeps when there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);

/// Why the sequencer does not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store failed.
    Store(Error),
    /// Another sequencer has taken over (I18). This one ends.
    Fenced,
    /// The two computations differ (R14). Nothing was signed, and nothing is until an operator has looked.
    Doubt(String),
    /// No signature.
    Sign(SignError),
    /// A mistake of ours.
    Panicked,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Fenced => Self::Fenced,
            other => Self::Store(other),
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}

impl Failure {
    fn reason(&self) -> String {
        match self {
            Self::Store(error) => format!("the store failed: {error}"),
            Self::Fenced => "another sequencer has taken over this log; only one may run".to_owned(),
            Self::Doubt(what) => format!(
                "what was read back is not what was written: {what}; nothing was signed; run `modkeep log fsck` \
                 before anything else"
            ),
            Self::Sign(error) => format!("nothing can be signed: {error}"),
            Self::Panicked => "it panicked; the log of the process says where".to_owned(),
        }
    }

    /// Whether starting again from what is stored can help, and how long that is waited for at most.
    fn restarts(&self) -> Option<Duration> {
        match self {
            Self::Store(error) => Some(longest(error)),
            Self::Sign(_) | Self::Panicked => Some(RESTART_LONGEST),
            Self::Fenced | Self::Doubt(_) => None,
        }
    }

    fn to_append_error(&self) -> AppendError {
        match self {
            Self::Store(error) => AppendError::Store(error.clone()),
            other => AppendError::Paused { reason: other.reason().into() },
        }
    }
}

/// The writer with what it keeps in memory: nothing that is not made from storage at each start.
#[derive(Debug)]
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    signers: Signers,
    clock: Arc<dyn Clock>,
    writer: LogWriter,
    tail: Tail,
    open: OpenTile,
    copy: HeadCopy,
    /// The newest head, while the files `latest` and `checkpoint` are behind it, and when they were written.
    unwritten: Option<Arc<Head>>,
    files_written: Option<Instant>,
    /// Callers that may come back this instant: who waited, and who was answered, when the last batch was.
    returning: usize,
}

/// The open data tile: at most 255 texts.
#[derive(Debug, Default)]
pub(crate) struct OpenTile(Vec<RecordText>);

/// A sequencer on its first legs: what it needs to start, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Founder {
    pub(crate) signers: Signers,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Founder {
    /// Takes the right to write, checks everything (C4), and says what is to be published first.
    pub(crate) fn begin(
        &self,
        store: &modkeep_store::LogStore,
        config: &Config,
    ) -> Result<(LogWriter, Standing, Published), OpenError> {
        let mut writer = store.writer()?;
        let mut standing = check::check(store, self.signers.keys(), config)?;
        let keys: Vec<String> = self.signers.keys().iter().map(ToString::to_string).collect();
        writer.remember_keys(&keys)?;
        let head = self.first_head(&mut writer, &mut standing)?;
        let mut published = Published::alone(head, crate::head::edge_of(&standing.tail));
        // One from before a new key came says nothing to who knows that key alone: lookups carry the newest head then, and the
        // witnesses are asked for the checkpoint again.
        let aligned = standing.aligned.take_if(|head| self.signers.have_all_signed(&head.note));
        published.aligned = aligned.map(|head| Arc::new(head.into()));
        let cosigned = store.cosigned()?.filter(|(_, checkpoint)| self.signers.have_all_signed(checkpoint));
        published.cosigned = cosigned.map(|(size, checkpoint)| (size, checkpoint.into()));
        Ok((writer, standing, published))
    }

    /// The newest head, signed by every key that we have: in a new store that of the empty tree, after a new key came
    /// in the stored one once more (A5, "Rotation").
    fn first_head(&self, writer: &mut LogWriter, standing: &mut Standing) -> Result<Head, OpenError> {
        if let Some(stored) = standing.head.take_if(|stored| self.signers.have_all_signed(&stored.note)) {
            // Committed, and perhaps the process ended before the files were written (C4).
            writer.publish(&stored)?;
            return Ok(stored.into());
        }
        let head = self.signers.sign(standing.tail.head(), self.clock.now())?;
        let (heads, edge) = ([head.to_stored()], crate::head::edge_of(&standing.tail));
        let commit = modkeep_store::HeadCommit { built: head.size, heads: &heads, edge: &edge };
        writer.commit_heads(commit)?;
        let [stored] = heads;
        writer.publish(&stored)?;
        Ok(head)
    }

    /// Runs until the log is closed. The first start has been made, unless there was no room for it.
    pub(crate) fn run(self, shared: Arc<Shared>, mut start: Option<(LogWriter, Standing)>) {
        let mut patience = RESTART_FIRST;
        loop {
            let failure = match start.take() {
                Some((writer, standing)) => {
                    let mut sequencer = self.sequencer(&shared, writer, &standing);
                    let work = || sequencer.work(standing.sequenced, &mut patience);
                    // What it leaves in memory is thrown away, so a panic cannot leave anything half done (R10).
                    match panic::catch_unwind(AssertUnwindSafe(work)) {
                        Ok(Ok(())) => break,
                        Ok(Err(failure)) => failure,
                        Err(_) => Failure::Panicked,
                    }
                }
                None => match self.begin(&shared.store, &seen_by_us(&shared)) {
                    Ok((writer, standing, published)) => {
                        shared.publish(published);
                        start = Some((writer, standing));
                        continue;
                    }
                    Err(error) => {
                        let longest = may_pass(&error).then(|| match &error {
                            OpenError::Store(error) => longest(error),
                            _ => RESTART_LONGEST,
                        });
                        if !stop(&shared, &error.to_string(), longest, &mut patience) {
                            break;
                        }
                        continue;
                    }
                },
            };
            if !stop(&shared, &failure.reason(), failure.restarts(), &mut patience) {
                break;
            }
        }
        let waiting = shared.queue.set_state(State::Closed);
        shared.turn_away(waiting);
    }

    fn sequencer(&self, shared: &Arc<Shared>, writer: LogWriter, standing: &Standing) -> Sequencer {
        Sequencer {
            shared: shared.clone(),
            signers: self.signers.clone(),
            clock: self.clock.clone(),
            writer,
            tail: standing.tail.clone(),
            open: OpenTile(standing.open.clone()),
            copy: HeadCopy::new(shared.config.head_copy.clone()),
            unwritten: None,
            files_written: None,
            returning: 0,
        }
    }
}

/// How long the next start is waited for at most, after an error of the store.
fn longest(error: &Error) -> Duration {
    if matches!(error, Error::DiskFull { .. }) { RESTART_FULL_LONGEST } else { RESTART_LONGEST }
}

/// Says that nothing is signed, and waits for the next start, at most so long; for ever without. False when the log closes
/// instead.
fn stop(shared: &Shared, reason: &str, longest: Option<Duration>, patience: &mut Duration) -> bool {
    let restarts = longest.is_some();
    tracing::error!(reason, restarts, "the log's sequencer has stopped");
    let waiting = shared.queue.set_state(State::Stopped { reason: reason.into(), restarts });
    shared.turn_away(waiting);
    shared.observer.tell(&Event::Stopped { reason, restarts });
    let goes_on = shared.queue.wait_to_restart(longest.map(|longest| longest.min(*patience)));
    *patience = (*patience * 2).min(RESTART_LONGEST);
    goes_on
}

/// What we published ourselves is known to the public: a store that went back under us is not signed from (R5).
fn seen_by_us(shared: &Shared) -> Config {
    let latest = shared.published().latest.tree();
    let mut config = shared.config.clone();
    let seen_by = "this process, before it stopped,".to_owned();
    config.known_heads.push(KnownHead { seen_by, size: latest.size, root: Some(latest.root) });
    config
}

/// Whether an error at a start may pass by itself.
fn may_pass(error: &OpenError) -> bool {
    matches!(error, OpenError::Store(error) if !matches!(error, Error::Fenced | Error::Corrupt { .. }))
        || matches!(error, OpenError::Sign(_) | OpenError::Read { .. })
}

impl Sequencer {
    /// Covers what has an id and no head yet, then works until the log is closed or something fails.
    fn work(&mut self, sequenced: TreeSize, patience: &mut Duration) -> Result<(), Failure> {
        self.catch_up(sequenced)?;
        self.shared.queue.set_state(State::Running);
        self.shared.observer.tell(&Event::Started { size: self.tail.size() });
        self.copy.put(&self.shared.published().latest.note);
        loop {
            let patience_for_work = if self.unwritten.is_some() { FILES_EVERY } else { IDLE };
            let work = self.shared.queue.next(std::mem::take(&mut self.returning), patience_for_work);
            match work {
                Work::Batch(batch) => {
                    let outcome = self.batch(batch);
                    if mutant!(self.shared.config, RestartFromMemory) {
                        continue;
                    }
                    outcome?;
                    *patience = RESTART_FIRST;
                }
                Work::Cosigned(cosigned) => self.put_cosigned(cosigned)?,
                Work::Idle => {
                    self.writer.heed_damage()?;
                    self.copy.settle();
                    self.write_files()?;
                }
                Work::End => {
                    self.copy.finish();
                    return self.write_files();
                }
            }
        }
    }

    /// A crash came between the two transactions: the ids stand, and everything after them is done now (C4).
    fn catch_up(&mut self, sequenced: TreeSize) -> Result<(), Failure> {
        while self.tail.size() < sequenced {
            let left = sequenced.get() - self.tail.size().get();
            let count = left.min(u64::try_from(BATCH_MAX).unwrap_or(u64::MAX));
            let texts =
                texts(&self.shared.store, self.tail.size().next_id(), count).map_err(
                    |error| match error {
                        OpenError::Store(error) => error.into(),
                        other => Failure::Doubt(other.to_string()),
                    },
                )?;
            let leaves = texts.into_iter().map(|text| Leaf { hash: text.leaf_hash(), text }).collect();
            self.grow(leaves, &mut crate::event::Timings::default())?;
        }
        Ok(())
    }

    /// Writes the files of the newest head, if they are behind.
    fn write_files(&mut self) -> Result<(), Failure> {
        let Some(newest) = self.unwritten.take() else { return Ok(()) };
        self.writer.publish(&newest.to_stored())?;
        self.files_written = Some(Instant::now());
        Ok(())
    }

    fn put_cosigned(&mut self, cosigned: Cosigned) -> Result<(), Failure> {
        let Cosigned { size, checkpoint, waiter } = cosigned;
        let outcome = self.writer.put_cosigned(size, &checkpoint);
        let mut published = Published::clone(&self.shared.published());
        if outcome.is_ok() && published.cosigned.as_ref().is_none_or(|(shown, _)| *shown <= size) {
            published.cosigned = Some((size, checkpoint));
            self.shared.publish(published);
        }
        // Last: whoever is answered sees it shown.
        let _ = waiter.send(outcome.clone().map_err(AppendError::Store)); // gone: nobody is harmed
        Ok(outcome?)
    }
}

impl OpenTile {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a text; when the tile is full, its bytes, and the next one is open.
    fn push(&mut self, text: RecordText) -> Option<Vec<u8>> {
        self.0.push(text);
        if u32::try_from(self.0.len()) != Ok(FULL_WIDTH) {
            return None;
        }
        let bytes = modkeep_tlog::record::write_data_tile(&self.0);
        self.0.clear();
        Some(bytes)
    }
}
