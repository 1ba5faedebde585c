//! From a repository to versions, exactly as the go command (versions-and-origins sections 3 to 10).
//!
//! [`Geometry`] says which tags and which directories belong to a module path; [`Module`] answers the questions
//! about it, by asking its [`Repository`]. Each question is a [`Question`], which reads no file twice:
//!
//! - [`list`] takes versions from tags, [`latest`] picks one of them;
//! - [`convert`] makes a version of a commit, [`pseudo`] checks one that names its commit;
//! - [`find_dir`] finds the module in the tree of a commit;
//! - [`sums`] says on which tags an answer depends.

mod convert;
mod find_dir;
mod geometry;
mod latest;
mod list;
mod names;
mod pseudo;
mod question;
mod sums;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use modkeep_module::gomod::{GO_MOD_BYTES_MAX, GoMod};
use modkeep_module::semver::{self, Parts};
use modkeep_module::{Info, ModulePath, Version, VersionOrQuery, info, unicode};

pub(crate) use self::geometry::Geometry;
use self::question::Question;
use crate::error::{Error, Verdict};
use crate::place::RepositoryPlace;
use crate::repository::{Commit, Repository};

/// A module in its repository.
pub(crate) struct Module<'a> {
    path: &'a ModulePath,
    place: &'a RepositoryPlace,
    geometry: Geometry,
    repository: &'a dyn Repository,
}

/// A version, found: what its `.info` says, and where its files are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Located {
    /// Its `.info`, with the whole Origin of section 10: [`Info::settled`] before it is kept (P-60).
    pub(crate) info: Info,
    /// The commit.
    pub(crate) commit: Commit,
    /// The directory of the module at that commit, slash-separated; empty is the root.
    pub(crate) dir: String,
    /// The go.mod there; `None` for a legacy module without one.
    pub(crate) go_mod: Option<Bytes>,
}

impl<'a> Module<'a> {
    /// The module `path` in the repository of `place`; fails as [`Geometry::of`] does.
    pub(crate) fn new(
        path: &'a ModulePath,
        place: &'a RepositoryPlace,
        repository: &'a dyn Repository,
    ) -> Result<Self, Error> {
        Ok(Self { path, place, geometry: Geometry::of(path, place)?, repository })
    }

    /// All versions that tags give it, in the order of V-46, and the Origin of the list.
    pub(crate) async fn list(&self) -> Result<(Vec<Version>, info::Origin), Error> {
        let mut question = Question::new(self);
        Ok((question.list().await?, question.list_origin().await?))
    }

    /// What `@latest` answers (P-40 to P-43).
    pub(crate) async fn latest(&self) -> Result<Located, Error> {
        Question::new(self).latest().await
    }

    /// The version that a version or query means (section 6). A pseudo-version is validated (section 7).
    pub(crate) async fn stat(&self, asked: &VersionOrQuery) -> Result<Located, Error> {
        match asked.as_str() {
            "latest" => self.latest().await,
            // These need to know what the client has (P-35).
            rev @ ("upgrade" | "patch") => Err(self.missing(rev, &format!("unknown revision {rev}"))),
            rev => self.stat_or_canonical(rev).await,
        }
    }

    /// A full version with build metadata that means nothing is asked for once more without them: semantic versioning
    /// holds both for equal (V-57).
    async fn stat_or_canonical(&self, rev: &str) -> Result<Located, Error> {
        let mut question = Question::new(self);
        let failure = match question.stat(rev).await {
            Err(error @ Error::NotAVersion { verdict: Verdict::Missing | Verdict::Invalid, .. }) => error,
            outcome => return outcome,
        };
        let is_full = Parts::parse(rev).is_some_and(|parts| parts.patch.is_some());
        let Some(canonical) = semver::module_canonical(rev).filter(|canonical| is_full && canonical != rev)
        else {
            return Err(failure);
        };
        match question.stat(&canonical).await {
            Err(error) if error.is_missing() => Err(failure),
            outcome => outcome,
        }
    }

    /// The version, found, as [`Module::stat`] finds it: what its zip and its go.mod are made from.
    pub(crate) async fn locate(&self, version: &Version) -> Result<Located, Error> {
        Question::new(self).stat(version.as_str()).await
    }

    /// The bytes of a version's go.mod, synthesized where it has none (V-80, P-51). One that no zip may hold is refused:
    /// it was not read to its end.
    pub(crate) async fn go_mod(&self, version: &Version) -> Result<Bytes, Error> {
        let go_mod = self.locate(version).await?.go_mod_bytes(self.path);
        if go_mod.len() > GO_MOD_BYTES_MAX {
            let (size, limit) = (go_mod.len() as u64, GO_MOD_BYTES_MAX as u64);
            return Err(Error::TooLarge { what: "go.mod file", size, limit });
        }
        Ok(go_mod)
    }

    /// The version breaks a rule.
    fn invalid(&self, version: &str, reason: &str) -> Error {
        let sentence = format!("{}@{version}: invalid version: {reason}", self.path);
        Error::NotAVersion { sentence, verdict: Verdict::Invalid }
    }

    /// There is no such revision, or no module in its tree.
    fn missing(&self, version: &str, reason: &str) -> Error {
        let sentence = format!("{}@{version}: invalid version: {reason}", self.path);
        Error::NotAVersion { sentence, verdict: Verdict::Missing }
    }

    /// The version is true, and has metadata that a module's version cannot have.
    fn unnamable(&self, version: &str) -> Error {
        let reason = format!("non-canonical module version {}", unicode::quoted(version));
        let sentence = format!("{}@{version}: {reason}", self.path);
        Error::NotAVersion { sentence, verdict: Verdict::Unnamable }
    }

    /// The pseudo-version does not tell the truth about its commit.
    fn invalid_pseudo(&self, version: &str, reason: &str) -> Error {
        let sentence = format!("{}@{version}: invalid pseudo-version: {reason}", self.path);
        Error::NotAVersion { sentence, verdict: Verdict::Invalid }
    }

    /// What a repository says about a revision, as the module says it.
    fn about(&self, version: &str, error: Error) -> Error {
        match error {
            Error::NoVersion { reason } => self.missing(version, &reason),
            error => error,
        }
    }
}

impl Located {
    /// The bytes that `.mod` answers for a module of this path (V-80, P-51).
    pub(crate) fn go_mod_bytes(&self, path: &ModulePath) -> Bytes {
        self.go_mod.clone().unwrap_or_else(|| GoMod::synthesized(path).into())
    }
}
