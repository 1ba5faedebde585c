//! Reading a foreign zip: what it holds, and where readers could disagree about it.
//!
//! The story in order: find the directory; judge every name and declared size by it; then walk the file from its
//! first byte to the directory, entry after entry, comparing each local header with the directory's record and
//! inflating the contents into their hash. The walk accounts for every byte, so a gap or an overlap cannot hide.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use rawzip::{CompressionMethod, ReaderAt, ZipLocalFileHeader};

use super::anomaly::{Anomalies, Anomaly, AnomalyKind};
use super::collide::{Placed, collisions};
use super::directory::{Directory, Entry, is_odd, u32_at, u64_at};
use super::error::{EntryFault, Part, ZipError};
use super::inflate::{Inflater, Packed, Stop};
use super::names::{Place, place};
use super::source::Source;
use super::{Limits, ReadAt};
use crate::h1::{H1, Hasher};
use crate::version::ModuleVersion;

/// A local header: fixed part, name, extra fields.
const LOCAL_HEADER_BYTES_MAX: usize = 30 + 2 * 65_535;

/// A data descriptor at its longest: signature, CRC, two 64-bit sizes.
const DESCRIPTOR_BYTES_MAX: usize = 24;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// What a zip holds, as far as anybody needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZipFacts {
    /// The sum of all entries (section 7), equal to the go command's.
    pub h1: H1,
    /// The contents of `go.mod` at the root, when there is one; at most 16 MiB.
    pub go_mod: Option<Vec<u8>>,
    /// How many files it holds; directory entries are not counted.
    pub files: u64,
    /// The sum of the files' sizes, in bytes.
    pub uncompressed: u64,
    /// Every kind of anomaly found; empty for a zip that a plain writer made. A zip with any is accepted only when
    /// its `h1` is already certified (hostile-inputs.md part F, D16).
    pub anomalies: Vec<Anomaly>,
}

/// Reads the first `size` bytes of `zip` as the module zip of `of` (module-zip.md section 8).
///
/// One pass over the file, then done: contents are hashed as they are inflated and never held, except go.mod. Memory is
/// bounded by the central directory (names and about 80 bytes per entry). Everything that can be refused from
/// names and declared sizes is refused before anything is inflated.
///
/// # Errors
///
/// [`ZipError::Read`] when reading fails; every other error is a verdict about the zip, which the go command
/// would refuse as well (but for a directory above its limit and for end records that readers place
/// differently).
pub fn check<R: ReadAt + ?Sized>(
    zip: &R,
    size: u64,
    of: &ModuleVersion,
    limits: &Limits,
) -> Result<ZipFacts, ZipError> {
    at_most(Part::Zip, size, limits.zip_bytes_max)?;
    let source = Source::new(zip, size);
    let mut anomalies = Anomalies::default();
    let directory = Directory::read(&source, limits, &mut anomalies)?;
    let promised = judge(&directory, &format!("{of}/"), limits)?;
    let contents = Walk::new(&source, &directory, &promised, &mut anomalies).finish()?;
    Ok(ZipFacts {
        h1: sum(&directory, &contents.sums),
        go_mod: contents.go_mod,
        files: promised.files,
        uncompressed: promised.uncompressed,
        anomalies: anomalies.into_vec(),
    })
}

/// What names and declared sizes promise.
#[derive(Default)]
struct Promised {
    files: u64,
    uncompressed: u64,
    /// The entry that is `go.mod` at the root.
    go_mod: Option<usize>,
}

/// Judges the directory by itself: names, methods, sizes, then collisions (Z-41, Z-42).
fn judge<R: ReadAt + ?Sized>(
    directory: &Directory<'_, R>,
    prefix: &str,
    limits: &Limits,
) -> Result<Promised, ZipError> {
    let mut promised = Promised::default();
    let mut placed = Vec::with_capacity(directory.entries.len());
    for (index, entry) in directory.entries.iter().enumerate() {
        let name = directory.name(entry);
        let fault = |fault| ZipError::entry(name, fault);
        match place(name, prefix).map_err(fault)? {
            Place::Root => directory_holds_nothing(entry).map_err(fault)?,
            Place::Directory(path) => {
                directory_holds_nothing(entry).map_err(fault)?;
                placed.push((index, Placed { path, is_dir: true }));
            }
            Place::File(path) => {
                check_method(entry).map_err(fault)?;
                promised.count(index, path, entry.uncompressed, limits)?;
                placed.push((index, Placed { path, is_dir: false }));
            }
        }
    }
    at_most(Part::Contents, promised.uncompressed, limits.uncompressed_bytes_max)?;
    match collisions(placed.iter().map(|(_, name)| *name)).into_iter().min_by_key(|(index, _)| *index) {
        None => Ok(promised),
        Some((index, clash)) => {
            let entry = &directory.entries[placed[index].0];
            Err(ZipError::entry(directory.name(entry), EntryFault::Collision(clash)))
        }
    }
}

