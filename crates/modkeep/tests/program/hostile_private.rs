//! Part J of hostile-inputs.md as far as a mirror without logins has it: private names are asked of nobody and
//! shown nowhere, and what is private here is answered from here alone.

use modkeep_testkit::program::Setup;
use modkeep_testkit::{ModuleWorld, Upstream, get};

use crate::{DATABASE, MODKEEP, ended, mirror_of, upstream_of};

/// The library that is private, as its owner has it.
fn inside() -> ModuleWorld {
    let mut world = ModuleWorld::new();
    world.add_library("corp.example/lib", "v1.1.0");
    world.add_library("corp.example/lib", "v1.2.0");
    world
}

/// What a stranger publishes: the same path, a better number, and the database vouches for it.
fn outside() -> ModuleWorld {
    let mut world = ModuleWorld::every_kind();
    world.add_library("corp.example/lib", "v1.9.9");
    world
}

/// Whether anybody was asked about this word.
fn was_asked(upstream: &Upstream, word: &str) -> bool {
    upstream.seen().iter().any(|seen| seen.path.contains(word))
}

/// A mirror that took in the private library from a folder.
fn with_private_library(upstream: &Upstream) -> Setup {
    let setup = mirror_of(upstream)
        .with("MODKEEP_ORIGIN_PRIVATE", "corp.example")
        .with("MODKEEP_VERIFY_UNCHECKED", "corp.example");
    let tree = setup.home().join("tree");
    inside().write_tree(&tree);
    ended(&setup.run(&["import", tree.to_str().unwrap()]), 0);
    setup
}

#[test]
fn hostile_j01_a_public_source_never_adds_to_a_private_module() {
    let upstream = upstream_of(&outside());
    let setup = with_private_library(&upstream);
    let modkeep = setup.serve();
    for reach in ["", "/cached-only"] {
        let list = modkeep.get(&format!("{reach}/corp.example/lib/@v/list"));
        assert_eq!((list.status, list.text().as_str()), (200, "v1.1.0\nv1.2.0\n"));
        let latest = modkeep.get(&format!("{reach}/corp.example/lib/@latest"));
        assert!(latest.status == 200 && latest.text().contains("\"v1.2.0\""), "{}", latest.text());
        for end in ["v1.9.9.info", "v1.9.9.mod", "v1.9.9.zip", "main.info"] {
            let answer = modkeep.get(&format!("{reach}/corp.example/lib/@v/{end}"));
            assert_eq!(answer.status, 404, "{end}: {}", answer.text());
        }
    }
    let zip = modkeep.get("/corp.example/lib/@v/v1.2.0.zip");
    assert_eq!(zip.body, inside().release("corp.example/lib", "v1.2.0").zip);
    assert!(!was_asked(&upstream, "corp.example"), "{:?}", upstream.seen());
}

