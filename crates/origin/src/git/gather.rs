//! What many callers need of one repository becomes few fetches, one at a time (C26).
//!
//! A caller that lacks objects says so and waits for its turn. Who has the turn waits a moment for others, takes all
//! needs that are there, and fetches for everybody: one fetch for whole versions, one for single commits, directories
//! and files. The rest of the callers find their needs met when their turn comes.

mod single;

use std::collections::HashSet;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use modkeep_store::{Clock, Workspace};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::git::cache::Cache;
use crate::git::earlier::{Earlier, PackedVersions};
use crate::git::filters::{Best, Filters};
use crate::git::history::History;
use crate::git::objects::Objects;
use crate::git::pack::{self, PackError, PackLimits};
use crate::git::repo::Zips;
use crate::git::spool::{AtHand, NoRoom, Spool};
use crate::git::tree::{ObjectId, ObjectKind};
use crate::git::wire::{Capabilities, FetchAsk, Fetched, Filter, ObjectFormat, Wire, WireError};

/// How long the first caller waits for others. Callers that waited for the same refs are less than this apart.
const GATHER: Duration = Duration::from_millis(5);
/// How many such moments, at most: a crowd costs the first of it 50 ms.
const GATHER_TIMES: usize = 10;
/// How long the objects of a version stay at hand after their fetch, for who said that he will pack it.
const AT_HAND_FOR: Duration = Duration::from_mins(1);
/// The most objects that one fetch asks for by their ids; a request line for each, so some 5 MB.
const WANTS_MAX: usize = 100_000;

/// Something that is not here.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Need {
    /// A commit and its root directory.
    Commit(ObjectId),
    /// A directory (without what is below) or a file.
    Object(ObjectId),
    /// A commit with all directories, and all files below one of them: `""` or `sub/dir`.
    Whole(ObjectId, String),
    /// All ancestors of these commits, into the history. Commits whose hex begins with the text are kept as well.
    Ancestry(Vec<ObjectId>, Option<String>),
}

/// What a whole version's objects came with.
type Met = Option<Arc<AtHand>>;

struct Pending {
    need: Need,
    met: oneshot::Sender<Result<Met, Error>>,
}

/// A version whose objects are at hand.
struct Recent {
    commit: ObjectId,
    dir: String,
    /// Nothing below the directory is missing. Of a difference, files are that no zip of this directory needs: those of
    /// the modules below it, for example.
    is_complete: bool,
    since: Instant,
    objects: Arc<AtHand>,
}

/// Where needs are met.
pub(crate) struct Desk {
    pub(crate) wire: Wire,
    pub(crate) cache: Arc<Cache>,
    pub(crate) host: Arc<str>,
    workspace: Workspace,
    clock: Arc<dyn Clock>,
    zips: Option<Zips>,
    pub(crate) packed: PackedVersions,
    limits: PackLimits,
    pending: Mutex<Vec<Pending>>,
    turn: tokio::sync::Mutex<()>,
    recent: Mutex<Vec<Recent>>,
    history: Mutex<Arc<History>>,
    filters: Arc<Filters>,
}

