//! The command line: results on standard output, exit codes by their table, slips answered with a hint.

use std::process::Output;

use modkeep_testkit::ModuleWorld;
use modkeep_testkit::program::Setup;

use crate::{MODKEEP, ended, mirror_of, upstream, upstream_of};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_get_fetches_list_and_show_tell() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    ended(&setup.run(&["get", "birds.example/finch@v0.9.0", "example.com/Kingfisher/Reeds@latest"]), 0);
    let listed = setup.run(&["list", "--versions"]);
    ended(&listed, 0);
    assert!(stdout(&listed).contains("birds.example/finch"), "{}", stdout(&listed));
    assert!(stdout(&listed).contains("example.com/Kingfisher/Reeds"), "{}", stdout(&listed));
    let shown = setup.run(&["show", "birds.example/finch@v0.9.0", "--json"]);
    ended(&shown, 0);
    let release = world.release("birds.example/finch", "v0.9.0");
    for fact in [release.zip_h1.to_string(), release.go_mod_h1.to_string()] {
        assert!(stdout(&shown).contains(&fact), "{}", stdout(&shown));
    }
    ended(&setup.run(&["show", "birds.example/finch@v0.0.9"]), 5);
}

#[test]
fn every_json_line_is_json_and_the_last_is_the_summary() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let tree = setup.home().join("tree");
    for arguments in [
        &["get", "birds.example/finch@v0.9.0", "--json"][..],
        &["list", "--json"],
        &["fsck", "--json"],
        &["export", "--out", tree.to_str().unwrap(), "--json"],
        &["import", tree.to_str().unwrap(), "--json"],
    ] {
        let output = setup.run(arguments);
        ended(&output, 0);
        let told = stdout(&output);
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {line}")))
            .collect();
        assert_eq!(lines.last().unwrap()["type"], "summary", "{arguments:?}: {told}");
    }
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let mut upstream = upstream();
    upstream.fault("/marsh/@v/v1.0.0.zip", modkeep_testkit::Fault::Instead(b"not that".to_vec()));
    let setup = mirror_of(&upstream);
    for (arguments, code) in [
        (&["get", "birds.example/finch@v0.9.1"][..], 5),
        (&["get", "nobody.example/anything@latest"], 5),
        (&["get", "birds.example/finch@v0.9.0", "nobody.example/anything@v1.0.0"], 3),
        (&["get"], 2),
        (&["fly"], 2),
        (&["serve", "--no-such-flag"], 2),
        (&["version"], 0),
    ] {
        ended(&setup.run(arguments), code);
    }
    upstream.stop();
    ended(&setup.run(&["get", "example.com/tern@v1.5.2"]), 8);
}

#[test]
fn a_slip_in_the_configuration_stops_the_start_with_a_hint() {
    let setup = Setup::new(MODKEEP).with("MODKEEP_ORIGIN_UPSTREM", "off");
    let said = ended(&setup.run(&["serve"]), 10);
    assert!(said.contains("MODKEEP_ORIGIN_UPSTREM") && said.contains("MODKEEP_ORIGIN_UPSTREAM"), "{said}");

    let setup = Setup::new(MODKEEP);
    let file = setup.home().join("modkeep.toml");
    std::fs::write(&file, "[server]\n\nhodl = \"10s\"\n").unwrap();
    let said = ended(&setup.run(&["config", "check", "--config", file.to_str().unwrap()]), 10);
    assert!(said.contains("modkeep.toml:3") && said.contains("hold"), "{said}");
}

#[test]
fn hostile_j19_a_malformed_pattern_or_chain_stops_the_start() {
    for (variable, value) in [
        ("MODKEEP_ORIGIN_PRIVATE", "git.corp.example/["),
        ("MODKEEP_ORIGIN_UPSTREAM", "ftp://mirror.example"),
        ("MODKEEP_ORIGIN_UPSTREAM", ","),
        ("MODKEEP_ORIGIN_REWRITE", "[{ prefix = \"https://github.com/\" }]"),
        ("MODKEEP_ORIGIN_REWRITE", "[{ prefix = \"\", url = \"https://git.corp.example/\" }]"),
        ("MODKEEP_ORIGIN_GOVCS", "*:git,*:off"),
        ("MODKEEP_ORIGIN_VCS", "git,bzr"),
        ("MODKEEP_ORIGIN_PACE", "0/s"),
        ("MODKEEP_ORIGIN_CREDENTIAL", "[{ match = \"git.corp.example\", command = [\"helper\"] }]"),
        ("MODKEEP_VERIFY_LOG", "no key at all"),
        ("MODKEEP_SERVER_HOLD", "soon"),
    ] {
        let setup = Setup::new(MODKEEP).with(variable, value);
        ended(&setup.run(&["serve", "--listen", "127.0.0.1:0"]), 10);
    }
}

#[test]
fn the_written_default_configuration_is_accepted() {
    let setup = Setup::new(MODKEEP);
    let written = setup.run(&["config", "init"]);
    ended(&written, 0);
    let file = setup.home().join("modkeep.toml");
    std::fs::write(&file, &written.stdout).unwrap();
    ended(&setup.run(&["config", "check", "--config", file.to_str().unwrap()]), 0);
    ended(&setup.run(&["config", "show", "--config", file.to_str().unwrap()]), 0);
}

#[test]
fn hostile_m04_secrets_are_not_shown() {
    let setup = Setup::new(MODKEEP).with("MODKEEP_ORIGIN_UPSTREAM", "https://me:canary-7f3a@mirror.example");
    let said = ended(&setup.run(&["config", "show"]), 0);
    assert!(said.contains("mirror.example") && !said.contains("canary-7f3a"), "{said}");
}

#[test]
fn beside_a_running_server_the_lock_names_its_holder() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    let refused = ended(&setup.run(&["get", "example.com/marsh@v1.0.0"]), 9);
    assert!(refused.contains(&modkeep.pid().to_string()), "{refused}");
    // Through the server it works, and readers need no lock.
    ended(&setup.run(&["get", "example.com/marsh@v1.0.0", "--server", modkeep.url()]), 0);
    ended(&setup.run(&["list"]), 0);
    ended(&setup.run(&["show", "example.com/marsh@v1.0.0"]), 0);
    ended(&setup.run(&["fsck"]), 0);
}

#[test]
fn completions_are_printed() {
    let setup = Setup::new(MODKEEP);
    for shell in ["bash", "zsh", "fish"] {
        let output = setup.run(&["completion", shell]);
        ended(&output, 0);
        assert!(stdout(&output).contains("prefetch"), "{shell}");
    }
}

#[test]
fn a_second_server_on_the_store_is_refused() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let refused = ended(&setup.run(&["serve", "--listen", "127.0.0.1:0"]), 9);
    assert!(refused.contains(&modkeep.pid().to_string()), "{refused}");
}
