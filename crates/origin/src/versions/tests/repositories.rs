//! Odd repositories, where the go command must have the same answer to every question.

use super::contest::{Contest, pseudo};

#[test]
fn legacy_modules_and_their_incompatible_versions() {
    let contest = Contest::new();
    let mut plain = contest.repository("github.com/ann/plain");
    plain.put("a.go", "package a\n").commit("one").tags(&["v0.1.0", "v1.0.0"]);
    plain.put("b.go", "package a\n").commit("two").tag("v1.2.3").annotated("v1.2.4-annotated");
    plain.branch("legacy").put("c.go", "package a\n").commit("three").tags(&[
        "v2.0.2",
        "v2.1.0-rc.1",
        "v10.0.0",
    ]);
    plain.branch("three").put("go.mod", "module github.com/ann/plain/v3\n").commit("four").tag("v3.0.0");
    plain.put("d.go", "package a\n").commit("five").delete("go.mod").commit("six").tag("v3.0.1-pre");
    plain.branch("four").put("v4/go.mod", "module github.com/ann/plain/v4\n").commit("seven").tag("v4.0.0");
    plain.switch("main").save();
    let tip = pseudo("v1.2.4-annotated.0.", &mut plain, "three");
    contest.agree(
        "github.com/ann/plain",
        "github.com/ann/plain",
        &[
            "v0.1.0",
            "v1.0.0",
            "v1.2.3",
            "v1.2.4-annotated",
            "main",
            "HEAD",
            "legacy",
            "three",
            "four",
            "v2.0.2",
            "v2.0.2+incompatible",
            "v3.0.0",
            "v3.0.0+incompatible",
            "v3.0.1-pre",
            "v4.0.0",
            "v4.0.0+incompatible",
            "v1.0.0+incompatible",
            "v10.0.0",
            "v9.9.9",
            "v9.9.9+incompatible",
            "nothing",
            &tip,
        ],
    );
    contest.agree("github.com/ann/plain/v2", "github.com/ann/plain", &["v2.0.2", "main", "legacy"]);
    contest.agree("github.com/ann/plain/v3", "github.com/ann/plain", &["v3.0.0", "three", "three~1"]);
    contest.agree("github.com/ann/plain/v4", "github.com/ann/plain", &["v4.0.0", "four", "main"]);
}

#[test]
fn modules_with_a_go_mod_and_majors_on_branches_and_in_directories() {
    let contest = Contest::new();
    let mut m = contest.repository("example.com/m");
    m.put("go.mod", "module example.com/m.git\n").commit("one").tags(&["v1.0.0", "v1", "v1.2"]);
    m.put("x.go", "package x\n").commit("two").tags(&["v1.1.0+meta", "v5.0.0+incompatible"]);
    m.put("y.go", "package x\n").commit("three");
    m.branch("v1.5.0").put("z.go", "package x\n").commit("a branch named as a version");
    m.switch("main").branch("two").put("go.mod", "module example.com/m.git/v2\n").commit("v2").tag("v2.0.0");
    m.put("x.go", "package y\n").commit("after v2");
    m.switch("main")
        .branch("dir")
        .put("v3/go.mod", "module example.com/m.git/v3\n")
        .commit("v3")
        .tag("v3.0.0");
    m.branch("both").put("go.mod", "module example.com/m.git/v3\n").commit("both").tag("v3.1.0");
    m.branch("none").put("v3/go.mod", "go 1.20\n").commit("no module line").tag("v3.2.0");
    m.branch("other").put("v3/go.mod", "module \"example.com/m.git/v7\"\n").commit("other").tag("v3.3.0");
    m.switch("main").branch("bad").put("go.mod", "go 1.20\n").commit("no module line").tag("v1.6.0-bad");
    m.branch("malformed")
        .put("go.mod", "module example.com/m.git/v1\n")
        .commit("malformed")
        .tag("v1.6.1-bad");
    m.branch("gopkg").put("go.mod", "module gopkg.in/m.v7\n").commit("gopkg").tag("v1.6.2-gopkg");
    m.branch("fork").put("go.mod", "module example.org/other // fork\n").commit("fork").tag("v1.6.3-fork");
    m.switch("main").save();
    let queries = [
        "v1.0.0",
        "v1.1.0+meta",
        "main",
        "HEAD",
        "v1.5.0",
        "two",
        "dir",
        "both",
        "v2.0.0",
        "v2.0.0+incompatible",
        "v5.0.0+incompatible",
        "v5.0.0",
        "v1.6.0-bad",
        "v1.6.1-bad",
        "v1.6.2-gopkg",
        "v1.6.3-fork",
        "bad",
        "malformed",
        "v1.0.0+incompatible",
        "v1.1.0",
    ];
    contest.agree("example.com/m.git", "example.com/m.git", &queries);
    contest.agree(
        "example.com/m.git/v2",
        "example.com/m.git",
        &["v2.0.0", "two", "main", "v2.0.1", "v1.0.0", "dir"],
    );
    let queries = ["v3.0.0", "v3.1.0", "v3.2.0", "v3.3.0", "dir", "both", "none", "other", "main"];
    contest.agree("example.com/m.git/v3", "example.com/m.git", &queries);
    contest.agree("example.com/m.git/v4", "example.com/m.git", &["main", "v4.0.0"]);
    contest.agree("example.com/m.git/sub", "example.com/m.git", &["main", "v1.0.0"]);
}