impl Desk {
    pub(crate) fn new(
        wire: Wire,
        host: Arc<str>,
        workspace: Workspace,
        clock: Arc<dyn Clock>,
        zips: Option<Zips>,
        filters: Arc<Filters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            wire,
            cache: Arc::new(Cache::open(workspace.path())),
            packed: PackedVersions::open(workspace.path()),
            history: Mutex::new(Arc::new(History::load(workspace.path()))),
            host,
            workspace,
            clock,
            zips,
            limits: PackLimits::default(),
            pending: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            recent: Mutex::default(),
            filters,
        })
    }

    /// Waits until all needs are met; the objects of the first whole version among them.
    ///
    /// Cancel safe: who leaves while he fetches for others lets the next of them begin anew.
    pub(crate) async fn meet(self: &Arc<Self>, needs: &[Need]) -> Result<Met, Error> {
        loop {
            let waiting: Vec<_> = needs.iter().map(|need| self.ask(need)).collect();
            let mut met = pin!(futures_util::future::try_join_all(waiting));
            let outcome = loop {
                tokio::select! {
                    biased;
                    outcome = &mut met => break outcome,
                    _turn = self.turn.lock() => {
                        self.wait_for_others().await;
                        let pending = std::mem::take(&mut *self.pending());
                        self.serve(pending).await;
                    }
                }
            };
            match outcome {
                Ok(outcomes) => {
                    let outcomes: Vec<Met> = outcomes.into_iter().collect::<Result<_, _>>()?;
                    return Ok(outcomes.into_iter().flatten().next());
                }
                Err(_gone) => {} // whoever fetched for us went away
            }
        }
    }

    /// A moment, and another one as long as more callers come in each.
    async fn wait_for_others(&self) {
        for _ in 0..GATHER_TIMES {
            let before = self.pending().len();
            tokio::time::sleep(GATHER).await;
            if self.pending().len() == before {
                break;
            }
        }
    }

    /// The objects of a whole version, when they are still at hand.
    pub(crate) fn at_hand(&self, commit: &ObjectId, dir: &str) -> Met {
        let recent = self.recent();
        let holds = |recent: &&Recent| {
            recent.commit == *commit
                && if recent.is_complete { covers(&recent.dir, dir) } else { recent.dir == dir }
        };
        let found = recent.iter().find(holds);
        found.map(|recent| recent.objects.clone())
    }

    /// Some objects at hand that hold this one.
    pub(crate) fn at_hand_with(&self, id: &ObjectId) -> Met {
        self.recent()
            .iter()
            .find(|recent| recent.objects.slot(id).is_some())
            .map(|recent| recent.objects.clone())
    }

    /// What can be read without asking.
    pub(crate) fn objects(&self, at_hand: Met) -> Objects {
        Objects { at_hand, cache: self.cache.clone(), host: self.host.clone() }
    }

    fn ask(&self, need: &Need) -> oneshot::Receiver<Result<Met, Error>> {
        let (met, waiting) = oneshot::channel();
        self.pending().push(Pending { need: need.clone(), met });
        waiting
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Vec<Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Meets the needs of everybody who still waits.
    async fn serve(self: &Arc<Self>, pending: Vec<Pending>) {
        let pending: Vec<_> = pending.into_iter().filter(|pending| !pending.met.is_closed()).collect();
        let (whole, rest): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|pending| matches!(pending.need, Need::Whole(..)));
        let (ancestry, single): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|pending| matches!(pending.need, Need::Ancestry(..)));
        if !whole.is_empty() {
            self.serve_whole(whole).await;
        }
        if !single.is_empty() {
            let needs: HashSet<Need> = single.iter().map(|pending| pending.need.clone()).collect();
            let outcome = self.single(needs).await.map(|()| None);
            answer(single, &outcome);
        }
        if !ancestry.is_empty() {
            let outcome = self.ancestry(ancestry.iter().map(|pending| &pending.need)).await.map(|()| None);
            answer(ancestry, &outcome);
        }
    }

    /// What is known of the history.
    pub(crate) fn history(&self) -> Arc<History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All ancestors of some commits, in one fetch of commits alone where the server has filters (V-63).
    async fn ancestry(self: &Arc<Self>, needs: impl Iterator<Item = &Need>) -> Result<(), Error> {
        let (mut tips, mut prefixes, mut known) = (HashSet::new(), Vec::new(), self.history());
        for need in needs {
            let Need::Ancestry(of, prefix) = need else { continue };
            tips.extend(of.iter().filter(|id| !known.contains(id)).copied());
            prefixes.extend(prefix.clone());
        }
        if tips.is_empty() {
            return Ok(());
        }
        let can = self.capabilities().await?;
        if !known.is_of(can.object_format) {
            known = Arc::default();
        }
        let filter = (can.filter && self.filters.best() != Best::None).then_some(Filter::Trees(0));
        let ask = FetchAsk {
            wants: ids(&tips),
            haves: known.tips().iter().map(|id| id.to_string().into()).collect(),
            filter,
            ..FetchAsk::default()
        };
        let at_hand = match self.try_fetch(&ask, can.object_format).await {
            Err(Fault::Filter) => {
                self.filters.refused(Best::Commits);
                self.fetch(&FetchAsk { filter: None, ..ask }, can.object_format).await
            }
            outcome => outcome.map_err(|fault| fault.into_error(&self.host)),
        }?;
        let objects = self.objects(Some(Arc::new(at_hand)));
        let desk = self.clone();
        let grow = move || {
            let grown = objects.grow(&known, &tips, &prefixes)?;
            grown.save(desk.workspace.path());
            Ok(grown)
        };
        let grown = self.blocking(grow).await?;
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(grown);
        Ok(())
    }

    /// Whole versions: in one fetch; when that fails and there are several, each in its own, so that one that cannot
    /// be had does not take the others along.
    async fn serve_whole(self: &Arc<Self>, whole: Vec<Pending>) {
        let needs: HashSet<Need> = whole.iter().map(|pending| pending.need.clone()).collect();
        let outcome = self.whole(needs.iter()).await;
        match outcome {
            Err(Error::Malformed { .. } | Error::Trouble { .. } | Error::NeedsGit { .. })
                if needs.len() > 1 =>
            {
                let mut rest = whole;
                for need in &needs {
                    let outcome = self.whole([need].into_iter()).await;
                    let (of_need, others) = rest.into_iter().partition(|pending| pending.need == *need);
                    rest = others;
                    answer(of_need, &outcome);
                }
            }
            outcome => answer(whole, &outcome),
        }
    }

    async fn whole(self: &Arc<Self>, needs: impl Iterator<Item = &Need>) -> Result<Met, Error> {
        let (mut fresh, mut met) = (Vec::new(), None);
        for need in needs {
            let Need::Whole(commit, dir) = need else { continue };
            match self.at_hand(commit, dir) {
                Some(objects) => met = Some(objects),
                None => fresh.push((*commit, dir.clone())),
            }
        }
        if fresh.is_empty() {
            return Ok(met);
        }
        self.fetch_whole(&fresh).await.map(Some)
    }

    async fn fetch_whole(self: &Arc<Self>, versions: &[(ObjectId, String)]) -> Result<Arc<AtHand>, Error> {
        let can = self.capabilities().await?;
        let bases = self.bases(versions).await?;
        if can.shallow && !bases.is_empty() {
            match self.fetch_upon(versions, Arc::new(bases), can.object_format).await {
                Ok(at_hand) => {
                    self.remember(versions, false, &at_hand);
                    return Ok(at_hand);
                }
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => {
                    tracing::debug!(host = %self.host, %error, "the difference does not do; fetching all");
                }
            }
        }
        let ask = FetchAsk { wants: ids(commits(versions)), depth: Some(1), ..FetchAsk::default() };
        let at_hand = self.fetch(&ask, can.object_format).await?;
        let (objects, versions) = (self.objects(Some(Arc::new(at_hand))), versions.to_vec());
        let all: Vec<_> = commits(&versions).map(|commit| (*commit, String::new())).collect();
        let at_hand = self.blocking(move || {
            objects.keep_commits(commits(&versions))?;
            commits(&versions).try_for_each(|commit| objects.check_whole(commit))?;
            objects.into_at_hand()
        });
        let at_hand = at_hand.await?;
        self.remember(&all, true, &at_hand); // whatever part of them was asked for, all is here
        Ok(at_hand)
    }

    /// The earlier versions that these ones are likely to resemble.
    async fn bases(self: &Arc<Self>, versions: &[(ObjectId, String)]) -> Result<Vec<Earlier>, Error> {
        let Some(zips) = self.zips.clone() else { return Ok(Vec::new()) };
        let (desk, versions) = (self.clone(), versions.to_vec());
        self.blocking(move || {
            let dirs: Vec<&str> = versions.iter().map(|(_, dir)| dir.as_str()).collect();
            Ok(desk.packed.bases(&dirs, &zips, &desk.objects(None)))
        })
        .await
    }

    /// Whole versions as a difference from earlier ones: one request, and one more for files that are neither new nor
    /// in a zip.
    async fn fetch_upon(
        self: &Arc<Self>,
        versions: &[(ObjectId, String)],
        bases: Arc<Vec<Earlier>>,
        format: ObjectFormat,
    ) -> Result<Arc<AtHand>, Error> {
        let haves = ids(bases.iter().map(|base| &base.commit));
        let ask = FetchAsk {
            wants: ids(commits(versions)),
            shallow: haves.clone(),
            haves,
            depth: Some(1),
            thin: true,
            ..FetchAsk::default()
        };
        let at_hand = self.fetch_thin(&ask, format, bases.clone()).await?;
        let mut objects = self.objects(Some(Arc::new(at_hand)));
        let versions = versions.to_vec();
        let (mut objects, needed) = self
            .blocking(move || {
                objects.keep_commits(commits(&versions))?;
                let mut needed = HashSet::new();
                for (commit, dir) in &versions {
                    needed.extend(objects.complete(commit, dir, &bases)?);
                }
                Ok((objects, needed))
            })
            .await?;
        if needed.is_empty() {
            return objects.into_at_hand();
        }
        let ask = FetchAsk { wants: ids(&needed), ..FetchAsk::default() };
        let rest = self.fetch(&ask, format).await?;
        self.blocking(move || {
            for id in needed {
                let found = rest.read(&id).map_err(|error| {
                    Error::Store(modkeep_store::Error::io("read", std::path::Path::new("work"), error))
                })?;
                let (_, contents) =
                    found.ok_or_else(|| malformed(&objects.host, &format!("the pack lacks object {id}")))?;
                objects.bring(id, &contents)?;
            }
            objects.into_at_hand()
        })
        .await
    }

    fn remember(self: &Arc<Self>, versions: &[(ObjectId, String)], is_complete: bool, objects: &Arc<AtHand>) {
        let since = self.clock.monotonic();
        let mut recent = self.recent();
        recent.retain(|recent| since.saturating_duration_since(recent.since) < AT_HAND_FOR);
        recent.extend(versions.iter().map(|(commit, dir)| Recent {
            commit: *commit,
            dir: dir.clone(),
            is_complete,
            since,
            objects: objects.clone(),
        }));
        let (desk, objects) = (Arc::downgrade(self), Arc::downgrade(objects));
        tokio::spawn(async move {
            tokio::time::sleep(AT_HAND_FOR).await;
            if let Some(desk) = Weak::upgrade(&desk) {
                desk.recent().retain(|recent| !std::ptr::eq(Arc::as_ptr(&recent.objects), objects.as_ptr()));
            }
        });
    }

    async fn capabilities(&self) -> Result<Capabilities, Error> {
        self.wire.capabilities().await.map_err(|error| wire_error(&self.host, error))
    }

    async fn fetch(self: &Arc<Self>, ask: &FetchAsk, format: ObjectFormat) -> Result<AtHand, Error> {
        self.try_fetch(ask, format).await.map_err(|fault| fault.into_error(&self.host))
    }

    async fn try_fetch(self: &Arc<Self>, ask: &FetchAsk, format: ObjectFormat) -> Result<AtHand, Fault> {
        if ask.wants.len() > WANTS_MAX {
            return Err(Fault::Failed(malformed(
                &self.host,
                "more objects are needed than one fetch may ask for",
            )));
        }
        let fetched = match self.wire.fetch(ask).await {
            Ok(fetched) => fetched,
            Err(WireError::FilterRefused { .. }) => return Err(Fault::Filter),
            Err(error) => return Err(Fault::Failed(wire_error(&self.host, error))),
        };
        self.receive(fetched, format, None).await.map_err(Fault::Failed)
    }

    async fn fetch_thin(
        self: &Arc<Self>,
        ask: &FetchAsk,
        format: ObjectFormat,
        bases: Arc<Vec<Earlier>>,
    ) -> Result<AtHand, Error> {
        let fetched = self.wire.fetch(ask).await.map_err(|error| wire_error(&self.host, error))?;
        self.receive(fetched, format, Some(bases)).await
    }

    /// A pack becomes objects at hand, on another thread, while it comes.
    async fn receive(
        self: &Arc<Self>,
        mut fetched: Fetched,
        format: ObjectFormat,
        bases: Option<Arc<Vec<Earlier>>>,
    ) -> Result<AtHand, Error> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let desk = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let spool = Spool::create(&desk.workspace, desk.wire.limits().fetch_bytes_max)?;
            let stream = Stream { receiver, chunk: Bytes::new() };
            let base = |id: &ObjectId| {
                let earlier = bases.iter().flat_map(|bases| bases.iter());
                let file =
                    || earlier.clone().find_map(|base| base.read(id)).map(|file| (ObjectKind::Blob, file));
                desk.cache.get(id).or_else(file)
            };
            pack::read(stream, format, spool, &desk.limits, bases.as_ref().map(|_| &base as pack::Bases<'_>))
        });
        let fed = loop {
            match fetched.chunk().await {
                Ok(Some(chunk)) if sender.send(Some(chunk.clone())).await.is_ok() => {}
                Ok(Some(_)) => break Ok(()), // it is read no further, for a reason
                Ok(None) => {
                    let _ = sender.send(None).await;
                    break Ok(());
                }
                Err(error) => break Err(wire_error(&self.host, error)),
            }
        };
        drop(sender);
        let read = reading.await.map_err(|_| malformed(&self.host, "a pack that nobody could read"))?;
        fed?;
        read.map_err(|error| self.pack_error(error))
    }

    fn pack_error(&self, error: PackError) -> Error {
        match error {
            PackError::Malformed(what) => malformed(&self.host, &what),
            PackError::Limit(what) => malformed(&self.host, &format!("a pack larger than our limit: {what}")),
            PackError::Stream(error) => {
                Error::Trouble { host: self.host.to_string(), reason: error.to_string() }
            }
            PackError::Disk(error) => Error::Store(error),
        }
    }

    /// Runs work on the blocking pool.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|_| Err(malformed(&self.host, "work that panicked")))
    }
}

