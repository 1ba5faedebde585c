//! Files that prove a finding to somebody who was not there.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use modkeep_tlog::client::ClientError;

use crate::audit::Options;
use crate::audit::finding::{Finding, Kind};

/// Files of one name before giving up: as many findings of one kind in one second.
const SAME_NAME_MAX: u32 = 10_000;

/// Where evidence goes, if anywhere.
#[derive(Debug)]
pub(crate) struct Evidence {
    folder: Option<PathBuf>,
    time: String,
}

/// Evidence could not be written.
#[derive(Debug, thiserror::Error)]
#[error("evidence in {place}: {source}")]
pub struct EvidenceError {
    /// The folder.
    pub place: String,
    /// What the system said.
    pub source: io::Error,
}

/// A finding with what proves it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    proof: Option<(&'static str, Vec<u8>)>,
}

impl Found {
    pub(crate) fn bare(finding: Finding) -> Self {
        Self { finding, proof: None }
    }

    pub(crate) fn with(finding: Finding, name: &'static str, bytes: &[u8]) -> Self {
        Self { finding, proof: Some((name, bytes.to_vec())) }
    }

    /// Why the log's own client refused a head: what kind of finding that is.
    pub(crate) fn refusal(error: ClientError, note: &[u8]) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Fork(fork) => {
                let sizes = format!(
                    "the heads of size {} and {} contradict each other",
                    fork.known.size(),
                    fork.new.size()
                );
                Self::with(Finding::of(Kind::Fork, sizes), "fork", fork.report().as_bytes())
            }
            ClientError::MissingTile(_) => Self::bare(Finding::of(Kind::MissingTile, text)),
            ClientError::InconsistentTile(_) => Self::bare(Finding::of(Kind::BadTile, text)),
            ClientError::BadHead(modkeep_tlog::head::HeadError::Malformed) => {
                Self::with(Finding::of(Kind::BadHead, text), "head", note)
            }
            _ => Self::with(Finding::of(Kind::BadSignature, text), "head", note),
        }
    }
}

impl Evidence {
    pub(crate) fn new(options: &Options) -> Self {
        let time = jiff::Timestamp::try_from(options.now)
            .map(|stamp| stamp.strftime("%Y%m%dT%H%M%SZ").to_string())
            .unwrap_or_default();
        Self { folder: options.evidence.clone(), time }
    }

    /// Writes what proves a finding, in a file `NAME-TIME.txt` that was not there, and notes the file's name.
    pub(crate) fn write(&self, found: Found) -> Result<Finding, EvidenceError> {
        let Found { mut finding, proof } = found;
        if let (Some(folder), Some((name, bytes))) = (&self.folder, proof) {
            let what = match finding.record {
                Some(id) => format!("{name}-{id}-{}", self.time),
                None => format!("{name}-{}", self.time),
            };
            let file = new_file(folder, &what, &finding, &bytes);
            let file =
                file.map_err(|source| EvidenceError { place: folder.display().to_string(), source })?;
            finding.evidence = Some(file.display().to_string());
        }
        Ok(finding)
    }
}

fn new_file(folder: &Path, what: &str, finding: &Finding, bytes: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for number in 1..=SAME_NAME_MAX {
        let name = if number == 1 { format!("{what}.txt") } else { format!("{what}-{number}.txt") };
        let place = folder.join(name);
        let mut file = match std::fs::File::create_new(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        // A fork's report tells its own story; the others are the bytes that were served, under a line that says why.
        if finding.kind != Kind::Fork {
            writeln!(file, "{finding}\n")?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        return Ok(place);
    }
    Err(io::Error::other("too many files of one name"))
}
