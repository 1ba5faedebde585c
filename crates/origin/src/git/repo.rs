//! A git repository over HTTP, asked as little as possible.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use modkeep_egress::Egress;
use modkeep_module::ModuleVersion;
use modkeep_store::{Clock, Workspace};
use url::Url;

use crate::error::Error;
use crate::git::cache::OBJECT_BYTES_MAX;
use crate::git::filters::Filters;
use crate::git::gather::{Desk, Need};
use crate::git::object::CommitObject;
use crate::git::objects::{Found, Lack, NotACommit, Objects};
use crate::git::refs::Snapshots;
use crate::git::tree::{GitTree, ObjectId, TreeError};
use crate::git::wire::{Wire, WireLimits};
use crate::place::Remote;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree, Wanted};

/// Opens the stored zip of a version, at its start. Blocking. `None`: it is not stored (any more).
pub(crate) type Zips = Arc<dyn Fn(&ModuleVersion) -> Option<File> + Send + Sync>;

/// What a [`GitRepository`] needs.
pub(crate) struct Opening {
    /// Where it is: http or https.
    pub(crate) remote: Remote,
    /// The way there.
    pub(crate) egress: Egress,
    /// Its folder; held as long as the repository is open.
    pub(crate) workspace: Workspace,
    /// For the age of refs.
    pub(crate) clock: Arc<dyn Clock>,
    /// How old refs may be (`[origin] list_ttl`).
    pub(crate) refs_lifetime: Duration,
    /// Zips of earlier versions, whose files need not be fetched again.
    pub(crate) zips: Option<Zips>,
    /// What its host is known to leave out on demand.
    pub(crate) filters: Arc<Filters>,
    /// How much the other side may send, and how slowly.
    pub(crate) limits: WireLimits,
}

/// A git repository over HTTP. One instance serves all modules in it; two of one repository would fetch twice (C26).
pub(crate) struct GitRepository {
    desk: Arc<Desk>,
    snapshots: Snapshots,
    clock: Arc<dyn Clock>,
    refs_lifetime: Duration,
}

impl GitRepository {
    /// Nothing is asked yet. Blocking, briefly: reads what was kept of it.
    pub(crate) fn open(opening: Opening) -> Self {
        let host: Arc<str> = opening.remote.url.host_str().unwrap_or_default().into();
        let wire = Wire::new(opening.egress, opening.remote, opening.limits);
        let Opening { workspace, zips, filters, .. } = opening;
        let desk = Desk::new(wire, host, workspace, opening.clock.clone(), zips, filters);
        let (clock, refs_lifetime) = (opening.clock, opening.refs_lifetime);
        Self { desk, snapshots: Snapshots::default(), clock, refs_lifetime }
    }

    /// Remembers that the stored zip of `version` was made of `dir` at `commit`, so that the next version of it needs
    /// only what changed. To be called when that zip was committed to the store.
    pub(crate) async fn packed(&self, commit: &str, dir: &str, version: &ModuleVersion) {
        let Some(commit) = ObjectId::from_hex(commit) else { return };
        let (desk, dir, version) = (self.desk.clone(), dir.to_owned(), version.clone());
        let add = move || {
            desk.packed.add(commit, &dir, &version);
            Ok(())
        };
        let _ = self.desk.blocking(add).await; // forgetting it costs a larger fetch
    }

    /// Where the repository really answers, once it was asked, if a redirect led elsewhere.
    pub(crate) fn moved_to(&self) -> Option<Url> {
        self.desk.wire.moved_to()
    }

    async fn refs_of(&self, scope: Scope) -> Result<Arc<Refs>, Error> {
        let Desk { wire, host, .. } = &*self.desk;
        self.snapshots.get(scope, wire, host, &*self.clock, self.refs_lifetime).await
    }

