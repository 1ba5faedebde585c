//! The order of writes (reliability.md): scratch and sync, link, sync of directories, then one ledger transaction.

use std::collections::HashSet;

use modkeep_module::{H1, ModuleVersion};

use crate::blobs::Placement;
use crate::error::Error;
use crate::evidence::{Evidence, EvidenceKind};
use crate::ledger::merge::{self, Differs, Merge};
use crate::ledger::{
    FileFacts, Kept, NewEvidence, NewVersion, SumFacts, VersionRecord, Visibility, may_differ,
};
use crate::name::{BlobName, FileKind, Sha256Sum};
use crate::scratch::Scratch;
use crate::store::{Incoming, Inner};
use crate::verify::{Body, Fetched, FetchedInfo, FetchedMod, FetchedZip, Verified};

/// How many bytes of evidence are kept in all; what comes later is described, its bytes are not kept (R30).
const EVIDENCE_BYTES_MAX: u64 = 1 << 30;
/// How long one text of a piece of evidence may be.
const EVIDENCE_TEXT_MAX: usize = 4096;

/// One version on its way: what is to be written, and what is to be said about it then.
struct Prepared {
    new: NewVersion,
    files: Vec<Placement>,
}

/// What a look at the ledger makes of one version.
enum Plan {
    /// All of it is there.
    Done(Box<VersionRecord>),
    Write(Box<Prepared>),
    Refuse(Error),
}

