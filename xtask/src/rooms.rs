//! `cargo xtask rooms`: the tree is the architecture, and here it is checked.
//!
//! The floors below are those of `docs/ARCHITECTURE.md`. A room may use rooms of lower floors. Two sideways
//! arrows are allowed by name; everything else that is level or climbs is an error, and so is a room that
//! no floor knows.

use std::fmt::Write as _;

use crate::Error;
use crate::metadata::{Arrow, Kind, Package};

/// One floor of the house.
struct Floor {
    number: u8,
    name: &'static str,
    rooms: &'static [&'static str],
}

/// The house, top floor first.
const FLOORS: &[Floor] = &[
    Floor { number: 6, name: "PROGRAM", rooms: &["modkeep"] },
    Floor { number: 5, name: "EDGE", rooms: &["http"] },
    Floor { number: 4, name: "FACES", rooms: &["mirror", "sumdb", "index", "web"] },
    Floor { number: 3, name: "DECISION", rooms: &["fetch"] },
    Floor { number: 2, name: "MATTER", rooms: &["origin", "upstream", "egress", "store", "log"] },
    Floor { number: 1, name: "WORDS", rooms: &["module", "tlog"] },
];

/// Arrows along a floor that are meant: upstreams and origins speak through the one way out and deliver into
/// scratch files of the store, and a go-import page may lead from an origin to somebody's own GOPROXY (V-21). The log
/// keeps its records in the store, and asks witnesses and other logs through the one way out.
const SIDEWAYS: &[(&str, &str)] = &[
    ("upstream", "egress"),
    ("upstream", "store"),
    ("log", "egress"),
    ("log", "store"),
    ("origin", "egress"),
    ("origin", "store"),
    ("origin", "upstream"),
];

/// The test kit stands beside the house: only tests may lean on it, and it leans on these floors.
const TESTKIT: &str = "testkit";
const TESTKIT_FLOOR_MAX: u8 = 2;

/// The chores stand beside the house too. Nobody depends on them, and they know only words.
const XTASK: &str = "xtask";
const XTASK_FLOOR_MAX: u8 = 1;

/// Draws the floors, then fails with all that is wrong at once.
pub(crate) fn run() -> Result<(), Error> {
    let packages = crate::metadata::packages()?;
    print!("{}", draw(&packages));
    let mut findings = check(&packages);
    findings.extend(crate::source::check(&packages)?);
    if findings.is_empty() {
        println!("rooms: {} rooms, every arrow points down", packages.len());
        return Ok(());
    }
    Err(Error::Finding(format!("the house is not in order:\n  {}", findings.join("\n  "))))
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|floor| floor.rooms.contains(&room)).map(|floor| floor.number)
}

/// What is wrong with the arrows, one line each.
fn check(packages: &[Package]) -> Vec<String> {
    let mut findings: Vec<String> =
        packages.iter().flat_map(|p| p.arrows.iter().filter_map(|arrow| judge(&p.room, arrow))).collect();
    let strangers = packages
        .iter()
        .map(|p| p.room.as_str())
        .filter(|room| floor_of(room).is_none() && *room != TESTKIT && *room != XTASK);
    findings.extend(strangers.map(|room| format!("{room}: no floor of xtask/src/rooms.rs knows this room")));
    findings
}

/// Why the arrow may not stand, or `None`.
fn judge(from: &str, arrow: &Arrow) -> Option<String> {
    let to = arrow.to.as_str();
    if to == from && arrow.kind == Kind::Tests {
        return None; // a room's tests may switch on its own features
    }
    if to == XTASK {
        return Some(format!("{from} → {to}: nobody depends on the chores"));
    }
    if to == TESTKIT {
        let beside = from == XTASK || arrow.kind == Kind::Tests;
        return (!beside).then(|| format!("{from} → {to}: only tests may lean on the test kit"));
    }
    let target = floor_of(to)?;
    if from == TESTKIT || from == XTASK {
        let top = if from == XTASK { XTASK_FLOOR_MAX } else { TESTKIT_FLOOR_MAX };
        return (target > top).then(|| format!("{from} → {to}: stands beside floors 1 to {top} only"));
    }
    let own = floor_of(from)?;
    if target < own || SIDEWAYS.contains(&(from, to)) {
        return None;
    }
    let how = if target == own { "is sideways" } else { "climbs" };
    Some(format!("{from} → {to}: this arrow {how} (floor {own} to floor {target})"))
}

