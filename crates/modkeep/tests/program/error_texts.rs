//! The texts of user-experience.md section 8, as the real go command prints them.

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Answer, Fault, Go, Lie, ModuleWorld, Upstream};

use crate::{mirror_of, upstream_of};

/// One row of section 8, and how to come by it.
struct Row {
    code: &'static str,
    status: u16,
    /// What the go command is told to download.
    wanted: &'static str,
    /// The request of it that is answered with the row.
    path: &'static str,
    /// Makes it so; the mirror runs already.
    arrange: fn(&Upstream),
    /// Of the mirror's configuration.
    variable: (&'static str, &'static str),
}

const ZIP: &str = "/birds.example/finch/@v/v0.9.0.zip";
const INFO: &str = "/birds.example/finch/@v/v0.9.0.info";
const NOTHING: (&str, &str) = ("MODKEEP_SERVER_DRAIN", "5s");

fn rows() -> Vec<Row> {
    let finch = "birds.example/finch@v0.9.0";
    vec![
        Row {
            code: "no-such-version",
            status: 404,
            wanted: "birds.example/finch@v0.9.7",
            path: "/birds.example/finch/@v/v0.9.7.info",
            arrange: |_| {},
            variable: NOTHING,
        },
        Row {
            code: "no-such-module",
            status: 404,
            wanted: "birds.example/phinch@latest",
            path: "/birds.example/phinch/@v/list",
            arrange: |_| {},
            variable: NOTHING,
        },
        Row {
            code: "unlisted",
            status: 404,
            wanted: finch,
            path: "/birds.example/finch/@v/v0.9.0.mod",
            arrange: |upstream| upstream.change(|site| site.database().lie(Lie::Forgetful)),
            variable: NOTHING,
        },
        Row {
            code: "checksum",
            status: 403,
            wanted: finch,
            path: ZIP,
            arrange: |upstream| {
                let mut other = ModuleWorld::new();
                let zip =
                    other.add("birds.example/finch", "v0.9.0", &[("go.mod", b"module evil\n")]).zip.clone();
                upstream.fault(ZIP, Fault::Instead(zip));
            },
            variable: NOTHING,
        },
        Row {
            code: "origin-down",
            status: 502,
            wanted: finch,
            path: INFO,
            arrange: |upstream| upstream.fault("/finch/", Fault::Status(500)),
            variable: NOTHING,
        },
        Row {
            code: "still-fetching",
            status: 504,
            wanted: finch,
            path: ZIP,
            arrange: |upstream| upstream.fault(ZIP, Fault::Hold),
            variable: ("MODKEEP_SERVER_HOLD", "1s"),
        },
        Row {
            code: "log-down",
            status: 503,
            wanted: finch,
            path: "/birds.example/finch/@v/v0.9.0.mod",
            arrange: |upstream| upstream.fault("/db/", Fault::Status(500)),
            variable: NOTHING,
        },
        Row {
            code: "offline",
            status: 404,
            wanted: finch,
            path: INFO,
            arrange: |_| {},
            variable: ("MODKEEP_ORIGIN_UPSTREAM", "off"),
        },
        Row {
            code: "storage",
            status: 503,
            wanted: finch,
            path: ZIP,
            arrange: |_| {},
            variable: ("MODKEEP_STORE_MIN_FREE", "1024TiB"),
        },
    ]
}

