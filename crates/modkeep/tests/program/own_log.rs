//! A checksum database of our own, with the real go command in front: public and private modules, one GOSUMDB.

use modkeep_testkit::git::{GitServer, Kind};
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::{Go, ModuleWorld, Upstream, names};
use modkeep_tlog::note::VerifierKey;
use modkeep_tlog::{GO_SUM_ORIGIN, LookupAnswer, ProofFile};

use crate::{LOG, MODKEEP, assert_sound, ended, log_size, mirror_of, upstream, upstream_of, with_log};

const FINCH: &str = "birds.example/finch@v0.9.0";

/// A private repository, and public modules behind an upstream with their public database.
fn mixed(upstream: &Upstream, server: &GitServer) -> Setup {
    server
        .repository("github.com/corp/perch")
        .put("go.mod", "module github.com/corp/perch\n\ngo 1.21\n")
        .put("perch.go", "package perch\n\nfunc Name() string { return \"perch\" }\n")
        .commit("sit")
        .tag("v1.0.0")
        .save();
    let rewrite = format!(r#"[{{ prefix = "https://github.com/", url = "{}/github.com/" }}]"#, server.url());
    Setup::new(MODKEEP)
        .with("MODKEEP_ORIGIN_UPSTREAM", &format!("{},direct", upstream.url()))
        .with("MODKEEP_ORIGIN_REWRITE", &rewrite)
        .with("MODKEEP_ORIGIN_PRIVATE", "github.com/corp")
        .with("MODKEEP_VERIFY_LOG", &upstream.gosumdb())
}

/// A program of public and private modules, checked in one database, from an empty folder to a built program.
#[track_caller]
fn a_mixed_day(go: &Go) {
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.21\n");
    let main = "package main\n\nimport (\n\t\"example.com/egret\"\n\t\"github.com/corp/perch\"\n)\n\n\
                func main() { println(egret.Name(), perch.Name()) }\n";
    go.write("main.go", main);
    go.run(&["mod", "tidy"]).expect_ok();
    go.run(&["mod", "download"]).expect_ok();
    assert!(go.run(&["run", "."]).expect_ok().stderr.contains(" perch"));
    let verified = go.run(&["mod", "verify"]).expect_ok();
    assert!(verified.stdout.contains("all modules verified"), "{}", verified.stdout);
    let sums = std::fs::read_to_string(go.work().join("go.sum")).unwrap();
    assert!(sums.contains("github.com/corp/perch v1.0.0 h1:"), "{sums}");
    assert!(sums.contains("example.com/egret "), "{sums}");
}

/// Waits until the log has a version that nobody looked up.
#[track_caller]
fn wait_for_record(modkeep: &Program, version: &str) {
    let path = format!("/cached-only/log/lookup/{version}");
    let found = (0..400).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        modkeep.get(&path).status == 200
    });
    assert!(found, "{version} never came into the log:\n{}", modkeep.said());
}

#[test]
fn public_and_private_modules_build_with_one_database_of_our_own() {
    let mut upstream = upstream();
    let mut server = GitServer::start(Kind::Full);
    let (setup, key) = with_log(mixed(&upstream, &server));
    let modkeep = setup.serve();
    assert!(
        modkeep.said().contains(&format!("GOSUMDB=\"{key} {}/log\"", modkeep.url())),
        "{}",
        modkeep.said()
    );

    let with_url = format!("{key} {}/log", modkeep.url());
    a_mixed_day(&Go::new(modkeep.url(), &with_url).with("GONOSUMDB", ""));
    a_mixed_day(&Go::new(modkeep.url(), &key).with("GONOSUMDB", ""));
    assert!(!upstream.seen().iter().any(|seen| seen.path.contains("corp")), "{:?}", upstream.seen());

    // The go command looks toolchains up wherever it looks (P-107).
    let toolchain = format!("{}@{}", names::TOOLCHAIN, names::TOOLCHAIN_VERSION);
    Go::new(modkeep.url(), &key).with("GONOSUMDB", "*").run(&["mod", "download", &toolchain]).expect_ok();

    // With everybody gone, and after a restart, what is recorded is served.
    upstream.stop();
    server.stop();
    a_mixed_day(&Go::new(modkeep.url(), &key).with("GONOSUMDB", ""));
    modkeep.stop();
    let modkeep = setup.serve();
    a_mixed_day(&Go::new(modkeep.url(), &key).with("GONOSUMDB", ""));
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn an_imported_record_brings_the_proof_that_it_is_the_public_one() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let (setup, _) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    let lookup = modkeep.get(&format!("/log/lookup/{FINCH}"));
    assert_eq!(lookup.status, 200, "{}", lookup.text());
    let answer = LookupAnswer::parse(&lookup.body).unwrap();
    let sums = answer.text.sums("birds.example/finch", "v0.9.0").unwrap();
    let release = world.release("birds.example/finch", "v0.9.0");
    assert_eq!(sums.zip.as_ref(), Some(release.zip_h1.as_bytes()));
    assert_eq!(upstream.count("/finch/@v/"), 0, "an import fetches nothing of the module");

    let provenance = modkeep.get(&format!("/log/provenance/{FINCH}"));
    assert_eq!(provenance.status, 200, "{}", provenance.text());
    let public = VerifierKey::parse(&upstream.key()).unwrap();
    let proof = ProofFile::parse(&provenance.body).unwrap();
    proof.verify_with_keys(answer.text.leaf_hash(), GO_SUM_ORIGIN, &[public]).unwrap();

    let ours = modkeep.get(&format!("/log/proof/{FINCH}"));
    assert_eq!(ours.status, 200, "{}", ours.text());
    let checkpoint = modkeep.get("/log/checkpoint").text();
    assert!(ours.text().ends_with(&checkpoint) && checkpoint.starts_with(LOG), "{checkpoint}");
}

