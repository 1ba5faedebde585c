//! Resolution against real pages over TLS, and beside the real go command.

mod differential;
mod hostile;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use modkeep_egress::{AllowRule, Egress, Pace, ProxyEnv, Resolve, Resolving};
use modkeep_module::{ModulePath, Patterns};
use modkeep_store::Clock;
use modkeep_testkit::pages::Page;
use modkeep_testkit::{ManualClock, Pages};

use super::{Probe, Resolver};
use crate::config::{Config, Rewrite, Vanity};
use crate::error::Error;
use crate::place::{Place, Remote, RepositoryPlace, Vcs};

/// Knows every name but those that begin with `absent`, and writes down who was looked up.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Resolve for Names {
    fn resolve(&self, name: &str) -> Resolving {
        self.0.lock().unwrap().push(name.to_owned());
        let answer: IpAddr = "93.184.215.14".parse().unwrap();
        let is_absent = name.starts_with("absent");
        Box::pin(async move {
            if is_absent { Err(std::io::ErrorKind::NotFound.into()) } else { Ok(vec![answer]) }
        })
    }
}

/// A pace that no test meets.
const AT_ONCE: Pace = Pace { per_second: 1e6, burst: 1_000_000 };

/// Pages in front of a resolver.
struct World {
    pages: Pages,
    names: Names,
    clock: Arc<ManualClock>,
    egress: modkeep_egress::Config,
}

impl World {
    fn new() -> Self {
        let pages = Pages::start();
        let names = Names::default();
        let proxy = pages.proxy();
        let egress = modkeep_egress::Config {
            proxies: ProxyEnv::read(|name| {
                name.ends_with("_PROXY").then(|| proxy.clone()).filter(|_| name != "NO_PROXY")
            })
            .unwrap(),
            ca_file: Some(PathBuf::from(pages.certificate_file())),
            resolver: Arc::new(names.clone()),
            pace: AT_ONCE,
            ..modkeep_egress::Config::default()
        };
        Self { pages, names, clock: Arc::new(ManualClock::new()), egress }
    }

