//! The name of an entry, judged alone (Z-41, Z-42).

use super::error::EntryFault;
use crate::path::check_file_path;

/// What an entry's name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place<'a> {
    /// The module root itself: the name is exactly `path@version/`.
    Root,
    /// A directory below it, without the trailing slash.
    Directory(&'a str),
    /// A file, relative to the root.
    File(&'a str),
}

/// Reads an entry's name, which must begin with `prefix`, by the rules for every entry of a module zip.
pub(super) fn place<'a>(entry: &'a [u8], prefix: &str) -> Result<Place<'a>, EntryFault> {
    let Some(name) = entry.strip_prefix(prefix.as_bytes()) else {
        return Err(EntryFault::Prefix { prefix: prefix.into() });
    };
    if name.is_empty() {
        return Ok(Place::Root);
    }
    let (name, is_dir) = match name.strip_suffix(b"/") {
        Some(name) => (name, true),
        None => (name, false),
    };
    if !is_clean(name) {
        return Err(EntryFault::NotClean);
    }
    let name = std::str::from_utf8(name).map_err(|_| EntryFault::NotUtf8)?;
    check_file_path(name).map_err(EntryFault::Name)?;
    if is_dir {
        return Ok(Place::Directory(name));
    }
    check_go_mod(name)?;
    Ok(Place::File(name))
}

/// A zip has at most one go.mod: at the root, in lower case.
fn check_go_mod(name: &str) -> Result<(), EntryFault> {
    match name.rsplit_once('/') {
        _ if name == "go.mod" => Ok(()),
        Some((_, base)) if base.eq_ignore_ascii_case("go.mod") => Err(EntryFault::NestedGoMod),
        None if name.eq_ignore_ascii_case("go.mod") => Err(EntryFault::GoModCase),
        _ => Ok(()),
    }
}

/// Whether a slash-separated path is its own shortest spelling: no empty or `.` element, no trailing slash, `..`
/// only at the front of a relative path. An empty path is not clean, `.` and `/` are.
pub(super) fn is_clean(path: &[u8]) -> bool {
    let (rooted, rest) = match path.strip_prefix(b"/") {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    if rest.is_empty() {
        return rooted;
    }
    if path == b"." {
        return true;
    }
    let mut only_parents = !rooted;
    rest.split(|&b| b == b'/').all(|element| {
        let parent = element == b"..";
        only_parents &= parent;
        !element.is_empty() && element != b"." && (!parent || only_parents)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_is_the_shortest_spelling() {
        for path in ["a", "a/b", ".", "..", "../..", "../a", "/", "/a", "/a/b", "a/..b", "...", "a/...", ".a"]
        {
            assert!(is_clean(path.as_bytes()), "{path}");
        }
        for path in [
            "", "a/", "a//b", "./a", "a/.", "a/./b", "a/..", "a/../b", "../a/..", "//", "/..", "/a/", "./",
            "../",
        ] {
            assert!(!is_clean(path.as_bytes()), "{path}");
        }
    }
}
