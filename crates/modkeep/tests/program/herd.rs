//! T12: a thousand callers, one cold version, one fetch (R18, hostile K01, K11).

use modkeep_testkit::client::allow_descriptors;
use modkeep_testkit::{Fault, ModuleWorld, Pending};

use crate::{mirror_of, upstream_of};

const CALLERS: usize = 1000;

/// Callers of one address: servers bound what one client may have open (hostile-inputs part 1: 256).
const PER_ADDRESS: usize = 200;

fn crowd(url: &str) -> Vec<Pending> {
    let from = |caller: usize| 2 + u8::try_from(caller / PER_ADDRESS).unwrap();
    (0..CALLERS).map(|caller| Pending::send(url, from(caller))).collect()
}

#[test]
fn hostile_k01_a_thousand_callers_of_one_cold_zip_cause_one_fetch() {
    allow_descriptors();
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let path = "/birds.example/finch/@v/v0.9.0.zip";
    upstream.fault(path, Fault::Hold);
    let crowd = crowd(&format!("{}{path}", modkeep.url()));
    upstream.wait_for(path);
    upstream.mend();
    let right = &world.release("birds.example/finch", "v0.9.0").zip;
    for (caller, pending) in crowd.into_iter().enumerate() {
        let answer = pending.finish();
        assert_eq!((answer.status, &answer.body == right), (200, true), "caller {caller}: {}", answer.text());
    }
    assert_eq!(upstream.count(path), 1, "one fetch for all");
    assert_eq!(upstream.count("/db/lookup/"), 1, "one lookup for all");
}

#[test]
fn hostile_k11_callers_that_leave_harm_nobody() {
    allow_descriptors();
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let path = "/example.com/pelican/@v/v1.0.0.zip";
    upstream.fault(path, Fault::Hold);
    let mut crowd = crowd(&format!("{}{path}", modkeep.url()));
    upstream.wait_for(path);
    // The first, who began the fetch, leaves with every second one.
    let mut position = 0;
    crowd.retain(|_| {
        position += 1;
        position % 2 == 0
    });
    upstream.mend();
    let right = &world.release("example.com/pelican", "v1.0.0").zip;
    for pending in crowd {
        let answer = pending.finish();
        assert_eq!((answer.status, &answer.body == right), (200, true));
    }
    assert_eq!(upstream.count(path), 1, "one fetch for all");
}

#[test]
fn lists_and_latest_cost_one_request_in_their_lifetime() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    for path in ["/example.com/tern/@v/list", "/example.com/tern/@latest", "/example.com/no/such/@v/list"] {
        let first = modkeep.get(path);
        (0..50).for_each(|_| assert_eq!(modkeep.get(path).body, first.body));
        assert_eq!(upstream.count(path), 1, "{path}");
    }
}

#[test]
fn a_mod_or_info_never_waits_for_a_zip() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    upstream.fault(".zip", Fault::Hold);
    for end in ["info", "mod"] {
        let answer = modkeep.get(&format!("/birds.example/finch/@v/v0.9.0.{end}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(upstream.count(".zip"), 0, "nothing asked for the zip");
}
