//! Versions, queries, and the pair of a module and its version.
//!
//! A *version* is canonical and names bytes that never change. A *query* is any other revision name that a
//! URL may hold; resolving it gives a version. Only what a version names is ever stored (B19).
#![warn(clippy::indexing_slicing)]

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::path::{self, Fault, ModulePath};
use crate::{pseudo, semver, unicode};

/// The longest version or query in its escaped form, in bytes (hostile-inputs.md part 1): with a suffix it
/// becomes a file name, and file systems stop at 255.
pub const VERSION_BYTES_MAX: usize = 240;

/// What marks a version above v1 of a module without a `/vN` suffix and without a go.mod.
pub const INCOMPATIBLE: &str = "+incompatible";

/// A canonical version: `v1.2.3`, `v1.2.4-rc.1`, `v2.0.0+incompatible`. Names bytes that never change.
///
/// Ordered as semantic versions, then by bytes (which puts `v2.0.0` before `v2.0.0+incompatible`).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Version(Arc<str>);

/// Why a text is no version, or no version of this module.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VersionError {
    /// The escaped form is broken: a bare capital, a `!` without a lower-case letter, a non-ASCII byte.
    #[error("malformed escape: a capital is written as ! and its lower-case letter")]
    Malformed,
    /// It could be taken for a command's option (B16).
    #[error("version with a leading dash")]
    LeadingDash,
    /// A URL cannot hold it: a slash, a character outside the rules, a reserved name.
    #[error("disallowed version string {}: {fault}", unicode::quoted(version))]
    Disallowed {
        /// The text.
        version: Box<str>,
        /// The rule it breaks.
        fault: Fault,
    },
    /// Not `vX.Y.Z[-pre][+incompatible]`.
    #[error("version {} invalid: must be of the form v1.2.3", unicode::quoted(version))]
    NotCanonical {
        /// The text.
        version: Box<str>,
    },
    /// The major version does not match the path's suffix.
    #[error("{module}: version {} invalid: should be {expected}, not {}", unicode::quoted(version.as_str()), version.major())]
    Misfit {
        /// The module.
        module: ModulePath,
        /// The version.
        version: Version,
        /// The major versions that fit.
        expected: Box<str>,
    },
    /// Its escaped form is longer than our limit.
    #[error("version longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
}

/// A module at a version that fits its path.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleVersion {
    path: ModulePath,
    version: Version,
}

/// A revision name that is no version of the module: a branch, a commit, `v1`, `v1.0.0+meta`.
///
/// Data only: it is compared with names that the origin advertises, never handed to a revision parser or
/// used as an argument (B17).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Query(Arc<str>);

/// What may stand before `.info` in a request (P-30, P-31).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum VersionOrQuery {
    /// Canonical and fitting the path.
    Version(Version),
    /// Anything else.
    Query(Query),
}

impl Version {
    /// Reads a canonical version.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        if !semver::is_module_canonical(text) {
            return Err(VersionError::NotCanonical { version: text.into() });
        }
        check_length(text)?;
        Ok(Self(text.into()))
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        path::escape(&self.0).into()
    }

    /// Reads the escaped form; there is exactly one per version.
    pub fn from_escaped(text: &str) -> Result<Self, VersionError> {
        Self::parse(&path::unescape(text).ok_or(VersionError::Malformed)?)
    }

    /// `v2` of `v2.0.0+incompatible`.
    pub fn major(&self) -> &str {
        semver::major(&self.0)
    }

    /// Whether it has the shape of a pseudo-version (V-60).
    pub fn is_pseudo(&self) -> bool {
        pseudo::is_pseudo(&self.0)
    }

    /// Whether it has a pre-release part; pseudo-versions have.
    pub fn is_prerelease(&self) -> bool {
        !semver::prerelease(&self.0).is_empty()
    }

    /// Whether it ends in `+incompatible`.
    pub fn is_incompatible(&self) -> bool {
        self.0.ends_with(INCOMPATIBLE)
    }

    /// The text without `+incompatible`.
    pub fn base(&self) -> &str {
        self.0.strip_suffix(INCOMPATIBLE).unwrap_or(&self.0)
    }

    /// Whether the major version matches the path's suffix (versions-and-origins.md section 4).
    pub fn fits(&self, path: &ModulePath) -> Result<(), VersionError> {
        match misfit(&self.0, path.path_major()) {
            None => Ok(()),
            Some(expected) => Err(VersionError::Misfit {
                module: path.clone(),
                version: self.clone(),
                expected: expected.into(),
            }),
        }
    }
}

