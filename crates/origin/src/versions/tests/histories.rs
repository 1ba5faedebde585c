//! Commits with many tags, many parents and many pasts, where the go command must have the same answer.

use super::contest::{Contest, pseudo};
use super::{Located, ask, repository, told};

#[test]
fn a_commit_with_many_tags_is_the_highest_that_is_allowed() {
    let contest = Contest::new();
    let mut k = contest.repository("github.com/ann/k");
    k.put("go.mod", "module github.com/ann/k\nretract v1.3.0\n")
        .put("sub/go.mod", "module github.com/ann/k/sub\n");
    k.commit("one").tags(&[
        "v1.0.0",
        "v1.1.0-rc.1",
        "v1.2.0+meta",
        "v1.3.0",
        "sub/v1.9.0",
        "v2.0.0",
        "v0.9.0",
    ]);
    k.put("x.go", "package k\n").commit("two").tags(&["v1.4.0+a", "v1.4.0+b", "v1.4.1", "v1", "release"]);
    k.put("y.go", "package k\n").commit("three").tags(&["v1.5.0-rc.1", "v1.5.0-rc.1+meta", "sub/v0.1.0+x"]);
    k.put("z.go", "package k\n").commit("four").save();
    let first = k.id("v1.0.0");
    let queries = [
        "v1.0.0",
        "v1.1.0-rc.1",
        "v1.2.0+meta",
        "v1.3.0",
        "v2.0.0",
        "v1.4.0+a",
        "v1.4.0+b",
        "release",
        "main",
        "v1.5.0-rc.1+meta",
        &first,
        "v1.4.0",
        "v1.5.0",
    ];
    contest.agree("github.com/ann/k", "github.com/ann/k", &queries);
    contest.agree("github.com/ann/k/sub", "github.com/ann/k", &["main", "v0.1.0+x", "v1.9.0", &first]);
    contest.agree("github.com/ann/k/v2", "github.com/ann/k", &["main", "v2.0.0"]);
}

#[test]
fn the_base_comes_from_any_parent_but_not_from_a_neighbour() {
    let contest = Contest::new();
    let mut p = contest.repository("github.com/ann/p");
    p.put("go.mod", "module github.com/ann/p\n").commit("one").tag("v0.1.0");
    p.branch("left").put("l.go", "package p\n").commit("left").tags(&["v0.5.0", "v0.6.0-rc.1"]);
    p.switch("main").branch("right").put("r.go", "package p\n").commit("right").tag("v0.4.0");
    p.switch("main").branch("beside").put("b.go", "package p\n").commit("beside").tag("v0.9.0");
    p.switch("main").merge("left").merge("right").put("m.go", "package p\n").commit("after").save();
    p.orphan("root").put("o.go", "package p\n").commit("another beginning").save();
    let bases =
        ["v0.6.0-rc.1.0.", "v0.5.1-0.", "v0.4.1-0.", "v0.1.1-0.", "v0.9.1-0.", "v0.0.0-", "v0.6.1-0."];
    let named: Vec<_> = bases.iter().map(|head| pseudo(head, &mut p, "main")).collect();
    let mut queries = vec!["main", "left", "right", "beside", "root", "HEAD"];
    queries.extend(named.iter().map(String::as_str));
    contest.agree("github.com/ann/p", "github.com/ann/p", &queries);
}

#[test]
fn retracted_and_foreign_tags_are_no_base() {
    let contest = Contest::new();
    let mut f = contest.repository("example.com/f");
    f.put("sub/go.mod", "module example.com/f.git/sub\n").commit("one");
    f.tags(&["sub/v0.1.0", "v5.0.0", "sub/v2.0.0", "other/v0.9.0", "sub/v0.3.0"]);
    f.put("sub/go.mod", "module example.com/f.git/sub\nretract [v0.2.0, v0.3.0]\n")
        .commit("two")
        .tag("sub/v0.4.0");
    f.branch("old").put("sub/v2/go.mod", "module example.com/f.git/sub/v2\n").commit("three");
    f.orphan("fresh").put("sub/go.mod", "module example.com/f.git/sub\n").commit("four").tag("sub/v0.2.0");
    f.put("sub/x.go", "package sub\n").commit("five").switch("main").save();
    let of_retracted = pseudo("v0.2.1-0.", &mut f, "fresh");
    let of_root = pseudo("v5.0.1-0.", &mut f, "fresh");
    let queries = ["main", "old", "fresh", "v0.4.0", "v0.3.0", &of_retracted, &of_root];
    contest.agree("example.com/f.git/sub", "example.com/f.git", &queries);
    contest.agree("example.com/f.git/sub/v2", "example.com/f.git", &["old", "main", "v2.0.0"]);
}

