//! Reading one tree object.
//!
//! git's `archive` puts a whole tree into an index first, and its index takes no name that could reach outside of a
//! working tree or into its `.git`. A version with such a name has no zip from the go command, and none from us (C11).

use super::ObjectId;

/// What an entry is. Modes that git knows nothing about count as submodules, as they do there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Regular,
    Symlink,
    Directory,
    Submodule,
}

/// An entry of a tree.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: Vec<u8>,
    pub(super) mode: Mode,
    pub(super) id: ObjectId,
}

impl Listed {
    /// As if a directory's name ended with a slash.
    fn ordered_name(&self) -> impl Iterator<Item = &u8> {
        let slash: &[u8] = if self.mode == Mode::Directory { b"/" } else { b"" };
        self.name.iter().chain(slash)
    }
}

/// The entries of a tree object in git's order. `Err`: what is wrong with it.
pub(super) fn listed(tree: &[u8], id_bytes: usize) -> Result<Vec<Listed>, String> {
    let mut entries = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let (entry, after) = entry(rest, id_bytes).ok_or("malformed tree object")?;
        if !is_allowed(&entry) {
            return Err(format!("invalid path {:?}", String::from_utf8_lossy(&entry.name)));
        }
        entries.push(entry);
        rest = after;
    }
    refuse_doubles(&entries)?;
    let ascends = |pair: &[Listed]| order(&pair[0], &pair[1]).is_lt();
    if !entries.windows(2).all(ascends) {
        entries.sort_by(order);
    }
    Ok(entries)
}

/// The order of git. The paths that a walk meets then ascend by their bytes (Z-32).
fn order(a: &Listed, b: &Listed) -> std::cmp::Ordering {
    a.ordered_name().cmp(b.ordered_name())
}

fn refuse_doubles(entries: &[Listed]) -> Result<(), String> {
    let mut names: Vec<&[u8]> = entries.iter().map(|entry| entry.name.as_slice()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(format!("multiple entries for {:?}", String::from_utf8_lossy(pair[0]))),
    }
}

/// `<octal mode> <name>\0<id>`.
fn entry(tree: &[u8], id_bytes: usize) -> Option<(Listed, &[u8])> {
    let space = memchr::memchr(b' ', tree)?;
    let mode = mode(&tree[..space])?;
    let rest = &tree[space + 1..];
    let end = memchr::memchr(0, rest)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (id, rest) = rest.split_at_checked(id_bytes)?;
    Some((Listed { name: name.into(), mode, id: ObjectId::from_bytes(id)? }, rest))
}

fn mode(digits: &[u8]) -> Option<Mode> {
    if digits.is_empty() || digits.len() > 7 || !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return None;
    }
    let mode = digits.iter().fold(0_u32, |mode, digit| mode << 3 | u32::from(digit - b'0'));
    Some(match mode & 0o170_000 {
        0o100_000 => Mode::Regular,
        0o120_000 => Mode::Symlink,
        0o040_000 => Mode::Directory,
        _ => Mode::Submodule,
    })
}

/// Whether git's index takes the name.
fn is_allowed(entry: &Listed) -> bool {
    let name = entry.name.as_slice();
    if name.is_empty() || name.contains(&b'/') || matches!(name, b"." | b"..") {
        return false;
    }
    // On NTFS a backslash separates, so that what follows one is a name too.
    let mut tails = std::iter::once(name).chain(memchr::memchr_iter(b'\\', name).map(|at| &name[at + 1..]));
    !tails.any(|tail| is_dot_git(tail) || (entry.mode == Mode::Symlink && is_dot_gitmodules(tail)))
}

/// `.git` in any case, and the other names that NTFS has for it: `git~1`, and either with dots, spaces or a stream behind.
fn is_dot_git(name: &[u8]) -> bool {
    let name = &name[..memchr::memchr2(b'\\', b':', name).unwrap_or(name.len())];
    let rest = [&b".git"[..], b"git~1"].into_iter().find_map(|own| strip_prefix_any_case(name, own));
    rest.is_some_and(|rest| rest.iter().all(|byte| matches!(byte, b'.' | b' ')))
}

/// The same for `.gitmodules`, which is allowed but as a link.
fn is_dot_gitmodules(name: &[u8]) -> bool {
    let rest = strip_prefix_any_case(name, b".gitmodules").or_else(|| short_name_of_gitmodules(name));
    rest.is_some_and(|rest| {
        let end = memchr::memchr(b':', rest).unwrap_or(rest.len());
        rest[..end].iter().all(|byte| matches!(byte, b'.' | b' '))
    })
}

/// What follows a name of eight bytes that NTFS may have made of `.gitmodules`.
fn short_name_of_gitmodules(name: &[u8]) -> Option<&[u8]> {
    let (short, rest) = name.split_at_checked(8)?;
    if let Some([b'~', b'1'..=b'4']) = strip_prefix_any_case(short, b"gitmod") {
        return Some(rest);
    }
    let tilde = memchr::memchr(b'~', short).filter(|tilde| *tilde <= 6)?;
    let (hash, [_, first, digits @ ..]) = short.split_at(tilde) else { return None };
    let is_short = b"gi7eba"[..tilde].eq_ignore_ascii_case(hash)
        && matches!(first, b'1'..=b'9')
        && digits.iter().all(u8::is_ascii_digit);
    is_short.then_some(rest)
}

fn strip_prefix_any_case<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(mode, name)| [format!("{mode} {name}\0").as_bytes(), &[7; 20]].concat())
            .collect()
    }

    #[test]
    fn names_that_git_does_not_take() {
        for name in [
            "", ".", "..", "a/b", ".git", ".GIT", "git~1", "GIT~1", ".git ", ".git...", ".git:x", "a\\.git",
            ".git\\a",
        ] {
            assert!(listed(&tree(&[("100644", name)]), 20).is_err(), "{name:?}");
        }
        for name in [".gitmodules", ".GitModules", "gitmod~1", "GI7EBA~1", "gi7eb~12", ".gitmodules ."] {
            assert!(listed(&tree(&[("120000", name)]), 20).is_err(), "link {name:?}");
            assert!(listed(&tree(&[("100644", name)]), 20).is_ok(), "file {name:?}");
        }
    }

    #[test]
    fn names_that_git_takes() {
        for name in
            [".gitx", "git~2", "git~10", "...", ".g\u{200c}it", "a:b", " ", ".hg", "con", "a\\b", "gi7eba~"]
        {
            assert!(listed(&tree(&[("100644", name), ("120000", "l")]), 20).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn order_and_doubles() {
        let names = |entries: &[(&str, &str)]| -> Vec<String> {
            let listed = listed(&tree(entries), 20).unwrap();
            listed.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
        };
        assert_eq!(names(&[("40000", "a"), ("100644", "a.b"), ("100755", "b")]), ["a.b", "a", "b"]);
        assert!(listed(&tree(&[("100644", "a"), ("100644", "a")]), 20).is_err());
        assert!(listed(&tree(&[("100644", "a"), ("100644", "a.b"), ("40000", "a")]), 20).is_err());
    }

    #[test]
    fn broken_objects() {
        let whole = tree(&[("100644", "a")]);
        assert!((1..whole.len()).all(|len| listed(&whole[..len], 20).is_err()));
        for mode in ["", "1006x4", "100644444444", "-1"] {
            assert!(listed(&tree(&[(mode, "a")]), 20).is_err(), "{mode:?}");
        }
        assert_eq!(listed(&tree(&[("160000", "a"), ("0", "b")]), 20).unwrap()[1].mode, Mode::Submodule);
        assert!(listed(b"", 20).unwrap().is_empty());
    }
}
