//! The examples of the rules, and paths that the go command finds only by discovery.

use modkeep_module::Version;
use modkeep_testkit::GitRepo;

use super::contest::pseudo;
use super::{Asked, ask, repository, told};
use crate::place::Vcs;

#[test]
fn the_examples_of_section_6_hold() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one").tags(&["v0.1.0+build-metadata", "v2.0.0+incompatible"]);
    m.put("y.go", "package m\n").commit("two").tag("v1.2.3").annotated("v1.2.4-annotated").tag("v2.0.2");
    m.branch("v1.0.0").put("z.go", "package m\n").commit("three");
    let of_metadata = pseudo("v0.1.1-0.", &mut m, "v0.1.0+build-metadata");
    let of_branch = pseudo("v2.0.3-0.", &mut m, "refs/heads/v1.0.0") + "+incompatible";
    let asked = ask("github.com/ann/m", &mut m);
    let not_a_tag = format!(
        "github.com/ann/m@v1.0.0: invalid version: resolves to version {of_branch} (v1.0.0 is not a tag)"
    );
    for (query, answer) in [
        ("main", "v2.0.2+incompatible"),
        ("v1.2.4-annotated", "v1.2.4-annotated"),
        ("v2.0.2", "v2.0.2+incompatible"),
        ("v0.1.0+build-metadata", &of_metadata),
        ("v1.0.0", &not_a_tag),
        (
            "v2.0.0+incompatible",
            "github.com/ann/m@v2.0.0+incompatible: invalid version: unknown revision v2.0.0",
        ),
        ("upgrade", "github.com/ann/m@upgrade: invalid version: unknown revision upgrade"),
        ("patch", "github.com/ann/m@patch: invalid version: unknown revision patch"),
        ("latest", "v2.0.2+incompatible"),
    ] {
        assert_eq!(asked.version(query), answer, "{query}");
    }
}

/// A repository as gopkg.in shows one: the path is the root, the major version stands behind a dot.
fn gopkg(path: &str, y: &mut GitRepo) -> Asked {
    y.save();
    Asked::new(path, path, y.path())
}

#[test]
fn gopkg_in_paths_keep_their_old_freedoms() {
    let (_folder, mut y) = repository();
    y.put("x.go", "package y\n").commit("no go.mod");
    y.branch("two").put("a.go", "package y\n").commit("tagged").tags(&["v2.0.0", "v2.1.0-rc.1", "v3.0.0"]);
    y.put("b.go", "package y\n").commit("after v2");
    y.branch("mod").put("go.mod", "module gopkg.in/y.v2\n").commit("with a go.mod").tag("v2.2.0");
    y.branch("wrong").put("go.mod", "module example.com/y/v3\n").commit("of another major").tag("v2.3.0");
    let (two, main) = (pseudo("v2.1.0-rc.1.0.", &mut y, "two"), pseudo("v2.0.0-", &mut y, "main"));
    let wrong = "gopkg.in/y.v2@v2.3.0: invalid version: go.mod has non-....v2 module path \
                 \"example.com/y/v3\" at revision v2.3.0";
    let v2 = gopkg("gopkg.in/y.v2", &mut y);
    assert_eq!(v2.list().unwrap(), ["v2.0.0", "v2.1.0-rc.1", "v2.2.0", "v2.3.0"]);
    for (query, answer) in
        [("v2.0.0", "v2.0.0"), ("v2.2.0", "v2.2.0"), ("two", &two), ("main", &main), ("v2.3.0", wrong)]
    {
        assert_eq!(v2.version(query), answer, "{query}");
    }
    assert_eq!(v2.go_mod("v2.0.0").unwrap(), b"module gopkg.in/y.v2\n");
    let unstable = gopkg("gopkg.in/y.v2-unstable", &mut y);
    assert_eq!(unstable.list().unwrap(), Vec::<String>::new());
    let latest = unstable.latest();
    assert_eq!(latest.as_ref().unwrap().info.origin(), None, "the list has none");
    assert_eq!(told(latest), main);
    assert_eq!(unstable.version("two"), two);
    // V-65: both zeros of v1 are sound.
    let v1 = gopkg("gopkg.in/y.v1", &mut y);
    for head in ["v0.0.0-", "v1.0.0-"] {
        let version = pseudo(head, &mut y, "main");
        assert_eq!(v1.version(&version), version);
    }
}