#[test]
fn hostile_c29_nested_modules_where_the_parent_claims_the_path_too() {
    let contest = Contest::new();
    let mut nest = contest.repository("github.com/ann/nest");
    nest.put("go.mod", "module github.com/ann/nest\n").put("a/x.go", "package a\n").commit("parent alone");
    nest.tags(&["v1.0.0", "a/v0.1.0"]);
    nest.put("a/go.mod", "module github.com/ann/nest/a\n")
        .put("a/b/go.mod", "module github.com/ann/nest/a/b\n");
    nest.put("a/b/c/go.mod", "module github.com/ann/nest/a/b/c\n").commit("at every level");
    nest.tags(&["v1.1.0", "a/v0.2.0", "a/b/v1.0.0", "a/v0.3.0+meta", "a/v0.0.0-20180101000000-abcdefabcdef"]);
    nest.put("a/v2/go.mod", "module github.com/ann/nest/a/v2\n").commit("v2 below a").tag("a/v2.0.0");
    nest.put("A/go.mod", "module github.com/ann/nest/A\n").commit("other case").tag("A/v1.0.0");
    let by_name = pseudo("v0.2.1-0.", &mut nest, "main");
    let untagged = pseudo("v0.0.0-", &mut nest, "main");
    for (path, queries) in [
        ("github.com/ann/nest", &["v1.0.0", "v1.1.0", "main"][..]),
        (
            "github.com/ann/nest/a",
            &["v0.1.0", "v0.2.0", "v0.3.0+meta", "main", &by_name, &untagged, "v2.0.0"],
        ),
        ("github.com/ann/nest/a/v2", &["v2.0.0", "main", "v0.2.0"]),
        ("github.com/ann/nest/a/b", &["v1.0.0", "main", "v0.2.0"]),
        ("github.com/ann/nest/a/b/c", &["main", "HEAD", "v1.0.0"]),
        ("github.com/ann/nest/A", &["v1.0.0", "main"]),
        ("github.com/ann/nest/d", &["v1.0.0", "main"]),
        ("github.com/ann/nest/a/b/c/d/e", &["main"]),
    ] {
        contest.agree(path, "github.com/ann/nest", queries);
    }
}

