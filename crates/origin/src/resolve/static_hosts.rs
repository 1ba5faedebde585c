//! Paths that say by themselves where they live: six well-known hosts, and qualifiers such as `.git` (V-1 to V-5).
//!
//! The go command uses regular expressions; what they accept is short enough to be said with elements.

use modkeep_module::unicode;

use crate::error::Error;
use crate::place::Vcs;

/// What a path alone tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// The repository.
    Repository {
        /// The import path of its root.
        root: String,
        /// Its system.
        vcs: Vcs,
        /// Its URL.
        url: String,
    },
    /// The repository but for the scheme of its URL, which is found out by asking (V-4).
    AnyScheme {
        /// The import path of its root, with the qualifier.
        root: String,
        /// The qualifier.
        vcs: Vcs,
        /// What follows `scheme://`: the root without the qualifier (V-3).
        address: String,
    },
    /// Nothing: a go-import page must tell.
    Nothing,
}

/// One well-known host. The elements are those after `prefix`.
struct Host {
    prefix: &'static str,
    vcs: Vcs,
    /// What each element of the root after the prefix must look like.
    root: &'static [fn(&str) -> bool],
    /// Whether elements may follow the root.
    may_go_on: bool,
    /// Whether a repository's name must not end in a qualifier (V-2).
    refuses_qualifier: bool,
}

const HOSTS: [Host; 6] = [
    Host {
        prefix: "github.com",
        vcs: Vcs::Git,
        root: &[is_word, is_word],
        may_go_on: true,
        refuses_qualifier: true,
    },
    Host {
        prefix: "bitbucket.org",
        vcs: Vcs::Git,
        root: &[is_word, is_word],
        may_go_on: true,
        refuses_qualifier: true,
    },
    Host {
        prefix: "hub.jazz.net/git",
        vcs: Vcs::Git,
        root: &[is_small, is_word],
        may_go_on: true,
        refuses_qualifier: true,
    },
    Host {
        prefix: "git.apache.org",
        vcs: Vcs::Git,
        root: &[is_apache],
        may_go_on: true,
        refuses_qualifier: false,
    },
    Host {
        prefix: "git.openstack.org",
        vcs: Vcs::Git,
        root: &[is_word, is_word],
        may_go_on: true,
        refuses_qualifier: false,
    },
    Host {
        prefix: "chiselapp.com",
        vcs: Vcs::Fossil,
        root: &[is_user, is_alphanumeric, is_repository, is_word],
        may_go_on: false,
        refuses_qualifier: false,
    },
];

const QUALIFIERS: [Vcs; 4] = [Vcs::Fossil, Vcs::Git, Vcs::Hg, Vcs::Svn];

/// What the path of a module tells by itself (V-1).
///
/// # Errors
/// [`Error::NoModule`] where a well-known host has no such paths: there is no falling through to a page.
pub(crate) fn told(path: &str) -> Result<Told, Error> {
    if path.starts_with("http:") || path.starts_with("https:") {
        let scheme = path.split_inclusive(':').next().unwrap_or_default();
        return Err(no_module(format!("\"{scheme}//\" not allowed in import path")));
    }
    match HOSTS.iter().find(|host| is_path_prefix(host.prefix, path)) {
        Some(host) => host.told(path),
        None => Ok(qualified(path)),
    }
}

/// Whether `prefix` is `path` or a number of its leading elements. A slash at the end of the prefix does no harm.
pub(crate) fn is_path_prefix(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

impl Host {
    fn told(&self, path: &str) -> Result<Told, Error> {
        let invalid = || no_module(format!("invalid {} import path {}", self.prefix, unicode::quoted(path)));
        let rest =
            path.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('/')).ok_or_else(invalid)?;
        let elements: Vec<&str> = rest.split('/').collect();
        let (root, more) = elements.split_at_checked(self.root.len()).ok_or_else(invalid)?;
        let fits = root.iter().zip(self.root).all(|(element, fits)| fits(element));
        if !fits || !more.iter().all(|element| is_word(element)) || !(self.may_go_on || more.is_empty()) {
            return Err(invalid());
        }
        let root = format!("{}/{}", self.prefix, root.join("/"));
        let is_qualified =
            |vcs: &Vcs| root.strip_suffix(vcs.name()).is_some_and(|front| front.ends_with('.'));
        if self.refuses_qualifier && QUALIFIERS.iter().any(is_qualified) {
            return Err(no_module(format!("invalid version control suffix in {}/ path", self.prefix)));
        }
        Ok(Told::Repository { url: format!("https://{root}"), root, vcs: self.vcs })
    }
}