    /// V-90, as the go command does with nothing fetched yet, so that the answer does not depend on who asked before.
    async fn resolve_name(&self, revision: &str) -> Result<Commit, Error> {
        let tag = format!("refs/tags/{revision}");
        if looks_like_a_tag(revision) {
            let refs = self.refs_of(Scope::Tags).await?;
            if let Some(id) = refs.tags.get(&*tag) {
                return self.named(&refs, id, revision, Some(tag.into())).await;
            }
        }
        let refs = self.refs_of(Scope::All).await?;
        if let Some(id) = refs.tags.get(&*tag) {
            return self.named(&refs, id, revision, Some(tag.into())).await;
        }
        let branch = format!("refs/heads/{revision}");
        if let Some(id) = refs.branches.get(&*branch) {
            return self.named(&refs, id, revision, Some(branch.into())).await;
        }
        if revision == "HEAD" {
            let id = refs.head.as_ref().ok_or_else(|| Error::unknown_revision(revision))?;
            return self.named(&refs, id, revision, Some("HEAD".into())).await;
        }
        if !is_hex_prefix(revision) {
            return Err(Error::unknown_revision(revision));
        }
        match ref_of_prefix(&refs, revision)? {
            Some((name, id)) => self.named(&refs, &id, revision, Some(name)).await,
            None => self.in_history(&refs, revision).await,
        }
    }

    /// A commit of the history of all refs, and of nothing else (V-90 step 7, V-91).
    async fn in_history(&self, refs: &Refs, prefix: &str) -> Result<Commit, Error> {
        let unknown = || Error::unknown_revision(prefix);
        let tips = refs.head.iter().chain(refs.branches.values()).chain(refs.tags.values());
        let tips: HashSet<ObjectId> = tips.filter_map(|id| ObjectId::from_hex(id)).collect();
        let tips: Vec<ObjectId> = tips.into_iter().collect();
        if tips.is_empty() {
            return Err(unknown());
        }
        self.desk.meet(&[Need::Ancestry(tips.clone(), Some(prefix.to_owned()))]).await?;
        let (history, text) = (self.desk.history(), prefix.to_owned());
        let found = self.desk.blocking(move || {
            let reached = history.reach(&tips).map_err(|_| Error::unknown_revision(&text))?;
            Ok(history.with_prefix(&text, &reached))
        });
        let [id] = found.await?[..] else { return Err(unknown()) };
        self.named(refs, &id.to_string().into(), prefix, None).await
    }

    /// The tags on a commit and its ancestors (V-53).
    async fn tags_below(&self, commit: &str) -> Result<Vec<Arc<str>>, Error> {
        let (refs, id) = (self.refs_of(Scope::Tags).await?, id_of_commit(commit)?);
        if refs.tags.is_empty() {
            return Ok(Vec::new()); // no history has tags in it then
        }
        self.desk.meet(&[Need::Ancestry(vec![id], None)]).await?;
        let (history, host) = (self.desk.history(), self.desk.host.clone());
        self.desk
            .blocking(move || {
                let holes = |_| crate::git::gather::malformed(&host, "a history with holes");
                let reached = history.reach(&[id]).map_err(holes)?;
                let below = refs.tags.iter().filter(|(_, tagged)| {
                    ObjectId::from_hex(tagged).is_some_and(|tagged| history.is_in(&tagged, &reached))
                });
                Ok(below.filter_map(|(name, _)| name.strip_prefix("refs/tags/").map(Arc::from)).collect())
            })
            .await
    }

    /// The commit of an id that is known to be reachable.
    async fn named(
        &self,
        refs: &Refs,
        id: &Arc<str>,
        revision: &str,
        reference: Option<Arc<str>>,
    ) -> Result<Commit, Error> {
        let unknown = || Error::unknown_revision(revision);
        let object = ObjectId::from_hex(id).ok_or_else(unknown)?;
        if let Ok(None) = self.stored_commit(object).await {
            self.desk.meet(&[Need::Commit(object)]).await?;
        }
        let commit = self.stored_commit(object).await.map_err(|_| unknown())?.ok_or_else(unknown)?;
        let time = commit
            .time
            .ok_or_else(|| Error::NoVersion { reason: format!("invalid time from git log: \"{id}\"") })?;
        let tags: Vec<Arc<str>> = refs
            .tags
            .iter()
            .filter(|(_, tagged)| *tagged == id)
            .filter_map(|(name, _)| name.strip_prefix("refs/tags/").map(Arc::from))
            .collect();
        let is_tag = reference.as_ref().is_some_and(|reference| reference.starts_with("refs/tags/"));
        let resolved = if is_tag { revision.into() } else { id.clone() };
        Ok(Commit { id: id.clone(), short: id[..12].into(), time, resolved, tags, reference })
    }

