//! Trees against the real `git archive`, byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use modkeep_testkit::git::{GitRepo, raw_entry};
use proptest::prelude::*;
use tempfile::TempDir;

use super::cat_file::{Archived, CatFile, git_archive};
use super::*;

/// How many trees are compared in one run; `MODKEEP_ARCHIVE_CASES` asks for more.
const CASES: u32 = 300;

/// A file of a made tree.
#[derive(Clone, Debug)]
enum Made {
    File(Vec<u8>),
    Link(Vec<u8>),
}

fn read_all(tree: &GitTree) -> BTreeMap<Vec<u8>, Archived> {
    let files = tree.entries().iter().enumerate().map(|(index, entry)| {
        let archived = match entry.kind {
            Kind::Symlink => Archived::Link,
            Kind::Regular { bytes } => {
                let contents = tree.read(index).unwrap();
                assert_eq!(contents.len() as u64, bytes, "{:?}", String::from_utf8_lossy(&entry.path));
                Archived::File(contents)
            }
            other => panic!("{other:?}"),
        };
        (entry.path.clone(), archived)
    });
    files.collect()
}

fn open(repository: &Path, revision: &str, dir: &str) -> Result<Option<GitTree>, TreeError> {
    let objects = Arc::new(CatFile::start(repository));
    let root = objects.tree_of(revision);
    GitTree::open(objects, &root, dir)
}

/// A repository with one commit.
fn repository(files: &[(&str, &str)]) -> (TempDir, GitRepo) {
    let folder = tempfile::tempdir().unwrap();
    let mut repo = GitRepo::init(&folder.path().join("r.git"));
    for (name, contents) in files {
        repo.put(name, contents);
    }
    repo.commit("made").save();
    (folder, repo)
}

/// Compares a directory of a commit with git's archive of it; says how many files were equal.
fn compare(repo: &GitRepo, revision: &str, dir: &str) -> usize {
    let theirs = git_archive(repo.path(), revision, dir).unwrap();
    let ours = read_all(&open(repo.path(), revision, dir).unwrap().unwrap());
    assert_eq!(ours, theirs);
    ours.len()
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b.go",
        "c.txt",
        "d e",
        "f[1]",
        "Makefile",
        "g\\h",
        "ü.txt",
        "-x",
        "long.name.txt",
    ])
}

fn directories() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["x", "y", "z.d", "xy", "X"]);
    prop::collection::vec(name, 0..4).prop_map(|names| names.iter().flat_map(|name| [name, "/"]).collect())
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"a line"[..],
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b"$Id$",
        b"$Id: 1234 $",
        b"$Id: a b $",
        b"$Id:",
        b"$Id:$",
        b"$",
        b"\xc3\xbc",
        b"\xff\xfe",
        b"\xf0\x9f\x98\x80",
        b"\xef\xbb\xbf",
        b"\0",
        b"\x1a",
        b"\x08\x0c\x1b\t",
        b"\x01\x02",
        b"\x7f",
        b"$Format:%H$",
        b"version https://git-lfs.github.com/spec/v1\n",
        &[b'p'; 150],
        &[b'q'; 127],
        b"\xed\xa0\x80",
        b"\xf3\xa0\x81\x81",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "*",
        "*",
        "*",
        "*.go",
        "*.txt",
        "c.txt",
        "/c.txt",
        "x/*",
        "x/**",
        "/x/**",
        "**/c.txt",
        "x/**/c.txt",
        "[a-c]*",
        "[!a-c]*",
        "?",
        "*.t?t",
        "\"d e\"",
        "\"d e",
        "\"c.t\\170t\"",
        "\"\"",
        "!a",
        "x/",
        "x/y",
        "x/y/",
        "x**/b.go",
        "x**",
        "**x/b.go",
        "f\\[1\\]",
        "f[1]",
        "g\\\\h",
        "[[:alpha:]]",
        "[[:alpha]",
        "**",
        "/**",
        "*/*",
        "*/",
        "/",
        "ü.txt",
        "#a",
        "\\#a",
        "[attr]",
        "x*/c.txt",
        "x?/c.txt",
        "**/y/**",
        "/a",
        "*a*",
        "*.*.*",
        "\\a",
        "\\",
        "-x",
        ".gitattributes",
        "x/**/",
        "x//a",
        "a/../b",
        "[^x]*",
        "[]a]",
        "\u{feff}*",
    ])
}

