//! Rows B07, B08, C04, C24, D and E10 of `hostile-inputs.md`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use modkeep_egress::HostPort;

use super::*;
use crate::config::Govcs;

fn page(world: &World, address: &str, body: impl Into<Vec<u8>>) {
    world.pages.page(address, Page::Body(200, body.into()));
}

#[tokio::test]
async fn hostile_b07_b08_addresses_and_local_names_are_refused_without_a_packet() {
    let world = World::new();
    for module in [
        "127.0.0.1/x",
        "127.1/x",
        "0x7f.1/x",
        "169.254.169.254/latest/meta-data",
        "metadata.google.internal/x",
        "x.local/y",
        "x.localhost/y",
        "x.internal/y",
    ] {
        let error = world.place(module).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{module}: {error}");
    }
    assert!(world.names.0.lock().unwrap().is_empty(), "not even a name is looked up");
    assert!(world.pages.seen().is_empty());
}

#[tokio::test]
async fn hostile_c01_c02_c03_d05_strange_roots_on_a_page_are_refused_and_never_shown() {
    let world = World::new();
    for root in [
        "ext::sh",
        "fd::7",
        "file:///etc",
        "/etc",
        "../x",
        "host:path",
        "ssh://-oProxyCommand=id/x",
        "ssh://-Fcfg@h/x",
        "https://user:s3cret@code.example/x",
    ] {
        world.pages.import("van.example/x", &format!("van.example/x git {root}"));
        let error = world.place("van.example/x").await.unwrap_err();
        assert!(matches!(error, Error::NoModule { .. }), "{root}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(!root.contains("s3cret") || error.to_string().contains("repo root: a login in"), "{error}");
    }
    // ssh is off unless configured for the host.
    let place = RepositoryPlace {
        root: "van.example/x".into(),
        vcs: Vcs::Git,
        url: "ssh://git@code.example/x".into(),
        subdirectory: String::new(),
    };
    for (ssh, is_open) in [("", false), ("other.example", false), ("code.example", true)] {
        let config = Config { ssh: Patterns::parse(ssh).unwrap(), ..Config::default() };
        let remote = world.resolver(&config).remote(&path("van.example/x"), &place).await;
        assert_eq!(remote.is_ok(), is_open, "{ssh:?}");
    }
}

#[tokio::test]
async fn hostile_c04_insecure_roots_need_the_insecure_list() {
    let world = World::new();
    for root in ["http://code.example/x", "git://code.example/x"] {
        let place = RepositoryPlace {
            root: "van.example/x".into(),
            vcs: Vcs::Git,
            url: root.into(),
            subdirectory: String::new(),
        };
        for (insecure, is_open) in [("", false), ("code.example", false), ("van.example", true)] {
            let config = Config { insecure: Patterns::parse(insecure).unwrap(), ..Config::default() };
            let remote = world.resolver(&config).remote(&path("van.example/x"), &place).await;
            assert_eq!(remote.is_ok(), is_open, "{root} {insecure:?}");
            if let Err(error) = remote {
                assert!(error.to_string().contains("[origin] insecure"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn hostile_c24_only_git_is_spoken_by_default_and_the_refusal_names_the_setting() {
    let world = World::new();
    for vcs in ["hg", "svn", "fossil"] {
        world.pages.import("van.example/x", &format!("van.example/x {vcs} https://code.example/x"));
        for module in ["van.example/x".to_owned(), format!("van.example/y.{vcs}")] {
            let error = world.refused(&module).await;
            assert!(error.contains(&format!("GOVCS disallows using {vcs} for public")), "{error}");
            assert!(error.contains("[origin] vcs"), "{error}");
        }
    }
    let vcs = vec![Vcs::Git, Vcs::Hg, Vcs::Svn, Vcs::Fossil];
    let config = Config { vcs: vcs.clone(), ..Config::default() };
    assert!(world.resolver(&config).place(&path("van.example/x"), &Nobody).await.is_ok());
    let govcs = Some(Govcs::parse("public:git,private:all").unwrap());
    for (private, is_allowed) in [("", false), ("van.example", true)] {
        let private = Patterns::parse(private).unwrap();
        let config = Config { vcs: vcs.clone(), govcs: govcs.clone(), private, ..Config::default() };
        let place = world.resolver(&config).place(&path("van.example/x"), &Nobody).await;
        assert_eq!(place.is_ok(), is_allowed, "{place:?}");
    }
}

#[tokio::test]
async fn hostile_d01_d02_tags_that_do_not_match_or_do_not_agree() {
    let world = World::new();
    let good = "van.example git https://code.example/all";
    world.pages.import("van.example", good);
    for (contents, reason) in [
        (vec![], "no go-import meta tags ()"),
        (vec!["other.example/x git https://code.example/x"], "did not match import path"),
        (
            vec!["van.example/x git https://a.example/x", "van.example git https://b.example/x"],
            "multiple meta tags match",
        ),
        (vec!["van.example git https://evil.example/all"], "disagree about go-import for van.example"),
        (vec!["van.example git https://code.example/all sub"], "disagree about go-import for van.example"),
        (vec!["van.example hg https://code.example/all"], "disagree about go-import for van.example"),
    ] {
        world.pages.imports("van.example/x", &contents);
        let error = world.refused("van.example/x").await;
        assert!(error.contains(reason), "{contents:?}: {error}");
    }
    world.pages.import("van.example/x", good);
    assert!(world.place("van.example/x").await.is_ok());
}

#[tokio::test]
async fn hostile_d03_d04_a_proxy_tag_leads_nowhere_it_should_not() {
    let mut world = World::new();
    world.egress.own = vec![HostPort::parse("mirror.example:443").unwrap()];
    for base in
        ["https://10.0.0.1/", "https://8.8.8.8/", "https://127.1/", "https://[::1]/", "http://proxy.example/"]
    {
        world.pages.import("van.example/x", &format!("van.example/x mod {base}"));
        let error = world.place("van.example/x").await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{base}: {error}");
    }
    for base in ["ssh://proxy.example/", "file:///srv/proxy", "off"] {
        world.pages.import("van.example/x", &format!("van.example/x mod {base}"));
        let error = world.place("van.example/x").await.unwrap_err();
        assert!(matches!(error, Error::NoModule { .. }), "{base}: {error}");
    }
    // Ports and loops are the gate's, before any packet; one hop is all there is, for a base is never a page.
    let egress = Egress::new(world.egress.clone()).unwrap();
    for base in ["https://proxy.example:22/", "https://mirror.example/"] {
        world.pages.import("van.example/x", &format!("van.example/x mod {base}"));
        let Place::Proxy { base } = world.place("van.example/x").await.unwrap() else { panic!("{base}") };
        let asked = egress.get(modkeep_egress::Request::named(base)).await;
        assert!(matches!(asked, Err(modkeep_egress::Error::Refused { .. })), "{asked:?}");
    }
}

#[tokio::test]
async fn hostile_d06_d13_subdirectories_and_systems_nobody_has() {
    let world = World::new();
    for (content, reason) in [
        ("git https://code.example/x /x", "leading slash"),
        ("git https://code.example/x -x", "leading hyphen"),
        ("git https://code.example/x a/../../b", "out of the repository"),
        ("git https://code.example/x ..", "out of the repository"),
        ("git https://code.example/x a\\b", "do not belong"),
        ("git https://code.example/x a*", "do not belong"),
        ("ext https://code.example/x", "unknown vcs \"ext\""),
        ("GIT https://code.example/x", "unknown vcs \"GIT\""),
        ("bzr https://code.example/x", "unknown vcs \"bzr\""),
        ("https://code.example/x", "no go-import meta tags ()"),
        ("git https://code.example/x a b", "no go-import meta tags ()"),
    ] {
        world.pages.import("van.example/x", &format!("van.example/x {content}"));
        let error = world.refused("van.example/x").await;
        assert!(error.contains(reason), "{content}: {error}");
    }
    world
        .pages
        .import("van.example/x", &format!("van.example/x {} https://code.example/x", "v".repeat(1024)));
    let error = world.refused("van.example/x").await;
    assert!(error.contains("unknown vcs") && error.len() < 600, "{error}");
}

#[tokio::test]
async fn hostile_d07_pages_without_end_are_cut() {
    let world = World::new();
    let tag = "<meta name=\"go-import\" content=\"van.example/x git https://code.example/x\">";
    let many =
        "<meta name=\"go-import\" content=\"other.example/x git https://code.example/x\">".repeat(100_000);
    let attributes = " a='1'".repeat(100_000);
    let late = format!("<head>{}{tag}", " ".repeat(1024 * 1024));
    for (body, is_found) in [
        (many, false),
        (format!("<meta{attributes}>{tag}</head>"), true),
        (late, false),
        (format!("<head>{tag}</head>{}", "x".repeat(20 * 1024 * 1024)), true),
        (format!("<head>{}", "<!-- ".repeat(200_000)), false),
        (format!("<head>{}", "&".repeat(1_000_000)), false),
    ] {
        let began = Instant::now();
        let read = super::super::meta::read(body.as_bytes().get(..1024 * 1024).unwrap_or(body.as_bytes()));
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 1 }),
            "{took:?}: {:?}",
            read.is_ok()
        );
        page(&world, "van.example/x", body);
        let place = world.place("van.example/x").await;
        assert_eq!(place.is_ok(), is_found, "{place:?}");
        assert!(place.map_or_else(|error| error.to_string().len(), |_| 0) < 4096);
    }
}

#[tokio::test]
async fn hostile_d09_tags_count_whatever_the_status() {
    let world = World::new();
    let tag = "<meta name=\"go-import\" content=\"van.example/x git https://code.example/x\">";
    for status in [404, 500, 403] {
        world.pages.page("van.example/x", Page::Body(status, tag.into()));
        assert!(world.place("van.example/x").await.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn hostile_d10_redirects_end_somewhere_and_stay_secure() {
    let world = World::new();
    let redirect = |address: &str, to: &str| world.pages.page(address, Page::Redirect(to.to_owned()));
    world.pages.import("van.example/end", "van.example/hop git https://code.example/x");
    redirect("van.example/hop", "https://van.example/end");
    assert!(world.place("van.example/hop").await.is_ok(), "the prefix is compared with what was asked");
    for n in 0..11 {
        redirect(&format!("far.example/{n}"), &format!("https://far.example/{}", n + 1));
    }
    world.pages.import("far.example/11", "far.example git https://code.example/x");
    redirect("down.example/x", "http://down.example/y");
    redirect("file.example/x", "file:///etc/passwd");
    redirect("in.example/x", "https://10.0.0.1/x");
    redirect("port.example/x", "https://port.example:22/x");
    for module in ["far.example/0", "down.example/x", "file.example/x", "in.example/x", "port.example/x"] {
        let error = world.place(module).await.unwrap_err();
        assert!(matches!(error, Error::NoModule { .. } | Error::Refused { .. }), "{module}: {error}");
    }
    assert_eq!(world.pages.count("http://"), 0);
}

#[tokio::test]
async fn hostile_d11_a_certificate_nobody_signed_needs_the_insecure_list() {
    let mut world = World::new();
    world.egress.ca_file = None;
    world.pages.import("van.example/x", "van.example/x git https://code.example/x");
    let error = world.place("van.example/x").await.unwrap_err();
    assert!(matches!(error, Error::Trouble { .. }), "{error}");
    let config = Config { insecure: Patterns::parse("van.example").unwrap(), ..Config::default() };
    assert!(world.resolver(&config).place(&path("van.example/x"), &Nobody).await.is_ok());
}

#[tokio::test]
async fn hostile_d12_a_compressed_page_is_counted_after_decoding() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let head = b"<head>";
    bomb.write_all(head).unwrap();
    for _ in 0..256 {
        bomb.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let answer = if head.starts_with(b"CONNECT") {
                b"HTTP/1.1 502 No TLS\r\nContent-Length: 0\r\n\r\n".to_vec()
            } else if head[..read].windows(10).any(|bytes| bytes == b"robots.txt") {
                b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n".to_vec()
            } else {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    bomb.len()
                );
                [head.as_bytes(), &bomb].concat()
            };
            let _hung_up = stream.write_all(&answer);
        }
    });
    let mut world = World::new();
    world.egress.proxies = ProxyEnv::read(|name| (name == "ALL_PROXY").then(|| proxy.clone())).unwrap();
    let config = Config { insecure: Patterns::parse("bomb.example").unwrap(), ..Config::default() };
    let began = Instant::now();
    let error = world.resolver(&config).place(&path("bomb.example/x"), &Nobody).await.unwrap_err();
    assert!(matches!(error, Error::NoModule { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn hostile_d14_an_alternating_page_is_one_snapshot_at_a_time() {
    let world = World::new();
    let resolver = world.resolver(&Config::default());
    let module = path("van.example/x");
    for root in ["https://a.example/x", "https://b.example/x", "https://a.example/x"] {
        world.pages.import("van.example/x", &format!("van.example/x git {root}"));
        let place = git("van.example/x", root, "");
        assert_eq!(resolver.place(&module, &Nobody).await.unwrap(), place);
        world.pages.import("van.example/x", "van.example/x git https://c.example/x");
        assert_eq!(resolver.place(&module, &Nobody).await.unwrap(), place, "the snapshot holds");
        world.clock.advance(Duration::from_hours(2));
    }
}

#[tokio::test]
async fn hostile_e10_crawl_rules_for_our_name_are_obeyed_and_the_answer_says_so() {
    let world = World::new();
    let import = |host: &str| {
        world.pages.import(&format!("{host}/x"), &format!("{host}/x git https://code.example/x"));
    };
    let robots = |host: &str, text: &str| page(&world, &format!("{host}/robots.txt"), text);
    for host in ["shut.example", "open.example", "wild.example", "slow.example", "ill.example"] {
        import(host);
    }
    robots("shut.example", "User-agent: modkeep\nDisallow: /x\n");
    robots("open.example", "User-agent: modkeep\nAllow: /\nUser-agent: *\nDisallow: /\n");
    robots("wild.example", "User-agent: *\nDisallow: /\n");
    robots("slow.example", "User-agent: modkeep\nCrawl-delay: 31\n");
    world.pages.page("ill.example/robots.txt", Page::Body(503, vec![]));
    let resolver = world.resolver(&Config::default());
    let error = resolver.place(&path("shut.example/x"), &Nobody).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason, .. } if reason.contains("robots.txt")), "{error}");
    assert_eq!(world.pages.count("shut.example/x"), 0);
    for host in ["open.example", "wild.example"] {
        assert!(resolver.place(&path(&format!("{host}/x")), &Nobody).await.is_ok(), "{host}");
    }
    let error = resolver.place(&path("ill.example/x"), &Nobody).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "{error}");
    // One request in 31 s is further apart than anybody waits: the second is told when to come again.
    assert!(resolver.place(&path("slow.example/x"), &Nobody).await.is_ok());
    let error = resolver.place(&path("slow.example/y"), &Nobody).await.unwrap_err();
    assert!(
        matches!(error, Error::Throttled { retry_after, .. } if retry_after > Duration::from_secs(20)),
        "{error}"
    );
    assert_eq!(world.pages.count("slow.example/robots.txt"), 1, "once a day");
}

#[tokio::test]
async fn hostile_e10_configured_hosts_are_not_asked_for_rules() {
    let mut world = World::new();
    world.egress.allow = vec![allowed("van.example")];
    world.pages.import("van.example/x", "van.example/x git https://code.example/x");
    page(&world, "van.example/robots.txt", "User-agent: modkeep\nDisallow: /\n");
    assert!(world.place("van.example/x").await.is_ok());
    assert_eq!(world.pages.seen(), ["https://van.example/x?go-get=1"]);
}