impl Promised {
    fn count(&mut self, index: usize, path: &str, size: u64, limits: &Limits) -> Result<(), ZipError> {
        self.files += 1;
        self.uncompressed = self.uncompressed.saturating_add(size);
        match path {
            "go.mod" => {
                self.go_mod = Some(index);
                at_most(Part::GoMod, size, limits.go_mod_bytes_max)
            }
            "LICENSE" => at_most(Part::License, size, limits.license_bytes_max),
            _ => Ok(()),
        }
    }
}

fn at_most(part: Part, bytes: u64, limit: u64) -> Result<(), ZipError> {
    if bytes <= limit { Ok(()) } else { Err(ZipError::TooLarge { part, bytes, limit }) }
}

/// A directory entry may have compressed bytes (some writers deflate nothing into two), but no contents.
fn directory_holds_nothing(entry: &Entry) -> Result<(), EntryFault> {
    if entry.uncompressed == 0 { Ok(()) } else { Err(EntryFault::DirectoryWithContents) }
}

fn check_method(entry: &Entry) -> Result<(), EntryFault> {
    match entry.method {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => Ok(()),
        other => Err(EntryFault::Method(other.as_u16())),
    }
}

/// What the walk found.
struct Contents {
    /// The SHA-256 of each entry, in directory order.
    sums: Vec<[u8; 32]>,
    go_mod: Option<Vec<u8>>,
}

/// The walk over the file, from its first byte to the directory.
struct Walk<'w, R: ReadAt + ?Sized> {
    source: &'w Source<'w, R>,
    directory: &'w Directory<'w, R>,
    promised: &'w Promised,
    anomalies: &'w mut Anomalies,
    inflater: Inflater,
    contents: Contents,
    header: Box<[u8]>,
    /// Every byte before this offset belongs to an entry seen already.
    at: u64,
}

impl<'w, R: ReadAt + ?Sized> Walk<'w, R> {
    fn new(
        source: &'w Source<'w, R>,
        directory: &'w Directory<'w, R>,
        promised: &'w Promised,
        anomalies: &'w mut Anomalies,
    ) -> Self {
        let sums = vec![[0; 32]; directory.entries.len()];
        Self {
            source,
            directory,
            promised,
            anomalies,
            inflater: Inflater::new(),
            contents: Contents { sums, go_mod: None },
            header: vec![0; LOCAL_HEADER_BYTES_MAX].into(),
            at: 0,
        }
    }

    /// Reads every entry, in the order of the file.
    fn finish(mut self) -> Result<Contents, ZipError> {
        let mut order: Vec<usize> = (0..self.directory.entries.len()).collect();
        order.sort_by_key(|&index| self.directory.entries[index].offset);
        for index in order {
            let entry = &self.directory.entries[index];
            let name = self.directory.name(entry);
            self.account_for(entry.offset, name);
            let end = self.entry(index, entry, name)?;
            self.at = self.at.max(end);
        }
        self.account_for(self.directory.start, b"");
        Ok(self.contents)
    }

    /// The next entry, or the directory, begins here.
    fn account_for(&mut self, offset: u64, name: &[u8]) {
        match offset.cmp(&self.at) {
            Ordering::Less => self.anomalies.see_at(AnomalyKind::Overlap, name),
            Ordering::Greater if self.at == 0 => self.anomalies.see(AnomalyKind::PrefixBytes),
            Ordering::Greater => self.anomalies.see_at(AnomalyKind::Gap, name),
            Ordering::Equal => {}
        }
    }

