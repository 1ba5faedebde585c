//! Zips we write: the same bytes everywhere, read back by our own reader without a remark (Z-30 to Z-33).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;

use craft::{module, of};
use modkeep_module::zip::{Limits, Packer, WriteError, Writer, check, write};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const FILES: [(&str, &str); 4] = [
    ("go.mod", "module example.com/m\n"),
    ("b/b.go", "package b\n"),
    ("a b.txt", ""),
    ("é.txt", "an accent\nan accent\nan accent\n"),
];

/// Words in an order that repeats now and then, so that the level of deflate shows in the bytes.
fn prose() -> String {
    let words = [
        "module",
        "func",
        "return",
        "if err != nil {\n",
        "}\n",
        "package",
        "fish",
        "// a comment",
        "\t",
        "range",
    ];
    let mut state = 1_u32;
    (0..20_000)
        .flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [words[(state >> 24) as usize % words.len()], " "]
        })
        .collect()
}

/// Z-33: a changed byte here means that every zip built from now on differs from those stored.
#[test]
fn the_bytes_never_change() {
    let prose = prose();
    for (files, h1, len, sha256) in [
        (
            &FILES[..],
            "h1:XhgWnVVzPMZxPydyP1Yq6Sy4uzELpOULnQHogvkRS6M=",
            660,
            "1688196fb7ef3fa26d29cfbb9ac864c0774ed5453c9da0bec7b3d8026b1d449d",
        ),
        (
            &[("prose.txt", prose.as_str())],
            "h1:kZuRko44VMQ/Mh2P9ih/6D1BQ1yfHKVXiWdS1tY8xQY=",
            18_302,
            "8cbb59b9e85abd33822c4d1296cdb9eb936badd83310fee4414f29fadd03667a",
        ),
    ] {
        let mut out = Vec::new();
        let sum = write(files.iter().copied(), &of(), &mut out).unwrap();
        let found: Vec<String> = Sha256::digest(&out).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((sum.to_string().as_str(), out.len(), found.concat().as_str()), (h1, len, sha256));
    }
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    write(FILES, &of(), &mut one).unwrap();
    write(FILES.into_iter().rev(), &of(), &mut other).unwrap();
    assert_eq!(one, other);
}

/// Z-30, Z-31, Z-33, field by field.
#[test]
fn records_are_bare() {
    let mut out = Vec::new();
    write(FILES, &module("example.com/Mixed", "v2.0.0+incompatible"), &mut out).unwrap();
    let archive = rawzip::ZipArchive::from_slice(&out).unwrap();
    let mut names = Vec::new();
    for record in archive.entries() {
        let record = record.unwrap();
        let name = String::from_utf8(record.file_path().as_bytes().to_vec()).unwrap();
        assert_eq!(record.compression_method(), rawzip::CompressionMethod::DEFLATE);
        assert_eq!(record.flags().is_utf8(), !name.is_ascii(), "{name}");
        assert_eq!(
            (record.last_modified_dos().packed_date(), record.last_modified_dos().packed_time()),
            (0, 0)
        );
        assert_eq!(record.external_attributes(), 0);
        assert!(record.extra_fields().remaining_bytes().is_empty());
        assert!(record.comment().as_bytes().is_empty());
        names.push(name);
    }
    let prefix = "example.com/Mixed@v2.0.0+incompatible/";
    assert_eq!(names, ["a b.txt", "b/b.go", "go.mod", "é.txt"].map(|name| format!("{prefix}{name}")));
    assert!(archive.comment().as_bytes().is_empty());
}

#[test]
fn a_copied_license_may_come_last() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&of(), &mut out);
    for (name, contents) in
        [("go.mod", "module example.com/m\n"), ("m.go", "package m\n"), ("LICENSE", "MIT\n")]
    {
        writer.add(name, contents.as_bytes()).unwrap();
    }
    let facts = writer.finish().unwrap();
    assert_eq!(facts.files, 3);
    assert_eq!(facts, check(&out, out.len() as u64, &of(), &Limits::default()).unwrap());
}

#[test]
fn a_forbidden_name_is_not_written() {
    for name in ["", "a:b", "../a", "/a", "a//b", "con", "d/"] {
        assert!(matches!(write([(name, "")], &of(), std::io::sink()), Err(WriteError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_full_disk_is_reported() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Err(WriteError::Output(error)) = write(FILES, &of(), Full) else { panic!("written") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written is what is read, whether it was packed on the way or before; contents up to three windows long.
    #[test]
    fn reading_undoes_writing(
        files in proptest::collection::btree_map("(go\\.mod|[a-z]{1,3}/[a-z]{1,8}\\.go)", (1_u32..9, 0_u32..200_000), 0..6),
    ) {
        let contents = |step: u32, len: u32| -> Vec<u8> {
            (0..len).map(|n| n.wrapping_mul(step.wrapping_mul(0x9e37_79b9)).to_le_bytes()[3]).collect()
        };
        let files: Vec<_> = files.iter().map(|(name, (step, len))| (name, contents(*step, *len))).collect();
        let (mut out, mut packed) = (Vec::new(), Vec::new());
        let (mut writer, mut appending) = (Writer::new(&of(), &mut out), Writer::new(&of(), &mut packed));
        let mut packer = Packer::new();
        for (name, contents) in &files {
            writer.add(name, contents).unwrap();
            appending.append(packer.pack(name, contents).unwrap()).unwrap();
        }
        let facts = writer.finish().unwrap();
        prop_assert_eq!(&facts, &appending.finish().unwrap());
        prop_assert!(out == packed);
        prop_assert_eq!(facts.uncompressed, files.iter().map(|(_, f)| f.len() as u64).sum::<u64>());
        prop_assert_eq!(facts, check(&out, out.len() as u64, &of(), &Limits::default()).unwrap());
    }
}