fn state() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "eol=crlf",
        "eol=crlf",
        "eol=crlf",
        "eol=crlf",
        "text",
        "-text",
        "!text",
        "text=auto",
        "text=auto",
        "text=input",
        "text=yes",
        "eol=lf",
        "!eol",
        "-eol",
        "eol",
        "eol=",
        "crlf",
        "-crlf",
        "!crlf",
        "crlf=input",
        "crlf=auto",
        "ident",
        "ident",
        "ident",
        "-ident",
        "!ident",
        "ident=yes",
        "binary",
        "-binary",
        "!binary",
        "binary=x",
        "working-tree-encoding=UTF-16",
        "working-tree-encoding=utf16le",
        "working-tree-encoding=UTF-16BE",
        "working-tree-encoding=UTF-16LE-BOM",
        "working-tree-encoding=UTF-16BE-BOM",
        "working-tree-encoding=UTF-32",
        "working-tree-encoding=UTF-32BE",
        "working-tree-encoding=UTF-32LE",
        "working-tree-encoding=ISO-8859-1",
        "working-tree-encoding=latin-1",
        "working-tree-encoding=ASCII",
        "working-tree-encoding=utf8",
        "working-tree-encoding=",
        "-working-tree-encoding",
        "!working-tree-encoding",
        "working-tree-encoding=SHIFT-JIS",
        "filter=lfs",
        "diff=go",
        "export-ignore",
        "export-subst",
        "m1",
        "m1",
        "m2",
        "-m1",
        "!m2",
        "m1=x",
        "bad*name",
        "--x",
        "-x=y",
        "!eol=crlf",
        "builtin_x",
        "=",
    ])
}

fn line() -> impl Strategy<Value = String> {
    let states = || prop::collection::vec(state(), 0..4).prop_map(|states| states.join(" "));
    let blank = || prop::sample::select(vec![" ", " ", "\t", "  "]);
    let mac = prop::sample::select(vec![
        "[attr]m1",
        "[attr]m2",
        "[attr]binary",
        "[attr]text",
        "[attr] m1",
        "\"[attr] m1\"",
        "[attr]-m",
        "[attr]builtin_m",
    ]);
    prop_oneof![
        10 => (pattern(), blank(), states()).prop_map(|(pattern, blank, states)| format!("{pattern}{blank}{states}")),
        3 => (mac, blank(), states()).prop_map(|(name, blank, states)| format!("{name}{blank}{states}")),
        1 => Just("# a comment".to_owned()),
        1 => Just("  ".to_owned()),
        1 => states().prop_map(|states| format!(" * {states} \r")),
        1 => states().prop_map(|states| format!("* {}{states}", " ".repeat(2040))),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(line(), 1..7).prop_map(|lines| lines.join("\n").into_bytes())
}

fn tree() -> impl Strategy<Value = (BTreeMap<String, Made>, usize)> {
    let file = (directories(), names(), contents())
        .prop_map(|(dir, name, text)| (format!("{dir}{name}"), Made::File(text)));
    let said = (directories(), attributes())
        .prop_map(|(dir, text)| (format!("{dir}.gitattributes"), Made::File(text)));
    let linked = (directories(), attributes())
        .prop_map(|(dir, text)| (format!("{dir}.gitattributes"), Made::Link(text)));
    let link = (directories(), names(), contents())
        .prop_map(|(dir, name, text)| (format!("{dir}{name}"), Made::Link(text)));
    let root = attributes().prop_map(|text| (".gitattributes".to_owned(), Made::File(text)));
    let entry = prop_oneof![12 => file, 4 => said, 1 => linked, 1 => link];
    (prop::collection::vec(entry, 1..14), root, any::<usize>())
        .prop_map(|(files, root, dir)| (files.into_iter().chain([root]).collect(), dir))
}

/// Every directory of the files, and the root.
fn directories_of(files: &BTreeMap<String, Made>) -> Vec<&str> {
    let mut found: Vec<&str> = files
        .keys()
        .flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at]))
        .chain([""])
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Section 3: many attribute lines, line ends and binary contents, compared with git byte for byte, at the root and below.
#[test]
fn archives_are_those_of_git() {
    let folder = tempfile::tempdir().unwrap();
    let repo = std::cell::RefCell::new(GitRepo::init(&folder.path().join("r.git")));
    let objects = Arc::new(CatFile::start(&folder.path().join("r.git")));
    let compared = std::cell::Cell::new((0, 0));
    let cases = std::env::var("MODKEEP_ARCHIVE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((files, dir) in tree())| {
        let mut repo = repo.borrow_mut();
        repo.delete_all();
        for (path, made) in &files {
            match made {
                Made::File(text) => repo.put(path, text),
                Made::Link(text) => repo.link(path, text),
            };
        }
        repo.commit("made").save();
        let dirs = directories_of(&files);
        let dir = dirs[dir % dirs.len()];
        let root = objects.tree_of("main");
        let (equal, declined) = compared.get();
        match GitTree::open(objects.clone(), &root, dir) {
            Ok(Some(tree)) => {
                let theirs = git_archive(repo.path(), "main", dir).unwrap();
                prop_assert_eq!(read_all(&tree), theirs, "{:?}", dir);
                compared.set((equal + 1, declined));
            }
            Err(TreeError::Declined { .. }) => compared.set((equal, declined + 1)),
            Ok(None) => prop_assert!(false, "no {dir}"),
            Err(TreeError::Failed(error)) => prop_assert!(false, "{error}"),
        }
    });
    let (equal, declined) = compared.get();
    assert!(equal > 3 * declined, "{equal} compared, {declined} declined");
}