    /// Reads one entry; returns the offset behind its last byte.
    fn entry(&mut self, index: usize, entry: &Entry, name: &[u8]) -> Result<u64, ZipError> {
        let fault = |fault| ZipError::entry(name, fault);
        let start = self.local_header(entry, name)?;
        // A compressed size past the end of the file is an overlap; a deflate stream may still end before that. The
        // start is in the file: the header before it was read.
        let end = start.saturating_add(entry.compressed).min(self.source.size());
        if name.ends_with(b"/") {
            self.contents.sums[index] = Sha256::digest(b"").into();
            if end > start || entry.crc != 0 {
                self.anomalies.see_at(AnomalyKind::HiddenData, name);
            }
            return self.descriptor(entry, end, name);
        }
        let packed = Packed { start, end, method: entry.method, declared: entry.uncompressed };
        let (used, crc) = self.inflate(index, packed).map_err(|stop| match stop {
            Stop::Io(error) => error.into(),
            Stop::Fault(what) => fault(what),
        })?;
        if used < end {
            self.anomalies.see_at(AnomalyKind::HiddenData, name);
        }
        let end = self.descriptor(entry, end, name)?;
        self.judge_crc(entry, crc, name)?;
        Ok(end)
    }

    /// Reads the local header and holds it against the directory; returns where the data begins.
    fn local_header(&mut self, entry: &Entry, name: &[u8]) -> Result<u64, ZipError> {
        let missing = |error: rawzip::Error| match error.into_kind() {
            rawzip::ErrorKind::IO(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => error.into(),
            _ => ZipError::entry(name, EntryFault::LocalHeader(entry.offset)),
        };
        let found = self.directory.locate(entry).map_err(missing)?;
        let local = found.local_header(&mut self.header).map_err(missing)?;
        for kind in disagreements(entry, name, &local) {
            self.anomalies.see_at(kind, name);
        }
        Ok(found.compressed_data_range().0)
    }

    /// Inflates one file into its hash; returns the offset behind the last byte used, and the CRC.
    fn inflate(&mut self, index: usize, packed: Packed) -> Result<(u64, u32), Stop> {
        let mut sha256 = Sha256::new();
        let mut crc = flate2::Crc::new();
        let mut kept = (self.promised.go_mod == Some(index)).then(Vec::new);
        let used = self.inflater.read(self.source, packed, |piece| {
            sha256.update(piece);
            crc.update(piece);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(piece);
            }
        })?;
        self.contents.sums[index] = sha256.finalize().into();
        if kept.is_some() {
            self.contents.go_mod = kept;
        }
        Ok((used, crc.sum()))
    }

    /// The go command compares the CRC unless it is 0 and there is no descriptor.
    fn judge_crc(&mut self, entry: &Entry, crc: u32, name: &[u8]) -> Result<(), ZipError> {
        if entry.crc == crc {
            return Ok(());
        }
        if entry.crc == 0 && !entry.flags.has_data_descriptor() {
            self.anomalies.see_at(AnomalyKind::CrcUnset, name);
            return Ok(());
        }
        Err(ZipError::entry(name, EntryFault::Checksum))
    }

    /// Reads the data descriptor at `at`, if the entry has one; returns the offset behind it.
    fn descriptor(&mut self, entry: &Entry, at: u64, name: &[u8]) -> Result<u64, ZipError> {
        if !entry.flags.has_data_descriptor() {
            return Ok(at);
        }
        let (bytes, len) = self.peek(at)?;
        let descriptor = Descriptor::read(&bytes[..len], entry);
        if !descriptor.as_ref().is_some_and(|found| found.agrees) {
            self.anomalies.see_at(AnomalyKind::DescriptorSizes, name);
        }
        match descriptor {
            Some(found) => Ok(at + found.bytes),
            // The go command never looks at a directory's descriptor, so a missing one is odd, not wrong.
            None if name.ends_with(b"/") => Ok(at),
            None => Err(ZipError::entry(name, EntryFault::Descriptor)),
        }
    }

