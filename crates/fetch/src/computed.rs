//! Answers computed from what is stored: for cached-only requests, without sources, while the sources are in
//! trouble, and for a module that its source denies while versions of it are here (P-26, P-93, user-experience 1.4).

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use modkeep_module::gomod::GoMod;
use modkeep_module::{Info, ModulePath, ModuleVersion, Version, latest, list};
use modkeep_store::{FileKind, StoredAnswer, VersionRecord};

use crate::desk::{Changing, Topic};
use crate::failure::Failure;
use crate::{Event, Fetch, FreshAnswer, How, said};

/// How many versions a failure names for the reader.
const NAMED_MAX: usize = 3;

/// The source named for an answer that was computed here.
const COMPUTED: &str = "computed from the store";

impl Fetch {
    /// The answer that the store alone can give; nobody is asked (P-93).
    pub(crate) async fn answer_here(
        &self,
        question: &Changing,
        stored: Option<Arc<StoredAnswer>>,
    ) -> Result<Option<FreshAnswer>, Failure> {
        let answer = match question {
            Changing::Query(..) => stored,
            Changing::List(module) => {
                let records = self.records(module).await?;
                let known = stored.is_some() || !records.is_empty();
                known.then(|| computed(list::render(&tagged(&records)), self.today()))
            }
            Changing::Latest(module) => {
                let records = self.records(module).await?;
                let bytes = self.latest_of(module, &tagged(&records), &records, None).await?;
                bytes.map(|bytes| computed(bytes, self.today()))
            }
        };
        Ok(answer.map(|answer| self.fresh(answer, How::Stored)))
    }

    /// What stands in while the sources are in trouble: the last answer, with what has been stored since.
    pub(crate) async fn stand_in(
        &self,
        question: &Changing,
        stored: Option<Arc<StoredAnswer>>,
    ) -> Result<Option<Arc<StoredAnswer>>, Failure> {
        match question {
            Changing::Query(..) => Ok(stored),
            Changing::List(module) => {
                let records = self.records(module).await?;
                let Some(checked_at) = last_known(stored.as_deref(), &records) else { return Ok(None) };
                let known = stored.map(|stored| list::parse(&stored.bytes, module)).unwrap_or_default();
                let united: BTreeSet<Version> = known.into_iter().chain(tagged(&records)).collect();
                let united: Vec<Version> = united.into_iter().collect();
                Ok(Some(computed(list::render(&united), checked_at)))
            }
            Changing::Latest(module) => {
                let records = self.records(module).await?;
                let Some(checked_at) = last_known(stored.as_deref(), &records) else { return Ok(None) };
                let bytes = self.latest_of(module, &tagged(&records), &records, stored.as_deref()).await?;
                Ok(bytes.map(|bytes| computed(bytes, checked_at)))
            }
        }
    }

    /// The source denies the module. Where versions of it are here, they are the answer nevertheless
    /// (P-26, user-experience 1.4): what was served once is served for ever.
    pub(crate) async fn unless_here(
        &self,
        question: &Changing,
        failure: Failure,
        take_off: Instant,
    ) -> Result<Arc<StoredAnswer>, Failure> {
        if !failure.is_absence() || matches!(question, Changing::Query(..)) {
            return Err(failure);
        }
        let Some(answer) = self.stand_in(question, None).await? else { return Err(failure) };
        // The caller has his answer, and whoever watches origins hears all the same that this one is gone.
        let took = self.now().saturating_duration_since(take_off);
        self.tell(&Event::Failed { kind: question.kind(), failure: &failure, took });
        Ok(self.keep_answer(question, answer.bytes.clone(), self.today(), COMPUTED, None).await)
    }

    /// The newest versions that can be served, for a reader who has to choose another one.
    pub(crate) async fn newest_here(&self, module: &ModulePath) -> Vec<Version> {
        // Only a courtesy in a failure that is told anyway: a ledger in trouble names none.
        let mut versions = self.records(module).await.map(|records| tagged(&records)).unwrap_or_default();
        versions.reverse();
        versions.truncate(NAMED_MAX);
        versions
    }

    pub(crate) async fn records(&self, module: &ModulePath) -> Result<Vec<VersionRecord>, Failure> {
        let records = self.0.store.versions(&self.0.repository, module).await;
        records.map_err(|error| said::by_store(Changing::List(module.clone()).subject(), &error))
    }

