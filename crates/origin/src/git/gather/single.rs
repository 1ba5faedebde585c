//! Commits, directories and files by their ids, as little around them as the host lets one leave out.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Desk, Fault, Need, ids};
use crate::error::Error;
use crate::git::filters::Best;
use crate::git::tree::ObjectId;
use crate::git::wire::{FetchAsk, Filter, ObjectFormat};

impl Desk {
    /// Commits, directories and files, into the cache.
    pub(super) async fn single(self: &Arc<Self>, needs: HashSet<Need>) -> Result<(), Error> {
        let (mut commits, mut objects) = (HashSet::new(), HashSet::new());
        for need in needs {
            match need {
                Need::Commit(id) if !self.cache.contains(&id) => drop(commits.insert(id)),
                Need::Object(id) if !self.cache.contains(&id) => drop(objects.insert(id)),
                _ => {}
            }
        }
        if commits.is_empty() && objects.is_empty() {
            return Ok(());
        }
        let can = self.capabilities().await?;
        loop {
            let best = if can.filter { self.filters.best() } else { Best::None };
            let fetched = match best {
                Best::Roots => self.fetch_with_roots(can.object_format, &commits, &objects).await,
                Best::Commits => self.fetch_bare(can.object_format, &commits, &objects).await,
                Best::None => break,
            };
            match fetched {
                Err(Fault::Filter) => self.filters.refused(best),
                outcome => return outcome.map_err(|fault| fault.into_error(&self.host)),
            }
        }
        // Without filters a commit comes with everything, so that nothing of it has to be asked for again soon.
        let whole: Vec<_> = commits.into_iter().map(|commit| (commit, String::new())).collect();
        if !whole.is_empty() {
            self.fetch_whole(&whole).await?;
        }
        self.fetch_objects(can.object_format, &objects, None)
            .await
            .map_err(|fault| fault.into_error(&self.host))
    }

    /// A commit brings its root directory along. Below a directory that is wanted itself the same filter would let all
    /// its files through: their depth counts from there.
    async fn fetch_with_roots(
        self: &Arc<Self>,
        format: ObjectFormat,
        commits: &HashSet<ObjectId>,
        objects: &HashSet<ObjectId>,
    ) -> Result<(), Fault> {
        self.fetch_objects(format, commits, Some(Filter::Trees(1))).await?;
        self.fetch_objects(format, objects, Some(Filter::Trees(0))).await
    }

    /// Commits alone, and then their root directories with everything else that is wanted.
    async fn fetch_bare(
        self: &Arc<Self>,
        format: ObjectFormat,
        commits: &HashSet<ObjectId>,
        objects: &HashSet<ObjectId>,
    ) -> Result<(), Fault> {
        self.fetch_objects(format, commits, Some(Filter::Trees(0))).await?;
        let (here, commits) = (self.objects(None), commits.clone());
        let roots = self.blocking(move || Ok(here.roots(&commits))).await.map_err(Fault::Failed)?;
        let objects: HashSet<ObjectId> = objects.iter().copied().chain(roots).collect();
        self.fetch_objects(format, &objects, Some(Filter::Trees(0))).await
    }

    async fn fetch_objects(
        self: &Arc<Self>,
        format: ObjectFormat,
        wants: &HashSet<ObjectId>,
        filter: Option<Filter>,
    ) -> Result<(), Fault> {
        if wants.is_empty() {
            return Ok(());
        }
        let ask = FetchAsk { wants: ids(wants), depth: Some(1), filter, ..FetchAsk::default() };
        let at_hand = self.try_fetch(&ask, format).await?;
        let (objects, wants) = (self.objects(Some(Arc::new(at_hand))), wants.clone());
        self.blocking(move || objects.keep(wants.iter())).await.map_err(Fault::Failed)
    }
}
