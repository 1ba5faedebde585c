//! Whether a pseudo-version tells the truth about its commit (section 7).

use std::cmp::Ordering;
use std::sync::Arc;

use modkeep_module::pseudo;
use modkeep_module::time::Timestamp;
use modkeep_module::version::INCOMPATIBLE;
use modkeep_module::{semver, unicode};

use super::question::Question;
use super::sums;
use crate::error::Error;
use crate::repository::{Commit, Scope};

impl Question<'_> {
    /// Steps 3 to 9 of V-61; 1 and 2 are behind.
    pub(super) async fn validate(&mut self, commit: &Commit, version: &str) -> Result<(), Error> {
        let module = self.module;
        let plain = version.strip_suffix(INCOMPATIBLE).unwrap_or(version);
        let revision = module.geometry.revision(version);
        check_revision(&revision, &commit.short)
            .and_then(|()| check_time(version, commit.time))
            .map_err(|reason| module.invalid_pseudo(version, &reason))?;
        let base =
            pseudo::base_of(plain).map_err(|reason| module.invalid_pseudo(plain, &reason.to_string()))?;
        let Some(base) = base else {
            let untagged_v1 = module.path.path_major().major().is_none() && semver::major(version) == "v1";
            let reason = "major version without preceding tag must be v0, not v1";
            return if untagged_v1 { Err(module.invalid_pseudo(version, reason)) } else { Ok(()) };
        };
        self.check_base(commit, &base, &revision)
            .await?
            .map_err(|reason| module.invalid_pseudo(version, &reason))
    }

    /// Steps 7 to 9. The outer error is trouble, the inner one the reason.
    async fn check_base(
        &mut self,
        commit: &Commit,
        base: &str,
        revision: &str,
    ) -> Result<Result<(), String>, Error> {
        let prefix = self.module.geometry.tag_prefix();
        let version_in = |tag: &str| tag.strip_prefix(prefix.as_str()).unwrap_or(tag).to_owned();
        if let Some(tag) = commit.tags.iter().find(|tag| version_in(tag) == base) {
            return Ok(Err(format!(
                "tag ({tag}) found on revision {revision} is already canonical, \
                 so should not be replaced with a pseudo-version derived from that tag"
            )));
        }
        let refs = self.refs(Scope::Tags).await?;
        let preceding: Vec<_> = sums::tags_below(&refs.tags, &format!("{prefix}{base}"))
            .filter(|(tag, _)| semver::compare(&version_in(tag), base) == Ordering::Equal)
            .collect();
        let Some((last, _)) = preceding.last() else {
            return Ok(Err(format!("preceding tag ({base}) not found")));
        };
        for (tag, id) in &preceding {
            if self.precedes(commit, tag, id).await? {
                return Ok(Ok(()));
            }
        }
        Ok(Err(format!("revision {revision} is not a descendent of preceding tag ({last})")))
    }

    /// Step 9 for one tag. A tag on the commit itself needs no history.
    async fn precedes(&self, commit: &Commit, tag: &str, id: &Arc<str>) -> Result<bool, Error> {
        if *id == commit.id {
            return Ok(true);
        }
        Ok(self.module.repository.descends_from(&commit.id, tag).await?.unwrap_or(false))
    }
}

/// Step 3.
fn check_revision(revision: &str, short: &str) -> Result<(), String> {
    let how = if revision == short {
        return Ok(());
    } else if revision.starts_with(short) {
        "revision is longer than canonical"
    } else if short.starts_with(revision) {
        "revision is shorter than canonical"
    } else {
        "does not match short name of revision"
    };
    Err(format!("{how} (expected {short})"))
}

/// Step 4.
fn check_time(version: &str, committed: Timestamp) -> Result<(), String> {
    let bare = version.split('+').next().unwrap_or(version);
    let digits = bare.rsplit('-').nth(1).unwrap_or_default();
    let stated = digits.get(digits.len().saturating_sub(14)..).unwrap_or_default();
    let time = Timestamp::from_pseudo(stated);
    let time = time.map_err(|_| format!("malformed time {}", unicode::quoted(stated)))?;
    if time.secs == committed.secs {
        return Ok(());
    }
    Err(format!("does not match version-control timestamp (expected {})", committed.to_pseudo()))
}