    /// As many bytes from `at` on as a descriptor can have, fewer at the end of the file.
    fn peek(&self, at: u64) -> Result<([u8; DESCRIPTOR_BYTES_MAX], usize), ZipError> {
        let mut bytes = [0; DESCRIPTOR_BYTES_MAX];
        let left = self.source.size().saturating_sub(at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(DESCRIPTOR_BYTES_MAX);
        self.source.read_exact_at(&mut bytes[..len], at)?;
        Ok((bytes, len))
    }
}

/// CRC and sizes behind the data: with or without a signature, sizes of 32 or 64 bits (Z-34).
struct Descriptor {
    /// Its length.
    bytes: u64,
    /// Whether its sizes are the directory's.
    agrees: bool,
}

impl Descriptor {
    /// Reads a descriptor with the directory's CRC; `None` when it is cut or has another.
    fn read(bytes: &[u8], entry: &Entry) -> Option<Self> {
        let signature = if u32_at(bytes, 0) == DESCRIPTOR_SIGNATURE { 4 } else { 0 };
        let fields = bytes.get(signature..)?;
        if fields.len() < 12 || u32_at(fields, 0) != entry.crc {
            return None;
        }
        let wide = fields.len() >= 20
            && u64_at(fields, 4) == entry.compressed
            && u64_at(fields, 12) == entry.uncompressed;
        let narrow = u64::from(u32_at(fields, 4)) == entry.compressed
            && u64::from(u32_at(fields, 8)) == entry.uncompressed;
        let bytes = signature as u64 + if wide { 20 } else { 12 };
        Some(Self { bytes, agrees: wide || narrow })
    }
}

/// Where a local header contradicts the directory's record of the same entry (F07, F08, F16).
fn disagreements<'a>(
    entry: &'a Entry,
    name: &'a [u8],
    local: &'a ZipLocalFileHeader<'a>,
) -> impl Iterator<Item = AnomalyKind> + 'a {
    // With a descriptor to follow, the writer may not have known them yet.
    let later = local.flags().has_data_descriptor();
    let same = move |here: u64, there: u64| here == there || (later && here == 0);
    let sizes = [local.uncompressed_size_hint(), local.compressed_size_hint()];
    [
        (local.file_path().as_bytes() != name, AnomalyKind::LocalName),
        (
            !same(local.crc32().into(), entry.crc.into())
                || !same(local.uncompressed_size_hint(), entry.uncompressed)
                || !same(local.compressed_size_hint(), entry.compressed),
            AnomalyKind::LocalSizes,
        ),
        (local.compression_method() != entry.method, AnomalyKind::LocalMethod),
        (local.flags() != entry.flags, AnomalyKind::LocalFlags),
        (is_odd(local.extra_fields(), &sizes), AnomalyKind::ExtraField),
    ]
    .into_iter()
    .filter_map(|(seen, kind)| seen.then_some(kind))
}

/// The sum over all entries, by the names of the directory.
fn sum<R: ReadAt + ?Sized>(directory: &Directory<'_, R>, sums: &[[u8; 32]]) -> H1 {
    let mut lines: Vec<(&[u8], &[u8; 32])> =
        directory.entries.iter().map(|entry| directory.name(entry)).zip(sums).collect();
    lines.sort_unstable();
    let mut hasher = Hasher::new();
    for (name, sha256) in lines {
        hasher.add(name, sha256);
    }
    hasher.finish()
}

/// See [`super::fuzz_zip`].
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzz(bytes: &[u8]) {
    let path = crate::ModulePath::parse("example.com/m").expect("a valid path");
    let version = crate::Version::parse("v1.0.0").expect("a valid version");
    let of = ModuleVersion::new(path, version).expect("v1 fits a path without suffix");
    // Declared sizes up to 500 MiB are legal; a fuzzer wants its answer sooner.
    let limits = Limits { uncompressed_bytes_max: 1 << 20, ..Limits::default() };
    if let Ok(facts) = check(bytes, bytes.len() as u64, &of, &limits) {
        assert!(facts.uncompressed <= limits.uncompressed_bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn zip() -> Vec<u8> {
        let of = crate::ModuleVersion::new(
            crate::ModulePath::parse("example.com/m").unwrap(),
            crate::Version::parse("v1.0.0").unwrap(),
        );
        let mut out = Vec::new();
        super::super::write(
            [("go.mod", "module example.com/m\n"), ("a/é.go", "package a\n")],
            &of.unwrap(),
            &mut out,
        )
        .unwrap();
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::fuzz(&bytes);
        }

        /// Words of a real zip replaced by words that are large, small or sign-like.
        #[test]
        fn any_lie_gets_an_answer(
            lies in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![0_u64, 1, 0xff, 0xffff, 0xffff_ffff, u64::MAX, 1 << 63, 0x0605_4b50, 0x0606_4b50, 0x0706_4b50]), 1_usize..9), 1..5),
        ) {
            let mut bytes = zip();
            for (at, lie, len) in lies {
                let at = at.index(bytes.len());
                let len = len.min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&lie.to_le_bytes()[..len]);
            }
            super::fuzz(&bytes);
        }
    }
}
