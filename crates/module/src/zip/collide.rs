//! Names that cannot stand side by side on every disk (module-zip.md section 5.3).
//!
//! All names are sorted by their folded form, as a tree walk would visit them. A directory's names are then
//! neighbours, and so are names that fold alike: comparing each with the next finds every clash, in memory that
//! does not grow with the depth of the tree. (A table of all parent directories would: one path of 64 KiB has
//! 32,000 of them.)

use std::borrow::Cow;
use std::cmp::Ordering;

use super::error::Collision;
use crate::path::fold_key;

/// A name that takes part: relative to the module root, clean, without a trailing slash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) path: &'a str,
    pub(super) is_dir: bool,
}

struct Folded<'a> {
    placed: Placed<'a>,
    /// Where the name stands in the caller's order.
    index: usize,
    key: Cow<'a, str>,
}

/// The clashes among `names`, each with the index of the later of the two names.
///
/// The same directory may stand there any number of times. Of several names that fold alike, each clashes with
/// one other, so every name but one is reported at least once.
pub(super) fn collisions<'a>(names: impl IntoIterator<Item = Placed<'a>>) -> Vec<(usize, Collision)> {
    let mut names: Vec<Folded<'a>> = names
        .into_iter()
        .enumerate()
        .map(|(index, placed)| Folded { placed, index, key: folded(placed.path) })
        .collect();
    names.sort_by(|a, b| tree_order(a.key.as_bytes(), b.key.as_bytes()));
    names
        .windows(2)
        .filter_map(|pair| {
            let [a, b] = pair else { return None };
            let (first, second) = if a.index < b.index { (a, b) } else { (b, a) };
            Some((second.index, clash(first, second)?))
        })
        .collect()
}

/// Most names fold to themselves; those are not copied.
fn folded(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(fold_key(path))
}

/// Byte order with `/` before everything else: a directory comes right before what is in it.
fn tree_order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
        None => a.len().cmp(&b.len()),
    }
}

/// What is wrong at the deepest place that both names fold to, if anything is.
fn clash(first: &Folded<'_>, second: &Folded<'_>) -> Option<Collision> {
    let keys = first.key.split('/').zip(second.key.split('/'));
    let shared = keys.take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return None;
    }
    let (a, a_is_dir) = ancestor(first.placed, shared);
    let (b, b_is_dir) = ancestor(second.placed, shared);
    if a != b {
        return Some(Collision::Case { first: a.into(), second: b.into() });
    }
    match (a_is_dir, b_is_dir) {
        (true, true) => None,
        (false, false) => Some(Collision::Twice(a.into())),
        _ => Some(Collision::FileAndDirectory(a.into())),
    }
}

/// The first `depth` elements of a name, and whether they are a directory.
fn ancestor(placed: Placed<'_>, depth: usize) -> (&str, bool) {
    let end = placed.path.match_indices('/').nth(depth - 1).map(|(at, _)| at);
    match end {
        Some(end) => (&placed.path[..end], true),
        None => (placed.path, placed.is_dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names ending in `/` are directories.
    fn found(names: &[&str]) -> Vec<String> {
        let placed = names.iter().map(|name| match name.strip_suffix('/') {
            Some(path) => Placed { path, is_dir: true },
            None => Placed { path: name, is_dir: false },
        });
        collisions(placed).iter().map(|(index, clash)| format!("{index}: {clash}")).collect()
    }

    #[test]
    fn names_that_clash() {
        for (names, clash) in [
            (&["A.go", "a.go"][..], r#"1: case-insensitive file name collision: "A.go" and "a.go""#),
            (&["A/x", "b", "a/y"], r#"2: case-insensitive file name collision: "A" and "a""#),
            (&["a/x", "A/x"], r#"1: case-insensitive file name collision: "a/x" and "A/x""#),
            (&["a/b/c/d", "a/B/c/e"], r#"1: case-insensitive file name collision: "a/b/c" and "a/B/c""#),
            (&["k", "\u{212a}"], "1: case-insensitive file name collision: \"k\" and \"\u{212a}\""),
            (&["\u{17f}", "s"], "1: case-insensitive file name collision: \"\u{17f}\" and \"s\""),
            (&["a", "a"], r#"1: multiple entries for file "a""#),
            (&["x", "x/y"], r#"1: entry "x" is both a file and a directory"#),
            (&["x/y/z", "x"], r#"1: entry "x" is both a file and a directory"#),
            (&["x/", "x"], r#"1: entry "x" is both a file and a directory"#),
            (&["x.go", "x", "x-y", "x/y"], r#"3: entry "x" is both a file and a directory"#),
        ] {
            assert_eq!(found(names), [clash], "{names:?}");
        }
    }

    #[test]
    fn names_that_live_together() {
        for names in [
            &["a", "b", "a.b", "a-b", "ab"][..],
            &["a/", "a/", "a/b", "a/"],
            &["a/x", "b/x", "a.x/x"],
            &["ss", "ß"],
            &["d/", "d/x", "d/y/", "d/y/z"],
            &[],
        ] {
            assert_eq!(found(names), [""; 0], "{names:?}");
        }
    }

    /// Depth and number of names each cost what they are long, not their product.
    #[test]
    fn deep_and_many() {
        let deep = "d/".repeat(30_000) + "f";
        let also = "d/".repeat(30_000) + "g";
        assert_eq!(found(&[&deep, &also]), [""; 0]);
        let many: Vec<String> = (0..20_000).map(|n| format!("dir/{n}")).collect();
        assert_eq!(found(&many.iter().map(String::as_str).collect::<Vec<_>>()), [""; 0]);
    }
}
