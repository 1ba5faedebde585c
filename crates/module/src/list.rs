//! The `/@v/list` answer: one version per line (P-20 to P-25).
#![warn(clippy::indexing_slicing)]

use crate::path::ModulePath;
use crate::pseudo;
use crate::semver::Parts;
use crate::version::Version;

/// Reads a list from an upstream as the go command does: ascending, no duplicates, and only canonical
/// versions that fit the path and are no pseudo-versions. Everything else is skipped in silence (P-20, G10).
///
/// Linear but for the sort; the caller bounds the bytes.
pub fn parse(bytes: &[u8], path: &ModulePath) -> Vec<Version> {
    let text = String::from_utf8_lossy(bytes);
    let mut fields: Vec<_> = text
        .split('\n')
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|field| Some((Parts::parse(field)?, field)))
        .collect();
    fields.sort_unstable_by(|(a, a_text), (b, b_text)| a.compare(b).then_with(|| a_text.cmp(b_text)));
    fields.dedup_by(|(_, a), (_, b)| a == b);
    fields
        .into_iter()
        .filter(|(_, field)| !pseudo::is_pseudo(field))
        .filter_map(|(_, field)| Version::parse(field).ok())
        .filter(|version| belongs(version, path))
        .collect()
}

/// The answer for these versions: ascending, one per line, newline-terminated (P-21); empty for none (P-23).
pub fn render(versions: &[Version]) -> Vec<u8> {
    let mut sorted: Vec<_> = versions
        .iter()
        .filter_map(|version| Some((Parts::parse(version.as_str())?, version.as_str())))
        .collect();
    sorted.sort_unstable_by(|(a, a_text), (b, b_text)| a.compare(b).then_with(|| a_text.cmp(b_text)));
    sorted.dedup_by(|(_, a), (_, b)| a == b);
    sorted.iter().fold(Vec::new(), |mut answer, (_, version)| {
        answer.extend_from_slice(version.as_bytes());
        answer.push(b'\n');
        answer
    })
}

/// `+incompatible` says that the path has no suffix, so beside a suffix it is never a tag's version (V-55 d).
fn belongs(version: &Version, path: &ModulePath) -> bool {
    version.fits(path).is_ok() && !(version.is_incompatible() && path.path_major().major().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8], path: &str) -> Vec<u8> {
        render(&parse(text, &ModulePath::parse(path).unwrap()))
    }

    #[test]
    fn hostile_g10_only_what_belongs_is_kept() {
        let text = b"<html>\r\nv1.10.0\r\nv1.9.0 2019-01-01T00:00:00Z\nv1.9.0\n\n v1.0.0-rc.1\nv1\nv1.0.0+meta\n\
            v0.0.0-20191109021931-daa7c04131f5\nv2.0.0\nv2.0.0+incompatible\n../x\nv1.0.0/..\n\xff\xfev1.1.1\n\0v1.2.2";
        assert_eq!(parsed(text, "example.com/m"), b"v1.0.0-rc.1\nv1.9.0\nv1.10.0\nv2.0.0+incompatible\n");
        assert_eq!(parsed(text, "example.com/m/v2"), b"v2.0.0\n");
        assert_eq!(parsed(b"", "example.com/m"), b"");
    }

    #[test]
    fn hostile_b25_three_hundred_thousand_tags() {
        let tags: Vec<_> = (0..300_000).rev().map(|n| format!("v1.{}.{}\n", n / 1000, n % 1000)).collect();
        let versions = parse(tags.concat().as_bytes(), &ModulePath::parse("example.com/m").unwrap());
        assert_eq!(versions.len(), 300_000);
        assert!(versions.first().is_some_and(|v| v.as_str() == "v1.0.0"));
        assert!(versions.last().is_some_and(|v| v.as_str() == "v1.299.999"));
    }
}
