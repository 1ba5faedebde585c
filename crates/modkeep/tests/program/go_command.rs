//! The real go command through modkeep, checksum verification on: with the upstream up, with it gone, and
//! from an exported tree.

use std::process::Command;

use modkeep_testkit::program::{Program, Setup};
use modkeep_testkit::tls::{Authority, Flaw};
use modkeep_testkit::{Go, ModuleWorld, Site, Upstream, names};

use crate::{MODKEEP, assert_sound, ended, mirror_of, upstream, upstream_of};

/// What the program of the generated world prints, complete.
const BIRDS: &str = "example.com/Kingfisher/Reeds@v1.0.0
example.com/heron@v3.0.0+incompatible
example.com/wader@v0.0.0-20260102030405-abcdef012345
gopkg.in/plover.v2@v2.1.3
birds.example/finch@v0.9.0
example.com/marsh@v1.0.0
example.com/marsh/pool@v0.2.0
example.com/tern@v1.5.2
example.com/tern/v3@v3.1.0
swift
example.com/oldcrow@v0.3.0
";

/// A visitor's own program, which imports the library of the world and one package more.
fn visit(go: &Go) {
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.21\n");
    let main = "package main\n\nimport (\n\t\"os\"\n\n\t\"example.com/aviary\"\n\t\"example.com/egret\"\n)\n\n\
                func main() {\n\tfor _, bird := range aviary.Birds() {\n\t\tos.Stdout.WriteString(bird + \"\\n\")\n\t}\n\
                \t_ = egret.Name()\n}\n";
    go.write("main.go", main);
}

/// Every go command that a developer runs, from an empty folder to a built program.
#[track_caller]
fn a_working_day(go: &Go) {
    visit(go);
    go.run(&["get", "example.com/aviary@latest", "example.com/egret"]).expect_ok();
    go.run(&["mod", "tidy"]).expect_ok();
    go.run(&["mod", "download"]).expect_ok();
    let verified = go.run(&["mod", "verify"]).expect_ok();
    assert!(verified.stdout.contains("all modules verified"), "{}", verified.stdout);
    let built = go.run(&["run", "."]).expect_ok();
    assert_eq!(built.stdout, BIRDS);
    let updates = go.run(&["list", "-m", "-u", "all"]).expect_ok();
    assert!(updates.stdout.contains("example.com/tern v1.5.2\n"), "{}", updates.stdout);
    go.run(&["install", "example.com/aviary/cmd/chirp@v1.0.0"]).expect_ok();
    go.run(&["install", "example.com/aviary/cmd/chirp@latest"]).expect_ok();
    let chirp = Command::new(go.bin().join("chirp")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&chirp.stdout), BIRDS);
    let sums = std::fs::read_to_string(go.work().join("go.sum")).unwrap();
    assert!(
        sums.contains(&ModuleWorld::every_kind().release(names::LEGACY, "v0.3.0").zip_h1.to_string()),
        "{sums}"
    );
}

