//! Heads that users were shown, brought to the server: `POST /log/gossip` and `POST /sumdb/NAME/gossip` (spec D, C4 check 2, C8).

use modkeep_testkit::client::raw;
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Answer, Go, Upstream};
use modkeep_tlog::{Hash, SignerKey, TreeHead, TreeSize};

use crate::{DATABASE, LOG, ended, log_size, mirror_of, upstream, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";
const MARSH: &str = "example.com/marsh@v1.0.0";
const TERN: &str = "example.com/tern@v1.5.2";

/// Brings a note, as `curl --data-binary` does.
pub(crate) fn bring(modkeep: &Program, path: &str, note: &[u8], fields: &str) -> Answer {
    let (host, length) = (modkeep.host(), note.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n"
    );
    raw(modkeep.url(), &[head.as_bytes(), note].concat())
}

/// A head of this size that holds nothing that is true, signed.
fn forged(key: &SignerKey, size: u64) -> Vec<u8> {
    let head = TreeHead { size: TreeSize::new(size).unwrap(), root: Hash([9; 32]) };
    signed(&head.to_text(), key)
}

fn signed(text: &str, key: &SignerKey) -> Vec<u8> {
    key.sign(text).unwrap().into_bytes()
}

/// A server with a log of two records, and the key that it signs with.
fn house() -> (Upstream, Setup, Program, SignerKey) {
    let upstream = upstream();
    let (setup, _) = with_log(mirror_of(&upstream));
    let key = std::fs::read_to_string(setup.home().join("key")).unwrap();
    let key = SignerKey::parse(key.trim_end()).unwrap();
    let modkeep = setup.serve();
    for version in [FINCH, MARSH] {
        let told = modkeep.get(&format!("/log/lookup/{version}"));
        assert_eq!(told.status, 200, "{}", told.text());
    }
    (upstream, setup, modkeep, key)
}

#[test]
fn a_head_of_our_log_is_compared_with_what_is_published() {
    let (_upstream, _setup, modkeep, _) = house();
    let (head, checkpoint) = (modkeep.get("/log/latest").body, modkeep.get("/log/checkpoint").body);
    assert_eq!(modkeep.get(&format!("/log/lookup/{TERN}")).status, 200);
    let size = log_size(&modkeep);
    for path in ["/log/gossip".to_owned(), format!("/sumdb/{LOG}/gossip")] {
        for note in [&head, &checkpoint] {
            let told = bring(&modkeep, &path, note, "");
            assert_eq!(told.status, 200, "{path}: {}", told.text());
            assert_eq!(told.text(), format!("consistent: size 2 is how the tree of size {size} began\n"));
            assert_eq!(told.header("cache-control"), Some("no-store"));
        }
    }
    let told = bring(&modkeep, "/log/gossip", &head, "Accept: application/json\r\n");
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.text(), format!("{{\"verdict\":\"consistent\",\"size\":2,\"ours\":{size}}}\n"));
}

#[test]
fn what_a_go_command_was_shown_is_what_is_brought() {
    let (_upstream, setup, modkeep, key) = house();
    let go =
        Go::new(modkeep.url(), &format!("{} {}/log", key.verifier(), modkeep.url())).with("GONOSUMDB", "");
    go.run(&["mod", "download", FINCH]).expect_ok();
    let saved = go.module_cache().with_file_name("sumdb").join(LOG).join("latest");
    let told = bring(&modkeep, "/log/gossip", &std::fs::read(&saved).unwrap(), "");
    assert!(told.text().starts_with("consistent: "), "{}", told.text());
    // The same by the command, from the other side.
    let url = format!("{}/log", modkeep.url());
    let key = key.verifier().to_string();
    let said = setup.run(&["audit", "gossip", saved.to_str().unwrap(), "--log", &url, "--key", &key]);
    assert!(ended(&said, 0).contains("consistent: "));
}

