//! Repositories as odd as the rules allow, each for the rule that it names.
//!
//! | file | holds |
//! |---|---|
//! | `names.rs` | tags, branches, commits, pseudo-versions: rules V-40 to V-66, V-90 to V-94 |
//! | `modules.rs` | where the go.mod lies and what it says: rules V-30 to V-34, V-42 to V-44, V-70 to V-84 |
//! | `places.rs` | how a path leads to a repository: rules V-1 to V-24 |
//! | `zips.rs` | what gets into a zip, and what forbids it: rules Z-1 to Z-46 |
//! | `attributes.rs` | what git's attributes do to contents: section 3 of module-zip.md |
//!
//! A [`Sample`] is data: what it is for, the import path of its root, and the script that makes it. [`all`] lists
//! them; [`World`] makes them all, behind one git server and one server of pages.

mod attributes;
mod modules;
mod names;
mod places;
mod zips;

use crate::differential::{Question, Site};
use crate::git::{GitRepo, GitServer, Kind};
use crate::pages::Pages;

/// One repository to be made.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The rules that it is for.
    pub rules: &'static str,
    /// The import path of its root: `github.com/w/plain`.
    pub root: String,
    /// Its path on the git server, host first; mostly the root.
    pub place: String,
    /// Makes it.
    pub script: fn(&mut GitRepo),
    sha256: bool,
    subdirectory: &'static str,
    paths: Vec<String>,
    questions: Vec<Question>,
    imports: Vec<(&'static str, Vec<&'static str>)>,
}

impl Sample {
    /// `github.com/w/<name>`, for these rules.
    fn new(name: &str, rules: &'static str, script: fn(&mut GitRepo)) -> Self {
        Self::at(&format!("github.com/w/{name}"), rules, script)
    }

    /// With this root, which the server has as it stands.
    fn at(root: &str, rules: &'static str, script: fn(&mut GitRepo)) -> Self {
        let (root, place) = (root.to_owned(), root.to_owned());
        let (paths, questions, imports) = (Vec::new(), Vec::new(), Vec::new());
        Self { rules, root, place, script, sha256: false, subdirectory: "", paths, questions, imports }
    }

    /// The server has it there.
    fn placed(mut self, place: &str) -> Self {
        place.clone_into(&mut self.place);
        self
    }

    /// Also this module path, below the root.
    fn path(mut self, below: &str) -> Self {
        self.paths.push(format!("{}/{below}", self.root));
        self
    }

    /// Also this question, of a module below the root or of the root itself.
    fn ask(mut self, below: &str, query: &str) -> Self {
        let slash = if below.is_empty() { "" } else { "/" };
        self.questions.push(Question::new(&format!("{}{slash}{below}", self.root), query));
        self
    }

    /// A page at this address with these go-import tags.
    fn import(mut self, address: &'static str, contents: &[&'static str]) -> Self {
        self.imports.push((address, contents.to_vec()));
        self
    }

    fn subdirectory(mut self, subdirectory: &'static str) -> Self {
        self.subdirectory = subdirectory;
        self
    }

    fn sha256(mut self) -> Self {
        self.sha256 = true;
        self
    }

    /// What the differential walk asks about it.
    fn site(&self, server: &GitServer) -> Site {
        Site {
            root: self.root.clone(),
            repository: Some(server.folder().join(&self.place)),
            subdirectory: self.subdirectory.to_owned(),
            paths: self.paths.clone(),
            more: self.questions.clone(),
        }
    }
}

/// Every sample, in the order of the files above.
pub fn all() -> Vec<Sample> {
    [names::all(), modules::all(), places::all(), zips::all(), attributes::all()].concat()
}

/// All samples, made and served.
#[derive(Debug)]
pub struct World {
    /// The repositories, at `/<host>/<path>`.
    pub server: GitServer,
    /// The go-import pages.
    pub pages: Pages,
    /// What can be asked.
    pub sites: Vec<Site>,
}

impl World {
    /// Makes the samples whose root contains one of `wanted`, or all of them when that is empty.
    ///
    /// # Panics
    /// When git fails.
    pub fn make(kind: Kind, wanted: &[&str]) -> Self {
        let (server, pages) = (GitServer::start(kind), Pages::start());
        let chosen = |s: &Sample| wanted.is_empty() || wanted.iter().any(|word| s.root.contains(word));
        let samples: Vec<Sample> = all().into_iter().filter(chosen).collect();
        for sample in &samples {
            let make = if sample.sha256 { GitServer::repository_sha256 } else { GitServer::repository };
            let mut repository = make(&server, &sample.place);
            (sample.script)(&mut repository);
            repository.save();
            for (address, contents) in &sample.imports {
                pages.imports(address, contents);
            }
        }
        let sites = samples.iter().map(|sample| sample.site(&server)).collect();
        Self { server, pages, sites }
    }
}

/// A go.mod of a quiet module.
fn go_mod(path: &str) -> String {
    format!("module {path}\n\ngo 1.21\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_sixty_and_no_two_share_a_place() {
        let places: std::collections::BTreeSet<String> = all().into_iter().map(|s| s.place).collect();
        assert!(places.len() == all().len() && places.len() >= 60, "{} of {}", places.len(), all().len());
    }
}