#[test]
fn what_is_mirrored_is_recorded_without_a_lookup() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    // Versions that were stored before there was a log, ...
    ended(&setup.run(&["get", "example.com/marsh@v1.0.0"]), 0);
    let (setup, _) = with_log(setup);
    let modkeep = setup.serve();
    wait_for_record(&modkeep, "example.com/marsh@v1.0.0");
    // ... and while there is one.
    for end in ["mod", "zip"] {
        assert_eq!(modkeep.get(&format!("/birds.example/finch/@v/v0.9.0.{end}")).status, 200);
    }
    wait_for_record(&modkeep, FINCH);
    assert_eq!(log_size(&modkeep), 2);
    assert!(modkeep.metric("modkeep_log_signing", &[LOG]) > 0.5);
    assert!(modkeep.metric("modkeep_log_size", &[LOG]) > 1.5);
    assert_eq!(modkeep.get("/cached-only/log/lookup/example.com/tern@v1.5.2").status, 404);
    assert_eq!(log_size(&modkeep), 2, "cached-only records nothing");
}

#[test]
fn a_go_sum_is_imported_through_the_server_and_without_one() {
    let upstream = upstream();
    let go = Go::new(&upstream.url(), &upstream.gosumdb());
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.21\n");
    go.run(&["get", "example.com/aviary@latest"]).expect_ok();
    let sums = go.work().join("go.sum");
    let file = sums.to_str().unwrap();
    let (setup, _) = with_log(mirror_of(&upstream));
    let modkeep = setup.serve();
    let said = ended(&setup.run(&["log", "import", file, "--server", modkeep.url()]), 0);
    assert!(said.contains("example.com/aviary"), "{said}");
    let size = log_size(&modkeep);
    modkeep.stop();
    ended(&setup.run(&["log", "import", file]), 0);

    // A sum that is not the recorded one is what the exit status tells.
    let text = std::fs::read_to_string(&sums).unwrap();
    let (name, sum) = text.lines().next().unwrap().split_once(" h1:").unwrap();
    let other = if sum.starts_with('A') { "B" } else { "A" };
    let wrong = setup.home().join("wrong.sum");
    std::fs::write(
        &wrong,
        text.replacen(&format!("{name} h1:{}", &sum[..1]), &format!("{name} h1:{other}"), 1),
    )
    .unwrap();
    let said = ended(&setup.run(&["log", "import", wrong.to_str().unwrap()]), 7);
    assert!(said.contains("go.sum says h1:"), "{said}");
    let modkeep = setup.serve();
    assert_eq!(log_size(&modkeep), size, "nothing was recorded twice");
}

#[test]
fn two_keys_sign_while_users_change_over() {
    let upstream = upstream();
    let (setup, old) = with_log(mirror_of(&upstream));
    let file = setup.home().join("new-key").to_str().unwrap().to_owned();
    let made = setup.run(&["log", "keygen", "--name", LOG, "--out", &file, "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let new = made["key"].as_str().unwrap();
    let modkeep = setup.serve();
    let mut go = Go::new(modkeep.url(), &old);
    go.run(&["mod", "download", FINCH]).expect_ok();
    modkeep.stop();
    let setup = setup.with("MODKEEP_LOG_SECOND_KEY_FILE", &file);
    let modkeep = setup.serve();
    go.set("GOPROXY", modkeep.url());
    go.run(&["mod", "download", "example.com/marsh@v1.0.0"]).expect_ok();
    // The saved head has both signatures by now, so the new key opens it.
    go.set("GOSUMDB", new);
    go.run(&["mod", "download", "example.com/tern@v1.5.2"]).expect_ok();
}
