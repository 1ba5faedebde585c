//! Where an auditor reads a log: a server, or a folder in the protocol's layout.

use std::io::{self, Read as _};
use std::path::PathBuf;

use modkeep_tlog::client::{ClientError, Head, Step, TileCheck};
use modkeep_tlog::{SignedHead, Tile, VerifierKey};

/// The largest head or lookup that is read.
pub(crate) const NOTE_MAX: u64 = 1024 * 1024;
/// The largest tile: 256 records of the longest text that tlog-tiles can carry.
pub(crate) const TILE_MAX: u64 = 256 * 65_538;
/// Steps of one machine: honest ones need a handful.
const STEPS_MAX: usize = 64;

/// A log as whoever audits it sees it: bytes under the protocol's paths, and nothing to believe.
pub trait Source: Sync {
    /// The bytes under a path such as `latest`, `tile/8/0/000` or `lookup/M@V`; `None` where the log says that there is
    /// no such thing. At most `bytes_max` bytes; what is longer is trouble. `fresh` asks caches not to answer.
    fn get(&self, path: &str, bytes_max: u64, fresh: bool) -> Result<Option<Vec<u8>>, Away>;
}

/// The log did not answer: nothing can be said about it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Away {
    /// What was asked for, without a login.
    pub place: String,
    /// What happened.
    pub reason: String,
}

/// A log in a folder: `latest`, `tile/8/…`, perhaps `lookup/…`, as [`log export`](crate) writes it.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The folder that holds `latest`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for Directory {
    fn get(&self, path: &str, bytes_max: u64, _fresh: bool) -> Result<Option<Vec<u8>>, Away> {
        let place = self.root.join(path);
        let away = |reason: String| Away { place: place.display().to_string(), reason };
        let file = match std::fs::File::open(&place) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(away(error.to_string())),
        };
        // Room for all of it and a byte more, with which reading ends at once. A folder says nothing of use.
        let length = file.metadata().map_or(0, |found| found.len()).min(bytes_max);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
        match file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(length) if length as u64 <= bytes_max => Ok(Some(bytes)),
            Ok(_) => Err(away(format!("longer than {bytes_max} bytes"))),
            // A folder where a file should be: `000.p` beside `000`, or a mistake of whoever copied.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(None),
            Err(error) => Err(away(error.to_string())),
        }
    }
}

/// A tile at the width asked for. Where a partial tile is not there any more, the front of the full one (A4).
pub(crate) fn tile(source: &dyn Source, tile: &Tile, fresh: bool) -> Result<Option<(Tile, Vec<u8>)>, Away> {
    if let Some(bytes) = source.get(&tile.path(), TILE_MAX, fresh)? {
        return Ok(Some((*tile, bytes)));
    }
    if tile.is_full() {
        return Ok(None);
    }
    Ok(source.get(&tile.full().path(), TILE_MAX, fresh)?.map(|bytes| (tile.full(), bytes)))
}

/// Why a head was not settled.
pub(crate) enum Unsettled {
    Away(Away),
    Refused(Box<ClientError>),
}

/// Whether a head is signed and of one history with the known one: the newer of the two, or why not.
pub(crate) fn settle(
    source: &dyn Source,
    key: &VerifierKey,
    known: Option<SignedHead>,
    note: &[u8],
) -> Result<SignedHead, Unsettled> {
    let machine = Head::new(key.clone(), known, note);
    Ok(drive(source, machine, Head::step, Head::supply_tile)?.head)
}

/// A tile that the head proves, exactly as wide as asked for.
pub(crate) fn proven_tile(
    source: &dyn Source,
    head: &SignedHead,
    wanted: Tile,
) -> Result<Vec<u8>, Unsettled> {
    let machine = TileCheck::new(head.clone(), wanted);
    Ok(drive(source, machine, TileCheck::step, TileCheck::supply_tile)?.bytes)
}

/// Brings a machine the tiles that it wants until it has ended.
fn drive<M, T>(
    source: &dyn Source,
    mut machine: M,
    step: fn(&mut M) -> Step<T>,
    supply: fn(&mut M, &Tile, Option<&[u8]>),
) -> Result<T, Unsettled> {
    for _ in 0..STEPS_MAX {
        match step(&mut machine) {
            Step::NeedTiles { tiles, bypass_cache } => {
                for tile in tiles {
                    let bytes = source.get(&tile.path(), TILE_MAX, bypass_cache).map_err(Unsettled::Away)?;
                    supply(&mut machine, &tile, bytes.as_deref());
                }
            }
            Step::Done(outcome) => return Ok(outcome),
            Step::Failed(error) => return Err(Unsettled::Refused(Box::new(error))),
            Step::NeedLookup { .. } => break,
        }
    }
    Err(Unsettled::Refused(Box::new(ClientError::Ended)))
}