impl Inner {
    pub(super) fn commit_many(&self, versions: Vec<Incoming>) -> Vec<Result<VersionRecord, Error>> {
        let mut outcomes: Vec<Option<Result<VersionRecord, Error>>> = versions.iter().map(|_| None).collect();
        let mut waiting: Vec<(usize, Incoming)> = versions.into_iter().enumerate().collect();
        while !waiting.is_empty() {
            // A version that comes twice is committed twice, one after the other.
            let mut seen = HashSet::new();
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, incoming)| {
                seen.insert((incoming.repository.clone(), incoming.version.clone()))
            });
            waiting = later;
            for (place, outcome) in self.commit_distinct(now) {
                outcomes[place] = Some(outcome);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or(Err(Error::Closed))).collect()
    }

    fn commit_distinct(
        &self,
        versions: Vec<(usize, Incoming)>,
    ) -> Vec<(usize, Result<VersionRecord, Error>)> {
        let keys: Vec<_> =
            versions.iter().map(|(_, one)| (one.repository.clone(), one.version.clone())).collect();
        let _alone = self.lock(keys.iter().map(|(repository, version)| (repository, version)));
        let mut outcomes = Vec::with_capacity(versions.len());
        let mut writes = Vec::new();
        for (place, incoming) in versions {
            match self.prepare(incoming).unwrap_or_else(Plan::Refuse) {
                Plan::Done(record) => outcomes.push((place, Ok(*record))),
                Plan::Refuse(error) => outcomes.push((place, Err(error))),
                Plan::Write(prepared) => writes.push((place, *prepared)),
            }
        }
        outcomes.extend(self.write(writes));
        outcomes
    }

    /// Puts the bytes in place, then makes them visible. The order is the promise: after a power cut a blob without
    /// a row is garbage, while a row without a blob would be a broken promise (D3).
    fn write(&self, writes: Vec<(usize, Prepared)>) -> Vec<(usize, Result<VersionRecord, Error>)> {
        let (mut files, mut news) = (Vec::new(), Vec::new());
        for (place, prepared) in writes {
            news.push((place, prepared.files.len(), prepared.new));
            files.extend(prepared.files);
        }
        let mut placed = self.blobs.place(files).into_iter();
        let mut outcomes = Vec::new();
        let mut durable = Vec::new();
        for (place, count, new) in news {
            let own: Vec<_> = placed.by_ref().take(count).collect();
            match own.into_iter().collect::<Result<(), Error>>() {
                Ok(()) => durable.push((place, new)),
                Err(error) => outcomes.push((place, Err(error))),
            }
        }
        if durable.is_empty() {
            return outcomes;
        }
        let (order, news): (Vec<_>, Vec<_>) = durable.into_iter().unzip();
        let fresh_zips: Vec<bool> = news.iter().map(|new| new.zip.is_some()).collect();
        let recorded = self.ledger.record(news);
        for ((place, outcome), fresh_zip) in order.into_iter().zip(recorded).zip(fresh_zips) {
            if let (true, Ok(record)) = (fresh_zip, &outcome) {
                // Its sum was computed from bytes read back from the disk a moment ago.
                self.checked().set(record.id, FileKind::Zip, true);
            }
            outcomes.push((place, self.watched(outcome)));
        }
        outcomes
    }

    /// Looks at what is recorded, decides, and gathers what has to be written.
    fn prepare(&self, incoming: Incoming) -> Result<Plan, Error> {
        self.room().writable()?;
        let Incoming { repository, version, parts } = incoming;
        is_about(&version, parts.info.as_ref().map(|info| info.fetched().version()))?;
        is_about(&version, parts.go_mod.as_ref().map(|go_mod| go_mod.fetched().version()))?;
        is_about(&version, parts.zip.as_ref().map(|zip| zip.fetched().version()))?;
        let record = self.ledger.version(&repository, &version)?;
        let old = record.as_ref();
        let facts = Facts {
            info: parts.info.as_ref().map(info_facts),
            go_mod: parts.go_mod.as_ref().map(mod_facts),
            zip: parts.zip.as_ref().map(zip_facts),
            in_zip: parts.zip.as_ref().and_then(go_mod_in_zip),
        };
        let merges = match decide(&version, old, &facts) {
            Ok(merges) => merges,
            Err(refusal) => {
                self.keep_refused(&refusal, &version, parts);
                return Ok(Plan::Refuse(refusal));
            }
        };
        let tightened = parts.visibility == Visibility::Private
            && old.is_some_and(|old| old.visibility == Visibility::Public);
        if let (true, false, Some(record)) = (merges.all_keep(), tightened, record.clone()) {
            return Ok(Plan::Done(Box::new(record)));
        }
        let mut files = Vec::new();
        let mut place = |kind, scratch| -> Result<(), Error> {
            files.push(Placement { name: BlobName::of_version(&repository, &version, kind)?, scratch });
            Ok(())
        };
        let time = parts.info.as_ref().and_then(|info| info.fetched().info().time());
        let mut new = NewVersion {
            repository: repository.clone(),
            version: version.clone(),
            visibility: parts.visibility,
            info: None,
            go_mod: None,
            zip: None,
            go_mod_in_zip: facts.in_zip,
            source: parts.source,
            now: self.clock.now(),
        };
        if let Some(info) = parts.info.filter(|_| merges.info != Merge::Keep) {
            place(FileKind::Info, self.scratch_with(info.fetched().bytes())?)?;
            new.info = facts.info.map(|facts| (facts, time));
        }
        if let Some(go_mod) = parts.go_mod.filter(|_| merges.go_mod != Merge::Keep) {
            place(FileKind::Mod, self.scratch_with(go_mod.fetched().bytes())?)?;
            new.go_mod = facts.go_mod;
        }
        if let Some(zip) = parts.zip.filter(|_| merges.zip != Merge::Keep) {
            place(FileKind::Zip, zip.into_fetched().into_scratch())?;
            new.zip = facts.zip;
        }
        Ok(Plan::Write(Box::new(Prepared { new, files })))
    }

    pub(crate) fn scratch_with(&self, bytes: &[u8]) -> Result<Scratch, Error> {
        let mut scratch = self.blobs.scratch()?;
        scratch.write(bytes)?;
        Ok(scratch)
    }

    /// Keeps what was refused, as evidence.
    fn keep_refused(&self, refusal: &Error, version: &ModuleVersion, parts: super::Parts) {
        let (kind, file, recorded, received) = match refusal {
            Error::GoModDiffers { go_mod, in_zip, .. } => {
                (EvidenceKind::GoModDiffers, FileKind::Zip, go_mod.to_string(), in_zip.to_string())
            }
            Error::Conflict { kind, recorded, received, .. } => {
                (EvidenceKind::Conflict, *kind, recorded.clone(), received.clone())
            }
            _ => return,
        };
        let body = match file {
            FileKind::Info => parts.info.map(|info| Body::Memory(info.into_fetched().bytes().to_vec())),
            FileKind::Mod => parts.go_mod.map(|go_mod| go_mod.into_fetched().into_body()),
            FileKind::Zip => parts.zip.map(|zip| zip.into_fetched().into_body()),
        };
        let evidence = Evidence {
            kind,
            module: version.path().as_str().to_owned(),
            version: format!("{}.{file}", version.version()),
            recorded,
            received,
            source: parts.source,
            detail: refusal.to_string(),
            body,
        };
        if let Err(error) = self.keep_evidence(evidence) {
            tracing::error!(%error, version = %version, "evidence of a conflict could not be kept");
        }
    }

    pub(super) fn keep_evidence(&self, evidence: Evidence) -> Result<(), Error> {
        self.room().admit(0)?;
        let Evidence { kind, module, version, recorded, received, source, detail, body } = evidence;
        let now = self.clock.now();
        let [module, version, recorded, received, source, detail] =
            [module, version, recorded, received, source, detail].map(shortened);
        let new = NewEvidence { kind, module, version, recorded, received, source, detail, now };
        let Kept::New(id) = self.watched(self.ledger.keep_evidence(new))? else { return Ok(()) };
        let scratch = match body {
            None => return Ok(()),
            Some(Body::Memory(bytes)) => self.scratch_with(&bytes)?,
            Some(Body::Scratch(scratch)) => scratch,
        };
        let (size, sha256) = (scratch.len(), scratch.sha256());
        if self.ledger.counts()?.evidence_bytes.saturating_add(size) > EVIDENCE_BYTES_MAX {
            return Ok(());
        }
        let name = BlobName::parse(&format!("{}/{id:08}", crate::blobs::EVIDENCE))?;
        self.blobs
            .place(vec![Placement { name: name.clone(), scratch }])
            .into_iter()
            .collect::<Result<(), _>>()?;
        self.watched(self.ledger.attach_body(id, name.as_str(), sha256, size))
    }
}

