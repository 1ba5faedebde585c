//! What a `latest` query answers (P-40 to P-43).

use modkeep_module::gomod::GoMod;
use modkeep_module::{Info, Version, info, latest};

use super::Located;
use super::list::Retractions;
use super::question::Question;
use crate::error::{Error, Verdict};
use crate::place::Vcs;
use crate::repository::Scope;

impl Question<'_> {
    /// The highest release, else the highest pre-release, else the tip; nothing that is retracted.
    pub(super) async fn latest(&mut self) -> Result<Located, Error> {
        if !self.module.has_no_tags() {
            self.refs(Scope::TagsElseHead).await?;
        }
        let versions = self.list().await?;
        let newest = self.pick(&versions).await?;
        let incompatible = newest.info.version().is_incompatible();
        let retractions = Retractions::of(newest.go_mod.as_deref().filter(|_| !incompatible));
        let picked = self.pick_unretracted(versions, &retractions, newest).await?;
        // Where no tag can belong to the module (V-41), the go command lists without asking, and knows no Origin.
        let of_list = if self.module.has_no_tags() { None } else { Some(self.list_origin().await?) };
        Ok(picked.merged_with(of_list))
    }

    /// The pick when nothing counts as retracted (P-41).
    async fn pick(&mut self, versions: &[Version]) -> Result<Located, Error> {
        match latest::pick(versions, &|_| false) {
            Some(version) => self.stat(version.as_str()).await,
            None => self.tip().await,
        }
    }

    /// The pick among what is left (P-40, P-42).
    async fn pick_unretracted(
        &mut self,
        mut versions: Vec<Version>,
        retractions: &Retractions,
        newest: Located,
    ) -> Result<Located, Error> {
        let count = versions.len();
        versions.retain(|version| !retractions.cover(version));
        if versions.len() == count && !retractions.cover(newest.info.version()) {
            return Ok(newest);
        }
        self.drop_incompatible(&mut versions).await?;
        let picked = match latest::pick(&versions, &|_| false) {
            Some(version) if version == *newest.info.version() => return Ok(newest),
            Some(version) => return self.stat(version.as_str()).await,
            None => self.tip().await?,
        };
        if retractions.cover(picked.info.version()) { Err(self.no_match()) } else { Ok(picked) }
    }

    /// Drops `+incompatible` versions when the highest other one has a go.mod of its own (P-40).
    async fn drop_incompatible(&mut self, versions: &mut Vec<Version>) -> Result<(), Error> {
        let Some(first) = versions.iter().position(Version::is_incompatible) else { return Ok(()) };
        let Some(highest) = first.checked_sub(1).and_then(|at| versions.get(at)) else { return Ok(()) };
        let located = self.stat(&highest.to_string()).await?;
        if located.go_mod_bytes(self.module.path) != GoMod::synthesized(self.module.path) {
            versions.truncate(first);
        }
        Ok(())
    }

    /// The version of the tip of the default branch. A tip without this module is no match (P-43).
    async fn tip(&mut self) -> Result<Located, Error> {
        let no_commits =
            self.module.place.vcs == Vcs::Git && self.refs(Scope::TagsAndHead).await?.head.is_none();
        if no_commits {
            return Err(self.no_match());
        }
        match self.tip_as_it_is().await {
            Err(error) if error.is_missing() => Err(self.no_match()),
            outcome => outcome,
        }
    }

    async fn tip_as_it_is(&mut self) -> Result<Located, Error> {
        let commit = self.module.repository.tip().await?;
        self.convert(commit, "").await
    }

    fn no_match(&self) -> Error {
        let sentence = format!("module {}: no matching versions for query \"latest\"", self.module.path);
        Error::NotAVersion { sentence, verdict: Verdict::Invalid }
    }
}

impl Located {
    /// The same, with an Origin that also says what the list depended on: where there is none of the list, or the two
    /// contradict each other, none.
    fn merged_with(mut self, of_list: Option<info::Origin>) -> Self {
        let merged = of_list.and_then(|of_list| merge(of_list, self.info.origin()?));
        let plain = Info::new(self.info.version().clone(), self.info.time());
        self.info = match merged {
            Some(origin) => plain.with_origin(origin),
            None => plain,
        };
        self
    }
}

/// Both together.
fn merge(of_list: info::Origin, of_pick: &info::Origin) -> Option<info::Origin> {
    let mut merged = of_list;
    if !of_pick.tag_sum.is_empty() && !merged.tag_sum.is_empty() {
        let same = merged.tag_sum == of_pick.tag_sum && merged.tag_prefix == of_pick.tag_prefix;
        if !same {
            return None;
        }
    }
    merged.hash.clone_from(&of_pick.hash);
    merged.reference.clone_from(&of_pick.reference);
    Some(merged)
}
