//! From a commit to the version that it is (section 6).

use std::cmp::Ordering;

use modkeep_module::version::INCOMPATIBLE;
use modkeep_module::{Version, pseudo, semver, unicode};

use super::find_dir::Found;
use super::geometry::joined;
use super::names::{self, ModuleTag};
use super::question::Question;
use super::{Located, sums};
use crate::error::Error;
use crate::repository::{Commit, Scope};

/// A version that passed [`Question::check`], and where its module is.
type Checked = (Version, Found);

impl Question<'_> {
    /// The version of a commit that was found as `rev` (V-52); an empty `rev` is the tip of the default branch.
    pub(super) async fn convert(&mut self, commit: Commit, rev: &str) -> Result<Located, Error> {
        let (version, found) = if pseudo::is_pseudo(rev) {
            let (version, found) = self.check_name(&commit, rev, rev).await?;
            self.validate(&commit, rev).await?;
            (self.parsed(&version)?, found)
        } else {
            self.version_of(&commit, rev).await?
        };
        self.located(commit, version, rev, found).await
    }

    /// Steps 2 to 5 of V-52.
    async fn version_of(&mut self, commit: &Commit, rev: &str) -> Result<Checked, Error> {
        let prefix = self.module.geometry.tag_prefix();
        if let Some(tag) = names::of_module(&commit.resolved, &prefix).filter(|tag| tag.is_canonical) {
            match self.check(commit, tag.version, rev).await {
                Err(Error::NotAVersion { .. }) => {}
                outcome => return outcome,
            }
        }
        let tags: Vec<_> = commit.tags.iter().filter_map(|tag| names::of_module(tag, &prefix)).collect();
        let equal = |tag: &&ModuleTag<'_>| semver::compare(tag.version, rev) == Ordering::Equal;
        if let Some(tag) = tags.iter().filter(equal).find(|tag| tag.is_canonical) {
            return self.check(commit, tag.version, rev).await;
        }
        if let Some(version) = self.highest_on(commit, &tags, rev).await? {
            return self.check(commit, version, rev).await;
        }
        let base = match tags.iter().rfind(equal) {
            Some(tag) => Some(tag.version.to_owned()),
            None => self.highest_before(commit, rev).await?,
        };
        let version = self.pseudo_of(commit, base.as_deref(), rev)?;
        self.check(commit, version.as_str(), rev).await
    }

    /// Step 4: the highest canonical tag on the commit that may be a version and is not retracted.
    async fn highest_on<'t>(
        &mut self,
        commit: &Commit,
        tags: &[ModuleTag<'t>],
        rev: &str,
    ) -> Result<Option<&'t str>, Error> {
        let mut highest = None;
        for tag in tags.iter().filter(|tag| tag.is_canonical) {
            if is_above(tag.version, highest) && self.is_allowed(commit, tag.version, rev).await? {
                highest = Some(tag.version);
            }
        }
        Ok(highest)
    }

    /// The base of step 5: the highest allowed tag on the commit or before it (V-53).
    ///
    /// History is asked for only when some tag could be an answer.
    async fn highest_before(&mut self, commit: &Commit, rev: &str) -> Result<Option<String>, Error> {
        let prefix = self.module.geometry.tag_prefix();
        let refs = self.refs(Scope::Tags).await?;
        let retractions = self.retractions().await?;
        let allows_incompatible = self.module.geometry.allows_incompatible();
        let is_plausible = |tag: &ModuleTag<'_>| {
            (allows_incompatible || self.fits(tag.version)) && !retractions.cover_text(tag.version)
        };
        let plausible = sums::tags_below(&refs.tags, &format!("{prefix}v"))
            .filter_map(|(tag, _)| names::of_module(tag, &prefix))
            .any(|tag| is_plausible(&tag));
        if !plausible {
            return Ok(None);
        }
        let mut before = self.module.repository.ancestor_tags(&commit.id).await?.unwrap_or_default();
        before.sort_unstable();
        let mut highest: Option<&str> = None;
        for tag in before.iter().filter_map(|tag| names::of_module(tag, &prefix)) {
            if is_above(tag.version, highest) && self.is_allowed(commit, tag.version, rev).await? {
                highest = Some(tag.version);
            }
        }
        Ok(highest.map(str::to_owned))
    }

    /// Whether a tag's version may be the answer, or the base of one.
    async fn is_allowed(&mut self, commit: &Commit, version: &str, rev: &str) -> Result<bool, Error> {
        let possible = self.fits(version) || self.may_be_incompatible(commit, version, rev).await?;
        Ok(possible && !self.retractions().await?.cover_text(version))
    }

    /// Whether a version above v1 may do without a suffix at this commit (V-56).
    async fn may_be_incompatible(
        &mut self,
        commit: &Commit,
        version: &str,
        rev: &str,
    ) -> Result<bool, Error> {
        if !self.module.geometry.allows_incompatible() || self.file(&commit.id, "go.mod").await?.is_some() {
            return Ok(false);
        }
        if rev.ends_with(INCOMPATIBLE) {
            return Ok(true); // older go commands made such versions beside a vN/go.mod (golang/go#51324)
        }
        let major = joined(semver::major(version), "go.mod");
        Ok(self.file(&commit.id, &major).await?.is_none())
    }

    fn pseudo_of(&self, commit: &Commit, base: Option<&str>, rev: &str) -> Result<Version, Error> {
        let no_version = |reason: &str| {
            let asked = if rev.is_empty() { &commit.short } else { rev };
            self.module.invalid(asked, reason)
        };
        // Fourteen digits cannot say it, and no .info can (B26).
        if !commit.time.is_expressible() {
            return Err(no_version("commit time outside of the years 0 to 9999"));
        }
        let base = base.map(Version::parse).transpose().map_err(|error| no_version(&error.to_string()))?;
        let major = self.module.path.path_major().major();
        pseudo::make(major, base.as_ref(), commit.time, &commit.short)
            .map_err(|error| no_version(&error.to_string()))
    }

    /// As [`Question::check_name`], for a name that has to be a version without further questions.
    async fn check(&mut self, commit: &Commit, version: &str, rev: &str) -> Result<Checked, Error> {
        let (version, found) = self.check_name(commit, version, rev).await?;
        Ok((self.parsed(&version)?, found))
    }

    /// Whether `version` may be the module's at this commit, and its final spelling (V-55). It has the metadata that was
    /// asked for, so it may be no version that can be named in a module.
    async fn check_name(
        &mut self,
        commit: &Commit,
        version: &str,
        rev: &str,
    ) -> Result<(String, Found), Error> {
        let module = self.module;
        let plain = |version: &str| version.strip_suffix(INCOMPATIBLE).unwrap_or(version).to_owned();
        if version != plain(rev) && version != rev && names_another(version, commit) {
            return Err(module.missing(version, &module.geometry.unreadable(version)));
        }
        let found = self.find_dir(&commit.id, version).await?;
        let found = found.map_err(|reason| module.missing(version, &reason))?;
        let mut version = if version == plain(rev) { rev.to_owned() } else { version.to_owned() };
        let base = plain(&version);
        let mut misfit = None;
        if !self.fits(&base) {
            if self.may_be_incompatible(commit, &base, rev).await? {
                version = format!("{base}{INCOMPATIBLE}");
            } else {
                misfit = Some(self.must_match(&version));
            }
        } else if version.ends_with(INCOMPATIBLE) {
            let major = semver::major(&version);
            misfit = Some(format!("{INCOMPATIBLE} suffix not allowed: major version {major} is compatible"));
        }
        if semver::module_canonical(rev).as_deref() == Some(rev) && plain(rev) != base {
            let reason = format!("resolves to version {version} ({} is not a tag)", plain(rev));
            return Err(module.invalid(rev, &reason));
        }
        match misfit {
            Some(reason) => Err(module.invalid(&version, &reason)),
            None => Ok((version, found)),
        }
    }

    /// The version, where it can be one of a module: canonical, and not too long.
    fn parsed(&self, version: &str) -> Result<Version, Error> {
        Version::parse(version).map_err(|error| {
            if semver::module_canonical(version).is_some_and(|canonical| canonical == version) {
                self.module.invalid(version, &error.to_string())
            } else {
                self.module.unnamable(version)
            }
        })
    }

    /// The reason of V-55 c.
    fn must_match(&self, version: &str) -> String {
        if !self.module.path.path_major().as_str().is_empty() {
            return "module path includes a major version suffix, so major version must match".to_owned();
        }
        let path = joined(&self.module.geometry.path_prefix, semver::major(version));
        let path = unicode::quoted(&path);
        format!("module contains a go.mod file, so module path must match major version ({path})")
    }
}

/// Whether a version that was made from a tag has the name of another commit: behind a prefix, a tag may have the
/// shape of a pseudo-version (V-66). The go command then looks for that commit.
fn names_another(version: &str, commit: &Commit) -> bool {
    pseudo::is_pseudo(version) && !version.ends_with(&format!("-{}", commit.short))
}

/// Whether the version is above the highest so far.
fn is_above(version: &str, highest: Option<&str>) -> bool {
    highest.is_none_or(|highest| semver::compare(highest, version) == Ordering::Less)
}
