//! Which directory of a commit holds the module (section 8).

use std::sync::Arc;

use bytes::Bytes;
use modkeep_module::gomod;
use modkeep_module::path::split_path_major;
use modkeep_module::{ModulePath, semver, unicode};

use super::geometry::{Geometry, joined};
use super::question::Question;
use crate::error::Error;

/// Where the module is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    /// The directory; empty is the root.
    pub(super) dir: String,
    /// Its go.mod, of one that is too large the first [`gomod::GO_MOD_BYTES_MAX`] bytes and one more; `None` for a legacy
    /// module at the root without one.
    pub(super) go_mod: Option<Bytes>,
}

/// Why the commit does not hold the module: the go command's words.
pub(super) type Reason = String;

impl Question<'_> {
    /// Finds the module at a commit, which the texts call by the revision that `version` stands for.
    ///
    /// The outer error is trouble, the inner one what the table of section 8 says.
    pub(super) async fn find_dir(
        &mut self,
        commit: &Arc<str>,
        version: &str,
    ) -> Result<Result<Found, Reason>, Error> {
        let geometry = &self.module.geometry;
        let first = joined(&geometry.code_dir, "go.mod");
        let second = geometry.major_dir.as_deref().map(|dir| joined(dir, "go.mod"));
        if let Some(second) = &second {
            let both = [&first, second].into_iter().map(|path| (Arc::clone(commit), path.clone()));
            self.expect(both).await?;
        }
        let files = Files {
            first: self.file(commit, &first).await?,
            second: match &second {
                Some(second) => self.file(commit, second).await?,
                None => None,
            },
        };
        Ok(decide(self.module.path, geometry, files, version))
    }
}

/// The two files of the table.
#[derive(Clone, Default)]
struct Files {
    /// `codeDir/go.mod`
    first: Option<Bytes>,
    /// `codeDir/vN/go.mod`
    second: Option<Bytes>,
}

/// The table of section 8.
fn decide(path: &ModulePath, geometry: &Geometry, files: Files, version: &str) -> Result<Found, Reason> {
    let revision = &geometry.revision(version);
    let scene = Scene { path, geometry, revision };
    let declared = |file: &Bytes| gomod::module_line_quick_scan(file).unwrap_or_default();
    let first_fits = files.first.as_ref().is_some_and(|file| fits(&declared(file), path));
    if let (Some(dir), Some(second)) = (&geometry.major_dir, &files.second) {
        scene.check_second(&declared(second), first_fits)?;
        return Ok(Found { dir: dir.clone(), go_mod: files.second });
    }
    if first_fits {
        return Ok(Found { dir: geometry.code_dir.clone(), go_mod: files.first });
    }
    match files.first {
        Some(file) => Err(scene.misfit(&declared(&file), version)),
        None if geometry.code_dir.is_empty() && !path.path_major().as_str().starts_with('/') => {
            Ok(Found { dir: String::new(), go_mod: None })
        }
        None => Err(scene.missing()),
    }
}

/// Whether the declared path is one that this module's go.mod may declare.
fn fits(declared: &str, path: &ModulePath) -> bool {
    // Paths without a suffix once could replace gopkg.in paths of any major version (golang/go#34254).
    let replaces_gopkg_in = path.path_major().as_str().is_empty() && declared.starts_with("gopkg.in/");
    replaces_gopkg_in || gomod::declaration_fits(declared, path)
}

/// What the texts are about.
struct Scene<'a> {
    path: &'a ModulePath,
    geometry: &'a Geometry,
    revision: &'a str,
}

impl Scene<'_> {
    /// `/v2`, or `.v2`.
    fn major(&self) -> &str {
        self.path.path_major().as_str()
    }

    fn first_file(&self) -> String {
        joined(&self.geometry.code_dir, "go.mod")
    }

    /// The rows with a go.mod in `vN`.
    fn check_second(&self, declared: &str, first_fits: bool) -> Result<(), Reason> {
        let (major, revision) = (self.major(), self.revision);
        let dir = self.geometry.major_dir.as_deref().unwrap_or_default();
        let file = format!("{}/{dir}/go.mod", self.geometry.root);
        if fits(declared, self.path) {
            let first = self.first_file();
            let prefix = &self.geometry.path_prefix;
            let both = format!(
                "{prefix}/{first} and ...{major}/go.mod both have ...{major} module paths at revision {revision}"
            );
            return if first_fits { Err(both) } else { Ok(()) };
        }
        Err(if declared.is_empty() {
            format!("{file} is missing module path at revision {revision}")
        } else {
            let declared = unicode::quoted(declared);
            format!("{file} has non-...{major} module path {declared} at revision {revision}")
        })
    }

    /// The rows with nothing but a go.mod in codeDir that does not fit.
    fn misfit(&self, declared: &str, version: &str) -> Reason {
        let (file, major, revision) = (self.first_file(), self.major(), self.revision);
        let but = match self.geometry.major_dir {
            Some(_) => format!(" (and ...{major}/go.mod does not exist)"),
            None => String::new(),
        };
        if declared.is_empty() {
            return format!("{file} is missing module path{but} at revision {revision}");
        }
        let what = if !major.is_empty() {
            format!("non-...{major}")
        } else if split_path_major(declared).is_none() {
            "malformed".to_owned()
        } else {
            format!("post-{}", semver::major(version))
        };
        let declared = unicode::quoted(declared);
        format!("{file} has {what} module path {declared}{but} at revision {revision}")
    }

    /// The last row, where a legacy module cannot be.
    fn missing(&self) -> Reason {
        let (prefix, revision) = (&self.geometry.path_prefix, self.revision);
        let or = match self.geometry.major_dir {
            Some(_) => format!(" and ...{}/go.mod", self.major()),
            None => String::new(),
        };
        format!("missing {prefix}/go.mod{or} at revision {revision}")
    }
}
