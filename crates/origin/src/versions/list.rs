//! The versions that tags give a module (section 5), and what their newest go.mod takes back (V-54).

use std::sync::Arc;

use modkeep_module::Version;
use modkeep_module::gomod::GoMod;
use modkeep_module::semver::Parts;
use modkeep_module::version::INCOMPATIBLE;

use super::geometry::{fits, joined};
use super::question::Question;
use super::{names, sums};
use crate::error::{Error, Verdict};
use crate::place::Vcs;
use crate::repository::Scope;

/// The most major versions without a suffix whose go.mod we look for: ten times the highest major version that any
/// module in the wild reached. Each may cost a commit and a tree.
const MAJORS_MAX: usize = 1_000;

/// The versions of tags, before files were looked at.
#[derive(Debug, Default)]
struct Tagged {
    /// They fit the path; ascending.
    compatible: Vec<Tag>,
    /// Above v1, of a path at the root without a suffix; ascending.
    candidates: Vec<Tag>,
}

/// A version's tag.
#[derive(Clone, Debug)]
struct Tag {
    version: Version,
    commit: Arc<str>,
}

/// What the newest go.mod retracts; `None`: nothing, or nobody can tell.
#[derive(Clone, Debug)]
pub(super) struct Retractions(Option<Box<GoMod>>);

impl Retractions {
    /// The retractions of a go.mod; of one that cannot be read, none (V-54, P-41).
    pub(super) fn of(go_mod: Option<&[u8]>) -> Self {
        Self(go_mod.and_then(|bytes| GoMod::parse_lenient(bytes).ok()).map(Box::new))
    }

    /// Whether one covers the version.
    pub(super) fn cover(&self, version: &Version) -> bool {
        self.0.as_ref().is_some_and(|go_mod| go_mod.retracts(version).is_some())
    }

    /// As [`Retractions::cover`], for the name of a tag.
    pub(super) fn cover_text(&self, version: &str) -> bool {
        Version::parse(version).is_ok_and(|version| self.cover(&version))
    }
}