fn shortened(mut text: String) -> String {
    let mut end = text.len().min(EVIDENCE_TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// What came, in the ledger's words.
struct Facts {
    info: Option<FileFacts>,
    go_mod: Option<SumFacts>,
    zip: Option<SumFacts>,
    in_zip: Option<H1>,
}

/// What is to happen to each file.
#[derive(Debug, Eq, PartialEq)]
struct Merges {
    info: Merge,
    go_mod: Merge,
    zip: Merge,
}

impl Merges {
    fn all_keep(&self) -> bool {
        [self.info, self.go_mod, self.zip] == [Merge::Keep; 3]
    }
}

/// What to do with what came, from facts alone.
fn decide(version: &ModuleVersion, old: Option<&VersionRecord>, came: &Facts) -> Result<Merges, Error> {
    let conflict = |kind: FileKind| {
        move |Differs { recorded, received }: Differs| Error::Conflict {
            version: version.clone(),
            kind,
            recorded,
            received,
        }
    };
    let merges = Merges {
        info: merge::info(old.and_then(|old| old.info.as_ref()), came.info.as_ref())
            .map_err(conflict(FileKind::Info))?,
        go_mod: merge::summed(old.and_then(|old| old.go_mod.as_ref()), came.go_mod.as_ref())
            .map_err(conflict(FileKind::Mod))?,
        zip: merge::summed(old.and_then(|old| old.zip.as_ref()), came.zip.as_ref())
            .map_err(conflict(FileKind::Zip))?,
    };
    let go_mod = old.and_then(|old| old.go_mod.as_ref()).or(came.go_mod.as_ref());
    let zip = old.and_then(|old| old.zip.as_ref()).or(came.zip.as_ref());
    let in_zip = old.and_then(|old| old.go_mod_in_zip).or(came.in_zip);
    if let (Some(go_mod), Some(zip), Some(in_zip)) = (go_mod, zip, in_zip)
        && go_mod.h1 != in_zip
        && !may_differ(&go_mod.basis, &zip.basis)
    {
        return Err(Error::GoModDiffers { version: version.clone(), go_mod: go_mod.h1, in_zip });
    }
    Ok(merges)
}

fn is_about(asked: &ModuleVersion, found: Option<&ModuleVersion>) -> Result<(), Error> {
    match found {
        Some(found) if found != asked => {
            Err(Error::WrongVersion { asked: asked.clone(), found: found.clone() })
        }
        _ => Ok(()),
    }
}

fn info_facts(info: &Verified<FetchedInfo>) -> FileFacts {
    let bytes = info.fetched().bytes();
    FileFacts { size: bytes.len() as u64, sha256: Sha256Sum::of(bytes), quarantined: false }
}

fn mod_facts(go_mod: &Verified<FetchedMod>) -> SumFacts {
    let bytes = go_mod.fetched().bytes();
    SumFacts {
        size: bytes.len() as u64,
        sha256: Sha256Sum::of(bytes),
        h1: go_mod.fetched().h1(),
        basis: go_mod.basis().clone(),
        quarantined: false,
    }
}

fn zip_facts(zip: &Verified<FetchedZip>) -> SumFacts {
    SumFacts {
        size: zip.fetched().size(),
        sha256: zip.fetched().sha256(),
        h1: zip.fetched().h1(),
        basis: zip.basis().clone(),
        quarantined: false,
    }
}

fn go_mod_in_zip(zip: &Verified<FetchedZip>) -> Option<H1> {
    zip.fetched().facts().go_mod.as_deref().map(H1::of_go_mod)
}
