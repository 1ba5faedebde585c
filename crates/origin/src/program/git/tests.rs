//! The git program against real servers of every kind.

use std::time::{Duration, Instant};

use modkeep_egress::Credentials;
use modkeep_testkit::git::{Fault, GitRepo, GitServer, Kind};
use tempfile::TempDir;

use super::super::tests::{Rig, files, local, remote};
use super::*;
use crate::place::{Login, Remote, Vcs};

/// A history with everything that a question can be about:
/// `v0.1.0` (annotated) - `v0.2.0` - main, and `dev` beside it from `v0.1.0` on.
fn fill(repo: &mut GitRepo) {
    repo.put("go.mod", "module example.com/m\n").put("a.txt", "one\n").put("sub/b.go", "package b\n");
    repo.put("crlf.txt", "x\n")
        .put(".gitattributes", "crlf.txt text eol=crlf\n* export-ignore\nid.txt ident\n");
    repo.put("id.txt", "$Id$ $Format:%H$\n").link("link", "a.txt").exec("run.sh", "#!/bin/sh\n");
    repo.commit("one").annotated("v0.1.0");
    repo.branch("dev").put("dev.txt", "dev\n").commit("dev");
    repo.switch("main").put("a.txt", "two\n").commit("two").tags(&["v0.2.0", "sub/v0.2.0"]);
    repo.put("a.txt", "three\n").commit("three").save();
}

struct Here {
    rig: Rig,
    repo: GitRepo,
    _folder: TempDir,
}

impl Here {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut repo = GitRepo::init(&folder.path().join("r.git"));
        fill(&mut repo);
        Self { rig: Rig::new(&[]), repo, _folder: folder }
    }

    fn open(&self) -> Box<dyn Repository> {
        self.rig.open(Vcs::Git, local(self.repo.path())).unwrap()
    }
}

fn served(kind: Kind) -> (GitServer, GitRepo) {
    let server = GitServer::start(kind);
    let mut repo = server.repository("r");
    fill(&mut repo);
    if kind == Kind::Dumb {
        repo.git(&["update-server-info"]);
    }
    (server, repo)
}

fn at(server: &GitServer) -> Remote {
    remote(&format!("{}/r", server.url()))
}

#[tokio::test]
async fn a_name_means_a_commit_by_the_order_of_v90() {
    let mut here = Here::new();
    let (first, second, tip, dev) =
        (here.repo.id("v0.1.0^{commit}"), here.repo.id("v0.2.0"), here.repo.id("main"), here.repo.id("dev"));
    let git = here.open();
    for (revision, id, resolved, reference) in [
        ("v0.1.0", &first, "v0.1.0", Some("refs/tags/v0.1.0")),
        ("sub/v0.2.0", &second, "sub/v0.2.0", Some("refs/tags/sub/v0.2.0")),
        ("dev", &dev, &*dev, Some("refs/heads/dev")),
        ("HEAD", &tip, &*tip, Some("HEAD")),
        (&second[..12], &second, &*second, None),
    ] {
        let commit = git.resolve(revision).await.unwrap();
        assert_eq!(
            (&*commit.id, &*commit.resolved, commit.reference.as_deref()),
            (&**id, resolved, reference),
            "{revision}"
        );
        assert_eq!(&*commit.short, &id[..12]);
    }
    let tags = git.resolve("v0.2.0").await.unwrap();
    assert_eq!(tags.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["sub/v0.2.0", "v0.2.0"]);
    assert_eq!(tags.time.to_string(), "2024-01-02T05:04:05Z");
    assert_eq!(&*git.tip().await.unwrap().id, &*tip);
}

#[tokio::test]
async fn a_hash_without_a_ref_is_found_in_the_whole_history_alone() {
    let mut here = Here::new();
    let middle = here.repo.id("main~2");
    let tree = here.repo.id("main^{tree}");
    let unrelated = here.repo.raw_object(
        "commit",
        format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n").as_bytes(),
    );
    here.repo.reference("refs/pull/1/head", &unrelated);
    here.repo.delete_tag("v0.1.0");
    let git = here.open();
    assert_eq!(&*git.resolve(&middle[..9]).await.unwrap().id, &*middle);
    let pull = git.resolve(&unrelated).await.unwrap_err();
    assert!(
        matches!(&pull, Error::NoVersion { reason } if reason.contains("unknown revision")),
        "{pull} (V-91)"
    );
}

