//! Part M of hostile-inputs.md: one canary for each secret that can be given to a mirror; then everything it wrote
//! or sent is searched.

use std::path::Path;

use modkeep_testkit::client::request;
use modkeep_testkit::program::Setup;
use modkeep_testkit::tls::{Authority, Flaw};
use modkeep_testkit::{Fault, ModuleWorld, Site, SumDb, Upstream, get};

use crate::{DATABASE, MODKEEP};

const USER: &str = "canary-user-7f3a";
const PASSWORD: &str = "canary-pass-91bd/+";
const TOKEN: &str = "canary-token-2c44";
const NETRC: &str = "canary-netrc-e0aa";

/// Each secret as it is, percent-encoded, and as `Basic` carries it.
fn disguises() -> Vec<String> {
    let basic = base64(format!("{USER}:{PASSWORD}").as_bytes());
    let encoded = "canary-pass-91bd%2F%2B".to_owned();
    let plain = [PASSWORD, TOKEN, NETRC].map(str::to_owned);
    let alone = [PASSWORD, TOKEN, NETRC].map(|secret| base64(secret.as_bytes()));
    plain.into_iter().chain(alone).chain([basic, encoded]).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[(group >> (18 - 6 * place) & 63) as usize]));
        }
    }
    // Without padding: what stands in a longer text may go on differently.
    text.truncate(bytes.len() * 4 / 3);
    text
}

/// Where a secret stands in these bytes, if anywhere.
fn leak(bytes: &[u8]) -> Option<String> {
    disguises()
        .into_iter()
        .find(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
}

fn search_folder(folder: &Path, wrong: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            search_folder(&path, wrong);
        } else if let Some(secret) = leak(&std::fs::read(&path).unwrap()) {
            wrong.push(format!("{}: {secret}", path.display()));
        }
    }
}

#[test]
fn the_search_finds_what_is_hidden() {
    assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
    assert_eq!(base64(b"user"), "dXNlc");
    for secret in disguises() {
        assert!(leak(format!("some {secret} text").as_bytes()).is_some());
    }
    assert_eq!(leak(b"nothing here"), None);
}

#[test]
fn hostile_m01_secrets_are_nowhere_at_the_most_verbose_level() {
    let world = ModuleWorld::every_kind();
    let authority = Authority::new();
    let site = Site::of(&world).with_database(SumDb::of(DATABASE, &world));
    let upstream = Upstream::start_tls(site, authority.server(Flaw::None));
    let login = format!("{USER}:{}@", PASSWORD.replace('/', "%2F").replace('+', "%2B"));
    let chain = format!("{}/?token={TOKEN}", upstream.url().replace("https://", &format!("https://{login}")));
    let setup = Setup::new(MODKEEP)
        .with("MODKEEP_ORIGIN_UPSTREAM", &chain)
        .with("MODKEEP_VERIFY_LOG", &format!("{} {}", upstream.key(), upstream.database_url()))
        .with("MODKEEP_SERVER_HOLD", "2s")
        .with("MODKEEP_OBSERVE_LOG_LEVEL", "trace")
        .with("NO_PROXY", "127.0.0.1,localhost")
        .with("HTTP_PROXY", &format!("http://{USER}:{TOKEN}@proxy.example:3128"));
    let roots = setup.home().join("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let netrc = format!("machine 127.0.0.1 login {USER} password {NETRC}\n");
    std::fs::write(setup.home().join(".netrc"), netrc).unwrap();
    let setup = setup.with("SSL_CERT_FILE", roots.to_str().unwrap());
    let modkeep = setup.serve();
    let mut wrong = Vec::new();
    let mut ask = |path: &str, accept: &str| {
        let answer = request("GET", &format!("{}{path}", modkeep.url()), &[("Accept", accept)]);
        wrong.extend(leak(format!("{answer:?}").as_bytes()).map(|secret| format!("{path}: {secret}")));
        wrong.extend(leak(&answer.body).map(|secret| format!("{path}: {secret}")));
        answer.status
    };
    assert_eq!(ask("/birds.example/finch/@v/v0.9.0.zip", "*/*"), 200, "{}", modkeep.said());
    let login_sent = upstream.seen().iter().any(|seen| seen.header("authorization").is_some());
    assert!(login_sent, "the login is of use to the upstream: {:?}", upstream.seen());
    let faults = [
        Fault::Hangup,
        Fault::Reset,
        Fault::ShortBody,
        Fault::Garbage,
        Fault::LoginPage,
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(500),
        Fault::RedirectLoop,
        Fault::RedirectTo("https://elsewhere.example/x".to_owned()),
        Fault::RedirectTo("http://127.0.0.1:1/x".to_owned()),
        Fault::StatusWith(
            401,
            vec![("WWW-Authenticate".to_owned(), "Bearer realm=\"https://evil.example\"".to_owned())],
        ),
        Fault::Stall,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        upstream.fault("/@", fault);
        for end in ["@v/list", "@v/v1.5.2.mod", "@v/v1.5.2.zip"] {
            let path = format!("/example.com/{}/{end}", ["tern", "marsh", "swift", "dodo"][n % 4]);
            ask(&path, "*/*");
            ask(&path, "application/json");
        }
        upstream.mend();
    }
    for path in ["/", "/index", "/healthz", "/readyz", "/version", "/e/origin-down"] {
        ask(path, "text/html");
    }
    for page in ["metrics", "readyz", "healthz"] {
        let text = get(&format!("{}/{page}", modkeep.admin())).text();
        wrong.extend(leak(text.as_bytes()).map(|secret| format!("admin {page}: {secret}")));
    }
    wrong.extend(
        leak(modkeep.said().as_bytes()).map(|secret| format!("the log: {secret}: {}", modkeep.said())),
    );
    modkeep.stop();
    search_folder(setup.store(), &mut wrong);
    for arguments in [
        &["config", "show"][..],
        &["config", "check"],
        &["list", "--json"],
        &["show", "birds.example/finch@v0.9.0", "--json"],
        &["fsck"],
        &["get", "example.com/none@v1.0.0"],
    ] {
        let output = setup.run(arguments);
        let said = [output.stdout, output.stderr].concat();
        wrong.extend(leak(&said).map(|secret| format!("{arguments:?}: {secret}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hostile_m04_a_crash_leaves_no_core() {
    let upstream = crate::upstream_of(&ModuleWorld::new());
    let modkeep = crate::mirror_of(&upstream).serve();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", modkeep.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
