//! A tree in the zip that a program's archive command wrote.
//!
//! The zip comes from a program in its jail, out of a stranger's repository: its sizes are promises until the bytes
//! are there, and no entry gives more than it promised.

use std::fs::File;
use std::os::unix::fs::FileExt;

use flate2::{Decompress, FlushDecompress, Status};
use modkeep_module::zip::rules::Kind;
use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use crate::error::Error;
use crate::repository::{Entry, Tree};

/// Files of one tree.
const ENTRIES_MAX: usize = 1_000_000;

/// The part below one directory of a zip.
pub(super) struct ZipTree {
    host: String,
    file: File,
    archive: ZipArchive<FileReader>,
    entries: Vec<Entry>,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    method: CompressionMethod,
    wayfinder: ZipArchiveEntryWayfinder,
}

impl ZipTree {
    /// Reads the directory of a zip. Only entries below `prefix` count, which ends with a slash; their paths are told
    /// without it. Blocking.
    pub(super) fn open(file: File, prefix: &str, host: &str) -> Result<Self, Error> {
        let odd = |error: rawzip::Error| Error::Malformed {
            host: host.to_owned(),
            what: format!("archive: {error}"),
        };
        let reading = file.try_clone().map_err(|error| odd(error.into()))?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive = ZipArchive::from_file(reading, &mut buffer).map_err(odd)?;
        let mut found = Vec::new();
        let mut records = archive.entries(&mut buffer);
        while let Some(record) = records.next_entry().map_err(odd)? {
            let name = record.file_path();
            let Some(path) = name.as_bytes().strip_prefix(prefix.as_bytes()).filter(|path| !path.is_empty())
            else {
                continue;
            };
            let bytes = record.uncompressed_size_hint();
            let kind = match record.mode() {
                _ if path.ends_with(b"/") => Kind::Directory,
                mode if mode.is_symlink() => Kind::Symlink,
                _ => Kind::Regular { bytes },
            };
            let place = Place { method: record.compression_method(), wayfinder: record.wayfinder() };
            let path = path.strip_suffix(b"/").unwrap_or(path).to_vec();
            found.push((Entry { path, kind }, place));
            if found.len() > ENTRIES_MAX {
                return Err(Error::Malformed {
                    host: host.to_owned(),
                    what: "more than 1,000,000 files".into(),
                });
            }
        }
        found.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let (entries, places): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        Ok(Self { host: host.to_owned(), file, archive, entries, places })
    }

    fn contents(&self, place: Place, bytes: u64) -> Result<Vec<u8>, String> {
        let entry = self.archive.get_entry(place.wayfinder).map_err(|error| error.to_string())?;
        let (start, end) = entry.compressed_data_range();
        let size = usize::try_from(bytes).map_err(|_| "an entry larger than memory")?;
        let packed_size =
            usize::try_from(end.saturating_sub(start)).map_err(|_| "an entry larger than memory")?;
        let mut packed = vec![0; packed_size];
        self.file.read_exact_at(&mut packed, start).map_err(|error| error.kind().to_string())?;
        let contents = match place.method {
            CompressionMethod::STORE => packed,
            CompressionMethod::DEFLATE => inflate(&packed, size)?,
            other => return Err(format!("{other:?}")),
        };
        if contents.len() == size { Ok(contents) } else { Err("an entry is not as long as it says".into()) }
    }
}

/// At most `size` bytes.
fn inflate(packed: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
    let mut contents = Vec::with_capacity(size);
    let mut stream = Decompress::new(false);
    match stream.decompress_vec(packed, &mut contents, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) => Ok(contents),
        _ => Err("an entry does not inflate to what it says"),
    }
}

impl Tree for ZipTree {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
        let (Some(Entry { kind: Kind::Regular { bytes }, .. }), Some(&place)) =
            (self.entries.get(entry), self.places.get(entry))
        else {
            return Ok(Vec::new());
        };
        let malformed = |what| Error::Malformed { host: self.host.clone(), what };
        self.contents(place, *bytes).map_err(|what| malformed(format!("archive: {what}")))
    }
}
