//! The kit against the real go command: the generated world must behave like the public one before anything
//! that stands on it means something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use modkeep_testkit::{Fault, Go, Lie, ModuleWorld, Site, SumDb, Upstream, names};

const DATABASE: &str = "sums.birds.example";

fn upstream() -> Upstream {
    let world = ModuleWorld::every_kind();
    Upstream::start(Site::of(&world).with_database(SumDb::of(DATABASE, &world)))
}

#[test]
fn every_version_downloads_with_the_sum_that_we_computed() {
    let world = ModuleWorld::every_kind();
    let upstream = Upstream::start(Site::of(&world).with_database(SumDb::of(DATABASE, &world)));
    let go = Go::new(&upstream.url(), &upstream.gosumdb());
    let names: Vec<String> = world.releases().iter().map(|r| format!("{}@{}", r.module, r.version)).collect();
    let mut arguments = vec!["mod", "download", "-json"];
    arguments.extend(names.iter().map(String::as_str));
    let told = go.run(&arguments).expect_ok().stdout;
    for release in world.releases() {
        assert!(
            told.contains(&release.zip_h1.to_string()),
            "{}@{} zip\n{told}",
            release.module,
            release.version
        );
        assert!(told.contains(&release.go_mod_h1.to_string()), "{}@{} mod", release.module, release.version);
    }
}

#[test]
fn the_program_builds_and_names_its_birds() {
    let upstream = upstream();
    let go = Go::new(&upstream.url(), &upstream.key());
    go.run(&["install", &format!("{}/cmd/chirp@latest", names::PROGRAM)]).expect_ok();
    let said = std::process::Command::new(go.bin().join("chirp")).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("example.com/Kingfisher/Reeds@v1.0.0\nexample.com/heron@v3.0.0+incompatible\n"),
        "{said}"
    );
    assert!(upstream.count("/sumdb/sums.birds.example/lookup/") > 0, "the key alone goes through the proxy");
}

#[test]
fn lies_of_the_database_are_seen_by_go() {
    for (lie, said) in [
        (Lie::OtherTree, "checksum mismatch"),
        (Lie::MissingLine, "checksum missing from sumdb response"),
        (Lie::ForgedTiles, "inconsistent tile"),
        (Lie::StaleHead, "cannot validate record"),
        (Lie::Forgetful, "404"),
    ] {
        let upstream = upstream();
        upstream.change(|site| site.database().lie(lie.clone()));
        let go = Go::new(&upstream.url(), &upstream.gosumdb());
        go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure(said);
    }
}

#[test]
fn a_fork_is_seen_by_go() {
    let upstream = upstream();
    let go = Go::new(&upstream.url(), &upstream.gosumdb());
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
    upstream.change(|site| site.database().lie(Lie::OtherTree));
    go.run(&["mod", "download", "example.com/marsh@v1.0.0"]).expect_failure("misbehavior detected");
}

#[test]
fn faults_reach_go_and_end_with_mend() {
    let upstream = upstream();
    for (fault, said) in [
        (Fault::Hangup, "EOF"),
        (Fault::Reset, "reset"),
        (Fault::ShortBody, "unexpected EOF"),
        (Fault::ChunksWithoutEnd, "unexpected EOF"),
        (Fault::Status(503), "503"),
        (Fault::RedirectLoop, "10 redirects"),
        (Fault::HalfAFile, "zip"),
    ] {
        let go = Go::new(&upstream.url(), &upstream.gosumdb());
        upstream.fault("/finch/@v/v0.9.0.zip", fault);
        go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure(said);
        upstream.mend();
        go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
    }
}

#[test]
fn it_stops_and_comes_back_on_the_same_port() {
    let mut upstream = upstream();
    let go = Go::new(&upstream.url(), "off");
    upstream.stop();
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_failure("refused");
    upstream.resume();
    go.run(&["mod", "download", "birds.example/finch@v0.9.0"]).expect_ok();
}
