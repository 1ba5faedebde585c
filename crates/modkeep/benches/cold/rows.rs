//! The rows of the table: one question each, from a modkeep that knows nothing unless it says otherwise.

use modkeep_testkit::Pending;

use crate::made::VERSIONS;
use crate::{Bench, LIST_TTL, Spent, cpu, folder_bytes, had_children};

/// One measurement: its cells behind the name.
type Row = (&'static str, fn(&Bench) -> String);

/// In the order of the table.
pub(crate) const ROWS: &[Row] = &[
    ("first version, `.zip`", first_version),
    ("first version, `.info`, then `.mod`, then `.zip`", first_version_in_steps),
    ("only `.info` and `.mod`", only_info_and_mod),
    ("second version, `.zip`, refs fresh", second_version),
    ("ten versions together", ten_versions),
    ("list, then latest: first contact", first_list),
    ("list and latest, refs unchanged", list_again),
    ("list and latest, inside the lifetime", list_inside),
    ("an untagged commit, `.info`", untagged_info),
    ("an untagged commit, `.zip` too", untagged_zip),
    ("herd of 1,000 on one zip", herd),
    ("processes started for a version", processes),
    ("kept beside the served files", kept),
    // These change the repository, so they come last.
    ("list and latest, a new tag with the same go.mod", |bench| list_changed(bench, "v1.10.0", false)),
    ("list and latest, a new tag with a new go.mod", |bench| list_changed(bench, "v1.11.0", true)),
];

/// Callers of one address: the server bounds what one client may have open.
const PER_ADDRESS: usize = 200;

/// What stands in a row: requests and their bound, bytes beside somebody's, CPU beside go's and its bound.
#[derive(Default)]
struct Cells {
    spent: Option<Spent>,
    requests: &'static str,
    beside: Option<(u64, &'static str)>,
    go: Option<f64>,
    ratio: &'static str,
}

impl Cells {
    fn told(self) -> String {
        let spent = self.spent.expect("something was asked");
        let (requests, bytes) = (spent.cost.requests, spent.cost.bytes_out);
        let beside = self.beside.map_or_else(
            || "| ".to_owned(),
            |(other, who)| format!("{other} ({who}) | {:.2}", bytes as f64 / other.max(1) as f64),
        );
        let ours = spent.cpu;
        let cpu = self.go.map_or_else(
            || format!(" | {ours:.2} s | | "),
            |go| format!("{go:.2} s | {ours:.2} s | **{:.2}** | {}", ours / go, self.ratio),
        );
        format!("{requests} | {} | {bytes} | {beside} | {cpu}", self.requests)
    }
}

fn version(n: usize) -> String {
    format!("v1.{n}.0")
}

fn files_of(bench: &Bench, version: &str) -> Vec<String> {
    ["info", "mod", "zip"].iter().map(|kind| bench.path(&format!("{version}.{kind}"))).collect()
}

fn first_version(bench: &Bench) -> String {
    first(bench, &files_of(bench, "v1.0.0")[2..], "≤ 3")
}

/// As the go command asks: what it needs for `.info` is asked before anybody knows that the zip will be wanted (D7).
fn first_version_in_steps(bench: &Bench) -> String {
    first(bench, &files_of(bench, "v1.0.0"), "")
}

fn first(bench: &Bench, paths: &[String], requests: &'static str) -> String {
    let (_setup, program) = bench.modkeep();
    let spent = one_by_one(bench, &program, paths);
    let fetch = bench.plain_fetch(&[], &["--depth=1", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0"]);
    let go = Some(bench.go(&["v1.0.0".to_owned()]));
    let beside = Some((fetch, "git fetch --depth=1, target 1.05"));
    Cells { spent: Some(spent), requests, beside, go, ratio: "≤ 0.25" }.told()
}

fn only_info_and_mod(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    let spent = one_by_one(bench, &program, &files_of(bench, "v1.0.0")[..2]);
    let fetch = bench.plain_fetch(&[], &["--depth=1", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0"]);
    Cells {
        spent: Some(spent),
        requests: "≤ 4",
        beside: Some((fetch, "git fetch --depth=1")),
        ..Cells::default()
    }
    .told()
}

fn second_version(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    one_by_one(bench, &program, &files_of(bench, "v1.0.0")[2..]);
    let spent = one_by_one(bench, &program, &files_of(bench, "v1.1.0")[2..]);
    let first = ["--depth=1", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0"];
    let fetch = bench.plain_fetch(&first, &["--depth=1", "origin", "refs/tags/v1.1.0:refs/tags/v1.1.0"]);
    let beside = Some((fetch, "git fetch --depth=1 after the first"));
    Cells { spent: Some(spent), requests: "1", beside, ..Cells::default() }.told()
}

fn ten_versions(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    let versions: Vec<String> = (0..VERSIONS).map(version).collect();
    let zips: Vec<String> = versions.iter().map(|version| bench.path(&format!("{version}.zip"))).collect();
    let spent = bench.ask(&program, &zips);
    let go = Some(bench.go(&versions));
    Cells { spent: Some(spent), requests: "≤ 3", go, ratio: "≤ 0.2", ..Cells::default() }.told()
}

fn lists(bench: &Bench) -> [String; 2] {
    [bench.path("list"), format!("/{}/@latest", bench.module())]
}

fn first_list(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    let spent = one_by_one(bench, &program, &lists(bench));
    Cells { spent: Some(spent), requests: "2, plus the go.mod", ..Cells::default() }.told()
}

fn list_again(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep_with(LIST_TTL);
    one_by_one(bench, &program, &lists(bench));
    Cells { spent: Some(stale_lists(bench, &program)), requests: "1", ..Cells::default() }.told()
}

fn list_changed(bench: &Bench, version: &str, new_go_mod: bool) -> String {
    let (_setup, program) = bench.modkeep_with(LIST_TTL);
    one_by_one(bench, &program, &lists(bench));
    bench.grow(version, new_go_mod);
    Cells { spent: Some(stale_lists(bench, &program)), requests: "1, plus the go.mod", ..Cells::default() }
        .told()
}

/// Both lists when their lifetime is over.
fn stale_lists(bench: &Bench, program: &modkeep_testkit::Program) -> Spent {
    std::thread::sleep(LIST_TTL * 2);
    let before = cpu(program.pid());
    let mut spent = bench.ask(program, &lists(bench));
    // What was stale is answered at once and asked again behind the answer.
    std::thread::sleep(LIST_TTL / 2);
    (spent.cost, spent.cpu) = (bench.server().cost(), cpu(program.pid()) - before);
    spent
}

fn list_inside(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    one_by_one(bench, &program, &lists(bench));
    let spent = one_by_one(bench, &program, &lists(bench));
    Cells { spent: Some(spent), requests: "0", ..Cells::default() }.told()
}

fn untagged_info(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    let spent = one_by_one(bench, &program, &[bench.path("main.info")]);
    let fetch = bench.plain_fetch(&[], &["origin", "refs/heads/*:refs/heads/*"]);
    Cells { spent: Some(spent), beside: Some((fetch, "full history")), ..Cells::default() }.told()
}

fn untagged_zip(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    let info = one_by_one(bench, &program, &[bench.path("main.info")]);
    let text = info.answers[0].text();
    let version =
        text.split("\"Version\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let mut spent = one_by_one(bench, &program, &[bench.path(&format!("{version}.zip"))]);
    spent.cost.requests += info.cost.requests;
    spent.cost.bytes_out += info.cost.bytes_out;
    spent.cpu += info.cpu;
    let go = Some(bench.go(&["main".to_owned()]));
    let fetch = bench.plain_fetch(&[], &["origin", "refs/heads/*:refs/heads/*"]);
    Cells { spent: Some(spent), beside: Some((fetch, "full history")), go, ..Cells::default() }.told()
}

fn herd(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    bench.server().forget();
    let url = format!("{}{}", program.url(), bench.path("v1.0.0.zip"));
    // Large zips to a thousand callers at once fill memory with the same bytes: fewer callers there.
    let callers = if bench.files > 2_000 { 100 } else { 1_000 };
    let before = cpu(program.pid());
    let served = crowd(&url, callers);
    let spent = Spent { cost: bench.server().cost(), cpu: cpu(program.pid()) - before, answers: Vec::new() };
    let then = crowd(&url, callers);
    let again = bench.server().cost().requests - spent.cost.requests;
    let told = Cells { spent: Some(spent), requests: "as one client, then 0", ..Cells::default() }.told();
    format!("{told}; {served} and {then} of {callers} served, then {again} requests")
}

fn crowd(url: &str, callers: usize) -> usize {
    let from = |caller: usize| 2 + u8::try_from(caller / PER_ADDRESS).unwrap();
    let crowd: Vec<Pending> = (0..callers).map(|caller| Pending::send(url, from(caller))).collect();
    crowd.into_iter().map(Pending::finish).filter(|answer| answer.status == 200).count()
}

fn processes(bench: &Bench) -> String {
    let (_setup, program) = bench.modkeep();
    one_by_one(bench, &program, &files_of(bench, "v1.0.0"));
    let some = if had_children(program.pid()) { "some" } else { "0" };
    format!("{some} | 0 | | | | | | |")
}

fn kept(bench: &Bench) -> String {
    let (setup, program) = bench.modkeep();
    let spent = one_by_one(bench, &program, &files_of(bench, "v1.0.0"));
    let zip = spent.answers[2].body.len() as u64;
    program.stop();
    let kept = folder_bytes(&setup.store().join("work"));
    format!("| | {kept} | {zip} (zip), target 0.3 | {:.2} | | | |", kept as f64 / zip as f64)
}

/// One after the other, as the go command asks.
fn one_by_one(bench: &Bench, program: &modkeep_testkit::Program, paths: &[String]) -> Spent {
    let mut all: Option<Spent> = None;
    for path in paths {
        let spent = bench.ask(program, std::slice::from_ref(path));
        all = Some(match all {
            None => spent,
            Some(mut all) => {
                all.cost.requests += spent.cost.requests;
                all.cost.bytes_in += spent.cost.bytes_in;
                all.cost.bytes_out += spent.cost.bytes_out;
                all.cpu += spent.cpu;
                all.answers.extend(spent.answers);
                all
            }
        });
    }
    all.expect("something was asked")
}
