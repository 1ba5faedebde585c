//! `direct`: modules straight from their repositories, with the real go command in front and a real git server behind.

use modkeep_testkit::client::allow_descriptors;
use modkeep_testkit::git::{Fault, GitServer, Kind};
use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::programs::SshServer;
use modkeep_testkit::tls::{Authority, Flaw};
use modkeep_testkit::{Go, Pending};

use crate::{MODKEEP, assert_sound};

const CALLERS: usize = 1000;
/// Callers of one address: servers bound what one client may have open (hostile-inputs part 1: 256).
const PER_ADDRESS: usize = 200;

/// Three repositories: a library with a nested module, one whose second major version lies on a branch, and one without
/// any tag.
fn repositories() -> GitServer {
    let server = GitServer::start(Kind::Full);
    server
        .repository("github.com/ann/fish")
        .put("go.mod", "module github.com/ann/fish\n\ngo 1.21\n\nrequire github.com/bob/net v1.0.0\n")
        .put(
            "fish.go",
            "package fish\n\nimport \"github.com/bob/net\"\n\nfunc Name() string { return \"fish in a \" + net.Name() }\n",
        )
        .put("LICENSE", "Use it well.\n")
        .put("fin/go.mod", "module github.com/ann/fish/fin\n\ngo 1.21\n")
        .put("fin/fin.go", "package fin\n\nfunc Name() string { return \"fin\" }\n")
        .commit("swim")
        .tags(&["v1.0.0", "fin/v0.1.0"])
        .save();
    server
        .repository("github.com/bob/net")
        .put("go.mod", "module github.com/bob/net\n\ngo 1.21\n")
        .put("net.go", "package net\n\nfunc Name() string { return \"net\" }\n")
        .commit("weave")
        .annotated("v1.0.0")
        .put("go.mod", "module github.com/bob/net/v2\n\ngo 1.21\n")
        .put("net.go", "package net\n\nfunc Name() string { return \"strong net\" }\n")
        .commit("weave anew")
        .tag("v2.0.0")
        .save();
    server
        .repository("github.com/cid/hook")
        .put("hook.go", "package hook\n\nfunc Name() string { return \"hook\" }\n")
        .commit("bend")
        .save();
    server
}

/// A mirror that asks repositories alone, and finds those of one host elsewhere.
fn direct(server: &GitServer) -> Setup {
    let rewrite = format!(r#"[{{ prefix = "https://github.com/", url = "{}/github.com/" }}]"#, server.url());
    Setup::new(MODKEEP)
        .with("MODKEEP_ORIGIN_UPSTREAM", "direct")
        .with("MODKEEP_ORIGIN_REWRITE", &rewrite)
        .with("MODKEEP_VERIFY_LOG", "off")
}

fn angler(go: &Go) {
    go.write("go.mod", "module angler.example/day\n\ngo 1.21\n");
    let main = "package main\n\nimport (\n\t\"github.com/ann/fish\"\n\t\"github.com/ann/fish/fin\"\n\t\
                strong \"github.com/bob/net/v2\"\n\t\"github.com/cid/hook\"\n)\n\nfunc main() {\n\t\
                println(fish.Name(), fin.Name(), strong.Name(), hook.Name())\n}\n";
    go.write("main.go", main);
}

#[track_caller]
fn a_days_catch(go: &Go) {
    angler(go);
    go.run(&["mod", "tidy"]).expect_ok();
    go.run(&["mod", "download"]).expect_ok();
    let run = go.run(&["run", "."]).expect_ok();
    assert_eq!(run.stderr.lines().last(), Some("fish in a net fin strong net hook"));
    let versions = go.run(&["list", "-m", "-versions", "github.com/ann/fish"]).expect_ok();
    assert_eq!(versions.stdout.trim(), "github.com/ann/fish v1.0.0");
}

#[test]
fn a_program_is_built_from_repositories_and_again_with_all_of_them_gone() {
    let mut server = repositories();
    let setup = direct(&server);
    let modkeep = setup.serve();
    a_days_catch(&Go::new(modkeep.url(), "off"));

    // The sums are those of the go command itself, which asks the same repositories.
    let direct = server.instead(Go::new("direct", "off").with("GOVCS", "*:all"));
    angler(&direct);
    direct.run(&["mod", "tidy"]).expect_ok();
    let theirs = std::fs::read_to_string(direct.work().join("go.sum")).unwrap();
    let ours = Go::new(modkeep.url(), "off");
    angler(&ours);
    ours.run(&["mod", "tidy"]).expect_ok();
    assert_eq!(std::fs::read_to_string(ours.work().join("go.sum")).unwrap(), theirs);

    server.stop();
    a_days_catch(&Go::new(modkeep.url(), "off"));
    modkeep.stop();
    let modkeep = setup.serve();
    a_days_catch(&Go::new(modkeep.url(), "off"));
    modkeep.stop();
    assert_sound(&setup);
}

/// The children that a process ever started: none is the number of processes that a cold version over HTTP may cost.
fn children_of(program: &Program) -> String {
    let tasks = format!("/proc/{}/task", program.pid());
    let task = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("children")).ok();
    std::fs::read_dir(tasks).unwrap().filter_map(Result::ok).filter_map(task).collect()
}

