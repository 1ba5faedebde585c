//! The files of a version: from the store, or by a fetch that verifies and commits them.

use std::time::{Duration, Instant};

use modkeep_module::ModuleVersion;
use modkeep_module::VersionOrQuery;
use modkeep_origin::Zip;
use modkeep_store::{
    Error as StoreError, FetchedInfo, FetchedMod, FetchedZip, FileKind, Parts, Scratch, StoredFile,
    Unreadable, Verified, VersionRecord,
};

use crate::chain::{Walk, order};
use crate::desk::{Changing, FileOf};
use crate::failure::{Failure, Subject};
use crate::fresh::Reach;
use crate::observe::{Alarm, Event, Kind};
use crate::source::Source;
use crate::verify::{Asked, Download, Word};
use crate::{Fetch, Got, How, said};

impl Fetch {
    /// A file of a version: stored, or fetched by the one flight there is for it.
    pub(crate) async fn file(
        &self,
        of: &ModuleVersion,
        kind: FileKind,
        reach: Reach,
    ) -> Result<Got, Failure> {
        self.file_within(of, kind, reach, self.0.config.hold).await
    }

    /// The same for a caller with another patience.
    pub(crate) async fn file_within(
        &self,
        of: &ModuleVersion,
        kind: FileKind,
        reach: Reach,
        patience: Duration,
    ) -> Result<Got, Failure> {
        let question = FileOf(of.clone(), kind);
        let subject = Subject::version(of);
        if reach == Reach::MayFetch {
            self.recall(&question)?;
        }
        if let Some(file) = self.stored(of, kind).await? {
            return Ok(Got { file, how: How::Stored });
        }
        if let Err(why) = self.door(&subject, reach) {
            return Err(self.shut(subject, why).await);
        }
        self.fly(&question, patience).await?;
        match self.stored(of, kind).await? {
            Some(file) => Ok(Got { file, how: How::Fetched }),
            // Other bytes came than those that were recorded and then damaged: the recorded ones are gone (R13).
            None => Err(Failure::Corrupt { subject }),
        }
    }

    /// The stored file, if it is there and sound. A damaged one is put aside by the store and counts as
    /// absent: a fetch whose bytes have the recorded hash repairs it (R13).
    pub(crate) async fn stored(
        &self,
        of: &ModuleVersion,
        kind: FileKind,
    ) -> Result<Option<StoredFile>, Failure> {
        match self.0.store.open_file(&self.0.repository, of, kind).await {
            Ok(file) => Ok(file),
            Err(StoreError::Corrupt { name, reason }) => {
                let subject = Subject::version(of);
                let detail = format!("{name}: {reason}");
                self.tell(&Event::Alarm { subject: &subject, alarm: Alarm::StoreDamaged, detail: &detail });
                Ok(None)
            }
            Err(error) => Err(said::by_store(Subject::version(of), &error)),
        }
    }

    pub(crate) async fn known(&self, of: &ModuleVersion) -> Result<Option<VersionRecord>, Failure> {
        let record = self.0.store.version(&self.0.repository, of).await;
        record.map_err(|error| said::by_store(Subject::version(of), &error))
    }

    /// Fetches, checks and commits an `.info`. No database covers it: it is read, and has to name the version (P-30).
    pub(crate) async fn bring_info(&self, of: &ModuleVersion, take_off: Instant) -> Result<(), Failure> {
        let record = self.known(of).await?;
        if record.as_ref().is_some_and(|record| record.has(FileKind::Info)) {
            return Ok(()); // landed between a caller's look and this take-off
        }
        let mut walk = Walk::default();
        for link in order(self.chain(of.path()), pin(record.as_ref())) {
            let source = &link.source;
            match self.info_from(source, of).await {
                Ok(info) => {
                    let bytes = info.bytes().len() as u64;
                    let parts = Parts { info: Some(Verified::info(info)), ..self.parts(of, source) };
                    return self.commit(of, parts, source, Kind::Info, bytes, take_off).await;
                }
                Err(failure) if walk.note(failure.clone(), link.then).is_break() => break,
                Err(_) => {}
            }
        }
        Err(walk.best_or(|| nobody(of)))
    }

