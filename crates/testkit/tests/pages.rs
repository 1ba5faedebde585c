//! The real go command finds repositories through the pages, by names that do not exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use std::process::Command;

use modkeep_testkit::git::Kind;
use modkeep_testkit::pages::Page;
use modkeep_testkit::{GitServer, Go, Pages};

#[test]
fn a_vanity_path_leads_through_a_page_to_the_git_server() {
    let server = GitServer::start(Kind::Full);
    let mut fish = server.repository("github.com/ann/fish");
    fish.put("go.mod", "module vanity.example/fish\n").commit("begin").tag("v1.0.0").save();
    let pages = Pages::start();
    pages.import("vanity.example/fish", "vanity.example/fish git https://github.com/ann/fish");
    pages.page("vanity.example/old", Page::Redirect("https://vanity.example/fish?go-get=1".to_owned()));
    let go = server.instead(pages.before(Go::new("direct", "off")));
    let run = go.run(&["mod", "download", "-json", "vanity.example/fish@v1.0.0"]).expect_ok();
    assert!(run.stdout.contains("\"URL\": \"https://github.com/ann/fish\""), "{}", run.stdout);
    assert_eq!(pages.seen(), ["https://vanity.example/fish?go-get=1"]);
    go.run(&["mod", "download", "vanity.example/none@v1.0.0"]).expect_failure("404");
}

#[test]
fn a_program_can_be_made_to_resolve_the_names() {
    let pages = Pages::start();
    pages.import("vanity.example/fish", "vanity.example/fish git https://github.com/ann/fish");
    let words = pages.resolving();
    let output =
        Command::new(&words[0]).args(&words[1..]).args(["getent", "hosts", "vanity.example"]).output();
    let told = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(told.starts_with("93.184.215.14"), "{told}");
}
