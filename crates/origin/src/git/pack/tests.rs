//! Packs that git could have made, and packs that nobody honest would make.
#![allow(clippy::cast_possible_truncation)] // sizes of a few bytes, split by hand

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use modkeep_store::{MinFree, Store, SystemClock, Workspace};
use sha1_checked::Digest as _;

use super::*;

struct Rig {
    _folder: tempfile::TempDir,
    workspace: Workspace,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let config = modkeep_store::Config { path: folder.path().to_owned(), min_free: MinFree::Bytes(0) };
    let workspace = Store::open(config, Arc::new(SystemClock)).unwrap().workspace("git:x").unwrap();
    Rig { _folder: folder, workspace }
}

impl Rig {
    fn read(&self, pack: &[u8]) -> Result<AtHand, PackError> {
        self.limited(pack, &PackLimits::default(), 2 << 30)
    }

    fn limited(&self, pack: &[u8], limits: &PackLimits, bytes_max: u64) -> Result<AtHand, PackError> {
        let spool = Spool::create(&self.workspace, bytes_max).unwrap();
        let outcome = read(pack, ObjectFormat::Sha1, spool, limits, None);
        let left = std::fs::read_dir(self.workspace.passing()).unwrap().count();
        assert_eq!(left, 0, "nothing has a name while it is read, so nothing stays behind");
        outcome
    }
}

/// A pack being written.
#[derive(Default)]
struct Packing {
    bytes: Vec<u8>,
    count: u32,
}

