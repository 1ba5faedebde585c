//! From a repository to versions, exactly as the go command (versions-and-origins sections 3 to 10).
//!
//! [`Geometry`] says which tags and which directory belong to a module path; [`Module`] answers the questions about it
//! by asking its [`Repository`].

mod geometry;

use bytes::Bytes;
use modkeep_module::{Info, ModulePath, Version, VersionOrQuery, info};

pub(crate) use self::geometry::Geometry;
use crate::error::Error;
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
    /// Its `.info`, with the Origin of section 10 (not yet cleaned, P-60).
    pub(crate) info: Info,
    /// The commit.
    pub(crate) commit: Commit,
    /// The directory of the module at that commit, slash-separated; empty is the root.
    pub(crate) dir: String,
    /// The go.mod there; `None` for a legacy module without one.
    pub(crate) go_mod: Option<Bytes>,
}

#[expect(dead_code, reason = "the skeleton; bodies follow")]
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
        todo!()
    }

    /// What `@latest` answers (P-40 to P-43).
    pub(crate) async fn latest(&self) -> Result<Info, Error> {
        todo!()
    }

    /// The version that a version or query means.
    pub(crate) async fn stat(&self, _asked: &VersionOrQuery) -> Result<Located, Error> {
        todo!()
    }

    /// The bytes of a version's go.mod, synthesized where it has none (V-80).
    pub(crate) async fn go_mod(&self, _version: &Version) -> Result<Bytes, Error> {
        todo!()
    }

    /// Where a version's files are: what its zip is made from.
    pub(crate) async fn locate(&self, _version: &Version) -> Result<Located, Error> {
        todo!()
    }
}
