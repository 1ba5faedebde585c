//! What a failure is told with, and the one exception of D9.

use std::fs::File;
use std::time::Duration;

use modkeep_module::{ModulePath, ModuleVersion};
use modkeep_store::{FileKind, VersionRecord};

use crate::Fetch;
use crate::failure::{Absent, Failure, Subject};

/// How many stored zips of one enclosing module are looked into.
const ZIPS_MAX: usize = 3;

impl Fetch {
    /// Completes a failure with what is known here.
    ///
    /// The go command probes every prefix of a package path at once, and an error for a deeper one fails the
    /// command even when the right module answered (user-experience 1.3). So, while the source is away, a path
    /// that is a directory of a stored enclosing module is told as absent, which is what the source would say.
    pub(crate) async fn settle(&self, failure: Failure) -> Failure {
        match failure {
            Failure::NoSuchVersion { subject, asked_ago, said, .. } => {
                let newest = self.newest_here(&subject.module).await.into_iter().next();
                Failure::NoSuchVersion { subject, asked_ago, newest, said }
            }
            Failure::OriginDown { .. }
            | Failure::OriginLimit { .. }
            | Failure::BadAnswer { .. }
            | Failure::StillFetching { .. } => match self.directory_of(&failure.subject().module).await {
                Some(enclosing) => absent(failure.subject().clone(), enclosing),
                None => self.with_what_is_here(failure).await,
            },
            other => other,
        }
    }

    async fn with_what_is_here(&self, failure: Failure) -> Failure {
        match failure {
            Failure::OriginDown { subject, host, reason, .. } => {
                let here = self.newest_here(&subject.module).await;
                Failure::OriginDown { subject, host, reason, here }
            }
            other => other,
        }
    }

    /// The stored module that has `path` as a directory, if nothing is stored under `path` itself.
    async fn directory_of(&self, path: &ModulePath) -> Option<ModulePath> {
        if !self.records(path).await.ok()?.is_empty() {
            return None;
        }
        let mut prefix = path.as_str();
        while let Some((parent, _)) = prefix.rsplit_once('/') {
            prefix = parent;
            let Ok(module) = ModulePath::parse(parent) else { continue };
            let inside = path.as_str().get(parent.len() + 1..)?;
            for record in newest_zips(self.records(&module).await.ok()?) {
                let of = ModuleVersion::new(module.clone(), record.version).ok()?;
                if self.has_directory(&of, inside).await {
                    return Some(module);
                }
            }
        }
        None
    }

    /// Whether the stored zip of a version has files below `inside`.
    async fn has_directory(&self, of: &ModuleVersion, inside: &str) -> bool {
        let Ok(Some(zip)) = self.stored(of, FileKind::Zip).await else { return false };
        let wanted = format!("{}@{}/{inside}/", of.path(), of.version());
        let looked = tokio::task::spawn_blocking(move || holds(zip.file, wanted.as_bytes()));
        looked.await.is_ok_and(|found| found)
    }
}

fn absent(subject: Subject, enclosing: ModulePath) -> Failure {
    let why = Absent::DirectoryOf(enclosing);
    Failure::NoSuchModule { subject, asked_ago: Duration::ZERO, why, said: "".into() }
}

/// The newest versions with a zip, newest first.
fn newest_zips(mut records: Vec<VersionRecord>) -> Vec<VersionRecord> {
    records.retain(|record| record.has(FileKind::Zip));
    records.sort_by(|a, b| b.version.cmp(&a.version));
    records.truncate(ZIPS_MAX);
    records
}

/// Whether some entry's name begins with `wanted`. A zip that cannot be read any more holds nothing.
fn holds(zip: File, wanted: &[u8]) -> bool {
    let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
    let Ok(archive) = rawzip::ZipArchive::from_file(zip, &mut buffer) else { return false };
    let mut entries = archive.entries(&mut buffer);
    while let Ok(Some(entry)) = entries.next_entry() {
        if entry.file_path().as_bytes().starts_with(wanted) {
            return true;
        }
    }
    false
}
