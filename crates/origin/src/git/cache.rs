//! What is kept of a repository between fetches: commits, trees, and the small files that versions are made of.
//!
//! One file that is only appended to, and its index in memory. Nothing in it is trusted: an object is hashed again
//! when it is read, and the whole file is dropped at the first that is not what its name says. Packs are not kept;
//! the contents of files lie in the zips that were made of them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::git::object::id_of;
use crate::git::tree::{ObjectId, ObjectKind};
use crate::git::wire::ObjectFormat;

/// The first bytes of the file.
const MAGIC: &[u8] = b"modkeep objects 1\n";
/// The largest cache of one repository. When it is full, it begins anew: what is needed comes again.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The largest object that is kept: a go.mod of the largest size there is, and a byte.
pub(crate) const OBJECT_BYTES_MAX: usize = (16 << 20) + 1;

/// The kept objects of one repository.
#[derive(Debug)]
pub(crate) struct Cache {
    kept: Mutex<Kept>,
    /// Of the last object that was too large to be kept, as much as anybody reads.
    beginning: Mutex<Option<(ObjectId, Vec<u8>)>>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// `None`: our disk does not let us keep anything.
    file: Option<File>,
    end: u64,
    /// Where the deflated contents lie.
    index: HashMap<ObjectId, (ObjectKind, u64, u32)>,
}

impl Cache {
    /// The cache in a folder; whatever is wrong with it, it is then empty. Blocking.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut kept = Kept { path: folder.join("objects"), file: None, end: 0, index: HashMap::new() };
        if let Err(error) = kept.load() {
            kept.begin_anew(&error);
        }
        Self { kept: Mutex::new(kept), beginning: Mutex::default() }
    }

    /// An object's kind and contents, when it is here. Blocking, briefly.
    pub(crate) fn get(&self, id: &ObjectId) -> Option<(ObjectKind, Vec<u8>)> {
        let mut kept = self.kept();
        let &(kind, offset, len) = kept.index.get(id)?;
        match kept.read(id, kind, offset, len) {
            Ok(contents) => Some((kind, contents)),
            Err(error) => {
                kept.begin_anew(&error);
                None
            }
        }
    }

    /// Whether an object is here, if it is not damaged.
    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.kept().index.contains_key(id)
    }

    /// Keeps an object under its right id. Blocking, briefly. Failing is no failure: it is fetched again.
    pub(crate) fn put(&self, id: &ObjectId, kind: ObjectKind, contents: &[u8]) {
        let mut kept = self.kept();
        if contents.len() > OBJECT_BYTES_MAX || kept.index.contains_key(id) {
            return;
        }
        if let Err(error) = kept.append(id, kind, contents) {
            kept.begin_anew(&error);
        }
    }

    /// Keeps the first [`OBJECT_BYTES_MAX`] bytes of a larger file, in memory, until the next one comes.
    pub(crate) fn put_beginning(&self, id: &ObjectId, mut contents: Vec<u8>) {
        contents.truncate(OBJECT_BYTES_MAX);
        *self.beginning.lock().unwrap_or_else(PoisonError::into_inner) = Some((*id, contents));
    }

    /// The first [`OBJECT_BYTES_MAX`] bytes of a file that is larger, if it is the last such one.
    pub(crate) fn beginning(&self, id: &ObjectId) -> Option<Vec<u8>> {
        let beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        beginning.as_ref().filter(|(of, _)| of == id).map(|(_, contents)| contents.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn load(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let size = file.metadata()?.len();
        if size == 0 {
            return self.begin(file);
        }
        let mut reader = BufReader::with_capacity(1 << 16, &file);
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic)?;
        if magic != MAGIC || size > FILE_BYTES_MAX {
            return Err(io::Error::other("not a file of ours"));
        }
        self.end = MAGIC.len() as u64;
        while let Some((id, kind, len, head)) = record(&mut reader)? {
            let next = self.end + head + u64::from(len);
            if next > size {
                break; // cut short when a process died
            }
            self.index.insert(id, (kind, self.end + head, len));
            reader.seek_relative(i64::from(len))?;
            self.end = next;
        }
        drop(reader);
        file.set_len(self.end)?;
        self.file = Some(file);
        Ok(())
    }

    fn begin(&mut self, mut file: File) -> io::Result<()> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(MAGIC)?;
        (self.end, self.file) = (MAGIC.len() as u64, Some(file));
        Ok(())
    }

    /// Forgets everything.
    fn begin_anew(&mut self, why: &io::Error) {
        tracing::debug!(path = %self.path.display(), error = %why, "kept objects are dropped");
        self.index.clear();
        self.file = None;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&self.path);
        if let Err(error) = file.and_then(|file| self.begin(file)) {
            tracing::warn!(path = %self.path.display(), %error, "objects cannot be kept");
        }
    }

    fn read(&self, id: &ObjectId, kind: ObjectKind, offset: u64, len: u32) -> io::Result<Vec<u8>> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut deflated = vec![0; len as usize];
        file.read_exact_at(&mut deflated, offset)?;
        let mut contents = Vec::new();
        ZlibDecoder::new(&deflated[..]).take(OBJECT_BYTES_MAX as u64 + 1).read_to_end(&mut contents)?;
        let format = if id.as_bytes().len() == 20 { ObjectFormat::Sha1 } else { ObjectFormat::Sha256 };
        match id_of(format, kind, &contents) {
            Some(found) if found == *id => Ok(contents),
            _ => Err(io::Error::other("an object is not what its name says")),
        }
    }

    fn append(&mut self, id: &ObjectId, kind: ObjectKind, contents: &[u8]) -> io::Result<()> {
        let raw = id.as_bytes();
        let mut record = vec![kind as u8 | if raw.len() == 32 { 0x80 } else { 0 }];
        record.extend_from_slice(raw);
        record.extend_from_slice(&[0; 4]);
        let head = record.len();
        let mut encoder = ZlibEncoder::new(record, Compression::new(6));
        encoder.write_all(contents)?;
        record = encoder.finish()?;
        let len = u32::try_from(record.len() - head).map_err(|_| io::ErrorKind::FileTooLarge)?;
        record[head - 4..head].copy_from_slice(&len.to_le_bytes());
        if self.end + record.len() as u64 > FILE_BYTES_MAX {
            self.begin_anew(&io::Error::other("the cache is full"));
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(&record, self.end)?;
        self.index.insert(*id, (kind, self.end + head as u64, len));
        self.end += record.len() as u64;
        Ok(())
    }
}

