//! T7: each way in which an upstream fails, on each kind of file. Trouble is never absence, nothing of it is
//! stored, and when it is over the next request succeeds (hostile H01–H15, R22).

use std::time::{Duration, Instant};

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::tls::{Authority, Flaw};
use modkeep_testkit::{Answer, Fault, Lie, ModuleWorld, Site, SumDb, Upstream};

use crate::{DATABASE, MODKEEP, assert_sound, mirror_of, upstream_of};

/// How long a source that failed may be left alone before it is asked again.
const RECOVERY_MAX: Duration = Duration::from_secs(40);

/// The files of a version, by the end of their path.
const KINDS: [&str; 5] = ["@v/list", "@latest", "@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"];

/// What may come of a fault, beside what may never come of any.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// 5xx.
    Trouble,
    /// 5xx, or 403 where the database proves the bytes wrong.
    TroubleOrChecksum,
    /// 5xx, or 200 with exactly the right bytes: the fault may be invisible in HTTP.
    TroubleOrRight,
    /// Not found, because the authority said so.
    Absent,
}

fn matrix() -> Vec<(&'static str, Fault, Outcome)> {
    use Outcome::{Absent, Trouble, TroubleOrChecksum, TroubleOrRight};
    vec![
        ("hostile_h01_hangup", Fault::Hangup, Trouble),
        ("hostile_h09_reset_in_the_middle", Fault::Reset, Trouble),
        ("hostile_h01_short_body", Fault::ShortBody, Trouble),
        ("hostile_h01_chunks_without_end", Fault::ChunksWithoutEnd, Trouble),
        ("hostile_h02_more_than_promised", Fault::LongBody, TroubleOrRight),
        ("hostile_h03_login_page", Fault::LoginPage, TroubleOrChecksum),
        ("hostile_h03_garbage", Fault::Garbage, TroubleOrChecksum),
        ("hostile_h03_redirect_to_a_page", Fault::RedirectTo("/some/login".to_owned()), TroubleOrChecksum),
        ("hostile_h01_half_a_file", Fault::HalfAFile, TroubleOrChecksum),
        ("hostile_h03_empty", Fault::Empty, TroubleOrChecksum),
        ("hostile_h06_401", Fault::Status(401), Trouble),
        ("hostile_h06_403", Fault::Status(403), Trouble),
        ("hostile_h06_404", Fault::Status(404), Absent),
        ("hostile_h06_410", Fault::Status(410), Absent),
        ("hostile_h06_418", Fault::Status(418), Trouble),
        ("hostile_h06_204", Fault::Status(204), Trouble),
        ("hostile_h06_206", Fault::Status(206), Trouble),
        ("hostile_h06_500", Fault::Status(500), Trouble),
        ("hostile_h06_502", Fault::Status(502), Trouble),
        ("hostile_h13_false_gzip", Fault::FalseGzip, Trouble),
        ("hostile_h03_redirect_loop", Fault::RedirectLoop, Trouble),
        ("hostile_h09_one_byte_per_second", Fault::Drip(Duration::from_secs(1)), Trouble),
        ("hostile_h09_stall", Fault::Stall, Trouble),
        ("hostile_h09_silence", Fault::Hold, Trouble),
    ]
}

fn module_of(row: &str, kind: usize) -> String {
    format!("faults.example/{}/{}", row.replace('_', "-"), ["list", "latest", "info", "mod", "zip"][kind])
}