#[test]
fn a_thousand_callers_of_one_cold_version_cost_its_origin_what_one_costs() {
    allow_descriptors();
    let path = "/github.com/ann/fish/@v/v1.0.0.zip";
    let alone = repositories();
    let setup = direct(&alone);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get(path).status, 200);
    let cost = alone.cost();
    assert!(cost.requests <= 3, "{}", alone.told());

    let server = repositories();
    let setup = direct(&server);
    let modkeep = setup.serve();
    server.fault("ann/fish", Fault::Silence);
    let url = format!("{}{path}", modkeep.url());
    let from = |caller: usize| 2 + u8::try_from(caller / PER_ADDRESS).unwrap();
    let crowd: Vec<Pending> = (0..CALLERS).map(|caller| Pending::send(&url, from(caller))).collect();
    server.wait_for("ann/fish");
    server.mend();
    let mut first = None;
    for (caller, pending) in crowd.into_iter().enumerate() {
        let answer = pending.finish();
        assert_eq!(answer.status, 200, "caller {caller}: {}", answer.text());
        assert_eq!(first.get_or_insert_with(|| answer.body.clone()), &answer.body, "caller {caller}");
    }
    // The server's answers differ by a few bytes of progress.
    assert_eq!(
        (server.cost().requests, server.cost().bytes_in),
        (cost.requests, cost.bytes_in),
        "{}",
        server.told()
    );
    assert_eq!(children_of(&modkeep), "", "no process was started");

    server.forget();
    assert_eq!(modkeep.get(path).status, 200);
    assert_eq!(server.cost().requests, 0, "what is stored costs nothing");
}

#[test]
fn nobody_is_asked_what_nobody_wants_to_know() {
    let server = repositories();
    let setup = direct(&server).with("MODKEEP_ORIGIN_LIST_TTL", "1s");
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/github.com/ann/fish/@v/list").text(), "v1.0.0\n");
    server.forget();
    // Longer than the list lives; there is no event to wait for when nothing may happen.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(server.cost().requests, 0, "{}", server.told());
    modkeep.stop();
    let modkeep = setup.serve();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(server.cost().requests, 0, "a start asks nobody: {}", server.told());
    assert_eq!(modkeep.get("/github.com/ann/fish/@v/list").text(), "v1.0.0\n");
}

#[test]
fn what_a_repository_lacks_is_told_in_the_go_commands_words() {
    let server = repositories();
    let setup = direct(&server);
    let modkeep = setup.serve();
    for (path, status, said) in [
        (
            "/github.com/ann/fish/@v/v1.9.9.info",
            404,
            "not found: github.com/ann/fish@v1.9.9: invalid version: unknown revision v1.9.9 [no-such-version]",
        ),
        ("/github.com/nobody/nothing/@v/list", 404, "not found: module github.com/nobody/nothing: "),
        ("/github.com/ann/@v/list", 404, "not found: module github.com/ann: "),
    ] {
        let answer = modkeep.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().starts_with(said), "{path}: {}", answer.text());
    }
    server.require_login("me", "secret");
    let answer = modkeep.get("/github.com/bob/net/@v/list");
    assert_eq!(
        (answer.status, answer.header("x-modkeep-code")),
        (404, Some("no-access")),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("127.0.0.1") || answer.text().contains("/e/"), "{}", answer.text());
}

