//! The rows of hostile-inputs.md part F: each is a zip written byte by byte, what we must say to it, and what the go
//! command says (`testdata/zips/verdicts.tsv`, recomputed by `zip_oracle.rs` wherever a go command is found).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;
mod hostile;

use std::time::{Duration, Instant};

use craft::of;
use hostile::{Case, Want, cases, golden};
use modkeep_module::zip::{Limits, Part, ReadAt, ZipError, check};

/// Checks every case whose id begins with `row`.
fn judge(row: &str) {
    let golden = golden();
    let mut judged = 0;
    for case in cases().into_iter().filter(|case| case.id.starts_with(row)) {
        let go = golden.get(case.id).unwrap_or_else(|| panic!("{}: no golden verdict", case.id));
        one(&case, go.as_deref());
        judged += 1;
    }
    assert!(judged > 0, "no case of {row}");
}

/// Holds our verdict against what is wanted and against the go command's, an `h1:` or nothing.
fn one(case: &Case, go: Option<&str>) {
    let id = case.id;
    let ours = check(&case.zip, case.zip.len() as u64, &of(), &Limits::default());
    match (&case.want, &ours) {
        (Want::Accept, Ok(facts)) => assert_eq!(facts.anomalies, [], "{id}"),
        (Want::Anomalous(kinds), Ok(facts)) => {
            let mut seen: Vec<_> = facts.anomalies.iter().map(|a| a.kind).collect();
            seen.sort_unstable();
            let mut kinds = kinds.clone();
            kinds.sort_unstable();
            assert_eq!(seen, kinds, "{id}: {:?}", facts.anomalies);
        }
        (Want::Refuse, Err(error)) => assert!(!matches!(error, ZipError::Read(_)), "{id}: {error}"),
        (want, ours) => panic!("{id}: wanted {want:?}, got {ours:?}"),
    }
    match (&ours, go, case.stricter) {
        (Ok(facts), Some(h1), None) => assert_eq!(facts.h1.to_string(), h1, "{id}"),
        (Err(_), None, None) | (Err(_), Some(_), Some(_)) | (Ok(_), None, Some(_)) => {}
        (ours, go, known) => panic!("{id}: we say {ours:?}, go says {go:?}, known difference: {known:?}"),
    }
}

