//! Part K of hostile-inputs.md: more than there is room for. What cannot be done is said at once, what is stored is
//! served meanwhile, and when the load is over nothing is left of it.

use std::time::{Duration, Instant};

use modkeep_testkit::client::{allow_descriptors, request, try_request};
use modkeep_testkit::program::Program;
use modkeep_testkit::{Fault, ModuleWorld, Pending, get};

use crate::{assert_sound, mirror_of, upstream_of};

#[test]
fn hostile_k02_beyond_the_queue_it_says_busy_and_serves_what_it_has() {
    allow_descriptors();
    let mut world = ModuleWorld::every_kind();
    for n in 0..200 {
        world.add_library(&format!("cold.example/m{n}"), "v1.0.0");
    }
    let upstream = upstream_of(&world);
    let setup =
        mirror_of(&upstream).with("MODKEEP_ORIGIN_PER_UPSTREAM", "4").with("MODKEEP_ORIGIN_QUEUE_MAX", "16");
    let modkeep = setup.serve();
    let hot = "/birds.example/finch/@v/v0.9.0.zip";
    assert_eq!(modkeep.get(hot).status, 200);
    upstream.fault("/cold.example/", Fault::Hold);
    let url = |n: usize| format!("{}/cold.example/m{n}/@v/v1.0.0.info", modkeep.url());
    let held: Vec<Pending> = (0..20).map(|n| Pending::send(&url(n), 2)).collect();
    let begin = Instant::now();
    // Four under way and sixteen in the queue: only then is the next one too many.
    while modkeep.metric("modkeep_fetch_in_flight", &[]) < 20.0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the crowd never arrived");
        std::thread::sleep(Duration::from_millis(10)); // their arrival is real time
    }
    for n in 20..200 {
        let busy = get(&url(n));
        assert_eq!((busy.status, busy.code()), (503, Some("busy")), "{n}: {}", busy.text());
        assert!(busy.header("retry-after").is_some() && busy.header("cache-control") == Some("no-store"));
        // The row says 50 ms; a debug build on a loaded machine gets ten times that.
        assert!(busy.took < Duration::from_millis(500), "{n}: {:?}", busy.took);
    }
    let mut took: Vec<Duration> = (0..100).map(|_| modkeep.get(hot).took).collect();
    took.sort_unstable();
    assert!(took[98] <= Duration::from_millis(250), "{took:?}");
    upstream.mend();
    for (n, pending) in held.into_iter().enumerate() {
        let answer = pending.finish();
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
    }
    assert_eq!(get(&url(150)).status, 200, "room again");
}

#[test]
fn hostile_k09_without_descriptors_it_waits_and_recovers() {
    const DESCRIPTORS: &str = "--nofile=64:64";
    allow_descriptors();
    let world = ModuleWorld::every_kind();
    let upstream = upstream_of(&world);
    let setup = mirror_of(&upstream).through(&["prlimit", DESCRIPTORS]);
    let modkeep = setup.serve();
    let zip = |module: &str, version: &str| format!("/{module}/@v/{version}.zip");
    let stored = zip("birds.example/finch", "v0.9.0");
    assert_eq!(modkeep.get(&stored).status, 200);
    let crowd: Vec<Pending> =
        (0..120).map(|_| Pending::send(&format!("{}/healthz", modkeep.url()), 3)).collect();
    // Idle connections, each of which holds a descriptor for as long as its client likes.
    let idle: Vec<std::net::TcpStream> =
        (0..120).map(|_| std::net::TcpStream::connect(modkeep.host()).unwrap()).collect();
    for _ in 0..5 {
        for path in [&stored, &zip("example.com/marsh", "v1.0.0")] {
            let url = format!("{}{path}", modkeep.url());
            drop(Pending::send(&url, 4)); // nobody can be promised an answer now
        }
    }
    drop((crowd, idle));
    recovers(&modkeep, &stored);
    recovers(&modkeep, &zip("example.com/marsh", "v1.0.0"));
    let right = &world.release("example.com/marsh", "v1.0.0").zip;
    assert_eq!(&modkeep.get(&zip("example.com/marsh", "v1.0.0")).body, right);
    assert!(!modkeep.said().contains("panicked"), "{}", modkeep.said());
    modkeep.stop();
    // A file that could not be opened is not a damaged file.
    assert_sound(&setup);
}

/// Asks until it answers 200; an answer before that is a clean refusal.
fn recovers(modkeep: &Program, path: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match try_request("GET", &format!("{}{path}", modkeep.url()), &[]) {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => {
                assert!(matches!(answer.status, 0 | 500..=599), "{} {}", answer.status, answer.text());
            }
            Err(_) => {}
        }
        assert!(Instant::now() < deadline, "{path}: no recovery: {}", modkeep.said());
        std::thread::sleep(Duration::from_millis(50)); // descriptors come back in real time
    }
}

#[test]
fn hostile_k10_what_clients_invent_makes_no_series() {
    let upstream = upstream_of(&ModuleWorld::every_kind());
    let setup = mirror_of(&upstream);
    let modkeep = setup.serve();
    let series = || {
        let text = get(&format!("{}/metrics", modkeep.admin())).text();
        let mut names: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name.to_owned()))
            .collect();
        names.sort();
        names
    };
    let round = |n: usize| {
        for path in [
            format!("/host{n}.example/m{n}/@v/list"),
            format!("/host{n}.example/m{n}/@v/branch{n}.info"),
            format!("/host{n}.example/m{n}/@v/v1.0.{n}.zip"),
            format!("/sumdb/db{n}.example/latest"),
            format!("/sumdb/sums.birds.example/lookup/host{n}.example/m{n}@v1.0.{n}"),
            format!("/page{n}"),
            format!("/e/code{n}"),
            format!("/index?since=nonsense{n}"),
        ] {
            let agent = format!("agent/{n}");
            let host = format!("name{n}.example");
            let fields =
                [("User-Agent", agent.as_str()), ("X-Forwarded-Host", &host), ("Accept", "text/plain")];
            let answer = request("GET", &format!("{}{path}", modkeep.url()), &fields);
            assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        }
        for method in [format!("BREW{n}"), "PUT".to_owned()] {
            request(&method, &format!("{}/healthz", modkeep.url()), &[]);
        }
    };
    // Which of the known results a question ends with depends on who answers first, so all are met before.
    (0..40).for_each(round);
    let before = series();
    (40..120).for_each(round);
    let after = series();
    let new: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
    assert!(new.is_empty(), "{new:?}");
    for invented in ["host1", "agent/", "name1", "db1.example", "code1", "BREW"] {
        assert!(!after.iter().any(|name| name.contains(invented)), "{invented} is a label");
    }
}