#[tokio::test]
async fn what_is_no_commit_or_no_name_is_unknown() {
    let mut here = Here::new();
    let tree = here.repo.id("main^{tree}");
    here.repo.tag_object("v9.9.9", &tree);
    let git = here.open();
    for revision in ["v9.9.9", "nope", "refs/heads/dev", "abcdef0", "ABCDEF0", "main~1", "v0.1.0^{}", "@{-1}"]
    {
        let error = git.resolve(revision).await.unwrap_err();
        assert_eq!(error.to_string(), format!("unknown revision {revision}"));
    }
}

/// B16 for git: whatever a client can name goes behind `--end-of-options`, or is not handed over at all.
#[tokio::test]
async fn options_in_the_place_of_names_are_names() {
    let here = Here::new();
    let git = here.open();
    let commit = git.resolve("v0.1.0").await.unwrap();
    for name in ["--output=/tmp/b16", "--upload-pack=id", "-h", "--exec=id", "--help"] {
        assert!(git.resolve(name).await.is_err(), "{name}");
        assert_eq!(git.file(&commit.id, name).await.unwrap(), None, "{name}");
        assert!(git.tree(&commit.id, name).await.unwrap().is_none(), "{name}");
    }
    assert!(!std::path::Path::new("/tmp/b16").exists());
}

#[tokio::test]
async fn files_are_raw_and_trees_converted() {
    let mut here = Here::new();
    let blob = here.repo.id("v0.1.0:id.txt");
    let git = here.open();
    let commit = git.resolve("v0.1.0").await.unwrap();
    assert_eq!(git.file(&commit.id, "crlf.txt").await.unwrap().unwrap(), "x\n");
    assert_eq!(git.file(&commit.id, "link").await.unwrap().unwrap(), "a.txt");
    assert_eq!(git.file(&commit.id, "sub").await.unwrap(), None);
    assert_eq!(git.file(&commit.id, "none").await.unwrap(), None);
    let tree = git.tree(&commit.id, "").await.unwrap().unwrap();
    let found = files(&*tree);
    let of = |name: &str| found.iter().find(|(path, _)| path == name).map(|(_, content)| content.as_str());
    assert_eq!(of("crlf.txt"), Some("x\r\n"), "eol is converted (C08)");
    assert_eq!(
        of("id.txt"),
        Some(format!("$Id: {blob} $ $Format:%H$\n").as_str()),
        "ident is, export-subst is not"
    );
    assert_eq!(
        (of("a.txt"), of("link"), of("sub/b.go")),
        (Some("one\n"), Some("Symlink"), Some("package b\n"))
    );
    let sub = git.tree(&commit.id, "sub").await.unwrap().unwrap();
    assert_eq!(files(&*sub), [("b.go".to_owned(), "package b\n".to_owned())]);
    assert!(git.tree(&commit.id, "none").await.unwrap().is_none());
}

#[tokio::test]
async fn history_is_asked_only_when_it_matters() {
    let here = Here::new();
    let git = here.open();
    let tip = git.tip().await.unwrap();
    assert!(here.rig.folder.path().join("git/shallow").exists(), "one commit came alone");
    let mut tags = git.ancestor_tags(&tip.id).await.unwrap().unwrap();
    tags.sort();
    assert_eq!(tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["sub/v0.2.0", "v0.1.0", "v0.2.0"]);
    assert!(!here.rig.folder.path().join("git/shallow").exists());
    let dev = git.resolve("dev").await.unwrap();
    assert_eq!(git.descends_from(&dev.id, "v0.1.0").await.unwrap(), Some(true));
    assert_eq!(git.descends_from(&dev.id, "v0.2.0").await.unwrap(), Some(false));
}