#[test]
fn hostile_j02_j08_an_import_tells_no_database_a_private_name() {
    let upstream = upstream_of(&outside());
    let setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_PRIVATE", "corp.example");
    let tree = setup.home().join("tree");
    inside().write_tree(&tree);
    let output = setup.run(&["import", tree.to_str().unwrap()]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Nobody vouches for it and nobody said that nobody need: it stays out.
    assert!(!output.status.success() && said.contains("private"), "{said}");
    assert!(!was_asked(&upstream, "corp.example"), "{:?}", upstream.seen());
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/cached-only/corp.example/lib/@v/v1.2.0.zip").status, 404);
}

#[test]
fn hostile_j03_j07_patterns_match_whole_elements_of_the_canonical_path() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_PRIVATE", "corp.example/a/*,*.priv.example");
    let modkeep = setup.serve();
    for (path, is_private) in [
        // The parents of a private path are not covered by its pattern (P section 8), its children are.
        ("corp.example", false),
        ("corp.example/a", false),
        ("corp.example/a/x", true),
        ("corp.example/a/x/y/z", true),
        ("corp.example/a/x/v2", true),
        ("corp.example/%61/x", true),
        ("corp.example/a%2fx", true),
        ("corp.example/ab/x", false),
        ("corp.example/!a/x", false),
        ("corp.example/A/x", true), // refused as malformed
        ("corp.example.com/a/x", false),
        ("git.priv.example/x", true),
        ("git.priv.example", true),
        ("priv.example/x", false),
        ("a.git.priv.example/x", true),
    ] {
        upstream.forget();
        let lookup = format!("/sumdb/{DATABASE}/lookup/{path}@v1.0.0");
        for question in [
            format!("/{path}/@v/list"),
            format!("/{path}/@latest"),
            format!("/{path}/@v/v1.0.0.info"),
            format!("/{path}/@v/main.info"),
            lookup,
        ] {
            let answer = modkeep.get(&question);
            assert!((400..500).contains(&answer.status), "{question}: {} {}", answer.status, answer.text());
        }
        assert_eq!(upstream.seen().is_empty(), is_private, "{path}: {:?}", upstream.seen());
    }
}

#[test]
fn hostile_j08_i02_private_names_stand_in_no_public_output() {
    let upstream = upstream_of(&outside());
    let setup = with_private_library(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/example.com/marsh/@v/v1.0.0.zip").status, 200);
    assert_eq!(modkeep.get("/corp.example/lib/@v/v1.2.0.zip").status, 200);
    assert_eq!(modkeep.get("/corp.example/other/@v/list").status, 404);
    for path in [
        "/sumdb/sums.birds.example/lookup/corp.example/lib@v1.2.0",
        "/cached-only/sumdb/sums.birds.example/lookup/corp.example/lib@v1.2.0",
    ] {
        let answer = modkeep.get(path);
        assert_eq!((answer.status, answer.code()), (403, Some("log-private")), "{path}: {}", answer.text());
        assert!(answer.text().contains("GONOSUMDB"), "{}", answer.text());
    }
    let index = modkeep.get("/index").text();
    assert!(index.contains("example.com/marsh") && !index.contains("corp.example"), "{index}");
    let metrics = get(&format!("{}/metrics", modkeep.admin())).text();
    assert!(!metrics.contains("corp.example/lib"), "a private name is a label");
    // The setup box names the pattern for GOPRIVATE, and nothing below it.
    let front = modkeep.get("/").text();
    assert!(front.contains("example.com/marsh") && !front.contains("corp.example/lib"), "{front}");
    assert!(!modkeep.said().contains("corp.example/lib"), "{}", modkeep.said());
    assert!(!was_asked(&upstream, "corp.example"), "{:?}", upstream.seen());
}

#[test]
fn hostile_j08_what_was_public_before_is_named_no_more() {
    let upstream = upstream_of(&outside());
    let mut setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/corp.example/lib/@v/v1.9.9.zip").status, 200);
    assert_eq!(modkeep.get("/example.com/marsh/@v/v1.0.0.zip").status, 200);
    assert!(modkeep.get("/index").text().contains("corp.example/lib"));
    modkeep.stop();
    setup.set("MODKEEP_ORIGIN_PRIVATE", "corp.example");
    let modkeep = setup.serve();
    for page in ["/index", "/"] {
        let text = modkeep.get(page).text();
        assert!(text.contains("example.com/marsh") && !text.contains("corp.example/lib"), "{page}: {text}");
    }
}

#[test]
fn hostile_j19_overlaps_and_empty_lists_never_open_anything() {
    let upstream = upstream_of(&outside());
    // Private and unchecked overlap, one of them by a wider pattern; the empty list allows no address.
    let setup = mirror_of(&upstream)
        .with("MODKEEP_ORIGIN_PRIVATE", "corp.example/lib,corp.example")
        .with("MODKEEP_VERIFY_UNCHECKED", "*.example/lib")
        .with("MODKEEP_EGRESS_ALLOW", "");
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/corp.example/lib/@v/v1.9.9.zip").status, 404);
    assert!(!was_asked(&upstream, "corp.example"), "{:?}", upstream.seen());
    let file = setup.home().join("modkeep.toml");
    std::fs::write(&file, "[origin]\nprivate = [\"corp.example\", \"git.corp.example/[\"]\n").unwrap();
    let said = ended(&Setup::new(MODKEEP).run(&["config", "check", "--config", file.to_str().unwrap()]), 10);
    assert!(said.contains("modkeep.toml:2") && said.contains("git.corp.example/["), "{said}");
}

#[test]
fn hostile_j20_a_fresh_install_opens_loopback_and_has_no_password() {
    let setup = Setup::new(MODKEEP);
    let shown = ended(&setup.run(&["config", "show"]), 0);
    for key in ["listen = [\"localhost:8080\"]", "admin_listen = \"127.0.0.1:8081\"", "allow = []"] {
        assert!(shown.contains(key), "{key}: {shown}");
    }
    for word in ["password", "secret", "token"] {
        assert!(!shown.to_lowercase().contains(word), "{word}: {shown}");
    }
    // No name, no path of a default administrator.
    let upstream = upstream_of(&ModuleWorld::new());
    let modkeep = mirror_of(&upstream).serve();
    for path in ["/admin", "/login", "/setup", "/api", "/metrics", "/debug"] {
        assert_eq!(modkeep.get(path).status, 404, "{path}");
    }
    assert!(modkeep.admin().starts_with("http://127.0.0.1:"), "{}", modkeep.admin());
}
