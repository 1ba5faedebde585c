//! git over HTTP in this process, and the git program for what only it can do.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use modkeep_store::Workspace;

use crate::error::Error;
use crate::git::GitRepository;
use crate::place::{Remote, Vcs};
use crate::program::Programs;
use crate::repository::{Asking, Commit, Refs, Repository, Scope, Tree, Wanted};

/// A git repository over HTTP: asked in this process as long as it can be. Once it says [`Error::NeedsGit`] (a dumb
/// server, one without version 2 of the protocol), the git program answers everything; a tree whose attributes we
/// decline to convert is the program's alone.
pub(crate) struct Mixed {
    here: GitRepository,
    programs: Option<Programs>,
    remote: Remote,
    workspace: Workspace,
    program: OnceLock<Box<dyn Repository>>,
    /// Held while the program is opened: two of them would work in one folder.
    opening: Mutex<()>,
    /// Set when the server as a whole cannot be asked from here.
    handed_over: OnceLock<()>,
}

impl Mixed {
    /// Nothing is asked yet.
    pub(crate) fn new(
        here: GitRepository,
        programs: Option<Programs>,
        remote: Remote,
        workspace: Workspace,
    ) -> Self {
        let (program, handed_over) = (OnceLock::new(), OnceLock::new());
        Self { here, programs, remote, workspace, program, opening: Mutex::default(), handed_over }
    }

    /// The repository in this process.
    pub(crate) fn here(&self) -> &GitRepository {
        &self.here
    }

    /// The program's repository, for one question or from now on.
    fn program(&self) -> Result<&dyn Repository, Error> {
        let missing = Error::NoProgram { program: Vcs::Git.name() };
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.program.get().is_none() {
            let programs = self.programs.as_ref().ok_or(missing.clone())?;
            let opened = programs.open(Vcs::Git, self.remote.clone(), self.workspace.clone())?;
            let _ = self.program.set(opened); // it was empty, and we alone fill it
        }
        self.program.get().map(AsRef::as_ref).ok_or(missing)
    }

    /// Asks here, and the program where only it can answer.
    async fn ask<'a, T>(
        &'a self,
        question: impl Fn(&'a dyn Repository) -> Asking<'a, T>,
    ) -> Result<T, Error> {
        if self.handed_over.get().is_none() {
            match question(&self.here).await {
                Err(Error::NeedsGit { what }) => {
                    tracing::info!(event = "fetch", url = %self.remote.original, %what, "git takes over");
                    let _ = self.handed_over.set(());
                }
                answered => return answered,
            }
        }
        question(self.program()?).await
    }

    /// The tree as the program gives it, for attributes that we decline to convert ourselves.
    pub(crate) async fn tree_of_program(
        &self,
        commit: &str,
        dir: &str,
    ) -> Result<Option<Box<dyn Tree>>, Error> {
        self.program()?.tree(commit, dir).await
    }
}

impl Repository for Mixed {
    fn refs(&self, scope: Scope) -> Asking<'_, Arc<Refs>> {
        Box::pin(self.ask(move |repository| repository.refs(scope)))
    }

    fn tip(&self) -> Asking<'_, Commit> {
        Box::pin(self.ask(|repository| repository.tip()))
    }

    fn resolve<'a>(&'a self, revision: &'a str) -> Asking<'a, Commit> {
        Box::pin(self.ask(move |repository| repository.resolve(revision)))
    }

    fn file<'a>(&'a self, commit: &'a str, path: &'a str) -> Asking<'a, Option<Bytes>> {
        Box::pin(self.ask(move |repository| repository.file(commit, path)))
    }

    fn expect<'a>(&'a self, wanted: &'a [Wanted]) -> Asking<'a, ()> {
        Box::pin(self.ask(move |repository| repository.expect(wanted)))
    }

    fn ancestor_tags<'a>(&'a self, commit: &'a str) -> Asking<'a, Option<Vec<Arc<str>>>> {
        Box::pin(self.ask(move |repository| repository.ancestor_tags(commit)))
    }

    fn descends_from<'a>(&'a self, commit: &'a str, tag: &'a str) -> Asking<'a, Option<bool>> {
        Box::pin(self.ask(move |repository| repository.descends_from(commit, tag)))
    }

    fn tree<'a>(&'a self, commit: &'a str, dir: &'a str) -> Asking<'a, Option<Box<dyn Tree>>> {
        Box::pin(async move {
            if self.handed_over.get().is_some() {
                return self.tree_of_program(commit, dir).await;
            }
            match self.here.tree(commit, dir).await {
                // The server may speak well enough: only this tree is beyond us.
                Err(Error::NeedsGit { .. }) => self.tree_of_program(commit, dir).await,
                answered => answered,
            }
        })
    }

    fn repo_sum(&self) -> Asking<'_, Option<String>> {
        Box::pin(self.ask(|repository| repository.repo_sum()))
    }
}