#[test]
fn hostile_b23_pseudo_versions_right_and_wrong() {
    let contest = Contest::new();
    let mut h = contest.repository("github.com/ann/h");
    h.put("go.mod", "module github.com/ann/h\n").commit("one").tag("v1.0.0");
    h.branch("side").put("s.go", "package h\n").commit("side").tags(&["v1.2.0-rc.1", "v1.4.0+meta"]);
    h.put("t.go", "package h\n").commit("side two");
    h.switch("main").put("x.go", "package h\n").commit("two").put("y.go", "package h\n").commit("three");
    h.branch("merged").merge("side").put("z.go", "package h\n").commit("after the merge");
    h.switch("main").save();
    let named = |head: &str, h: &mut _| pseudo(head, h, "main");
    let good = named("v1.0.1-0.", &mut h);
    let (head, hash) = good.rsplit_once('-').unwrap();
    let full = h.id("main");
    let of_tag = pseudo("v1.0.1-0.", &mut h, "v1.0.0");
    let of_side = pseudo("v1.2.0-rc.1.0.", &mut h, "side");
    let of_meta = pseudo("v1.4.1-0.", &mut h, "v1.4.0+meta");
    let queries = [
        good.clone(),
        format!("{head}-{}", &full[..13]),
        format!("{head}-{}", &full[..11]),
        format!("{head}-{}", &full),
        format!("v1.0.1-0.20200101000000-{hash}"),
        format!("v1.0.1-0.20201301000000-{hash}"),
        format!("{head}-ffffffffffff"),
        format!("{head}-{}x", &full[..11]),
        format!("{head}-{}", full[..12].to_uppercase()),
        named("v0.0.0-", &mut h),
        named("v1.0.0-", &mut h),
        named("v2.0.0-", &mut h),
        named("v1.1.0-0.", &mut h),
        named("v1.1.1-0.", &mut h),
        named("v1.2.0-rc.1.0.", &mut h),
        named("v1.2.0-rc.2.0.", &mut h),
        named("v1.4.1-0.", &mut h),
        named("v2.0.1-0.", &mut h),
        format!("{good}+incompatible"),
        format!("{}+incompatible", named("v2.0.0-", &mut h)),
        of_tag,
        of_side,
        of_meta,
        pseudo("v1.2.0-rc.1.0.", &mut h, "merged"),
        pseudo("v1.4.1-0.", &mut h, "merged"),
        "main".to_owned(),
        "side".to_owned(),
        "side~1".to_owned(),
        "merged".to_owned(),
        "v1.4.0+meta".to_owned(),
        full[..7].to_owned(),
        full[..6].to_owned(),
        full.clone(),
    ];
    let queries: Vec<_> = queries.iter().map(String::as_str).filter(|query| !query.contains('~')).collect();
    contest.agree("github.com/ann/h", "github.com/ann/h", &queries);
    let other_major = pseudo("v2.0.0-", &mut h, "main");
    contest.agree("github.com/ann/h/v2", "github.com/ann/h", &[&other_major, &good, "main"]);
}

#[test]
fn retracted_versions_neither_win_nor_found_pseudo_versions() {
    let contest = Contest::new();
    let mut r = contest.repository("github.com/ann/r");
    let module = "module github.com/ann/r\n";
    r.put("go.mod", module).commit("one").tag("v1.0.0");
    r.put("x.go", "package r\n").commit("two").tag("v1.1.0");
    r.put("go.mod", format!("{module}retract v1.1.0 // wrong\n")).commit("three").tag("v1.2.0-rc.1");
    r.put("go.mod", format!("{module}retract [v1.1.0, v1.3.0] // wrong\n")).commit("four").tag("v1.3.0");
    r.put("y.go", "package r\n").commit("five");
    r.save();
    let path = "github.com/ann/r";
    contest.agree(
        path,
        path,
        &["main", "v1.1.0", "v1.3.0", "v1.2.0-rc.1", &pseudo("v1.3.1-0.", &mut r, "main")],
    );

    let mut all = contest.repository("github.com/ann/all");
    let module = "module github.com/ann/all\n";
    all.put("go.mod", module).commit("one").tag("v1.0.0");
    all.put("go.mod", format!("{module}retract [v0.0.0, v1.99.0]\n")).commit("two").tag("v1.0.1");
    all.put("x.go", "package all\n").commit("three").save();
    contest.agree("github.com/ann/all", "github.com/ann/all", &["main", "v1.0.0", "v1.0.1"]);

    let mut untagged = contest.repository("github.com/ann/untagged");
    untagged
        .put("go.mod", "module github.com/ann/untagged\nretract [v0.0.0-0, v0.0.1]\n")
        .commit("one")
        .save();
    contest.agree("github.com/ann/untagged", "github.com/ann/untagged", &["main"]);

    let mut broken = contest.repository("github.com/ann/broken");
    broken.put("go.mod", "module github.com/ann/broken\n").commit("one").tag("v1.0.0");
    broken.put("go.mod", "module github.com/ann/broken\nretract (((\n").commit("two").tag("v1.1.0");
    broken.put("x.go", "package broken\n").commit("three").save();
    contest.agree("github.com/ann/broken", "github.com/ann/broken", &["main", "v1.1.0"]);

    // P-40: what the newest release takes back is a higher pre-release, and with it the reason for +incompatible.
    let mut mixed = contest.repository("github.com/ann/mixed");
    let module = "module github.com/ann/mixed\n";
    mixed.put("go.mod", format!("{module}retract v1.1.0-pre\n")).commit("one").tag("v1.0.0");
    mixed.delete("go.mod").put("x.go", "package mixed\n").commit("two").tag("v1.1.0-pre");
    mixed.put("y.go", "package mixed\n").commit("three").tag("v2.0.0-pre").save();
    contest.agree("github.com/ann/mixed", "github.com/ann/mixed", &["main", "v2.0.0-pre"]);
}

