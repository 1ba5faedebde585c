//! The end record and the central directory: what a zip says it holds.
//!
//! The place of the directory is worked out twice, by rawzip and here from the raw end record. Readers are known
//! to differ on broken end records (which offset to believe, whether a ZIP64 record counts); where the two views
//! differ, the zip is refused.

use rawzip::extra_fields::{ExtraFieldId, ExtraFields};
use rawzip::{
    CompressionMethod, EntryFlags, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ReaderAt, ZipArchive,
    ZipArchiveEntryWayfinder, ZipEntry, ZipFileHeaderRecord, ZipLocator,
};

use super::anomaly::{Anomalies, AnomalyKind};
use super::error::{Part, StructureFault, ZipError};
use super::source::Source;
use super::{Limits, ReadAt};

/// How far from the end the end record is looked for: the longest comment and some junk, as the go command does.
const END_SEARCH_BYTES: u64 = 65 << 10;

const END_BYTES: usize = 22;
const ZIP64_LOCATOR_BYTES: usize = 20;
const ZIP64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const ZIP64_END_BYTES: usize = 56;
const ZIP64_END_SIGNATURE: u32 = 0x0606_4b50;
/// The fixed part of a record of the central directory.
const RECORD_BYTES: u64 = 46;

/// One record of the central directory: what the zip promises about an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    name_start: u32,
    name_len: u16,
    pub(super) method: CompressionMethod,
    pub(super) flags: EntryFlags,
    pub(super) crc: u32,
    /// Where its local header begins.
    pub(super) offset: u64,
    pub(super) compressed: u64,
    pub(super) uncompressed: u64,
    wayfinder: ZipArchiveEntryWayfinder,
}

/// The whole central directory.
pub(super) struct Directory<'s, R: ReadAt + ?Sized> {
    archive: ZipArchive<&'s Source<'s, R>>,
    names: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    /// Where the directory begins: behind the last entry.
    pub(super) start: u64,
}

impl<'s, R: ReadAt + ?Sized> Directory<'s, R> {
    /// Finds and reads the directory.
    pub(super) fn read(
        source: &'s Source<'s, R>,
        limits: &Limits,
        anomalies: &mut Anomalies,
    ) -> Result<Self, ZipError> {
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let archive = ZipLocator::new()
            .max_search_space(END_SEARCH_BYTES)
            .locate_in_reader(source, &mut buffer, source.size())
            .map_err(|(_, error)| structure(error, StructureFault::NoEnd))?;
        let end = End::read(source, archive.eocd_offset())?;
        end.agree_with(&archive, source.size(), anomalies)?;
        if end.size > limits.directory_bytes_max {
            let (part, limit) = (Part::Directory, limits.directory_bytes_max);
            return Err(ZipError::TooLarge { part, bytes: end.size, limit });
        }
        let start = archive.directory_offset();
        let mut directory = Self { archive, names: Vec::new(), entries: Vec::new(), start };
        directory.read_records(&mut buffer, &end, anomalies)?;
        Ok(directory)
    }

    /// The name of an entry, as the directory spells it.
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        let start = entry.name_start as usize;
        &self.names[start..start + usize::from(entry.name_len)]
    }

    /// The entry's local header and data, wherever the directory says they are.
    pub(super) fn locate(&self, entry: &Entry) -> Result<ZipEntry<'_, &'s Source<'s, R>>, rawzip::Error> {
        self.archive.get_entry(entry.wayfinder)
    }

    fn read_records(
        &mut self,
        buffer: &mut [u8],
        end: &End,
        anomalies: &mut Anomalies,
    ) -> Result<(), ZipError> {
        if end.size == 0 {
            return end.check_count(0, anomalies); // rawzip would read a ZIP64 end record at offset 0 as an entry
        }
        let archive = self.archive.clone();
        let mut records = archive.entries(buffer);
        let mut bytes = 0;
        while let Some(record) =
            records.next_entry().map_err(|error| structure(error, StructureFault::Directory))?
        {
            bytes += record_bytes(&record);
            judge_record(&record, anomalies);
            let name = record.file_path();
            let name = name.as_bytes();
            self.entries.push(Entry {
                // The directory has at most `directory_bytes_max` bytes, and a name 65,535.
                name_start: u32::try_from(self.names.len()).map_err(|_| StructureFault::Directory)?,
                name_len: u16::try_from(name.len()).map_err(|_| StructureFault::Directory)?,
                method: record.compression_method(),
                flags: record.flags(),
                crc: record.crc32(),
                offset: record.local_header_offset(),
                compressed: record.compressed_size_hint(),
                uncompressed: record.uncompressed_size_hint(),
                wayfinder: record.wayfinder(),
            });
            self.names.extend_from_slice(name);
        }
        if bytes != end.size {
            return Err(StructureFault::EndRecord.into());
        }
        end.check_count(self.entries.len() as u64, anomalies)
    }
}

