//! What became of the versions that are served here: one question for the refs of a repository tells it of all of them.
//!
//! The `.info` of a version says which commit and which tag it was made of, whoever made it (`Origin` with `Hash` and
//! `Ref`). What is found is noted in the store; nothing that is stored ever changes for it (R3, C21).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modkeep_module::info::Origin as Recorded;
use modkeep_module::{Info, ModulePath, ModuleVersion, VersionOrQuery, pseudo};
use modkeep_store::{FileKind, OriginCheck, OriginState, Repository as Where, Store};

use crate::error::Error;
use crate::origin::{Answerer, Origin};
use crate::place::RepositoryPlace;
use crate::repositories::Opened;
use crate::repository::{Refs, Scope};
use crate::versions::Geometry;

/// No two repositories are asked within this time, whatever their number.
const PACE: Duration = Duration::from_mins(1);
/// How many modules are read from the ledger at once.
const MODULES_AT_ONCE: u32 = 256;
/// How much is said about one finding.
const DETAIL_BYTES_MAX: usize = 256;
/// The longest `.info` that the store holds, in bytes.
const INFO_MAX: u64 = 64 * 1024;

/// Is told of each finding that is news. Must not block.
pub type Tell = Arc<dyn Fn(&OriginCheck) + Send + Sync>;

/// Looks at origins. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    origin: Origin,
    store: Store,
    tell: Tell,
}

/// Whether a look asks after commits that no tag names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Commits {
    Asked,
    Passed,
}

/// What the origin of a module says of all its versions at once.
enum Said {
    /// These are its refs now.
    Refs { place: RepositoryPlace, opened: Arc<Opened>, refs: Arc<Refs>, moved_to: Option<String> },
    /// All of them are in this state.
    All(OriginState, String),
    /// Its versions come from somebody's proxy: there are no tags to look at.
    Nothing,
}

impl Watch {
    /// A watch over what is in the store.
    pub fn new(origin: Origin, store: Store, tell: Tell) -> Self {
        Self { origin, store, tell }
    }

    /// Looks at the origin of a module, and notes what became of its stored versions. One request where the refs of the
    /// repository are not fresh, none where they are. What became of commits without a tag, refs do not tell: nothing is
    /// noted of pseudo-versions as long as the repository answers.
    ///
    /// Trouble at the origin is no finding: it comes back as the error, and what was known stays.
    pub async fn look(&self, module: &ModulePath) -> Result<Vec<OriginCheck>, Error> {
        self.examine(module, Commits::Passed).await
    }

    /// As [`Watch::look`], and asks whether the commits of pseudo-versions are still in some branch or below some tag
    /// (V-91): one request more for all refs, and one for what is new in the history where they have moved.
    pub async fn look_closely(&self, module: &ModulePath) -> Result<Vec<OriginCheck>, Error> {
        self.examine(module, Commits::Asked).await
    }

    async fn examine(&self, module: &ModulePath, commits: Commits) -> Result<Vec<OriginCheck>, Error> {
        let stored = self.store.versions(&Where::main(), module).await.map_err(Error::Store)?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let said = self.ask(module).await?;
        let now = self.store.clock().now();
        let mut checks = Vec::new();
        for record in stored {
            let Ok(version) = ModuleVersion::new(module.clone(), record.version.clone()) else { continue };
            let recorded = self.recorded(&version).await;
            let found = match (&said, pseudo::parse(&record.version)) {
                (Said::Refs { opened, .. }, Ok(pseudo)) => {
                    self.commit_state(commits, opened, &version, &pseudo.rev, recorded.as_ref()).await
                }
                _ => tag_state(&said, &version, recorded.as_ref()),
            };
            let Some((state, detail)) = state(&said, found, recorded.as_ref()) else { continue };
            checks.push(OriginCheck { version, state, checked_at: now, since: now, detail: cut(detail) });
        }
        for news in self.store.note_origins(checks.clone()).await.map_err(Error::Store)? {
            (self.tell)(&news);
        }
        Ok(checks)
    }

