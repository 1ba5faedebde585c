//! The choice behind `@latest` (P-40 to P-42), without the repository.

use crate::version::Version;

/// The version a `latest` query picks from a list: the highest release that is not retracted, else the
/// highest pre-release that is not; `None` sends the caller to the tip of the default branch (P-42).
///
/// `retracted` says what the newest go.mod retracts; the caller finds that go.mod by picking once with
/// nothing retracted (P-41), and drops `+incompatible` versions beforehand where P-40 asks for it.
pub fn pick(versions: &[Version], retracted: &dyn Fn(&Version) -> bool) -> Option<Version> {
    let highest = |prerelease| {
        versions.iter().filter(|v| v.is_prerelease() == prerelease && !retracted(v)).max().cloned()
    };
    highest(false).or_else(|| highest(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_before_prereleases_and_nothing_retracted() {
        for (versions, retracted, picked) in [
            (&["v1.0.0", "v1.10.0", "v1.9.0", "v2.0.0-rc.1+incompatible"][..], "", Some("v1.10.0")),
            (&["v1.0.0", "v1.10.0"], "v1.10.0", Some("v1.0.0")),
            (&["v1.0.0-rc.1", "v1.0.0-rc.2"], "", Some("v1.0.0-rc.2")),
            (&["v1.0.0", "v1.1.0-rc.2"], "v1.0.0", Some("v1.1.0-rc.2")),
            (&["v1.0.0"], "v1.0.0", None),
            (&[], "", None),
        ] {
            let versions: Vec<_> = versions.iter().map(|v| Version::parse(v).unwrap()).collect();
            let pick = pick(&versions, &|v| v.as_str() == retracted);
            assert_eq!(pick.as_ref().map(Version::as_str), picked);
        }
    }
}