/// `host.example/any/repo.git/any`: the shortest root that ends in a qualifier.
///
/// The go command's expression is not tied to the path's beginning: where an element does not fit it, the search goes
/// on behind. The root found then belongs to another path, which the geometry refuses (V-30); it matters only in that
/// no page is asked.
fn qualified(path: &str) -> Told {
    let mut start = 0;
    for element in path.split('/') {
        // The longest end of the element that could be a host.
        let run = element
            .trim_end_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
        let host = &element[run.len()..];
        if has_inner_dot(host)
            && let Some(told) = qualified_from(&path[start + run.len()..])
        {
            return told;
        }
        start += element.len() + 1;
    }
    Told::Nothing
}

fn qualified_from(path: &str) -> Option<Told> {
    let mut end = path.find('/')?;
    let mut root = None;
    for element in path[end + 1..].split('/') {
        let word = element.strip_prefix('~').unwrap_or(element);
        if !is_word(word) {
            return None;
        }
        end += 1 + element.len();
        if root.is_none() {
            root = qualifier(word).map(|vcs| (vcs, &path[..end]));
        }
    }
    let (vcs, root) = root?;
    let address = root[..root.len() - vcs.name().len() - 1].to_owned();
    Some(Told::AnyScheme { root: root.to_owned(), vcs, address })
}

/// The system in `name.git`; the name must not be empty.
fn qualifier(word: &str) -> Option<Vcs> {
    let (name, end) = word.rsplit_once('.')?;
    QUALIFIERS.into_iter().find(|vcs| vcs.name() == end).filter(|_| !name.is_empty())
}

fn has_inner_dot(host: &str) -> bool {
    host.len() > 2 && host[1..host.len() - 1].contains('.')
}