    fn resolver(&self, config: &Config) -> Resolver {
        let egress = Egress::new(self.egress.clone()).unwrap();
        Resolver::new(config, egress, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    async fn place(&self, module: &str) -> Result<Place, Error> {
        self.resolver(&Config::default()).place(&path(module), &Nobody).await
    }

    /// The text of the refusal.
    async fn refused(&self, module: &str) -> String {
        match self.place(module).await {
            Err(error) => error.to_string(),
            Ok(place) => panic!("{module} is at {place:?}"),
        }
    }
}

/// Is asked where no test expects it.
struct Nobody;

impl Probe for Nobody {
    fn answers<'a>(&'a self, _: Vcs, remote: &'a Remote) -> BoxFuture<'a, Result<(), Error>> {
        panic!("asked about {}", remote.url);
    }
}

/// Answers by one scheme.
struct Only(&'static str, AtomicUsize);

impl Probe for Only {
    fn answers<'a>(&'a self, _: Vcs, remote: &'a Remote) -> BoxFuture<'a, Result<(), Error>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let answer = if remote.url.scheme() == self.0 {
            Ok(())
        } else {
            Err(Error::NoModule { reason: "not here".to_owned() })
        };
        Box::pin(async move { answer })
    }
}

fn path(module: &str) -> ModulePath {
    ModulePath::parse(module).unwrap()
}

fn git(root: &str, url: &str, subdirectory: &str) -> Place {
    Place::Repository(RepositoryPlace {
        root: root.to_owned(),
        vcs: Vcs::Git,
        url: url.to_owned(),
        subdirectory: subdirectory.to_owned(),
    })
}

#[tokio::test]
async fn a_page_tells_where_a_module_lives() {
    let world = World::new();
    world.pages.import("van.example/fish", "van.example/fish git https://code.example/ann/fish");
    world.pages.import("van.example/fish/sub", "van.example/fish git https://code.example/ann/fish");
    world.pages.import("van.example", "van.example git https://code.example/all");
    world.pages.import("van.example/deep", "van.example/deep git https://code.example/mono go/deep");
    world.pages.import("van.example/proxied", "van.example/proxied mod https://proxy.example/base");
    world.pages.imports(
        "van.example/both",
        &["van.example/both git https://code.example/both", "van.example/both mod https://proxy.example/"],
    );
    let proxy = |base: &str| Place::Proxy { base: base.parse().unwrap() };
    let fish = git("van.example/fish", "https://code.example/ann/fish", "");
    for (module, place) in [
        ("van.example/fish", fish.clone()),
        ("van.example/fish/sub", fish),
        ("van.example", git("van.example", "https://code.example/all", "")),
        ("van.example/deep", git("van.example/deep", "https://code.example/mono", "go/deep")),
        ("van.example/proxied", proxy("https://proxy.example/base")),
        ("van.example/both", proxy("https://proxy.example/")),
        ("github.com/ann/fish/v2", git("github.com/ann/fish", "https://github.com/ann/fish", "")),
        ("van.example/x.git/sub", git("van.example/x.git", "https://van.example/x", "")),
    ] {
        assert_eq!(world.place(module).await.unwrap(), place, "{module}");
    }
}

#[tokio::test]
async fn a_root_is_asked_once_for_all_below_and_answers_are_believed_for_a_while() {
    let world = World::new();
    for address in ["van.example/fish", "van.example/fish/a", "van.example/fish/b"] {
        world.pages.import(address, "van.example/fish git https://code.example/fish");
    }
    let resolver = world.resolver(&Config::default());
    for _ in 0..3 {
        for module in ["van.example/fish/a", "van.example/fish/b"] {
            resolver.place(&path(module), &Nobody).await.unwrap();
        }
        assert!(resolver.place(&path("van.example/none"), &Nobody).await.is_err());
    }
    for (address, times) in [("fish/a", 1), ("fish/b", 1), ("fish?", 1), ("none", 1), ("robots.txt", 1)] {
        assert_eq!(world.pages.count(address), times, "{address}");
    }
    world.clock.advance(std::time::Duration::from_mins(2));
    resolver.place(&path("van.example/fish/a"), &Nobody).await.unwrap();
    assert!(resolver.place(&path("van.example/none"), &Nobody).await.is_err());
    assert_eq!(
        (world.pages.count("fish/a"), world.pages.count("none")),
        (1, 2),
        "no is believed for a minute"
    );
    world.clock.advance(std::time::Duration::from_hours(1));
    resolver.place(&path("van.example/fish/a"), &Nobody).await.unwrap();
    assert_eq!(world.pages.count("fish/a"), 2);
}

#[tokio::test]
async fn trouble_is_never_absence_and_what_was_known_stands_in() {
    let world = World::new();
    for (address, status) in [("s500", 500), ("s503", 503), ("s429", 429), ("s401", 401), ("s403", 403)] {
        world.pages.page(&format!("van.example/{address}"), Page::Body(status, b"x".to_vec()));
    }
    world.pages.page("van.example/hangup", Page::Hangup);
    for (module, is_absence) in [
        ("van.example/none", true),
        ("absent.example/x", true),
        ("van.example/s401", true),
        ("van.example/s403", true),
        ("van.example/s500", false),
        ("van.example/s503", false),
        ("van.example/hangup", false),
        ("van.example/s429", false),
    ] {
        let error = world.place(module).await.unwrap_err();
        assert_eq!(error.is_absence(), is_absence, "{module}: {error}");
    }
    world.pages.import("van.example/fish", "van.example/fish git https://code.example/fish");
    let resolver = world.resolver(&Config::default());
    let known = resolver.place(&path("van.example/fish"), &Nobody).await.unwrap();
    world.pages.page("van.example/fish", Page::Hangup);
    world.clock.advance(std::time::Duration::from_hours(2));
    assert_eq!(resolver.place(&path("van.example/fish"), &Nobody).await.unwrap(), known);
}

#[tokio::test]
async fn insecure_paths_may_do_without_tls() {
    let world = World::new();
    world.pages.import("plain.example/x", "plain.example/x git http://plain.example/x.git");
    world.pages.plain_only("plain.example");
    assert!(world.place("plain.example/x").await.is_err());
    let config = Config { insecure: Patterns::parse("plain.example").unwrap(), ..Config::default() };
    let resolver = world.resolver(&config);
    let place = resolver.place(&path("plain.example/x"), &Nobody).await.unwrap();
    let Place::Repository(place) = place else { panic!("{place:?}") };
    let remote = resolver.remote(&path("plain.example/x"), &place).await.unwrap();
    assert!(remote.insecure && remote.url.as_str() == "http://plain.example/x.git", "{remote:?}");
}

#[tokio::test]
async fn several_schemes_are_tried_in_the_go_command_s_order() {
    let world = World::new();
    let (insecure, ssh) = (Patterns::parse("*.example").unwrap(), Patterns::parse("*.example").unwrap());
    let config = Config { insecure, ssh, ..Config::default() };
    let resolver = world.resolver(&config);
    for (module, scheme, asked) in
        [("a.example/x.git", "https", 1), ("b.example/x.git", "http", 2), ("c.example/x.git", "ssh", 4)]
    {
        let probe = Only(scheme, AtomicUsize::new(0));
        let url = format!("{scheme}://{}", module.strip_suffix(".git").unwrap());
        assert_eq!(resolver.place(&path(module), &probe).await.unwrap(), git(module, &url, ""));
        assert_eq!(probe.1.into_inner(), asked, "{module}");
    }
    let nobody = Only("gopher", AtomicUsize::new(0));
    let error = resolver.place(&path("d.example/x.git"), &nobody).await.unwrap_err();
    assert_eq!(error.to_string(), "no protocol found for repository");
    assert!(world.pages.seen().is_empty(), "no page is asked");
}

#[tokio::test]
async fn what_the_configuration_says_is_asked_of_nobody() {
    let world = World::new();
    let vanity = |prefix: &str, url: &str| Vanity {
        prefix: path(prefix),
        vcs: Vcs::Git,
        url: url.parse().unwrap(),
        subdirectory: String::new(),
    };
    let rewrite = Rewrite {
        prefix: "https://code.example/".to_owned(),
        url: "https://git.corp.example/mirror/".parse().unwrap(),
    };
    let config = Config {
        vanity: vec![
            vanity("own.example", "https://code.example/all"),
            vanity("own.example/a", "https://code.example/a"),
        ],
        rewrites: vec![rewrite],
        ..Config::default()
    };
    let resolver = world.resolver(&config);
    for (module, root, url) in [
        ("own.example/a/b", "own.example/a", "https://code.example/a"),
        ("own.example/ab", "own.example", "https://code.example/all"),
    ] {
        let place = resolver.place(&path(module), &Nobody).await.unwrap();
        assert_eq!(place, git(root, url, ""));
        let Place::Repository(place) = place else { panic!("{place:?}") };
        let remote = resolver.remote(&path(module), &place).await.unwrap();
        assert_eq!(remote.original, url, "the world's URL is what Origin shows");
        assert!(remote.configured && remote.url.as_str().starts_with("https://git.corp.example/mirror/"));
    }
    assert!(world.names.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_asked_to_be_left_alone_is_not_asked_whatever_the_scheme() {
    let mut world = World::new();
    world.egress.opt_out = vec![modkeep_egress::OptOut::parse(".quiet.example").unwrap()];
    let ssh = Patterns::parse("*.example").unwrap();
    let resolver = world.resolver(&Config { ssh, ..Config::default() });
    let error = resolver.place(&path("git.quiet.example/x"), &Nobody).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason, .. } if reason.contains("opt_out")), "{error}");
    for url in ["https://quiet.example/x", "ssh://quiet.example/x"] {
        let place = RepositoryPlace {
            root: "r.example/x".into(),
            vcs: Vcs::Git,
            url: url.into(),
            subdirectory: String::new(),
        };
        let error = resolver.remote(&path("r.example/x"), &place).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }), "{error}");
    }
    assert!(world.names.0.lock().unwrap().is_empty());
}

/// A place that is configured: neither rules nor pace.
fn allowed(host: &str) -> AllowRule {
    AllowRule::parse(&format!("{host}:443")).unwrap()
}
