//! Versions of real repositories, beside those that the real go command finds in them.

mod contest;
mod economy;
mod geometry;
mod histories;
mod local_git;
mod repositories;
mod rows;
mod tables;

use std::path::Path;

use modkeep_module::{ModulePath, Version, VersionOrQuery};
use modkeep_testkit::GitRepo;

use self::local_git::LocalGit;
use super::{Located, Module};
use crate::error::Error;
use crate::place::{RepositoryPlace, Vcs};

/// A repository that the go command knows as `https://<root>`.
fn place(root: &str) -> RepositoryPlace {
    let url = match root.split_once(".git") {
        Some((bare, "")) => format!("https://{bare}"),
        _ => format!("https://{root}"),
    };
    RepositoryPlace { root: root.to_owned(), vcs: Vcs::Git, url, subdirectory: String::new() }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A module in a repository on our disk, ready to be asked.
struct Asked {
    path: ModulePath,
    place: RepositoryPlace,
    git: LocalGit,
}

impl Asked {
    fn new(path: &str, root: &str, repository: &Path) -> Self {
        let path = ModulePath::parse(path).unwrap();
        Self { path, place: place(root), git: LocalGit::open(repository) }
    }

    fn module(&self) -> Module<'_> {
        Module::new(&self.path, &self.place, &self.git).unwrap()
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        let (versions, _) = run(self.module().list())?;
        Ok(versions.iter().map(ToString::to_string).collect())
    }

    fn latest(&self) -> Result<Located, Error> {
        run(self.module().latest())
    }

    fn stat(&self, query: &str) -> Result<Located, Error> {
        run(self.module().stat(&VersionOrQuery::parse(&self.path, query).unwrap()))
    }

    /// The version that a query means, or the sentence that says why there is none.
    fn version(&self, query: &str) -> String {
        told(self.stat(query))
    }

    fn go_mod(&self, version: &str) -> Result<Vec<u8>, Error> {
        Ok(run(self.module().go_mod(&Version::parse(version).unwrap()))?.to_vec())
    }
}

/// The version, or the sentence.
fn told(answer: Result<Located, Error>) -> String {
    answer.map_or_else(|error| error.to_string(), |located| located.info.version().to_string())
}

/// One repository at `github.com/ann/m`, and the folder that it ends with.
fn repository() -> (tempfile::TempDir, GitRepo) {
    let folder = tempfile::tempdir().unwrap();
    let repository = GitRepo::init(&folder.path().join("m"));
    (folder, repository)
}

/// The module of the same path as [`repository`], or of one below it.
fn ask(path: &str, repository: &mut GitRepo) -> Asked {
    repository.save();
    Asked::new(path, "github.com/ann/m", repository.path())
}

#[test]
fn questions_travel_between_threads() {
    fn travels<T: Send>(_: T) {}
    let (_folder, mut m) = repository();
    let asked = ask("github.com/ann/m", &mut m);
    let (module, version) = (asked.module(), Version::parse("v1.0.0").unwrap());
    travels(module.list());
    travels(module.latest());
    travels(module.stat(&VersionOrQuery::Version(version.clone())));
    travels(module.locate(&version));
    travels(module.go_mod(&version));
}