    pub(crate) async fn info_from(
        &self,
        source: &Source,
        of: &ModuleVersion,
    ) -> Result<FetchedInfo, Failure> {
        let asked = VersionOrQuery::Version(of.version().clone());
        let bytes = source.info(of.path(), &asked).await?;
        FetchedInfo::new(bytes, of)
            .map_err(|error| said::nonsense(Subject::version(of), source.name(), &error.to_string()))
    }

    /// Fetches, verifies and commits a `.mod`.
    pub(crate) async fn bring_mod(&self, of: &ModuleVersion, take_off: Instant) -> Result<(), Failure> {
        let record = self.known(of).await?;
        if record.as_ref().is_some_and(|record| record.has(FileKind::Mod)) {
            return Ok(());
        }
        let word = self.word(of, record.as_ref(), FileKind::Mod);
        let mut walk = Walk::default();
        for link in order(self.chain(of.path()), pin(record.as_ref())) {
            let source = &link.source;
            match self.mod_from(source, of, word.clone()).await {
                Ok(go_mod) => {
                    let bytes = go_mod.fetched().bytes().len() as u64;
                    let parts = Parts { go_mod: Some(go_mod), ..self.parts(of, source) };
                    return self.commit(of, parts, source, Kind::Mod, bytes, take_off).await;
                }
                Err(failure) if walk.note(failure.clone(), link.then).is_break() => break,
                Err(_) => {}
            }
        }
        Err(walk.best_or(|| nobody(of)))
    }

    /// One source's `.mod`, judged. The file is small, so both answers are waited for: where the source says
    /// that there is no such version, that is the better answer than the database's.
    pub(crate) async fn mod_from(
        &self,
        source: &Source,
        of: &ModuleVersion,
        word: Asked,
    ) -> Result<Verified<FetchedMod>, Failure> {
        let (fetched, word) = tokio::join!(source.go_mod(of), word);
        self.judge(FetchedMod::new(fetched?, of), &word?, source).await
    }

    /// Fetches, verifies and commits a zip.
    pub(crate) async fn bring_zip(&self, of: &ModuleVersion, take_off: Instant) -> Result<(), Failure> {
        let record = self.known(of).await?;
        if record.as_ref().is_some_and(|record| record.has(FileKind::Zip)) {
            return Ok(());
        }
        let word = self.word(of, record.as_ref(), FileKind::Zip);
        let mut walk = Walk::default();
        for link in order(self.chain(of.path()), pin(record.as_ref())) {
            let source = &link.source;
            match self.zip_from(source, of, word.clone()).await {
                Ok(zip) => {
                    let bytes = zip.fetched().size();
                    let parts = Parts { zip: Some(zip), ..self.parts(of, source) };
                    return self.commit(of, parts, source, Kind::Zip, bytes, take_off).await;
                }
                Err(failure) if walk.note(failure.clone(), link.then).is_break() => break,
                Err(_) => {}
            }
        }
        let failure = walk.best_or(|| nobody(of));
        Err(self.rather_absent(of, record.as_ref(), failure).await)
    }

    /// One source's zip, judged. A download whose verification has failed already is not finished.
    pub(crate) async fn zip_from(
        &self,
        source: &Source,
        of: &ModuleVersion,
        word: Asked,
    ) -> Result<Verified<FetchedZip>, Failure> {
        let (zip, word): (Download, Word) = tokio::try_join!(self.download(source, of), word)?;
        self.judge_zip(zip, &word, source).await
    }

