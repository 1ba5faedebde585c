//! Rows of hostile-inputs.md that are about versions.

use std::fmt::Write as _;

use modkeep_module::gomod::GO_MOD_BYTES_MAX;
use modkeep_module::time::Timestamp;
use modkeep_module::{ModulePath, Version, VersionOrQuery, semver};
use modkeep_testkit::GitRepo;

use super::contest::{Contest, pseudo};
use super::{ask, repository, told};
use crate::error::Error;

#[test]
fn hostile_b17_revision_expressions_are_names_and_nothing_else() {
    let contest = Contest::new();
    let mut x = contest.repository("github.com/ann/x");
    x.put("x.go", "package x\n").commit("one").tag("v1.0.0").put("y.go", "package x\n").commit("two");
    x.branch("all()").put("z.go", "package x\n").commit("a branch of that name").switch("main").save();
    let expressions = [
        "@{-1}",
        "HEAD~1",
        "HEAD^{}",
        "main~1",
        "main^",
        "v1.0.0..main",
        "all()",
        "branch(default)",
        "@",
        "HEAD@{0}",
        "refs",
        "HEAD^{tree}",
        "main{}",
        "FETCH_HEAD",
        "ORIG_HEAD",
    ];
    contest.agree("github.com/ann/x", "github.com/ann/x", &expressions);
}

#[test]
fn hostile_b18_shell_words_are_unknown_or_refused() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one");
    let asked = ask("github.com/ann/m", &mut m);
    for query in ["$(id)", "{}", "a b", "%s", "&", "#"] {
        let unknown = format!("github.com/ann/m@{query}: invalid version: unknown revision {query}");
        assert_eq!(asked.version(query), unknown);
    }
    let path = ModulePath::parse("github.com/ann/m").unwrap();
    for query in ["a;b", "`id`", "a|b", "a\nb", "../x", "a/b", "--upload-pack=id", "a\"b", "*", "?"] {
        assert!(VersionOrQuery::parse(&path, query).is_err(), "{query:?}");
    }
}

#[test]
fn hostile_b19_short_and_decorated_versions_are_queries_with_canonical_answers() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one").tag("v1.0.0+meta");
    m.put("y.go", "package m\n").commit("two").tag("v1");
    m.put("z.go", "package m\n").commit("three").tag("v1.2").branch("v2.0");
    let of =
        [("v1.0.0+meta", "v1.0.1-0."), ("v1", "v1.0.1-0."), ("v1.2", "v1.0.1-0."), ("v2.0", "v1.0.1-0.")];
    let expected = of.map(|(query, head)| (query, pseudo(head, &mut m, query)));
    let asked = ask("github.com/ann/m", &mut m);
    assert_eq!(asked.list().unwrap(), Vec::<String>::new());
    for (query, answer) in expected {
        assert_eq!(asked.version(query), answer, "{query}");
        assert_eq!(semver::module_canonical(&answer), Some(answer));
    }
}

#[test]
fn hostile_b21_a_branch_named_as_a_version_is_none() {
    let contest = Contest::new();
    let mut b = contest.repository("github.com/ann/b");
    b.put("go.mod", "module github.com/ann/b\n").commit("one").tag("v0.1.0");
    b.branch("v1.2.3").put("x.go", "package b\n").commit("two");
    b.branch("sub/v1.2.3").put("sub/go.mod", "module github.com/ann/b/sub\n").commit("three");
    b.switch("main")
        .branch("v0.1.0")
        .put("y.go", "package b\n")
        .commit("beside the tag")
        .switch("main")
        .save();
    contest.agree(
        "github.com/ann/b",
        "github.com/ann/b",
        &["v1.2.3", "v0.1.0", "main", "v1.2.3+incompatible"],
    );
    contest.agree("github.com/ann/b/sub", "github.com/ann/b", &["v1.2.3"]);
}