#[test]
fn a_subdirectory_of_the_go_import_tag_names_tags_and_files() {
    let (_folder, mut m) = repository();
    m.put("src/lib/go.mod", "module h.io/m\n").commit("one").tags(&["src/lib/v1.0.0", "v9.0.0", "v1.5.0"]);
    m.save();
    let mut asked = Asked::new("h.io/m", "h.io/m", m.path());
    "src/lib".clone_into(&mut asked.place.subdirectory);
    assert_eq!(asked.list().unwrap(), ["v1.0.0"]);
    let located = asked.stat("v1.0.0").unwrap();
    assert_eq!((located.dir.as_str(), &*located.info.origin().unwrap().subdir), ("src/lib", "src/lib"));
    assert_eq!(asked.version("v1.5.0"), "h.io/m@v1.5.0: invalid version: unknown revision src/lib/v1.5.0");
}

#[test]
fn directories_of_a_version_are_found_and_told() {
    let (_folder, mut m) = repository();
    m.put("go.mod", "module github.com/ann/m\n").put("v2/go.mod", "module github.com/ann/m/v2\n");
    m.put("sub/v3/go.mod", "module github.com/ann/m/sub/v3\n").commit("one");
    m.tags(&["v1.0.0", "v2.0.0", "sub/v3.0.0"]);
    for (path, version, dir, subdir) in [
        ("github.com/ann/m", "v1.0.0", "", ""),
        ("github.com/ann/m/v2", "v2.0.0", "v2", ""),
        ("github.com/ann/m/sub/v3", "v3.0.0", "sub/v3", "sub"),
    ] {
        let located = ask(path, &mut m).stat(version).unwrap();
        assert_eq!((located.dir.as_str(), &*located.info.origin().unwrap().subdir), (dir, subdir), "{path}");
        assert_eq!(
            located.go_mod_bytes(&super::ModulePath::parse(path).unwrap()),
            format!("module {path}\n")
        );
    }
}

#[test]
fn systems_without_hashes_state_none() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one").tag("v1.0.0");
    let mut asked = ask("github.com/ann/m", &mut m);
    for (vcs, has_hash, has_sum) in
        [(Vcs::Git, true, true), (Vcs::Hg, true, false), (Vcs::Svn, false, false), (Vcs::Fossil, true, false)]
    {
        asked.place.vcs = vcs;
        let latest = asked.latest().unwrap();
        let origin = latest.info.origin().unwrap();
        assert_eq!((origin.hash.is_empty(), origin.tag_sum.is_empty()), (!has_hash, !has_sum), "{vcs:?}");
        assert_eq!(origin.vcs, vcs.name());
    }
}

#[test]
fn versions_of_a_list_are_canonical_and_in_order() {
    let (_folder, mut m) = repository();
    let tags =
        ["v1.10.0", "v1.9.0", "v1.9.0-rc.2", "v1.9.0-rc.10", "v1", "v1.2", "1.0.0", "v01.0.0", "v1.0.0+meta"];
    m.put("x.go", "package m\n").commit("one").tags(&tags);
    m.tags(&["v2.0.0", "v10.0.0", "v3.0.0-pre", "V1.0.0", "v1.0.0.0", "x/v1.0.0"]);
    let list = ask("github.com/ann/m", &mut m).list().unwrap();
    let compatible = ["v1.9.0-rc.2", "v1.9.0-rc.10", "v1.9.0", "v1.10.0"];
    let incompatible = ["v2.0.0+incompatible", "v3.0.0-pre+incompatible", "v10.0.0+incompatible"];
    assert_eq!(list, [&compatible[..], &incompatible[..]].concat());
    assert!(list.iter().all(|version| Version::parse(version).is_ok()));
}
