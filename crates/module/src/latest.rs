//! The choice behind `@latest` (P-40 to P-42), without the repository.

use crate::version::Version;

/// The version a `latest` query picks from a list; `None` sends the caller to the tip of the default branch.
pub fn pick(_versions: &[Version], _retracted: &dyn Fn(&Version) -> bool) -> Option<Version> {
    todo!()
}