#[test]
fn each_fault_on_each_kind_of_file() {
    let matrix = matrix();
    let mut world = ModuleWorld::new();
    for (row, _, _) in &matrix {
        for kind in 0..KINDS.len() {
            world.add_library(&module_of(row, kind), "v1.0.0");
        }
    }
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream)
        .with("MODKEEP_ORIGIN_LIST_TTL", "1s")
        .with("MODKEEP_SERVER_HOLD", "1s")
        .with("MODKEEP_ORIGIN_ABSENT_TTL", "1s");
    let modkeep = setup.serve();
    let files = world.files();
    let mut wrong = Vec::new();
    for (row, fault, outcome) in matrix {
        for (kind, end) in KINDS.iter().enumerate() {
            let path = format!("{}/{end}", module_of(row, kind));
            upstream.fault(&format!("/{path}"), fault.clone());
            upstream.fault("/some/login", Fault::LoginPage);
            let answer = modkeep.get(&format!("/{path}"));
            let stored = modkeep.get(&format!("/cached-only/{path}"));
            wrong.extend(
                judge(outcome, end, &answer, &stored, &files[&path]).map(|why| format!("{row} {end}: {why}")),
            );
            upstream.mend();
            wrong.extend(recover(&modkeep, &path, &files[&path]).map(|why| format!("{row} {end}: {why}")));
        }
    }
    modkeep.stop();
    assert_sound(&setup);
    assert!(wrong.is_empty(), "{} of T7 are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is wrong with the answer under the fault, if anything.
fn judge(outcome: Outcome, end: &str, answer: &Answer, stored: &Answer, right: &[u8]) -> Option<String> {
    let status = answer.status;
    let is_list = end == "@v/list";
    let served_right = status == 200 && answer.body == right;
    // A list is filtered as go filters it (G10), so what is no version in it vanishes without trouble.
    let filtered = is_list && outcome == Outcome::TroubleOrChecksum && status == 200;
    let class_fits = match outcome {
        Outcome::Trouble => (500..600).contains(&status),
        Outcome::TroubleOrChecksum => (500..600).contains(&status) || status == 403 || filtered,
        Outcome::TroubleOrRight => (500..600).contains(&status) || served_right,
        Outcome::Absent => status == 404 || status == 410,
    };
    if !class_fits {
        return Some(format!("{outcome:?} expected, got {status} {}", answer.text()));
    }
    if status >= 403 && outcome != Outcome::Absent && answer.header("cache-control") != Some("no-store") {
        return Some(format!("cacheable trouble: {:?}", answer.header("cache-control")));
    }
    let innocent = served_right || is_list || end == "@latest";
    (stored.status == 200 && !innocent).then(|| "something was stored".to_owned())
}

/// Asks until the right bytes come, as a developer would; says what came instead.
fn recover(modkeep: &Program, path: &str, right: &[u8]) -> Option<String> {
    let deadline = Instant::now() + RECOVERY_MAX;
    let mut last = String::new();
    while Instant::now() < deadline {
        let answer = modkeep.get(&format!("/{path}"));
        if answer.status == 200 && answer.body == right {
            return None;
        }
        last = format!("{} {}", answer.status, answer.text());
        std::thread::sleep(Duration::from_millis(100)); // the back-off of the source is real time
    }
    Some(format!("no recovery: {last}"))
}

#[test]
fn hostile_h04_endless_bodies_are_cut_at_their_limit() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for end in ["@v/list", "@latest", "@v/v0.9.0.info", "@v/v0.9.0.mod", "@v/v0.9.0.zip"] {
        upstream.fault(&format!("/finch/{end}"), Fault::Endless);
        let answer = modkeep.get(&format!("/birds.example/finch/{end}"));
        // Nothing that a source does by going on is a fact about the version (D9, R22).
        assert!(answer.status >= 500, "{end}: {} {}", answer.status, answer.text());
        upstream.mend();
    }
    let scratch: u64 = size_of_folder(setup.store());
    assert!(scratch < 16 << 20, "{scratch} bytes stayed behind");
    assert!(modkeep.resident_bytes() < 192 << 20, "{} bytes resident", modkeep.resident_bytes());
}

fn size_of_folder(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|e| if e.path().is_dir() { size_of_folder(&e.path()) } else { e.metadata().unwrap().len() })
        .sum()
}

#[test]
fn hostile_h05_a_throttling_upstream_is_left_alone_and_stored_content_served() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream).with("MODKEEP_SERVER_HOLD", "1s").with("MODKEEP_ORIGIN_LIST_TTL", "1s");
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    assert_eq!(modkeep.get("/birds.example/finch/@v/list").status, 200);
    let wait = ("Retry-After".to_owned(), "31536000".to_owned());
    upstream.fault("/@", Fault::StatusWith(429, vec![wait]));
    upstream.forget();
    std::thread::sleep(Duration::from_millis(1100)); // the lifetime of the list is real time
    for _ in 0..20 {
        let cold = modkeep.get("/example.com/marsh/@v/v1.0.0.zip");
        assert!(matches!(cold.status, 429 | 503), "{} {}", cold.status, cold.text());
        assert!(cold.header("retry-after").is_some(), "{:?}", cold.headers);
        assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
        assert_eq!(modkeep.get("/birds.example/finch/@v/list").status, 200, "stale is better than nothing");
    }
    assert!(upstream.count("/@") <= 2, "asked {} times in a second", upstream.count("/@"));
}

