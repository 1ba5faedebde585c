//! Pseudo-versions: versions made from a commit (versions-and-origins.md section 7).
//!
//! `v1.2.4-0.20191109021931-daa7c04131f5` says: the commit `daa7c04131f5` of that second, which follows the
//! tag `v1.2.3`. Here are the steps that need no repository.
#![warn(clippy::indexing_slicing)]

use crate::semver::{self, Parts};
use crate::time::Timestamp;
use crate::version::{Version, VersionError};

/// The digits of a commit time.
const STAMP_LEN: usize = 14;

/// The parts of a pseudo-version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pseudo {
    /// The tagged version it follows (with `+incompatible` if it has it); `None` for `vX.0.0-T-R`.
    pub base: Option<Version>,
    /// Commit time, UTC, `yyyymmddhhmmss`: fourteen digits, perhaps of no real date.
    pub time: Box<str>,
    /// The start of the commit's name: letters and digits, 12 of them when it is genuine.
    pub rev: Box<str>,
}

/// Why a version is no sound pseudo-version, in the words of V-61.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PseudoError {
    /// It has not the shape of one (V-60).
    #[error("syntax error")]
    Syntax,
    /// `vX.0.0-T-R+incompatible`: nothing tagged, so nothing incompatible either.
    #[error("lacks base version, but has build metadata {}", crate::unicode::quoted(_0))]
    BuildWithoutBase(Box<str>),
    /// `vX.Y.0-0.T-R`: no release comes before patch 0.
    #[error("version before {0} would have negative patch number")]
    NegativePatch(Box<str>),
}

/// Whether `version` has the shape of a pseudo-version (V-60).
pub fn is_pseudo(version: &str) -> bool {
    shape(version).is_some()
}

/// The base of a text that has the shape of a pseudo-version, with its build metadata, whatever that is (V-61 step 5). What
/// is a [`Version`] is read by [`parse`].
///
/// # Errors
/// When it does not have that shape, or no version can be its base.
pub fn base_of(version: &str) -> Result<Option<String>, PseudoError> {
    shape(version).ok_or(PseudoError::Syntax)?.base()
}

/// Takes a pseudo-version apart (V-61 step 5 for its base).
pub fn parse(version: &Version) -> Result<Pseudo, PseudoError> {
    let shape = shape(version.as_str()).ok_or(PseudoError::Syntax)?;
    let base =
        shape.base()?.map(|base| Version::parse(&base).map_err(|_| PseudoError::Syntax)).transpose()?;
    Ok(Pseudo { base, time: shape.time.into(), rev: shape.rev.into() })
}

/// The pseudo-version of a commit: `major` (`v0` when there is no suffix to obey), the highest tag it follows,
/// its time and the start of its name. `+incompatible` of the base is kept.
pub fn make(
    major: Option<&str>,
    base: Option<&Version>,
    time: Timestamp,
    rev: &str,
) -> Result<Version, VersionError> {
    let segment = format!("{}-{rev}", time.to_pseudo());
    let Some(base) = base else {
        return Version::parse(&format!("{}.0.0-{segment}", major.unwrap_or("v0")));
    };
    let (tag, build) = (base.base(), semver::build(base.as_str()));
    Version::parse(&match tag.rsplit_once('.') {
        Some((head, patch)) if !base.is_prerelease() => {
            format!("{head}.{}-0.{segment}{build}", incremented(patch))
        }
        _ => format!("{tag}.0.{segment}{build}"),
    })
}

/// A pseudo-version, cut where its parts meet.
struct Shape<'a> {
    parts: Parts<'a>,
    /// The pre-release without dash, time and revision: empty, `0`, or `rc.1.0`.
    stem: &'a str,
    time: &'a str,
    rev: &'a str,
}

fn shape(version: &str) -> Option<Shape<'_>> {
    let parts = Parts::parse(version)?;
    let (left, rev) = parts.prerelease.strip_prefix('-')?.rsplit_once('-')?;
    let (head, time) = left.split_at_checked(left.len().checked_sub(STAMP_LEN)?)?;
    let genuine = time.bytes().all(|b| b.is_ascii_digit())
        && !rev.is_empty()
        && rev.bytes().all(|b| b.is_ascii_alphanumeric());
    if !genuine {
        return None;
    }
    if head.is_empty() {
        let untagged = parts.minor == Some("0") && parts.patch == Some("0");
        return untagged.then_some(Shape { parts, stem: "", time, rev });
    }
    let stem = head.strip_suffix('.')?;
    (stem == "0" || stem.ends_with(".0")).then_some(Shape { parts, stem, time, rev })
}