#[test]
fn hostile_i14_two_heads_that_contradict_each_other_are_evidence_and_an_alarm() {
    let (_upstream, setup, modkeep, key) = house();
    for size in [1, 2] {
        let told = bring(&modkeep, "/log/gossip", &forged(&key, size), "");
        assert_eq!(told.status, 200);
        assert!(told.text().starts_with("INCONSISTENT: "), "{}", told.text());
        assert!(told.text().contains("two signed tree heads contradict each other"), "{}", told.text());
        // Both notes, whole.
        let ours = modkeep.get("/log/latest").text();
        let theirs = String::from_utf8(forged(&key, size)).unwrap();
        assert!(told.text().contains(&ours) && told.text().contains(&theirs), "{}", told.text());
    }
    let told = bring(&modkeep, "/log/gossip", &forged(&key, 2), "Accept: application/json\r\n");
    let told: serde_json::Value = serde_json::from_str(&told.text()).unwrap();
    assert_eq!(told["verdict"], "inconsistent");
    assert!(told["evidence"].as_str().unwrap().contains("old head, size 2"), "{told}");
    assert!(modkeep.metric("modkeep_alarms_total", &["log_fork"]) > 2.5);
    assert!(
        modkeep.said().contains("our key has signed a head that our tree contradicts"),
        "{}",
        modkeep.said()
    );
    // Who holds the key has contradicted himself; what is recorded is served all the same, and goes on.
    assert_eq!(modkeep.get(&format!("/log/lookup/{TERN}")).status, 200);
    let verdict = loop {
        let status = setup.run(&["log", "status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&ended(&status, 0)).unwrap();
        assert_eq!(status["head"]["size"], log_size(&modkeep));
        match &status["verdicts"][0] {
            serde_json::Value::Null => std::thread::sleep(std::time::Duration::from_millis(20)), // it is on its way
            verdict => break verdict.clone(),
        }
    };
    assert_eq!((&verdict["judge"], &verdict["outcome"]), (&"gossip".into(), &"fork".into()), "{verdict}");
    modkeep.stop();
    let ledger = rusqlite::Connection::open(setup.store().join("ledger.sqlite")).unwrap();
    let kept: u32 = ledger
        .query_row("SELECT count(*) FROM evidence WHERE kind = 'fork' AND module = ?1", [LOG], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(kept, 2, "the same fork is kept once");
}

#[test]
fn hostile_i17_a_larger_head_of_our_own_key_stops_the_signing() {
    let (_upstream, _setup, modkeep, key) = house();
    let told = bring(&modkeep, "/log/gossip", &forged(&key, 3), "");
    assert_eq!(told.status, 200);
    assert!(told.text().starts_with("unknown future: signed, of size 3; the newest head here has size 2."));
    assert!(modkeep.metric("modkeep_alarms_total", &["log_ahead"]) > 0.5);
    let ready = modkeep_testkit::get(&format!("{}/readyz?verbose", modkeep.admin()));
    assert!(ready.text().contains("is this an old copy of the log?"), "{} {}", ready.status, ready.text());
    let refused = modkeep.get(&format!("/log/lookup/{TERN}"));
    assert_eq!((refused.status, refused.code()), (503, Some("log-busy")), "{}", refused.text());
    assert_eq!(modkeep.get(&format!("/log/lookup/{FINCH}")).status, 200, "reads go on");
    assert_eq!(log_size(&modkeep), 2);
}

#[test]
fn hostile_i17_a_restart_does_not_forget_a_larger_head_of_our_own_key() {
    let (_upstream, setup, modkeep, key) = house();
    let kept = setup.store().join("log/seen");
    for (size, largest) in [(4, 4), (5, 5), (3, 5)] {
        let told = bring(&modkeep, "/log/gossip", &forged(&key, size), "");
        assert!(told.text().starts_with("unknown future: "), "{}", told.text());
        assert_eq!(std::fs::read(&kept).unwrap(), forged(&key, largest));
    }
    modkeep.stop();
    for _ in 0..2 {
        let modkeep = setup.serve();
        assert!(modkeep.said().contains("nothing will be signed"), "{}", modkeep.said());
        assert!(modkeep.said().contains("has seen a head of size 5"), "{}", modkeep.said());
        assert!(modkeep.metric("modkeep_alarms_total", &["log_refused"]) > 0.5);
        assert_eq!(modkeep.get(&format!("/log/lookup/{TERN}")).status, 503);
        assert_eq!(modkeep.get(&format!("/log/lookup/{FINCH}")).status, 200, "reads go on");
        assert_eq!(log_size(&modkeep), 2);
        modkeep.stop();
    }
    // A recovery takes it for what it is: there was more, and where that is nobody has said.
    let said = ended(&setup.run(&["log", "recover"]), 7);
    assert!(said.contains("is nowhere"), "{said}");
    ended(&setup.run(&["log", "fsck"]), 0);
    // The operator has looked.
    std::fs::remove_file(&kept).unwrap();
    let modkeep = setup.serve();
    assert_eq!(modkeep.get(&format!("/log/lookup/{TERN}")).status, 200, "{}", modkeep.said());
}

#[test]
fn what_our_key_has_not_signed_says_nothing_about_the_log() {
    let (_upstream, _setup, modkeep, key) = house();
    let head = modkeep.get("/log/latest").text();
    let stranger = SignerKey::from_seed(LOG, [3; 32]).unwrap();
    let other_name = SignerKey::from_seed("other.example/log", [3; 32]).unwrap();
    let broken = head.replacen("\n2\n", "\n1\n", 1);
    let lines: String = (0..200).map(|_| head.lines().last().unwrap().to_owned() + "\n").collect();
    let crowded = format!("{}\n{lines}", head.split_once("\n\n").unwrap().0.to_owned() + "\n");
    for (what, note) in [
        ("a stranger's key of our name", forged(&stranger, 1)),
        ("another log", forged(&other_name, 1)),
        ("a head that was changed", broken.into_bytes()),
        ("something else that our key has signed", signed("hello\n", &key)),
        (
            "a checkpoint of another origin",
            signed("other.example/log\n1\nCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n", &key),
        ),
        ("nothing", Vec::new()),
        ("noise", vec![0xff; 1000]),
        ("zeros", vec![0; 1000]),
        ("200 signatures", crowded.into_bytes()),
        ("as much as is read", vec![b'a'; 64 << 10]),
    ] {
        let told = bring(&modkeep, "/log/gossip", &note, "");
        assert_eq!(told.status, 200, "{what}: {}", told.text());
        assert!(told.text().starts_with("not ours: "), "{what}: {}", told.text());
    }
    assert!(
        modkeep.metric("modkeep_alarms_total", &["log_"]) < 0.5,
        "nobody can raise an alarm without the key"
    );
    assert_eq!(modkeep.get(&format!("/log/lookup/{TERN}")).status, 200);
}

#[test]
fn hostile_a11_nothing_else_is_posted_and_bodies_are_bounded() {
    let (_upstream, _setup, modkeep, _) = house();
    let head = modkeep.get("/log/latest").body;
    for path in
        ["/log/latest", "/log/gossip/", "/log/lookup/gossip", "/gossip", "/cached-only/log/gossip", "/"]
    {
        let told = bring(&modkeep, path, &head, "");
        assert_eq!((told.status, told.header("allow")), (405, Some("GET, HEAD")), "{path}: {}", told.text());
    }
    let told = bring(&modkeep, "/sumdb/other.example/gossip", &head, "");
    assert_eq!(told.status, 404, "{}", told.text());
    for (what, note) in
        [("one byte too many", vec![b'a'; (64 << 10) + 1]), ("a megabyte", vec![b'\n'; 1 << 20])]
    {
        let told = bring(&modkeep, "/log/gossip", &note, "");
        assert_eq!((told.status, told.code()), (400, Some("bad-request")), "{what}: {}", told.text());
    }
    let host = modkeep.host();
    let chunked = format!(
        "POST /log/gossip HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    assert_eq!(raw(modkeep.url(), chunked.as_bytes()).status, 400);
    let told = modkeep.get("/log/gossip");
    assert_eq!(told.status, 404);
    assert!(told.text().contains("by POST"), "{}", told.text());
    assert_eq!(modkeep.get("/healthz").status, 200);
}

#[test]
fn heads_of_the_database_that_is_relayed_are_compared_too() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let path = format!("/sumdb/{DATABASE}/gossip");
    let head = upstream_head(&modkeep);
    let told = bring(&modkeep, &path, &head, "");
    assert!(told.text().starts_with("consistent: "), "{}", told.text());
    let key = SignerKey::from_seed(DATABASE, [7; 32]).unwrap();
    let told = bring(&modkeep, &path, &forged(&SignerKey::from_seed(DATABASE, [8; 32]).unwrap(), 1), "");
    assert!(told.text().starts_with("not ours: "), "{}", told.text());
    let told = bring(&modkeep, &path, &forged(&key, 1_000_000), "");
    assert!(told.text().starts_with("unknown future: "), "{}", told.text());
    assert_eq!(modkeep.get(&format!("/sumdb/{DATABASE}/latest")).status, 200);
    let of_database = format!("log=\"{DATABASE}\"");
    let metric = |name: &str| modkeep.metric(name, &[&of_database]);
    let (verified, lag) =
        (metric("modkeep_upstream_log_verified_size"), metric("modkeep_upstream_log_lag_records"));
    assert!(verified > 0.5 && (verified + lag - 1e6).abs() < 0.5, "{verified} and {lag} behind");
    let told = bring(&modkeep, &path, &forged(&key, 2), "");
    assert!(told.text().starts_with("INCONSISTENT: "), "{}", told.text());
    assert!(modkeep.metric("modkeep_upstream_log_inconsistent", &[]) > 0.5, "it is not believed any more");
    assert_eq!(bring(&modkeep, &path, &head, "").status, 503);
}

fn upstream_head(modkeep: &Program) -> Vec<u8> {
    let told = modkeep.get(&format!("/sumdb/{DATABASE}/latest"));
    assert_eq!(told.status, 200, "{} {}", told.text(), modkeep.said());
    told.body
}