/// What became of five repositories after their versions were taken in.
const FATES: [(&str, &str); 6] = [
    ("stays", "ok"),
    ("retags", "tag_moved"),
    ("untags", "tag_gone"),
    ("vanishes", "repo_gone"),
    ("moves", "repo_moved"),
    ("closes", "login"),
];

fn fated(server: &GitServer, name: &str) -> modkeep_testkit::GitRepo {
    let mut repository = server.repository(&format!("github.com/eve/{name}"));
    repository
        .put("go.mod", format!("module github.com/eve/{name}\n\ngo 1.21\n"))
        .put("eve.go", "package eve\n")
        .commit("first")
        .tag("v1.0.0")
        .save();
    repository
}

/// Lets each repository meet its fate.
fn befall(server: &GitServer, elsewhere: &GitServer, repositories: &mut [modkeep_testkit::GitRepo]) {
    for (repository, (name, fate)) in repositories.iter_mut().zip(FATES) {
        let path = format!("eve/{name}/");
        match fate {
            "tag_moved" => {
                repository.put("eve.go", "package eve // changed\n").commit("second");
                repository.delete_tag("v1.0.0").tag("v1.0.0").save();
            }
            "tag_gone" => drop(repository.delete_tag("v1.0.0").save()),
            "repo_gone" => server.fault(&path, Fault::Status(404, Vec::new())),
            "repo_moved" => {
                fated(elsewhere, name);
                server.fault(&path, Fault::RedirectTo(elsewhere.url()));
            }
            "login" => server.fault(&path, Fault::Status(401, Vec::new())),
            _ => {}
        }
    }
}

