//! Upstreams that are slow, broken or lying: rows H, F31 and G of `hostile-inputs.md`, every question.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Disk, MODULE, egress, module, patience, version, world};
use modkeep_egress::{Config, Egress, HostPort};
use modkeep_module::{ModulePath, VersionOrQuery};
use modkeep_store::Scratch;
use modkeep_testkit::tls::{Authority, Flaw};
use modkeep_testkit::upstream::Fault;
use modkeep_testkit::{Site, Upstream as Server};
use modkeep_upstream::{Error, Fetched, Patience, Upstream};
use url::Url;

fn server() -> Server {
    Server::start(Site::of(&world()))
}

fn client(server: &Server) -> Upstream {
    Upstream::new_http(Url::parse(&server.url()).unwrap(), egress(&[server])).with_patience(patience())
}

fn exact() -> VersionOrQuery {
    VersionOrQuery::Version(version("v1.0.0").version().clone())
}

fn read(scratch: &Scratch) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut scratch.reader().unwrap(), &mut bytes).unwrap();
    bytes
}

fn new<T>(fetched: Fetched<T>) -> T {
    match fetched {
        Fetched::New { value, .. } => value,
        Fetched::NotModified => panic!("nothing was shown, so nothing is unmodified"),
    }
}

/// One of the five questions, by the end of its path.
async fn ask(upstream: &Upstream, disk: &Disk, question: &str) -> Result<(), Error> {
    match question {
        "@v/list" => upstream.list(&module(), None).await.map(drop),
        "@latest" => upstream.latest(&module(), None).await.map(drop),
        ".info" => upstream.info(&module(), &exact()).await.map(drop),
        ".mod" => upstream.go_mod(&version("v1.0.0")).await.map(drop),
        _ => upstream.zip(&version("v1.0.0"), disk.scratch()).await.map(drop),
    }
}

const QUESTIONS: [&str; 5] = ["@v/list", "@latest", ".info", ".mod", ".zip"];

#[tokio::test]
async fn the_five_questions_over_http() {
    let (world, disk, server) = (world(), Disk::new(), server());
    let upstream = client(&server);
    let release = world.release(MODULE, "v1.0.0");
    assert_eq!(new(upstream.list(&module(), None).await.unwrap()), b"v1.0.0\nv1.1.0\n");
    assert_eq!(new(upstream.latest(&module(), None).await.unwrap()), world.release(MODULE, "v1.1.0").info);
    assert_eq!(upstream.info(&module(), &exact()).await.unwrap(), release.info);
    assert_eq!(upstream.go_mod(&version("v1.0.0")).await.unwrap(), release.go_mod);
    assert_eq!(read(&upstream.zip(&version("v1.0.0"), disk.scratch()).await.unwrap()), release.zip);
    assert!(
        server.seen().iter().all(|seen| seen.path.starts_with("/example.com/!fish/@")),
        "{:?}",
        server.seen()
    );
    assert_eq!(upstream.name(), server.url());
}

#[tokio::test]
async fn a_validator_that_still_holds_saves_the_body() {
    let server = server();
    let upstream = client(&server);
    server.fault("@v/list", Fault::Headers(vec![("ETag".into(), "\"tag-1\"".into())]));
    let Fetched::New { validator, .. } = upstream.list(&module(), None).await.unwrap() else { panic!() };
    assert_eq!(validator.as_deref(), Some("\"tag-1\""));
    server.mend();
    server.fault("@v/list", Fault::Status(304));
    assert_eq!(upstream.list(&module(), validator.as_deref()).await.unwrap(), Fetched::NotModified);
    assert_eq!(server.seen().last().unwrap().header("if-none-match"), Some("\"tag-1\""));
    assert!(matches!(upstream.list(&module(), None).await, Err(Error::Trouble { status: Some(304), .. })));
}

