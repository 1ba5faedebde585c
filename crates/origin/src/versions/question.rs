//! One question about a module, with what it has read so far.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use modkeep_module::{Info, Version, info};

use super::find_dir::Found;
use super::{Located, Module, list, sums};
use crate::error::Error;
use crate::place::Vcs;
use crate::repository::{Commit, Refs, Scope, Wanted};

/// A question about a module. It reads no file and asks for no refs twice.
pub(super) struct Question<'a> {
    pub(super) module: &'a Module<'a>,
    files: HashMap<(Arc<str>, String), Option<Bytes>>,
    refs: Option<(Scope, Arc<Refs>)>,
    pub(super) retractions: Option<list::Retractions>,
}

impl<'a> Question<'a> {
    pub(super) fn new(module: &'a Module<'a>) -> Self {
        Self { module, files: HashMap::new(), refs: None, retractions: None }
    }

    /// The refs, at least those of `scope`.
    pub(super) async fn refs(&mut self, scope: Scope) -> Result<Arc<Refs>, Error> {
        if let Some((known, refs)) = &self.refs
            && *known >= scope
        {
            return Ok(Arc::clone(refs));
        }
        let refs = self.module.repository.refs(scope).await?;
        self.refs = Some((scope, Arc::clone(&refs)));
        Ok(refs)
    }

    /// A file at a commit.
    pub(super) async fn file(&mut self, commit: &Arc<str>, path: &str) -> Result<Option<Bytes>, Error> {
        let key = (Arc::clone(commit), path.to_owned());
        if let Some(known) = self.files.get(&key) {
            return Ok(known.clone());
        }
        let content = self.module.repository.file(commit, path).await?;
        self.files.insert(key, content.clone());
        Ok(content)
    }

    /// Announces files that will be read together; those already read and lone ones need no announcement.
    pub(super) async fn expect(&self, files: impl Iterator<Item = (Arc<str>, String)>) -> Result<(), Error> {
        let unread = files.filter(|file| !self.files.contains_key(file));
        let wanted: Vec<_> = unread.map(|(commit, path)| Wanted { commit, path }).collect();
        if wanted.len() > 1 {
            self.module.repository.expect(&wanted).await?;
        }
        Ok(())
    }

    /// The version that a revision name, as the client wrote it, means (section 6).
    pub(super) async fn stat(&mut self, rev: &str) -> Result<Located, Error> {
        let name = self.module.geometry.revision(rev);
        self.foresee(rev).await?;
        let commit = self.module.repository.resolve(&name).await.map_err(|e| self.module.about(rev, e))?;
        self.convert(commit, rev).await
    }

    /// Puts together what is known about a version that passed.
    pub(super) async fn located(
        &mut self,
        commit: Commit,
        version: Version,
        rev: &str,
        found: Found,
    ) -> Result<Located, Error> {
        let origin = self.origin(&commit, &version, rev).await?;
        let info = Info::new(version, Some(commit.time)).with_origin(origin);
        Ok(Located { info, commit, dir: found.dir, go_mod: found.go_mod })
    }

    /// Where a version came from: the table of section 10.
    async fn origin(&mut self, commit: &Commit, version: &Version, rev: &str) -> Result<info::Origin, Error> {
        let named = rev == version.as_str();
        let mut origin = self.module.bare_origin();
        if self.module.place.vcs != Vcs::Svn {
            origin.hash = commit.id.to_string();
        }
        origin.reference =
            stated_reference(self.module.place.vcs, commit, rev).unwrap_or_default().to_owned();
        if version.is_pseudo() && !(named && rev.starts_with("v0.0.0-")) {
            self.add_sums(&mut origin, self.module.geometry.pseudo_tag_prefix()).await?;
        }
        Ok(origin)
    }

    /// The Origin of a list.
    pub(super) async fn list_origin(&mut self) -> Result<info::Origin, Error> {
        let mut origin = self.module.bare_origin();
        if !self.module.has_no_tags() {
            self.add_sums(&mut origin, self.module.geometry.tag_prefix()).await?;
        }
        Ok(origin)
    }

    /// Says on which state of the repository the answer depends, as far as its system can say it.
    async fn add_sums(&mut self, origin: &mut info::Origin, tag_prefix: String) -> Result<(), Error> {
        match self.module.place.vcs {
            Vcs::Git => {
                origin.tag_sum = sums::tag_sum(&self.refs(Scope::Tags).await?.tags, &tag_prefix);
                origin.tag_prefix = tag_prefix;
            }
            Vcs::Hg => origin.repo_sum = self.module.repository.repo_sum().await?.unwrap_or_default(),
            Vcs::Svn | Vcs::Fossil => {}
        }
        Ok(())
    }
}

/// The ref that an Origin states: git's `HEAD` only where the tip of the default branch was the question, by an empty
/// `rev` (V-99). To the other systems it is a name as any.
fn stated_reference<'c>(vcs: Vcs, commit: &'c Commit, rev: &str) -> Option<&'c str> {
    let is_stated = |reference: &&str| vcs != Vcs::Git || rev.is_empty() || *reference != "HEAD";
    commit.reference.as_deref().filter(is_stated)
}

impl Module<'_> {
    /// What every Origin of the module says.
    fn bare_origin(&self) -> info::Origin {
        info::Origin {
            vcs: self.place.vcs.name().to_owned(),
            url: self.place.url.clone(),
            subdir: self.geometry.code_dir.clone(),
            ..info::Origin::default()
        }
    }

    /// Whether no tag can belong to it (V-41).
    pub(super) fn has_no_tags(&self) -> bool {
        self.path.path_major().is_unstable()
    }
}