#[tokio::test]
async fn refs_are_as_old_as_configured_and_moved_branches_followed() {
    let mut here = Here::new();
    let git = here.open();
    let old = git.resolve("main").await.unwrap();
    here.repo.put("new.txt", "new\n").commit("four").tag("v0.3.0").save();
    assert!(git.resolve("v0.3.0").await.is_err());
    here.rig.clock.advance(Duration::from_secs(61));
    assert_ne!(git.resolve("main").await.unwrap().id, old.id);
    let refs = git.refs(Scope::Tags).await.unwrap();
    assert_eq!(refs.tags.len(), 4);
    let mut tags = git.ancestor_tags(&git.tip().await.unwrap().id).await.unwrap().unwrap();
    tags.sort();
    assert_eq!(tags.len(), 4);
}

#[tokio::test]
async fn an_empty_repository_has_no_refs_and_a_missing_one_is_trouble() {
    let folder = TempDir::new().unwrap();
    let repo = GitRepo::init(&folder.path().join("empty.git"));
    let rig = Rig::new(&[]);
    let git = rig.open(Vcs::Git, local(repo.path())).unwrap();
    assert_eq!(*git.refs(Scope::All).await.unwrap(), Refs::default());
    assert_eq!(git.tip().await.unwrap_err().to_string(), "no commits");
    let rig = Rig::new(&[]);
    let missing = rig.open(Vcs::Git, local(&folder.path().join("none.git"))).unwrap();
    let error = missing.refs(Scope::All).await.unwrap_err();
    assert!(matches!(error, Error::Trouble { .. }), "{error:?}");
    assert!(!error.to_string().contains(rig.folder.path().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn sha256_repositories_have_long_hashes() {
    let folder = TempDir::new().unwrap();
    let mut repo = GitRepo::init_sha256(&folder.path().join("r.git"));
    fill(&mut repo);
    let id = repo.id("v0.2.0");
    let rig = Rig::new(&[]);
    let git = rig.open(Vcs::Git, local(repo.path())).unwrap();
    let commit = git.resolve("v0.2.0").await.unwrap();
    assert_eq!((&*commit.id, commit.id.len()), (&*id, 64));
    assert_eq!(git.file(&commit.id, "a.txt").await.unwrap().unwrap(), "two\n");
}

#[tokio::test]
async fn every_kind_of_server_is_understood() {
    for kind in [Kind::Full, Kind::Dumb, Kind::V1, Kind::V0] {
        let (server, mut repo) = served(kind);
        let rig = Rig::new(&[&server.host()]);
        let git = rig.open(Vcs::Git, at(&server)).unwrap();
        let commit = git.resolve("v0.2.0").await.unwrap();
        assert_eq!(&*commit.id, repo.id("v0.2.0"), "{kind:?}");
        assert_eq!(git.ancestor_tags(&commit.id).await.unwrap().unwrap().len(), 3, "{kind:?}");
        assert!(
            server.asked().iter().all(|asked| {
                asked.header("user-agent").is_some_and(|agent| agent.starts_with("modkeep/"))
            }),
            "{}",
            server.told()
        );
    }
}

#[tokio::test]
async fn a_login_goes_to_its_host_and_nowhere_into_an_argument_vector() {
    let (server, _repo) = served(Kind::Full);
    server.require_login("ann", "p4ss'w0rd");
    let rig = Rig::new(&[&server.host()]);
    let closed = rig.open(Vcs::Git, at(&server)).unwrap().refs(Scope::All).await.unwrap_err();
    assert!(matches!(closed, Error::Login { .. }), "{closed:?}");
    let credentials = Credentials::Basic { user: "ann".into(), password: "p4ss'w0rd".into() };
    let login = Some(Login::Http(credentials));
    let git = rig.open(Vcs::Git, Remote { login, ..at(&server) }).unwrap();
    assert_eq!(git.refs(Scope::All).await.unwrap().tags.len(), 3);
    let wrong = Some(Login::Http(Credentials::Basic { user: "ann".into(), password: "wr0ng".into() }));
    let git = rig.open(Vcs::Git, Remote { login: wrong, ..at(&server) }).unwrap();
    let error = git.refs(Scope::All).await.unwrap_err();
    assert!(matches!(&error, Error::Login { .. }) && !error.to_string().contains("wr0ng"), "{error:?}");
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_apart_from_one_in_trouble() {
    let (server, _repo) = served(Kind::Full);
    let rig = Rig::new(&[&server.host()]);
    let gone = rig.open(Vcs::Git, remote(&format!("{}/gone", server.url()))).unwrap();
    let error = gone.refs(Scope::All).await.unwrap_err();
    assert!(matches!(error, Error::NoModule { .. }), "{error:?}");
    server.fault("/r", Fault::Status(503, Vec::new()));
    let error = rig.open(Vcs::Git, at(&server)).unwrap().refs(Scope::All).await.unwrap_err();
    assert!(matches!(error, Error::Trouble { .. }), "{error:?}");
}

/// The program half of C17: a caller that no longer waits frees everything at once, whatever the server does; that
/// the program itself gives up is in [`environment`]'s `http.lowSpeedTime`.
#[tokio::test]
async fn hostile_c17_a_silent_server_holds_nobody() {
    let (server, _repo) = served(Kind::Full);
    server.fault("/r", Fault::Silence);
    let rig = Rig::new(&[&server.host()]);
    let git = rig.open(Vcs::Git, at(&server)).unwrap();
    let begun = Instant::now();
    let waited = tokio::time::timeout(Duration::from_secs(2), git.refs(Scope::All)).await;
    assert!(waited.is_err() && begun.elapsed() < Duration::from_secs(25));
    server.mend();
    assert_eq!(git.refs(Scope::All).await.unwrap().tags.len(), 3, "the turn and the place are free again");
}

#[test]
fn a_child_has_the_variables_of_our_making_alone() {
    let variables = Environment::local("/x").into_variables();
    let known = ["GIT_", "SSH_ASKPASS_REQUIRE"];
    assert!(
        variables.iter().all(|(name, _)| known.iter().any(|known| name.starts_with(known))),
        "{variables:?}"
    );
}

#[tokio::test]
async fn ssh_has_one_key_and_believes_the_configured_host_alone() {
    let here = Here::new();
    let server = modkeep_testkit::programs::SshServer::start();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let url = format!("ssh://{user}@{}{}", server.host(), here.repo.path().display());
    let ours = Remote { login: Some(Login::SshKey(server.key())), ..remote(&url) };
    let known = here.rig.folder.path().join("known");
    for (line, opens) in [(server.known_host(), true), (server.known_host().replace("AAAA", "AAAB"), false)] {
        std::fs::write(&known, line).unwrap();
        let config =
            crate::program::Config { known_hosts: Some(known.clone()), ..crate::program::Config::default() };
        let rig = Rig::with(&[server.host()], config, modkeep_egress::Config::default());
        let refs = rig.open(Vcs::Git, ours.clone()).unwrap().refs(Scope::All).await;
        assert_eq!(refs.as_ref().is_ok_and(|refs| refs.tags.len() == 3), opens, "{refs:?}");
    }
    let rig = Rig::new(&[server.host()]);
    let git = rig.open(Vcs::Git, ours.clone()).unwrap();
    assert_eq!(git.resolve("v0.2.0").await.unwrap().tags.len(), 2, "a first key is believed");
    assert!(rig.folder.path().join("known_hosts").exists());
    let strange = Rig::new(&[]);
    let refused = strange.open(Vcs::Git, ours).unwrap().refs(Scope::All).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "through the gate too: {refused:?}");
}

#[tokio::test]
async fn certificates_that_we_believe_are_believed_by_the_program() {
    use modkeep_testkit::tls::{Authority, Flaw};
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    fill(&mut GitRepo::init(&folder.path().join("r")));
    let server = GitServer::over_tls(folder.path(), Kind::V1, authority.server(Flaw::None));
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    for (ca_file, opens) in [(Some(file), true), (None, false)] {
        let egress = modkeep_egress::Config { ca_file, ..modkeep_egress::Config::default() };
        let rig = Rig::with(&[&server.host()], crate::program::Config::default(), egress);
        let refs = rig.open(Vcs::Git, at(&server)).unwrap().refs(Scope::All).await;
        assert_eq!(refs.as_ref().is_ok_and(|refs| refs.tags.len() == 3), opens, "{refs:?}");
    }
}