/// Every way of going wrong is trouble or nonsense, for every question; none is ever absence (D9).
#[tokio::test]
async fn hostile_h01_h02_h03_h04_h09_h13_no_fault_is_absence() {
    let disk = Disk::new();
    for fault in [
        Fault::Hangup,
        Fault::Reset,
        Fault::ShortBody,
        Fault::ChunksWithoutEnd,
        Fault::LongBody,
        Fault::Stall,
        Fault::Drip(Duration::from_millis(50)),
        Fault::LoginPage,
        Fault::RedirectLoop,
        Fault::FalseGzip,
        Fault::Hold,
        Fault::Status(204),
        Fault::Status(206),
        Fault::Status(500),
    ] {
        for question in QUESTIONS {
            // A server for each, so that the pause after several failures does not answer in its place.
            let server = server();
            server.fault(question, fault.clone());
            match ask(&client(&server), &disk, question).await {
                Err(Error::Trouble { .. } | Error::Malformed { .. } | Error::Refused { .. }) => {}
                other => panic!("{fault:?} {question}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn hostile_h01_u2_nothing_stays_behind_and_the_next_request_succeeds() {
    let (world, disk, server) = (world(), Disk::new(), server());
    let upstream = client(&server);
    let before = disk.files();
    server.fault_times(".zip", Fault::ShortBody, 1);
    assert!(ask(&upstream, &disk, ".zip").await.is_err());
    assert_eq!(disk.files(), before);
    let scratch = upstream.zip(&version("v1.0.0"), disk.scratch()).await.unwrap();
    assert_eq!(read(&scratch), world.release(MODULE, "v1.0.0").zip);
}

#[tokio::test]
async fn hostile_h03_f28_pages_and_garbage_are_not_files() {
    let disk = Disk::new();
    let page = b"\n <!doctype html><title>Sign in</title>".to_vec();
    for (fault, questions) in [
        (Fault::LoginPage, &QUESTIONS[..]),
        (Fault::Instead(page), &["@latest", ".info", ".mod", ".zip"]),
        (Fault::Empty, &["@latest", ".info", ".zip"]),
        (Fault::Garbage, &["@latest", ".info", ".zip"]),
    ] {
        for question in questions {
            let server = server();
            server.fault("example.com", fault.clone());
            let error = ask(&client(&server), &disk, question).await.unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{fault:?} {question}: {error:?}");
        }
    }
}

#[tokio::test]
async fn hostile_h04_g10_endless_answers_are_cut() {
    let disk = Disk::new();
    for question in ["@v/list", "@latest", ".info", ".mod"] {
        let server = server();
        server.fault(question, Fault::Endless);
        let upstream = client(&server).with_patience(Patience::default());
        let error = ask(&upstream, &disk, question).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{question}: {error:?}");
    }
}

#[tokio::test]
async fn hostile_f31_a_file_of_501_mib_is_too_large() {
    let (disk, folder) = (Disk::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("example.com/!fish/@v/v1.0.0.zip");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(path).unwrap().set_len(501 << 20).unwrap();
    let upstream = Upstream::new_tree(folder.path().to_owned());
    let error = ask(&upstream, &disk, ".zip").await.unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { limit: 524_288_000, declared: Some(525_336_576), .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn hostile_h05_patience_is_shared_by_all_questions() {
    let (disk, server) = (Disk::new(), server());
    let later = vec![("Retry-After".to_owned(), "31536000".to_owned())];
    server.fault("@v/list", Fault::StatusWith(429, later));
    let upstream = client(&server);
    for question in QUESTIONS {
        let error = ask(&upstream, &disk, question).await.unwrap_err();
        assert!(error.retry_after().unwrap() <= Duration::from_secs(30), "{question}: {error:?}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn hostile_h06_what_each_status_means() {
    let disk = Disk::new();
    for status in [400, 401, 402, 403, 404, 405, 409, 410, 418, 451, 500, 501, 502, 504] {
        let server = server();
        server.fault("@", Fault::Status(status));
        for question in ["@v/list", ".zip"] {
            let error = ask(&client(&server), &disk, question).await.unwrap_err();
            match status {
                404 | 410 => assert!(error.is_not_found() && error.text() == "no explanation", "{error:?}"),
                401 | 403 => assert!(matches!(error, Error::Forbidden { .. }), "{status}: {error:?}"),
                _ => assert!(matches!(error, Error::Trouble { .. }), "{status}: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn hostile_h10_certificates() {
    let authority = Authority::new();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), authority.pem()).unwrap();
    for (flaw, fine) in
        [(Flaw::None, true), (Flaw::Expired, false), (Flaw::WrongName, false), (Flaw::SelfSigned, false)]
    {
        let server = Server::start_tls(Site::of(&world()), authority.server(flaw));
        let named = vec![HostPort::parse(&server.host()).unwrap()];
        let config = Config { named, ca_file: Some(ca.path().to_owned()), ..Config::default() };
        let upstream = Upstream::new_http(Url::parse(&server.url()).unwrap(), Egress::new(config).unwrap());
        match upstream.go_mod(&version("v1.0.0")).await {
            Ok(_) => assert!(fine, "{flaw:?}"),
            Err(error) => {
                assert!(!fine, "{flaw:?}: {error}");
                assert!(matches!(error, Error::Trouble { status: None, .. }), "{flaw:?}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn hostile_h12_a_redirect_to_a_place_that_nobody_named_is_refused() {
    let (other, server) = (server(), server());
    server.fault(".mod", Fault::RedirectTo(format!("{}/example.com/!fish/@v/v1.0.0.mod", other.url())));
    let error = client(&server).go_mod(&version("v1.0.0")).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(other.seen().is_empty());
    let both = Upstream::new_http(Url::parse(&server.url()).unwrap(), egress(&[&server, &other]));
    assert!(both.go_mod(&version("v1.0.0")).await.is_ok());
}

#[tokio::test]
async fn hostile_g08_infos_that_lie() {
    let server = server();
    let upstream = client(&server);
    let nested = format!("{{\"Version\":\"v1.0.0\",\"x\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let long = format!("{{\"Version\":\"v1.0.0\",\"x\":\"{}\"}}", "x".repeat(70_000));
    for body in [
        r#"{"Version":"v1.1.0"}"#,
        r#"{"Version":"v1.0.0","Version":"v1.0.0"}"#,
        r#"{"Version":"v1.0.0","Time":"yesterday"}"#,
        r#"{"Version":"#,
        r"[]",
        "",
        &nested,
        &long,
    ] {
        server.mend();
        server.fault(".info", Fault::Instead(body.as_bytes().to_vec()));
        let error = upstream.info(&module(), &exact()).await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. } | Error::TooLarge { .. }), "{body:.40}: {error:?}");
    }
}

#[tokio::test]
async fn hostile_g09_credentials_in_an_origin_do_not_pass() {
    let server = server();
    let body = r#"{"Version":"v1.0.0","Origin":{"VCS":"git","URL":"https://me:canary@git.example/x"}}"#;
    server.fault(".info", Fault::Instead(body.as_bytes().to_vec()));
    let info = client(&server).info(&module(), &exact()).await.unwrap();
    assert!(!String::from_utf8(info).unwrap().contains("canary"));
}

#[tokio::test]
async fn hostile_g10_lists_are_filtered() {
    let server = server();
    let body = "v1.1.0\r\nv1.0.0\nv1.0.0\nv2.0.0\nv0.0.0-20200101000000-abcdefabcdef\n../../etc\n\
                <b>v1.2.0</b>\nv1.3\nv1.4.0 2020-01-01T00:00:00Z\n";
    server.fault("@v/list", Fault::Instead(body.as_bytes().to_vec()));
    let list = new(client(&server).list(&module(), None).await.unwrap());
    assert_eq!(String::from_utf8(list).unwrap(), "v1.0.0\nv1.1.0\nv1.4.0\n");
}

#[tokio::test]
async fn p31_queries_name_a_version_that_fits() {
    let server = server();
    let upstream = client(&server);
    let query = VersionOrQuery::parse(&module(), "main").unwrap();
    assert!(upstream.info(&module(), &query).await.unwrap_err().is_not_found());
    for (version, fits) in [("v1.1.0", true), ("v2.0.0", false), ("main", false)] {
        server.mend();
        server.fault("main.info", Fault::Instead(format!("{{\"Version\":\"{version}\"}}").into_bytes()));
        assert_eq!(upstream.info(&module(), &query).await.is_ok(), fits, "{version}");
    }
}

#[tokio::test]
async fn p150_a_folder_is_an_upstream() {
    let (world, disk, folder) = (world(), Disk::new(), tempfile::tempdir().unwrap());
    world.write_tree(folder.path());
    let upstream = Upstream::new_tree(folder.path().to_owned());
    let release = world.release(MODULE, "v1.0.0");
    assert_eq!(new(upstream.list(&module(), None).await.unwrap()), b"v1.0.0\nv1.1.0\n");
    assert_eq!(upstream.info(&module(), &exact()).await.unwrap(), release.info);
    assert_eq!(upstream.go_mod(&version("v1.0.0")).await.unwrap(), release.go_mod);
    assert_eq!(read(&upstream.zip(&version("v1.0.0"), disk.scratch()).await.unwrap()), release.zip);
    let latest = new(upstream.latest(&module(), None).await.unwrap());
    assert_eq!(latest, world.release(MODULE, "v1.1.0").info);
    let missing = ModulePath::parse("example.com/none").unwrap();
    for error in [
        upstream.list(&missing, None).await.unwrap_err(),
        upstream.latest(&missing, None).await.unwrap_err(),
        upstream.info(&missing, &exact()).await.unwrap_err(),
    ] {
        assert!(error.is_not_found(), "{error:?}");
    }
    std::fs::write(folder.path().join("example.com/!fish/@v/v1.0.0.zip"), "<html>").unwrap();
    assert!(matches!(ask(&upstream, &disk, ".zip").await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn p151_a_module_cache_has_no_latest_so_its_list_decides() {
    let folder = tempfile::tempdir().unwrap();
    world().write_tree(folder.path());
    let at = |name: &str| folder.path().join("example.com/!fish").join(name);
    std::fs::remove_file(at("@latest")).unwrap();
    let upstream = Upstream::new_tree(folder.path().to_owned());
    let latest = async || String::from_utf8(new(upstream.latest(&module(), None).await.unwrap())).unwrap();
    assert!(latest().await.contains("v1.1.0"));
    std::fs::write(at("@v/v1.1.0.mod"), format!("module {MODULE}\nretract v1.1.0\n")).unwrap();
    assert!(latest().await.contains("v1.0.0"), "P-41");
    std::fs::write(at("@v/list"), "v1.0.0\nv2.0.0+incompatible\n").unwrap();
    assert!(latest().await.contains("v1.0.0"), "P-40");
}

#[tokio::test]
async fn leaving_a_zip_half_way_removes_what_came() {
    let (disk, server) = (Disk::new(), server());
    let before = disk.files();
    server.fault(".zip", Fault::Stall);
    let upstream = client(&server).with_patience(Patience::default());
    let wait = tokio::time::timeout(Duration::from_millis(200), ask(&upstream, &disk, ".zip")).await;
    assert!(wait.is_err());
    assert_eq!(disk.files(), before);
}
