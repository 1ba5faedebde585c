//! The client against the real git, and against servers that break their word.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use modkeep_egress::{Config, Credentials, HostPort};
use modkeep_testkit::GitServer;
use modkeep_testkit::git::{Fault, Kind};
use modkeep_testkit::tls::{Authority, Flaw};
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::place::Login;

/// Patience enough for a real git on a busy machine.
const PATIENT: WireLimits = WireLimits {
    refs_bytes_max: 64 << 20,
    refs_max: 350_000,
    fetch_bytes_max: 2 << 30,
    total: Duration::from_mins(1),
    silence: Duration::from_secs(30),
};
/// For servers that would use it up.
const HASTY: WireLimits = WireLimits { silence: Duration::from_secs(2), ..PATIENT };

fn egress(named: &[&GitServer]) -> Egress {
    let named = named.iter().map(|server| HostPort::parse(&server.host()).unwrap()).collect();
    Egress::new(Config { named, ..Config::default() }).unwrap()
}

fn remote(url: &str) -> Remote {
    Remote {
        original: url.to_owned(),
        url: Url::parse(url).unwrap(),
        login: None,
        insecure: false,
        configured: false,
    }
}

fn wire(server: &GitServer, path: &str) -> Wire {
    Wire::new(egress(&[server]), remote(&format!("{}/{path}", server.url())), PATIENT)
}

/// A server with `fish`: two commits on `main`, a file in each, a light tag and an annotated one.
fn fish(kind: Kind) -> (GitServer, String, String) {
    let server = GitServer::start(kind);
    let mut fish = server.repository("fish");
    fish.put("go.mod", "module example.com/fish\n").put("a/b.txt", "one\n").commit("begin").tag("v1.0.0");
    fish.put("a/b.txt", "two\n").commit("grow").annotated("v1.1.0");
    let (first, second) = (fish.id("v1.0.0"), fish.id("main"));
    (server, first, second)
}

fn ask(wants: &[&str]) -> FetchAsk {
    let wants = wants.iter().map(|id| (*id).into()).collect();
    FetchAsk { wants, ..FetchAsk::default() }
}

async fn pack(mut fetched: Fetched) -> Result<Vec<u8>, WireError> {
    let mut pack = Vec::new();
    while let Some(chunk) = fetched.chunk().await? {
        pack.extend_from_slice(&chunk);
    }
    assert!(fetched.chunk().await.unwrap().is_none(), "an end is an end");
    Ok(pack)
}

/// A bare repository that takes packs, and says what kinds of objects it holds.
struct Taker(TempDir);