impl Question<'_> {
    /// The list, in the order of V-46.
    pub(super) async fn list(&mut self) -> Result<Vec<Version>, Error> {
        let tagged = self.tagged().await?;
        let incompatible = self.incompatible(&tagged).await?;
        Ok(tagged.compatible.into_iter().map(|tag| tag.version).chain(incompatible).collect())
    }

    async fn tagged(&mut self) -> Result<Tagged, Error> {
        if self.module.has_no_tags() {
            return Ok(Tagged::default());
        }
        let refs = self.refs(Scope::Tags).await?;
        let prefix = self.module.geometry.tag_prefix();
        let mut named: Vec<_> = sums::tags_below(&refs.tags, &prefix)
            .filter_map(|(tag, commit)| {
                let name = tag.strip_prefix(prefix.as_str())?;
                Some((names::of_list(name)?, name, commit))
            })
            .collect();
        // Sorted once by numbers that were parsed once: tags come in hundreds of thousands (B25).
        named.sort_by(|(a, ..), (b, ..)| Parts::compare(a, b));
        let mut tagged = Tagged::default();
        for (parts, name, commit) in named {
            let Ok(version) = Version::parse(name) else { continue };
            let above_v1 = !matches!(parts.major, "0" | "1");
            let fits = version.fits(self.module.path).is_ok();
            let tag = Tag { version, commit: Arc::clone(commit) };
            if fits {
                tagged.compatible.push(tag);
            } else if above_v1 && self.module.geometry.allows_incompatible() {
                tagged.candidates.push(tag);
            }
        }
        Ok(tagged)
    }

    /// The `+incompatible` versions (V-42, V-43).
    async fn incompatible(&mut self, tagged: &Tagged) -> Result<Vec<Version>, Error> {
        if tagged.candidates.is_empty() {
            return Ok(Vec::new());
        }
        // Mostly this one file is enough, so the others are announced only after it.
        if let Some(highest) = tagged.compatible.last()
            && self.has_go_mod(highest).await?
        {
            return Ok(Vec::new());
        }
        let majors: Vec<_> =
            tagged.candidates.chunk_by(|a, b| a.version.major() == b.version.major()).collect();
        if majors.len() > MAJORS_MAX {
            let reason = format!("more than {MAJORS_MAX} major versions without a major version suffix");
            return Err(Error::Unfit { reason });
        }
        let highest = majors.iter().filter_map(|major| major.last());
        self.expect(highest.map(|tag| (Arc::clone(&tag.commit), "go.mod".to_owned()))).await?;
        let mut versions = Vec::new();
        for major in majors {
            let Some(highest) = major.last() else { continue };
            if !self.has_go_mod(highest).await? {
                let marked = major.iter().map(|tag| format!("{}{INCOMPATIBLE}", tag.version));
                versions.extend(marked.filter_map(|version| Version::parse(&version).ok()));
            }
        }
        Ok(versions)
    }

    /// Whether the repository's root has a go.mod at that tag, whatever it says (V-44).
    async fn has_go_mod(&mut self, tag: &Tag) -> Result<bool, Error> {
        match self.file(&tag.commit, "go.mod").await {
            Ok(file) => Ok(file.is_some()),
            Err(Error::NoVersion { .. }) => {
                let path = self.module.path;
                Err(Error::NotAVersion {
                    sentence: format!("module {path}: unknown revision {}", tag.version),
                    verdict: Verdict::Missing,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// What counts as retracted where tags become versions (V-54).
    ///
    /// A go.mod that is not to be had is one that retracts nothing; trouble is not, because the version made from a
    /// commit is for ever.
    pub(super) async fn retractions(&mut self) -> Result<Retractions, Error> {
        if let Some(known) = &self.retractions {
            return Ok(known.clone());
        }
        let go_mod = match self.newest().await? {
            None => None,
            Some(Tag { version, commit }) => match self.find_dir(&commit, version.as_str()).await {
                Ok(found) => found.ok().and_then(|found| found.go_mod),
                Err(error) if error.is_absence() => None,
                Err(error) => return Err(error),
            },
        };
        let retractions = Retractions::of(go_mod.as_deref());
        self.retractions = Some(retractions.clone());
        Ok(retractions)
    }

    /// The version whose go.mod says what is retracted: the highest release, else the highest pre-release.
    async fn newest(&mut self) -> Result<Option<Tag>, Error> {
        let mut tags = self.tagged().await?.compatible;
        let release = tags.iter().rposition(|tag| !tag.version.is_prerelease());
        Ok(match release {
            Some(at) => Some(tags.swap_remove(at)),
            None => tags.pop(),
        })
    }

    /// A branch is about to become a version. For that its tip is read, and the go.mod that says what is retracted: both
    /// are announced before either is fetched.
    pub(super) async fn foresee(&mut self, rev: &str) -> Result<(), Error> {
        let may_be_a_tag =
            rev.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        if may_be_a_tag || self.module.place.vcs != Vcs::Git {
            return Ok(());
        }
        let refs = self.refs(Scope::All).await?;
        let Some(tip) = refs.branches.get(&*format!("refs/heads/{rev}")).cloned() else { return Ok(()) };
        let Some(newest) = self.newest().await? else { return Ok(()) };
        if newest.commit == tip || refs.tags.contains_key(&*format!("refs/tags/{rev}")) {
            return Ok(());
        }
        let go_mod = joined(&self.module.geometry.code_dir, "go.mod");
        self.expect([tip, newest.commit].into_iter().map(|commit| (commit, go_mod.clone()))).await
    }

    /// Whether the version fits the path's suffix.
    pub(super) fn fits(&self, version: &str) -> bool {
        fits(version, self.module.path)
    }
}
