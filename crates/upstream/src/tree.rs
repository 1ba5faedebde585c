//! Reading a `file://` tree (P-150), and writing zips down.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use modkeep_store::Scratch;

use crate::answer::not_a_zip;
use crate::error::Error;

/// Bytes copied at a time.
const PIECE: usize = 256 * 1024;

/// The bytes of one small file.
///
/// Cancel safe: a read that nobody waits for ends by itself.
pub(crate) async fn read(name: &str, folder: &Path, path: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let (name, file) = (name.to_owned(), place(folder, path));
    on_a_thread(move || {
        let (mut file, len) = open(&name, file, bytes_max)?;
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        let read = (&mut file).take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| trouble(&name, &error))?;
        if bytes.len() as u64 > bytes_max { Err(too_large(name, bytes_max, len)) } else { Ok(bytes) }
    })
    .await
}

/// Copies a zip into a scratch file.
///
/// Not cancel safe: the scratch file is gone with the future.
pub(crate) async fn pour(
    name: &str,
    folder: &Path,
    path: &str,
    bytes_max: u64,
    mut scratch: Scratch,
) -> Result<Scratch, Error> {
    let (name, file) = (name.to_owned(), place(folder, path));
    on_a_thread(move || {
        let (mut file, len) = open(&name, file, bytes_max)?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).map_err(|error| trouble(&name, &error))?;
            let bytes = piece.get(..read).unwrap_or_default();
            if scratch.is_empty()
                && let Some(what) = not_a_zip(bytes)
            {
                return Err(Error::Malformed { source_name: name, what: what.to_owned() });
            }
            if read == 0 {
                return Ok(scratch);
            }
            if scratch.len() + read as u64 > bytes_max {
                return Err(too_large(name, bytes_max, len));
            }
            scratch.write(bytes).map_err(Error::Store)?;
        }
    })
    .await
}

/// Appends a piece to a scratch file and hands both back, the piece emptied.
pub(crate) async fn write(mut scratch: Scratch, mut piece: Vec<u8>) -> Result<(Scratch, Vec<u8>), Error> {
    on_a_thread(move || {
        scratch.write(&piece).map_err(Error::Store)?;
        piece.clear();
        Ok((scratch, piece))
    })
    .await
}

/// The path's elements come from parsed names; a stray `..` would still be taken for a missing file.
fn place(folder: &Path, path: &str) -> Option<PathBuf> {
    let plain =
        path.split('/').all(|element| !matches!(element, "" | "." | "..") && !element.contains(['\\', '\0']));
    plain.then(|| folder.join(path))
}

fn open(name: &str, path: Option<PathBuf>, bytes_max: u64) -> Result<(File, u64), Error> {
    let missing = || Error::NotFound { source_name: name.to_owned(), text: String::new() };
    let path = path.ok_or_else(missing)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => missing(),
        io::ErrorKind::PermissionDenied => Error::Forbidden {
            source_name: name.to_owned(),
            status: 403,
            text: "permission denied".to_owned(),
        },
        _ => trouble(name, &error),
    };
    let file = File::open(&path).map_err(failed)?;
    let facts = file.metadata().map_err(|error| trouble(name, &error))?;
    if !facts.is_file() {
        return Err(missing());
    }
    if facts.len() > bytes_max {
        return Err(too_large(name.to_owned(), bytes_max, facts.len()));
    }
    Ok((file, facts.len()))
}

fn too_large(source_name: String, limit: u64, len: u64) -> Error {
    Error::TooLarge { source_name, limit, declared: Some(len) }
}

fn trouble(name: &str, error: &io::Error) -> Error {
    Error::Trouble { source_name: name.to_owned(), reason: error.to_string(), status: None }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Only a runtime that is shutting down takes a thread's work away.
        Err(error) => Err(Error::Trouble {
            source_name: "this process".to_owned(),
            reason: error.to_string(),
            status: None,
        }),
    }
}