impl Taker {
    fn new(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let taker = Self(folder);
        taker.git(&["init", "-q", "--bare", "--object-format", format], b"");
        taker
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Takes a pack that stands on nothing outside itself.
    fn take(&self, pack: &[u8]) -> BTreeMap<String, usize> {
        self.git(&["index-pack", "--stdin"], pack);
        let objects = self.git(&["cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"], b"");
        objects.lines().fold(BTreeMap::new(), |mut counts, kind| {
            *counts.entry(kind.to_owned()).or_default() += 1;
            counts
        })
    }
}

fn counts(kinds: &[(&str, usize)]) -> BTreeMap<String, usize> {
    kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[tokio::test]
async fn a_version_costs_three_requests() {
    let (server, first, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    let refs = wire.ls_refs(&[]).await.unwrap();
    let told: Vec<_> = refs.refs.iter().map(|one| (&*one.name, &*one.id)).collect();
    let tag = &*refs.refs[3].id;
    assert_eq!(
        told,
        [
            ("HEAD", &*second),
            ("refs/heads/main", &second),
            ("refs/tags/v1.0.0", &first),
            ("refs/tags/v1.1.0", tag)
        ]
    );
    assert_eq!(refs.refs[3].peeled.as_deref(), Some(&*second), "an annotated tag is peeled");
    assert_eq!(refs.head_target.as_deref(), Some("refs/heads/main"));
    let fetched = wire.fetch(&FetchAsk { depth: Some(1), ..ask(&[&second]) }).await.unwrap();
    assert_eq!((fetched.shallow.clone(), fetched.unshallow.clone()), (vec![Arc::from(&*second)], vec![]));
    let kinds = Taker::new("sha1").take(&pack(fetched).await.unwrap());
    assert_eq!(kinds, counts(&[("commit", 1), ("tree", 2), ("blob", 2)]));
    assert_eq!(server.cost().requests, 3, "{}", server.told());
    assert!(server.asked().iter().all(|asked| asked.git_protocol() == Some("version=2")));
    assert!(server.asked()[0].header("user-agent").unwrap().starts_with("modkeep/"));
}

#[tokio::test]
async fn prefixes_keep_other_refs_at_home() {
    let (server, ..) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    for (prefixes, names) in [
        (&["refs/tags/"][..], &["refs/tags/v1.0.0", "refs/tags/v1.1.0"][..]),
        (&["refs/tags/v1.0.0"], &["refs/tags/v1.0.0"]),
        (&["HEAD", "refs/heads/main"], &["HEAD", "refs/heads/main"]),
        (&["refs/tags/nothing"], &[]),
        (&["refs/tags/\nref-prefix refs/heads/"], &["HEAD"]),
    ] {
        let refs = wire.ls_refs(prefixes).await.unwrap();
        let found: Vec<_> = refs.refs.iter().map(|one| &*one.name).collect();
        assert_eq!(found, names, "{prefixes:?}");
    }
}

#[tokio::test]
async fn a_repository_of_longer_ids_and_one_without_commits() {
    let server = GitServer::start(Kind::Full);
    let mut long = server.repository_sha256("long");
    long.put("go.mod", "module example.com/long\n").commit("begin").tag("v1.0.0");
    let id = long.id("v1.0.0");
    let long = wire(&server, "long");
    let empty = wire(&server, "empty");
    assert_eq!(long.capabilities().await.unwrap().object_format, ObjectFormat::Sha256);
    assert_eq!(&*long.ls_refs(&["refs/tags/"]).await.unwrap().refs[0].id, id);
    let kinds = Taker::new("sha256").take(&pack(long.fetch(&ask(&[&id])).await.unwrap()).await.unwrap());
    assert_eq!(kinds, counts(&[("commit", 1), ("tree", 1), ("blob", 1)]));

    server.repository("empty");
    let refs = empty.ls_refs(&[]).await.unwrap();
    assert_eq!((refs.refs.len(), refs.head_target.as_deref()), (0, Some("refs/heads/main")));
}

#[tokio::test]
async fn filters_leave_things_out() {
    let (server, _, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    for (filter, depth, kinds) in [
        (Filter::Trees(0), None, &[("commit", 2)][..]),
        (Filter::Trees(1), Some(1), &[("commit", 1), ("tree", 1)]),
        (Filter::Trees(2), Some(1), &[("commit", 1), ("tree", 2), ("blob", 1)]),
    ] {
        let asked = FetchAsk { filter: Some(filter), depth, ..ask(&[&second]) };
        let found = pack(wire.fetch(&asked).await.unwrap()).await.unwrap();
        assert_eq!(Taker::new("sha1").take(&found), counts(kinds), "{filter:?}");
    }
}

#[tokio::test]
async fn what_is_here_does_not_come_again_and_no_pack_is_thin() {
    let (server, first, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    let taker = Taker::new("sha1");
    let shallow = FetchAsk { depth: Some(1), ..ask(&[&first]) };
    taker.take(&pack(wire.fetch(&shallow).await.unwrap()).await.unwrap());
    let before = taker.git(&["count-objects", "-v"], b"");
    let more = FetchAsk { haves: vec![first.as_str().into()], ..ask(&[&second]) };
    let found = pack(wire.fetch(&more).await.unwrap()).await.unwrap();
    assert_eq!(
        Taker::new("sha1").take(&found),
        counts(&[("commit", 1), ("tree", 2), ("blob", 1)]),
        "{before}"
    );
}

#[tokio::test]
async fn a_cut_history_is_mended_by_asking_deeper() {
    let (server, first, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    let deeper = FetchAsk {
        haves: vec![second.as_str().into()],
        shallow: vec![second.as_str().into()],
        depth: Some(2_147_483_647),
        ..ask(&[&second])
    };
    let fetched = wire.fetch(&deeper).await.unwrap();
    assert_eq!((fetched.shallow.clone(), fetched.unshallow.clone()), (vec![], vec![Arc::from(&*second)]));
    assert!(server.asked()[1].text().contains("deepen 2147483647"));
    let taker = Taker::new("sha1");
    assert_eq!(taker.take(&pack(fetched).await.unwrap())["commit"], 1);
    assert_eq!(taker.git(&["cat-file", "-t", &first], b"").trim(), "commit");
}

#[tokio::test]
async fn a_long_question_is_compressed_and_understood() {
    let (server, _, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    // The real git passes over haves that it does not know.
    let haves = (0..500).map(|n| format!("{n:040x}").into()).collect();
    let asked = FetchAsk { haves, ..ask(&[&second]) };
    let found = pack(wire.fetch(&asked).await.unwrap()).await.unwrap();
    assert_eq!(Taker::new("sha1").take(&found)["commit"], 2);
    let asked = &server.asked()[1];
    assert_eq!(asked.header("content-encoding"), Some("gzip"));
    assert!(asked.bytes_in * 3 < asked.body.len() as u64, "{}", server.told());
}

#[tokio::test]
async fn an_advertisement_may_begin_as_in_version_0() {
    let (server, ..) = fish(Kind::Full);
    let lines = b"001e# service=git-upload-pack\n0000000eversion 2\n000bls-refs000dfetch=a b0000";
    server.fault_times("info/refs", Fault::Instead(lines.to_vec()), 1);
    let wire = wire(&server, "fish");
    assert!(!wire.capabilities().await.unwrap().filter);
    assert_eq!(wire.ls_refs(&["refs/tags/"]).await.unwrap().refs.len(), 2);
}

#[tokio::test]
async fn servers_of_other_ages_are_told_apart() {
    for kind in [Kind::V0, Kind::V1, Kind::Dumb] {
        let (server, ..) = fish(kind);
        let error = wire(&server, "fish").ls_refs(&[]).await.unwrap_err();
        assert!(matches!(error, WireError::NotV2), "{kind:?}: {error}");
        assert_eq!(server.cost().requests, 1, "{}", server.told());
    }
    let (server, _, second) = fish(Kind::NoFilter);
    let wire = wire(&server, "fish");
    let filtered = FetchAsk { filter: Some(Filter::Trees(0)), ..ask(&[&second]) };
    let error = wire.fetch(&filtered).await.unwrap_err();
    assert!(matches!(error, WireError::FilterRefused { .. }), "{error}");
    assert!(!wire.capabilities().await.unwrap().filter);
    assert_eq!(server.cost().requests, 1, "it is not even asked: {}", server.told());
}

type Check = fn(&WireError) -> bool;

#[tokio::test]
async fn what_the_server_says_instead_of_an_answer_is_sorted() {
    let (server, _, second) = fish(Kind::Full);
    let page = |status| Fault::Status(status, vec![("Content-Type".to_owned(), "text/html".to_owned())]);
    let wait = Fault::Status(429, vec![("Retry-After".to_owned(), "7".to_owned())]);
    let table: [(Fault, Check); 6] = [
        (page(200), |e| matches!(e, WireError::NotGit)),
        (page(401), |e| matches!(e, WireError::Other(Error::Login { .. }))),
        (page(403), |e| matches!(e, WireError::Other(Error::Login { .. }))),
        (page(404), |e| matches!(e, WireError::Other(Error::NoModule { .. }))),
        (page(500), |e| matches!(e, WireError::Other(Error::Trouble { .. }))),
        (
            wait,
            |e| matches!(e, WireError::Other(Error::Throttled { retry_after, .. }) if retry_after.as_secs() == 7),
        ),
    ];
    for (fault, check) in table {
        server.fault("info/refs", fault.clone());
        let error = wire(&server, "fish").ls_refs(&[]).await.unwrap_err();
        assert!(check(&error), "{fault:?}: {error:?}");
        server.mend();
    }
    let said = |bytes: &[u8]| Fault::Instead(bytes.to_vec());
    let table: [(Fault, Check); 7] = [
        (
            said(b"0032ERR upload-pack: not our ref 0123456789abcdef\n"),
            |e| matches!(e, WireError::WantRefused { text } if text.starts_with("upload-pack: not our ref")),
        ),
        (said(b"0023ERR filter 'tree' not supported"), |e| matches!(e, WireError::FilterRefused { .. })),
        (said(b""), |e| matches!(e, WireError::FilterRefused { .. })),
        (said(b"000eERR no way"), |e| matches!(e, WireError::Said { text } if text == "no way")),
        (
            said(b"000dpackfile\n000d\x03oh\x1b[1m \n0000"),
            |e| matches!(e, WireError::Said { text } if text == "oh[1m"),
        ),
        (said(b"000dpackfile\n0005\x01"), |e| matches!(e, WireError::Other(Error::Malformed { .. }))),
        (said(b"000dpackfile\n0006\x04x0000"), |e| matches!(e, WireError::Other(Error::Malformed { .. }))),
    ];
    for (fault, check) in table {
        server.fault("/git-upload-pack", fault.clone());
        let wire = Wire::new(egress(&[&server]), remote(&format!("{}/fish", server.url())), PATIENT);
        wire.capabilities().await.unwrap_or_else(|error| panic!("{error:?}"));
        let filtered = FetchAsk { filter: Some(Filter::Trees(0)), ..ask(&[&second]) };
        let answer = match wire.fetch(&filtered).await {
            Ok(fetched) => pack(fetched).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(answer.as_ref().is_err_and(check), "{fault:?}: {answer:?}");
        server.mend();
    }
}

#[tokio::test]
async fn an_unknown_want_is_refused_by_the_real_git() {
    let (server, ..) = fish(Kind::Full);
    let unknown = "0123456789012345678901234567890123456789";
    let error = wire(&server, "fish").fetch(&ask(&[unknown])).await.unwrap_err();
    assert!(matches!(error, WireError::WantRefused { .. }), "{error:?}");
    let error = wire(&server, "fish").fetch(&ask(&["main\n0000"])).await.unwrap_err();
    assert!(matches!(error, WireError::WantRefused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_moves_all_that_follows() {
    let (there, ..) = fish(Kind::Full);
    let here = GitServer::start(Kind::Full);
    here.fault("info/refs", Fault::RedirectTo(there.url()));
    let wire = Wire::new(egress(&[&here, &there]), remote(&format!("{}/fish", here.url())), PATIENT);
    for _ in 0..2 {
        assert_eq!(wire.ls_refs(&["refs/tags/"]).await.unwrap().refs.len(), 2);
    }
    assert_eq!((here.cost().requests, there.cost().requests), (1, 3), "{}", there.told());
    assert!(there.asked().iter().all(|asked| asked.git_protocol() == Some("version=2")));
}

/// Two servers under TLS that one egress trusts; the first wants a login.
struct Pair {
    here: GitServer,
    there: GitServer,
    authority: Authority,
    _repository: GitServer,
}

impl Pair {
    fn new() -> Self {
        let (repository, ..) = fish(Kind::Full);
        let authority = Authority::new();
        let start = || GitServer::over_tls(repository.folder(), Kind::Full, authority.server(Flaw::None));
        let (here, there) = (start(), start());
        here.require_login("ann", "s3cret");
        Self { here, there, authority, _repository: repository }
    }

    fn wire(&self, named: &[&GitServer], password: &str) -> (Wire, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let ca: PathBuf = folder.path().join("ca.pem");
        std::fs::write(&ca, self.authority.pem()).unwrap();
        let named = named.iter().map(|server| HostPort::parse(&server.host()).unwrap()).collect();
        let egress = Egress::new(Config { named, ca_file: Some(ca), ..Config::default() }).unwrap();
        let login = Credentials::Basic { user: "ann".into(), password: password.into() };
        let url = format!("{}/fish", self.here.url());
        let remote = Remote { login: Some(Login::Http(login)), ..remote(&url) };
        (Wire::new(egress, remote, PATIENT), folder)
    }
}

#[tokio::test]
async fn a_login_opens_its_own_host() {
    let pair = Pair::new();
    let (wire, _folder) = pair.wire(&[&pair.here], "s3cret");
    assert_eq!(wire.ls_refs(&["refs/tags/"]).await.unwrap().refs.len(), 2);
    let (wire, _folder) = pair.wire(&[&pair.here], "wrong");
    let error = wire.ls_refs(&[]).await.unwrap_err();
    assert!(matches!(error, WireError::Other(Error::Login { .. })), "{error:?}");
}

#[tokio::test]
async fn hostile_c05_a_redirect_is_judged_and_gets_no_login() {
    let pair = Pair::new();
    pair.here.fault("info/refs", Fault::RedirectTo(pair.there.url()));
    let (wire, _folder) = pair.wire(&[&pair.here, &pair.there], "s3cret");
    assert_eq!(wire.ls_refs(&["refs/tags/"]).await.unwrap().refs.len(), 2);
    assert!(pair.here.asked()[0].header("authorization").is_some());
    assert_eq!(pair.there.asked().len(), 2, "{}", pair.there.told());
    assert!(pair.there.asked().iter().all(|asked| asked.header("authorization").is_none()));
    pair.there.forget();
    for target in [
        pair.there.url(),
        "https://10.0.0.1".into(),
        "https://good.example:8443".into(),
        "http://good.example".into(),
    ] {
        pair.here.mend();
        pair.here.fault("info/refs", Fault::RedirectTo(target.clone()));
        let (wire, _folder) = pair.wire(&[&pair.here], "s3cret");
        let error = wire.ls_refs(&[]).await.unwrap_err();
        assert!(matches!(error, WireError::Other(Error::Refused { .. })), "{target}: {error:?}");
    }
    assert_eq!(pair.there.cost().requests, 0);
}

#[tokio::test]
async fn hostile_c14_pkt_lines_without_end_are_cut() {
    let (server, _, second) = fish(Kind::Full);
    let capabilities =
        b"000eversion 2\n".iter().chain(b"000bfoobar\n".repeat(100_000).iter()).copied().collect();
    server.fault_times("info/refs", Fault::Instead(capabilities), 1);
    let error = wire(&server, "fish").capabilities().await.unwrap_err();
    assert!(matches!(error, WireError::Other(Error::Malformed { .. })), "{error:?}");

    server.fault("/git-upload-pack", Fault::EndlessPktLines);
    let error = wire(&server, "fish").ls_refs(&[]).await.unwrap_err();
    assert!(error.to_string().contains("more than 350000 refs"), "{error}");
    let tight = WireLimits { refs_bytes_max: 1 << 20, ..PATIENT };
    let error = wire(&server, "fish").limited(tight).ls_refs(&[]).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
    assert!(matches!(error, WireError::Other(Error::Trouble { .. })), "trouble, not absence");

    let fetched = wire(&server, "fish").fetch(&ask(&[&second])).await.unwrap();
    let error = pack(fetched).await.unwrap_err();
    assert!(error.to_string().contains("besides the pack"), "{error}");
}

#[tokio::test]
async fn a_pack_stops_at_its_budget() {
    let (server, _, second) = fish(Kind::Full);
    let small = WireLimits { fetch_bytes_max: 300, ..PATIENT };
    let error = match wire(&server, "fish").limited(small).fetch(&ask(&[&second])).await {
        Ok(fetched) => pack(fetched).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, WireError::Other(Error::Trouble { .. })), "{error:?}");
}

#[tokio::test]
async fn hostile_c17_a_silent_server_is_left_in_time_and_its_turn_given_back() {
    let (server, _, second) = fish(Kind::Full);
    for fault in [Fault::Silence, Fault::HalfThenSilence] {
        let wire = wire(&server, "fish").limited(HASTY);
        wire.capabilities().await.unwrap();
        server.fault("/git-upload-pack", fault.clone());
        // As often as the host has turns. (A third failure would give it a pause, which is another row: H05.)
        for _ in 0..2 {
            let began = Instant::now();
            let answer = match wire.fetch(&ask(&[&second])).await {
                Ok(fetched) => pack(fetched).await.map(drop),
                Err(error) => Err(error),
            };
            assert!(matches!(answer, Err(WireError::Other(Error::Trouble { .. }))), "{fault:?}: {answer:?}");
            assert!(began.elapsed() < Duration::from_secs(25), "{fault:?}");
        }
        server.mend();
        assert_eq!(wire.ls_refs(&["refs/tags/"]).await.unwrap().refs.len(), 2, "both turns were given back");
    }
    let pair = Pair::new();
    pair.here.fault("info/refs", Fault::Silence);
    let (after_tls, _folder) = pair.wire(&[&pair.here], "s3cret");
    let error = after_tls.limited(HASTY).capabilities().await.unwrap_err();
    assert!(matches!(error, WireError::Other(Error::Trouble { .. })), "{error:?}");
}

/// A server that answers its first request with these bytes, the last of them again and again, one each 20 ms.
fn trickle(bytes: &'static [u8]) -> HostPort {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = HostPort::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        stream.write_all(bytes).unwrap();
        // Ends when the client has had enough.
        while stream.write_all(b"0").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    place
}

#[tokio::test]
async fn hostile_c18_a_trickle_is_cut() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n000eversion 2\n"[..],
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"",
    ] {
        let place = trickle(head);
        let url = format!("http://{place}/fish");
        let egress = Egress::new(Config { named: vec![place], ..Config::default() }).unwrap();
        let began = Instant::now();
        let error = Wire::new(egress, remote(&url), HASTY).capabilities().await.unwrap_err();
        assert!(
            matches!(error, WireError::Other(Error::Trouble { .. } | Error::Malformed { .. })),
            "{error:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(25));
    }
}

#[tokio::test]
async fn hostile_c19_a_challenge_is_no_prompt_and_is_shown_escaped() {
    let (server, ..) = fish(Kind::Full);
    for (realm, shown) in [
        ("Basic realm=\"\u{9b}31mevil\u{202e}\"", Some("realm=\"31mevil\"")),
        ("Basic realm=\"\x1b[31mevil\"", None), // no header at all: the answer is not HTTP
    ] {
        let challenge = vec![("WWW-Authenticate".to_owned(), realm.to_owned())];
        server.fault("info/refs", Fault::Status(401, challenge));
        let began = Instant::now();
        let error = wire(&server, "fish").ls_refs(&[]).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(25));
        let text = error.to_string();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
        if let Some(shown) = shown {
            assert!(matches!(error, WireError::Other(Error::Login { .. })), "{error:?}");
            assert!(text.contains(shown), "{text}");
        }
        server.mend();
    }
}

#[tokio::test]
async fn hostile_c20_an_ignored_depth_shows_in_what_is_shallow() {
    let (server, _, second) = fish(Kind::Full);
    let wire = wire(&server, "fish");
    wire.capabilities().await.unwrap();
    // What a server that ignores `deepen` sends: a pack, and not a word of shallow commits.
    server.fault_times("/git-upload-pack", Fault::Instead(b"000dpackfile\n0009\x01PACK0000".to_vec()), 1);
    let fetched = wire.fetch(&FetchAsk { depth: Some(1), ..ask(&[&second]) }).await.unwrap();
    assert_eq!(fetched.shallow, []);
    assert_eq!(pack(fetched).await.unwrap(), b"PACK");
    let fetched = wire.fetch(&FetchAsk { depth: Some(1), ..ask(&[&second]) }).await.unwrap();
    assert_eq!(fetched.shallow, [Arc::from(&*second)]);
}