    /// A commit that is here.
    async fn stored_commit(&self, id: ObjectId) -> Result<Option<CommitObject>, NotACommit> {
        let objects = self.desk.objects(self.desk.at_hand_with(&id));
        let read = self.desk.blocking(move || Ok(objects.commit(&id))).await;
        read.unwrap_or(Ok(None))
    }

    /// What a path leads to, after as many requests as it takes: none when it was seen before.
    async fn find(&self, commit: ObjectId, path: &str) -> Result<Found, Error> {
        let mut asked = HashSet::new();
        loop {
            match self.look(commit, path).await? {
                Found::Unknown(lack) if asked.insert(need(lack)) => {
                    self.desk.meet(&[need(lack)]).await?;
                }
                Found::Unknown(_) => return Err(self.malformed("a commit without some of its directories")),
                found => return Ok(found),
            }
        }
    }

    /// What a path leads to, as far as one can tell from here.
    async fn look(&self, commit: ObjectId, path: &str) -> Result<Found, Error> {
        let (objects, path) = (self.nearest(&commit), path.to_owned());
        self.desk.blocking(move || objects.find(&commit, &path)).await
    }

    /// Where a commit's objects are looked for.
    fn nearest(&self, commit: &ObjectId) -> Objects {
        self.desk.objects(self.desk.at_hand_with(commit))
    }

    async fn read_file(&self, commit: &str, path: &str) -> Result<Option<Bytes>, Error> {
        let commit = id_of_commit(commit)?;
        let Found::File(blob) = self.find(commit, path).await? else { return Ok(None) };
        if let Some(contents) = self.contents(commit, blob).await? {
            return Ok(Some(contents));
        }
        self.desk.meet(&[Need::Object(blob)]).await?;
        let contents = self.contents(commit, blob).await?;
        contents
            .map(Some)
            .ok_or_else(|| self.malformed("a file that did not come, or is larger than any that we read"))
    }

    async fn contents(&self, commit: ObjectId, blob: ObjectId) -> Result<Option<Bytes>, Error> {
        let objects = self.nearest(&commit);
        let read = self.desk.blocking(move || objects.get(&blob)).await?;
        let whole = read.map(|(_, mut contents)| {
            contents.truncate(OBJECT_BYTES_MAX);
            contents
        });
        Ok(whole.or_else(|| self.desk.cache.beginning(&blob)).map(Bytes::from))
    }

    /// Brings everything that was hinted at: whole versions in one fetch, files level by level.
    async fn bring(&self, wanted: &[Wanted]) -> Result<(), Error> {
        let (whole, files): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|wanted| wanted.path.is_empty() || wanted.path.ends_with('/'));
        let mut needs = Vec::new();
        for wanted in whole {
            let (commit, dir) = (id_of_commit(&wanted.commit)?, wanted.path.trim_end_matches('/'));
            if self.desk.at_hand(&commit, dir).is_none() {
                needs.push(Need::Whole(commit, dir.to_owned()));
            }
        }
        if !needs.is_empty() {
            self.desk.meet(&needs).await?;
        }
        let mut asked = HashSet::new();
        loop {
            let mut needs = Vec::new();
            for wanted in &files {
                let commit = id_of_commit(&wanted.commit)?;
                match self.look(commit, &wanted.path).await {
                    Ok(Found::Unknown(lack)) => needs.push(need(lack)),
                    Ok(Found::File(blob))
                        if !self.nearest(&commit).has(&blob)
                            && self.desk.cache.beginning(&blob).is_none() =>
                    {
                        needs.push(Need::Object(blob));
                    }
                    Ok(_) | Err(Error::NoVersion { .. }) => {} // who reads it will be told
                    Err(error) => return Err(error),
                }
            }
            needs.retain(|need| asked.insert(need.clone())); // nothing is asked for twice
            if needs.is_empty() {
                return Ok(());
            }
            self.desk.meet(&needs).await?;
        }
    }

    async fn open_tree(&self, commit: &str, dir: &str) -> Result<Option<Box<dyn Tree>>, Error> {
        let id = id_of_commit(commit)?;
        let mut at_hand = self.desk.at_hand(&id, dir);
        if at_hand.is_none() {
            // Others' versions may have come in the same fetch, and this one before it.
            let met = self.desk.meet(&[Need::Whole(id, dir.to_owned())]).await?;
            at_hand = self.desk.at_hand(&id, dir).or(met);
        }
        let (objects, dir) = (self.desk.objects(at_hand), dir.to_owned());
        let unknown = Error::unknown_revision(commit);
        self.desk
            .blocking(move || {
                let Ok(Some(found)) = objects.commit(&id) else { return Err(unknown) };
                match GitTree::open(Arc::new(objects), &found.tree, &dir) {
                    Ok(tree) => Ok(tree.map(|tree| Box::new(tree) as Box<dyn Tree>)),
                    Err(TreeError::Declined { what }) => Err(Error::NeedsGit { what }),
                    Err(TreeError::Failed(error)) => Err(error),
                }
            })
            .await
    }

    fn malformed(&self, what: &str) -> Error {
        crate::git::gather::malformed(&self.desk.host, what)
    }
}

