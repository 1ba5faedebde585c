//! What `git ls-remote` prints, read.

use std::sync::Arc;

use crate::repository::Refs;

/// Refs of a repository as `git ls-remote` lists them: `HEAD`, branches and tags, annotated tags with their commits.
///
/// What no ref may be called, and what has no hash, is passed over (C13). `None`: a line is none.
pub(super) fn parse(listing: &[u8]) -> Option<Refs> {
    let mut refs = Refs::default();
    for line in listing.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let tab = line.iter().position(|&b| b == b'\t')?;
        let (Ok(id), Ok(name)) = (std::str::from_utf8(&line[..tab]), std::str::from_utf8(&line[tab + 1..]))
        else {
            continue; // a name in another encoding is none that a module version can have
        };
        if !is_id(id) {
            return None;
        }
        let (name, peeled) = name.strip_suffix("^{}").map_or((name, false), |name| (name, true));
        let id: Arc<str> = id.into();
        if name == "HEAD" {
            refs.head = Some(id);
        } else if name.starts_with("refs/heads/") && is_name(name) {
            refs.branches.insert(name.into(), id);
        } else if name.starts_with("refs/tags/") && is_name(name) && (peeled || !refs.tags.contains_key(name))
        {
            refs.tags.insert(name.into(), id);
        }
    }
    Some(refs)
}

/// 40 or 64 lower-case hex digits.
pub(super) fn is_id(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && is_hex(id)
}

/// Lower-case hex digits alone (V-92).
pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether git itself would let a ref have that name: then it is no option, no pattern and no range.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with(['.', '-']) && part.strip_suffix(".lock").is_none()
    };
    let odd = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    name.len() <= 4096
        && name.split('/').all(part)
        && !name.ends_with('.')
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_peeled_and_odd_names_passed_over() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let listing = [
            format!("{a}\tHEAD"),
            format!("{a}\trefs/heads/main"),
            format!("{a}\trefs/heads/-x"),
            format!("{a}\trefs/heads/a..b"),
            format!("{a}\trefs/heads/a b"),
            format!("{a}\trefs/pull/1/head"),
            format!("{a}\trefs/tags/v1.0.0"),
            format!("{b}\trefs/tags/v1.0.0^{{}}"),
            format!("{a}\trefs/tags/v1.0.1"),
        ]
        .join("\n");
        let refs = parse(listing.as_bytes()).unwrap();
        assert_eq!(refs.head.as_deref(), Some(a.as_str()));
        assert_eq!(refs.branches.keys().map(|name| &**name).collect::<Vec<_>>(), ["refs/heads/main"]);
        let tags: Vec<(&str, &str)> = refs.tags.iter().map(|(name, id)| (&**name, &**id)).collect();
        assert_eq!(tags, [("refs/tags/v1.0.0", b.as_str()), ("refs/tags/v1.0.1", a.as_str())]);
        for bad in ["x\tHEAD", "no tab", &format!("{}\tHEAD", "A".repeat(40))] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert_eq!(parse(b""), Some(Refs::default()));
    }
}
