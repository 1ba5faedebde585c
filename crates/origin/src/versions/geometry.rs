//! Which tags and which directories of a repository belong to a module path (section 3).

use modkeep_module::ModulePath;

use crate::error::Error;
use crate::place::RepositoryPlace;

/// The names of section 3 for one module path in one repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Geometry {
    /// Where tags are named and go.mod is first looked for; empty is the root.
    pub(crate) code_dir: String,
    /// The path without its major version suffix; the whole path where it is the root itself (V-31).
    pub(crate) path_prefix: String,
    /// The second place for a go.mod, `codeDir/v2`, where there is one (section 8).
    pub(crate) major_dir: Option<String>,
}

impl Geometry {
    /// Places `path` in its repository (V-30 to V-33).
    pub(crate) fn of(path: &ModulePath, place: &RepositoryPlace) -> Result<Self, Error> {
        let within = |prefix: &str, path: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let no_module = |reason| Err(Error::NoModule { reason });
        let (root, whole) = (place.root.as_str(), path.as_str());
        if !within(root, whole) {
            return no_module(format!("mismatched repo: found {root} for {whole}"));
        }
        let is_root = root == whole;
        let path_prefix = if is_root { whole } else { path.prefix() };
        let rest = path_prefix.strip_prefix(root).filter(|_| within(root, path_prefix));
        let Some(rest) = rest else {
            return no_module(format!("repository rooted at {root} cannot contain module {whole}"));
        };
        let code_dir = clean(rest, &place.subdirectory);
        let major_dir = path.path_major().as_str().strip_prefix('/').filter(|_| !is_root);
        let major_dir = major_dir.map(|major| joined(&code_dir, major));
        Ok(Self { code_dir, path_prefix: path_prefix.to_owned(), major_dir })
    }

    /// What the names of its tags begin with (V-34): `sub/`, or nothing.
    pub(crate) fn tag_prefix(&self) -> String {
        joined(&self.code_dir, "")
    }
}

/// `dir/name`, or just the name at the root.
pub(crate) fn joined(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

/// The elements of both, joined; `.` and empty ones are nothing. `..` never gets here (V-22).
fn clean(rest: &str, subdirectory: &str) -> String {
    let elements = rest.split('/').chain(subdirectory.split('/'));
    elements.filter(|element| !matches!(*element, "" | ".")).collect::<Vec<_>>().join("/")
}
