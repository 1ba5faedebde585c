//! Which tags and which directories of a repository belong to a module path (section 3).

use modkeep_module::version::INCOMPATIBLE;
use modkeep_module::{ModulePath, Version, pseudo, semver};

use crate::error::Error;
use crate::place::RepositoryPlace;

/// The names of section 3 for one module path in one repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Geometry {
    /// The import path of the repository's root.
    pub(super) root: String,
    /// Where tags are named and go.mod is first looked for; empty is the root.
    pub(super) code_dir: String,
    /// The path without its major version suffix; the whole path where it is the root itself (V-31).
    pub(super) path_prefix: String,
    /// The suffix without its separator: `v2`, `v2-unstable`; empty when there is none.
    suffix: String,
    /// The second place for a go.mod, `codeDir/v2`, where there is one (section 8).
    pub(super) major_dir: Option<String>,
}

impl Geometry {
    /// Places `path` in its repository (V-30 to V-33).
    pub(crate) fn of(path: &ModulePath, place: &RepositoryPlace) -> Result<Self, Error> {
        let (root, whole) = (place.root.as_str(), path.as_str());
        let is_root = root == whole;
        if below(whole, root).is_none() {
            return Err(Error::NoModule { reason: format!("mismatched repo: found {root} for {whole}") });
        }
        let path_prefix = if is_root { whole } else { path.prefix() };
        let Some(rest) = below(path_prefix, root) else {
            let reason = format!("repository rooted at {root} cannot contain module {whole}");
            return Err(Error::NoModule { reason });
        };
        let code_dir = clean(rest, &place.subdirectory);
        let suffix = path.path_major().as_str();
        let major = suffix.strip_prefix('/').filter(|_| !is_root);
        Ok(Self {
            root: root.to_owned(),
            path_prefix: path_prefix.to_owned(),
            suffix: suffix.get(1..).unwrap_or_default().to_owned(),
            major_dir: major.map(|major| joined(&code_dir, major)),
            code_dir,
        })
    }

    /// What the names of its tags begin with (V-34): `sub/`, or nothing.
    pub(crate) fn tag_prefix(&self) -> String {
        joined(&self.code_dir, "")
    }

    /// What the names of those tags begin with on which its pseudo-versions depend (section 10): `sub/v2.`.
    pub(super) fn pseudo_tag_prefix(&self) -> String {
        let major = if self.suffix.is_empty() { String::new() } else { format!("{}.", self.suffix) };
        self.tag_prefix() + &major
    }

    /// The revision name that a version or query stands for (V-50).
    pub(super) fn revision(&self, rev: &str) -> String {
        if !semver::is_valid(rev) {
            return rev.to_owned();
        }
        if pseudo::is_pseudo(rev) {
            let plain = rev.split('+').next().unwrap_or(rev);
            return plain.rsplit('-').next().unwrap_or(plain).to_owned();
        }
        let plain = if semver::build(rev) == INCOMPATIBLE { rev.strip_suffix(INCOMPATIBLE) } else { None };
        self.tag_prefix() + plain.unwrap_or(rev)
    }

    /// The go command's words when a version's commit is not there to be read.
    pub(super) fn unreadable(&self, version: &str) -> String {
        let (root, file, revision) = (&self.root, joined(&self.code_dir, "go.mod"), self.revision(version));
        format!("reading {root}/{file} at revision {revision}: unknown revision {revision}")
    }

    /// Whether versions above v1 may do without a suffix here, as far as names can tell (V-56).
    pub(super) fn allows_incompatible(&self) -> bool {
        self.code_dir.is_empty() && self.suffix.is_empty()
    }
}

/// Whether a version fits the path's suffix (section 4), whatever its metadata. A version that no URL can name fits nothing.
pub(super) fn fits(version: &str, path: &ModulePath) -> bool {
    let build = semver::build(version);
    let plain = if build == INCOMPATIBLE { version } else { version.strip_suffix(build).unwrap_or(version) };
    Version::parse(plain).is_ok_and(|version| version.fits(path).is_ok())
}

/// `dir/name`, or just the name at the root.
pub(super) fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// What of `path` lies below `prefix`, whole elements only.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The elements of both, joined; empty ones and `.` are nothing, and `..` never gets here (V-22).
fn clean(rest: &str, subdirectory: &str) -> String {
    let elements = rest.split('/').chain(subdirectory.split('/'));
    elements.filter(|element| !matches!(*element, "" | ".")).collect::<Vec<_>>().join("/")
}