#[test]
fn hostile_c21_what_is_broken_at_its_origin_is_known_told_and_served_all_the_same() {
    let (server, elsewhere) = (GitServer::start(Kind::Full), GitServer::start(Kind::Full));
    let mut repositories: Vec<_> = FATES.iter().map(|(name, _)| fated(&server, name)).collect();
    let setup = direct(&server).with("MODKEEP_EGRESS_ALLOW", &elsewhere.host());
    let modkeep = setup.serve();
    let mut before = Vec::new();
    let mut sums = String::new();
    for (name, _) in FATES {
        let files =
            ["info", "mod", "zip"].map(|end| modkeep.get(&format!("/github.com/eve/{name}/@v/v1.0.0.{end}")));
        assert!(files.iter().all(|file| file.status == 200), "{name}: {}", files[0].text());
        assert!(files.iter().all(|file| file.header("x-modkeep-origin").is_none()));
        let h1 = files[2].header("etag").unwrap().trim_matches('"').replacen("h1-", "h1:", 1);
        sums.push_str(&["github.com/eve/", name, " v1.0.0 ", &h1, "\n"].concat());
        before.push(files.map(|file| file.body));
    }
    modkeep.stop();
    std::fs::write(setup.home().join("go.sum"), &sums).unwrap();
    let said = crate::ended(&setup.run(&["list", "--broken", "--from", "go.sum", "--json"]), 0);
    assert!(said.contains("\"broken\":0"), "{said}");

    befall(&server, &elsewhere, &mut repositories);
    let said = crate::ended(&setup.run(&["list", "--broken"]), 0);
    assert!(said.contains("0 broken"), "nobody has looked yet: {said}");
    crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 0);
    let said = crate::ended(&setup.run(&["list", "--broken"]), 0);
    for (name, fate) in FATES {
        let line = said.lines().find(|line| line.starts_with(&format!("github.com/eve/{name}@v1.0.0 ")));
        match fate {
            "ok" => assert_eq!(line, None, "{said}"),
            fate => {
                let is_told = line.is_some_and(|line| line.contains(&format!(" {fate} since ")));
                assert!(is_told, "{name}: {said}");
            }
        }
    }

    // The same of a project's own dependencies, with nothing kept and with everything.
    let nobody = direct(&server).with("MODKEEP_EGRESS_ALLOW", &elsewhere.host());
    for setup in [&setup, &nobody] {
        std::fs::write(setup.home().join("go.sum"), &sums).unwrap();
        let said = crate::ended(&setup.run(&["list", "--broken", "--from", "go.sum"]), 7);
        for (name, fate) in FATES {
            let told = said.contains(&format!("github.com/eve/{name}@v1.0.0 {fate}: "));
            // Who follows the redirect builds the same as before.
            assert_eq!(told, !matches!(fate, "ok" | "repo_moved"), "{name}: {said}");
        }
    }

    let modkeep = setup.serve();
    for ((name, fate), before) in FATES.iter().zip(before) {
        for (end, bytes) in ["info", "mod", "zip"].iter().zip(before) {
            let answer = modkeep.get(&format!("/github.com/eve/{name}/@v/v1.0.0.{end}"));
            let header = (*fate != "ok").then(|| fate.replace('_', "-"));
            assert_eq!(answer.header("x-modkeep-origin").map(str::to_owned), header, "{name}.{end}");
            assert!(answer.status == 200 && answer.body == bytes, "stored bytes never change: {name}.{end}");
        }
        if *fate != "ok" {
            let counted = modkeep.metric("modkeep_origin_missing_modules", &[fate]);
            assert!((0.5..1.5).contains(&counted), "{fate}: {counted}");
        }
    }
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn a_moved_tag_is_noticed_by_the_way_when_somebody_asks_for_the_list() {
    let server = GitServer::start(Kind::Full);
    let mut repository = fated(&server, "retags");
    let setup = direct(&server).with("MODKEEP_ORIGIN_LIST_TTL", "0s");
    let modkeep = setup.serve();
    for end in ["@v/v1.0.0.info", "@v/v1.0.0.zip", "@v/list"] {
        assert_eq!(modkeep.get(&format!("/github.com/eve/retags/{end}")).status, 200);
    }
    repository.put("eve.go", "package eve // changed\n").commit("second");
    repository.delete_tag("v1.0.0").tag("v1.0.0").save();
    let told = || {
        modkeep.get("/github.com/eve/retags/@v/list");
        let answer = modkeep.get("/github.com/eve/retags/@v/v1.0.0.info");
        answer.header("x-modkeep-origin").map(str::to_owned)
    };
    let begin = std::time::Instant::now();
    while told().as_deref() != Some("tag-moved") {
        assert!(begin.elapsed().as_secs() < 60, "{}", modkeep.said());
        std::thread::sleep(std::time::Duration::from_millis(50)); // a background look has no event to wait for
    }
}

/// A repository with one version below `folder`.
fn lake(folder: &std::path::Path) {
    let path = folder.join("github.com/dan/lake");
    modkeep_testkit::GitRepo::init(&path)
        .put("go.mod", "module github.com/dan/lake\n\ngo 1.21\n")
        .commit("fill")
        .tag("v1.0.0")
        .save();
}

/// A mirror that finds github.com at `base`.
fn found_at(base: &str) -> Setup {
    let rewrite = format!(r#"[{{ prefix = "https://github.com/", url = "{base}/github.com/" }}]"#);
    Setup::new(MODKEEP)
        .with("MODKEEP_ORIGIN_UPSTREAM", "direct")
        .with("MODKEEP_ORIGIN_REWRITE", &rewrite)
        .with("MODKEEP_VERIFY_LOG", "off")
}

#[test]
fn configured_certificates_are_believed_by_us_and_by_the_programs_we_start() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    lake(folder.path());
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let ca_file = folder.path().join("ca.pem").display().to_string();
    // The second speaks no version 2 of the protocol, so that git asks it, from its jail.
    for kind in [Kind::Full, Kind::V1] {
        let server = GitServer::over_tls(folder.path(), kind, authority.server(Flaw::None));
        for (variable, opens) in
            [("MODKEEP_EGRESS_CA_FILE", true), ("SSL_CERT_FILE", true), ("READ_BY_NOBODY", false)]
        {
            let setup = found_at(&server.url()).with(variable, &ca_file);
            let modkeep = setup.serve();
            let answer = modkeep.get("/github.com/dan/lake/@v/v1.0.0.zip");
            assert_eq!(answer.status == 200, opens, "{kind:?} {variable}: {}", answer.text());
        }
    }
}