    /// Whether the commit of a pseudo-version is still part of its repository, and whether the version can still be made of
    /// it: the tag that it counts from may be gone (V-61). `None` where that was not asked, or cannot be told now.
    async fn commit_state(
        &self,
        commits: Commits,
        opened: &Arc<Opened>,
        version: &ModuleVersion,
        short: &str,
        recorded: Option<&Recorded>,
    ) -> Option<(OriginState, String)> {
        if commits == Commits::Passed {
            return None;
        }
        let name = recorded.map(|recorded| recorded.hash.as_str()).filter(|hash| !hash.is_empty());
        let name = name.unwrap_or(short);
        let found = match self.origin.heard(opened, opened.repository().resolve(name).await) {
            Ok(_) => {
                let asked = VersionOrQuery::Version(version.version().clone());
                self.origin.info(version.path(), &asked).await.map(drop)
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(()) => Some((OriginState::Stands, String::new())),
            Err(Error::NoVersion { .. }) => {
                Some((OriginState::TagGone, format!("commit {name} is in no branch and below no tag")))
            }
            Err(Error::NotAVersion { sentence, .. }) => Some((OriginState::TagGone, sentence)),
            Err(error) => {
                tracing::debug!(event = "watch", commit = name, %error, "nobody can tell whether it stands");
                None
            }
        }
    }

    /// Looks at every module whose last look is older than `every`, one repository a minute at most and none at the
    /// start, for ever. Cancel safe: dropped, it ends.
    pub async fn run(&self, every: Duration) {
        loop {
            tokio::time::sleep(PACE).await;
            if let Err(error) = self.round(every).await {
                tracing::warn!(event = "watch", %error, "the origins cannot be watched now");
            }
        }
    }

    /// Once through all modules.
    async fn round(&self, every: Duration) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let modules = self.store.modules(&Where::main(), after.as_deref(), MODULES_AT_ONCE).await;
            let modules = modules.map_err(Error::Store)?;
            let Some(last) = modules.last() else { return Ok(()) };
            after = Some(last.as_str().to_owned());
            for module in modules {
                if self.is_due(&module, every).await? {
                    if let Err(error) = self.look_closely(&module).await {
                        tracing::debug!(event = "watch", %module, %error, "no look at the origin");
                    }
                    tokio::time::sleep(PACE).await;
                }
            }
        }
    }

    /// Whether the module was never looked at, or long ago, or some pseudo-version of it, which only a round looks at. A
    /// version that has just come was just seen at its origin.
    async fn is_due(&self, module: &ModulePath, every: Duration) -> Result<bool, Error> {
        let known = self.store.origin_checks(Some(module)).await.map_err(Error::Store)?;
        let stored = self.store.versions(&Where::main(), module).await.map_err(Error::Store)?;
        let looks = known.iter().map(|check| check.checked_at);
        let newest = looks.max().or_else(|| stored.iter().map(|record| record.first_seen).max());
        let looked: HashMap<_, _> =
            known.iter().map(|check| (check.version.version(), check.checked_at)).collect();
        let commits = stored.iter().filter(|record| record.version.is_pseudo());
        let commits =
            commits.map(|record| looked.get(&record.version).copied().unwrap_or(record.first_seen)).min();
        Ok([newest, commits].into_iter().flatten().any(|then| self.is_older(then, every)))
    }

    fn is_older(&self, than: SystemTime, every: Duration) -> bool {
        self.store.clock().now().duration_since(than).is_ok_and(|age| age >= every)
    }

    async fn ask(&self, module: &ModulePath) -> Result<Said, Error> {
        match self.refs_of(module).await {
            Err(Error::Login { reason, .. }) => Ok(Said::All(OriginState::Login, reason)),
            Err(Error::NoModule { reason }) => Ok(Said::All(OriginState::RepoGone, reason)),
            asked => asked,
        }
    }

    async fn refs_of(&self, module: &ModulePath) -> Result<Said, Error> {
        let (place, opened) = match self.origin.answerer(module).await? {
            Answerer::Proxy(_) => return Ok(Said::Nothing),
            Answerer::Repository { place, opened } => (place, opened),
        };
        let refs = self.origin.heard(&opened, opened.repository().refs(Scope::Tags).await)?;
        let moved_to = match opened.as_ref() {
            Opened::Mixed(mixed) => mixed.here().moved_to().map(|url| url.to_string()),
            Opened::Program(_) => None,
        };
        Ok(Said::Refs { place, opened, refs, moved_to })
    }

    /// What the stored `.info` says of the version's origin. One that cannot be read is the store's trouble, told to
    /// whoever asks for it.
    async fn recorded(&self, version: &ModuleVersion) -> Option<Recorded> {
        let stored = self.store.open_file(&Where::main(), version, FileKind::Info).await.ok()??;
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut bytes = Vec::new();
            stored.file.take(INFO_MAX).read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = read.await.ok()?.ok()?;
        Info::parse(&bytes).ok()?.origin().cloned()
    }
}

/// What became of one version, of which its tag or commit says `found`; `None` where that cannot be told.
fn state(
    said: &Said,
    found: Option<(OriginState, String)>,
    recorded: Option<&Recorded>,
) -> Option<(OriginState, String)> {
    let (place, moved_to) = match said {
        Said::Nothing => return None,
        Said::All(state, why) => return Some((*state, why.clone())),
        Said::Refs { place, moved_to, .. } => (place, moved_to),
    };
    if found.as_ref().is_some_and(|(state, _)| *state != OriginState::Stands) {
        return found;
    }
    let known = recorded.map(|recorded| recorded.url.as_str()).filter(|url| !url.is_empty());
    if known.is_some_and(|known| !is_same(known, &place.url)) {
        return Some((OriginState::RepoMoved, format!("now at {}", place.url)));
    }
    if let Some(moved_to) = moved_to {
        return Some((OriginState::RepoMoved, format!("redirected to {moved_to}")));
    }
    found
}

/// What its tag says now.
fn tag_state(
    said: &Said,
    version: &ModuleVersion,
    recorded: Option<&Recorded>,
) -> Option<(OriginState, String)> {
    let Said::Refs { place, refs, .. } = said else { return None };
    let stands = Some((OriginState::Stands, String::new()));
    let named = recorded.map(|recorded| recorded.reference.as_str());
    let name = if let Some(name) = named.filter(|name| name.starts_with("refs/tags/")) {
        name.to_owned()
    } else {
        let geometry = Geometry::of(version.path(), place).ok()?;
        let bare = version.version().as_str().trim_end_matches("+incompatible");
        format!("refs/tags/{}{bare}", geometry.tag_prefix())
    };
    let Some(id) = refs.tags.get(name.as_str()) else {
        return Some((OriginState::TagGone, format!("{name} is gone")));
    };
    let was = recorded.map_or("", |recorded| recorded.hash.as_str());
    if was.is_empty() || id.is_empty() || **id == *was {
        return stands;
    }
    Some((OriginState::TagMoved, format!("{name} names {id} now, and named {was}")))
}

/// Whether two URLs mean the same repository: in any case, with or without `.git` and a slash.
fn is_same(one: &str, other: &str) -> bool {
    let bare = |url: &str| url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase();
    bare(one) == bare(other)
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
    text
}
