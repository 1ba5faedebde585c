//! Part A of hostile-inputs.md (and the rows of B that are requests) against the running program.
//!
//! After each row: the process lives, the upstream was asked nothing, nothing is stored.

use modkeep_testkit::client::{allow_descriptors, raw, request};
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Answer, ModuleWorld, Pending, Upstream};

use crate::{mirror_of, upstream_of};

/// A running mirror whose upstream must not be asked.
struct House {
    upstream: Upstream,
    modkeep: Program,
    _setup: Setup,
}

impl House {
    fn new() -> Self {
        let upstream = upstream_of(&ModuleWorld::every_kind());
        let setup = mirror_of(&upstream);
        let modkeep = setup.serve();
        Self { upstream, modkeep, _setup: setup }
    }

    /// One raw request; a `Host` field and the end of the head are added.
    fn send(&self, start: &str) -> Answer {
        let host = self.modkeep.host();
        raw(self.modkeep.url(), format!("{start}\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn get(&self, target: &str) -> Answer {
        self.send(&format!("GET {target} HTTP/1.1"))
    }

    /// The rules that hold after every row (U1, U2, U3, U8).
    #[track_caller]
    fn refused(&self, what: &str, answer: &Answer, statuses: &[u16]) {
        let shown: String = answer.text().chars().take(300).collect();
        assert!(statuses.contains(&answer.status), "{what}: {} {shown}", answer.status);
        assert!(answer.body.len() <= 4096, "{what}: {} bytes", answer.body.len());
        assert!(answer.header("location").is_none(), "{what}: a redirect");
        assert!(answer.header("set-cookie").is_none(), "{what}: an injected field");
        let asked = self.upstream.seen();
        assert!(asked.is_empty(), "{what}: the upstream was asked {asked:?}");
        assert_eq!(self.modkeep.get("/healthz").status, 200, "{what}: {}", self.modkeep.said());
        assert!(!self.modkeep.said().contains("panicked"), "{what}: {}", self.modkeep.said());
    }
}

const CLIENT_ERRORS: &[u16] = &[400, 403, 404, 405, 414, 431];

#[test]
fn hostile_a01_to_a09_paths_that_climb_or_lie() {
    let house = House::new();
    for (row, target) in [
        ("hostile_a01_dots", "/example.com/m/@v/../../../../etc/passwd"),
        ("hostile_a02_encoded_dots", "/example.com/m/@v/%2e%2e%2f%2e%2e%2fetc/passwd"),
        ("hostile_a02_encoded_dots_upper", "/example.com/m/%2E%2E/@v/list"),
        ("hostile_a02_encoded_slash", "/example.com/m/@v/..%2f..%2fetc%2fpasswd"),
        ("hostile_a03_double_encoding", "/example.com/m/@v/%252e%252e%252fetc"),
        ("hostile_a06_nul", "/example.com/m%00/@v/list"),
        ("hostile_a06_crlf", "/example.com/m/@v/%0d%0aSet-Cookie:%20a=b.info"),
        ("hostile_a06_lf", "/example.com/m%0a/@v/list"),
        ("hostile_a07_ff", "/example.com/%ff/@v/list"),
        ("hostile_a07_overlong", "/example.com/%c0%ae%c0%ae/@v/list"),
        ("hostile_a07_surrogate", "/example.com/%ed%a0%80/@v/list"),
        ("hostile_a08_backslash", "/example.com/a%5cb/@v/list"),
        ("hostile_a08_backslash_raw", "/example.com/a\\b/@v/list"),
        ("hostile_a08_semicolon", "/example.com/a;x=1/@v/list"),
        ("hostile_a08_question", "/example.com/a%3fb/@v/list"),
        ("hostile_a08_hash", "/example.com/a%23b/@v/list"),
        ("hostile_a09_double_slash", "/example.com//m/@v/list"),
        ("hostile_a09_dot", "/example.com/./m/@v/list"),
        ("hostile_a09_trailing_slash", "/example.com/m/@v/list/"),
        ("hostile_a09_empty_version", "/example.com/m/@v//list"),
    ] {
        house.refused(row, &house.get(target), CLIENT_ERRORS);
    }
    let slash = house.get("/example.com%2ffinch/@v/list");
    house.refused("hostile_a04_encoded_slash", &slash, &[400]);
}

#[test]
fn hostile_a05_both_spellings_of_a_capital_are_one_file() {
    let house = House::new();
    let plain = house.get("/example.com/!kingfisher/!reeds/@v/v1.0.0.mod");
    let encoded = house.get("/example.com/%21kingfisher/%21reeds/@v/v1.0.0.mod");
    assert_eq!((plain.status, encoded.status), (200, 200), "{} {}", plain.text(), encoded.text());
    assert_eq!(plain.body, encoded.body);
    assert_eq!(plain.header("etag"), encoded.header("etag"));
    assert_eq!(house.upstream.count("reeds/@v/v1.0.0.mod"), 1, "one cache entry");
}

#[test]
fn hostile_a10_it_is_no_forward_proxy() {
    let house = House::new();
    let absolute = house.get("http://169.254.169.254/");
    house.refused("hostile_a10_absolute_form", &absolute, &[400, 404, 421]);
    let connect = house.send("CONNECT mirror.example:443 HTTP/1.1");
    house.refused("hostile_a10_connect", &connect, &[400, 405]);
}

#[test]
fn hostile_a11_only_get_and_head() {
    let house = House::new();
    for method in ["TRACE", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let answer = house.send(&format!("{method} /example.com/tern/@v/list HTTP/1.1"));
        house.refused(&format!("hostile_a11 {method}"), &answer, &[405]);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method}");
    }
}

#[test]
fn hostile_a12_ambiguous_framing_closes_the_connection() {
    let house = House::new();
    for (row, fields) in [
        ("length twice", "Content-Length: 3\r\nContent-Length: 4\r\n"),
        ("length and chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("two codings", "Transfer-Encoding: chunked, identity\r\n"),
        ("folded", "X-A: b\r\n c\r\n"),
        ("space before colon", "X-A : b\r\n"),
    ] {
        let head = format!(
            "GET /example.com/tern/@v/list HTTP/1.1\r\nHost: {}\r\n{fields}\r\n",
            house.modkeep.host()
        );
        let answer = raw(house.modkeep.url(), format!("{head}abcGET /healthz HTTP/1.1\r\n\r\n").as_bytes());
        house.refused(&format!("hostile_a12 {row}"), &answer, &[400]);
        assert!(!answer.text().contains("HTTP/1.1 200"), "{row}: a smuggled request was answered");
    }
}

#[test]
fn hostile_a13_too_long_and_too_many() {
    let house = House::new();
    let long = house.get(&format!("/example.com/{}/@v/list", "a".repeat(100_000)));
    house.refused("hostile_a13_target", &long, &[400, 414, 431]);
    let just = house.get(&format!("/example.com/{}/@v/list", "a".repeat(5_000)));
    house.refused("hostile_a13_target_over_the_limit", &just, &[400, 414]);
    let many: String = (0..1000).map(|n| format!("X-{n}: y\r\n")).collect();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    house.refused("hostile_a13_fields", &raw(house.modkeep.url(), head.as_bytes()), &[431]);
    let fat = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(65_536));
    house.refused("hostile_a13_one_field", &raw(house.modkeep.url(), fat.as_bytes()), &[431]);
}

#[test]
fn hostile_a14_links_come_from_the_configuration() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    // What it prints is the public address; a second listener has a port that we know.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let setup = mirror_of(&upstream)
        .with("MODKEEP_SERVER_PUBLIC_URL", "https://mirror.example")
        .argument("--listen")
        .argument(&free);
    let modkeep = setup.serve();
    assert_eq!(modkeep.url(), "https://mirror.example");
    let base = format!("http://{free}");
    for fields in [&[("X-Forwarded-Host", "evil.example")][..], &[("Forwarded", "host=evil.example")], &[]] {
        let answer = request("GET", &format!("{base}/cached-only/example.com/tern/@latest"), fields);
        assert!(!answer.text().contains("evil.example"), "{}", answer.text());
        assert!(answer.text().contains("https://mirror.example/e/"), "{}", answer.text());
    }
    let evil = raw(&base, b"GET /no-such-page HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(!evil.text().contains("evil.example"), "{}", evil.text());
    let none = raw(&base, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
    let two = raw(&base, b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n");
    assert!(
        matches!(none.status, 200 | 400) && matches!(two.status, 200 | 400),
        "{} {}",
        none.status,
        two.status
    );
}

#[test]
fn hostile_a17_ranges() {
    let house = House::new();
    let path = "/birds.example/finch/@v/v0.9.0.zip";
    let whole = house.modkeep.get(path).body;
    let url = format!("{}{path}", house.modkeep.url());
    let ten_thousand = format!("bytes={}", vec!["0-"; 3000].join(","));
    let last = whole.len() - 1;
    for (range, status, bytes) in [
        ("bytes=0-9".to_owned(), 206, &whole[..10]),
        ("bytes=10-".to_owned(), 206, &whole[10..]),
        ("bytes=-5".to_owned(), 206, &whole[whole.len() - 5..]),
        (format!("bytes=-{}", whole.len() * 9), 206, &whole[..]),
        (format!("bytes={last}-{}", last + 100), 206, &whole[last..]),
        ("bytes=9-1".to_owned(), 200, &whole[..]),
        ("bytes=one-two".to_owned(), 200, &whole[..]),
        ("lines=0-9".to_owned(), 200, &whole[..]),
        ("bytes=0-1,3-4".to_owned(), 200, &whole[..]),
        (ten_thousand, 200, &whole[..]),
    ] {
        let answer = request("GET", &url, &[("Range", &range)]);
        let shown: String = range.chars().take(40).collect();
        let fine =
            (answer.status == status && answer.body == bytes) || (status == 200 && answer.status == 416);
        assert!(fine && answer.complete, "{shown}: {} with {} bytes", answer.status, answer.body.len());
    }
    let beyond = request("GET", &url, &[("Range", &format!("bytes={}-", whole.len()))]);
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{}", whole.len()).as_str()));
}

#[test]
fn hostile_a18_conditions() {
    let house = House::new();
    let path = "/birds.example/finch/@v/v0.9.0.zip";
    let first = house.modkeep.get(path);
    let tag = first.header("etag").unwrap().to_owned();
    let url = format!("{}{path}", house.modkeep.url());
    let crowd: String = (0..900).map(|n| format!("\"tag-{n}\", ")).collect();
    for (name, value, status) in [
        ("If-None-Match", tag.clone(), 304),
        ("If-None-Match", format!("W/{tag}"), 304),
        ("If-None-Match", "*".to_owned(), 304),
        ("If-None-Match", format!("{crowd}{tag}"), 304),
        ("If-None-Match", "\"other\"".to_owned(), 200),
    ] {
        let answer = request("GET", &url, &[(name, &value)]);
        let shown: String = value.chars().take(40).collect();
        assert_eq!(answer.status, status, "{name}: {shown}");
        assert!(status == 200 || answer.body.is_empty());
    }
    let stale = request("GET", &url, &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")]);
    assert_eq!((stale.status, stale.body.len()), (200, first.body.len()));
    let fresh = request("GET", &url, &[("Range", "bytes=0-9"), ("If-Range", &tag)]);
    assert_eq!((fresh.status, fresh.body.len()), (206, 10));
}

#[test]
fn hostile_a19_head_is_get_without_a_body() {
    let house = House::new();
    for path in [
        "/birds.example/finch/@v/list",
        "/birds.example/finch/@latest",
        "/birds.example/finch/@v/v0.9.0.info",
        "/birds.example/finch/@v/v0.9.0.mod",
        "/birds.example/finch/@v/v0.9.0.zip",
        "/birds.example/finch/@v/v9.9.9.info",
        "/index",
        "/",
        "/healthz",
    ] {
        let url = format!("{}{path}", house.modkeep.url());
        let (get, head) = (request("GET", &url, &[]), request("HEAD", &url, &[]));
        assert_eq!((get.status, head.body.len()), (head.status, 0), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(get.header(name), head.header(name), "{path} {name}");
        }
    }
}

#[test]
fn hostile_a22_slow_heads_are_closed_and_others_served() {
    use std::io::{Read, Write};
    allow_descriptors();
    let house = House::new();
    let open = |_| {
        let mut stream = std::net::TcpStream::connect(house.modkeep.host()).unwrap();
        stream.write_all(b"GET /heal").unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(25))).unwrap();
        stream
    };
    let slow: Vec<std::net::TcpStream> = (0..100).map(open).collect();
    let answer = house.modkeep.get("/healthz");
    assert!(answer.status == 200 && answer.took.as_millis() < 1000, "{:?}", answer.took);
    for mut stream in slow {
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        let was_reset = closed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed.is_ok() || was_reset, "still open after 25 s: {closed:?}");
    }
}

#[test]
fn hostile_a25_query_strings_change_nothing() {
    let house = House::new();
    let path = "/birds.example/finch/@v/v0.9.0.mod";
    let first = house.modkeep.get(path);
    for query in ["?x=1", "?x=2", "?", "?%ff", "?go-get=0"] {
        let answer = house.modkeep.get(&format!("{path}{query}"));
        assert_eq!((answer.status, answer.header("etag")), (200, first.header("etag")), "{query}");
    }
    assert_eq!(house.upstream.count("finch/@v/v0.9.0.mod"), 1, "one cache entry");
}

#[test]
fn hostile_a26_cached_only_asks_nobody() {
    let house = House::new();
    for path in ["@v/list", "@latest", "@v/v0.9.0.info", "@v/v0.9.0.mod", "@v/v0.9.0.zip", "@v/main.info"] {
        let by_path = house.modkeep.get(&format!("/cached-only/birds.example/finch/{path}"));
        house.refused(&format!("hostile_a26_path {path}"), &by_path, &[404]);
        let url = format!("{}/birds.example/finch/{path}", house.modkeep.url());
        let by_field = request("GET", &url, &[("Disable-Module-Fetch", "true")]);
        house.refused(&format!("hostile_a26_field {path}"), &by_field, &[404]);
        assert_eq!(by_field.header("cache-control"), Some("no-store"));
    }
    let lookup = house.modkeep.get("/cached-only/sumdb/sums.birds.example/lookup/birds.example/finch@v0.9.0");
    house.refused("hostile_a26_lookup", &lookup, &[404]);
}

#[test]
fn hostile_b01_to_b04_b06_b10_to_b14_b16_b20_names_that_are_none() {
    let house = House::new();
    for (row, target) in [
        ("hostile_b01", "/github.com/Azure/sdk/@v/list"),
        ("hostile_b02_double", "/github.com/!!azure/x/@v/list"),
        ("hostile_b02_digit", "/github.com/!1/x/@v/list"),
        ("hostile_b02_capital", "/github.com/!A/x/@v/list"),
        ("hostile_b02_trailing", "/github.com/x!/@v/list"),
        ("hostile_b03", "/!example.com/x/@v/list"),
        ("hostile_b04", "/%D0%B5xample.com/x/@v/list"),
        ("hostile_b06_localhost", "/localhost/x/@v/list"),
        ("hostile_b06_port", "/example.com:443/x/@v/list"),
        ("hostile_b06_userinfo", "/user:pw@example.com/x/@v/list"),
        ("hostile_b06_v6", "/[::1]/x/@v/list"),
        ("hostile_b06_number", "/2130706433/x/@v/list"),
        ("hostile_b10", "/example.com/.git/x/@v/list"),
        ("hostile_b11_con", "/example.com/con/x/@v/list"),
        ("hostile_b11_con_ext", "/example.com/con.x/y/@v/list"),
        ("hostile_b11_short", "/example.com/x~1/@v/list"),
        ("hostile_b12_v0", "/example.com/x/v0/@v/list"),
        ("hostile_b12_v1", "/example.com/x/v1/@v/list"),
        ("hostile_b12_v02", "/example.com/x/v02/@v/list"),
        ("hostile_b12_v2_0", "/example.com/x/v2.0/@v/list"),
        ("hostile_b12_gopkg", "/gopkg.in/yaml/@v/list"),
        ("hostile_b14_no_module", "/@v/list"),
        ("hostile_b14_at", "/example.com/x@v/@v/list"),
        ("hostile_b14_twice", "/example.com/x/@v/y/@v/list"),
        ("hostile_b16_config", "/example.com/x/@v/--config=alias.log=!id.info"),
        ("hostile_b16_output", "/example.com/x/@v/--output=x.info"),
        ("hostile_b16_dash", "/example.com/x/@v/-.info"),
        ("hostile_b20_list_zip", "/example.com/x/@v/v1.0.0.ziphash"),
        ("hostile_b20_lock", "/example.com/x/@v/v1.0.0.lock"),
        ("hostile_a09_no_extension", "/example.com/x/@v/v1"),
    ] {
        house.refused(row, &house.get(target), CLIENT_ERRORS);
    }
    let long = format!("/example.com/{}/@v/list", "a/".repeat(600).trim_end_matches('/'));
    house.refused("hostile_b13", &house.get(&long), &[400, 404, 414]);
}

#[test]
fn hostile_i21_only_configured_databases_are_relayed() {
    let house = House::new();
    for path in [
        "/sumdb/evil.example/supported",
        "/sumdb/evil.example/latest",
        "/sumdb/../healthz",
        "/sumdb/sums.birds.example/../../metrics",
        "/sumdb/sums.birds.example/nothing",
        "/sumdb/",
    ] {
        house.refused(path, &house.get(path), &[400, 404]);
    }
    assert_eq!(house.modkeep.get("/sumdb/sums.birds.example/supported").status, 200);
}

#[test]
fn hostile_i01_i05_to_i08_lookups_and_tiles_that_are_none() {
    let house = House::new();
    let relay = "/sumdb/sums.birds.example";
    for lookup in [
        "birds.example/finch",
        "birds.example/finch@v1@v2",
        "birds.example/Finch@v1.0.0",
        "birds.example/finch@v1",
        "birds.example/finch@v0.9.0/go.mod",
    ] {
        let answer = house.get(&format!("{relay}/lookup/{lookup}"));
        house.refused(&format!("hostile_i01 {lookup}"), &answer, &[400]);
    }
    for tile in [
        "8/0/0",
        "08/0/000",
        "8/00/000",
        "8/0/000.p/0",
        "8/0/000.p/256",
        "8/0/000.p/01",
        "8/-1/000",
        "8/0/+01",
        "8/0/x1/000",
        "8/0/000/",
    ] {
        let answer = house.get(&format!("{relay}/tile/{tile}"));
        house.refused(&format!("hostile_i06 {tile}"), &answer, &[400]);
    }
    for tile in ["1/0/000", "30/0/000"] {
        let answer = house.get(&format!("{relay}/tile/{tile}"));
        house.refused(&format!("hostile_i07 {tile}"), &answer, &[404]);
    }
    for tile in ["8/64/000", "8/200/000", "8/0/x009/x223/x372/x036/x854/x775/807"] {
        let answer = house.get(&format!("{relay}/tile/{tile}"));
        assert!(
            matches!(answer.status, 400 | 404),
            "hostile_i08 {tile}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn hostile_k11_clients_that_vanish_leave_nothing_behind() {
    allow_descriptors();
    let house = House::new();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", house.modkeep.pid())).unwrap().count();
    assert_eq!(house.modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    let before = descriptors();
    for round in 0..200_u8 {
        let url = format!("{}/birds.example/finch/@v/v0.9.0.zip", house.modkeep.url());
        drop(Pending::send(&url, 2 + round % 10));
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while descriptors() > before + 8 {
        assert!(std::time::Instant::now() < deadline, "{} descriptors, {before} before", descriptors());
        std::thread::sleep(std::time::Duration::from_millis(50)); // the other side closes in its own time
    }
}

#[test]
fn hostile_l10_operations_are_not_public() {
    let house = House::new();
    for path in ["/metrics", "/debug/tasks", "/debug/pprof", "/admin"] {
        house.refused(path, &house.get(path), &[404]);
    }
    let metrics = modkeep_testkit::get(&format!("{}/metrics", house.modkeep.admin()));
    assert!(
        metrics.status == 200 && metrics.text().contains("modkeep_http_requests_total"),
        "{}",
        metrics.text()
    );
}

#[test]
fn hostile_a15_a16_fields_of_proxies_are_ignored() {
    let house = House::new();
    let url = format!("{}/birds.example/finch/@v/list", house.modkeep.url());
    let plain = request("GET", &url, &[]);
    for field in [
        ("X-Forwarded-For", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1;host=evil.example"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Original-URL", "/metrics"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Remote-User", "admin"),
        ("X-WebAuth-User", "admin"),
        ("X-Auth-Request-Email", "admin@corp.example"),
    ] {
        let answer = request("GET", &url, &[field]);
        assert_eq!((answer.status, &answer.body), (plain.status, &plain.body), "{}", field.0);
    }
}

#[test]
fn hostile_a23_handshakes_that_never_finish_are_closed() {
    use std::io::Read;
    allow_descriptors();
    let authority = modkeep_testkit::tls::Authority::new();
    let tls = authority.server(modkeep_testkit::tls::Flaw::None);
    let upstream = upstream_of(&ModuleWorld::new());
    let setup = mirror_of(&upstream);
    let (certificate, key) = (setup.home().join("cert.pem"), setup.home().join("key.pem"));
    std::fs::write(&certificate, tls.pem().0).unwrap();
    std::fs::write(&key, tls.pem().1).unwrap();
    let setup = setup
        .with("MODKEEP_SERVER_TLS_CERT", certificate.to_str().unwrap())
        .with("MODKEEP_SERVER_TLS_KEY", key.to_str().unwrap());
    let modkeep = setup.serve();
    let host = modkeep.url().trim_start_matches("https://");
    let waiting: Vec<std::net::TcpStream> =
        (0..100).map(|_| std::net::TcpStream::connect(host).unwrap()).collect();
    for mut stream in waiting {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(25))).unwrap();
        let closed = stream.read_to_end(&mut Vec::new());
        let was_reset = closed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed.is_ok() || was_reset, "still open after 25 s: {closed:?}");
    }
}

#[test]
fn hostile_a24_slow_readers_hold_little_memory() {
    allow_descriptors();
    let house = House::new();
    let path = "/example.com/pelican/@v/v1.0.0.zip";
    assert_eq!(house.modkeep.get(path).status, 200);
    let idle = house.modkeep.resident_bytes();
    let url = format!("{}{path}", house.modkeep.url());
    let mut readers: Vec<Pending> =
        (0..500_u16).map(|n| Pending::send(&url, 2 + u8::try_from(n / 200).unwrap())).collect();
    readers.iter_mut().for_each(Pending::read_some);
    let busy = house.modkeep.resident_bytes();
    let each = busy.saturating_sub(idle) / 500;
    // U5, and the row's 128 KiB for each client; the sockets' own buffers are the kernel's.
    assert!(each <= 128 << 10, "{each} bytes for each slow reader");
    assert!(busy.saturating_sub(idle) < 64 << 20, "{} MiB more than idle", (busy - idle) >> 20);
    let begin = std::time::Instant::now();
    assert_eq!(house.modkeep.get("/example.com/tern/@v/list").status, 200, "no fetch slot is held");
    assert!(begin.elapsed().as_secs() < 5);
}