#[test]
fn ssh_goes_to_hosts_whose_keys_are_known() {
    let folder = tempfile::tempdir().unwrap();
    lake(folder.path());
    let server = SshServer::start();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let base = format!("ssh://{user}@{}{}", server.host(), folder.path().display());
    let credential =
        format!(r#"[{{ match = "{}", ssh_key_file = "{}" }}]"#, server.host(), server.key().display());
    let known = folder.path().join("known_hosts");
    for (key, opens) in [(server.known_host(), true), (server.known_host().replace("AAAA", "AAAB"), false)] {
        std::fs::write(&known, key).unwrap();
        let setup = found_at(&base)
            .with("MODKEEP_ORIGIN_CREDENTIAL", &credential)
            .with("MODKEEP_ORIGIN_KNOWN_HOSTS", known.to_str().unwrap());
        let modkeep = setup.serve();
        let answer = modkeep.get("/github.com/dan/lake/@v/v1.0.0.zip");
        assert_eq!(answer.status == 200, opens, "{}\n{}", answer.text(), modkeep.said());
    }
}

#[test]
fn beside_a_running_server_a_go_sum_is_looked_at_and_a_recheck_names_the_process() {
    let server = GitServer::start(Kind::Full);
    fated(&server, "stays");
    let setup = direct(&server);
    let modkeep = setup.serve();
    let zip = modkeep.get("/github.com/eve/stays/@v/v1.0.0.zip");
    assert_eq!(zip.status, 200, "{}", zip.text());
    let h1 = zip.header("etag").unwrap().trim_matches('"').replacen("h1-", "h1:", 1);
    std::fs::write(setup.home().join("go.sum"), format!("github.com/eve/stays v1.0.0 {h1}\n")).unwrap();
    let from = ["list", "--broken", "--from", "go.sum"];
    assert!(crate::ended(&setup.run(&from), 0).contains("0 broken"));
    server.fault("eve/stays/", Fault::Status(404, Vec::new()));
    assert!(crate::ended(&setup.run(&from), 5).contains("github.com/eve/stays@v1.0.0 repo_gone: "));
    let refused = crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 9);
    assert!(refused.contains(&format!("in use by process {}", modkeep.pid())), "{refused}");
    assert!(refused.contains("[origin] watch") && !refused.contains("--server"), "{refused}");
    modkeep.stop();
    assert!(crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 0).contains(" repo_gone since "));
}

#[test]
fn a_commit_that_no_branch_holds_any_more_is_found_by_a_close_look() {
    let server = GitServer::start(Kind::Full);
    let mut repository = server.repository("github.com/eve/forgets");
    repository.put("go.mod", "module github.com/eve/forgets\n").commit("first").branch("side");
    repository.put("eve.go", "package eve\n").commit("second").save();
    let setup = direct(&server);
    let modkeep = setup.serve();
    let info = modkeep.get("/github.com/eve/forgets/@v/side.info").text();
    let version = info.split('"').find(|word| word.starts_with("v0.0.0-")).unwrap().to_owned();
    assert_eq!(modkeep.get(&format!("/github.com/eve/forgets/@v/{version}.zip")).status, 200);
    modkeep.stop();
    let look = || {
        crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 0);
        crate::ended(&setup.run(&["list", "--broken"]), 0)
    };
    assert!(look().contains("0 broken"));
    repository.git(&["update-ref", "refs/heads/side", "refs/heads/main"]);
    let said = look();
    let told = format!("github.com/eve/forgets@{version} tag_gone since ");
    assert!(said.contains(&told) && said.contains("is in no branch and below no tag"), "{said}");
}

