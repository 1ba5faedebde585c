//! From the ledger to the bytes: each row's files exist and are what it says.

use std::io::Read;

use modkeep_module::zip::{self, Limits};
use modkeep_module::{H1, Info, ModuleVersion};

use crate::disk::EntryKind;
use crate::error::Error;
use crate::fsck::{Check, Severity};
use crate::ledger::{VersionRecord, may_differ};
use crate::name::{BlobName, FileKind, Repository, Sha256Sum};
use crate::store::LEDGER;
use crate::verify::sha256_of;

/// How many rows are read at a time.
const ROWS: u32 = 500;

/// How long a small file may be; the largest legal one is a go.mod of 16 MiB.
const SMALL_BYTES_MAX: u64 = 16 << 20;

/// What the files of a version turned out to be; `None` where there was none to read.
#[derive(Debug, Default)]
struct Seen {
    go_mod: Option<H1>,
    zip: Option<SeenZip>,
}

/// What a zip turned out to hold.
#[derive(Debug)]
struct SeenZip {
    go_mod: Option<H1>,
}

impl Check<'_> {
    /// The ledger's own doubts.
    pub(super) fn ledger(&mut self) {
        let doubts = self.inner.ledger.doubts();
        for doubt in self.got("R1", LEDGER, doubts).unwrap_or_default() {
            self.error(doubt.id, LEDGER, doubt.text);
        }
    }

    /// All versions, by number.
    pub(super) fn versions(&mut self) {
        let mut after = 0;
        let mut step = ROWS;
        loop {
            match self.inner.ledger.walk(after, step) {
                Ok(rows) if rows.is_empty() => return,
                Ok(rows) => {
                    for (repository, record) in rows {
                        after = record.id;
                        self.version(&repository, &record);
                    }
                    step = ROWS;
                }
                // One bad row hides its neighbours: go on one by one, and past it. Numbers have no gaps.
                Err(_) if step > 1 => step = 1,
                Err(error) => {
                    after += 1;
                    self.error("R9", LEDGER, format!("version row {after}: {error}"));
                    if after > self.report.checked.versions_total {
                        return;
                    }
                }
            }
        }
    }

    fn version(&mut self, repository: &Repository, record: &VersionRecord) {
        self.report.checked.versions += 1;
        let label = format!("repos/{repository}/{}@{}", record.module, record.version);
        let Some(version) = self.got("R9", &label, record.module_version()) else { return };
        let mut read = Seen::default();
        for kind in FileKind::ALL {
            let name = BlobName::of_version(repository, &version, kind);
            let Some(name) = self.got("R9", &label, name) else { continue };
            if record.bytes(kind).is_some_and(|bytes| bytes.quarantined) {
                self.quarantined_file(&name);
            } else if record.bytes(kind).is_some() {
                self.file(&version, repository, record, &name, kind, &mut read);
            }
        }
        if FileKind::ALL.into_iter().all(|kind| record.bytes(kind).is_none()) {
            self.error("R9", &label, "a version without any file");
        }
        self.go_mod_agrees(&label, record, &read);
    }

    /// A file that the ledger says was put aside (R9: what is missing is explained).
    fn quarantined_file(&mut self, name: &BlobName) {
        self.find(
            "R13",
            Severity::Warning,
            name.as_str(),
            "was damaged and put aside; fetch it again to repair",
        );
        let all = self.inner.ledger.quarantined();
        let explained =
            self.got("R9", LEDGER, all).is_some_and(|all| all.iter().any(|one| one.name == name.as_str()));
        if !explained {
            self.error("R9", name.as_str(), "marked as put aside, but no quarantine is recorded");
        }
    }

    /// Z-46: the `.mod` and the go.mod inside the zip.
    fn go_mod_agrees(&mut self, label: &str, record: &VersionRecord, read: &Seen) {
        if let Some(SeenZip { go_mod: in_zip }) = read.zip {
            if in_zip != record.go_mod_in_zip {
                self.error("R9", label, "the ledger has another sum for the go.mod inside the zip");
            }
            let (Some(go_mod), Some(inside)) = (read.go_mod, in_zip) else { return };
            let bases = record.go_mod.as_ref().zip(record.zip.as_ref());
            let may_differ = bases.is_some_and(|(go_mod, zip)| may_differ(&go_mod.basis, &zip.basis));
            if go_mod != inside && !may_differ {
                self.error(
                    "Z-46",
                    label,
                    format!("the .mod is {go_mod}, the go.mod inside the zip {inside}"),
                );
            }
        }
    }

    fn file(
        &mut self,
        version: &ModuleVersion,
        repository: &Repository,
        record: &VersionRecord,
        name: &BlobName,
        kind: FileKind,
        read: &mut Seen,
    ) {
        let Some(recorded) = record.bytes(kind) else { return };
        if let Err((id, reason)) = self.bytes_are(name, recorded.size, recorded.sha256) {
            // Beside a running server it may have been put aside or repaired this moment.
            let now = self.inner.ledger.version(repository, version).ok().flatten();
            if now.is_some_and(|now| !now.has(kind)) {
                return;
            }
            self.error(id, name.as_str(), reason.clone());
            if self.options.quarantine && self.inner.room().writable().is_ok() {
                let outcome = self.inner.put_aside_alone(repository, version, record.id, kind, &reason);
                self.report.put_aside += u64::from(self.got("R13", name.as_str(), outcome).is_some());
            }
            return;
        }
        match kind {
            FileKind::Info => self.info(version, record, name),
            FileKind::Mod => read.go_mod = self.go_mod(record, name),
            FileKind::Zip => read.zip = self.zip(version, record, name),
        }
    }

    /// Compares a file with what is recorded; says which promise is broken and how.
    fn bytes_are(
        &mut self,
        name: &BlobName,
        size: u64,
        sha256: Sha256Sum,
    ) -> Result<(), (&'static str, String)> {
        let path = name.below(self.inner.room().root());
        match self.inner.room().disk().stat(&path) {
            Ok(found) if found.kind != EntryKind::File => return Err(("D2", "not a plain file".to_owned())),
            Ok(found) if found.size != size => {
                return Err(("R13", format!("{} bytes instead of {size}", found.size)));
            }
            Ok(_) => {}
            Err(error) => return Err(("R9", format!("recorded, but cannot be found: {error}"))),
        }
        let opened = self.inner.room().disk().open(&path).and_then(sha256_of);
        self.count(size);
        match opened {
            Ok(found) if found == sha256 => Ok(()),
            Ok(found) => Err(("R13", format!("its SHA-256 is {found} instead of {sha256}"))),
            Err(error) => Err(("R13", format!("cannot be read: {error}"))),
        }
    }

    fn small(&mut self, name: &BlobName) -> Option<Vec<u8>> {
        let opened = self.inner.blobs.open(name);
        let file = self.got("R13", name.as_str(), opened)??;
        let mut bytes = Vec::new();
        let read = file.take(SMALL_BYTES_MAX).read_to_end(&mut bytes);
        let read = read.map_err(|error| Error::io("read", &name.below(self.inner.room().root()), error));
        self.got("R13", name.as_str(), read).map(|_| bytes)
    }

    fn info(&mut self, version: &ModuleVersion, record: &VersionRecord, name: &BlobName) {
        let Some(bytes) = self.small(name) else { return };
        match Info::parse(&bytes) {
            Err(error) => self.error("G08", name.as_str(), error.to_string()),
            Ok(info) => {
                if info.version() != version.version() {
                    self.error("G08", name.as_str(), format!("names version {}", info.version()));
                }
                if info.time() != record.time {
                    self.error("R9", name.as_str(), "the ledger has another time");
                }
                if info.sanitized(&bytes) != bytes {
                    self.error("G09", name.as_str(), "its origin carries a credential or query");
                }
            }
        }
    }

    fn go_mod(&mut self, record: &VersionRecord, name: &BlobName) -> Option<H1> {
        let found = H1::of_go_mod(&self.small(name)?);
        let recorded = record.go_mod.as_ref().map(|facts| facts.h1);
        if recorded != Some(found) {
            self.error("R4", name.as_str(), format!("its sum is {found}, the ledger has another"));
        }
        Some(found)
    }

    fn zip(&mut self, version: &ModuleVersion, record: &VersionRecord, name: &BlobName) -> Option<SeenZip> {
        let recorded = record.zip.as_ref()?;
        let opened = self.inner.blobs.open(name);
        let file = self.got("R13", name.as_str(), opened)??;
        match zip::check(&file, recorded.size, version, &Limits::default()) {
            Err(error) => {
                self.error("Z-41", name.as_str(), error.to_string());
                None
            }
            Ok(facts) => {
                if facts.h1 != recorded.h1 {
                    let text = format!("its sum is {}, the ledger has {}", facts.h1, recorded.h1);
                    self.error("R4", name.as_str(), text);
                }
                if let (Some(anomaly), false) = (facts.anomalies.first(), recorded.basis.is_certified()) {
                    self.error("D16", name.as_str(), format!("ambiguous and certified by nobody: {anomaly}"));
                }
                Some(SeenZip { go_mod: facts.go_mod.as_deref().map(H1::of_go_mod) })
            }
        }
    }

    /// All files of foreign checksum databases.
    pub(super) fn foreign_files(&mut self) {
        let mut after: Option<(String, String)> = None;
        loop {
            let from = after.as_ref().map(|(database, path)| (database.as_str(), path.as_str()));
            let rows = self.inner.ledger.walk_foreign(from, ROWS);
            let Some(rows) = self.got("R9", LEDGER, rows) else { return };
            let Some(last) = rows.last() else { return };
            after = Some((last.database.clone(), last.path.clone()));
            for row in rows {
                let name = BlobName::of_foreign(&row.database, &row.path);
                let Some(name) = self.got("R9", LEDGER, name) else { continue };
                let Err((id, reason)) = self.bytes_are(&name, row.size, row.sha256) else { continue };
                let still = self.inner.ledger.foreign(&row.database, &row.path);
                if still.is_ok_and(|still| still.is_some()) {
                    self.error(id, name.as_str(), reason);
                }
            }
        }
    }

    /// The bytes kept as evidence.
    pub(super) fn evidence(&mut self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let rows = self.inner.ledger.evidence(after, ROWS);
            let Some(rows) = self.got("R9", LEDGER, rows) else { return Ok(()) };
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            for row in rows {
                let Some((name, sha256)) = row.body else { continue };
                let name = BlobName::parse(&name)?;
                let path = name.below(self.inner.room().root());
                match self.inner.room().disk().open(&path).and_then(sha256_of) {
                    Ok(found) if found == sha256 => {}
                    Ok(found) => {
                        self.error("R13", name.as_str(), format!("evidence: its SHA-256 is {found}"));
                    }
                    Err(error) => {
                        self.error("R9", name.as_str(), format!("evidence cannot be read: {error}"));
                    }
                }
                self.seen.insert(name.to_string());
            }
        }
    }

    /// What was put aside is still there to be looked at.
    pub(super) fn quarantine(&mut self) {
        let rows = self.inner.ledger.quarantined();
        for row in self.got("R9", LEDGER, rows).unwrap_or_default() {
            if row.kept_as.is_empty() {
                continue;
            }
            let path = self.inner.room().root().join(&row.kept_as);
            if self.inner.room().disk().stat(&path).is_err() {
                self.error(
                    "R9",
                    row.kept_as.clone(),
                    format!("{} was put aside here, but is gone", row.name),
                );
            }
            self.seen.insert(row.kept_as);
        }
    }
}