#[test]
fn hostile_b22_refs_shaped_like_pseudo_versions_are_not_listed() {
    let contest = Contest::new();
    let mut s = contest.repository("github.com/ann/s");
    s.put("sub/go.mod", "module github.com/ann/s/sub\n").put("x.go", "package s\n").commit("one");
    let (own, other) = (pseudo("v0.0.0-", &mut s, "main"), "v1.0.1-0.20180101000000-abcdefabcdef");
    s.tags(&[&own, other, &format!("sub/{other}")]).branch("v0.0.0-20180101000000-abcdefabcdef");
    s.put("y.go", "package s\n").commit("two").switch("main").save();
    let queries = [&own, other, "main", "v0.0.0-20180101000000-abcdefabcdef"];
    contest.agree("github.com/ann/s", "github.com/ann/s", &queries);
    contest.agree("github.com/ann/s/sub", "github.com/ann/s", &["main", other]);
}

#[test]
fn hostile_b24_numbers_and_names_of_any_length() {
    let contest = Contest::new();
    let mut n = contest.repository("github.com/ann/n");
    let long = format!("v1.0.0-{}", vec!["1"; 100].join("."));
    n.put("x.go", "package n\n").commit("one").tags(&["v1.0.0", "v0.99999999999999999999.0", &long]);
    n.tags(&["v99999999999999999999.0.0", "v99999999999999999998.9.9", "v100000000000000000000.0.0"]);
    n.put("y.go", "package n\n").commit("two").tag("v1.0.99999999999999999999");
    n.put("z.go", "package n\n").commit("three").save();
    contest.agree("github.com/ann/n", "github.com/ann/n", &["main", &long, "v99999999999999999999.0.0"]);
    // No disk can name such a file, so to us it is no version.
    n.git(&["pack-refs", "--all"]);
    let packed = n.path().join("packed-refs");
    let longest = format!("{} refs/tags/v1.1.0-{}", n.id("main"), vec!["1"; 200].join("."));
    let refs = std::fs::read_to_string(&packed).unwrap() + &longest;
    let mut refs: Vec<_> = refs.lines().collect();
    refs.sort_by_key(|line| line.split_once(" refs/").map(|(_, name)| name));
    std::fs::write(packed, refs.join("\n") + "\n").unwrap();
    let asked = super::Asked::new("github.com/ann/n", "github.com/ann/n", n.path());
    assert_eq!(asked.git.refs_count(), 9);
    assert!(asked.list().unwrap().iter().all(|version| version.len() <= 240));
    assert!(matches!(asked.stat("main"), Err(Error::NotAVersion { .. })), "its pseudo-version is too long");
}

#[test]
fn hostile_b25_three_hundred_thousand_tags_of_one_repository() {
    let (_folder, mut m) = repository();
    m.put("go.mod", "module github.com/ann/m\n").commit("one").save();
    let id = m.id("main");
    let mut tags: Vec<_> = (0..300_000).map(|n| format!("refs/tags/v1.{}.{}", n / 1000, n % 1000)).collect();
    tags.sort_unstable();
    let packed = tags.iter().fold("# pack-refs with: sorted\n".to_owned(), |mut text, tag| {
        writeln!(text, "{id} {tag}").unwrap();
        text
    });
    std::fs::write(m.path().join("packed-refs"), packed).unwrap();
    let list = ask("github.com/ann/m", &mut m).list().unwrap();
    assert_eq!(list.len(), 300_000);
    let ends = (list.first().map(String::as_str), list.last().map(String::as_str));
    assert_eq!(ends, (Some("v1.0.0"), Some("v1.299.999")));
    assert!(list.is_sorted_by(|a, b| semver::compare(a, b).is_lt()));
}

/// A commit on `main` whose committer line has this date, as it stands.
fn commit_dated(repository: &mut GitRepo, date: &str) {
    let tree = repository.id("main^{tree}");
    let text = format!(
        "tree {tree}\nauthor Ann <ann@example.com> 1 +0000\ncommitter Carl <carl@example.com> {date} +0000\n\nodd\n"
    );
    let commit = repository.raw_object("commit", text.as_bytes());
    repository.git(&["update-ref", "refs/heads/main", &commit]);
}

