//! Zips from made trees: the vectors of module-zip.md, the writer's bytes on any number of threads, hostile trees
//! beside the real go command.

mod hostile;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use modkeep_module::zip::check;
use modkeep_module::{ModulePath, Version};
use modkeep_store::{Config, Fetched, MinFree, Store, SystemClock};
use modkeep_testkit::Go;
use modkeep_testkit::git::{GitRepo, raw_entry};
use serde::Deserialize;
use tempfile::TempDir;

use super::*;
use crate::git::tree::cat_file::CatFile;
use crate::git::tree::{GitTree, TreeError};

/// A tree in memory.
#[derive(Default)]
struct Made {
    entries: Vec<Entry>,
    contents: Vec<Vec<u8>>,
    reads: AtomicUsize,
}

impl Made {
    fn of<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort();
        let entry = |(path, contents): &(&str, Vec<u8>)| Entry {
            path: path.as_bytes().to_vec(),
            kind: Kind::Regular { bytes: contents.len() as u64 },
        };
        let entries = files.iter().map(entry).collect();
        Self { entries, contents: files.into_iter().map(|(_, contents)| contents).collect(), reads: 0.into() }
    }
}

impl Tree for Made {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.contents[entry].clone())
    }
}

struct Bench {
    _folder: TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        Self { _folder: folder, store }
    }

    fn pack(&self, tree: &dyn Tree, license: Option<&[u8]>, of: &ModuleVersion) -> Result<FetchedZip, Error> {
        pack(tree, license.map(Bytes::copy_from_slice), of, self.store.scratch().unwrap())
    }
}

fn version(path: &str, version: &str) -> ModuleVersion {
    ModuleVersion::new(ModulePath::parse(path).unwrap(), Version::parse(version).unwrap()).unwrap()
}

fn m() -> ModuleVersion {
    version("example.com/m", "v1.0.0")
}

fn reason(outcome: Result<FetchedZip, Error>) -> String {
    outcome.unwrap_err().to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    label: String,
    path: String,
    version: String,
    #[serde(default)]
    files: Option<Vec<VectorFile>>,
    #[serde(default)]
    invalid: std::collections::BTreeMap<String, String>,
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

/// `testdata/vectors/module-zip.json`, through the tree and the threads.
#[test]
fn vectors_of_the_go_command() {
    let bench = Bench::new();
    let text = include_str!("../../../../testdata/vectors/module-zip.json");
    let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
    assert_eq!(vectors.len(), 49);
    for vector in &vectors {
        let label = &vector.label;
        let path = ModulePath::parse(&vector.path).ok();
        let of = path.and_then(|path| ModuleVersion::new(path, Version::parse(&vector.version).ok()?).ok());
        let Some(of) = of else { continue };
        let mut files: Vec<&VectorFile> = vector.files.iter().flatten().collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut tree = Made::of([]);
        for file in files {
            let regular = Kind::Regular { bytes: file.text.len() as u64 };
            let kind = if file.symlink { Kind::Symlink } else { regular };
            tree.entries.push(Entry { path: file.name.clone().into_bytes(), kind });
            tree.contents.push(file.text.clone().into_bytes());
        }
        match bench.pack(&tree, None, &of) {
            Ok(zip) => assert_eq!(zip.h1().to_string(), vector.h1, "{label}"),
            Err(Error::Unfit { reason }) => {
                assert_eq!(reason.lines().count(), vector.invalid.len(), "{label}: {reason}");
            }
            Err(other) => panic!("{label}: {other}"),
        }
    }
}

/// What is built on threads is what the sequential writer makes (Z-33), and what a reader finds in it is what we say.
/// Every file is read once.
#[test]
fn threads_do_not_show() {
    let noise = |seed: usize, len: usize| -> Vec<u8> {
        (0..len).map(|n| ((n * n * (seed + 7)) >> 5).to_le_bytes()[0] & 0x3f | b'@').collect()
    };
    let names: Vec<String> = (0..3000).map(|n| format!("d{}/f{n}.go", n % 40)).collect();
    let mut files: Vec<(&str, Vec<u8>)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), noise(n, n * 7 % 3000))).collect();
    files.push(("a/large", noise(1, 9 << 20)));
    files.push(("b/larger", noise(2, 17 << 20)));
    files.push(("c/large", noise(3, 12 << 20)));
    files.push(("go.mod", b"module example.com/m\n".to_vec()));
    let mut sequential = Vec::new();
    let h1 = zip::write(files.iter().map(|(n, c)| (*n, c)), &m(), &mut sequential).unwrap();
    let tree = Made::of(files);
    let bench = Bench::new();
    let built = bench.pack(&tree, None, &m()).unwrap();
    assert_eq!((built.h1(), built.size()), (h1, sequential.len() as u64));
    let expected = check(&sequential, sequential.len() as u64, &m(), &Limits::default()).unwrap();
    assert_eq!(built.facts(), &expected);
    // The go.mod is read once more, for its go line.
    assert_eq!(tree.reads.load(Ordering::Relaxed), tree.entries.len() + 1);
    let modkeep_store::Body::Scratch(scratch) = built.into_body() else { panic!("a zip is a file") };
    let written = std::io::Read::bytes(std::io::BufReader::new(scratch.reader().unwrap()));
    assert!(written.map(Result::unwrap).eq(sequential));
}

