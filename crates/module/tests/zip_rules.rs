//! `testdata/vectors/module-zip.json`, 49 file sets judged by the zip code of go 1.27.3, and the rows of module-zip.md
//! section 5 that they leave out.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

mod craft;

use std::collections::BTreeMap;

use modkeep_module::h1::H1;
use modkeep_module::zip::rules::{Candidate, Decided, Kind, Omission, Refusal, VendorRules, Verdict, decide};
use modkeep_module::zip::{self, Collision, Limits};
use modkeep_module::{ModulePath, ModuleVersion, Version};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    label: String,
    path: String,
    version: String,
    #[serde(default)]
    files: Option<Vec<VectorFile>>,
    #[serde(default)]
    kept: Vec<String>,
    #[serde(default)]
    omitted: BTreeMap<String, String>,
    #[serde(default)]
    invalid: BTreeMap<String, String>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    h1: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VectorFile {
    name: String,
    text: String,
    #[serde(default)]
    symlink: bool,
}

impl VectorFile {
    fn candidate(&self) -> Candidate<'_> {
        let kind = if self.symlink { Kind::Symlink } else { Kind::Regular { bytes: self.text.len() as u64 } };
        Candidate { path: self.name.as_bytes(), kind }
    }
}

fn module(vector: &Vector) -> Option<ModuleVersion> {
    let path = ModulePath::parse(&vector.path).ok()?;
    ModuleVersion::new(path, Version::parse(&vector.version).ok()?).ok()
}

fn decided(files: &[VectorFile]) -> Decided {
    let candidates: Vec<_> = files.iter().map(VectorFile::candidate).collect();
    let go_mod = files.iter().find(|f| f.name == "go.mod" && !f.symlink).map(|f| f.text.as_bytes());
    decide(&candidates, VendorRules::of_go_mod(go_mod), &Limits::default())
}

/// The class of a refusal: the text of the reference without what it quotes.
fn class(text: &str) -> &'static str {
    const CLASSES: [&str; 6] = [
        "malformed file path",
        "case-insensitive file name collision",
        "is both a file and a directory",
        "multiple entries for file",
        "go.mod files must have lowercase names",
        "file path is not clean",
    ];
    CLASSES.into_iter().find(|class| text.contains(class)).unwrap_or_else(|| panic!("no class: {text}"))
}