#[test]
fn repositories_without_commits_tags_or_a_default_branch() {
    let contest = Contest::new();
    contest.repository("github.com/ann/empty").save();
    contest.agree("github.com/ann/empty", "github.com/ann/empty", &["main", "v1.0.0"]);
    let mut headless = contest.repository("github.com/ann/headless");
    headless.put("x.go", "package x\n").commit("one").tag("v1.0.0").default_branch("gone").save();
    contest.agree("github.com/ann/headless", "github.com/ann/headless", &["main", "v1.0.0"]);
    let mut sub = contest.repository("github.com/ann/sub");
    sub.put("x.go", "package x\n").commit("one").save();
    contest.agree("github.com/ann/sub", "github.com/ann/sub", &["main"]);
    contest.agree("github.com/ann/sub/x", "github.com/ann/sub", &["main"]);
    contest.agree("github.com/ann/sub/v2", "github.com/ann/sub", &["main"]);
}

#[test]
fn sha256_repositories_and_names_that_look_like_hashes() {
    let contest = Contest::new();
    let mut long = contest.repository_sha256("github.com/ann/long");
    long.put("go.mod", "module github.com/ann/long\n").commit("one").tag("v1.0.0");
    long.put("x.go", "package x\n").commit("two");
    let id = long.id("main");
    contest.agree(
        "github.com/ann/long",
        "github.com/ann/long",
        &["v1.0.0", "main", &id, &id[..40], &id[..12]],
    );
    let mut hex = contest.repository("github.com/ann/hex");
    hex.put("x.go", "package x\n").commit("one").branch("deadbeef").put("y.go", "package x\n").commit("two");
    hex.branch("release-1")
        .put("z.go", "package x\n")
        .commit("three")
        .tags(&["release-1", "cafebabe"])
        .save();
    contest.agree("github.com/ann/hex", "github.com/ann/hex", &["release-1", "main"]);
}

#[test]
fn hostile_b26_dates_that_no_calendar_has() {
    let contest = Contest::new();
    let mut d = contest.repository("github.com/ann/d");
    d.put("go.mod", "module github.com/ann/d\n").at(3600).commit("1970").tag("v1.0.0");
    d.put("x.go", "package d\n").at(253_402_300_799).commit("the last second of 9999").save();
    contest.agree("github.com/ann/d", "github.com/ann/d", &["v1.0.0", "main"]);
}

#[test]
fn hostile_c28_a_go_mod_that_is_no_plain_file() {
    let contest = Contest::new();
    let mut c = contest.repository("github.com/ann/c");
    c.put("x.go", "package c\n").put("real.mod", "module github.com/ann/c\n").link("go.mod", "real.mod");
    c.commit("a link").tag("v1.0.0");
    c.delete("go.mod").put("go.mod/x", "module github.com/ann/c\n").commit("a directory").tag("v1.1.0");
    c.delete("go.mod").put("GO.MOD", "module github.com/ann/c\n").commit("other case").tag("v1.2.0");
    c.delete("GO.MOD")
        .link("go.mod", "module github.com/ann/c")
        .commit("a link that reads well")
        .tag("v1.3.0");
    c.save();
    contest.agree("github.com/ann/c", "github.com/ann/c", &["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "main"]);
}