#[test]
fn a_file_that_cannot_be_read_ends_the_work() {
    struct Broken(Made);
    impl Tree for Broken {
        fn entries(&self) -> &[Entry] {
            self.0.entries()
        }
        fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
            match entry {
                700 => Err(Error::Trouble { host: "h".to_owned(), reason: "the disk".to_owned() }),
                _ => self.0.read(entry),
            }
        }
    }
    let names: Vec<String> = (0..1000).map(|n| format!("f{n:04}")).collect();
    let tree = Broken(Made::of(names.iter().map(|name| (name.as_str(), vec![b'x'; 100_000]))));
    assert_eq!(reason(Bench::new().pack(&tree, None, &m())), "h: the disk");
}

#[test]
#[should_panic(expected = "a scoped thread panicked")]
fn a_worker_that_dies_takes_everything_with_it() {
    struct Deadly(Made);
    impl Tree for Deadly {
        fn entries(&self) -> &[Entry] {
            self.0.entries()
        }
        fn read(&self, entry: usize) -> Result<Vec<u8>, Error> {
            assert!(entry != 700, "dies");
            self.0.read(entry)
        }
    }
    let names: Vec<String> = (0..1000).map(|n| format!("f{n:04}")).collect();
    let tree = Deadly(Made::of(names.iter().map(|name| (name.as_str(), vec![b'x'; 100_000]))));
    let _ = Bench::new().pack(&tree, None, &m());
}

/// Z-20, Z-21, Z-23.
#[test]
fn the_license_of_the_root() {
    let bench = Bench::new();
    let tree = Made::of([("go.mod", vec![]), ("x.go", vec![])]);
    assert!(wants_license(&tree, "sub"));
    assert!(!wants_license(&tree, ""), "the root has its own or none");
    let with_link = Made {
        entries: vec![Entry { path: b"LICENSE".to_vec(), kind: Kind::Symlink }],
        contents: vec![vec![]],
        ..Made::default()
    };
    assert!(!wants_license(&with_link, "sub"), "a link suppresses the copy and is dropped");
    let built = bench.pack(&tree, Some(b"MIT"), &m()).unwrap();
    assert_eq!((built.facts().files, built.facts().uncompressed), (3, 3));
    let own = Made::of([("license", vec![])]);
    assert!(wants_license(&own, "sub"), "another name is another file");
    assert_eq!(
        reason(bench.pack(&own, Some(b"MIT"), &m())),
        "create zip: LICENSE: case-insensitive file name collision: \"license\" and \"LICENSE\""
    );
}