#[test]
fn a_working_day_with_the_database_asked_directly() {
    let mut upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let database = upstream.gosumdb();
    a_working_day(&Go::new(modkeep.url(), &database));

    // The go command asks the database itself here, so that has to stay; every module comes from the store.
    upstream.fault("/@", modkeep_testkit::Fault::Status(503));
    a_working_day(&Go::new(modkeep.url(), &database));

    upstream.stop();
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn a_working_day_through_the_relay_and_again_with_everybody_gone() {
    let mut upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    upstream.forget();
    a_working_day(&Go::new(modkeep.url(), &upstream.key()));
    upstream.stop();

    a_working_day(&Go::new(modkeep.url(), &upstream.key()));
    modkeep.stop();

    // After a restart nothing is left but the disk.
    let modkeep = setup.serve();
    a_working_day(&Go::new(modkeep.url(), &upstream.key()));
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn every_version_of_every_kind_downloads_with_its_sum() {
    let world = ModuleWorld::every_kind();
    let mut upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let wanted: Vec<String> =
        world.releases().iter().map(|r| format!("{}@{}", r.module, r.version)).collect();
    let mut arguments = vec!["mod", "download", "-json"];
    arguments.extend(wanted.iter().map(String::as_str));
    for round in ["upstream up", "upstream gone"] {
        let go = Go::new(modkeep.url(), &upstream.key());
        let told = go.run(&arguments).expect_ok().stdout;
        for release in world.releases() {
            let (zip, go_mod) = (release.zip_h1.to_string(), release.go_mod_h1.to_string());
            assert!(
                told.contains(&zip) && told.contains(&go_mod),
                "{round}: {}@{}",
                release.module,
                release.version
            );
        }
        upstream.stop();
    }
}

#[test]
fn files_are_those_of_the_upstream_byte_for_byte() {
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for (path, bytes) in world.files() {
        let answer = modkeep.get(&format!("/{path}"));
        assert_eq!((answer.status, answer.body == bytes), (200, true), "{path}: {}", answer.text());
    }
}

#[test]
fn versions_deprecation_and_retraction_reach_the_developer() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let go = Go::new(modkeep.url(), &upstream.key());
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.21\n");
    let got = go.run(&["get", "example.com/dodo@v1.0.0", "example.com/swift@v1.5.0"]).expect_ok();
    assert!(got.stderr.contains("module example.com/dodo is deprecated: it could not fly"), "{}", got.stderr);
    assert!(got.stderr.contains("retracted by module author: Flew into a window."), "{}", got.stderr);
    let versions = go.run(&["list", "-m", "-versions", names::MAJORS]).expect_ok();
    assert_eq!(versions.stdout, "example.com/tern v1.5.2 v1.5.3-pre1\n");
    let listed = go.run(&["list", "-m", "-u", "-retracted", "all"]).expect_ok();
    assert!(listed.stdout.contains("[v1.7.0]"), "{}", listed.stdout);
    let latest = go.run(&["list", "-m", "example.com/swift@latest"]).expect_ok();
    assert_eq!(latest.stdout, "example.com/swift v1.7.0\n");
}

#[test]
fn a_toolchain_is_checked_and_served_like_any_module() {
    let mut upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let wanted = format!("{}@{}", names::TOOLCHAIN, names::TOOLCHAIN_VERSION);
    // The go command looks toolchains up in the database even where it is told to check nothing (P-107).
    let go = Go::new(modkeep.url(), &upstream.key()).with("GONOSUMDB", "*");
    go.run(&["mod", "download", &wanted]).expect_ok();
    upstream.stop();
    let go = Go::new(modkeep.url(), &upstream.key()).with("GONOSUMDB", "*");
    go.run(&["mod", "download", &wanted]).expect_ok();
}

#[test]
fn a_package_inside_a_stored_module_is_found_with_the_upstream_gone() {
    let mut upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    Go::new(modkeep.url(), &upstream.key())
        .run(&["install", "example.com/aviary/cmd/chirp@v1.1.0"])
        .expect_ok();
    upstream.stop();
    // The go command probes example.com/aviary/cmd and …/chirp too; only a 404 there lets it go on (D9).
    Go::new(modkeep.url(), &upstream.key())
        .run(&["install", "example.com/aviary/cmd/chirp@v1.1.0"])
        .expect_ok();
    let go = Go::new(modkeep.url(), &upstream.key());
    go.write("go.mod", "module visitor.example/walk\n\ngo 1.21\n");
    go.run(&["get", "example.com/aviary/cmd/chirp@v1.1.0"]).expect_ok();
}

#[test]
fn a_new_version_appears_when_its_list_is_asked_again() {
    let mut world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream).with("MODKEEP_ORIGIN_LIST_TTL", "1s");
    let modkeep = setup.serve();
    let latest = |go: &Go| go.run(&["list", "-m", "example.com/marsh@latest"]).expect_ok().stdout;
    assert_eq!(latest(&Go::new(modkeep.url(), &upstream.key())), "example.com/marsh v1.0.0\n");
    world.add_library(names::OUTER, "v1.1.0");
    upstream.change(|site| site.publish(&world));
    // Asked for by name it is there at once (R23); the list may be served stale one last time.
    Go::new(modkeep.url(), &upstream.key()).run(&["mod", "download", "example.com/marsh@v1.1.0"]).expect_ok();
    let newest = (0..40).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100)); // the lifetime is real time
        latest(&Go::new(modkeep.url(), &upstream.key())).contains("v1.1.0")
    });
    assert!(newest, "the list never learned of v1.1.0");
}

