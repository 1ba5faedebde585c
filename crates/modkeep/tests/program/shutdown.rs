//! T14: SIGTERM stops accepting, lets bodies finish, ends the background cleanly (R17).

use std::time::Duration;

use modkeep_testkit::client::{allow_descriptors, try_request};
use modkeep_testkit::{Fault, ModuleWorld, Pending};

use crate::{assert_sound, mirror_of, upstream_of};

const DOWNLOADS: usize = 200;
const FETCHES: usize = 20;

#[test]
fn no_body_is_cut_and_the_store_is_sound() {
    allow_descriptors();
    let mut world = ModuleWorld::every_kind();
    for n in 0..FETCHES {
        world.add_library(&format!("cold.example/m{n}"), "v1.0.0");
    }
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let mut modkeep = setup.serve();
    let path = "/example.com/pelican/@v/v1.0.0.zip";
    let right = modkeep.get(path).body;
    assert_eq!(right, world.release("example.com/pelican", "v1.0.0").zip);

    // A megabyte does not fit into the sockets' buffers: these are in the middle when the signal comes.
    let url = format!("{}{path}", modkeep.url());
    let mut downloads: Vec<Pending> = (0..DOWNLOADS).map(|_| Pending::send(&url, 2)).collect();
    downloads.iter_mut().for_each(Pending::read_some);
    upstream.fault("/cold.example/", Fault::Hold);
    let cold = |n: usize| format!("{}/cold.example/m{n}/@v/v1.0.0.zip", modkeep.url());
    let fetches: Vec<Pending> = (0..FETCHES).map(|n| Pending::send(&cold(n), 3)).collect();
    (0..FETCHES).for_each(|n| upstream.wait_for(&format!("/cold.example/m{n}/")));

    modkeep.ask_to_stop();
    for (n, download) in downloads.into_iter().enumerate() {
        let answer = download.finish();
        assert!(answer.complete && answer.body == right, "download {n} was cut at {}", answer.body.len());
    }
    upstream.mend();
    for (n, fetch) in fetches.into_iter().enumerate() {
        let answer = fetch.finish();
        let right = &world.release(&format!("cold.example/m{n}"), "v1.0.0").zip;
        let fine = answer.status == 0 || answer.status >= 500 || (answer.complete && &answer.body == right);
        assert!(fine, "fetch {n}: {} {}", answer.status, answer.text());
    }
    let ended = modkeep.wait();
    assert!(ended.success(), "{ended:?}: {}", modkeep.said());
    assert!(try_request("GET", &url, &[]).is_err(), "nobody listens any more");
    assert_sound(&setup);
}

#[test]
fn idle_it_stops_at_once() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    assert_eq!(modkeep.get("/birds.example/finch/@v/v0.9.0.zip").status, 200);
    let begin = std::time::Instant::now();
    assert!(modkeep.stop().success());
    assert!(begin.elapsed() < Duration::from_secs(3), "took {:?}", begin.elapsed());
}

#[test]
fn an_upstream_that_hangs_does_not_keep_it_alive() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream).with("MODKEEP_SERVER_DRAIN", "1s");
    let modkeep = setup.serve();
    upstream.fault("/finch/", Fault::Hold);
    let waiting = Pending::send(&format!("{}/birds.example/finch/@v/v0.9.0.zip", modkeep.url()), 2);
    upstream.wait_for("/finch/");
    let begin = std::time::Instant::now();
    modkeep.stop();
    assert!(begin.elapsed() < Duration::from_secs(10), "took {:?}", begin.elapsed());
    let answer = waiting.finish();
    assert!(answer.status == 0 || answer.status >= 500, "{} {}", answer.status, answer.text());
    assert_sound(&setup);
}
