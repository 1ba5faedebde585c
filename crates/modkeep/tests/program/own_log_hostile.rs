//! Part I of hostile-inputs.md as our own log keeps it, and the classes of failures of checksum-database A6.

use modkeep_testkit::client::allow_descriptors;
use modkeep_testkit::{Fault, Lie, ModuleWorld, Pending, Site, SumDb, Upstream, copy_folder};
use modkeep_tlog::LookupAnswer;

use crate::{DATABASE, LOG, ended, log_size, mirror_of, upstream, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";

#[test]
fn hostile_i01_i05_i06_i07_i08_paths_of_our_log() {
    let mut upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    upstream.stop();
    let modkeep = setup.serve();
    let upstream_away = modkeep.get("/log/lookup/birds.example/finch@v0.9.0");
    assert_eq!(
        upstream_away.status,
        502,
        "A6: an authority that is away is a bad gateway: {}",
        upstream_away.text()
    );
    for (path, status) in [
        ("latest", 200),
        ("checkpoint", 200),
        ("supported", 200),
        ("lookup/birds.example/finch", 400),
        ("lookup/birds.example/finch@v0.9.0@v0.9.0", 400),
        ("lookup/birds.example/Finch@v0.9.0", 400),
        ("lookup/birds.example/finch@v0.9", 400),
        ("lookup/birds.example/finch@latest", 400),
        ("lookup/birds.example/finch@v0.9.0/go.mod", 400),
        ("lookup/birds.example/finch@v0.9.0+meta", 400),
        ("tile/8/0/000", 404),
        ("tile/8/0/000.p/1", 404),
        ("tile/8/data/000.p/1", 404),
        ("tile/entries/000", 404),
        ("tile/8/0/x999/999", 404),
        ("tile/8/0/0", 400),
        ("tile/08/0/000", 400),
        ("tile/8/00/000", 400),
        ("tile/8/0/000.p/0", 400),
        ("tile/8/0/000.p/256", 400),
        ("tile/8/0/000.p/01", 400),
        ("tile/8/-1/000", 400),
        ("tile/8/0/+01", 400),
        ("tile/8/0/x1/000", 400),
        ("tile/8/0/000/", 400),
        ("tile/1/0/000", 404),
        ("tile/30/0/000", 404),
        ("tile/8/64/000", 404),
        ("tile/8/200/000", 404),
        ("tile/8/0/x009/x223/x372/x036/x854/x775/807", 404),
    ] {
        for base in ["/log".to_owned(), format!("/sumdb/{LOG}")] {
            let answer = modkeep.get(&format!("{base}/{path}"));
            assert_eq!(answer.status, status, "{base}/{path}: {}", answer.text());
            if path.starts_with("tile/") {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            }
        }
    }
    assert_eq!(log_size(&modkeep), 0, "nothing was recorded");
}

#[test]
fn hostile_i02_j08_names_that_are_denied_are_asked_of_nobody_and_shown_nowhere() {
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let setup =
        setup.with("MODKEEP_LOG_DENY", "secret.example").with("MODKEEP_ORIGIN_PRIVATE", "private.example");
    let modkeep = setup.serve();
    for path in [
        "/log/lookup/secret.example/plan@v1.0.0".to_owned(),
        format!("/sumdb/{LOG}/lookup/secret.example/plan@v1.0.0"),
        format!("/sumdb/{DATABASE}/lookup/private.example/plan@v1.0.0"),
    ] {
        let answer = modkeep.get(&path);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    // A private name is ours to record; with nobody to fetch it from there is nothing to record.
    assert_eq!(modkeep.get("/log/lookup/private.example/plan@v1.0.0").status, 404);
    assert!(!upstream.seen().iter().any(|seen| seen.path.contains("plan")), "{:?}", upstream.seen());
    let metrics = modkeep_testkit::get(&format!("{}/metrics", modkeep.admin())).text();
    let index = modkeep.get("/index").text();
    for (place, text) in [("output", modkeep.said()), ("metrics", metrics), ("index", index)] {
        assert!(!text.contains("secret.example"), "{place}: {text}");
    }
    assert_eq!(log_size(&modkeep), 0);
}

#[test]
fn hostile_i03_versions_that_do_not_exist_are_asked_for_once() {
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    for _ in 0..200 {
        let answer = modkeep.get("/log/lookup/birds.example/finch@v0.9.7");
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    }
    assert_eq!(upstream.count("/lookup/"), 1);
    assert_eq!(log_size(&modkeep), 0);
}

#[test]
fn hostile_i04_a_thousand_first_lookups_make_one_record() {
    allow_descriptors();
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let setup = setup.with("MODKEEP_VERIFY_UNCHECKED", "birds.example");
    let modkeep = setup.serve();
    let zip = "/birds.example/finch/@v/v0.9.0.zip";
    upstream.fault(zip, Fault::Hold);
    let url = format!("{}/log/lookup/{FINCH}", modkeep.url());
    let from = |caller: usize| 2 + u8::try_from(caller / 200).unwrap();
    let crowd: Vec<Pending> = (0..1000).map(|caller| Pending::send(&url, from(caller))).collect();
    upstream.wait_for(zip);
    upstream.mend();
    for (caller, pending) in crowd.into_iter().enumerate() {
        let answer = pending.finish();
        assert_eq!(answer.status, 200, "caller {caller}: {}", answer.text());
        assert_eq!(LookupAnswer::parse(&answer.body).unwrap().id.get(), 0, "caller {caller}");
    }
    assert_eq!(upstream.count(zip), 1, "one fetch for all");
    assert_eq!(log_size(&modkeep), 1);
}

#[test]
fn failures_of_lookups_are_told_in_their_classes() {
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let setup = setup.with("MODKEEP_SERVER_HOLD", "1s");
    let modkeep = setup.serve();
    let lookup = |version: &str| modkeep.get(&format!("/log/lookup/{version}"));
    upstream.fault("/lookup/", Fault::Status(500));
    assert_eq!(lookup(FINCH).status, 502, "the authority is in trouble");
    upstream.mend();
    upstream.fault("/lookup/", Fault::Hold);
    let late = lookup(FINCH);
    assert_eq!((late.status, late.header("retry-after").is_some()), (504, true), "{}", late.text());
    upstream.mend();
    upstream.change(|site| site.database().lie(Lie::Forgetful));
    assert_eq!(lookup("example.com/tern@v1.5.2").status, 404, "never hashed by ourselves");
    assert_eq!(upstream.count("/tern/@v/"), 0);
    upstream.change(|site| site.database().lie(Lie::None));
    assert_eq!(lookup("example.com/marsh@v1.0.0").status, 200);
}

/// A mirror that serves a finch of its own, beside the database that recorded the honest one: the honest world, the
/// other one, and the two served together.
fn two_finches() -> (ModuleWorld, ModuleWorld, Upstream) {
    let honest = ModuleWorld::every_kind();
    let mut other = ModuleWorld::new();
    let files: [(&str, &[u8]); 2] =
        [("go.mod", b"module birds.example/finch\n"), ("x.go", b"package finch\n")];
    other.add("birds.example/finch", "v0.9.0", &files);
    let upstream = Upstream::start(Site::of(&other).with_database(SumDb::of(DATABASE, &honest)));
    (honest, other, upstream)
}

#[test]
fn hostile_i20_what_contradicts_the_public_record_is_put_aside_and_never_recorded() {
    let (honest, other, upstream) = two_finches();
    let setup = mirror_of(&upstream).with("MODKEEP_VERIFY_UNCHECKED", "birds.example");
    ended(&setup.run(&["get", FINCH]), 0);
    let (setup, _) = with_log(setup);
    let setup = setup.with("MODKEEP_VERIFY_UNCHECKED", "");
    let modkeep = setup.serve();
    let answer = modkeep.get(&format!("/log/lookup/{FINCH}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains(&honest.release("birds.example/finch", "v0.9.0").zip_h1.to_string()), "{text}");
    assert!(!text.contains(&other.release("birds.example/finch", "v0.9.0").zip_h1.to_string()), "{text}");
    assert!(modkeep.metric("modkeep_alarms_total", &["mirror_mismatch"]) >= 1.0);
    let zip = modkeep.get("/birds.example/finch/@v/v0.9.0.zip");
    assert!(zip.status == 403 || zip.status == 503, "{}: {}", zip.status, zip.text());
}

#[test]
fn a_record_of_our_own_that_the_public_database_contradicts_is_an_alarm() {
    let (honest, other, upstream) = two_finches();
    let (setup, _) = with_log(mirror_of(&upstream));
    let mut setup = setup.with("MODKEEP_VERIFY_UNCHECKED", "birds.example");
    let modkeep = setup.serve();
    let ours = modkeep.get(&format!("/log/lookup/{FINCH}"));
    assert!(
        ours.text().contains(&other.release("birds.example/finch", "v0.9.0").zip_h1.to_string()),
        "{}",
        ours.text()
    );
    modkeep.stop();

    // The path turns public: its record stays, and an import that brings the public word says that they differ.
    setup.set("MODKEEP_VERIFY_UNCHECKED", "");
    let list = setup.home().join("list");
    let release = honest.release("birds.example/finch", "v0.9.0");
    std::fs::write(list.with_extension("sum"), format!("birds.example/finch v0.9.0 {}\n", release.zip_h1))
        .unwrap();
    let said = ended(&setup.run(&["log", "import", list.with_extension("sum").to_str().unwrap()]), 7);
    assert!(said.contains("record 0 says"), "{said}");
    let modkeep = setup.serve();
    assert_eq!(
        modkeep.get(&format!("/log/lookup/{FINCH}")).text().lines().nth(1),
        ours.text().lines().nth(1)
    );
}

#[test]
fn hostile_i16_a_key_that_is_not_fit_for_use_stops_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let (setup, _) = with_log(mirror_of(&upstream()));
    let key = setup.home().join("key");
    let text = std::fs::read_to_string(&key).unwrap();
    let write = |text: &str, mode: u32| {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let other = text.replace(LOG, "other.example/log");
    for (text, mode, what) in [
        (text.as_str(), 0o644, "readable by others"),
        (&text[..text.len() / 2], 0o600, "truncated"),
        (&other, 0o600, "of another name"),
        ("", 0o600, "empty"),
    ] {
        write(text, mode);
        for arguments in [&["serve"][..], &["serve", "--check"]] {
            let said = ended(&setup.run(arguments), 10);
            assert!(said.contains("log.key_file"), "{what}: {said}");
        }
    }
    std::fs::remove_file(&key).unwrap();
    ended(&setup.run(&["serve"]), 10);
    write(&text, 0o600);
    ended(&setup.run(&["serve", "--check"]), 0);
    for name in ["mirror.example", "mirror.example/log/", "Mirror.example/log", ""] {
        let mut setup = setup.command();
        setup.env("MODKEEP_LOG_NAME", name).args(["serve", "--check"]);
        ended(&setup.output().unwrap(), 10);
    }
}

#[test]
fn hostile_i17_an_old_copy_of_the_log_is_read_and_not_signed() {
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    assert_eq!(modkeep.get(&format!("/log/lookup/{FINCH}")).status, 200);
    modkeep.stop();
    let (live, copy) = (setup.store().join("log"), setup.home().join("copy"));
    copy_folder(&live, &copy);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/log/lookup/example.com/marsh@v1.0.0").status, 200);
    modkeep.stop();
    std::fs::remove_dir_all(&live).unwrap();
    copy_folder(&copy, &live);

    let modkeep = setup.serve();
    assert!(modkeep.said().contains("nothing will be signed"), "{}", modkeep.said());
    assert_eq!(modkeep.get(&format!("/log/lookup/{FINCH}")).status, 200, "reads are served");
    let refused = modkeep.get("/log/lookup/example.com/tern@v1.5.2");
    assert_eq!((refused.status, refused.code()), (503, Some("log-busy")), "{}", refused.text());
    assert_eq!(modkeep.get("/example.com/tern/@v/v1.5.2.mod").status, 200, "modules are served");
    assert!(modkeep.metric("modkeep_log_signing", &[LOG]) < 0.5);
}