/// A reviewer's find: the commit is there, and the tag that its pseudo-version counts from is not (V-61).
#[test]
fn a_pseudo_version_whose_base_is_gone_is_found_by_a_close_look() {
    let server = GitServer::start(Kind::Full);
    let mut repository = server.repository("github.com/eve/counts");
    repository.put("go.mod", "module github.com/eve/counts\n").commit("first").tag("v1.1.0");
    repository.put("eve.go", "package eve\n").commit("second").save();
    let setup = direct(&server);
    let modkeep = setup.serve();
    let info = modkeep.get("/github.com/eve/counts/@v/main.info").text();
    let version = info.split('"').find(|word| word.starts_with("v1.1.1-0.")).unwrap().to_owned();
    assert_eq!(modkeep.get(&format!("/github.com/eve/counts/@v/{version}.zip")).status, 200);
    modkeep.stop();
    crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 0);
    assert!(crate::ended(&setup.run(&["list", "--broken"]), 0).contains("0 broken"));
    repository.git(&["update-ref", "-d", "refs/tags/v1.1.0"]);
    crate::ended(&setup.run(&["list", "--broken", "--recheck"]), 0);
    let said = crate::ended(&setup.run(&["list", "--broken"]), 0);
    let told = format!("github.com/eve/counts@{version} tag_gone since ");
    assert!(said.contains(&told) && said.contains("preceding tag (v1.1.0) not found"), "{said}");
}

#[test]
fn a_list_that_fails_because_its_repository_is_gone_is_noted() {
    let server = GitServer::start(Kind::Full);
    fated(&server, "vanishes");
    let setup = direct(&server).with("MODKEEP_ORIGIN_LIST_TTL", "0s").with("MODKEEP_ORIGIN_ABSENT_TTL", "0s");
    let modkeep = setup.serve();
    for end in ["@v/v1.0.0.info", "@v/v1.0.0.zip"] {
        assert_eq!(modkeep.get(&format!("/github.com/eve/vanishes/{end}")).status, 200);
    }
    server.fault("eve/vanishes/", Fault::Status(404, Vec::new()));
    let told = || {
        modkeep.get("/github.com/eve/vanishes/@v/list");
        let answer = modkeep.get("/github.com/eve/vanishes/@v/v1.0.0.info");
        answer.header("x-modkeep-origin").map(str::to_owned)
    };
    let begin = std::time::Instant::now();
    while told().as_deref() != Some("repo-gone") {
        assert!(begin.elapsed().as_secs() < 60, "{}", modkeep.said());
        std::thread::sleep(std::time::Duration::from_millis(50)); // a background look has no event to wait for
    }
}

/// What a careless operator's environment may hold, and what of it a plain git would carry to a server.
#[test]
fn hostile_c30_settings_and_secrets_of_the_host_reach_no_child() {
    let server = repositories();
    server.change_kind(Kind::V1); // such servers are the git program's business
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at(".gitconfig"), "[http]\n\textraHeader = X-Canary: file\n").unwrap();
    std::fs::write(at(".netrc"), "default login canary password canary\n").unwrap();
    let environment = [
        ("HOME", home.path().to_str().unwrap().to_owned()),
        ("GIT_CONFIG_GLOBAL", at(".gitconfig")),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "http.extraHeader".to_owned()),
        ("GIT_CONFIG_VALUE_0", "X-Canary: variable".to_owned()),
        ("GIT_TRACE", at("trace")),
        ("GIT_SSH_COMMAND", format!("touch {}", at("ssh"))),
        ("SSH_AUTH_SOCK", at("agent")),
        ("HGRCPATH", at("hgrc")),
    ];
    let carried = || server.asked().iter().any(|asked| asked.header("x-canary").is_some());

    let mut git = std::process::Command::new("git");
    git.args(["ls-remote", "-q", &format!("{}/github.com/bob/net", server.url())]);
    assert!(git.envs(environment.clone()).output().unwrap().status.success());
    assert!(carried() && std::path::Path::new(&at("trace")).exists(), "a plain git carries the canaries");
    std::fs::remove_file(at("trace")).unwrap();
    server.forget();

    let setup = environment.iter().fold(direct(&server), |setup, (name, value)| setup.with(name, value));
    let modkeep = setup.serve();
    for end in ["info", "mod", "zip"] {
        assert_eq!(modkeep.get(&format!("/github.com/bob/net/@v/v1.0.0.{end}")).status, 200);
    }
    assert!(!server.asked().is_empty() && !carried(), "{:?}", server.asked());
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing was written beside .gitconfig and .netrc: {left:?}");
}
