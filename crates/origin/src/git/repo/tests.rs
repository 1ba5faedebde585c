//! Against the real `git http-backend`. Requests are counted, and the counts are exact.

use modkeep_egress::Config;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_testkit::git::{GitRepo, GitServer, Kind};
use url::Url;

use super::*;

/// A repository on a server of its own, and ours to read it with.
struct Rig {
    server: GitServer,
    made: GitRepo,
    store: Store,
    folder: tempfile::TempDir,
}

const PATH: &str = "example.com/fish";

impl Rig {
    fn new(kind: Kind, script: impl FnOnce(&mut GitRepo)) -> Self {
        let server = GitServer::start(kind);
        let mut made = server.repository(PATH);
        script(&mut made);
        made.save();
        let folder = tempfile::tempdir().unwrap();
        let config = modkeep_store::Config { path: folder.path().join("data"), min_free: MinFree::Bytes(0) };
        let store = Store::open(config, Arc::new(SystemClock)).unwrap();
        Self { server, made, store, folder }
    }

    fn open(&self) -> GitRepository {
        let url: Url = format!("{}/{PATH}", self.server.url().trim_end_matches('/')).parse().unwrap();
        let named = vec![modkeep_egress::HostPort::parse(&self.server.host()).unwrap()];
        let config = Config { named, ..Config::default() };
        let remote = Remote {
            original: "https://example.com/fish".to_owned(),
            url: url.clone(),
            login: None,
            insecure: false,
            configured: true,
        };
        GitRepository::open(Opening {
            remote,
            egress: Egress::new(config).unwrap(),
            workspace: self.store.workspace(url.as_str()).unwrap(),
            clock: Arc::new(SystemClock),
            refs_lifetime: Duration::from_mins(1),
            zips: None,
        })
    }

    /// Requests since the last look.
    fn requests(&self) -> u64 {
        let requests = self.server.cost().requests;
        self.server.forget();
        requests
    }
}

fn two_versions(repo: &mut GitRepo) {
    repo.put("go.mod", "module example.com/fish\n")
        .put("fish.go", "package fish\n")
        .put("sub/go.mod", "module example.com/fish/sub\n");
    repo.commit("begin").tag("v1.0.0");
    repo.put("fish.go", "package fish // grown\n").commit("grow").annotated("v1.1.0");
}

#[tokio::test]
async fn a_go_mod_costs_four_requests_and_one_for_each_directory() {
    let mut rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let commit = repo.resolve("v1.1.0").await.unwrap();
    assert_eq!(rig.requests(), 3, "capabilities, refs, commit and root tree");
    assert_eq!(&*commit.id, rig.made.id("v1.1.0^{commit}"));
    assert_eq!((&*commit.resolved, commit.tags.len()), ("v1.1.0", 1));
    assert_eq!(commit.reference.as_deref(), Some("refs/tags/v1.1.0"));
    let go_mod = repo.file(&commit.id, "go.mod").await.unwrap().unwrap();
    assert_eq!((&go_mod[..], rig.requests()), (&b"module example.com/fish\n"[..], 1));
    let go_mod = repo.file(&commit.id, "sub/go.mod").await.unwrap().unwrap();
    assert_eq!((&go_mod[..], rig.requests()), (&b"module example.com/fish/sub\n"[..], 2));
    assert_eq!(repo.file(&commit.id, "sub/other").await.unwrap(), None);
    assert_eq!(repo.file(&commit.id, "sub").await.unwrap(), None);
    drop(repo);
    let again = rig.open();
    assert_eq!(again.resolve("v1.1.0").await.unwrap(), commit);
    again.file(&commit.id, "sub/go.mod").await.unwrap().unwrap();
    assert_eq!(rig.requests(), 2, "after a restart only the refs are asked for");
    let _ = &rig.folder;
}

#[tokio::test]
async fn a_whole_version_costs_three_requests() {
    let rig = Rig::new(Kind::Full, two_versions);
    let repo = rig.open();
    let refs = repo.refs(Scope::Tags).await.unwrap();
    let id = refs.tags["refs/tags/v1.0.0"].clone();
    repo.expect(&[Wanted { commit: id.clone(), path: String::new() }]).await.unwrap();
    let commit = repo.resolve("v1.0.0").await.unwrap();
    assert_eq!(commit.id, id);
    assert!(repo.file(&id, "go.mod").await.unwrap().is_some());
    let tree = repo.tree(&id, "").await.unwrap().unwrap();
    let names: Vec<_> =
        tree.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(names, ["fish.go", "go.mod", "sub/go.mod"]);
    assert_eq!(tree.read(0).unwrap(), b"package fish\n");
    assert_eq!(rig.requests(), 3);
}
