//! Rows about what an answer may carry: no redirects to strangers, no scripts from other sites, no state changed
//! by reading (parts B, L and the rule U8 of hostile-inputs.md).

use modkeep_testkit::client::{raw, request};
use modkeep_testkit::program::Program;
use modkeep_testkit::{Answer, ModuleWorld, Upstream};

use crate::{DATABASE, mirror_of, upstream_of};

fn asked(upstream: &Upstream) -> Vec<String> {
    upstream.seen().into_iter().map(|seen| seen.path).collect()
}

/// U8: plain text, short, printable, no path of ours, no sniffing.
#[track_caller]
fn assert_plain_refusal(answer: &Answer, what: &str) {
    let text = String::from_utf8(answer.body.clone()).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert!(text.len() <= 4096, "{what}: {} bytes", text.len());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{what}: {text:?}");
    assert!(!text.contains("/tmp") && !text.contains(".rs:"), "{what}: {text}");
}

#[test]
fn hostile_u8_every_refusal_is_short_plain_text() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    upstream.fault("/trouble.example/", modkeep_testkit::Fault::Status(500));
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let long = format!("/example.com/{}/@v/list", "a".repeat(900));
    for (target, status) in [
        ("/example.com/m/@v/%1b%5b31mred.info", 400),
        ("/example.com/m/@v/%e2%80%aebidi.info", 404),
        ("/example.com/m/@v/a%20b.info", 404),
        ("/example.com/%3Cscript%3E/@v/list", 404),
        ("/example.com/m/@v/%3Cscript%3E.info", 404),
        (long.as_str(), 404),
        ("/trouble.example/m/@v/list", 502),
        ("/sumdb/sums.birds.example/lookup/%3Cb%3E@v1", 400),
        ("/sumdb/%3Cscript%3E/latest", 404),
        ("/index?since=%1b%5b31m", 400),
        ("/e/%3Cscript%3E", 404),
        ("/nothing", 404),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = raw(modkeep.url(), request.as_bytes());
        let class = answer.status / 100;
        assert_eq!(class, status / 100, "{target}: {} {}", answer.status, answer.text());
        assert_plain_refusal(&answer, target);
    }
}

#[test]
fn hostile_b07_b08_b09_names_of_hosts_are_never_contacted_themselves() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    // Legal module paths by Go's checker. Only the named upstream hears of them, and its word counts: nothing is
    // resolved or connected to, so the answers come at once and are absence, not trouble.
    for module in [
        "127.0.0.1/x",
        "127.1/x",
        "0x7f.1/x",
        "169.254.169.254/latest/meta-data",
        "metadata.google.internal/x",
        "x.local/y",
        "x.localhost/y",
        "x.internal/y",
        "example..com/x",
    ] {
        for end in ["@v/list", "@latest", "@v/main.info", "@v/v1.0.0.zip"] {
            let answer = modkeep.get(&format!("/{module}/{end}"));
            assert!(
                matches!(answer.status, 403 | 404),
                "{module}/{end}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(answer.took.as_secs() < 5, "{module}/{end}: {:?}", answer.took);
        }
    }
    assert!(
        asked(&upstream).iter().all(|path| path.contains("/@") || path.starts_with("/db/")),
        "{:?}",
        asked(&upstream)
    );
}

#[test]
fn hostile_b15_two_modules_that_differ_by_case_share_nothing() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let twins = [
        ("example.com/Kingfisher/Reeds", "!kingfisher/!reeds"),
        ("example.com/kingfisher/reeds", "kingfisher/reeds"),
    ];
    for _hot_the_second_time in 0..2 {
        for (module, escaped) in twins {
            let answer = modkeep.get(&format!("/example.com/{escaped}/@v/v1.0.0.zip"));
            assert_eq!(answer.body, world.release(module, "v1.0.0").zip, "{module}");
            let tag = format!("\"{}\"", world.release(module, "v1.0.0").zip_h1.to_string().replace(':', "-"));
            assert_eq!(answer.header("etag"), Some(tag.as_str()), "{module}");
        }
    }
    let reeds = setup.store().join("repos/main/example.com");
    assert!(reeds.join("!kingfisher").is_dir() && reeds.join("kingfisher").is_dir());
}