#[test]
fn hostile_h07_bytes_that_contradict_the_database_are_evidence_and_never_served() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_ABSENT_TTL", "1s");
    let modkeep = setup.serve();
    let forged =
        ModuleWorld::new().add("birds.example/finch", "v0.9.0", &[("go.mod", b"module evil\n")]).clone();
    upstream.fault("/finch/@v/v0.9.0.zip", Fault::Instead(forged.zip));
    upstream.fault("/finch/@v/v0.9.0.mod", Fault::Instead(forged.go_mod));
    for end in ["zip", "mod"] {
        let answer = modkeep.get(&format!("/birds.example/finch/@v/v0.9.0.{end}"));
        assert_eq!((answer.status, answer.code()), (403, Some("checksum")), "{}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(modkeep.get(&format!("/cached-only/birds.example/finch/@v/v0.9.0.{end}")).status, 404);
    }
    assert!(modkeep.metric("modkeep_verify_total", &["result=\"mismatch\""]) >= 2.0);
    upstream.mend();
    let path = "birds.example/finch/@v/v0.9.0.zip";
    assert_eq!(recover(&modkeep, path, &world.files()[path]), None);
}

#[test]
fn hostile_h08_a_version_that_changed_upstream_stays_what_it_was() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let path = "/birds.example/finch/@v/v0.9.0.zip";
    let first = modkeep.get(path);
    let mut moved = ModuleWorld::every_kind();
    let other =
        moved.add("birds.example/finch", "v0.9.0", &[("go.mod", b"module birds.example/finch\n")]).clone();
    upstream.change(|site| {
        site.put(&other.file("zip"), other.zip.clone());
        site.put(&other.file("mod"), other.go_mod.clone());
    });
    assert_eq!(modkeep.get(path).body, first.body);
    modkeep.stop();
    let modkeep = setup.serve();
    assert_eq!(modkeep.get(path).body, first.body);
    assert_eq!(
        modkeep.get("/birds.example/finch/@v/v0.9.0.mod").status,
        403,
        "the other go.mod is not recorded"
    );
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn hostile_h10_flawed_tls_is_no_source() {
    let world = ModuleWorld::every_kind();
    for (flaw, served) in
        [(Flaw::None, true), (Flaw::Expired, false), (Flaw::WrongName, false), (Flaw::SelfSigned, false)]
    {
        let authority = Authority::new();
        let site = Site::of(&world).with_database(SumDb::of(DATABASE, &world));
        let upstream = Upstream::start_tls(site, authority.server(flaw));
        let setup = Setup::new(MODKEEP).upstream(&upstream);
        let roots = setup.home().join("roots.pem");
        std::fs::write(&roots, authority.pem()).unwrap();
        let setup = setup.with("SSL_CERT_FILE", roots.to_str().unwrap());
        let modkeep = setup.serve();
        let answer = modkeep.get("/birds.example/finch/@v/v0.9.0.info");
        let fine = if served { answer.status == 200 } else { answer.status >= 500 };
        assert!(fine, "{flaw:?}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn hostile_h11_header_fields_of_the_upstream_are_not_relayed() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let more = vec![
        field("Set-Cookie", "session=1"),
        field("Content-Disposition", "attachment; filename=evil.exe"),
        field("Link", "<https://evil.example>; rel=preload"),
        field("Location", "https://evil.example/"),
        field("Content-Type", "application/octet-stream"),
    ];
    upstream.fault("/finch/", Fault::Headers(more));
    for (end, of_ours) in [("v0.9.0.mod", "text/plain; charset=utf-8"), ("v0.9.0.zip", "application/zip")] {
        let answer = modkeep.get(&format!("/birds.example/finch/@v/{end}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(of_ours)), "{}", answer.text());
        for name in ["set-cookie", "content-disposition", "link", "location"] {
            assert_eq!(answer.header(name), None, "{end}");
        }
    }
}

#[test]
fn hostile_h15_each_file_is_visible_only_when_it_is_itself_verified() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    upstream.fault("/finch/@v/v0.9.0.mod", Fault::Status(500));
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    assert!(modkeep.get("/birds.example/finch/@v/v0.9.0.mod").status >= 500 || upstream.count(".mod") == 0);
    upstream.mend();
    let path = "birds.example/finch/@v/v0.9.0.mod";
    assert_eq!(recover(&modkeep, path, &world.files()[path]), None);
}

#[test]
fn a_database_that_is_away_or_lies_never_lets_a_byte_in() {
    let world = ModuleWorld::every_kind();
    for (lie, statuses, code) in [
        (Lie::OtherTree, &[403][..], Some("checksum")),
        (Lie::Forgetful, &[404], Some("unlisted")),
        (Lie::MissingLine, &[403, 502, 503], None),
        (Lie::StaleHead, &[502, 503], None),
        (Lie::ForgedTiles, &[502, 503], None),
        (Lie::EmptyLookup, &[502, 503], None),
        (Lie::AnotherRecord, &[403, 502, 503], None),
        (Lie::HiddenLine, &[403, 502, 503], None),
    ] {
        let upstream = upstream_of(&world);
        upstream.change(|site| site.database().lie(lie.clone()));
        let setup = mirror_of(&upstream);
        let modkeep = setup.serve();
        let answer = modkeep.get("/birds.example/finch/@v/v0.9.0.zip");
        assert!(statuses.contains(&answer.status), "{lie:?}: {} {}", answer.status, answer.text());
        assert!(code.is_none() || answer.code() == code, "{lie:?}: {:?}", answer.code());
        assert_eq!(modkeep.get("/cached-only/birds.example/finch/@v/v0.9.0.zip").status, 404, "{lie:?}");
        modkeep.stop();
        assert_sound(&setup);
    }
}

#[test]
fn hostile_i14_a_fork_stops_lookups_and_leaves_evidence() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    upstream.change(|site| site.database().lie(Lie::OtherTree));
    let forked = modkeep.get("/example.com/marsh/@v/v1.0.0.zip");
    assert_eq!((forked.status, forked.code()), (503, Some("log-inconsistent")), "{}", forked.text());
    // Honest again does not undo it: somebody has to decide.
    upstream.change(|site| site.database().lie(Lie::None));
    assert_eq!(modkeep.get("/example.com/marsh/@v/v1.0.0.zip").code(), Some("log-inconsistent"));
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200, "what was verified stays");
    assert!(modkeep.metric("modkeep_upstream_log_inconsistent", &[]) >= 1.0);
}