/// The fields of the end record that say where the directory is, ZIP64 included.
struct End {
    /// Where the directory must end: at the ZIP64 end record if there is one, else at the end record.
    at: u64,
    /// Entries declared.
    entries: u64,
    /// Bytes of the directory.
    size: u64,
    /// Its declared offset.
    offset: u64,
    /// Whether any disk number says that this is a volume of several.
    split: bool,
}

impl End {
    fn read<R: ReadAt + ?Sized>(source: &Source<'_, R>, at: u64) -> Result<Self, ZipError> {
        let mut record = [0; END_BYTES];
        (&source).read_exact_at(&mut record, at)?;
        let (here, entries) = (u16_at(&record, 8), u16_at(&record, 10));
        let classic = Self {
            at,
            entries: entries.into(),
            size: u32_at(&record, 12).into(),
            offset: u32_at(&record, 16).into(),
            split: u32_at(&record, 4) != 0 || here != entries,
        };
        match Self::read_zip64(source, at)? {
            None => Ok(classic),
            Some(zip64) if classic.agrees_with(&zip64) => Ok(zip64),
            Some(_) => Err(StructureFault::EndRecord.into()),
        }
    }

    /// Whether every field that is not "see ZIP64" has the value that stands there.
    fn agrees_with(&self, zip64: &Self) -> bool {
        let fits = |field: u64, unset: u64, value: u64| field == unset || field == value;
        fits(self.entries, u16::MAX.into(), zip64.entries)
            && fits(self.size, u32::MAX.into(), zip64.size)
            && fits(self.offset, u32::MAX.into(), zip64.offset)
    }

    /// The ZIP64 end record, when a locator stands right before the end record at `end`.
    fn read_zip64<R: ReadAt + ?Sized>(source: &Source<'_, R>, end: u64) -> Result<Option<Self>, ZipError> {
        let Some(at) = end.checked_sub(ZIP64_LOCATOR_BYTES as u64) else { return Ok(None) };
        let mut locator = [0; ZIP64_LOCATOR_BYTES];
        (&source).read_exact_at(&mut locator, at)?;
        if u32_at(&locator, 0) != ZIP64_LOCATOR_SIGNATURE {
            return Ok(None);
        }
        let record_at = u64_at(&locator, 8);
        // Nothing may lie between the record and its locator.
        if record_at.checked_add(ZIP64_END_BYTES as u64) != Some(at) {
            return Err(StructureFault::EndRecord.into());
        }
        let mut record = [0; ZIP64_END_BYTES];
        (&source).read_exact_at(&mut record, record_at)?;
        if u32_at(&record, 0) != ZIP64_END_SIGNATURE {
            return Err(StructureFault::EndRecord.into());
        }
        let (here, entries) = (u64_at(&record, 24), u64_at(&record, 32));
        let one_disk = u32_at(&locator, 4) == 0 && u32_at(&locator, 16) == 1 && u64_at(&record, 16) == 0;
        Ok(Some(Self {
            at: record_at,
            entries,
            size: u64_at(&record, 40),
            offset: u64_at(&record, 48),
            split: !one_disk || here != entries,
        }))
    }