    /// The info of the latest of `tagged` (P-40 to P-42); without any, the last answer's, else that of the
    /// newest pseudo-version here. Of a module of which nothing can be downloaded, the latest version that is
    /// known: the go command asks for it while it lists a build's modules, and needs no zip of them.
    async fn latest_of(
        &self,
        module: &ModulePath,
        tagged: &[Version],
        records: &[VersionRecord],
        last: Option<&StoredAnswer>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let said = last.and_then(|last| Info::parse(&last.bytes).ok().map(|info| (info, last)));
        let mut candidates: BTreeSet<Version> = tagged.iter().cloned().collect();
        candidates
            .extend(said.as_ref().map(|(info, _)| info.version().clone()).filter(|said| !said.is_pseudo()));
        let candidates = self.compatible(module, candidates.into_iter().collect()).await;
        let retractions = match latest::pick(&candidates, &|_| false) {
            Some(newest) if !newest.is_incompatible() => self.go_mod_here(module, &newest).await,
            _ => None,
        };
        let retracted =
            |version: &Version| retractions.as_ref().is_some_and(|go_mod| go_mod.retracts(version).is_some());
        let picked = latest::pick(&candidates, &retracted);
        match (picked, said) {
            (Some(picked), Some((info, last))) if *info.version() == picked => Ok(Some(last.bytes.clone())),
            (Some(picked), _) => self.info_here(module, &picked, records).await.map(Some),
            (None, Some((_, last))) => Ok(Some(last.bytes.clone())),
            (None, None) => match tip(records).or_else(|| latest_known(records)) {
                Some(version) => self.info_here(module, &version, records).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// P-40: `+incompatible` versions do not count once the module has adopted go.mod files.
    async fn compatible(&self, module: &ModulePath, versions: Vec<Version>) -> Vec<Version> {
        let (incompatible, compatible): (Vec<_>, Vec<_>) =
            versions.iter().cloned().partition(Version::is_incompatible);
        let Some(highest) = latest::pick(&compatible, &|_| false) else { return versions };
        if incompatible.is_empty() {
            return versions;
        }
        match self.go_mod_bytes(module, &highest).await {
            Some(bytes) if bytes != GoMod::synthesized(module) => compatible,
            _ => versions,
        }
    }

    /// The stored go.mod of a version, read as a dependency's. One that is not here or unreadable retracts nothing (P-41).
    async fn go_mod_here(&self, module: &ModulePath, version: &Version) -> Option<GoMod> {
        GoMod::parse_lenient(&self.go_mod_bytes(module, version).await?).ok()
    }

    async fn go_mod_bytes(&self, module: &ModulePath, version: &Version) -> Option<Vec<u8>> {
        let of = ModuleVersion::new(module.clone(), version.clone()).ok()?;
        self.read_here(&of, FileKind::Mod).await
    }

    /// The stored `.info` of a version, or one with what the ledger knows.
    async fn info_here(
        &self,
        module: &ModulePath,
        version: &Version,
        records: &[VersionRecord],
    ) -> Result<Vec<u8>, Failure> {
        if let Ok(of) = ModuleVersion::new(module.clone(), version.clone())
            && let Some(bytes) = self.read_here(&of, FileKind::Info).await
        {
            return Ok(bytes);
        }
        let time = records.iter().find(|record| record.version == *version).and_then(|record| record.time);
        Ok(Info::new(version.clone(), time).to_json())
    }

    /// A small stored file's bytes, if it is here and sound.
    async fn read_here(&self, of: &ModuleVersion, kind: FileKind) -> Option<Vec<u8>> {
        let mut stored = self.stored(of, kind).await.ok()??;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stored.file.read_to_end(&mut bytes).map(|_| bytes)
        });
        read.await.ok()?.ok()
    }
}

/// An answer made here.
fn computed(bytes: Vec<u8>, checked_at: std::time::SystemTime) -> Arc<StoredAnswer> {
    Arc::new(StoredAnswer { bytes, checked_at, source: COMPUTED.to_owned(), validator: None })
}

/// When we last heard of the module: from a source, or by storing some of it. `None` when neither.
fn last_known(stored: Option<&StoredAnswer>, records: &[VersionRecord]) -> Option<std::time::SystemTime> {
    let heard = stored.map(|stored| stored.checked_at);
    heard.or_else(|| records.iter().map(|record| record.zip_at.unwrap_or(record.first_seen)).max())
}

/// The tagged versions that can be served whole, ascending: a list must not name what nobody can download.
fn tagged(records: &[VersionRecord]) -> Vec<Version> {
    let whole = records.iter().filter(|record| is_whole(record) && !record.version.is_pseudo());
    let ordered: BTreeSet<Version> = whole.map(|record| record.version.clone()).collect();
    ordered.into_iter().collect()
}

/// The newest pseudo-version that can be served whole: the nearest thing to the tip of the default branch.
fn tip(records: &[VersionRecord]) -> Option<Version> {
    newest_pseudo(records.iter().filter(|record| is_whole(record)))
}

/// The latest version of which the `.mod` or the `.info` is here: release, pre-release, pseudo-version (P-40, P-42).
fn latest_known(records: &[VersionRecord]) -> Option<Version> {
    let known = || records.iter().filter(|record| record.has(FileKind::Mod) || record.has(FileKind::Info));
    let tagged = known().map(|record| &record.version).filter(|version| !version.is_pseudo());
    let tagged: BTreeSet<Version> = tagged.cloned().collect();
    let tagged: Vec<Version> = tagged.into_iter().collect();
    latest::pick(&tagged, &|_| false).or_else(|| newest_pseudo(known()))
}

fn newest_pseudo<'a>(records: impl Iterator<Item = &'a VersionRecord>) -> Option<Version> {
    let pseudo = records.filter(|record| record.version.is_pseudo());
    let newest =
        pseudo.max_by_key(|record| (record.time.map(|time| (time.secs, time.nanos)), record.version.clone()));
    newest.map(|record| record.version.clone())
}

/// Whether the go command can use the version from here alone: it asks for the `.mod` before the zip.
fn is_whole(record: &VersionRecord) -> bool {
    record.has(FileKind::Mod) && record.has(FileKind::Zip)
}