impl Shape<'_> {
    fn base(&self) -> Result<Option<String>, PseudoError> {
        let Parts { major, minor, patch, build, .. } = self.parts;
        let (minor, patch) = (minor.unwrap_or("0"), patch.unwrap_or("0"));
        match self.stem.strip_suffix(".0") {
            Some(pre) => Ok(Some(format!("v{major}.{minor}.{patch}-{pre}{build}"))),
            None if self.stem == "0" => {
                let before = decremented(patch)
                    .ok_or_else(|| PseudoError::NegativePatch(format!("v{major}.{minor}.{patch}").into()))?;
                Ok(Some(format!("v{major}.{minor}.{before}{build}")))
            }
            None if !build.is_empty() => Err(PseudoError::BuildWithoutBase(build.into())),
            None => Ok(None),
        }
    }
}

/// The decimal text plus one; numbers in versions have any length.
fn incremented(decimal: &str) -> String {
    let head = decimal.trim_end_matches('9');
    let nines = "0".repeat(decimal.len() - head.len());
    let mut digits = head.chars();
    match digits.next_back() {
        Some(last) => format!("{}{}{nines}", digits.as_str(), neighbour(last, 1)),
        None => format!("1{nines}"),
    }
}

/// The decimal text minus one; `None` for zero.
fn decremented(decimal: &str) -> Option<String> {
    let head = decimal.trim_end_matches('0');
    let zeros = "9".repeat(decimal.len() - head.len());
    let mut digits = head.chars();
    let last = digits.next_back()?;
    let less = format!("{}{}{zeros}", digits.as_str(), neighbour(last, -1));
    Some(match less.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => less,
    })
}

/// The neighbouring digit; callers took 9 and 0 off before.
fn neighbour(digit: char, step: i32) -> char {
    char::from_u32(u32::from(digit).wrapping_add_signed(step)).unwrap_or(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn forms_and_bases() {
        for (pseudo, base) in [
            ("v0.0.0-20191109021931-daa7c04131f5", None),
            ("v1.2.4-0.20191109021931-daa7c04131f5", Some("v1.2.3")),
            ("v1.3.0-rc.1.0.20191109021931-daa7c04131f5", Some("v1.3.0-rc.1")),
            ("v2.0.1-0.20191109021931-daa7c04131f5+incompatible", Some("v2.0.0+incompatible")),
            ("v1.2.10-0.20191109021931-daa7c04131f5", Some("v1.2.9")),
            ("v1.2.1000-0.20191109021931-daa7c04131f5", Some("v1.2.999")),
        ] {
            let parsed = parse(&version(pseudo)).unwrap();
            assert_eq!(parsed.base.as_ref().map(Version::as_str), base);
            assert_eq!((&*parsed.time, &*parsed.rev), ("20191109021931", "daa7c04131f5"));
            let time = Timestamp::from_pseudo(&parsed.time).unwrap();
            let major = semver::major(pseudo);
            assert_eq!(make(Some(major), parsed.base.as_ref(), time, &parsed.rev), Ok(version(pseudo)));
        }
    }

    #[test]
    fn bases_keep_any_metadata() {
        for (pseudo, base) in [
            ("v1.2.4-0.20191109021931-daa7c04131f5+meta", Ok(Some("v1.2.3+meta".to_owned()))),
            ("v1.2.3-rc.0.20191109021931-daa7c04131f5+a-b.c", Ok(Some("v1.2.3-rc+a-b.c".to_owned()))),
            ("v0.0.0-20191109021931-daa7c04131f5", Ok(None)),
            ("v0.0.0-20191109021931-daa7c04131f5+m", Err(PseudoError::BuildWithoutBase("+m".into()))),
            ("v1.2.3+meta", Err(PseudoError::Syntax)),
        ] {
            assert_eq!(base_of(pseudo), base, "{pseudo}");
        }
    }

    #[test]
    fn bases_that_cannot_be() {
        for (pseudo, reason) in [
            ("v1.2.3", "syntax error"),
            ("v1.2.3-rc.1", "syntax error"),
            (
                "v2.0.0-20191109021931-daa7c04131f5+incompatible",
                "lacks base version, but has build metadata \"+incompatible\"",
            ),
            (
                "v1.2.0-0.20191109021931-daa7c04131f5",
                "version before v1.2.0 would have negative patch number",
            ),
        ] {
            assert_eq!(parse(&version(pseudo)).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn hostile_b22_shapes_that_are_pseudo_versions_and_shapes_that_are_not() {
        for pseudo in
            ["v0.0.0-20191109021931-a", "v9.0.0-00000000000000-Z9", "v1.2.3-a-b.0.20191109021931-abc"]
        {
            assert!(is_pseudo(pseudo), "{pseudo}");
        }
        for other in [
            "v1.2.0-20191109021931-daa7c04131f5",
            "v0.0.0-2019110902193-daa7c04131f5",
            "v0.0.0-20191109021931",
            "v0.0.0-20191109021931-a.b",
            "v1.2.3-rc10.20191109021931-abc",
            "v0.0.0-x20191109021931-abc",
            "v0",
        ] {
            assert!(!is_pseudo(other), "{other}");
        }
    }
}