/// Trees of level after level, each of many entries that are all the same.
struct Endless(Vec<Vec<u8>>);

impl Endless {
    fn open(width: usize, levels: u8, lowest: &'static str) -> Result<Option<GitTree>, TreeError> {
        let tree = |level: u8| {
            let mode = if level == 1 { lowest } else { "40000" };
            let id = ObjectId::from_bytes(&[level - 1; 20]).unwrap().to_string();
            (0..width).flat_map(|n| raw_entry(mode, format!("{n:04}"), &id)).collect()
        };
        let root = ObjectId::from_bytes(&[levels; 20]).unwrap();
        GitTree::open(Arc::new(Self((1..=levels).map(tree).collect())), &root, "")
    }
}

impl ObjectSource for Endless {
    fn read(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), Error> {
        match id.as_bytes()[0].checked_sub(1) {
            Some(level) => Ok((ObjectKind::Tree, self.0[usize::from(level)].clone())),
            None => Ok((ObjectKind::Blob, Vec::new())),
        }
    }

    fn size(&self, _: &ObjectId) -> Result<u64, Error> {
        Ok(0)
    }
}

fn too_large(outcome: Result<Option<GitTree>, TreeError>) -> &'static str {
    match outcome.map(drop) {
        Err(TreeError::Failed(Error::TooLarge { what, .. })) => what,
        other => panic!("{other:?}"),
    }
}

/// A million files are taken; what is more is refused before it costs memory, also where there is no file in it at all.
#[test]
fn hostile_c27_a_million_entries() {
    let tree = Endless::open(1000, 2, "100644").unwrap().unwrap();
    assert_eq!(tree.entries().len(), 1_000_000);
    assert!(tree.entries().is_sorted_by(|a, b| a.path < b.path));
    drop(tree);
    assert_eq!(too_large(Endless::open(1000, 3, "100644")), "list of files");
    assert_eq!(too_large(Endless::open(2, 100, "160000")), "list of files");
}

/// Depth and length end where they end for git: 2,048 directories, 65,535 bytes of path in a zip.
#[test]
fn hostile_c27_deep_trees_and_long_paths() {
    let deep = |depth: usize| "d/".repeat(depth) + "f";
    let long = |bytes: usize| {
        let name = "n".repeat(250) + "/";
        name.repeat(bytes / 251) + &"f".repeat(bytes % 251)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut repo = GitRepo::init(&folder.path().join("r.git"));
    for (path, fits) in [
        (deep(DEPTH_MAX), true),
        (deep(DEPTH_MAX + 1), false),
        (deep(5000), false),
        (long(PATH_BYTES_MAX), true),
        (long(PATH_BYTES_MAX + 1), false),
    ] {
        repo.delete_all().put(&path, "x").commit("odd").save();
        let zip =
            cat_file::git(repo.path()).args(["archive", "--format=zip", "--prefix=prefix/", "main"]).output();
        assert_eq!(zip.unwrap().status.success(), fits, "git, {} bytes", path.len());
        let ours = open(repo.path(), "main", "");
        assert_eq!(ours.is_ok(), fits, "{} bytes", path.len());
    }
}

#[test]
fn ids_of_both_hashes() {
    for hex in ["0123456789abcdef0123456789abcdef01234567".to_owned(), "ab".repeat(32)] {
        assert_eq!(ObjectId::from_hex(&hex).unwrap().to_string(), hex);
    }
    for bad in ["", "ab", &"AB".repeat(20), &"ab".repeat(21), "x123456789abcdef0123456789abcdef01234567"] {
        assert_eq!(ObjectId::from_hex(bad), None, "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut repo = GitRepo::init_sha256(&folder.path().join("r.git"));
    repo.put(".gitattributes", "* ident").put("a/b/c", "$Id$").put("a.c", "x").commit("made").save();
    assert_eq!(compare(&repo, "main", ""), 3);
    assert_eq!(compare(&repo, "main", "a/b"), 1);
}

#[test]
fn a_directory_that_is_none() {
    let (_folder, repo) = repository(&[("a/b", "x"), ("c", "x")]);
    for dir in ["b", "c", "a/b", "a/b/c", "A"] {
        assert!(open(repo.path(), "main", dir).unwrap().is_none(), "{dir}");
    }
}

/// What only git's own iconv, or its refusal, does right.
#[test]
fn what_is_declined() {
    for said in
        ["working-tree-encoding=SHIFT-JIS", "working-tree-encoding", "working-tree-encoding=UTF-16//TRANSLIT"]
    {
        let (_folder, repo) = repository(&[(".gitattributes", &format!("a {said}\n")), ("a", "x")]);
        assert!(matches!(open(repo.path(), "main", ""), Err(TreeError::Declined { .. })), "{said}");
        let (_folder, repo) = repository(&[(".gitattributes", &format!("b {said}\n")), ("a", "x")]);
        assert_eq!(compare(&repo, "main", ""), 2, "no file has it: {said}");
    }
}