    /// The zip in a scratch file of its own (P-86), read and summed. Bytes that are no zip are judged as well.
    async fn download(&self, source: &Source, of: &ModuleVersion) -> Result<Download, Failure> {
        let subject = Subject::version(of);
        let store = self.0.store.clone();
        let scratch = blocking(&subject, move || store.scratch()).await?;
        let scratch: Scratch = scratch.map_err(|error| said::by_store(subject.clone(), &error))?;
        let scratch = match source.zip(of, scratch).await? {
            Zip::Built(zip) => return Ok(Ok(zip)),
            Zip::Sent(scratch) => scratch,
        };
        let version = of.clone();
        match blocking(&subject, move || FetchedZip::read(scratch, &version)).await? {
            Ok(zip) => Ok(Ok(zip)),
            Err(Unreadable::Zip(broken)) => Ok(Err(broken)),
            Err(Unreadable::Scratch(error)) => Err(said::by_scratch(subject, &error)),
            Err(Unreadable::Store(error)) => Err(said::by_store(subject, &error)),
        }
    }

    /// A version that the database does not list may simply not exist. Where nothing of it is stored, its
    /// `.info`, a small question, tells the two apart.
    async fn rather_absent(
        &self,
        of: &ModuleVersion,
        record: Option<&VersionRecord>,
        failure: Failure,
    ) -> Failure {
        if record.is_some() || !matches!(failure, Failure::Unlisted { .. }) {
            return failure;
        }
        match self.fly(&FileOf(of.clone(), FileKind::Info), self.0.config.hold).await {
            Err(absent) if absent.is_absence() => absent,
            _ => failure,
        }
    }

    /// Nothing of a version yet; who may know of it, and who sends it.
    pub(crate) fn parts(&self, of: &ModuleVersion, source: &Source) -> Parts {
        if self.is_private(of.path()) { Parts::private(source.name()) } else { Parts::public(source.name()) }
    }

    /// Makes verified files visible, which is the end of a good flight.
    async fn commit(
        &self,
        of: &ModuleVersion,
        parts: Parts,
        source: &Source,
        kind: Kind,
        bytes: u64,
        take_off: Instant,
    ) -> Result<(), Failure> {
        let subject = Subject::version(of);
        match self.0.store.commit(&self.0.repository, of, parts).await {
            Ok(_record) if kind == Kind::Zip => source.stored(of).await,
            Ok(_record) => {}
            // Other bytes under a name that was served before: ours stay, and are the answer (H08, R3).
            Err(error @ StoreError::Conflict { .. }) => {
                let detail = format!("{}: {error}", source.name());
                self.tell(&Event::Alarm {
                    subject: &subject,
                    alarm: Alarm::UpstreamChanged,
                    detail: &detail,
                });
            }
            Err(error) => {
                if let StoreError::GoModDiffers { .. } = &error {
                    let detail = format!("{}: {error}", source.name());
                    self.tell(&Event::Alarm {
                        subject: &subject,
                        alarm: Alarm::GoModDiffers,
                        detail: &detail,
                    });
                }
                return Err(said::by_store(subject, &error));
            }
        }
        self.drain_soon();
        // A module that its source denied a moment ago has a version now.
        self.0.answers.forgive(&Changing::List(of.path().clone()));
        self.0.answers.forgive(&Changing::Latest(of.path().clone()));
        self.tell(&Event::Fetched {
            subject: &subject,
            kind,
            source: source.name(),
            bytes,
            took: self.now().saturating_duration_since(take_off),
            not_modified: false,
            new_version: kind == Kind::Zip,
        });
        Ok(())
    }
}

/// The source that sent this version's first file (P-85).
fn pin(record: Option<&VersionRecord>) -> Option<&str> {
    record.map(|record| record.source.as_str())
}

/// No source was there to be asked; the door is shut before that, so this is a slip of ours.
fn nobody(of: &ModuleVersion) -> Failure {
    Failure::Internal { subject: Subject::version(of), reason: "a flight without sources".into() }
}

/// Runs what blocks where it may block.
async fn blocking<T: Send + 'static>(
    subject: &Subject,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Internal { subject: subject.clone(), reason: error.to_string().into() })
}
