//! Go's semantic versions: `vMAJOR[.MINOR[.PATCH[-PRERELEASE][+BUILD]]]` (versions-and-origins.md section 4).

use std::cmp::Ordering;

/// Whether `v` is a semantic version in Go's sense; `v1` and `v1.2` are.
pub fn is_valid(_v: &str) -> bool {
    todo!()
}
/// `v` with short forms filled with zeros and build metadata dropped; `None` when invalid.
pub fn canonical(_v: &str) -> Option<String> {
    todo!()
}
/// Orders two texts: invalid below valid, build ignored.
pub fn compare(_v: &str, _w: &str) -> Ordering {
    todo!()
}
/// `v2` of `v2.1.0`; empty when invalid.
pub fn major(_v: &str) -> &str {
    todo!()
}
/// `v2.1` of `v2.1.0`; `None` when invalid.
pub fn major_minor(_v: &str) -> Option<String> {
    todo!()
}
/// `-pre` of `v2.1.0-pre+meta`; empty when there is none or `v` is invalid.
pub fn prerelease(_v: &str) -> &str {
    todo!()
}
/// `+meta` of `v2.1.0-pre+meta`; empty when there is none or `v` is invalid.
pub fn build(_v: &str) -> &str {
    todo!()
}
