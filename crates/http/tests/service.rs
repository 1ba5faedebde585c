//! What the service answers, request by request: the rules P-10 to P-18, P-70 to P-79, P-90 to P-96 and P-110 to P-120 and the rows of
//! hostile-inputs part A that need no socket.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod house;

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use house::{BASE, House, LARGE, WIDE};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Empty};

/// An answer, read to its end.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

impl House {
    async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Told {
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = self.service.answer(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, target: &str) -> Told {
        self.ask("GET", target, &[]).await
    }

    async fn get_with(&self, target: &str, name: &str, value: &str) -> Told {
        self.ask("GET", target, &[(name, value)]).await
    }
}

/// U8 and the rules of error texts, which hold for whatever is refused.
fn check_refusal(told: &Told, target: &str) {
    assert!((400..600).contains(&told.status), "{target}: {}", told.status);
    assert_eq!(told.field("content-type"), Some("text/plain; charset=utf-8"), "{target}");
    assert_eq!(told.field("x-content-type-options"), Some("nosniff"), "{target}");
    assert_eq!(told.field("location"), None, "{target}: never a redirect");
    let (text, code) = (told.text(), told.field("x-modkeep-code").unwrap());
    assert!(told.field("x-request-id").is_some());
    assert!(told.body.len() <= 4096, "{target}");
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{target}: {text:?}");
    assert!(text.lines().next().unwrap().ends_with(&format!("[{code}]")), "{target}: {text}");
    assert_eq!(text.lines().last().unwrap(), format!("{BASE}/e/{code}"), "{target}");
    assert!((2..=8).contains(&text.lines().count()), "{target}: {text}");
    assert!(text.lines().all(|line| !line.is_empty()), "{target}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_questions_are_answered_from_source_and_from_memory() {
    let house = House::build(None);
    let release = house.world.release("example.com/bird", "v1.1.0").clone();
    // Twice: the second time from memory or store.
    for _ in 0..2 {
        let list = house.get("/example.com/bird/@v/list").await;
        assert_eq!((list.status, list.text()), (200, "v1.0.0\nv1.1.0\n".into()));
        let latest = house.get("/example.com/bird/@latest").await;
        assert_eq!((latest.status, latest.field("content-type")), (200, Some("application/json")));
        let info = house.get("/example.com/bird/@v/v1.1.0.info").await;
        assert_eq!((info.status, &info.body), (200, &release.info));
        let go_mod = house.get("/example.com/bird/@v/v1.1.0.mod").await;
        assert_eq!((go_mod.status, &go_mod.body), (200, &release.go_mod));
        let zip = house.get("/example.com/bird/@v/v1.1.0.zip").await;
        assert_eq!((zip.status, &zip.body), (200, &release.zip));
        let tag = |sum: &dyn std::fmt::Display| format!("\"{}\"", sum.to_string().replacen("h1:", "h1-", 1));
        assert_eq!(zip.field("etag"), Some(tag(&release.zip_h1).as_str()));
        assert_eq!(go_mod.field("etag"), Some(tag(&release.go_mod_h1).as_str()));
    }
}

/// P-112: a file that never changes has one date, the version's, or none while nobody has told it.
#[tokio::test(flavor = "multi_thread")]
async fn last_modified_is_the_time_of_the_version() {
    let house = House::build(None);
    let date = async |end: &str| {
        let told = house.get(&format!("/example.com/bird/@v/v1.1.0.{end}")).await;
        told.field("last-modified").map(str::to_owned)
    };
    assert_eq!(date("zip").await, None, "the time of the fetch is nobody's");
    let time = Some("Wed, 04 Mar 2026 05:06:07 GMT".to_owned());
    assert_eq!(date("info").await, time);
    assert_eq!(date("mod").await, time);
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_follow_the_kind_of_object() {
    const FOREVER: &str = "public, max-age=31536000, immutable";
    const MINUTE: &str = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";
    let house = House::build(None);
    for (target, content_type, cache_control) in [
        ("/example.com/bird/@v/list", "text/plain; charset=utf-8", MINUTE),
        ("/example.com/bird/@latest", "application/json", MINUTE),
        ("/example.com/bird/@v/v1.0.0.info", "application/json", FOREVER),
        ("/example.com/bird/@v/v1.0.0.mod", "text/plain; charset=utf-8", FOREVER),
        ("/example.com/bird/@v/v1.0.0.zip", "application/zip", FOREVER),
    ] {
        for _ in 0..2 {
            let told = house.get(target).await;
            assert_eq!(told.status, 200, "{target}");
            assert_eq!(told.field("content-type"), Some(content_type), "{target}");
            assert_eq!(told.field("cache-control"), Some(cache_control), "{target}");
            assert_eq!(told.field("access-control-allow-origin"), Some("*"), "{target}");
            assert_eq!(told.field("x-content-type-options"), Some("nosniff"), "{target}");
            assert!(told.field("etag").unwrap().starts_with('"'), "{target}: strong");
            assert_eq!(told.field("set-cookie"), None, "{target}");
        }
    }
    for (target, status, cache_control) in [
        ("/example.com/bird/@v/v9.9.9.info", 404, "public, max-age=60"),
        ("/example.com/none/@v/list", 404, "public, max-age=60"),
        ("/example.com/v1/@v/list", 404, "public, max-age=86400"),
        ("/cached-only/example.com/none/@v/list", 404, "no-store"),
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert_eq!((told.status, told.field("cache-control")), (status, Some(cache_control)), "{target}");
        assert!(told.text().starts_with("not found: "), "{target}: {}", told.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a01_a02_dot_elements_are_refused_in_every_spelling() {
    let house = House::build(None);
    for target in [
        "/example.com/m/@v/../../../../etc/passwd",
        "/example.com/m/@v/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/example.com/m/@v/%2E%2E/%2E%2E/etc/passwd",
        "/example.com/m/@v/..%2f..%2fetc/passwd",
        "/../etc/passwd",
        "/sumdb/../index",
        "/cached-only/../index",
        "/assets/../ledger-1.css",
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert_eq!(told.status, 400, "{target}");
        assert!(told.text().starts_with("bad request: "), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a03_double_encoding_is_decoded_once() {
    let house = House::build(None);
    let target = "/example.com/m/@v/%252e%252e%252fetc";
    let told = house.get(target).await;
    check_refusal(&told, target);
    assert!(matches!(told.status, 400 | 404), "{}", told.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a04_an_encoded_slash_is_no_second_spelling() {
    let house = House::build(None);
    assert_eq!(house.get("/example.com/bird/@v/list").await.status, 200);
    for target in
        ["/example.com%2fbird/@v/list", "/example.com%2Fbird/@v/list", "/example.com%5cbird/@v/list"]
    {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert_eq!(told.status, 400, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a05_the_encoded_exclamation_mark_is_the_same_object() {
    let house = House::build(None);
    for _ in 0..2 {
        let raw = house.get("/example.com/!azure/sdk/@v/v0.1.0.mod").await;
        let encoded = house.get("/example.com/%21azure/sdk/@v/v0.1.0.mod").await;
        assert_eq!((raw.status, encoded.status), (200, 200));
        assert_eq!(raw.body, encoded.body);
        assert_eq!(raw.field("etag"), encoded.field("etag"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a06_control_characters_never_reach_a_header() {
    let house = House::build(None);
    for target in [
        "/example.com/m%00/@v/list",
        "/example.com/m%0d%0aSet-Cookie:%20a=b/@v/list",
        "/example.com/m/@v/v1.0.0%0a.info",
        "/e/no%0d%0aX:%20y",
        "/%00",
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert!(told.field("set-cookie").is_none() && told.field("x").is_none(), "{target}");
    }
    let told = house.get("/example.com/bird/@v/list?%0d%0aSet-Cookie:%20a=b").await;
    assert_eq!((told.status, told.field("set-cookie")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a07_a08_bytes_that_no_path_has_are_refused() {
    let house = House::build(None);
    for target in [
        "/example.com/m%ff/@v/list",
        "/example.com/%c0%ae%c0%ae/@v/list",
        "/example.com/%ed%a0%80/@v/list",
        "/example.com/a%5cb/@v/list",
        "/example.com/a;param/@v/list",
        "/example.com/a%3fb/@v/list",
        "/example.com/a%23b/@v/list",
        "/example.com/a%zz/@v/list",
        "/example.com/a%2/@v/list",
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert!((400..500).contains(&told.status), "{target}: {}", told.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a09_empty_elements_are_not_normalised_away() {
    let house = House::build(None);
    for target in [
        "//example.com/m/@v/list",
        "/example.com//m/@v/list",
        "/example.com/./m/@v/list",
        "/example.com/m/@v/list/",
        "/example.com/m/@v//list",
        "/index/",
        "/sumdb/",
        "/cached-only/",
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert!((400..500).contains(&told.status), "{target}: {}", told.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a10_no_forward_proxy() {
    let house = House::build(None);
    let told = house.get("http://169.254.169.254/latest/meta-data").await;
    check_refusal(&told, "absolute form");
    assert_eq!(told.status, 400);
    let told = house.ask("CONNECT", "internal.example:443", &[]).await;
    check_refusal(&told, "CONNECT");
    assert_eq!(told.status, 405);
    // HTTP/2 always names scheme and host: they are ignored.
    let request = Request::builder()
        .version(Version::HTTP_2)
        .uri("https://evil.example/example.com/bird/@v/list")
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(house.service.answer(request).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a11_only_get_and_head() {
    let house = House::build(None);
    for method in ["TRACE", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        for target in ["/example.com/bird/@v/list", "/", "/index", "/sumdb/sum.example/latest"] {
            let told = house.ask(method, target, &[]).await;
            check_refusal(&told, target);
            assert_eq!((told.status, told.field("allow")), (405, Some("GET, HEAD")), "{method} {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a13_long_targets_and_large_headers_have_limits() {
    let house = House::build(None);
    let target = format!("/example.com/{}/@v/list", "a".repeat(4096));
    let told = house.get(&target).await;
    check_refusal(&told, "a long target");
    assert_eq!(told.status, 414);
    let told = house.get(&format!("/example.com/bird/@v/list?{}", "x".repeat(4096))).await;
    assert_eq!(told.status, 414);
    let told = house.get_with("/example.com/bird/@v/list", "x-large", &"a".repeat(16 << 10)).await;
    check_refusal(&told, "a large header");
    assert_eq!(told.status, 431);
    let many: Vec<(String, String)> = (0..65).map(|at| (format!("x-{at}"), "1".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(house.ask("GET", "/example.com/bird/@v/list", &many).await.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a14_a15_a16_fields_that_claim_things_are_ignored() {
    let house = House::build(None);
    let plain = house.get("/").await;
    let fields = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1;host=evil.example"),
        ("x-real-ip", "10.0.0.1"),
        ("x-original-url", "/index"),
        ("x-http-method-override", "DELETE"),
        ("remote-user", "root"),
        ("x-webauth-user", "root"),
    ];
    let claimed = house.ask("GET", "/", &fields).await;
    assert_eq!((claimed.status, &claimed.body), (200, &plain.body));
    assert!(claimed.text().contains(&format!("GOPROXY={BASE}")));
    let refused = house.ask("GET", "/example.com/none/@v/list", &fields).await;
    check_refusal(&refused, "with claims");
    assert!(!refused.text().contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a17_one_range_at_most_and_never_more_than_the_file() {
    let house = House::build(None);
    let zip = house.world.release(LARGE, "v1.0.0").zip.clone();
    let (target, size) = (format!("/{LARGE}/@v/v1.0.0.zip"), zip.len());
    let whole = house.get(&target).await;
    assert_eq!((whole.status, whole.field("accept-ranges")), (200, Some("bytes")));
    assert_eq!(whole.body, zip);
    for (range, part) in [
        ("bytes=0-99", 0..100),
        ("bytes=100000-200000", 100_000..200_001),
        ("bytes=-100", size - 100..size),
        ("bytes=-99999999999", 0..size),
    ] {
        let told = house.get_with(&target, "range", range).await;
        assert_eq!(told.status, 206, "{range}");
        assert_eq!(told.body, zip[part.clone()], "{range}");
        let content_range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(told.field("content-range"), Some(content_range.as_str()), "{range}");
    }
    let many = format!("bytes={}", vec!["0-999"; 1000].join(","));
    for range in [many.as_str(), "bytes=9-1", "bytes=x-y", "lines=1-2"] {
        let told = house.get_with(&target, "range", range).await;
        assert_eq!((told.status, told.body.len()), (200, size), "{range:.40}");
    }
    let outside = house.get_with(&target, "range", "bytes=99999999999-").await;
    check_refusal(&outside, "outside");
    assert_eq!(outside.status, 416);
    assert_eq!(outside.field("content-range"), Some(format!("bytes */{size}").as_str()));
    let etag = whole.field("etag").unwrap();
    for (if_range, status) in [(etag, 206), ("\"other\"", 200), (&format!("W/{etag}"), 200)] {
        let told = house.ask("GET", &target, &[("range", "bytes=0-9"), ("if-range", if_range)]).await;
        assert_eq!(told.status, status, "{if_range}");
    }
    // Nothing else comes in parts.
    assert_eq!(house.get_with("/example.com/bird/@v/v1.0.0.mod", "range", "bytes=0-1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a18_conditional_requests() {
    let house = House::build(None);
    for target in [
        "/example.com/bird/@v/list".to_owned(),
        "/example.com/bird/@latest".into(),
        "/example.com/bird/@v/v1.0.0.info".into(),
        format!("/{WIDE}/@v/v1.0.0.mod"),
        format!("/{LARGE}/@v/v1.0.0.zip"),
    ] {
        let whole = house.get(&target).await;
        let etag = whole.field("etag").unwrap().to_owned();
        let long = format!("{}{etag}", "\"x\", ".repeat(2500));
        for (field, status) in [
            (etag.as_str(), 304),
            (&format!("W/{etag}"), 304),
            ("*", 304),
            (&format!("\"a\", W/\"b\", {etag}"), 304),
            (&long, 304),
            ("\"other\"", 200),
            ("", 200),
        ] {
            let told = house.get_with(&target, "if-none-match", field).await;
            assert_eq!(told.status, status, "{target} {field:.40}");
            assert_eq!(told.field("etag"), Some(etag.as_str()), "{target}");
            assert_eq!(told.field("cache-control"), whole.field("cache-control"), "{target}");
            assert_eq!(told.body.is_empty(), status == 304, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a19_head_is_get_without_a_body() {
    let house = House::build(None);
    for target in [
        "/",
        "/example.com/bird/@v/list",
        "/example.com/bird/@latest",
        "/example.com/bird/@v/v1.0.0.info",
        "/example.com/bird/@v/v1.0.0.mod",
        "/example.com/bird/@v/v1.0.0.zip",
        "/example.com/none/@v/list",
        "/index",
        "/healthz",
        "/readyz",
        "/version",
        "/e/checksum",
        "/assets/ledger-1.css",
        "/nothing",
        "/sumdb/sum.example/supported",
    ] {
        let get = house.get(target).await;
        let head = house.ask("HEAD", target, &[]).await;
        assert_eq!(head.status, get.status, "{target}");
        assert!(head.body.is_empty(), "{target}");
        assert_eq!(head.field("content-length"), Some(get.body.len().to_string().as_str()), "{target}");
        for name in ["content-type", "cache-control", "etag", "vary", "last-modified", "x-modkeep-code"] {
            assert_eq!(head.field(name), get.field(name), "{target} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a25_query_strings_change_nothing() {
    let house = House::build(None);
    let plain = house.get("/example.com/bird/@v/v1.0.0.info").await;
    for query in ["?", "?x=1", "?go-get=1", "?a=b&c=%2F..%2F", "?token=secret"] {
        let told = house.get(&format!("/example.com/bird/@v/v1.0.0.info{query}")).await;
        assert_eq!((told.status, &told.body), (200, &plain.body), "{query}");
        assert_eq!(told.field("etag"), plain.field("etag"), "{query}");
    }
    let told = house.get("/example.com/bird?go-get=1").await;
    check_refusal(&told, "go-get");
    assert_eq!(told.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_a26_cached_only_never_asks_the_source() {
    let house = House::build(None);
    let target = "/example.com/bird/@v/v1.0.0.info";
    for _ in 0..2 {
        let by_path = house.get(&format!("/cached-only{target}")).await;
        let by_field = house.get_with(target, "disable-module-fetch", "true").await;
        for told in [by_path, by_field] {
            check_refusal(&told, target);
            assert_eq!((told.status, told.field("x-modkeep-code")), (404, Some("not-cached")));
            assert_eq!(told.field("cache-control"), Some("no-store"));
            assert!(told.field("vary").unwrap().contains("Disable-Module-Fetch"));
        }
    }
    let fetched = house.get(target).await;
    assert_eq!(fetched.status, 200);
    for told in [
        house.get(&format!("/cached-only{target}")).await,
        house.get_with(target, "disable-module-fetch", "1").await,
    ] {
        assert_eq!((told.status, &told.body), (200, &fetched.body));
        assert_eq!(told.field("cache-control"), fetched.field("cache-control"), "P-92");
    }
    // P-95: not in front of the index or the pages.
    assert_eq!(house.get("/cached-only/index").await.status, 404);
    assert_eq!(house.get("/cached-only/healthz").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_from_the_store_alone_are_not_those_from_the_source() {
    let house = House::build(None);
    let (list, cached) = ("/example.com/bird/@v/list", "/cached-only/example.com/bird/@v/list");
    assert_eq!(house.get(list).await.text(), "v1.0.0\nv1.1.0\n");
    // A version is listed when the go command could use it: with its go.mod and its zip.
    for kind in ["mod", "zip"] {
        assert_eq!(house.get(&format!("/example.com/bird/@v/v1.1.0.{kind}")).await.status, 200);
    }
    for told in [house.get(cached).await, house.get_with(list, "disable-module-fetch", "true").await] {
        assert_eq!((told.status, told.text()), (200, "v1.1.0\n".into()), "P-93");
    }
    assert!(house.get(list).await.field("vary").unwrap().contains("Disable-Module-Fetch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_travel_compressed_under_a_tag_of_their_own() {
    let house = House::build(None);
    let target = format!("/{WIDE}/@v/v1.0.0.mod");
    let plain = house.get(&target).await;
    assert_eq!((plain.field("content-encoding"), plain.field("vary")), (None, Some("Accept-Encoding")));
    let mut unpacked = Vec::new();
    for _ in 0..2 {
        let packed = house.get_with(&target, "accept-encoding", "gzip").await;
        assert_eq!(packed.field("content-encoding"), Some("gzip"));
        assert!(packed.body.len() * 2 < plain.body.len());
        unpacked.clear();
        GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body);
        assert_eq!(packed.field("vary"), Some("Accept-Encoding"));
        let (of_plain, of_packed) = (plain.field("etag").unwrap(), packed.field("etag").unwrap());
        assert_ne!(of_plain, of_packed);
        let fields = [("accept-encoding", "gzip"), ("if-none-match", of_packed)];
        assert_eq!(house.ask("GET", &target, &fields).await.status, 304);
        let refused = house.get_with(&target, "accept-encoding", "gzip;q=0").await;
        assert_eq!(refused.field("content-encoding"), None);
    }
    // Zips never; short texts never, and those vary by nothing.
    let zip = house.get_with(&format!("/{LARGE}/@v/v1.0.0.zip"), "accept-encoding", "gzip").await;
    assert_eq!((zip.field("content-encoding"), zip.field("vary")), (None, None));
    let info = house.get_with("/example.com/bird/@v/v1.0.0.info", "accept-encoding", "gzip").await;
    assert_eq!((info.field("content-encoding"), info.field("vary")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_module_is_404_at_once() {
    let house = House::build(None);
    for target in
        ["/github.com", "/github.com/owner", "/github/@v/list", "/nothing", "/debug/pprof", "/metrics"]
    {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert_eq!(told.status, 404, "{target}");
    }
    for target in [
        "/example.com/bird/@v/v1.0.0.ziphash",
        "/example.com/bird/@v/v1.0.0.lock",
        "/example.com/bird/@v/v1.0.0.info.info",
        "/example.com/bird/@v/latest.mod",
        "/example.com/bird/@old",
    ] {
        let told = house.get(target).await;
        check_refusal(&told, target);
        assert_eq!(told.status, 404, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_problem_details_and_the_go_command_gets_text() {
    let house = House::build(None);
    let target = "/example.com/bird/@v/v7.7.7.info";
    let told = house.get_with(target, "accept", "application/json").await;
    assert_eq!((told.status, told.field("content-type")), (404, Some("application/problem+json")));
    let text = told.text();
    let begin = format!("{{\"type\":\"{BASE}/e/no-such-version\",\"title\":");
    assert!(text.starts_with(&begin) && text.contains("\"status\":404"), "{text}");
    check_refusal(&house.get(target).await, target);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_lists_what_became_visible_and_refuses_nonsense() {
    let house = House::build(None);
    assert_eq!(house.get("/index").await.text(), "");
    for version in ["v1.0.0", "v1.1.0"] {
        assert_eq!(house.get(&format!("/example.com/bird/@v/{version}.zip")).await.status, 200);
    }
    let page = house.get("/index").await;
    assert_eq!((page.status, page.field("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(page.text().lines().count(), 2);
    assert_eq!(house.get("/index?limit=1").await.text().lines().count(), 1);
    let last = page.text().lines().last().unwrap().to_owned();
    let at = last.split("\"Timestamp\":\"").nth(1).unwrap().trim_end_matches("\"}");
    assert_eq!(house.get(&format!("/index?since={at}")).await.text(), last.clone() + "\n");
    for query in ["limit=-1", "limit=2147483648", "limit=1e9", "since=garbage", "since=10000-01-01T00:00:00Z"]
    {
        let target = format!("/index?{query}");
        let told = house.get(&target).await;
        check_refusal(&told, &target);
        assert_eq!(told.status, 400, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_pages() {
    let house = House::build(None);
    assert_eq!(house.get("/example.com/bird/@v/v1.1.0.zip").await.status, 200);
    let front = house.get("/").await;
    assert_eq!((front.status, front.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = front.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let text = front.text();
    assert!(
        text.contains(&format!("go env -w GOPROXY={BASE}")) && text.contains("example.com/bird"),
        "{text}"
    );
    let style = house.get("/assets/ledger-1.css").await;
    assert_eq!((style.status, style.field("content-type")), (200, Some("text/css; charset=utf-8")));
    for code in ["checksum", "no-such-version", "internal"] {
        let text = house.get(&format!("/e/{code}")).await;
        assert_eq!((text.status, text.field("content-type")), (200, Some("text/plain; charset=utf-8")));
        let page = house.get_with(&format!("/e/{code}"), "accept", "text/html,*/*").await;
        assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(page.text().contains(&format!("[{code}]")));
    }
    let lost = house.get_with("/nothing", "accept", "text/html").await;
    assert_eq!((lost.status, lost.field("content-type")), (404, Some("text/html; charset=utf-8")));
    assert_eq!(house.get("/healthz").await.text(), "ok\n");
    assert_eq!(house.get("/readyz").await.text(), "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_mounted_under_a_prefix_of_somebody_elses_program() {
    use axum::Router;
    use axum::body::Body;
    use tower_service::Service as _;

    let house = House::build(None);
    let mut app: Router = Router::new().nest_service("/go", house.service.clone());
    let uri: Uri = "/go/example.com/bird/@v/v1.0.0.info".parse().unwrap();
    let response = app.call(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, house.world.release("example.com/bird", "v1.0.0").info);
    let response = app.call(Request::get("/elsewhere").body(Body::empty()).unwrap()).await.unwrap();
    assert!(response.headers().get("x-modkeep-code").is_none());
}

#[tokio::test]
async fn an_import_path_of_ours_says_where_it_lives() {
    let house = House::build(None);
    let told = house.get_with("/tool/sub?go-get=1", "host", "go.corp.example").await;
    assert_eq!((told.status, told.field("vary")), (200, Some("Host")));
    assert!(told.field("content-type").unwrap().starts_with("text/html"));
    let tag = "<meta name=\"go-import\" content=\"go.corp.example/tool git https://code.corp.example/&#60;tool&#62; go\">";
    assert!(told.text().contains(tag), "{}", told.text());
    for (host, target) in
        [("go.corp.example", "/tool"), ("evil.example", "/tool?go-get=1"), ("go.corp.example", "/x?go-get=1")]
    {
        assert_eq!(house.get_with(target, "host", host).await.status, 404, "{host} {target}");
    }
    // A path of the protocol is never a page.
    let listed = house.get_with("/go.corp.example/tool/@v/list?go-get=1", "host", "go.corp.example").await;
    assert!(!listed.text().contains("go-import"));
}