/// Chunks between the connection and the reader: some megabytes at most.
const CHUNKS: usize = 64;

/// A pack as it comes, for a thread.
struct Stream {
    receiver: mpsc::Receiver<Option<Bytes>>,
    chunk: Bytes,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Some(chunk)) => self.chunk = chunk,
                Some(None) => return Ok(0),
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        let len = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}

/// Why a fetch brought nothing.
enum Fault {
    /// Ask again without a filter.
    Filter,
    Failed(Error),
}

impl Fault {
    fn into_error(self, host: &str) -> Error {
        match self {
            Self::Filter => Error::Trouble { host: host.to_owned(), reason: "it refuses filters".to_owned() },
            Self::Failed(error) => error,
        }
    }
}

impl From<NoRoom> for Error {
    fn from(error: NoRoom) -> Self {
        match error {
            NoRoom::Disk(error) => Self::Store(error),
            NoRoom::Limit(limit) => Self::TooLarge { what: "fetched repository", size: limit, limit },
        }
    }
}

fn answer(pending: Vec<Pending>, outcome: &Result<Met, Error>) {
    for Pending { met, .. } in pending {
        let _ = met.send(outcome.clone()); // who went away needs no answer
    }
}

/// Whether everything below `dir` is below `whole`.
fn covers(whole: &str, dir: &str) -> bool {
    whole.is_empty() || dir.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn commits(versions: &[(ObjectId, String)]) -> impl Iterator<Item = &ObjectId> {
    versions.iter().map(|(commit, _)| commit)
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a ObjectId>) -> Vec<Arc<str>> {
    let mut ids: Vec<Arc<str>> = ids.into_iter().map(|id| id.to_string().into()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

pub(crate) fn malformed(host: &str, what: &str) -> Error {
    Error::Malformed { host: host.to_owned(), what: what.to_owned() }
}

/// An error of the wire in the words of this room.
pub(crate) fn wire_error(host: &str, error: WireError) -> Error {
    match error {
        WireError::NotV2 => {
            Error::NeedsGit { what: "the server does not speak version 2 of its protocol".to_owned() }
        }
        // Some servers give only what refs name, and the program asks by names.
        WireError::WantRefused { text } => {
            Error::NeedsGit { what: format!("the server gives nothing by its id: {text}") }
        }
        WireError::Other(error) => error,
        error => Error::Trouble { host: host.to_owned(), reason: error.to_string() },
    }
}