impl Packing {
    fn entry(&mut self, kind: u8, size: u64, base: &[u8], contents: &[u8]) -> u64 {
        let at = 12 + self.bytes.len() as u64;
        let (mut first, mut rest) = (kind << 4 | (size & 15) as u8, size >> 4);
        while rest > 0 {
            self.bytes.push(first | 0x80);
            (first, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        self.bytes.push(first);
        self.bytes.extend_from_slice(base);
        let mut encoder = ZlibEncoder::new(&mut self.bytes, Compression::best());
        encoder.write_all(contents).unwrap();
        encoder.finish().unwrap();
        self.count += 1;
        at
    }

    fn whole(&mut self, kind: u8, contents: &[u8]) -> u64 {
        self.entry(kind, contents.len() as u64, &[], contents)
    }

    /// A delta on the entry that begins at `base`.
    fn delta(&mut self, base: u64, delta: &[u8]) -> u64 {
        let mut distance = 12 + self.bytes.len() as u64 - base;
        let mut coded = vec![(distance & 0x7f) as u8];
        distance >>= 7;
        while distance > 0 {
            distance -= 1;
            coded.insert(0, (distance & 0x7f) as u8 | 0x80);
            distance >>= 7;
        }
        self.entry(6, delta.len() as u64, &coded, delta)
    }

    fn finish(self) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(self.count.to_be_bytes());
        pack.extend(self.bytes);
        let sum = sha1::Sha1::digest(&pack);
        pack.extend(sum);
        pack
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A delta that copies its whole base `times` over.
fn copies(base: u64, times: u64) -> Vec<u8> {
    let mut delta = [varint(base), varint(base * times)].concat();
    for _ in 0..times {
        let mut start = 0;
        while start < base {
            let len = (base - start).min(0xff_ffff);
            delta.push(0xff);
            delta.extend(&(start as u32).to_le_bytes());
            delta.extend(&(len as u32).to_le_bytes()[..3]);
            start += len;
        }
    }
    delta
}

fn malformed(outcome: Result<AtHand, PackError>) -> String {
    match outcome {
        Err(PackError::Malformed(what)) => what,
        Err(PackError::Limit(what)) => format!("limit: {what}"),
        other @ (Ok(_) | Err(_)) => panic!("{other:?}"),
    }
}

fn blob(contents: &[u8]) -> ObjectId {
    id_of(ObjectFormat::Sha1, ObjectKind::Blob, contents).unwrap()
}

#[test]
fn objects_and_chains_of_deltas_come_out_as_they_went_in() {
    let mut packing = Packing::default();
    let first = packing.whole(3, b"hello, ");
    let second = packing.delta(first, &[&varint(7)[..], &varint(12), &[0x90, 7, 5], b"world"].concat());
    packing.delta(second, &[&varint(12)[..], &varint(5), &[0x91, 7, 5]].concat());
    let base = blob(b"hello, ");
    let by_id = [&varint(7)[..], &varint(2), &[0x90, 2]].concat();
    packing.entry(7, by_id.len() as u64, base.as_bytes(), &by_id);
    let large = vec![7; 3 << 20];
    packing.whole(3, &large);
    let objects = rig().read(&packing.finish()).unwrap();
    for contents in [&b"hello, "[..], b"hello, world", b"world", b"he", &large] {
        let (kind, found) = objects.read(&blob(contents)).unwrap().unwrap();
        assert_eq!((kind, found == contents), (ObjectKind::Blob, true));
    }
}

#[test]
fn thin_packs_stand_on_what_is_elsewhere() {
    let elsewhere = blob(b"elsewhere");
    let mut packing = Packing::default();
    let delta = [&varint(9)[..], &varint(4), &[0x90, 4]].concat();
    let at = packing.entry(7, delta.len() as u64, elsewhere.as_bytes(), &delta);
    packing.delta(at, &[&varint(4)[..], &varint(2), &[0x90, 2]].concat());
    let unknown = blob(b"unknown");
    packing.entry(7, delta.len() as u64, unknown.as_bytes(), &delta);
    let pack = packing.finish();
    let rig = rig();
    assert!(malformed(rig.read(&pack)).contains("base"));
    let spool = Spool::create(&rig.workspace, 1 << 20).unwrap();
    let bases = |id: &ObjectId| (*id == elsewhere).then(|| (ObjectKind::Blob, b"elsewhere".to_vec()));
    let objects = read(&pack[..], ObjectFormat::Sha1, spool, &PackLimits::default(), Some(&bases)).unwrap();
    assert!(objects.read(&blob(b"else")).unwrap().is_some() && objects.read(&blob(b"el")).unwrap().is_some());
}

#[test]
fn hostile_c15_small_packs_that_grow_are_cut_before_they_take_anything() {
    let rig = rig();
    // A megabyte of one byte, then copies of copies: less than 10 KiB that want to be 16 GiB.
    let mut packing = Packing::default();
    let (mut size, mut base) = (1 << 20, packing.whole(3, &vec![0; 1 << 20]));
    for _ in 0..14 {
        base = packing.delta(base, &copies(size, 2));
        size *= 2;
    }
    let pack = packing.finish();
    assert!(pack.len() < 10 << 10, "{}", pack.len());
    let outcome = rig.limited(&pack, &PackLimits::default(), 32 << 20);
    assert_eq!(malformed(outcome), "limit: the disk space of one fetch");
    // A size that nobody could keep is refused by its header alone.
    let mut packing = Packing::default();
    packing.entry(3, 1 << 40, &[], b"small");
    assert_eq!(malformed(rig.read(&packing.finish())), "limit: the size of one object");
    let mut many = b"PACK\0\0\0\x02\xff\xff\xff\xff".to_vec();
    many.extend([0; 20]);
    assert_eq!(malformed(rig.read(&many)), "limit: the objects of one pack");
}

#[test]
fn hostile_c15_chains_without_end_and_cycles_are_refused() {
    let rig = rig();
    let mut packing = Packing::default();
    let mut base = packing.whole(3, b"ab");
    let same = [&varint(2)[..], &varint(2), &[0x90, 2]].concat();
    for _ in 0..100_000 {
        base = packing.delta(base, &same);
    }
    assert_eq!(malformed(rig.read(&packing.finish())), "limit: the length of a chain of deltas");
    // Two deltas, each upon the other, as far as ids can say so.
    let mut packing = Packing::default();
    for other in [&b"one"[..], b"two"] {
        packing.entry(7, same.len() as u64, blob(other).as_bytes(), &same);
    }
    assert_eq!(malformed(rig.read(&packing.finish())), "a delta without its base");
    // By offset a base can only lie before.
    for distance in [0_u8, 5] {
        let mut packing = Packing::default();
        packing.entry(6, same.len() as u64, &[distance], &same);
        assert_eq!(malformed(rig.read(&packing.finish())), "a delta whose base is no entry");
    }
}

#[test]
fn hostile_c16_damaged_packs_are_refused_at_every_byte() {
    let rig = rig();
    let mut packing = Packing::default();
    let base = packing.whole(3, b"hello, world, and all that is in it");
    packing.delta(base, &[&varint(35)[..], &varint(5), &[0x90, 5]].concat());
    let pack = packing.finish();
    assert!(rig.read(&pack).is_ok());
    for at in 0..pack.len() {
        let mut damaged = pack.clone();
        damaged[at] ^= 0x10;
        assert!(rig.read(&damaged).is_err(), "byte {at}");
        assert!(rig.read(&pack[..at]).is_err(), "cut at {at}");
    }
    let more = [&pack[..], b"x"].concat();
    assert_eq!(malformed(rig.read(&more)), "more bytes than the pack has");
}

#[test]
fn hostile_c16_an_object_is_named_by_its_contents_alone() {
    let mut packing = Packing::default();
    packing.whole(3, b"something else");
    let objects = rig().read(&packing.finish()).unwrap();
    assert!(objects.read(&blob(b"what was asked for")).unwrap().is_none());
}