#[test]
fn an_exported_tree_serves_go_without_us() {
    let upstream = upstream();
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    a_working_day(&Go::new(modkeep.url(), &upstream.key()));
    modkeep.stop();
    let tree = setup.home().join("tree");
    ended(&setup.run(&["export", "--out", tree.to_str().unwrap()]), 0);

    let database = upstream.gosumdb();
    a_working_day(&Go::new(&format!("file://{}", tree.display()), &database));
    let server = Upstream::start(Site::tree(&tree));
    a_working_day(&Go::new(&server.url(), &database));
}

#[test]
fn another_mirrors_tree_is_an_upstream_as_file_url() {
    let world = ModuleWorld::every_kind();
    let database = upstream_of(&world);
    let setup = Setup::new(MODKEEP);
    let tree = setup.home().join("elsewhere");
    world.write_tree(&tree);
    let setup = setup
        .with("MODKEEP_ORIGIN_UPSTREAM", &format!("file://{}", tree.display()))
        .with("MODKEEP_VERIFY_LOG", &database.gosumdb());
    let modkeep = setup.serve();
    a_working_day(&Go::new(modkeep.url(), &database.gosumdb()));
    modkeep.stop();
    assert_sound(&setup);
}

#[test]
fn a_module_cache_is_imported_and_serves_alone() {
    let mut upstream = upstream();
    let go = Go::new(&upstream.url(), &upstream.gosumdb());
    a_working_day(&go);
    let setup = mirror_of(&upstream);
    ended(&setup.run(&["import", go.module_cache().to_str().unwrap()]), 0);
    // Again: resumable, and nothing is taken twice.
    ended(&setup.run(&["import", go.module_cache().to_str().unwrap()]), 0);
    assert_sound(&setup);
    upstream.fault("/@", modkeep_testkit::Fault::Status(500));
    let modkeep = setup.serve();
    builds_from_its_go_sum(&go, &modkeep, &upstream.gosumdb());
    upstream.stop();
}

#[test]
fn a_go_sum_is_prefetched_and_builds_unplugged() {
    let mut upstream = upstream();
    let go = Go::new(&upstream.url(), &upstream.gosumdb());
    a_working_day(&go);
    let setup = mirror_of(&upstream);
    ended(&setup.run(&["prefetch", go.work().join("go.sum").to_str().unwrap()]), 0);
    upstream.stop();
    let modkeep = setup.serve();
    builds_from_its_go_sum(&go, &modkeep, &upstream.key());
}

/// A colleague checks the project out and builds it, with go.mod and go.sum as they are.
#[track_caller]
fn builds_from_its_go_sum(project: &Go, modkeep: &Program, sumdb: &str) {
    let colleague = Go::new(modkeep.url(), sumdb);
    colleague.copy_in(&project.work());
    assert_eq!(colleague.run(&["run", "."]).expect_ok().stdout, BIRDS);
    colleague.run(&["mod", "verify"]).expect_ok();
}

#[test]
fn over_tls_with_http2_and_a_certificate_of_our_own() {
    let mut upstream = upstream();
    let authority = Authority::new();
    let tls = authority.server(Flaw::None);
    let setup = mirror_of(&upstream);
    let file = |name: &str, text: &str| {
        let path = setup.home().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key, roots) =
        (file("cert.pem", tls.pem().0), file("key.pem", tls.pem().1), file("roots.pem", authority.pem()));
    let setup = setup.with("MODKEEP_SERVER_TLS_CERT", &certificate).with("MODKEEP_SERVER_TLS_KEY", &key);
    let modkeep = setup.serve();
    assert!(modkeep.url().starts_with("https://"), "{}", modkeep.url());
    let go = || Go::new(modkeep.url(), &upstream.key()).with("SSL_CERT_FILE", &roots);
    a_working_day(&go());
    let (spoken, go) = (Go::new(modkeep.url(), &upstream.key()), go().with("GODEBUG", "http2debug=1"));
    let run = go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
    assert!(
        run.stderr.contains("http2: Framer") || run.stderr.contains("http2: Transport"),
        "{}",
        run.stderr
    );
    spoken.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure("certificate");
    upstream.stop();
}