#[test]
fn go_prints_every_line_of_every_text() {
    let mut wrong = Vec::new();
    for row in rows() {
        let upstream = upstream_of(&ModuleWorld::every_kind());
        let setup = mirror_of(&upstream).with(row.variable.0, row.variable.1);
        let modkeep = setup.serve();
        (row.arrange)(&upstream);
        let said = Go::new(modkeep.url(), "off").run(&["mod", "download", row.wanted]);
        let answer = modkeep.get(row.path);
        let verdict = judge(&row, &modkeep, &answer, &said.stderr);
        wrong.extend(
            verdict.err().map(|why| format!("{}: {why}\n{}\n{}", row.code, answer.text(), said.stderr)),
        );
        upstream.mend();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

fn judge(row: &Row, modkeep: &Program, answer: &Answer, go_said: &str) -> Result<(), String> {
    let told = (answer.status, answer.code().unwrap_or_default());
    if told != (row.status, row.code) {
        return Err(format!("expected {} [{}], got {told:?}", row.status, row.code));
    }
    lint(answer, modkeep.url())?;
    if matches!(row.status, 429 | 503 | 504) && answer.header("retry-after").is_none() {
        return Err("no Retry-After".to_owned());
    }
    // Facts such as ages and request ids differ between two answers; the words around them do not.
    let words = |line: &str| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let spoken: Vec<String> = go_said.lines().map(|line| words(line.trim())).collect();
    let changing = |line: &str| line.contains("req ") || line.contains(" ago") || line.contains(" in ");
    for line in answer.text().lines().filter(|line| !changing(line)) {
        if !spoken.iter().any(|said| said.contains(&words(line))) {
            return Err(format!("go did not print {line:?}"));
        }
    }
    let page = modkeep.get(&format!("/e/{}", row.code));
    if page.status == 200 { Ok(()) } else { Err(format!("its page is {}", page.status)) }
}

/// The rules of section 8 that hold for every text.
fn lint(answer: &Answer, base: &str) -> Result<(), String> {
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    let code = answer.code().unwrap_or_default();
    let class = match answer.status {
        404 => "not found: ",
        410 => "gone: ",
        403 => "forbidden: ",
        400 => "bad request: ",
        500 => "internal: ",
        _ => "unavailable: ",
    };
    let host = base.trim_start_matches("http://").rsplit(':').next().unwrap_or_default();
    for (rule, holds) in [
        ("text/plain; charset=utf-8", answer.header("content-type") == Some("text/plain; charset=utf-8")),
        (
            "first line is class: what [code]",
            lines[0].starts_with(class) && lines[0].ends_with(&format!("[{code}]")),
        ),
        ("2 to 8 lines", (2..=8).contains(&lines.len())),
        ("further lines at most 76 columns", lines.iter().skip(1).all(|line| line.len() <= 76)),
        ("printable ASCII", text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b))),
        ("no blank line", lines.iter().all(|line| !line.trim().is_empty())),
        ("at most 648 bytes", text.len() <= 648),
        (
            "last line is its page",
            lines.last().is_some_and(|l| l.ends_with(&format!("/e/{code}")) && l.contains(host)),
        ),
        ("a request id", answer.header("x-request-id").is_some()),
        ("nosniff", answer.header("x-content-type-options") == Some("nosniff")),
    ] {
        if !holds {
            return Err(format!("breaks the rule: {rule}"));
        }
    }
    Ok(())
}

#[test]
fn cached_only_never_fetches_and_says_where_to_go() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let go = Go::new(&format!("{}/cached-only", modkeep.url()), "off");
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure("[not-cached]");
    let answer = modkeep.get(&format!("/cached-only{INFO}"));
    lint(&answer, modkeep.url()).unwrap();
    assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")));
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    // Stored, it is served there too.
    Go::new(modkeep.url(), "off").run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
}

#[test]
fn private_names_are_told_from_the_relay_to_the_developer() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    // Private here, and yet an upstream of ours has it: the go command must be told to stop looking it up.
    let setup: Setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_PRIVATE", "birds.example");
    let modkeep = setup.serve();
    let chain = format!("{}|{}", modkeep.url(), upstream.url());
    let go = Go::new(&chain, &upstream.key());
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure("[log-private]");
    let told = Go::new(&chain, &upstream.key()).with("GONOSUMDB", "birds.example/*");
    told.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
}

#[test]
fn a_403_stops_go_where_a_404_goes_on() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let mut other = ModuleWorld::new();
    let zip = other.add("birds.example/finch", "v0.9.0", &[("go.mod", b"module evil\n")]).zip.clone();
    upstream.fault_times(ZIP, Fault::Instead(zip), 2);
    // The second proxy of the chain would give the bytes; a deliberate stop is a stop.
    let go = Go::new(&format!("{},{}", modkeep.url(), upstream.url()), "off");
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure("[checksum]");
}