/// The floors as text, each room with the rooms that it uses.
fn draw(packages: &[Package]) -> String {
    let mut text = String::new();
    for floor in FLOORS {
        let known = |room: &&&str| packages.iter().any(|p| p.room == **room);
        for (n, room) in floor.rooms.iter().filter(known).enumerate() {
            let label = if n == 0 { format!("{}  {}", floor.number, floor.name) } else { String::new() };
            let _ = writeln!(text, "{label:<13}{}", draw_room(packages, room));
        }
    }
    let _ = writeln!(text, "{:<13}{}", "beside", draw_room(packages, TESTKIT));
    let _ = writeln!(text, "{:<13}{}", "", draw_room(packages, XTASK));
    text
}

fn draw_room(packages: &[Package], room: &str) -> String {
    let own = |p: &&Package| p.room == room;
    let uses: Vec<&str> = packages
        .iter()
        .find(own)
        .map(|p| p.arrows.iter().filter(|a| a.kind == Kind::Code).map(|a| a.to.as_str()).collect())
        .unwrap_or_default();
    if uses.is_empty() { room.to_owned() } else { format!("{room:<9}→ {}", uses.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str, arrows: &[(&str, Kind)]) -> Package {
        let arrows = arrows.iter().map(|(to, kind)| Arrow { to: (*to).to_owned(), kind: *kind }).collect();
        Package { room: name.to_owned(), folder: name.into(), arrows }
    }

    #[test]
    fn arrows_that_may_stand_and_arrows_that_may_not() {
        for (from, to, kind, wrong) in [
            ("http", "fetch", Kind::Code, None),
            ("modkeep", "module", Kind::Code, None),
            ("upstream", "egress", Kind::Code, None),
            ("upstream", "store", Kind::Code, None),
            ("store", "testkit", Kind::Tests, None),
            ("store", "store", Kind::Tests, None),
            ("testkit", "store", Kind::Code, None),
            ("xtask", "module", Kind::Code, None),
            ("module", "store", Kind::Code, Some("climbs")),
            ("store", "fetch", Kind::Tests, Some("climbs")),
            ("fetch", "mirror", Kind::Code, Some("climbs")),
            ("mirror", "sumdb", Kind::Code, Some("sideways")),
            ("egress", "upstream", Kind::Code, Some("sideways")),
            ("store", "egress", Kind::Code, Some("sideways")),
            ("tlog", "module", Kind::Code, Some("sideways")),
            ("http", "testkit", Kind::Code, Some("only tests")),
            ("testkit", "fetch", Kind::Code, Some("beside")),
            ("xtask", "store", Kind::Code, Some("beside")),
            ("web", "xtask", Kind::Tests, Some("nobody")),
        ] {
            let found = check(&[room(from, &[(to, kind)])]);
            match wrong {
                None => assert!(found.is_empty(), "{from} → {to}: {found:?}"),
                Some(word) => {
                    assert!(found.len() == 1 && found[0].contains(word), "{from} → {to}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_room_without_a_floor_is_a_finding() {
        let found = check(&[room("utils", &[])]);
        assert!(found.len() == 1 && found[0].starts_with("utils:"), "{found:?}");
    }

    #[test]
    fn the_drawing_names_every_room_and_hides_what_only_tests_use() {
        let house = [room("modkeep", &[("http", Kind::Code), ("testkit", Kind::Tests)]), room("http", &[])];
        let text = draw(&house);
        assert!(text.contains("6  PROGRAM   modkeep  → http\n"), "{text}");
        assert!(text.contains("5  EDGE      http\n"), "{text}");
    }
}
