//! The tunnel with the real git as the child behind it (E03).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use modkeep_egress::{
    AllowRule, Config, Egress, Error, HostPort, Resolve, Resolving, Trust, Tunnel, TunnelLimits,
};
use modkeep_testkit::GitServer;
use modkeep_testkit::git::{Fault, Kind};
use modkeep_testkit::tls::{Authority, Flaw};

/// Answers each question with the next address, and the last one from then on.
struct NameServer {
    answers: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl NameServer {
    fn new(answers: &[&str]) -> Arc<Self> {
        let answers = answers.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolve for NameServer {
    fn resolve(&self, _: &str) -> Resolving {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers[turn.min(self.answers.len() - 1)];
        Box::pin(async move { Ok(vec![answer]) })
    }
}

/// A way out to this server, by a name that only the name server knows.
fn egress(server: &GitServer, names: &Arc<NameServer>) -> (Egress, String) {
    let port = server.host().rsplit_once(':').unwrap().1.to_owned();
    let named = vec![HostPort::parse(&format!("git.example:{port}")).unwrap()];
    let config = Config { named, resolver: Arc::<NameServer>::clone(names), ..Config::default() };
    (Egress::new(config).unwrap(), format!("http://git.example:{port}/fish"))
}

fn fish() -> GitServer {
    let server = GitServer::start(Kind::Full);
    server.repository("fish").put("go.mod", "module example.com/fish\n").commit("begin").tag("v1.0.0").save();
    server
}

fn git(proxy: &str, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("http_proxy", proxy)
        .env("https_proxy", proxy)
        .output()
        .unwrap()
}

/// The tags as git saw them, or what it complained of.
fn ls_remote(proxy: &str, url: &str) -> Result<String, String> {
    let output = git(proxy, &["ls-remote", "--tags", "--", url]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

async fn tunnel(egress: &Egress) -> Tunnel {
    egress.tunnel(TunnelLimits::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_clones_through_it() {
    let (server, names) = (fish(), NameServer::new(&["127.0.0.1"]));
    let (egress, url) = egress(&server, &names);
    let tunnel = tunnel(&egress).await;
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone").to_str().unwrap().to_owned();
    let output = git(&tunnel.url(), &["clone", "-q", "--bare", &url, &clone]);
    assert!(output.status.success(), "{output:?}");
    assert!(tunnel.trouble().is_none());
    assert!(tunnel.bytes() >= server.cost().bytes_out);
    assert_eq!(names.asked(), server.asked().len(), "once for each connection");
    let secret = tunnel.password().to_owned();
    let told = server.asked().into_iter().flat_map(|asked| asked.headers);
    let told: Vec<_> =
        told.filter(|(name, value)| name.starts_with("proxy") || value.contains(&secret)).collect();
    assert_eq!(told, [], "the secret stays here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_speaks_tls_through_it() {
    let repository = fish();
    let authority = Authority::new();
    let server = GitServer::over_tls(repository.folder(), Kind::Full, authority.server(Flaw::None));
    let named = vec![HostPort::parse(&server.host()).unwrap()];
    let egress = Egress::new(Config { named, ..Config::default() }).unwrap();
    let tunnel = tunnel(&egress).await;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), authority.pem()).unwrap();
    let trusted = format!("http.sslCAInfo={}", ca.path().display());
    let url = format!("{}/fish", server.url());
    let output = git(&tunnel.url(), &["-c", &trusted, "ls-remote", "--tags", &url]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("refs/tags/v1.0.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_e03_a_child_reaches_what_we_would_reach_and_nothing_else() {
    let canary = fish();
    let egress = Egress::new(Config::default()).unwrap();
    let tunnel = tunnel(&egress).await;
    for url in [
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "http://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://localhost/x",
        "http://git.example/x",
        "https://git.example:8443/x",
        &format!("{}/fish", canary.url()),
        &format!("https://{}/fish", canary.host()),
    ] {
        let said = ls_remote(&tunnel.url(), url).unwrap_err();
        assert!(said.contains("403"), "{url}: {said}");
    }
    assert!(matches!(tunnel.trouble(), Some(Error::Refused { .. })), "{:?}", tunnel.trouble());
    assert_eq!(canary.cost().requests, 0);
    let insecure = TunnelLimits { trust: Trust::Insecure, ..TunnelLimits::default() };
    let tunnel = egress.tunnel(insecure).await.unwrap();
    let said = ls_remote(&tunnel.url(), "http://10.0.0.1/x").unwrap_err();
    assert!(said.contains("403"), "addresses are vetted over plain http too: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_e03_a_child_gets_the_vetted_address_or_none() {
    // 127.0.0.2 may be contacted, but nobody listens there; 127.0.0.1 may not be, whoever listens.
    let names = NameServer::new(&["127.0.0.2", "127.0.0.1"]);
    let allow = vec![AllowRule::parse("127.0.0.2/32").unwrap()];
    let config = Config { allow, resolver: Arc::<NameServer>::clone(&names), ..Config::default() };
    let egress = Egress::new(config).unwrap();
    let vetted = tunnel(&egress).await;
    let said = ls_remote(&vetted.url(), "https://rebind.example/x").unwrap_err();
    assert!(said.contains("502"), "{said}");
    assert!(matches!(vetted.trouble(), Some(Error::Connect { .. })), "{:?}", vetted.trouble());
    assert_eq!(names.asked(), 1, "what was vetted was dialled, and nobody asked again");
    let rebound = tunnel(&egress).await;
    let said = ls_remote(&rebound.url(), "https://rebind.example/x").unwrap_err();
    assert!(said.contains("403"), "{said}");
    assert!(matches!(rebound.trouble(), Some(Error::Refused { .. })), "{:?}", rebound.trouble());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_secret_nobody_passes() {
    let (server, names) = (fish(), NameServer::new(&["127.0.0.1"]));
    let (egress, url) = egress(&server, &names);
    let tunnel = tunnel(&egress).await;
    for proxy in [
        format!("http://{}", tunnel.address()),
        format!("http://{}:{}@{}", tunnel.user(), "0".repeat(32), tunnel.address()),
    ] {
        let said = ls_remote(&proxy, &url).unwrap_err();
        assert!(said.contains("407"), "{said}");
    }
    assert_eq!((server.cost().requests, names.asked()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_c17_silence_behind_a_tunnel_is_cut() {
    let (server, names) = (fish(), NameServer::new(&["127.0.0.1"]));
    let (egress, url) = egress(&server, &names);
    for fault in [Fault::Silence, Fault::HalfThenSilence] {
        server.fault("info/refs", fault.clone());
        let hasty = TunnelLimits { silence: Duration::from_millis(300), ..TunnelLimits::default() };
        let tunnel = egress.tunnel(hasty).await.unwrap();
        let began = Instant::now();
        assert!(ls_remote(&tunnel.url(), &url).is_err());
        assert!(began.elapsed() < Duration::from_secs(25), "{fault:?}");
        assert!(matches!(tunnel.trouble(), Some(Error::Silent { .. })), "{:?}", tunnel.trouble());
        server.mend();
    }
    assert!(ls_remote(&tunnel(&egress).await.url(), &url).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_cut() {
    let (server, names) = (fish(), NameServer::new(&["127.0.0.1"]));
    let (egress, url) = egress(&server, &names);
    let tunnel = egress.tunnel(TunnelLimits { bytes_max: 100, ..TunnelLimits::default() }).await.unwrap();
    assert!(ls_remote(&tunnel.url(), &url).is_err());
    assert!(matches!(tunnel.trouble(), Some(Error::TooLarge { limit: 100, .. })), "{:?}", tunnel.trouble());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_with_its_owner() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = HostPort::parse(&silent.local_addr().unwrap().to_string()).unwrap();
    let egress = Egress::new(Config { named: vec![place.clone()], ..Config::default() }).unwrap();
    let tunnel = tunnel(&egress).await;
    let (address, login) = (tunnel.address(), base64(&format!("{}:{}", tunnel.user(), tunnel.password())));
    let mut child = TcpStream::connect(address).unwrap();
    write!(child, "CONNECT {place} HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n").unwrap();
    let mut head = [0; 12];
    child.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    drop(tunnel);
    child.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    child.read_to_end(&mut rest).ok();
    assert!(rest.ends_with(b"\r\n\r\n"), "the connection is cut");
    assert!(TcpStream::connect(address).is_err(), "and the port is closed");
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_errand_has_one_turn_of_a_host() {
    let (server, names) = (fish(), NameServer::new(&["127.0.0.1"]));
    let (egress, url) = egress(&server, &names);
    // Two errands hold both turns of the host, however many connections each of them made.
    let (first, second) = (tunnel(&egress).await, tunnel(&egress).await);
    for tunnel in [&first, &second, &first, &second] {
        assert!(ls_remote(&tunnel.url(), &url).is_ok());
    }
    let third = tunnel(&egress).await;
    let (proxy, asked) = (third.url(), url.clone());
    let waiting = tokio::task::spawn_blocking(move || ls_remote(&proxy, &asked));
    let before = server.cost().requests;
    tokio::task::yield_now().await;
    assert_eq!(server.cost().requests, before);
    drop(first);
    assert!(waiting.await.unwrap().is_ok());
}
