//! A git repository over HTTP, asked as little as possible.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use modkeep_egress::Egress;
use modkeep_module::ModuleVersion;
use modkeep_store::{Clock, Workspace};

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
}

/// A git repository over HTTP. One instance serves all modules in it; two of one repository would fetch twice (C26).
pub(crate) struct GitRepository {
    opening: Opening,
}

impl GitRepository {
    /// Nothing is asked yet.
    pub(crate) fn open(opening: Opening) -> Self {
        Self { opening }
    }

    /// Remembers that the stored zip of `version` was made of `dir` at `commit`, so that the next version of it needs
    /// only what changed. To be called when that zip was committed to the store.
    pub(crate) async fn packed(&self, commit: &str, dir: &str, version: &ModuleVersion) {
        let _ = (commit, dir, version, &self.opening);
    }
}

impl Repository for GitRepository {
    fn refs(&self, scope: Scope) -> Asking<'_, Arc<Refs>> {
        let _ = scope;
        todo!()
    }

    fn tip(&self) -> Asking<'_, Commit> {
        todo!()
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        let _ = revision;
        todo!()
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        let _ = (commit, path);
        todo!()
    }

    fn expect<'a>(&'a self, wanted: &'a [Wanted]) -> Asking<'a, ()> {
        let _ = wanted;
        todo!()
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        let _ = commit;
        todo!()
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        let _ = (commit, tag);
        todo!()
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        let _ = (commit, dir);
        todo!()
    }

    fn repo_sum(&self) -> Asking<'_, Option<String>> {
        todo!()
    }
}