macro_rules! rows {
    ($($name:ident: $row:literal;)*) => {
        $(#[test] fn $name() { judge($row); })*
    };
}

rows! {
    hostile_f01_what_go_accepts: "f01";
    hostile_f02_same_file_twice: "f02";
    hostile_f03_names_equal_but_for_case: "f03";
    hostile_f04_file_and_directory: "f04";
    hostile_f05_path_leads_elsewhere: "f05";
    hostile_f06_forbidden_characters: "f06";
    hostile_f07_local_name_differs: "f07";
    hostile_f08_local_sizes_differ: "f08";
    hostile_f09_entries_overlap: "f09";
    hostile_f10_name_is_not_utf8: "f10";
    hostile_f11_letters_that_are_none: "f11";
    hostile_f12_names_windows_reserves: "f12";
    hostile_f13_wrong_prefix: "f13";
    hostile_f14_go_mod_elsewhere: "f14";
    hostile_f15_symlink_mode: "f15";
    hostile_f16_encrypted_flag: "f16";
    hostile_f17_other_methods: "f17";
    hostile_f18_wrong_crc: "f18";
    hostile_f19_wrong_sizes: "f19";
    hostile_f24_large_go_mod_and_license: "f24";
    hostile_f25_bytes_before: "f25";
    hostile_f26_bytes_after: "f26";
    hostile_f27_wrong_entry_count: "f27";
    hostile_f28_no_zip_at_all: "f28";
    hostile_f29_zip64: "f29";
    hostile_f30_directory_entries_that_are_none: "f30";
    hostile_f32_deep_path: "f32";
    hostile_f33_long_element: "f33";
    hostile_f34_vendored_and_dot_git: "f34";
    hostile_f35_long_comment: "f35";
    hostile_f36_zip_of_another_module: "f36";
    structure_that_no_plain_writer_makes: "x";
}

/// Fails every read: what is refused through it was refused unread.
struct Unreadable;

impl ReadAt for Unreadable {
    fn read_exact_at(&self, _: &mut [u8], _: u64) -> std::io::Result<()> {
        Err(std::io::Error::other("read"))
    }
}

#[test]
fn hostile_f31_file_too_large() {
    let limit = 500 << 20;
    let error = check(&Unreadable, limit + 1, &of(), &Limits::default()).unwrap_err();
    assert!(matches!(error, ZipError::TooLarge { part: Part::Zip, .. }), "{error}");
    let error = check(&Unreadable, limit, &of(), &Limits::default()).unwrap_err();
    assert!(matches!(error, ZipError::Read(_)), "{error}");
}

/// F20, F21 and F09 in the size that would hurt: refused from declared sizes, nothing is inflated.
fn refused_at_once(row: &str) {
    for case in cases().into_iter().filter(|case| case.id.starts_with(row)) {
        let start = Instant::now();
        let error = check(&case.zip, case.zip.len() as u64, &of(), &Limits::default()).unwrap_err();
        let took = start.elapsed();
        assert!(matches!(error, ZipError::TooLarge { part: Part::Contents, .. }), "{}: {error}", case.id);
        assert!(took < Duration::from_millis(100), "{}: {took:?}", case.id);
    }
    judge(row);
}

#[test]
fn hostile_f20_one_entry_declares_501_mib() {
    refused_at_once("f20");
}

#[test]
fn hostile_f21_two_times_300_mib_of_zeros() {
    refused_at_once("f21");
}

#[test]
fn hostile_f09_200_overlaps_of_10_mib() {
    refused_at_once("big f09");
}

/// The central directory has its own limit, looked at before it is read.
#[test]
fn the_directory_has_a_limit() {
    let zip = craft::Zip::of(craft::plain()).bytes();
    let limits = Limits { directory_bytes_max: 50, ..Limits::default() };
    let error = check(&zip, zip.len() as u64, &of(), &limits).unwrap_err();
    assert!(matches!(error, ZipError::TooLarge { part: Part::Directory, limit: 50, .. }), "{error}");
}

/// No cut of a zip is a zip, and no flipped bit changes what is read without a word.
#[test]
fn damage_is_seen() {
    let zip = craft::Zip::of([
        craft::Entry::named("go.mod").deflated("module example.com/m\n").with_descriptor(true, false),
        craft::Entry::named("d/é.go").stored("package d\n"),
    ])
    .bytes();
    let size = zip.len() as u64;
    let whole = check(&zip, size, &of(), &Limits::default()).unwrap();
    assert_eq!(whole.anomalies, []);
    for cut in 0..zip.len() {
        assert!(check(&zip[..cut], cut as u64, &of(), &Limits::default()).is_err(), "cut at {cut}");
    }
    for bit in 0..zip.len() * 8 {
        let mut flipped = zip.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(facts) = check(&flipped, size, &of(), &Limits::default()) {
            let same = facts.h1 == whole.h1 && facts.go_mod == whole.go_mod;
            assert!(same || !facts.anomalies.is_empty(), "bit {bit}: {facts:?}");
        }
    }
}

/// A reader's own trouble is never a verdict about the zip.
#[test]
fn a_failing_disk_is_not_a_bad_zip() {
    struct Failing<'a>(&'a [u8], u64);
    impl ReadAt for Failing<'_> {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
            if offset + buf.len() as u64 > self.1 {
                return Err(std::io::Error::other("disk"));
            }
            self.0.read_exact_at(buf, offset)
        }
    }
    let contents: Vec<u8> =
        (0..300_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    let zip = craft::plain_and([craft::Entry::named("big").stored(contents)]).bytes();
    let size = zip.len() as u64;
    assert!(check(&Failing(&zip, size), size, &of(), &Limits::default()).is_ok());
    for bad_from in [0, 1_000, 100_000, size - 1] {
        let error = check(&Failing(&zip, bad_from), size, &of(), &Limits::default()).unwrap_err();
        assert!(matches!(error, ZipError::Read(_)), "{bad_from}: {error}");
    }
}

#[test]
fn facts_of_a_plain_zip() {
    let zip = craft::Zip::of(craft::plain()).bytes();
    let facts = check(&zip, zip.len() as u64, &of(), &Limits::default()).unwrap();
    assert_eq!(facts.go_mod.as_deref(), Some(&b"module example.com/m\n"[..]));
    assert_eq!((facts.files, facts.uncompressed), (2, 31));
}