#[test]
fn vectors_of_the_go_command() {
    let text = include_str!("../../../testdata/vectors/module-zip.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 49);
    for vector in &vectors {
        one(vector);
    }
}

fn one(vector: &Vector) {
    let label = &vector.label;
    let Some(of) = module(vector) else {
        assert!(!vector.error.is_empty(), "{label}");
        return;
    };
    let files = vector.files.as_deref().unwrap_or_default();
    let decided = decided(files);
    assert_eq!(decided.is_valid(), vector.error.is_empty(), "{label}: {decided:?}");
    let (mut omitted, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (file, verdict) in files.iter().zip(&decided.verdicts) {
        match verdict {
            Verdict::Keep => {}
            Verdict::Omit(why) => drop(omitted.insert(file.name.clone(), why.to_string())),
            Verdict::Refuse(why) => drop(refused.insert(file.name.as_str(), class(&why.to_string()))),
        }
    }
    assert_eq!(omitted, vector.omitted, "{label}");
    let invalid: BTreeMap<_, _> =
        vector.invalid.iter().map(|(name, why)| (name.as_str(), class(why))).collect();
    assert_eq!(refused, invalid, "{label}");
    if !decided.is_valid() {
        return;
    }
    let mut kept: Vec<&VectorFile> = decided.kept().map(|index| &files[index]).collect();
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = kept.iter().map(|file| format!("{of}/{}", file.name)).collect();
    assert_eq!(names, vector.kept, "{label}");
    let mut out = Vec::new();
    let h1 = zip::write(kept.iter().map(|file| (&file.name, &file.text)), &of, &mut out).unwrap();
    assert_eq!(h1.to_string(), vector.h1, "{label}");
    let facts = zip::check(&out, out.len() as u64, &of, &Limits::default()).unwrap();
    assert_eq!((facts.h1, facts.anomalies), (h1, vec![]), "{label}");
}

#[test]
fn dirhash_vector() {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../../testdata/vectors/dirhash.json")).unwrap();
    let of = craft::of();
    let prefix = format!("{of}/");
    let files = vector["zip"]["files"].as_array().unwrap().iter().map(|file| {
        let name = file["name"].as_str().unwrap();
        (name.strip_prefix(&prefix).unwrap(), file["content"].as_str().unwrap())
    });
    let h1 = zip::write(files, &of, std::io::sink()).unwrap();
    assert_eq!(h1.to_string(), vector["zip"]["h1"].as_str().unwrap());
    let h1 = zip::write(std::iter::empty::<(&str, &[u8])>(), &of, std::io::sink()).unwrap();
    assert_eq!(h1.to_string(), vector["empty"].as_str().unwrap());
    let go_mod = vector["gomod"]["content"].as_str().unwrap();
    assert_eq!(H1::of_go_mod(go_mod.as_bytes()).to_string(), vector["gomod"]["h1"].as_str().unwrap());
}

fn file(path: &str) -> Candidate<'_> {
    Candidate { path: path.as_bytes(), kind: Kind::Regular { bytes: 1 } }
}

fn verdict_of(path: &str, vendor: VendorRules) -> Verdict {
    decide(&[file(path)], vendor, &Limits::default()).verdicts.remove(0)
}

/// module-zip.md section 5.1, both columns.
#[test]
fn vendored_files_by_go_line() {
    let omit = Verdict::Omit(Omission::Vendored);
    for (path, before, since) in [
        ("vendor/modules.txt", &Verdict::Keep, &omit),
        ("vendor/x.go", &Verdict::Keep, &Verdict::Keep),
        ("vendor/a/a.go", &omit, &omit),
        ("pkg/vendor/vendor.go", &omit, &Verdict::Keep),
        ("pkg/vendor/modules.txt", &omit, &Verdict::Keep),
        ("pkg/vendor/foo/foo.go", &omit, &omit),
        ("vendor", &Verdict::Keep, &Verdict::Keep),
        ("pkg/vendor", &Verdict::Keep, &Verdict::Keep),
        ("myvendor/a/a.go", &Verdict::Keep, &Verdict::Keep),
        ("vendor/vendor/x.go", &omit, &omit),
        ("a/vendor/vendor/x.go", &omit, &omit),
    ] {
        assert_eq!(&verdict_of(path, VendorRules::Before124), before, "{path} before 1.24");
        assert_eq!(&verdict_of(path, VendorRules::Since124), since, "{path} since 1.24");
    }
}

#[test]
fn the_go_line_chooses_the_vendor_rules() {
    for (go_mod, rules) in [
        ("module m\n", VendorRules::Before124),
        ("module m\ngo 1.23.9\n", VendorRules::Before124),
        ("module m\ngo 1.24\n", VendorRules::Since124),
        ("module m\ngo 1.24rc1\n", VendorRules::Since124),
        ("module m\ngo 1.24x\n", VendorRules::Since124),
        ("module m\ngo 1.100\n", VendorRules::Since124),
        ("module m\ngo 2.0\n", VendorRules::Since124),
        ("module m\ngo 1.3\n", VendorRules::Before124),
        ("module m\ngo 1.24\ngo 1.24\n", VendorRules::Before124),
        ("module m\nbogus\ngo 1.24\n", VendorRules::Since124),
    ] {
        assert_eq!(VendorRules::of_go_mod(Some(go_mod.as_bytes())), rules, "{go_mod:?}");
    }
    assert_eq!(VendorRules::of_go_mod(None), VendorRules::Before124);
}

/// The order of the rows: the first that matches decides.
#[test]
fn rows_in_order() {
    let refusal = |path: &str| match verdict_of(path, VendorRules::Since124) {
        Verdict::Refuse(why) => why,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(refusal("vendor//a:b/x"), Refusal::NotClean);
    assert_eq!(refusal("/vendor/a/b"), Refusal::NotRelative);
    assert_eq!(refusal(""), Refusal::NotClean);
    assert!(matches!(refusal("../x"), Refusal::Name(_)));
    assert_eq!(refusal("Go.mod"), Refusal::GoModCase);
    assert_eq!(verdict_of("vendor/a/b:c", VendorRules::Since124), Verdict::Omit(Omission::Vendored));
    assert_eq!(verdict_of(".hg_archival.txt", VendorRules::Since124), Verdict::Omit(Omission::HgArchival));
    assert_eq!(verdict_of("d/.hg_archival.txt", VendorRules::Since124), Verdict::Keep);
}

/// A name that is not UTF-8 is fatal, but harmless where the file is left out anyway (Z-16).
#[test]
fn names_that_are_no_text() {
    let kind = Kind::Regular { bytes: 1 };
    let files = [
        Candidate { path: b"a\xff", kind },
        Candidate { path: b"vendor/a/\xff", kind },
        Candidate { path: b"sub/\xff", kind },
        file("sub/go.mod"),
    ];
    let verdicts = decide(&files, VendorRules::Before124, &Limits::default()).verdicts;
    assert_eq!(
        verdicts,
        [
            Verdict::Refuse(Refusal::NotUtf8),
            Verdict::Omit(Omission::Vendored),
            Verdict::Omit(Omission::OtherModule),
            Verdict::Omit(Omission::OtherModule),
        ]
    );
}

#[test]
fn nested_modules_at_every_level() {
    let files = ["go.mod", "a/b/go.mod", "a/b/c/d/x.go", "a/x.go", "e/GO.MOD", "e/f/g.go", "go.mod.d/x"];
    let candidates = files.map(file);
    let decided = decide(&candidates, VendorRules::Since124, &Limits::default());
    let kept: Vec<_> = decided.kept().map(|index| files[index]).collect();
    assert_eq!(kept, ["go.mod", "a/x.go", "go.mod.d/x"]);
}

#[test]
fn clashes_are_laid_at_the_later_file() {
    let files = [file("A.go"), file("a.go"), file("x"), file("x/y"), file("z"), file("z")];
    let decided = decide(&files, VendorRules::Since124, &Limits::default());
    let refused: Vec<_> = decided.refused().collect();
    let case = Collision::Case { first: "A.go".into(), second: "a.go".into() };
    assert_eq!(
        refused,
        [
            (1, &Refusal::Collision(case)),
            (3, &Refusal::Collision(Collision::FileAndDirectory("x".into()))),
            (5, &Refusal::Collision(Collision::Twice("z".into()))),
        ]
    );
}

#[test]
fn what_is_no_regular_file_is_left_out_but_collides() {
    let at = |path: &'static str, kind| Candidate { path: path.as_bytes(), kind };
    let files =
        [at("link", Kind::Symlink), at("sub", Kind::Directory), at("dev", Kind::Special), file("Link")];
    let verdicts = decide(&files, VendorRules::Since124, &Limits::default()).verdicts;
    assert_eq!(verdicts[0], Verdict::Omit(Omission::Symlink));
    assert_eq!(verdicts[1], Verdict::Omit(Omission::NotRegular));
    assert_eq!(verdicts[2], Verdict::Omit(Omission::NotRegular));
    assert!(matches!(verdicts[3], Verdict::Refuse(Refusal::Collision(_))));
}

/// Section 2: 500 MiB of kept files, 16 MiB of go.mod and of LICENSE at the root.
#[test]
fn limits_are_those_of_the_go_command() {
    const MIB: u64 = 1 << 20;
    let sized =
        |path: &'static str, bytes| Candidate { path: path.as_bytes(), kind: Kind::Regular { bytes } };
    let decide = |files: &[Candidate<'_>]| decide(files, VendorRules::Since124, &Limits::default());
    assert!(decide(&[sized("a", 250 * MIB), sized("b", 250 * MIB)]).is_valid());
    assert!(decide(&[sized("a", 250 * MIB), sized("b", 250 * MIB + 1)]).too_large);
    assert!(decide(&[sized("a", 500 * MIB), sized("vendor/x/huge", u64::MAX)]).is_valid());
    assert!(!decide(&[sized("a", u64::MAX), sized("b", u64::MAX)]).is_valid());
    assert!(decide(&[sized("go.mod", 16 * MIB), sized("LICENSE", 16 * MIB)]).is_valid());
    let limit = 16 * MIB;
    let over =
        decide(&[sized("go.mod", limit + 1), sized("LICENSE", limit + 1), sized("d/LICENSE", limit + 1)]);
    let refused: Vec<_> = over.refused().collect();
    let expected = [(0, &Refusal::GoModTooLarge { limit }), (1, &Refusal::LicenseTooLarge { limit })];
    assert_eq!(refused, expected);
}
