//! Which filters a host gives, learnt from what it refuses.
//!
//! A server that offers filters may still refuse some of them (`uploadpackfilter.*` of git's configuration). The largest
//! hosts give `tree:0`, which their bitmaps answer, and refuse `tree:1`. So the word of one repository counts for all
//! of its host: nobody is refused twice for the same reason.

use std::sync::atomic::{AtomicU8, Ordering};

/// What one host is known to give. Until it refuses, everything.
#[derive(Debug)]
pub(crate) struct Filters(AtomicU8);

/// The best filter there is, in the order in which they are tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Best {
    /// `tree:1`: a commit comes with its root directory.
    Roots = 2,
    /// `tree:0`: a commit comes alone.
    Commits = 1,
    /// None: a commit comes with everything.
    None = 0,
}

impl Filters {
    /// What is left to try.
    pub(crate) fn best(&self) -> Best {
        match self.0.load(Ordering::Relaxed) {
            2 => Best::Roots,
            1 => Best::Commits,
            _ => Best::None,
        }
    }

    /// This one was refused.
    pub(crate) fn refused(&self, filter: Best) {
        let next = if filter == Best::Roots { Best::Commits } else { Best::None };
        self.0.fetch_min(next as u8, Ordering::Relaxed);
    }
}

impl Default for Filters {
    fn default() -> Self {
        Self(AtomicU8::new(Best::Roots as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_not_tried_again() {
        let filters = Filters::default();
        assert_eq!(filters.best(), Best::Roots);
        for (refused, left) in [
            (Best::Roots, Best::Commits),
            (Best::Roots, Best::Commits),
            (Best::Commits, Best::None),
            (Best::Roots, Best::None),
        ] {
            filters.refused(refused);
            assert_eq!(filters.best(), left);
        }
    }
}