/// Section 2, and the texts of the go command.
#[test]
fn limits_and_flaws() {
    let bench = Bench::new();
    let sized = |files: &[(&str, u64)]| Made {
        entries: files
            .iter()
            .map(|(path, bytes)| Entry {
                path: path.as_bytes().to_vec(),
                kind: Kind::Regular { bytes: *bytes },
            })
            .collect(),
        ..Made::default()
    };
    for (files, expected) in [
        (
            &[("a", 250 << 20), ("b", (250 << 20) + 1)][..],
            "module source tree too large (max size is 524288000 bytes)",
        ),
        (
            &[("go.mod", (16 << 20) + 1)],
            "create zip: go.mod: go.mod file too large (max size is 16777216 bytes)",
        ),
        (
            &[("LICENSE", (16 << 20) + 1)],
            "create zip: LICENSE: LICENSE file too large (max size is 16777216 bytes)",
        ),
        (
            &[("a:b", 1), ("con", 1)],
            "create zip: a:b: malformed file path \"a:b\": invalid char ':'\n\
             con: malformed file path \"con\": \"con\" disallowed as path element component on Windows",
        ),
        (&[("a\nb", 1)], "create zip: a\\nb: malformed file path \"a\\nb\": invalid char '\\n'"),
    ] {
        assert_eq!(reason(bench.pack(&sized(files), None, &m())), expected);
    }
    let names: Vec<String> = (0..40_000).map(|n| format!("{n:02000}")).collect();
    let names: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let list = "list of module files too large (max size is 67108864 bytes)";
    assert_eq!(reason(bench.pack(&sized(&names), None, &m())), list);
    let many: Vec<String> = (0..5_000).map(|n| format!("{n:06}:")).collect();
    let many: Vec<(&str, u64)> = many.iter().map(|name| (name.as_str(), 1)).collect();
    let long = reason(bench.pack(&sized(&many), None, &m()));
    assert!(long.len() < 17 << 10 && long.ends_with(" more"), "{}", long.len());
}

/// Z-1: what the go command cannot download has no zip here, although the files that make it so are in none.
#[test]
fn files_that_are_left_out_count_for_the_size_of_the_download() {
    let bench = Bench::new();
    let noise = |len: usize| -> Vec<u8> {
        let step = |seed: &mut u32| {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*seed >> 24) as u8)
        };
        std::iter::repeat_n((), len).scan(7, |seed, ()| step(seed)).collect()
    };
    let limits = Limits { zip_bytes_max: 4096, ..Limits::default() };
    let pack = |below: &str, contents: Vec<u8>| {
        let tree = Made::of([
            ("go.mod", b"module example.com/m\n".to_vec()),
            ("sub/go.mod", b"module example.com/m/sub\n".to_vec()),
            (below, contents),
        ]);
        let packed = pack_within(&limits, &tree, None, &m(), bench.store.scratch().unwrap());
        (packed.map(drop).map_err(|error| error.to_string()), tree.reads.into_inner())
    };
    let refused = |what: &str| Err(format!("{what} too large (max size is 4096 bytes)"));
    assert_eq!(pack("sub/noise", noise(3000)), (Ok(()), 2), "small enough as it is: none of it is read");
    assert_eq!(pack("sub/zeros", vec![0; 100_000]).0, Ok(()));
    assert_eq!(pack("sub/noise", noise(4200)).0, refused("downloaded zip file"));
    // Alone it would fit; with what is kept it does not.
    assert_eq!(pack("sub/noise", noise(4090)).0, refused("downloaded zip file"));
    assert_eq!(pack("noise", noise(4200)).0, refused("module zip file"));
}

/// Z-16: names are bytes, and told as the go command tells them.
#[test]
fn a_name_that_is_no_text_is_quoted_byte_by_byte() {
    for (name, told) in [
        (&b"bad\xff.go"[..], "bad\u{fffd}.go: malformed file path \"bad\\xff.go\": invalid UTF-8"),
        (b"\xe2\x82\"x", "\u{fffd}\"x: malformed file path \"\\xe2\\x82\\\"x\": invalid UTF-8"),
    ] {
        assert_eq!(super::line(name, &Refusal::NotUtf8), told);
    }
}