    /// Holds rawzip's view of the directory against this one.
    fn agree_with<T>(
        &self,
        archive: &ZipArchive<T>,
        size: u64,
        anomalies: &mut Anomalies,
    ) -> Result<(), ZipError> {
        let start = archive.directory_offset();
        // A directory that does not end at the end record is read at different places by different readers.
        if start.checked_add(self.size) != Some(self.at) || archive.entries_hint() != self.entries {
            return Err(StructureFault::EndRecord.into());
        }
        if archive.end_offset() != size {
            anomalies.see(AnomalyKind::TrailingBytes);
        }
        if self.split {
            anomalies.see(AnomalyKind::SplitVolume);
        }
        Ok(())
    }

    /// The go command compares 16 bits of the count (F27); other readers all of them.
    fn check_count(&self, found: u64, anomalies: &mut Anomalies) -> Result<(), ZipError> {
        let declared = self.entries;
        if found == declared {
            return Ok(());
        }
        if found % (1 << 16) != declared % (1 << 16) {
            return Err(StructureFault::EntryCount { found, declared }.into());
        }
        anomalies.see(AnomalyKind::EntryCount);
        Ok(())
    }
}

fn record_bytes(record: &ZipFileHeaderRecord<'_>) -> u64 {
    let parts = record.file_path().as_bytes().len()
        + record.extra_fields().remaining_bytes().len()
        + record.comment().as_bytes().len();
    RECORD_BYTES + parts as u64
}

/// What is odd about a record on its face.
fn judge_record(record: &ZipFileHeaderRecord<'_>, anomalies: &mut Anomalies) {
    let name = record.file_path();
    let name = name.as_bytes();
    let flags = record.flags();
    if flags.is_encrypted() || flags.has_strong_encryption() || flags.is_masked() {
        anomalies.see_at(AnomalyKind::Encrypted, name);
    }
    if !name.is_ascii() && !flags.is_utf8() {
        anomalies.see_at(AnomalyKind::NameEncoding, name);
    }
    if is_special(record.external_attributes(), name.ends_with(b"/")) {
        anomalies.see_at(AnomalyKind::SpecialMode, name);
    }
    let sizes =
        [record.uncompressed_size_hint(), record.compressed_size_hint(), record.local_header_offset()];
    if is_odd(record.extra_fields(), &sizes) {
        anomalies.see_at(AnomalyKind::ExtraField, name);
    }
}

/// Whether the attributes are those of something else than a plain file, or a plain directory. Judged whatever
/// system made the entry, because not every reader asks.
fn is_special(attributes: u32, is_dir: bool) -> bool {
    const DOS_DIRECTORY: u32 = 0x10;
    const UNIX_TYPE: u32 = 0o170_000;
    const UNIX_DIRECTORY: u32 = 0o040_000;
    const UNIX_FILE: u32 = 0o100_000;
    let kind = (attributes >> 16) & UNIX_TYPE;
    if is_dir {
        return kind != 0 && kind != UNIX_DIRECTORY;
    }
    (kind != 0 && kind != UNIX_FILE) || attributes & DOS_DIRECTORY != 0
}

/// Whether extra fields change what a reader sees: a second name, encryption, a broken tail, or ZIP64 words that
/// are not among `sizes` in their order.
pub(super) fn is_odd(mut fields: ExtraFields<'_>, sizes: &[u64]) -> bool {
    let mut zip64_seen = false;
    for (id, value) in fields.by_ref() {
        match id {
            ExtraFieldId::INFO_ZIP_UNICODE_PATH
            | ExtraFieldId::AES
            | ExtraFieldId::STRONG_ENCRYPTION_HEADER => return true,
            ExtraFieldId::ZIP64 => {
                if zip64_seen || !zip64_agrees(value, sizes) {
                    return true;
                }
                zip64_seen = true;
            }
            _ => {}
        }
    }
    !fields.remaining_bytes().is_empty()
}

fn zip64_agrees(value: &[u8], sizes: &[u64]) -> bool {
    let mut sizes = sizes.iter();
    value.chunks_exact(8).all(|word| sizes.any(|&size| size == u64_at(word, 0)))
}

fn structure(error: rawzip::Error, fault: StructureFault) -> ZipError {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => error.into(),
        rawzip::ErrorKind::InvalidEndOfCentralDirectory => StructureFault::EndRecord.into(),
        _ => fault.into(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
}
