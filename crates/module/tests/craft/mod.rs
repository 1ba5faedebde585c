//! Zips written byte by byte, so that every field can lie.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part of the kit")]

use std::io::Write;

use modkeep_module::{ModulePath, ModuleVersion, Version};

/// The module that every crafted zip is of.
pub const PREFIX: &str = "example.com/m@v1.0.0/";

pub const STORE: u16 = 0;
pub const DEFLATE: u16 = 8;

pub const FLAG_ENCRYPTED: u16 = 1;
pub const FLAG_DESCRIPTOR: u16 = 1 << 3;
pub const FLAG_UTF8: u16 = 1 << 11;

/// The module and version of [`PREFIX`].
pub fn of() -> ModuleVersion {
    module("example.com/m", "v1.0.0")
}

pub fn module(path: &str, version: &str) -> ModuleVersion {
    ModuleVersion::new(ModulePath::parse(path).unwrap(), Version::parse(version).unwrap()).unwrap()
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// One entry. What is `None` is written truthfully.
#[derive(Clone, Default)]
pub struct Entry {
    pub name: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    /// CRC and sizes of the contents.
    pub crc: u32,
    pub uncompressed: u32,
    pub compressed: u32,
    /// The compressed bytes.
    pub payload: Vec<u8>,
    pub local_name: Option<Vec<u8>>,
    pub local_crc: Option<u32>,
    pub local_uncompressed: Option<u32>,
    pub local_compressed: Option<u32>,
    pub local_method: Option<u16>,
    pub local_flags: Option<u16>,
    pub local_extra: Vec<u8>,
    pub extra: Vec<u8>,
    pub attributes: u32,
    pub made_by: u16,
    /// Bytes behind the data.
    pub descriptor: Vec<u8>,
    /// Bytes before the local header.
    pub gap: Vec<u8>,
    pub offset: Option<u32>,
    pub comment: Vec<u8>,
    /// A record of the directory with no bytes of its own.
    pub ghost: bool,
}

impl Entry {
    pub fn named(name: impl AsRef<[u8]>) -> Self {
        let mut full = PREFIX.as_bytes().to_vec();
        full.extend_from_slice(name.as_ref());
        Self::raw(full)
    }

    /// An entry whose name does not get the prefix.
    pub fn raw(name: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        let flags = if name.is_ascii() { 0 } else { FLAG_UTF8 };
        Self { name, flags, ..Self::default() }
    }

    pub fn stored(mut self, contents: impl AsRef<[u8]>) -> Self {
        self.method = STORE;
        self.payload = contents.as_ref().to_vec();
        self.truthful(contents.as_ref())
    }

    pub fn deflated(mut self, contents: impl AsRef<[u8]>) -> Self {
        self.method = DEFLATE;
        self.payload = deflate(contents.as_ref());
        self.truthful(contents.as_ref())
    }

    fn truthful(mut self, contents: &[u8]) -> Self {
        self.crc = crc(contents);
        self.uncompressed = u32::try_from(contents.len()).unwrap();
        self.compressed = u32::try_from(self.payload.len()).unwrap();
        self
    }

    /// CRC and sizes behind the data, zeros in the local header, as the go command writes.
    pub fn with_descriptor(mut self, signature: bool, wide: bool) -> Self {
        self.flags |= FLAG_DESCRIPTOR;
        (self.local_crc, self.local_uncompressed, self.local_compressed) = (Some(0), Some(0), Some(0));
        if signature {
            self.descriptor.extend(0x0807_4b50_u32.to_le_bytes());
        }
        self.descriptor.extend(self.crc.to_le_bytes());
        for size in [self.compressed, self.uncompressed] {
            if wide {
                self.descriptor.extend(u64::from(size).to_le_bytes());
            } else {
                self.descriptor.extend(size.to_le_bytes());
            }
        }
        self
    }

    pub fn change(mut self, how: impl FnOnce(&mut Self)) -> Self {
        how(&mut self);
        self
    }
}

pub fn extra(id: u16, value: &[u8]) -> Vec<u8> {
    let mut field = id.to_le_bytes().to_vec();
    field.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    field.extend(value);
    field
}

/// A ZIP64 extra field with these words.
pub fn zip64_extra(words: &[u64]) -> Vec<u8> {
    extra(1, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
}

/// A zip. What is `None` is written truthfully.
#[derive(Clone, Default)]
pub struct Zip {
    pub entries: Vec<Entry>,
    pub prefix: Vec<u8>,
    /// Bytes between the last entry and the directory.
    pub gap: Vec<u8>,
    /// Bytes between the directory and the end record.
    pub end_gap: Vec<u8>,
    pub comment: Vec<u8>,
    pub trailing: Vec<u8>,
    pub end_entries: Option<u16>,
    pub end_size: Option<u32>,
    pub end_offset: Option<u32>,
    pub end_disk: u16,
    /// Whether offsets count from the first entry instead of the first byte.
    pub relative: bool,
    /// Whether a ZIP64 end record is written, and "see there" in the end record.
    pub zip64: bool,
}

impl Zip {
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().collect(), ..Self::default() }
    }

    pub fn change(mut self, how: impl FnOnce(&mut Self)) -> Self {
        how(&mut self);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.prefix.clone();
        let base = if self.relative { self.prefix.len() } else { 0 };
        let mut directory = Vec::new();
        for entry in &self.entries {
            out.extend(&entry.gap);
            let at = u32::try_from(out.len() - base).unwrap();
            if !entry.ghost {
                local(entry, &mut out);
            }
            central(entry, entry.offset.unwrap_or(at), &mut directory);
        }
        out.extend(&self.gap);
        let offset = u32::try_from(out.len() - base).unwrap();
        let size = u32::try_from(directory.len()).unwrap();
        out.extend(directory);
        out.extend(&self.end_gap);
        self.end(size, offset, &mut out);
        out.extend(&self.comment);
        out.extend(&self.trailing);
        out
    }

    fn end(&self, size: u32, offset: u32, out: &mut Vec<u8>) {
        let entries = u16::try_from(self.entries.len() & 0xffff).unwrap();
        if self.zip64 {
            let at = out.len() as u64;
            let count = self.entries.len() as u64;
            out.extend(0x0606_4b50_u32.to_le_bytes());
            out.extend(44_u64.to_le_bytes());
            out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for word in [count, count, size.into(), offset.into()] {
                out.extend(word.to_le_bytes());
            }
            out.extend(0x0706_4b50_u32.to_le_bytes());
            out.extend(0_u32.to_le_bytes());
            out.extend(at.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
        }
        let unset = self.zip64;
        out.extend(0x0605_4b50_u32.to_le_bytes());
        out.extend(self.end_disk.to_le_bytes());
        out.extend(self.end_disk.to_le_bytes());
        let entries = self.end_entries.unwrap_or(if unset { u16::MAX } else { entries });
        out.extend(entries.to_le_bytes());
        out.extend(entries.to_le_bytes());
        out.extend(self.end_size.unwrap_or(if unset { u32::MAX } else { size }).to_le_bytes());
        out.extend(self.end_offset.unwrap_or(if unset { u32::MAX } else { offset }).to_le_bytes());
        out.extend(u16::try_from(self.comment.len()).unwrap().to_le_bytes());
    }
}

fn local(entry: &Entry, out: &mut Vec<u8>) {
    let name = entry.local_name.as_ref().unwrap_or(&entry.name);
    out.extend(0x0403_4b50_u32.to_le_bytes());
    out.extend(20_u16.to_le_bytes());
    out.extend(entry.local_flags.unwrap_or(entry.flags).to_le_bytes());
    out.extend(entry.local_method.unwrap_or(entry.method).to_le_bytes());
    out.extend([0; 4]);
    out.extend(entry.local_crc.unwrap_or(entry.crc).to_le_bytes());
    out.extend(entry.local_compressed.unwrap_or(entry.compressed).to_le_bytes());
    out.extend(entry.local_uncompressed.unwrap_or(entry.uncompressed).to_le_bytes());
    out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    out.extend(u16::try_from(entry.local_extra.len()).unwrap().to_le_bytes());
    out.extend(name);
    out.extend(&entry.local_extra);
    out.extend(&entry.payload);
    out.extend(&entry.descriptor);
}

fn central(entry: &Entry, offset: u32, out: &mut Vec<u8>) {
    out.extend(0x0201_4b50_u32.to_le_bytes());
    out.extend(entry.made_by.to_le_bytes());
    out.extend(20_u16.to_le_bytes());
    out.extend(entry.flags.to_le_bytes());
    out.extend(entry.method.to_le_bytes());
    out.extend([0; 4]);
    out.extend(entry.crc.to_le_bytes());
    out.extend(entry.compressed.to_le_bytes());
    out.extend(entry.uncompressed.to_le_bytes());
    out.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
    out.extend(u16::try_from(entry.extra.len()).unwrap().to_le_bytes());
    out.extend(u16::try_from(entry.comment.len()).unwrap().to_le_bytes());
    out.extend([0; 4]);
    out.extend(entry.attributes.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend(&entry.name);
    out.extend(&entry.extra);
    out.extend(&entry.comment);
}

/// `go.mod` and one source file, the least that makes a module.
pub fn plain() -> Vec<Entry> {
    vec![
        Entry::named("go.mod").deflated("module example.com/m\n"),
        Entry::named("m.go").deflated("package m\n"),
    ]
}

/// The plain module with one more entry.
pub fn plain_and(entries: impl IntoIterator<Item = Entry>) -> Zip {
    let mut all = plain();
    all.extend(entries);
    Zip::of(all)
}
