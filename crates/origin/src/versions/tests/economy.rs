//! What a question costs: as few refs as the rules allow, no file twice, history only where it decides.

use super::contest::pseudo;
use super::{ask, repository};
use crate::place::RepositoryPlace;

#[test]
fn a_question_asks_only_for_what_decides_it() {
    let (_folder, mut m) = repository();
    m.put("go.mod", "module github.com/ann/m\n").commit("one").tags(&["v1.0.0", "v1.1.0", "v2.0.0"]);
    m.put("x.go", "package m\n").commit("two");
    let after = pseudo("v1.1.1-0.", &mut m, "main");
    let untagged = pseudo("v0.0.0-", &mut m, "main");
    let (of_after, of_untagged) = (format!("resolve {}", &after[after.len() - 12..]), "file go.mod");
    let asked = ask("github.com/ann/m", &mut m);
    for (query, cost) in [
        ("v1.0.0", &["resolve v1.0.0", "file go.mod"][..]),
        ("v9.9.9", &["resolve v9.9.9"]),
        (
            "main",
            &["refs All", "expect go.mod go.mod", "resolve main", "file go.mod", "history", "file go.mod"],
        ),
        ("nobody", &["refs All", "resolve nobody"]),
        (&untagged, &[of_after.as_str(), of_untagged]),
        (&after, &[of_after.as_str(), "file go.mod", "refs Tags", "history to v1.1.0"]),
    ] {
        let _ = asked.stat(query);
        assert_eq!(asked.git.asked(), cost, "{query}");
    }
    asked.latest().unwrap();
    let cost = ["refs TagsElseHead", "file go.mod", "resolve v1.1.0"];
    assert_eq!(asked.git.asked(), cost, "the list's look at v1.1.0 serves the pick too");
    asked.list().unwrap();
    assert_eq!(asked.git.asked(), ["refs Tags", "file go.mod"]);
}

#[test]
fn no_tag_that_could_be_a_base_is_no_question_about_history() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").put("sub/go.mod", "module github.com/ann/m/sub\n").commit("one");
    m.tags(&["release", "other/v1.0.0", "sub/v2.0.0"]).put("y.go", "package m\n").commit("two");
    for (path, cost) in [
        ("github.com/ann/m", &["refs All", "resolve main", "file go.mod"][..]),
        ("github.com/ann/m/sub", &["refs All", "resolve main", "file sub/go.mod"]),
    ] {
        let asked = ask(path, &mut m);
        asked.stat("main").unwrap();
        assert_eq!(asked.git.asked(), cost, "{path}");
    }
}

#[test]
fn files_that_are_read_together_are_announced_together() {
    let (_folder, mut m) = repository();
    m.put("x.go", "package m\n").commit("one").tags(&["v1.0.0", "v2.0.0", "v2.1.0", "v3.0.0"]);
    m.put("y.go", "package m\n").commit("two").tag("v4.0.0");
    m.put("z.go", "package m\n").commit("three").tag("v5.0.0");
    let asked = ask("github.com/ann/m", &mut m);
    asked.list().unwrap();
    let cost = ["refs Tags", "file go.mod", "expect go.mod go.mod", "file go.mod", "file go.mod"];
    assert_eq!(asked.git.asked(), cost, "v2 and v3 stand on the commit of v1.0.0, which was read alone");
    let below = ask("github.com/ann/m/v2", &mut m);
    let _ = below.stat("v2.0.0");
    assert_eq!(
        below.git.asked(),
        ["resolve v2.0.0", "expect go.mod v2/go.mod", "file go.mod", "file v2/go.mod"]
    );
}

#[test]
fn tags_of_an_unstable_path_are_not_asked_for() {
    let (_folder, mut y) = repository();
    y.put("x.go", "package y\n").commit("one").tag("v2.0.0");
    y.save();
    let mut asked = super::Asked::new("gopkg.in/y.v2-unstable", "gopkg.in/y.v2-unstable", y.path());
    asked.place = RepositoryPlace { url: "https://gopkg.in/y.v2-unstable".to_owned(), ..asked.place };
    assert_eq!(asked.list().unwrap(), Vec::<String>::new());
    assert!(asked.git.asked().is_empty());
}