#[test]
fn a_database_that_is_away_is_log_down_and_asked_again_later() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for fault in [Fault::Hangup, Fault::Status(500), Fault::LoginPage, Fault::ShortBody] {
        upstream.fault("/db/", fault.clone());
        let answer = modkeep.get("/birds.example/finch/@v/v0.9.0.zip");
        assert_eq!((answer.status, answer.code()), (503, Some("log-down")), "{fault:?}: {}", answer.text());
        assert_eq!(modkeep.get("/cached-only/birds.example/finch/@v/v0.9.0.zip").status, 404);
        upstream.mend();
    }
    let path = "birds.example/finch/@v/v0.9.0.zip";
    assert_eq!(recover(&modkeep, path, &world.files()[path]), None);
}

#[test]
fn hostile_j02_private_paths_are_asked_of_nobody() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_PRIVATE", "birds.example,example.com/marsh");
    let modkeep = setup.serve();
    for path in [
        "birds.example/finch/@v/list",
        "birds.example/finch/@latest",
        "birds.example/finch/@v/v0.9.0.info",
        "birds.example/finch/@v/v0.9.0.zip",
        "example.com/marsh/pool/@v/list",
        "sumdb/sums.birds.example/lookup/birds.example/finch@v0.9.0",
    ] {
        let answer = modkeep.get(&format!("/{path}"));
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
    let asked: Vec<String> = upstream.seen().into_iter().map(|seen| seen.path).collect();
    assert!(!asked.iter().any(|path| path.contains("finch") || path.contains("marsh")), "{asked:?}");
    let lookup = modkeep.get("/sumdb/sums.birds.example/lookup/birds.example/finch@v0.9.0");
    assert_eq!((lookup.status, lookup.code()), (403, Some("log-private")), "{}", lookup.text());
}
