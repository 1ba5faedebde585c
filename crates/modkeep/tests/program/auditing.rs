//! What an auditor and a user of go.sum files do with this program: audit, gossip, verify, proof.

use std::path::Path;

use modkeep_testkit::program::Setup;
use modkeep_testkit::{Lie, ModuleWorld, Site, SumDb, Upstream};
use modkeep_tlog::LookupAnswer;

use crate::{DATABASE, MODKEEP, ended, mirror_of, upstream_of, with_log};

/// The part of the public database that is in the tree: a partial copy, with four lookups.
fn public() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/public-log");
    format!("sum.golang.org file://{}", folder.canonicalize().unwrap().display())
}

fn lookup(of: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/public-log/lookup");
    std::fs::read_to_string(folder.join(of)).unwrap()
}

/// The two lines of go.sum in a lookup answer.
fn lines(of: &str) -> String {
    lookup(of).lines().skip(1).take(2).map(|line| format!("{line}\n")).collect()
}

/// A server with a lying database: the setup, and `audit URL --key KEY`.
fn audited(lie: Lie) -> (Setup, Upstream, Vec<String>) {
    let world = ModuleWorld::every_kind();
    let mut database = SumDb::of(DATABASE, &world);
    database.lie(lie);
    let key = database.key();
    let upstream = Upstream::start(Site::of(&world).with_database(database));
    let setup = Setup::new(MODKEEP);
    let url = format!("{}/db", upstream.url());
    (setup, upstream, vec!["audit".to_owned(), url, "--key".to_owned(), key])
}

fn run(setup: &Setup, words: &[String], more: &[&str], code: i32) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    ended(&setup.run(&words), code)
}

#[test]
fn an_honest_log_is_audited_and_the_next_audit_reads_what_is_new() {
    let (setup, _upstream, audit) = audited(Lie::None);
    let told = run(&setup, &audit, &["--lookups", "0"], 0);
    assert!(told.contains("consistent: ") && told.contains(" read now"), "{told}");
    let told = run(&setup, &audit, &["--lookups", "0"], 0);
    assert!(told.contains("; 0 read now"), "{told}");
    let told = run(&setup, &audit, &["--lookups", "0", "--full", "--json"], 0);
    let summary: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["type"], &summary["honest"]), (&"summary".into(), &true.into()));
    assert_eq!(summary["records"], summary["size"]);
}

#[test]
fn lies_end_with_7_and_leave_evidence() {
    for (lie, kind) in [(Lie::ForgedTiles, "bad-tile"), (Lie::MissingLine, "grammar (warning)")] {
        let (setup, _upstream, audit) = audited(lie.clone());
        let code = if kind.contains("warning") { 0 } else { 7 };
        let told = run(&setup, &audit, &["--lookups", "0"], code);
        assert!(told.contains(kind), "{lie:?}: {told}");
    }
    // A fork: the auditor has seen the honest tree.
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let (setup, _upstream, audit) = audited(Lie::None);
    run(&setup, &audit, &["--lookups", "0", "--state", state], 0);
    let (setup, _upstream, audit) = audited(Lie::OtherTree);
    let told = run(&setup, &audit, &["--lookups", "0", "--state", state], 7);
    assert!(told.contains("fork: ") && told.contains("MISBEHAVIOUR"), "{told}");
    let evidence = std::fs::read_dir(Path::new(state).join("evidence")).unwrap();
    assert!(evidence.flatten().any(|file| file.file_name().to_string_lossy().starts_with("fork-")));
}