/// The head of the next record: id, kind, length of what follows, and the head's own length.
fn record(reader: &mut impl Read) -> io::Result<Option<(ObjectId, ObjectKind, u32, u64)>> {
    let mut byte = [0];
    if reader.read(&mut byte)? == 0 {
        return Ok(None);
    }
    let id_len = if byte[0] & 0x80 == 0 { 20 } else { 32 };
    let kinds = [ObjectKind::Commit, ObjectKind::Tree, ObjectKind::Blob, ObjectKind::Tag];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == byte[0] & 0x7f);
    let mut head = [0; 36];
    let head = &mut head[..id_len + 4];
    match reader.read_exact(head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let (raw, len) = head.split_at(id_len);
    let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
    let damaged = || io::Error::other("a record that is none");
    let id = ObjectId::from_bytes(raw).ok_or_else(damaged)?;
    Ok(Some((id, kind.ok_or_else(damaged)?, len, 1 + id_len as u64 + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(contents: &[u8]) -> ObjectId {
        id_of(ObjectFormat::Sha1, ObjectKind::Blob, contents).unwrap()
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let ids = [&b"one"[..], b"two", b""].map(|contents| {
            Cache::open(folder.path()).put(&blob(contents), ObjectKind::Blob, contents);
            blob(contents)
        });
        let cache = Cache::open(folder.path());
        assert_eq!(ids.map(|id| cache.get(&id).unwrap().1), [b"one".to_vec(), b"two".to_vec(), vec![]]);
        let long = id_of(ObjectFormat::Sha256, ObjectKind::Tree, b"").unwrap();
        cache.put(&long, ObjectKind::Tree, b"");
        assert!(Cache::open(folder.path()).contains(&long));
    }

    #[test]
    fn damage_costs_the_cache_and_never_gives_wrong_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("objects");
        Cache::open(folder.path()).put(&blob(b"one"), ObjectKind::Blob, b"one");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for damaged in [whole[..at].to_vec(), {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                flipped
            }] {
                std::fs::write(&path, &damaged).unwrap();
                let cache = Cache::open(folder.path());
                if let Some((_, contents)) = cache.get(&blob(b"one")) {
                    assert_eq!(contents, b"one", "at {at}");
                }
                cache.put(&blob(b"two"), ObjectKind::Blob, b"two");
                assert_eq!(cache.get(&blob(b"two")).unwrap().1, b"two", "at {at}");
            }
        }
    }
}