fn id_of_commit(commit: &str) -> Result<ObjectId, Error> {
    ObjectId::from_hex(commit).ok_or_else(|| Error::unknown_revision(commit))
}

fn need(lack: Lack) -> Need {
    match lack {
        Lack::Commit(id) => Need::Commit(id),
        Lack::Object(id) => Need::Object(id),
    }
}

/// Whether a revision ends like the tags of versions do: then the tags alone are likely to answer it.
fn looks_like_a_tag(revision: &str) -> bool {
    let last = revision.rsplit('/').next().unwrap_or(revision);
    last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether a revision can be a commit's id or the beginning of one (V-90 steps 1, 6 and 7; V-92).
fn is_hex_prefix(revision: &str) -> bool {
    (7..=64).contains(&revision.len())
        && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A ref's full name and what it points at.
type Named = (Arc<str>, Arc<str>);

/// The lexically smallest ref whose commit begins so (V-90 step 6).
fn ref_of_prefix(refs: &Refs, prefix: &str) -> Result<Option<Named>, Error> {
    let head = refs.head.iter().map(|id| (Arc::from("HEAD"), id.clone()));
    let rest = refs.branches.iter().chain(&refs.tags).map(|(name, id)| (name.clone(), id.clone()));
    let mut found: Option<Named> = None;
    for (name, id) in head.chain(rest).filter(|(_, id)| id.starts_with(prefix)) {
        match &found {
            Some((_, first)) if *first != id => {
                return Err(Error::NoVersion { reason: format!("ambiguous revision {prefix}") });
            }
            Some(_) => {}
            None => found = Some((name, id)),
        }
    }
    Ok(found)
}

impl Repository for GitRepository {
    fn refs(&self, scope: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(self.refs_of(scope))
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(async {
            let refs = self.refs_of(Scope::TagsAndHead).await?;
            let id = refs.head.as_ref().ok_or_else(|| Error::unknown_revision("HEAD"))?;
            self.named(&refs, id, "HEAD", Some("HEAD".into())).await
        })
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        Box::pin(self.resolve_name(revision))
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        Box::pin(self.read_file(commit, path))
    }

    fn expect<'a>(&'a self, wanted: &'a [Wanted]) -> Asking<'a, ()> {
        Box::pin(self.bring(wanted))
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        Box::pin(async move { self.tags_below(commit).await.map(Some) })
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        Box::pin(async move {
            let refs = self.refs_of(Scope::Tags).await?;
            let Some(tagged) = refs.tags.get(&*format!("refs/tags/{tag}")) else { return Ok(Some(false)) };
            if **tagged == *commit {
                return Ok(Some(true));
            }
            Ok(Some(self.tags_below(commit).await?.iter().any(|below| **below == *tag)))
        })
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(self.open_tree(commit, dir))
    }
}

#[cfg(test)]
mod tests;