#[test]
fn hostile_b17_b18_b19_odd_queries_are_names_and_store_nothing() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for query in [
        "@{-1}",
        "a..b",
        "!h!e!a!d~1",
        "!h!e!a!d^{}",
        "all()",
        "branch(default)",
        "$(id)",
        "{}",
        "a%3Bb",
        "a%20b",
        "v1.0.0+meta",
        "v1",
        "v1.2",
    ] {
        for end in ["info", "mod", "zip"] {
            let answer = modkeep.get(&format!("/birds.example/finch/@v/{query}.{end}"));
            assert!(matches!(answer.status, 400 | 404), "{query}.{end}: {} {}", answer.status, answer.text());
        }
    }
    assert!(modkeep.get("/index").body.is_empty());
    let versions = setup.store().join("repos/main/birds.example/finch/@v");
    assert!(!versions.exists(), "{versions:?}");
}

#[test]
fn hostile_l06_l07_no_parameter_leads_anywhere_and_reading_changes_nothing() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for place in ["//evil.example", "/%5Cevil.example", "https:evil.example", "https://evil.example/"] {
        for page in ["/", "/index", "/e/checksum", "/healthz", "/version", "/no-such-page"] {
            for parameter in ["redirect_to", "next", "url", "return"] {
                let url = format!("{}{page}?{parameter}={place}", modkeep.url());
                let answer = request("GET", &url, &[("Accept", "text/html")]);
                assert!(!(300..400).contains(&answer.status), "{url}: {}", answer.status);
                assert_eq!(answer.header("location"), None, "{url}");
                assert_eq!(answer.header("set-cookie"), None, "{url}");
                assert!(!answer.text().contains("evil.example"), "{url}: {}", answer.text());
            }
        }
    }
    assert!(upstream.seen().is_empty(), "{:?}", asked(&upstream));
    assert!(modkeep.get("/index").body.is_empty());
}

#[test]
fn hostile_l08_answers_are_data_and_never_credentials() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let url = |path: &str| format!("{}{path}", modkeep.url());
    let from_a_page = [("Origin", "https://evil.example"), ("Cookie", "session=1"), ("Accept", "*/*")];
    for (path, content_type) in [
        ("/birds.example/finch/@latest?callback=alert", "application/json"),
        ("/birds.example/finch/@v/v0.9.0.info?jsonp=alert", "application/json"),
        ("/birds.example/finch/@v/list?callback=alert", "text/plain; charset=utf-8"),
        ("/index?callback=alert", "application/x-ndjson"),
    ] {
        let answer = request("GET", &url(path), &from_a_page);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{path}");
        assert!(!answer.text().contains("alert"), "{path}: {}", answer.text());
        assert_public(&answer, path);
    }
    let problem = request(
        "GET",
        &url("/birds.example/none/@v/list"),
        &[("Accept", "application/json"), from_a_page[0]],
    );
    assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{}", problem.text());
    serde_json::from_slice::<serde_json::Value>(&problem.body).unwrap();
    assert_public(&problem, "a problem");
    let preflight = request(
        "OPTIONS",
        &url("/birds.example/finch/@v/list"),
        &[
            from_a_page[0],
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "authorization"),
        ],
    );
    assert_eq!(preflight.status, 405);
    assert_public(&preflight, "a preflight");
    assert_eq!(preflight.header("access-control-allow-headers"), None);
    assert_eq!(preflight.header("access-control-allow-methods"), None);
}

/// Anybody may read, and nobody in somebody else's name.
#[track_caller]
fn assert_public(answer: &Answer, what: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{what}");
    assert_eq!(answer.header("access-control-allow-credentials"), None, "{what}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    assert_eq!(answer.header("set-cookie"), None, "{what}");
}

#[test]
fn hostile_i05_i06_a_tile_beyond_the_tree_is_not_remembered_anywhere() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for tile in ["8/0/x001/000", "8/0/001.p/255", "8/1/000.p/200", "8/data/x001/000"] {
        let answer = modkeep.get(&format!("/sumdb/{DATABASE}/tile/{tile}"));
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (404, Some("no-store")),
            "{tile}: {}",
            answer.text()
        );
    }
    assert_alive(&modkeep);
}

#[track_caller]
fn assert_alive(modkeep: &Program) {
    let health = modkeep.get("/healthz");
    assert!(health.status == 200 && health.took.as_secs() < 1, "{} {:?}", health.status, health.took);
    assert!(!modkeep.said().contains("panicked"), "{}", modkeep.said());
}