#[test]
fn majors_without_tags_are_pseudo_versions_of_their_own() {
    let contest = Contest::new();
    let mut u = contest.repository("github.com/ann/u");
    u.put("go.mod", "module github.com/ann/u/v2\n").commit("one").tag("v1.0.0");
    u.put("x.go", "package u\n").commit("two").save();
    let (zero, two) = (pseudo("v2.0.0-", &mut u, "main"), pseudo("v1.0.1-0.", &mut u, "main"));
    contest.agree("github.com/ann/u/v2", "github.com/ann/u", &["main", "HEAD", &zero, &two, "v1.0.0"]);
    contest.agree("github.com/ann/u", "github.com/ann/u", &["main", "v1.0.0", &two]);
    contest.agree("github.com/ann/u/v3", "github.com/ann/u", &["main"]);
}

#[test]
fn paths_that_differ_by_case_are_different_repositories() {
    let contest = Contest::new();
    for (at, name) in [("github.com/Ann/Case", "v1.0.0"), ("github.com/ann/case", "v1.1.0")] {
        let mut repository = contest.repository(at);
        repository.put("go.mod", format!("module {at}\n")).commit("one").tag(name).save();
    }
    contest.agree("github.com/Ann/Case", "github.com/Ann/Case", &["v1.0.0", "v1.1.0", "Main", "main"]);
    contest.agree("github.com/ann/case", "github.com/ann/case", &["v1.0.0", "v1.1.0"]);
}

#[test]
fn decorated_pseudo_versions_and_odd_queries() {
    let contest = Contest::new();
    let mut o = contest.repository("github.com/ann/o");
    o.put("x.go", "package o\n")
        .commit("one")
        .tags(&["v1.0.0", "v2.0.0"])
        .put("y.go", "package o\n")
        .commit("two");
    let (base, bare) = (pseudo("v2.0.1-0.", &mut o, "main"), pseudo("v0.0.0-", &mut o, "main"));
    let queries = [
        base.clone(),
        format!("{base}+incompatible"),
        format!("{bare}+incompatible"),
        pseudo("v3.0.0-", &mut o, "main"),
        pseudo("v3.0.0-", &mut o, "main") + "+incompatible",
        pseudo("v1.0.1-0.", &mut o, "main") + "+incompatible",
        pseudo("v2.0.0-0.", &mut o, "main"),
        "V1.0.0".to_owned(),
        "v1.0.0-".to_owned(),
        "v1.0.0.0".to_owned(),
        "1.0.0".to_owned(),
        "v01.0.0".to_owned(),
        "none-such".to_owned(),
        format!("{bare}+meta"),
        format!("{base}+meta"),
        format!("{base}+a-b.c"),
        "v1.0.0+meta".to_owned(),
        "v2.0.0+meta".to_owned(),
        "v9.9.9+meta".to_owned(),
        pseudo("v0.5.1-0.", &mut o, "main") + "+meta",
    ];
    let queries: Vec<_> = queries.iter().map(String::as_str).collect();
    contest.agree("github.com/ann/o", "github.com/ann/o", &queries);
}

#[test]
fn a_pseudo_version_keeps_its_metadata_only_where_a_tag_has_them() {
    let (_folder, mut m) = repository();
    m.put("go.mod", "module github.com/ann/m\n").commit("one").tags(&["v1.0.0", "v1.1.0+meta"]);
    m.put("x.go", "package m\n").commit("two");
    let (plain, tagged) = (pseudo("v1.0.1-0.", &mut m, "main"), pseudo("v1.1.1-0.", &mut m, "main"));
    let asked = ask("github.com/ann/m", &mut m);
    assert_eq!(asked.version(&format!("{plain}+other")), plain);
    assert_eq!(asked.version(&tagged), tagged);
    // The tag makes this one a true name of the commit, and yet no version can be named so (B19).
    let named = format!("{tagged}+meta");
    let refused = format!("github.com/ann/m@{named}: non-canonical module version \"{named}\"");
    assert_eq!(asked.version(&named), refused);
}

#[test]
fn who_asks_for_head_is_told_of_no_ref_and_who_asks_for_latest_is() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one");
    let asked = ask("github.com/ann/m", &mut m);
    let reference = |located: Located| located.info.origin().unwrap().reference.clone();
    assert_eq!(reference(asked.latest().unwrap()), "HEAD");
    assert_eq!(reference(asked.stat("HEAD").unwrap()), "");
    assert_eq!(reference(asked.stat("main").unwrap()), "refs/heads/main");
}

#[test]
fn a_tip_that_breaks_a_rule_is_told_and_one_without_the_module_is_no_match() {
    let (_folder, mut m) = repository();
    m.put("go.mod", "module github.com/ann/m/v3\n").commit("of another major");
    let none = "module github.com/ann/m: no matching versions for query \"latest\"";
    assert_eq!(told(ask("github.com/ann/m", &mut m).latest()), none);
    // Fourteen digits cannot say this date (B26).
    m.put("go.mod", "module github.com/ann/m\n").at(253_402_300_800).commit("in the year 10000");
    let told = told(ask("github.com/ann/m", &mut m).latest());
    assert!(told.ends_with("invalid version: commit time outside of the years 0 to 9999"), "{told}");
}
