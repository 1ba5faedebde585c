//! Versions taken in from a tree that lies here already: a module cache, an export (P-153).
//!
//! They go through the same verification as fetched ones, and are made visible in batches, because a tree has
//! thousands of them and each ledger transaction costs a sync.

use futures_util::{StreamExt as _, stream};
use modkeep_module::{H1, Info, ModuleVersion};
use modkeep_store::{FetchedInfo, FileKind, Incoming, Parts, Verified};
use modkeep_upstream::Upstream;

use crate::failure::{Failure, Subject};
use crate::source::Source;
use crate::verify::Asked;
use crate::{Fetch, said};

/// Versions read and verified at a time: enough to keep two cores in hashing while lookups are on their way.
const AT_ONCE: usize = 8;

/// What became of one version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// All that the tree has of it was here already.
    Known,
    /// Files of it became visible.
    New {
        /// Their bytes.
        bytes: u64,
    },
}

impl Fetch {
    /// Takes versions in from a tree. `noted` is the sum that the tree notes beside a zip: where nobody certifies the
    /// zip it must at least be that one.
    ///
    /// The outcomes stand in the order of `versions`. Not cancel safe in the sense that some may have become visible;
    /// whoever runs it again goes on where it ended.
    pub async fn take_in(
        &self,
        tree: &Upstream,
        versions: &[ModuleVersion],
        noted: impl Fn(&ModuleVersion) -> Option<H1>,
    ) -> Vec<Result<Taken, Failure>> {
        let source = Source::Upstream(tree.clone());
        let read = versions.iter().map(|of| self.read_from(&source, of, noted(of)));
        let read: Vec<Result<Parts, Failure>> = stream::iter(read).buffered(AT_ONCE).collect().await;
        let mut outcomes = Vec::with_capacity(versions.len());
        let mut incoming = Vec::new();
        for (of, parts) in versions.iter().zip(read) {
            outcomes.push(parts.map(|parts| {
                let bytes = size(&parts);
                if bytes == 0 {
                    return Taken::Known;
                }
                incoming.push(Incoming { repository: self.0.repository.clone(), version: of.clone(), parts });
                Taken::New { bytes }
            }));
        }
        let mut committed = self.0.store.commit_many(incoming).await.into_iter();
        self.drain_soon();
        for (of, outcome) in versions.iter().zip(&mut outcomes) {
            if matches!(outcome, Ok(Taken::New { .. }))
                && let Some(Err(error)) = committed.next()
            {
                *outcome = Err(said::by_store(Subject::version(of), &error));
            }
        }
        outcomes
    }

    /// What the tree has of a version and we have not, verified. Missing files are no failure, but the `.mod` is
    /// what makes it a version.
    async fn read_from(
        &self,
        source: &Source,
        of: &ModuleVersion,
        noted: Option<H1>,
    ) -> Result<Parts, Failure> {
        let record = self.known(of).await?;
        let lacks = |kind| !record.as_ref().is_some_and(|record| record.has(kind));
        let mut parts = self.parts(of, source);
        if lacks(FileKind::Mod) {
            let word = self.word(of, record.as_ref(), FileKind::Mod);
            parts.go_mod = Some(self.mod_from(source, of, word).await?);
        }
        if lacks(FileKind::Zip) {
            let word = self.word(of, record.as_ref(), FileKind::Zip);
            parts.zip = present(self.noted_zip_from(source, of, word, noted).await)?;
        }
        if lacks(FileKind::Info) {
            let has_zip = parts.zip.is_some() || !lacks(FileKind::Zip);
            parts.info = match present(self.info_from(source, of).await)? {
                Some(info) => Some(Verified::info(tidied(info, of))),
                // A module cache holds zips without `.info`, because builds do not ask for it.
                None if has_zip => {
                    FetchedInfo::new(Info::plain(of.version()).to_json(), of).ok().map(Verified::info)
                }
                None => None,
            };
        }
        Ok(parts)
    }

    async fn noted_zip_from(
        &self,
        source: &Source,
        of: &ModuleVersion,
        word: Asked,
        noted: Option<H1>,
    ) -> Result<Verified<modkeep_store::FetchedZip>, Failure> {
        let zip = self.zip_from(source, of, word).await?;
        match noted {
            Some(noted) if !zip.basis().is_certified() && zip.fetched().facts().h1 != noted => {
                Err(Failure::BadContent {
                    subject: Subject::version(of),
                    reason: format!(
                        "the tree notes {noted} beside the zip, whose sum is {}",
                        zip.fetched().facts().h1
                    )
                    .into(),
                })
            }
            _ => Ok(zip),
        }
    }
}

fn size(parts: &Parts) -> u64 {
    let info = parts.info.as_ref().map_or(0, |info| info.fetched().bytes().len());
    let go_mod = parts.go_mod.as_ref().map_or(0, |go_mod| go_mod.fetched().bytes().len());
    let zip = parts.zip.as_ref().map_or(0, |zip| zip.fetched().size());
    u64::try_from(info + go_mod).unwrap_or(u64::MAX).saturating_add(zip)
}

/// A file that the tree lacks is none, everything else that fails is a failure.
fn present<T>(read: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(file) => Ok(Some(file)),
        Err(failure) if failure.is_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Without `Name` and `Short`, which the caches of old go commands still carry (P-153).
fn tidied(info: FetchedInfo, of: &ModuleVersion) -> FetchedInfo {
    let is_old = info.bytes().windows(8).any(|window| window == b"\"Short\":");
    if is_old { FetchedInfo::new(info.info().to_json(), of).unwrap_or(info) } else { info }
}