#[test]
fn owners_hear_of_new_versions_of_their_modules_once_each() {
    let (setup, upstream, mut watch) = audited(Lie::None);
    watch.insert(1, "watch".to_owned());
    watch.insert(2, "example.com/n*,other.example".to_owned());
    watch.insert(3, "--log".to_owned());
    let told = run(&setup, &watch, &[], 0);
    assert!(
        told.contains("begins with what is logged from now on") && told.contains(", 0 read now"),
        "{told}"
    );
    let mut world = ModuleWorld::every_kind();
    for module in ["example.com/nest", "example.com/egg", "example.com/nest/twig"] {
        let text = format!("module {module}\n");
        let files: [(&str, &[u8]); 2] = [("go.mod", text.as_bytes()), ("x.go", b"package x\n")];
        world.add(module, "v1.0.0", &files);
    }
    upstream.change(|site| site.database().record(&world));
    let told = setup.run(&watch.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = String::from_utf8(told.stdout.clone()).unwrap();
    ended(&told, 0);
    let names: Vec<&str> = lines.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(names, ["example.com/nest v1.0.0", "example.com/nest/twig v1.0.0"], "{lines}");
    let told = setup.run(&watch.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(told.stdout.is_empty(), "told once: {}", String::from_utf8_lossy(&told.stdout));

    // Everything, for programs; as much as the database has of it.
    let state = setup.home().join("other");
    let more = ["--from", "0", "--json", "--state", state.to_str().unwrap()];
    let told = run(&setup, &watch, &more, 0);
    let records: Vec<serde_json::Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|it: &serde_json::Value| it["type"] == "record")
        .collect();
    assert_eq!(records.len(), 2, "{told}");
    assert_eq!(
        (&records[0]["module"], &records[0]["version"]),
        (&"example.com/nest".into(), &"v1.0.0".into())
    );
    assert!(records[0]["text"].as_str().unwrap().starts_with("example.com/nest v1.0.0 h1:"), "{told}");
}

#[test]
fn owners_hear_nothing_that_is_not_proven() {
    let (setup, _upstream, mut watch) = audited(Lie::ForgedTiles);
    watch.insert(1, "watch".to_owned());
    watch.insert(2, "*".to_owned());
    watch.insert(3, "--log".to_owned());
    let words: Vec<&str> = watch.iter().map(String::as_str).chain(["--from", "0"]).collect();
    let told = setup.run(&words);
    assert!(
        !String::from_utf8_lossy(&told.stdout).contains("v1."),
        "{}",
        String::from_utf8_lossy(&told.stdout)
    );
    assert!(ended(&told, 7).contains("bad-tile"));
    // A word that is no pattern is told at once.
    ended(&setup.run(&["audit", "watch", "[", "--log", "sum.golang.org"]), 2);
}

#[test]
fn what_is_not_there_is_said_and_who_is_not_there_is_8() {
    let setup = Setup::new(MODKEEP);
    let told = ended(&setup.run(&["audit", &public(), "--partial", "--lookups", "0"]), 3);
    assert!(told.contains("not checked: records 0 to "), "{told}");
    assert!(told.contains("consistent: 70483086 records"), "{told}");
    ended(&setup.run(&["audit", "https://mirror.example/log"]), 2);
    ended(&setup.run(&["audit"]), 2);
    let nobody = format!("{} http://127.0.0.1:9/log", "sum.golang.org");
    ended(&setup.run(&["audit", &nobody]), 8);
}

#[test]
fn a_head_that_somebody_else_saw_is_compared() {
    let setup = Setup::new(MODKEEP);
    let head = setup.home().join("latest");
    let public = public();
    let gossip = |note: &str, code| {
        std::fs::write(&head, note).unwrap();
        ended(&setup.run(&["audit", "gossip", head.to_str().unwrap(), "--log", &public]), code)
    };
    let seen = lookup("golang.org/x/text@v0.43.0");
    let note = seen.split_once("\n\n").unwrap().1;
    assert!(gossip(note, 0).contains("consistent: size "));
    let size = note.lines().nth(1).unwrap();
    assert!(gossip(&note.replacen(size, "5", 1), 7).contains("bad-signature"));
}

#[test]
fn every_line_of_go_sum_is_checked_and_the_exit_code_tells() {
    let setup = Setup::new(MODKEEP);
    let file = setup.home().join("go.sum");
    let public = public();
    let good = lines("rsc.io/quote@v1.5.2") + &lines("github.com/!burnt!sushi/toml@v0.3.1");
    let verify = |text: &str, code| {
        std::fs::write(&file, text).unwrap();
        ended(&setup.run(&["verify", file.to_str().unwrap(), "--database", &public]), code)
    };
    assert!(verify(&good, 0).contains("4 verified"));
    // Once more out of what is remembered.
    assert!(verify(&good, 0).contains("4 verified"));
    let sum = good.lines().next().unwrap().rsplit(' ').next().unwrap();
    let other = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let told = verify(&good.replacen(sum, other, 1), 7);
    assert!(told.contains("different: rsc.io/quote@v1.5.2") && told.contains("1 DIFFERENT"), "{told}");
    let unlisted = format!("example.com/nobody v1.0.0 {other}\n");
    assert!(verify(&unlisted, 5).contains("unlisted: example.com/nobody@v1.0.0"));
    verify(&(good + &unlisted), 3);
}

#[test]
fn private_names_are_not_asked_of_a_public_database() {
    let setup = Setup::new(MODKEEP).with("GOPRIVATE", "corp.example").with("GOSUMDB", &public());
    let file = setup.home().join("go.sum");
    let private = "corp.example/pay v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    std::fs::write(&file, lines("rsc.io/quote@v1.5.2") + private).unwrap();
    let told = ended(&setup.run(&["verify", file.to_str().unwrap()]), 0);
    assert!(told.contains("2 verified, 1 private and not asked"), "{told}");
}

#[test]
fn a_proof_is_checked_without_asking_anybody() {
    let setup = Setup::new(MODKEEP);
    let file = setup.home().join("quote.tlog-proof");
    let name = file.to_str().unwrap();
    let public = public();
    ended(&setup.run(&["proof", "get", "rsc.io/quote@v1.5.2", "--database", &public, "--out", name]), 0);
    let told = ended(&setup.run(&["proof", "verify", name]), 0);
    assert!(told.contains("rsc.io/quote v1.5.2 h1:") && told.contains("proven: record 942"), "{told}");

    let proof = std::fs::read_to_string(&file).unwrap();
    let hash = proof.lines().find(|line| line.len() == 44).unwrap();
    let damaged = [
        proof.replacen("index 942", "index 943", 1),
        proof.replacen(hash, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 1),
        proof.replacen("sum.golang.org Az3g", "sum.golang.org Bz3g", 1),
    ];
    for proof in damaged {
        std::fs::write(&file, proof).unwrap();
        ended(&setup.run(&["proof", "verify", name]), 7);
    }
    ended(&setup.run(&["proof", "get", "example.com/nobody@v1.0.0", "--database", &public]), 5);
}

#[test]
fn a_log_goes_out_as_a_tree_and_comes_back_from_it() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let (setup, key) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    for release in world.releases() {
        let escaped = release.file("zip").replace("/@v/", "@");
        let lookup = modkeep.get(&format!("/log/lookup/{}", escaped.trim_end_matches(".zip")));
        assert_eq!(lookup.status, 200, "{}", lookup.text());
    }
    let (finch, latest) = (modkeep.get("/log/lookup/birds.example/finch@v0.9.0"), modkeep.get("/log/latest"));
    modkeep.stop();

    ended(&setup.run(&["log", "fsck"]), 0);
    let tree = setup.home().join("tree");
    let tree_text = tree.to_str().unwrap();
    ended(&setup.run(&["log", "export", "--out", tree_text, "--layout", "both"]), 0);
    assert_eq!(std::fs::read(tree.join("latest")).unwrap(), latest.body);
    let audit = [&format!("{key} file://{tree_text}"), "--lookups", "0"];
    ended(&setup.run(&[&["audit"][..], &audit].concat()), 0);

    let empty = setup.home().join("empty");
    let setup = setup.store_at(&empty);
    ended(&setup.run(&["log", "rebuild", "--from", tree_text]), 0);
    ended(&setup.run(&["log", "fsck"]), 0);
    let modkeep = setup.serve();
    let again = modkeep.get("/cached-only/log/lookup/birds.example/finch@v0.9.0");
    let [finch, again] = [finch, again].map(|lookup| LookupAnswer::parse(&lookup.body).unwrap());
    assert_eq!(
        (again.id, again.text),
        (finch.id, finch.text),
        "the same record; its head may be a newer one"
    );
    assert_eq!(modkeep.get("/log/latest").body, latest.body);
}