#[test]
fn hostile_b26_dates_that_no_info_can_state() {
    for date in
        ["-1", "-62135596800", "9223372036854775808", "18446744073709551616", "253402300800", "4e9", ""]
    {
        let (_folder, mut m) = repository();
        m.put("go.mod", "module github.com/ann/m\n").commit("one");
        commit_dated(&mut m, date);
        let id = m.id("main");
        m.git(&["update-ref", "refs/tags/v1.0.0", &id]);
        let asked = ask("github.com/ann/m", &mut m);
        let check = |query: &str, is_right: &dyn Fn(&Version) -> bool| match asked.stat(query) {
            Ok(located) => {
                assert_eq!(date, "253402300800", "the go command cannot read {date:?}");
                assert!(located.info.time().is_none_or(Timestamp::is_expressible), "{date}");
                assert!(is_right(located.info.version()), "{date}: {}", located.info.version());
            }
            Err(error) => assert!(matches!(error, Error::NotAVersion { .. }), "{date}: {error}"),
        };
        check("v1.0.0", &|version| version.as_str() == "v1.0.0");
        m.delete_tag("v1.0.0");
        check("main", &Version::is_pseudo);
    }
}

#[test]
fn hostile_b27_incompatible_is_earned_by_having_no_go_mod() {
    let contest = Contest::new();
    let mut i = contest.repository("github.com/ann/i");
    i.put("x.go", "package i\n").commit("one").tags(&["v1.0.0", "v2.0.0"]);
    i.put("go.mod", "module github.com/ann/i\n").commit("two").tags(&["v3.0.0", "v1.1.0"]);
    i.put("go.mod", "module github.com/ann/i/v4\n").commit("three").tag("v4.0.0");
    i.put("y.go", "package i\n").commit("four").save();
    let queries = [
        "v2.0.0",
        "v2.0.0+incompatible",
        "v3.0.0",
        "v3.0.0+incompatible",
        "v1.0.0+incompatible",
        "v1.1.0+incompatible",
        "v4.0.0",
        "v4.0.0+incompatible",
        "main",
    ];
    contest.agree("github.com/ann/i", "github.com/ann/i", &queries);
    contest.agree("github.com/ann/i/v4", "github.com/ann/i", &["v4.0.0", "v4.0.0+incompatible", "main"]);
}

#[test]
fn hostile_c28_a_go_mod_of_more_than_sixteen_mebibytes() {
    let (_folder, mut m) = repository();
    let mut text = b"module github.com/ann/m\n".to_vec();
    text.resize(GO_MOD_BYTES_MAX, b'\n');
    m.put("go.mod", &text).commit("as long as allowed").tag("v1.0.0");
    text.push(b'\n');
    m.put("go.mod", &text).commit("one byte more").tag("v1.0.1");
    let asked = ask("github.com/ann/m", &mut m);
    assert_eq!(asked.go_mod("v1.0.0").unwrap().len(), GO_MOD_BYTES_MAX);
    assert_eq!(asked.version("v1.0.1"), "v1.0.1", "there is such a version, though it can have no zip");
    assert_eq!(told(asked.latest()), "v1.0.1");
    let error = asked.go_mod("v1.0.1").unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(error.to_string(), "go.mod file too large (max size is 16777216 bytes)");
    assert_eq!(asked.version("v1.0.0"), "v1.0.0", "what nobody can read retracts nothing");
}

#[test]
fn tags_on_things_that_are_no_commits_name_no_version() {
    let (_folder, mut t) = repository();
    t.put("x.go", "package t\n").commit("one").tag("v1.0.0");
    let (tree, blob) = (t.id("main^{tree}"), t.id("main:x.go"));
    t.tag_object("v0.9.0", &tree).tag_object("v1.1.0", &blob);
    let asked = ask("github.com/ann/m", &mut t);
    assert_eq!(
        asked.list().unwrap(),
        ["v0.9.0", "v1.0.0", "v1.1.0"],
        "who lists tags has not looked at them"
    );
    for version in ["v0.9.0", "v1.1.0"] {
        let unknown = format!("github.com/ann/m@{version}: invalid version: unknown revision {version}");
        assert_eq!(asked.version(version), unknown);
    }
    assert_eq!(asked.version("main"), "v1.0.0");
    t.tag_object("v2.0.0", &tree);
    let unknown = "module github.com/ann/m: unknown revision v1.1.0";
    assert_eq!(asked.list().unwrap_err().to_string(), unknown, "now somebody has to look");
}