/// Whether two texts are a path and a version that fits it: whether [`ModulePath::parse`], [`Version::parse`] and
/// [`ModuleVersion::new`] would take them. For whoever looks at millions of names and keeps none.
pub fn names_module_version(path: &str, version: &str) -> bool {
    path::is_module_path(path)
        && semver::is_module_canonical(version)
        && check_length(version).is_ok()
        && path::split_path_major(path).is_some_and(|(_, suffix)| {
            let is_usual =
                suffix.as_str().is_empty() && (version.starts_with("v0.") || version.starts_with("v1."));
            is_usual || misfit(version, suffix).is_none()
        })
}

/// Which major versions the suffix asks for, when `version` is none of them.
pub(crate) fn misfit<'a>(version: &str, suffix: path::PathMajor<'a>) -> Option<&'a str> {
    let major = semver::major(version);
    let Some(expected) = suffix.major() else {
        let fits = matches!(major, "v0" | "v1") || semver::build(version) == INCOMPATIBLE;
        return (!fits).then_some("v0 or v1");
    };
    // Pseudo-versions of gopkg.in paths were once generated with the wrong major; they live on in go.mod files.
    let historic = version.starts_with("v0.0.0-") && suffix.as_str().starts_with(".v") && expected == "v1";
    (major != expected && !historic).then_some(expected)
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        semver::compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ModuleVersion {
    /// Joins the two when the version fits the path.
    pub fn new(path: ModulePath, version: Version) -> Result<Self, VersionError> {
        version.fits(&path)?;
        Ok(Self { path, version })
    }

    /// The module.
    pub fn path(&self) -> &ModulePath {
        &self.path
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl fmt::Display for ModuleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

impl Query {
    /// Reads a revision name that a URL may hold: one path element by the rules of file names, ASCII, no `!`.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let disallowed = |fault| VersionError::Disallowed { version: text.into(), fault };
        if text.starts_with('-') {
            return Err(VersionError::LeadingDash);
        }
        if let Some(c) = text.chars().find(|&c| c == '!' || !c.is_ascii()) {
            return Err(disallowed(Fault::Char(c)));
        }
        path::check_file_name(text).map_err(disallowed)?;
        check_length(text)?;
        Ok(Self(text.into()))
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        path::escape(&self.0).into()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VersionOrQuery {
    /// Canonical and fitting is a version, any other legal text a query (P-30, P-31).
    pub fn parse(path: &ModulePath, text: &str) -> Result<Self, VersionError> {
        match Version::parse(text) {
            Ok(version) if version.fits(path).is_ok() => Ok(Self::Version(version)),
            _ => Query::parse(text).map(Self::Query),
        }
    }

    /// Reads the escaped form.
    pub fn from_escaped(path: &ModulePath, text: &str) -> Result<Self, VersionError> {
        Self::parse(path, &path::unescape(text).ok_or(VersionError::Malformed)?)
    }

    /// The plain form.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Version(version) => version.as_str(),
            Self::Query(query) => query.as_str(),
        }
    }

    /// The form for URLs and file names.
    pub fn escape(&self) -> Box<str> {
        match self {
            Self::Version(version) => version.escape(),
            Self::Query(query) => query.escape(),
        }
    }
}

impl fmt::Display for VersionOrQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check_length(text: &str) -> Result<(), VersionError> {
    let escaped = text.len() + text.bytes().filter(u8::is_ascii_uppercase).count();
    if escaped > VERSION_BYTES_MAX {
        return Err(VersionError::TooLong { limit: VERSION_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> ModulePath {
        ModulePath::parse(text).unwrap()
    }

    #[test]
    fn fitting_as_go_fits() {
        for (module, version, fits) in [
            ("example.com/m", "v0.1.0", true),
            ("example.com/m", "v1.2.3-rc.1", true),
            ("example.com/m", "v2.0.0", false),
            ("example.com/m", "v2.0.0+incompatible", true),
            ("example.com/m/v2", "v2.0.0", true),
            ("example.com/m/v2", "v3.0.0", false),
            ("gopkg.in/check.v1", "v1.0.0", true),
            ("gopkg.in/check.v1", "v0.0.0-20161208181325-20d25e280405", true),
            ("gopkg.in/yaml.v2", "v0.0.0-20161208181325-20d25e280405", false),
            ("gopkg.in/yaml.v2-unstable", "v2.1.0", true),
        ] {
            let version = Version::parse(version).unwrap();
            assert_eq!(version.fits(&path(module)).is_ok(), fits, "{module}@{version}");
        }
        let misfit =
            ModuleVersion::new(path("example.com/m"), Version::parse("v2.0.0").unwrap()).unwrap_err();
        assert_eq!(
            misfit.to_string(),
            "example.com/m: version \"v2.0.0\" invalid: should be v0 or v1, not v2"
        );
    }

    #[test]
    fn order_is_semver_then_bytes() {
        let ascending =
            ["v0.9.0", "v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0", "v2.0.0", "v2.0.0+incompatible", "v10.0.0"];
        let mut sorted: Vec<_> = ascending.iter().rev().map(|v| Version::parse(v).unwrap()).collect();
        sorted.sort();
        assert!(sorted.iter().map(Version::as_str).eq(ascending));
    }

    #[test]
    fn hostile_b16_options_never_pass_as_versions() {
        for text in ["--config=alias.log=!id", "--upload-pack=id", "--output=x", "-", "-v1.0.0"] {
            assert_eq!(Query::parse(text), Err(VersionError::LeadingDash), "{text}");
        }
        assert!(matches!(Query::parse("/etc"), Err(VersionError::Disallowed { .. })));
        assert!(matches!(Query::parse("a/b"), Err(VersionError::Disallowed { .. })));
    }

    #[test]
    fn hostile_b17_revision_expressions_are_only_names() {
        for escaped in ["@{-1}", "a..b", "!h!e!a!d~1", "!h!e!a!d^{}", "all()", "branch(default)"] {
            let query = VersionOrQuery::from_escaped(&path("example.com/m"), escaped).unwrap();
            assert!(matches!(&query, VersionOrQuery::Query(q) if *q.escape() == *escaped), "{escaped}");
        }
    }

    #[test]
    fn hostile_b18_shell_syntax_is_a_name_or_nothing() {
        for text in ["$(id)", "{}", "a b"] {
            assert_eq!(Query::parse(text).unwrap().as_str(), text);
        }
        for text in ["a;b", "`id`", "a|b", "a>b", "a\nb", "", ".", "..", "con", "a."] {
            assert!(Query::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hostile_b19_only_canonical_texts_are_versions() {
        for text in ["v1.0.0+meta", "v1", "v1.2", "1.0.0", "v1.0.0+incompatible.1", "latest"] {
            assert!(matches!(Version::parse(text), Err(VersionError::NotCanonical { .. })), "{text}");
            let parsed = VersionOrQuery::parse(&path("example.com/m"), text).unwrap();
            assert!(matches!(parsed, VersionOrQuery::Query(_)), "{text}");
        }
        let misfit = VersionOrQuery::parse(&path("example.com/m"), "v2.0.0").unwrap();
        assert!(matches!(misfit, VersionOrQuery::Query(_)));
    }

    #[test]
    fn long_versions_are_refused_by_their_escaped_length() {
        let fits = format!("v1.0.0-{}", "a".repeat(233));
        assert!(Version::parse(&fits).is_ok());
        let capital = format!("v1.0.0-{}A", "a".repeat(232));
        assert_eq!(Version::parse(&capital), Err(VersionError::TooLong { limit: VERSION_BYTES_MAX }));
        assert_eq!(Query::parse(&"x".repeat(241)), Err(VersionError::TooLong { limit: VERSION_BYTES_MAX }));
    }

    proptest! {
        #[test]
        fn names_are_told_apart_as_the_types_tell_them(
            path in "(gopkg\\.in|[a-z]{1,3}\\.[a-z]{1,2}|[a-zA-Z.-]{0,4})(/[a-zA-Z0-9_.~!-]{0,4}|/con|/v[0-9]{1,2}){0,3}(\\.v[0-3])?",
            version in "v?[0-3]{1,2}(\\.[0-9]{1,2}){0,3}(-[a-z0-9.]{0,4})?(\\+incompatible|\\+meta)?",
        ) {
            let made = ModulePath::parse(&path).ok().zip(Version::parse(&version).ok());
            let is_one = made.is_some_and(|(path, version)| ModuleVersion::new(path, version).is_ok());
            prop_assert_eq!(names_module_version(&path, &version), is_one);
            let canonical = semver::module_canonical(&version);
            prop_assert_eq!(semver::is_module_canonical(&version), canonical.as_ref() == Some(&version));
        }
    }
}
