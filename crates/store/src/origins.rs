//! Whether what is served here still stands at its origin: told to whoever asks, never acted upon (R3, C21).
//!
//! Stored bytes stay as they are whatever an origin does. The states are kept in the ledger and, those that are not
//! [`OriginState::Stands`], in memory, so that a header can tell of them without a look into the ledger.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use modkeep_module::{ModulePath, ModuleVersion};

use crate::error::Error;
use crate::ledger::Ledger;
use crate::name::Repository;
use crate::store::{Store, blocking};

/// What became of a version at its origin.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OriginState {
    /// Its tag names the commit that it named, or its repository still answers.
    Stands,
    /// Its tag is gone.
    TagGone,
    /// Its tag names another commit, or makes other bytes.
    TagMoved,
    /// Its repository is gone.
    RepoGone,
    /// Its repository answers elsewhere.
    RepoMoved,
    /// Its repository wants a login now.
    Login,
}

impl OriginState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Stands, Self::TagGone, Self::TagMoved, Self::RepoGone, Self::RepoMoved, Self::Login];

    /// The word in the ledger, in metrics and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stands => "ok",
            Self::TagGone => "tag_gone",
            Self::TagMoved => "tag_moved",
            Self::RepoGone => "repo_gone",
            Self::RepoMoved => "repo_moved",
            Self::Login => "login",
        }
    }

    /// The value of the header `X-Modkeep-Origin`; none where nothing is to be told.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Stands => None,
            Self::TagGone => Some("tag-gone"),
            Self::TagMoved => Some("tag-moved"),
            Self::RepoGone => Some("repo-gone"),
            Self::RepoMoved => Some("repo-moved"),
            Self::Login => Some("login"),
        }
    }

    /// The state of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for OriginState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// What a look at an origin found about one stored version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OriginCheck {
    /// The version.
    pub version: ModuleVersion,
    /// What became of it.
    pub state: OriginState,
    /// When the origin was looked at.
    pub checked_at: SystemTime,
    /// Since when it is in this state, as far as we know: the first look that found it so.
    pub since: SystemTime,
    /// What was found, in words: the commit that a tag names now, say. At most 256 bytes.
    pub detail: String,
}

/// The versions that do not stand, in memory: one entry for each of them, none mostly.
#[derive(Debug, Default)]
pub(crate) struct Broken(RwLock<HashMap<ModuleVersion, OriginState>>);

impl Broken {
    /// All that the ledger knows of. An old ledger, opened for reading only, knows nothing yet.
    pub(crate) fn read(ledger: &dyn Ledger) -> Result<Self, Error> {
        let mut broken = HashMap::new();
        for check in ledger.origin_checks(&Repository::main(), None)? {
            if check.state != OriginState::Stands {
                broken.insert(check.version, check.state);
            }
        }
        Ok(Self(RwLock::new(broken)))
    }

    pub(crate) fn state(&self, version: &ModuleVersion) -> Option<OriginState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(version).copied()
    }

    fn note(&self, checks: &[OriginCheck]) {
        let mut broken = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for check in checks {
            if check.state == OriginState::Stands {
                broken.remove(&check.version);
            } else {
                broken.insert(check.version.clone(), check.state);
            }
        }
    }

    fn counts(&self) -> [u64; OriginState::ALL.len()] {
        let broken = self.0.read().unwrap_or_else(PoisonError::into_inner);
        OriginState::ALL.map(|state| broken.values().filter(|found| **found == state).count() as u64)
    }
}

impl Store {
    /// Keeps what looks at origins found, in one transaction. Versions that are not stored are passed over. The checks
    /// whose state is news come back.
    pub async fn note_origins(&self, checks: Vec<OriginCheck>) -> Result<Vec<OriginCheck>, Error> {
        let inner = Arc::clone(self.inner());
        blocking(move || {
            inner.room().admit(0)?;
            let news = inner.watched(inner.ledger.note_origins(&Repository::main(), checks))?;
            inner.broken.note(&news);
            Ok(news)
        })
        .await
    }

    /// What is known about the origins of a module's versions, or of all versions; those never looked at are missing.
    pub async fn origin_checks(&self, module: Option<&ModulePath>) -> Result<Vec<OriginCheck>, Error> {
        let (inner, module) = (Arc::clone(self.inner()), module.cloned());
        blocking(move || inner.ledger.origin_checks(&Repository::main(), module.as_ref())).await
    }

    /// What became of a version at its origin, if it does not stand. From memory.
    pub fn broken(&self, version: &ModuleVersion) -> Option<OriginState> {
        self.inner().broken.state(version)
    }

    /// How many stored versions are in each state but [`OriginState::Stands`], which is never counted. From memory.
    pub fn broken_counts(&self) -> impl Iterator<Item = (OriginState, u64)> {
        OriginState::ALL.into_iter().zip(self.inner().broken.counts()).skip(1)
    }
}
