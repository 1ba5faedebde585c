//! Go's semantic versions: `vMAJOR[.MINOR[.PATCH[-PRERELEASE][+BUILD]]]` (versions-and-origins.md section 4).
//!
//! They differ from the crates' notion in every corner: the leading `v`, the short forms `v1` and `v1.2`,
//! an order over *all* texts (an invalid one is below every valid one), numbers of any length.
#![warn(clippy::indexing_slicing)]

use std::cmp::Ordering;

/// A valid version, taken apart. Everything borrows from the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts<'a> {
    /// Decimal digits without a leading zero.
    pub major: &'a str,
    /// Decimal digits; `None` in the short form `v1`.
    pub minor: Option<&'a str>,
    /// Decimal digits; `None` in the short forms.
    pub patch: Option<&'a str>,
    /// With its dash, `-rc.1`; empty when there is none.
    pub prerelease: &'a str,
    /// With its plus, `+incompatible`; empty when there is none.
    pub build: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes `v` apart; `None` when it is not a version.
    pub fn parse(v: &'a str) -> Option<Self> {
        let (major, rest) = number(v.strip_prefix('v')?)?;
        let short = Self { major, minor: None, patch: None, prerelease: "", build: "" };
        if rest.is_empty() {
            return Some(short);
        }
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        if rest.is_empty() {
            return Some(Self { minor: Some(minor), ..short });
        }
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let (prerelease, build) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
        let well_formed = (prerelease.is_empty() || is_tail(prerelease, '-', Zeros::Refused))
            && (build.is_empty() || is_tail(build, '+', Zeros::Allowed));
        well_formed.then_some(Self { major, minor: Some(minor), patch: Some(patch), prerelease, build })
    }

    /// Orders two versions: numbers, then pre-releases; build metadata does not count.
    pub fn compare(&self, other: &Self) -> Ordering {
        compare_numbers(self.major, other.major)
            .then_with(|| compare_numbers(self.minor.unwrap_or("0"), other.minor.unwrap_or("0")))
            .then_with(|| compare_numbers(self.patch.unwrap_or("0"), other.patch.unwrap_or("0")))
            .then_with(|| compare_prereleases(self.prerelease, other.prerelease))
    }
}

/// Whether `v` is a semantic version in Go's sense; `v1` and `v1.2` are.
pub fn is_valid(v: &str) -> bool {
    Parts::parse(v).is_some()
}

/// `v` with short forms filled with zeros and build metadata dropped; `None` when it is invalid.
pub fn canonical(v: &str) -> Option<String> {
    let parts = Parts::parse(v)?;
    let zeros = match (parts.minor, parts.patch) {
        (None, _) => ".0.0",
        (_, None) => ".0",
        _ => "",
    };
    let kept = v.strip_suffix(parts.build).unwrap_or(v);
    Some(format!("{kept}{zeros}"))
}

/// The same, but `+incompatible` is kept: the form in which modules are stored.
pub fn module_canonical(v: &str) -> Option<String> {
    let canonical = canonical(v)?;
    Some(if build(v) == "+incompatible" { canonical + "+incompatible" } else { canonical })
}

/// Whether `v` is its own canonical form: in full, and without build metadata but `+incompatible`.
pub fn is_module_canonical(v: &str) -> bool {
    Parts::parse(v).is_some_and(|parts| parts.patch.is_some() && matches!(parts.build, "" | "+incompatible"))
}

/// Orders two texts: any invalid one is below every valid one, two invalid ones are equal.
pub fn compare(v: &str, w: &str) -> Ordering {
    match (Parts::parse(v), Parts::parse(w)) {
        (Some(v), Some(w)) => v.compare(&w),
        (v, w) => v.is_some().cmp(&w.is_some()),
    }
}

/// `v2` of `v2.1.0`; empty when `v` is invalid.
pub fn major(v: &str) -> &str {
    Parts::parse(v).and_then(|parts| v.get(..1 + parts.major.len())).unwrap_or_default()
}

/// `v2.1` of `v2.1.0`; `None` when `v` is invalid.
pub fn major_minor(v: &str) -> Option<String> {
    let parts = Parts::parse(v)?;
    Some(format!("v{}.{}", parts.major, parts.minor.unwrap_or("0")))
}

/// `-pre` of `v2.1.0-pre+meta`; empty when there is none or `v` is invalid.
pub fn prerelease(v: &str) -> &str {
    Parts::parse(v).map_or("", |parts| parts.prerelease)
}

/// `+meta` of `v2.1.0-pre+meta`; empty when there is none or `v` is invalid.
pub fn build(v: &str) -> &str {
    Parts::parse(v).map_or("", |parts| parts.build)
}

/// Cuts a decimal number without leading zeros off the front.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let legal = digits == "0" || !(digits.is_empty() || digits.starts_with('0'));
    legal.then_some((digits, rest))
}

/// Whether numeric identifiers may start with a zero: in build metadata they may.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Zeros {
    Allowed,
    Refused,
}

/// Whether `text` is `mark` followed by dot-separated identifiers of letters, digits and dashes.
fn is_tail(text: &str, mark: char, zeros: Zeros) -> bool {
    let Some(identifiers) = text.strip_prefix(mark) else { return false };
    identifiers.split('.').all(|identifier| {
        !identifier.is_empty()
            && identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && (zeros == Zeros::Allowed || !has_leading_zero(identifier))
    })
}

fn has_leading_zero(identifier: &str) -> bool {
    identifier.len() > 1 && identifier.starts_with('0') && is_number(identifier)
}

fn is_number(identifier: &str) -> bool {
    identifier.bytes().all(|b| b.is_ascii_digit())
}

/// Orders decimal numbers of any length (B24): without leading zeros the longer one is the greater.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// A pre-release is below its release; identifiers decide from the left, numbers below words, more above fewer.
fn compare_prereleases(a: &str, b: &str) -> Ordering {
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => {
            let mut others = b.split('.');
            for identifier in a.split('.') {
                let Some(other) = others.next() else { return Ordering::Greater };
                match compare_identifiers(identifier, other) {
                    Ordering::Equal => {}
                    decided => return decided,
                }
            }
            if others.next().is_some() { Ordering::Less } else { Ordering::Equal }
        }
    }
}

fn compare_identifiers(a: &str, b: &str) -> Ordering {
    match (is_number(a), is_number(b)) {
        (true, true) => compare_numbers(a, b),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_valid_and_filled() {
        for (v, full) in [("v1", "v1.0.0"), ("v1.2", "v1.2.0"), ("v1.2.3-rc.1+meta", "v1.2.3-rc.1")] {
            assert_eq!(canonical(v).as_deref(), Some(full));
        }
        for bad in [
            "",
            "1.2.3",
            "v",
            "v1-rc",
            "v1.2-rc",
            "v01.0.0",
            "v1.0.0-01",
            "v1.0.0-",
            "v1.0.0+",
            "v1.0.0-a..b",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert_eq!(module_canonical("v2.0.0+incompatible").as_deref(), Some("v2.0.0+incompatible"));
    }

    #[test]
    fn hostile_b24_numbers_of_any_length_are_ordered() {
        assert_eq!(compare("v99999999999999999999.0.0", "v99999999999999999998.9.9"), Ordering::Greater);
        assert_eq!(compare("v100000000000000000000.0.0", "v99999999999999999999.0.0"), Ordering::Greater);
        let long = format!("v1.0.0-{}", vec!["1"; 200].join("."));
        assert_eq!(compare(&long, &format!("{long}.0")), Ordering::Less);
        assert_eq!(compare(&long, "v1.0.0"), Ordering::Less);
    }
}
