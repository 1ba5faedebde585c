//! The zips of hostile-inputs.md part F and some more, each with its required outcome.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses another part of the table")]
#![allow(clippy::too_many_lines, reason = "tables are long")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use modkeep_module::zip::AnomalyKind::{self, *};

use crate::craft::{
    DEFLATE, Entry, FLAG_DESCRIPTOR, FLAG_ENCRYPTED, FLAG_UTF8, PREFIX, STORE, Zip, deflate, extra, plain,
    plain_and, zip64_extra,
};

/// One zip. The id begins with its row; `x` for what the table has no row for.
pub struct Case {
    pub id: &'static str,
    pub zip: Vec<u8>,
    pub want: Want,
    /// Where our verdict differs from the go command's, and why that is right.
    pub stricter: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub enum Want {
    Accept,
    Anomalous(Vec<AnomalyKind>),
    Refuse,
}

fn case(id: &'static str, want: Want, zip: Zip) -> Case {
    Case { id, zip: zip.bytes(), want, stricter: None }
}

fn accept(id: &'static str, zip: Zip) -> Case {
    case(id, Want::Accept, zip)
}

fn refuse(id: &'static str, zip: Zip) -> Case {
    case(id, Want::Refuse, zip)
}

fn odd(id: &'static str, kind: AnomalyKind, zip: Zip) -> Case {
    case(id, Want::Anomalous(vec![kind]), zip)
}

fn raw(id: &'static str, zip: Vec<u8>) -> Case {
    Case { id, zip, want: Want::Refuse, stricter: None }
}

fn but(mut case: Case, why: &'static str) -> Case {
    case.stricter = Some(why);
    case
}

/// A small file under this name.
fn file(name: impl AsRef<[u8]>) -> Entry {
    Entry::named(name).stored("x")
}

fn directory(name: &str) -> Entry {
    Entry::named(name).stored("")
}

fn changed(how: impl FnOnce(&mut Entry)) -> Zip {
    plain_and([Entry::named("c.txt").deflated("contents\n").change(how)])
}

pub fn cases() -> Vec<Case> {
    let mut all = names();
    all.extend(contents());
    all.extend(structure());
    all.extend(beyond_the_table());
    all
}

/// F01 to F06, F10 to F14, F30, F32 to F34, F36.
fn names() -> Vec<Case> {
    let one = |entry| plain_and([entry]);
    vec![
        accept("f01 plain", Zip::of(plain())),
        accept(
            "f01 executable",
            one(file("run").change(|e| {
                e.made_by = 3 << 8;
                e.attributes = 0o100_755 << 16;
            })),
        ),
        accept("f01 no go.mod", Zip::of([file("a.go")])),
        accept("f01 directory entry", one(directory("d/"))),
        accept("f01 directory entry twice", plain_and([directory("d/"), directory("d/"), file("d/x")])),
        accept("f01 the root as entry", one(Entry::raw(PREFIX).stored(""))),
        accept("f01 the root as entry twice", plain_and([directory(""), directory("")])),
        accept("f01 empty archive", Zip::default()),
        accept(
            "f01 directory with deflated nothing as a descriptor",
            one(directory("d/").change(|e| {
                e.comment = b"comment".to_vec();
            })),
        ),
        refuse("f02 twice", plain_and([file("a"), file("a")])),
        refuse("f02 go.mod twice", one(Entry::named("go.mod").stored("module other\n"))),
        refuse("f03 files", plain_and([file("a.go"), file("A.go")])),
        refuse("f03 directories", plain_and([file("a/x.go"), file("A/y.go")])),
        refuse("f03 directory entries", plain_and([directory("a/"), directory("A/")])),
        refuse("f03 kelvin", plain_and([file("k"), file("\u{212a}")])),
        accept("f03 sharp s", plain_and([file("ss"), file("ß")])),
        refuse("f04 file then directory", plain_and([file("x"), file("x/y.go")])),
        refuse("f04 directory then file", plain_and([file("x/y.go"), file("x")])),
        refuse("f04 directory entry and file", plain_and([directory("x/"), file("x")])),
        refuse("f05 parent", one(file("../evil"))),
        refuse("f05 parent inside", one(file("x/../../evil"))),
        refuse("f05 here", one(file("./b"))),
        refuse("f05 double slash", one(file("x//b"))),
        refuse("f05 absolute", one(file("/etc/evil"))),
        refuse("f05 absolute without prefix", one(Entry::raw("/etc/evil").stored("x"))),
        refuse("f05 only dots", one(file("a/..."))),
        refuse("f06 backslash", one(file("..\\..\\evil"))),
        refuse("f06 colon", one(file("a:b"))),
        refuse("f06 star", one(file("a*b"))),
        refuse("f06 apostrophe", one(file("a'b"))),
        refuse("f06 tab", one(file("a\tb"))),
        refuse("f06 nul", one(file("a\0b"))),
        refuse("f06 newline", one(file("a\nb"))),
        accept("f06 what is allowed", one(file("a!b#c$d%e&f(g)h+i,j=k@l[m]n^o_p{q}r~s t"))),
        refuse("f10 latin 1", one(file(b"caf\xe9").change(|e| e.flags = 0))),
        refuse("f10 overlong", one(file(b"a\xc0\xaeb"))),
        refuse("f10 surrogate", one(file(b"a\xed\xa0\x80b"))),
        refuse("f11 combining accent", one(file("e\u{301}.go"))),
        refuse("f11 emoji", one(file("😀.go"))),
        refuse("f11 bidi control", one(file("a\u{202e}b.go"))),
        accept("f11 a letter with its accent", one(file("é.go"))),
        accept("f11 ordinal and cjk", plain_and([file("ª"), file("日本.txt")])),
        refuse("f12 con.txt", one(file("con.txt"))),
        refuse("f12 LPT9", one(file("d/LPT9"))),
        refuse("f12 trailing dot", one(file("a."))),
        refuse("f12 trailing dot of a directory", one(directory("a./"))),
        accept("f12 near misses", plain_and([file("CON .txt"), file("COM0"), file("a/..b"), file("com10")])),
        refuse("f13 other module", one(Entry::raw("example.com/n@v1.0.0/a").stored("x"))),
        refuse("f13 other case", one(Entry::raw("example.com/M@v1.0.0/a").stored("x"))),
        refuse("f13 no slash", one(Entry::raw("example.com/m@v1.0.0").stored("x"))),
        refuse("f13 no slash, more", one(Entry::raw("example.com/m@v1.0.0x/a").stored("x"))),
        refuse("f13 escaped", one(Entry::raw("!example.com/m@v1.0.0/a").stored("x"))),
        refuse("f13 empty name", one(Entry::raw("").stored("x"))),
        refuse("f14 sub/go.mod", one(file("sub/go.mod"))),
        refuse("f14 sub/GO.MOD", one(file("sub/GO.MOD"))),
        refuse("f14 Go.Mod beside go.mod", one(file("Go.Mod"))),
        refuse("f14 Go.Mod alone", Zip::of([file("Go.Mod")])),
        accept("f14 directory called go.mod", one(file("sub/go.mod/x"))),
        accept("f14 directory entry called GO.MOD", one(directory("sub/GO.MOD/"))),
        refuse("f30 directory with data", one(Entry::named("d/").stored("data"))),
        refuse("f30 the root with data", one(Entry::named("").stored("data"))),
        refuse("f30 two slashes", one(directory("d//"))),
        accept("f32 2,000 levels", one(file("d/".repeat(1_999) + "f"))),
        but(
            accept("f33 element of 300 bytes", one(file("n".repeat(300)))),
            "we never make a file of that name",
        ),
        accept("f34 vendor", one(file("vendor/x/y.go"))),
        accept("f34 .git", one(file(".git/config"))),
        refuse("f36 other version", Zip::of([Entry::raw("example.com/m@v1.0.1/a").stored("x")])),
        refuse("f36 other module", Zip::of([Entry::raw("example.com/other@v1.0.0/a").stored("x")])),
    ]
}

/// F15 to F21, F24.
fn contents() -> Vec<Case> {
    let zeros = vec![0; 17 << 20];
    let method = |method| changed(|e| e.method = method);
    let declared = |bytes: u32| {
        Entry::named("big")
            .stored("x")
            .change(|e| (e.uncompressed, e.compressed, e.method) = (bytes, 1, DEFLATE))
    };
    let mode = |mode: u32| {
        plain_and([Entry::named("l").stored("m.go").change(|e| {
            e.made_by = 3 << 8;
            e.attributes = mode << 16;
        })])
    };
    vec![
        odd("f15 symlink", SpecialMode, mode(0o120_777)),
        odd("f15 device", SpecialMode, mode(0o020_666)),
        odd("f15 directory mode", SpecialMode, mode(0o040_755)),
        odd(
            "f15 symlink said by no unix",
            SpecialMode,
            plain_and([file("l").change(|e| e.attributes = 0o120_777 << 16)]),
        ),
        odd(
            "f15 symlink mode on a directory",
            SpecialMode,
            plain_and([directory("l/").change(|e| e.attributes = 0o120_777 << 16)]),
        ),
        odd("f16 encrypted", Encrypted, changed(|e| e.flags |= FLAG_ENCRYPTED)),
        odd(
            "f16 encrypted said by the local header only",
            LocalFlags,
            changed(|e| e.local_flags = Some(FLAG_ENCRYPTED)),
        ),
        refuse("f17 bzip2", method(12)),
        refuse("f17 deflate64", method(9)),
        refuse("f17 zstd", method(93)),
        refuse("f17 aes", method(99)),
        refuse("f18 deflated", changed(|e| e.crc ^= 1)),
        refuse("f18 stored", plain_and([file("c").change(|e| e.crc ^= 1)])),
        refuse(
            "f18 with descriptor",
            plain_and([file("c").change(|e| e.crc ^= 1).with_descriptor(true, false)]),
        ),
        refuse(
            "f18 zero with descriptor",
            plain_and([file("c").change(|e| e.crc = 0).with_descriptor(true, false)]),
        ),
        odd("f18 zero without descriptor", CrcUnset, plain_and([file("c").change(|e| e.crc = 0)])),
        refuse("f19 declared too small", changed(|e| e.uncompressed -= 1)),
        refuse("f19 declared too big", changed(|e| e.uncompressed += 1)),
        refuse("f19 declared zero", changed(|e| e.uncompressed = 0)),
        refuse("f19 compressed short", changed(|e| e.compressed -= 1)),
        refuse("f19 stored, two sizes", plain_and([file("c").change(|e| e.uncompressed = 2)])),
        case(
            "f19 past the end of the file",
            Want::Anomalous(vec![HiddenData, Overlap]),
            changed(|e| e.compressed = 1 << 20),
        ),
        refuse("f19 nothing deflated", plain_and([Entry::named("c").change(|e| e.method = DEFLATE)])),
        refuse("f19 no deflate stream", changed(|e| e.payload = vec![0xff; e.payload.len()])),
        refuse("f20 501 MiB", plain_and([declared(501 << 20)])),
        refuse("f20 4 GiB", plain_and([declared(u32::MAX)])),
        refuse(
            "f20 two halves",
            plain_and([declared(250 << 20), declared((250 << 20) + 1).change(|e| e.name.push(b'2'))]),
        ),
        refuse(
            "f21 two of 300 MiB",
            plain_and([declared(300 << 20), declared(300 << 20).change(|e| e.name.push(b'2'))]),
        ),
        refuse("f24 go.mod of 17 MiB", Zip::of([Entry::named("go.mod").deflated(&zeros)])),
        refuse("f24 LICENSE of 17 MiB", plain_and([Entry::named("LICENSE").deflated(&zeros)])),
        accept("f24 LICENSE of 17 MiB elsewhere", plain_and([Entry::named("d/LICENSE").deflated(&zeros)])),
        accept("f24 LICENSE of 16 MiB", plain_and([Entry::named("LICENSE").deflated(&zeros[..16 << 20])])),
    ]
}

/// F07 to F09, F25 to F29, F35.
fn structure() -> Vec<Case> {
    let zip = |how: fn(&mut Zip)| Zip::of(plain()).change(how);
    let whole = Zip::of(plain()).bytes();
    vec![
        odd("f07 leads elsewhere", LocalName, changed(|e| e.local_name = Some(b"../../c".to_vec()))),
        odd(
            "f07 other file",
            LocalName,
            changed(|e| e.local_name = Some(format!("{PREFIX}d.txt").into_bytes())),
        ),
        odd("f08 crc", LocalSizes, changed(|e| e.local_crc = Some(7))),
        odd("f08 uncompressed", LocalSizes, changed(|e| e.local_uncompressed = Some(e.uncompressed + 1))),
        odd("f08 compressed", LocalSizes, changed(|e| e.local_compressed = Some(e.compressed - 1))),
        odd(
            "f08 zeros without descriptor",
            LocalSizes,
            changed(|e| {
                (e.local_crc, e.local_compressed, e.local_uncompressed) = (Some(0), Some(0), Some(0));
            }),
        ),
        odd("f08 method", LocalMethod, changed(|e| e.local_method = Some(STORE))),
        odd("f09 one entry inside another", Overlap, inside()),
        case("f09 data of another", Want::Anomalous(vec![Overlap, LocalName]), shared()),
        case("big f09 200 of 10 MiB", Want::Refuse, overlapping(200)),
        odd("f25 script before, offsets moved", PrefixBytes, zip(|z| z.prefix = b"#!/bin/sh\n".to_vec())),
        odd(
            "f25 script before, offsets not moved",
            PrefixBytes,
            zip(|z| {
                z.prefix = b"#!/bin/sh\n".to_vec();
                z.relative = true;
            }),
        ),
        but(
            refuse("f25 before nothing", Zip { prefix: b"junk".to_vec(), relative: true, ..Zip::default() }),
            "readers disagree where the directory is",
        ),
        odd("f26 some", TrailingBytes, zip(|z| z.trailing = b"trailing".to_vec())),
        odd("f26 many", TrailingBytes, zip(|z| z.trailing = vec![b't'; 60_000])),
        refuse("f26 too many", zip(|z| z.trailing = vec![b't'; 70_000])),
        refuse("f27 lower", zip(|z| z.end_entries = Some(1))),
        refuse("f27 higher", zip(|z| z.end_entries = Some(3))),
        refuse("f28 directory offset 0", zip(|z| z.end_offset = Some(0))),
        refuse("f28 directory offset past the end", zip(|z| z.end_offset = Some(1 << 30))),
        refuse("f28 directory size past the start", zip(|z| z.end_size = Some(1 << 20))),
        refuse("f28 local offset past the end", changed(|e| e.offset = Some(1 << 30))),
        refuse("f28 local offset 0xffffffff", changed(|e| e.offset = Some(u32::MAX))),
        refuse("f28 local offset at no header", changed(|e| e.offset = Some(5))),
        raw("f28 truncated by 30 bytes", whole[..whole.len() - 30].to_vec()),
        raw("f28 truncated by 1 byte", whole[..whole.len() - 1].to_vec()),
        raw("f28 0 bytes", Vec::new()),
        raw("f28 an HTML page", b"<!DOCTYPE html><html><body>Please log in</body></html>".to_vec()),
        accept(
            "f29 zip64 extra",
            changed(|e| {
                let sizes = [u64::from(e.uncompressed), u64::from(e.compressed)];
                (e.local_uncompressed, e.local_compressed) = (Some(u32::MAX), Some(u32::MAX));
                (e.local_extra, e.extra) = (zip64_extra(&sizes), zip64_extra(&sizes));
                (e.uncompressed, e.compressed) = (u32::MAX, u32::MAX);
            }),
        ),
        accept(
            "f29 zip64 extra that nothing asks for",
            changed(|e| {
                e.extra = zip64_extra(&[u64::from(e.uncompressed), u64::from(e.compressed)]);
            }),
        ),
        accept("f29 zip64 end record", zip(|z| z.zip64 = true)),
        accept("f29 zip64 end record of nothing", Zip { zip64: true, ..Zip::default() }),
        odd("f29 zip64 extra that contradicts", ExtraField, changed(|e| e.extra = zip64_extra(&[1, 2]))),
        odd(
            "f29 zip64 extra twice",
            ExtraField,
            changed(|e| {
                let sizes = [u64::from(e.uncompressed), u64::from(e.compressed)];
                e.extra = [zip64_extra(&sizes), zip64_extra(&sizes)].concat();
            }),
        ),
        refuse("f29 zip64 extra that is missing", changed(|e| e.uncompressed = u32::MAX)),
        but(
            refuse(
                "f29 zip64 end record that contradicts",
                zip(|z| {
                    z.zip64 = true;
                    z.end_entries = Some(1);
                }),
            ),
            "readers disagree which end record counts",
        ),
        accept("f35 comment", zip(|z| z.comment = vec![b'c'; 65_535])),
    ]
}

/// One stored file whose data holds the local header and data of another entry.
fn inside() -> Zip {
    let inner = Entry::named("inner").stored("inner");
    let header = 30 + PREFIX.len() + 5;
    let written = Zip::of([inner.clone()]).bytes();
    let outer = Entry::named("outer").stored(&written[..header + 5]);
    Zip::of([
        outer,
        inner.change(|e| {
            e.ghost = true;
            e.offset = Some(u32::try_from(header).unwrap());
        }),
    ])
}

/// Two records with one local header.
fn shared() -> Zip {
    let entry = |name| Entry::named(name).stored("data");
    Zip::of([
        entry("a"),
        entry("b").change(|e| {
            e.ghost = true;
            e.offset = Some(0);
        }),
    ])
}

/// Many records with one local header, each of 10 MiB.
fn overlapping(count: u32) -> Zip {
    let kernel = deflate(&vec![0; 10 << 20]);
    Zip::of((0..count).map(|n| {
        Entry::named(format!("f{n}")).change(|e| {
            e.method = DEFLATE;
            (e.uncompressed, e.compressed) = (10 << 20, u32::try_from(kernel.len()).unwrap());
            e.payload.clone_from(&kernel);
            e.ghost = n > 0;
            e.offset = Some(0);
        })
    }))
}

/// What part F has no row for: descriptors, gaps, hidden bytes, second names.
fn beyond_the_table() -> Vec<Case> {
    let entry = || Entry::named("c.txt").deflated("contents\n");
    let with = |signature, wide| plain_and([entry().with_descriptor(signature, wide)]);
    let zip = |how: fn(&mut Zip)| Zip::of(plain()).change(how);
    vec![
        accept("x descriptor", with(true, false)),
        accept("x descriptor without signature", with(false, false)),
        accept("x descriptor of zip64", with(true, true)),
        accept("x descriptor of zip64 without signature", with(false, true)),
        refuse(
            "x descriptor with another crc",
            plain_and([entry().with_descriptor(true, false).change(|e| e.descriptor[4] ^= 1)]),
        ),
        odd(
            "x descriptor with another size",
            DescriptorSizes,
            plain_and([entry().with_descriptor(true, false).change(|e| e.descriptor[8] ^= 1)]),
        ),
        refuse("x descriptor missing", plain_and([entry().change(|e| e.flags |= FLAG_DESCRIPTOR)])),
        odd(
            "x descriptor flag in the local header only",
            LocalFlags,
            plain_and([entry().change(|e| e.local_flags = Some(FLAG_DESCRIPTOR))]),
        ),
        accept("x descriptor of a directory", plain_and([directory("d/").with_descriptor(true, false)])),
        odd(
            "x descriptor of a directory missing",
            DescriptorSizes,
            plain_and([directory("d/").change(|e| e.flags |= FLAG_DESCRIPTOR)]),
        ),
        odd("x gap between entries", Gap, plain_and([entry().change(|e| e.gap = b"gap".to_vec())])),
        odd("x gap before the directory", Gap, zip(|z| z.gap = b"gap".to_vec())),
        but(
            refuse("x gap before the end record", zip(|z| z.end_gap = b"gap".to_vec())),
            "readers disagree where the directory is",
        ),
        odd(
            "x bytes behind the deflate stream",
            HiddenData,
            changed(|e| {
                e.payload.extend(b"hidden");
                e.compressed += 6;
            }),
        ),
        odd(
            "x directory with compressed bytes",
            HiddenData,
            plain_and([directory("d/").change(|e| {
                e.method = DEFLATE;
                e.payload = deflate(b"");
                e.compressed = 2;
            })]),
        ),
        odd("x directory with a crc", HiddenData, plain_and([directory("d/").change(|e| e.crc = 7)])),
        odd("x name not flagged as utf-8", NameEncoding, plain_and([file("é").change(|e| e.flags = 0)])),
        accept("x ascii name flagged as utf-8", plain_and([file("e").change(|e| e.flags = FLAG_UTF8)])),
        odd("x unicode path", ExtraField, changed(|e| e.extra = extra(0x7075, b"\x01\0\0\0\0other"))),
        odd(
            "x unicode path in the local header",
            ExtraField,
            changed(|e| e.local_extra = extra(0x7075, b"\x01\0\0\0\0other")),
        ),
        odd("x broken extra field", ExtraField, changed(|e| e.extra = b"\x01".to_vec())),
        accept(
            "x timestamp",
            changed(|e| {
                (e.local_extra, e.extra) = (extra(0x5455, b"\x01\0\0\0\0"), extra(0x5455, b"\x01\0\0\0\0"));
            }),
        ),
        odd("x second volume", SplitVolume, zip(|z| z.end_disk = 1)),
        accept("x entry comment", changed(|e| e.comment = b"\xff comment".to_vec())),
        accept("x empty file", plain_and([Entry::named("empty").stored("")])),
        accept("x empty file, deflated", plain_and([Entry::named("empty").deflated("")])),
        accept("x entries in another order", Zip::of(plain().into_iter().rev())),
        case(
            "x entry inside the directory",
            Want::Anomalous(vec![Overlap, CrcUnset]),
            plain_and([Entry::named("z").stored("x").change(|e| {
                (e.uncompressed, e.compressed, e.crc) = (10, 10, 0);
            })]),
        ),
    ]
}

/// Where the go command's verdicts are kept.
pub fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/zips/verdicts.tsv")
}

/// The go command's verdict for each case: an `h1:` when it accepts.
pub fn golden() -> BTreeMap<String, Option<String>> {
    let text = std::fs::read_to_string(golden_file()).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let id = fields.next().unwrap();
            let h1 = (fields.next().unwrap() == "accepts").then(|| fields.next().unwrap());
            (id, h1)
        })
        .collect()
}
