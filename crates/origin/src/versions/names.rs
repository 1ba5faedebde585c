//! What the names of tags say.

use modkeep_module::pseudo;
use modkeep_module::semver::Parts;

/// A tag of the module (V-52): its name begins with the tag prefix and goes on as a full version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ModuleTag<'a> {
    /// The canonical version: without the prefix, without build metadata.
    pub(super) version: &'a str,
    /// Whether the tag has no build metadata.
    pub(super) is_canonical: bool,
}

/// Reads a tag's short name. `None`: not a tag of the module, as V-52 says it.
///
/// The test for the shape of a pseudo-version is made with the whole name, so `sub/v0.0.0-2018…-abc` passes it (V-66).
pub(super) fn of_module<'a>(tag: &'a str, tag_prefix: &str) -> Option<ModuleTag<'a>> {
    let name = tag.strip_prefix(tag_prefix)?;
    if pseudo::is_pseudo(tag) {
        return None;
    }
    let build = full(name)?.build;
    Some(ModuleTag { version: name.strip_suffix(build)?, is_canonical: build.is_empty() })
}

/// Reads what follows the tag prefix as the list does (V-40): canonical, and no pseudo-version.
pub(super) fn of_list(name: &str) -> Option<Parts<'_>> {
    full(name).filter(|parts| parts.build.is_empty() && !pseudo::is_pseudo(name))
}

/// Whether a tag counts in a `TagSum` (section 10), by what follows the prefix's last slash.
pub(super) fn is_summed(name: &str) -> bool {
    full(name).is_some() && !pseudo::is_pseudo(name)
}

/// A version with all three numbers: one whose canonical form is a prefix of its text.
fn full(name: &str) -> Option<Parts<'_>> {
    Parts::parse(name).filter(|parts| parts.patch.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_module_are_full_versions_after_the_prefix() {
        for (tag, prefix, expected) in [
            ("v1.2.3", "", Some(("v1.2.3", true))),
            ("v1.2.3-rc.1", "", Some(("v1.2.3-rc.1", true))),
            ("v1.2.3+meta", "", Some(("v1.2.3", false))),
            ("v2.0.0+incompatible", "", Some(("v2.0.0", false))),
            ("sub/v1.2.3", "sub/", Some(("v1.2.3", true))),
            ("v1", "", None),
            ("v1.2", "", None),
            ("1.2.3", "", None),
            ("v1.2.3", "sub/", None),
            ("sub/v1.2.3", "", None),
            ("v0.0.0-20180101000000-abcdefabcdef", "", None),
            (
                "sub/v0.0.0-20180101000000-abcdefabcdef",
                "sub/",
                Some(("v0.0.0-20180101000000-abcdefabcdef", true)),
            ),
        ] {
            let tag = of_module(tag, prefix);
            assert_eq!(tag.map(|tag| (tag.version, tag.is_canonical)), expected, "{tag:?}");
        }
    }

    #[test]
    fn lists_and_sums_know_pseudo_versions_behind_a_prefix() {
        for (name, listed, summed) in [
            ("v1.2.3", true, true),
            ("v1.2.3+meta", false, true),
            ("v2.0.0+incompatible", false, true),
            ("v1.2", false, false),
            ("v0.0.0-20180101000000-abcdefabcdef", false, false),
            ("release", false, false),
        ] {
            assert_eq!((of_list(name).is_some(), is_summed(name)), (listed, summed), "{name}");
        }
    }
}
