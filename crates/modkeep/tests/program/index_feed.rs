//! The index feed: each version once, in the order in which its zip became visible here, for ever (R8).

use modkeep_testkit::ModuleWorld;
use modkeep_testkit::program::Program;

use crate::{mirror_of, upstream_of};

/// The whole feed, read page by page as `since` is meant: inclusive, so that a page begins with the line whose
/// time was asked; that one dropped, nothing is lost or repeated.
pub fn whole(modkeep: &Program, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let since = lines.last().map(|line| format!("&since={}", timestamp(line))).unwrap_or_default();
        let page = modkeep.get(&format!("/index?limit={limit}{since}"));
        assert_eq!(page.status, 200, "{}", page.text());
        let text = page.text();
        let mut new: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(last) = lines.last() {
            assert_eq!(new.first(), Some(last), "a page begins with the line whose time was asked");
            new.remove(0);
        }
        if new.is_empty() {
            return lines;
        }
        lines.extend(new);
    }
}

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start =
        line.find(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name} in {line}")) + name.len() + 4;
    line[start..].split('"').next().unwrap()
}

fn timestamp(line: &str) -> &str {
    field(line, "Timestamp")
}

#[test]
fn versions_enter_once_in_the_order_of_their_zips_and_stay() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert!(whole(&modkeep, 10).is_empty(), "an empty mirror has an empty feed");
    let mut expected = Vec::new();
    for release in world.releases() {
        assert_eq!(modkeep.get(&format!("/{}", release.file("mod"))).status, 200);
        assert_eq!(modkeep.get(&format!("/{}", release.file("zip"))).status, 200);
        assert_eq!(
            modkeep.get(&format!("/{}", release.file("zip"))).status,
            200,
            "asked again, no second line"
        );
        expected.push((release.module.clone(), release.version.clone()));
    }
    let lines = whole(&modkeep, 2000);
    let named: Vec<(String, String)> = lines
        .iter()
        .map(|line| (field(line, "Path").to_owned(), field(line, "Version").to_owned()))
        .collect();
    assert_eq!(named, expected);
    assert!(lines.is_sorted_by(|a, b| timestamp(a) < timestamp(b)), "{lines:#?}");
    for limit in [2, 3, 7, 1000] {
        assert_eq!(whole(&modkeep, limit), lines, "pages of {limit}");
    }
    modkeep.stop();
    let modkeep = setup.serve();
    assert_eq!(whole(&modkeep, 5), lines, "after a restart");
}

#[test]
fn a_mod_without_its_zip_is_no_line() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.mod").status, 200);
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.info").status, 200);
    assert!(whole(&modkeep, 10).is_empty());
}

#[test]
fn hostile_k08_bad_parameters_are_400_with_a_text() {
    let upstream = upstream_of(&ModuleWorld::new());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for query in [
        "limit=-1",
        "limit=0",
        "limit=2001",
        "limit=2147483648",
        "limit=1e9",
        "limit=ten",
        "since=yesterday",
        "since=2026-13-01T00:00:00Z",
        "since=10000-01-01T00:00:00Z",
        "since=2026-01-01T00:00:00+02:00", // an unencoded + is a space
    ] {
        let answer = modkeep.get(&format!("/index?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(answer.text().starts_with("bad request: "), "{query}: {}", answer.text());
    }
    for query in [
        "",
        "?limit=1",
        "?limit=2000",
        "?since=2026-01-01T00:00:00Z",
        "?since=2026-01-01T00:00:00.123456789%2B02:00",
    ] {
        assert_eq!(modkeep.get(&format!("/index{query}")).status, 200, "{query}");
    }
}
