//! Single records, proven as the go command proves them, with a memory of one's own: what checks a go.sum.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use modkeep_tlog::client::{ClientError, Lookup, Outcome, Step};
use modkeep_tlog::{SignedHead, Tile, VerifierKey};

use crate::audit::Error;
use crate::audit::evidence::{Evidence, Found};
use crate::audit::finding::Finding;
use crate::audit::source::{Away, Directory, NOTE_MAX, Source, TILE_MAX, Unsettled, settle};
use crate::audit::state::StateError;

/// Steps of one proof: honest ones need a handful.
const STEPS_MAX: usize = 64;

/// A client of a checksum database. It keeps the newest verified head and what it has authenticated in a folder, in the
/// protocol's layout, as the go command does: `latest`, `lookup/…`, `tile/8/…`.
///
/// May be used by several threads at once.
pub struct Client<'a> {
    source: &'a dyn Source,
    key: &'a VerifierKey,
    folder: PathBuf,
    kept: Directory,
    evidence: Evidence,
    head: Mutex<Option<SignedHead>>,
}

/// Why a record was not proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The database has no such record.
    #[error("not in the database")]
    NotFound,
    /// The question could not be put: the database does not answer, or the memory or the evidence cannot be written.
    #[error(transparent)]
    Trouble(#[from] Error),
    /// Two signed heads contradict each other, or a head is not signed: the finding has the evidence.
    #[error("{0}")]
    Misbehaviour(Finding),
    /// What came does not prove it.
    #[error(transparent)]
    Refused(ClientError),
}

impl<'a> Client<'a> {
    /// A client of the log with this key, its memory in a folder of its own.
    pub fn open(
        source: &'a dyn Source,
        key: &'a VerifierKey,
        folder: &Path,
        evidence: Option<PathBuf>,
    ) -> Result<Self, StateError> {
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let place = folder.join("latest");
        let head = match std::fs::read(&place) {
            Ok(note) => Some(SignedHead::open(&note, key).map_err(StateError::Head)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(failed(&place, source)),
        };
        let options = crate::audit::Options { evidence, ..Default::default() };
        Ok(Self {
            source,
            key,
            folder: folder.to_owned(),
            kept: Directory::new(folder),
            evidence: Evidence::new(&options),
            head: Mutex::new(head),
        })
    }

    /// The newest head that was verified.
    pub fn head(&self) -> Option<SignedHead> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks a module version up and proves the answer. What proved it is kept and not asked for again.
    pub fn prove(&self, module: &str, version: &str) -> Result<Box<Outcome>, ProveError> {
        let mut machine = Lookup::new(self.key.clone(), self.head(), module, version);
        for _ in 0..STEPS_MAX {
            match machine.step() {
                Step::NeedLookup { path, bypass_cache } => {
                    let bytes = self.get(&path, NOTE_MAX, bypass_cache).map_err(Error::Away)?;
                    let bytes = bytes.ok_or(ProveError::NotFound)?;
                    machine.supply_lookup(&bytes);
                }
                Step::NeedTiles { tiles, bypass_cache } => {
                    for tile in tiles {
                        let bytes = self.tile(&tile, bypass_cache).map_err(Error::Away)?;
                        machine.supply_tile(&tile, bytes.as_deref());
                    }
                }
                Step::Done(outcome) => {
                    self.advance(&outcome.head)?;
                    self.keep(module, version, &outcome).map_err(Error::State)?;
                    return Ok(outcome);
                }
                Step::Failed(error) => return Err(self.refused(error)),
            }
        }
        Err(ProveError::Refused(ClientError::Ended))
    }

    /// What is kept, or what the log says.
    fn get(&self, path: &str, bytes_max: u64, fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        if !fresh && let Some(bytes) = self.kept.get(path, bytes_max, false)? {
            return Ok(Some(bytes));
        }
        self.source.get(path, bytes_max, fresh)
    }

    /// The same for a tile, of which a wider one may be kept.
    fn tile(&self, tile: &Tile, fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        if !fresh
            && !tile.is_full()
            && let Some(bytes) = self.kept.get(&tile.full().path(), TILE_MAX, false)?
        {
            return Ok(tile.byte_len().and_then(|length| bytes.get(..length)).map(<[u8]>::to_vec));
        }
        self.get(&tile.path(), TILE_MAX, fresh)
    }

    /// Saves a head that is newer than ours; of one history with it in any case.
    fn advance(&self, head: &SignedHead) -> Result<(), ProveError> {
        let mut ours = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have saved one since this proof began: two heads that each continue an old one may still
        // contradict each other.
        let newest = match settle(self.source, self.key, ours.clone(), head.note()) {
            Ok(newest) => newest,
            Err(Unsettled::Away(away)) => return Err(Error::Away(away).into()),
            Err(Unsettled::Refused(error)) => return Err(self.refused(*error)),
        };
        if ours.as_ref().is_none_or(|ours| ours.size() < newest.size()) {
            self.write("latest", newest.note()).map_err(Error::State)?;
            *ours = Some(newest);
        }
        Ok(())
    }

    fn keep(&self, module: &str, version: &str, outcome: &Outcome) -> Result<(), StateError> {
        for (tile, bytes) in outcome.tiles.iter().filter(|(tile, _)| tile.is_full()) {
            self.write(&tile.path(), bytes)?;
        }
        self.write(&modkeep_tlog::record::lookup_path(module, version), &outcome.lookup)
    }

    /// Writes a file unless it is there with the same bytes; readers see all of it or nothing.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), StateError> {
        let place = self.folder.join(path);
        if std::fs::read(&place).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        replace(&place, bytes).map_err(|source| failed(&place, source))
    }

    fn refused(&self, error: ClientError) -> ProveError {
        match error {
            ClientError::Fork(_) | ClientError::BadHead(_) => {
                let written = self.evidence.write(Found::refusal(error, &[]));
                written.map_or_else(|error| Error::Evidence(error).into(), ProveError::Misbehaviour)
            }
            error => ProveError::Refused(error),
        }
    }
}

fn replace(place: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Threads that write the same file write the same bytes under names of their own.
    let name = format!("{:?}", std::thread::current().id());
    let temporary = folder.join(format!(".{}-{}", std::process::id(), name.replace(['(', ')'], "-")));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    std::fs::rename(&temporary, place)
}

fn failed(place: &Path, source: io::Error) -> StateError {
    StateError::Io { place: place.display().to_string(), source }
}