/// `[\w.\-]+`
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// `[a-z0-9]+`
fn is_small(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// `[a-z0-9_.\-]+\.git`
fn is_apache(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    text.strip_suffix(".git").is_some_and(|name| !name.is_empty() && name.bytes().all(small))
}

/// `[A-Za-z0-9]+`
fn is_alphanumeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_user(text: &str) -> bool {
    text == "user"
}

fn is_repository(text: &str) -> bool {
    text == "repository"
}

fn no_module(reason: String) -> Error {
    Error::NoModule { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str) -> Option<(String, Vcs, String)> {
        match told(path).unwrap() {
            Told::Repository { root, vcs, url } => Some((root, vcs, url)),
            Told::AnyScheme { root, vcs, address } => Some((root, vcs, address)),
            Told::Nothing => None,
        }
    }

    #[test]
    fn six_hosts_are_known() {
        for (path, root, vcs) in [
            ("github.com/rsc/foo", "github.com/rsc/foo", Vcs::Git),
            ("github.com/rsc/foo/bar/v2", "github.com/rsc/foo", Vcs::Git),
            ("github.com/Azure/a-b_c.d", "github.com/Azure/a-b_c.d", Vcs::Git),
            ("bitbucket.org/a/b/c", "bitbucket.org/a/b", Vcs::Git),
            ("hub.jazz.net/git/user1/pkg.name/sub", "hub.jazz.net/git/user1/pkg.name", Vcs::Git),
            ("git.apache.org/package_name-2.1.git/sub", "git.apache.org/package_name-2.1.git", Vcs::Git),
            ("git.openstack.org/openstack/swift/go", "git.openstack.org/openstack/swift", Vcs::Git),
            (
                "chiselapp.com/user/kyle/repository/fossilgg",
                "chiselapp.com/user/kyle/repository/fossilgg",
                Vcs::Fossil,
            ),
        ] {
            assert_eq!(repository(path), Some((root.to_owned(), vcs, format!("https://{root}"))), "{path}");
        }
    }

    #[test]
    fn a_known_host_with_another_shape_is_an_error_and_no_page_is_asked() {
        for (path, reason) in [
            ("github.com", "invalid github.com import path \"github.com\""),
            ("github.com/rsc", "invalid github.com import path \"github.com/rsc\""),
            ("github.com/rsc/~foo", "invalid github.com import path \"github.com/rsc/~foo\""),
            ("github.com/rsc/foo/~bar", "invalid github.com import path \"github.com/rsc/foo/~bar\""),
            ("github.com/rsc/foo.git", "invalid version control suffix in github.com/ path"),
            ("bitbucket.org/rsc/foo.hg/x", "invalid version control suffix in bitbucket.org/ path"),
            ("hub.jazz.net/git/user/a.svn", "invalid version control suffix in hub.jazz.net/git/ path"),
            ("hub.jazz.net/git/User/a", "invalid hub.jazz.net/git import path \"hub.jazz.net/git/User/a\""),
            ("git.apache.org/x", "invalid git.apache.org import path \"git.apache.org/x\""),
            ("git.apache.org/X.git", "invalid git.apache.org import path \"git.apache.org/X.git\""),
            (
                "chiselapp.com/user/kyle/repository/fossilgg/sub",
                "invalid chiselapp.com import path \"chiselapp.com/user/kyle/repository/fossilgg/sub\"",
            ),
            (
                "chiselapp.com/kyle/repository/x",
                "invalid chiselapp.com import path \"chiselapp.com/kyle/repository/x\"",
            ),
            ("https:/example.com/x", "\"https://\" not allowed in import path"),
        ] {
            assert_eq!(told(path).unwrap_err().to_string(), reason, "{path}");
        }
    }

    #[test]
    fn a_qualifier_ends_the_root_and_is_no_part_of_the_url() {
        for (path, root, vcs, address) in [
            ("example.com/foo.git", "example.com/foo.git", Vcs::Git, "example.com/foo"),
            ("example.com/a/b.hg/c", "example.com/a/b.hg", Vcs::Hg, "example.com/a/b"),
            ("example.com/foo.git/bar.git", "example.com/foo.git", Vcs::Git, "example.com/foo"),
            ("example.com/foo.git.hg", "example.com/foo.git.hg", Vcs::Hg, "example.com/foo.git"),
            ("example.com/~user/foo.svn/~x", "example.com/~user/foo.svn", Vcs::Svn, "example.com/~user/foo"),
            ("example.com/foo.fossil", "example.com/foo.fossil", Vcs::Fossil, "example.com/foo"),
            ("git.example.com/a.git/v2", "git.example.com/a.git", Vcs::Git, "git.example.com/a"),
            ("github.community/a.git", "github.community/a.git", Vcs::Git, "github.community/a"),
            // Found behind an element that does not fit; the geometry says mismatched.
            ("example.com/a~b/foo.io/x.git", "foo.io/x.git", Vcs::Git, "foo.io/x"),
        ] {
            assert_eq!(repository(path), Some((root.to_owned(), vcs, address.to_owned())), "{path}");
        }
        for path in [
            "example.com",
            "example.com/x",
            "example.com/.git",
            "example.com/x/.git",
            "example.com/foo.gitx",
            "example.com/foo.Git",
            "example.com/~.git",
            "example.com/a~b/x.git",
            "example.com/x.git/a~b",
            "example.com/foo.bzr",
            "nodot/x.git",
            "example.net/x",
            "rsc.io",
        ] {
            assert_eq!(repository(path), None, "{path}");
        }
    }
}
