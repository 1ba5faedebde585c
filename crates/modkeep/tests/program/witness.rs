//! A witness as a process of its own, beside a server whose log it watches: lists, cosigned heads, lookups that wait for it
//! (spec B2, B3, B4).

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Go, Upstream, copy_folder};
use modkeep_tlog::witness::monitoring_path;
use modkeep_tlog::{GO_SUM_ORIGIN, LookupAnswer, SignedCheckpoint, SignerKey, VerifierKey, WitnessKey};

use crate::{LOG, MODKEEP, ended, log_size, mirror_of, upstream, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";
const MARSH: &str = "example.com/marsh@v1.0.0";
/// Longer than any machine takes; nothing here measures time.
const PATIENCE: Duration = Duration::from_mins(2);

/// `modkeep witness serve`. Dropped, it is killed.
struct Witness {
    child: Child,
    url: String,
}

impl Witness {
    /// Starts one with its key and memory below the setup's home, and waits until it listens.
    fn start(setup: &Setup, listen: &str, more: &[&str]) -> Self {
        let (key, state) = (setup.home().join("w.key"), setup.home().join("w"));
        let mut command = setup.command();
        command.args(["witness", "serve", "--listen", listen, "--key"]).arg(key).arg("--state").arg(state);
        let mut child = command.args(more).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = said
            .find_map(|line| line.strip_prefix("witness   ").map(|url| url.trim_end_matches('/').to_owned()));
        std::thread::spawn(move || said.for_each(drop)); // or it would wait for a reader
        Self { child, url: url.expect("it listens") }
    }

    /// Whether it watches a log with this first line: nothing was cosigned, and yet it is no unknown one.
    fn cosigned(&self, origin: &str) -> Option<String> {
        let answer = modkeep_testkit::get(&format!("{}/{}", self.url, monitoring_path(origin)));
        (answer.status == 200).then(|| answer.text())
    }

    fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A key for a witness in the setup's home.
fn witness_key(setup: &Setup) -> WitnessKey {
    let key = setup.home().join("w.key");
    let made =
        setup.run(&["witness", "keygen", "--name", "witness.example/w1", "--out", key.to_str().unwrap()]);
    ended(&made, 0);
    WitnessKey::parse(String::from_utf8(made.stdout).unwrap().trim()).unwrap()
}

fn list(setup: &Setup, text: &str) -> PathBuf {
    let file = setup.home().join("list");
    std::fs::write(&file, format!("# List: testing\nlogs/v0\n\n{text}")).unwrap();
    file
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A mirror with a log, its key, and a witness that learned of it from a list, under both of its first lines.
fn street(mode: &str) -> (Upstream, Setup, VerifierKey, Witness, WitnessKey) {
    let upstream = upstream();
    let (setup, key) = with_log(mirror_of(&upstream));
    let witness_key = witness_key(&setup);
    let list = list(
        &setup,
        &format!(
            "vkey {key}\nqpd 86400\ncontact nobody@example.org\n\nvkey {key}\norigin {GO_SUM_ORIGIN}\nqpd 86400\n"
        ),
    );
    let witness = Witness::start(&setup, "127.0.0.1:0", &["--list", list.to_str().unwrap()]);
    let setup = setup
        .with("MODKEEP_LOG_WITNESSES", &format!("{witness_key} {}/", witness.url))
        .with("MODKEEP_LOG_WITNESS_MODE", mode);
    (upstream, setup, VerifierKey::parse(&key).unwrap(), witness, witness_key)
}

/// The cosigned checkpoint of this size.
fn checkpoint(modkeep: &Program, size: u64, key: &VerifierKey, witness: &WitnessKey) -> SignedCheckpoint {
    until("the checkpoint is cosigned", || {
        let note = modkeep.get("/log/checkpoint").body;
        let note = SignedCheckpoint::open(&note, LOG, std::slice::from_ref(key)).ok()?;
        let lines = note.cosignatures(std::slice::from_ref(witness)).unwrap();
        (note.head().size.get() == size && !lines.is_empty()).then_some(note)
    })
}

#[test]
fn b4_a_log_on_a_list_is_witnessed_and_no_list_can_take_it_back() {
    let (_upstream, setup, key, witness, witness_key) = street("best-effort");
    let modkeep = setup.serve();
    assert_eq!(modkeep.get(&format!("/log/lookup/{FINCH}")).status, 200);
    checkpoint(&modkeep, 1, &key, &witness_key);
    let address = witness.address();
    drop(witness);
    // The list is now somebody else's: another key for our log, and a new log.
    let stranger = SignerKey::from_seed(LOG, [9; 32]).unwrap().verifier();
    let list =
        list(&setup, &format!("vkey {stranger}\nqpd 1\n\nvkey {stranger}\norigin new.example/log\nqpd 1\n"));
    let witness = Witness::start(&setup, &address, &["--list", list.to_str().unwrap(), "--list-every", "1s"]);
    assert!(witness.cosigned(LOG).is_some_and(|note| note.contains("\n1\n")), "it remembers");
    assert_eq!(modkeep.get(&format!("/log/lookup/{MARSH}")).status, 200);
    checkpoint(&modkeep, 2, &key, &witness_key);
    let kept = std::fs::read_to_string(setup.home().join("w/logs")).unwrap();
    assert!(kept.contains(&key.to_string()) && kept.contains("origin new.example/log"), "{kept}");
    assert!(!kept.contains(&format!("vkey {stranger}\norigin {LOG}")), "{kept}");
}

#[test]
fn b4_lists_are_read_again_and_a_bad_one_changes_nothing() {
    let setup = Setup::new(MODKEEP);
    let _ = witness_key(&setup);
    let key = |name: &str| SignerKey::from_seed(name, [9; 32]).unwrap().verifier();
    let file = list(&setup, &format!("vkey {}\nqpd 24\n", key("one.example/log")));
    let name = file.to_str().unwrap();
    let more = ["--list", name, "--list", "/nowhere/list", "--list-every", "1s", "--admin", "127.0.0.1:0"];
    let _witness = Witness::start(&setup, "127.0.0.1:0", &more);
    let kept = || std::fs::read_to_string(setup.home().join("w/logs")).unwrap_or_default();
    until("the first list is read", || kept().contains("one.example/log").then_some(()));
    list(&setup, &format!("vkey {}\nqpd 24\n", key("two.example/log")));
    until("it is read again", || kept().contains("two.example/log").then_some(()));
    std::fs::write(&file, "<html>maintenance</html>").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    list(&setup, &format!("vkey nonsense\nqpd 1\n\nvkey {}\nqpd 24\n", key("three.example/log")));
    until("and after a bad one", || kept().contains("three.example/log").then_some(()));
    assert!(kept().contains("one.example/log") && kept().contains("two.example/log"), "{}", kept());
}

#[test]
fn b3_lookups_wait_for_the_witnesses_where_that_is_wanted() {
    let (_upstream, setup, key, witness, witness_key) = street("required");
    let setup = setup.with("MODKEEP_LOG_GATE_LOOKUPS", "true").with("MODKEEP_SERVER_HOLD", "3s");
    let setup = setup.with("MODKEEP_LOG_COSIGN_LATEST", "true");
    let modkeep = setup.serve();
    let lookup = |version: &str| modkeep.get(&format!("/log/lookup/{version}"));
    let found = until("the witness answers", || Some(lookup(FINCH)).filter(|found| found.status == 200));
    let answer = LookupAnswer::parse(&found.body).unwrap();
    let note = String::from_utf8(answer.note.to_vec()).unwrap();
    assert!(note.starts_with(&format!("{GO_SUM_ORIGIN}\n1\n")), "{note}");
    let shown = checkpoint(&modkeep, 1, &key, &witness_key);
    assert_eq!(shown.head().size.get(), 1);

    // B2: heads themselves carry the witness's line, over their own text.
    let cosigned = until("the head is cosigned", || {
        let head = modkeep.get("/log/latest").body;
        let head = SignedCheckpoint::open(&head, GO_SUM_ORIGIN, std::slice::from_ref(&key)).unwrap();
        let lines = head.cosignatures(std::slice::from_ref(&witness_key)).unwrap();
        (lines.len() == 1).then_some(head)
    });
    assert_eq!(cosigned.head().size.get(), 1);

    // Nobody cosigns: what was seen is found, what is new is recorded and not shown.
    let address = witness.address();
    drop(witness);
    assert_eq!(lookup(FINCH).status, 200);
    let refused = lookup(MARSH);
    assert_eq!((refused.status, refused.code()), (503, Some("log-busy")), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(log_size(&modkeep), 2, "recorded all the same");
    let proof = modkeep.get(&format!("/log/proof/{MARSH}"));
    assert_eq!(proof.status, 503, "no proof under a checkpoint that nobody has cosigned: {}", proof.text());
    assert_eq!(modkeep.get(&format!("/log/proof/{FINCH}")).status, 200);
    let list = setup.home().join("list");
    let _witness = Witness::start(&setup, &address, &["--list", list.to_str().unwrap()]);
    let found = until("it is back", || Some(lookup(MARSH)).filter(|found| found.status == 200));
    assert_eq!(LookupAnswer::parse(&found.body).unwrap().id.get(), 1);

    // The go command passes the lines of witnesses over.
    let go = Go::new(modkeep.url(), &format!("{key} {}/log", modkeep.url())).with("GONOSUMDB", "");
    go.run(&["mod", "download", FINCH, MARSH]).expect_ok();
}

#[test]
fn c4_recovering_asks_the_witnesses_as_a_start_does() {
    let (_upstream, setup, key, _witness, witness_key) = street("best-effort");
    let (old, tree) = (setup.home().join("old"), setup.home().join("tree"));
    let grow = |size, version: &str| {
        let modkeep = setup.serve();
        assert_eq!(modkeep.get(&format!("/log/lookup/{version}")).status, 200);
        checkpoint(&modkeep, size, &key, &witness_key);
        modkeep.stop();
    };
    grow(1, FINCH);
    copy_folder(setup.store(), &old);
    grow(2, MARSH);
    ended(&setup.run(&["log", "export", "--out", tree.to_str().unwrap()]), 0);
    // The old copy is put back, and what lay beside the key is lost.
    std::fs::remove_dir_all(setup.store()).unwrap();
    copy_folder(&old, setup.store());
    std::fs::remove_file(setup.home().join("key.head")).unwrap();

    let said = ended(&setup.run(&["log", "recover"]), 7);
    assert!(said.contains("the witness witness.example/w1 has seen a head of size 2"), "{said}");
    ended(&setup.run(&["log", "recover", "--from", tree.to_str().unwrap()]), 0);
    let modkeep = setup.serve();
    assert_eq!(log_size(&modkeep), 2);
    checkpoint(&modkeep, 2, &key, &witness_key);
}

#[test]
fn b3_waiting_for_nobody_is_a_slip_of_the_configuration() {
    let (setup, _) = with_log(mirror_of(&upstream()));
    for (key, value) in [("GATE_LOOKUPS", "true"), ("COSIGN_LATEST", "true")] {
        let mut command = setup.command();
        command.env(format!("MODKEEP_LOG_{key}"), value).args(["serve", "--check"]);
        let said = ended(&command.output().unwrap(), 10);
        assert!(said.contains(&format!("log.{}", key.to_lowercase())), "{said}");
    }
}
