//! What the tests of all programs stand on.

mod contest;

use std::path::Path;

use modkeep_module::zip::rules::Kind;
use modkeep_testkit::ManualClock;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::repository::Tree;

/// Programs that may go to `hosts` (`127.0.0.1:port`), and a folder for one repository.
pub(super) struct Rig {
    pub(super) programs: Programs,
    pub(super) clock: Arc<ManualClock>,
    pub(super) folder: TempDir,
}

impl Rig {
    pub(super) fn new(hosts: &[&str]) -> Self {
        Self::with(hosts, Config::default(), modkeep_egress::Config::default())
    }

    pub(super) fn with(hosts: &[&str], config: Config, egress: modkeep_egress::Config) -> Self {
        let named = hosts.iter().map(|host| modkeep_egress::HostPort::parse(host).unwrap()).collect();
        let egress = Egress::new(modkeep_egress::Config { named, ..egress }).unwrap();
        let config = Config { keeper: jail::tests::keeper(), ..config };
        let clock = Arc::new(ManualClock::new());
        let programs = Programs::new(config, egress, clock.clone(), Duration::from_mins(1));
        Self { programs, clock, folder: TempDir::new().unwrap() }
    }

    pub(super) fn open(&self, vcs: Vcs, remote: Remote) -> Result<Box<dyn Repository>, Error> {
        self.programs.enter(vcs, self.shop(remote))
    }

    pub(super) fn shop(&self, remote: Remote) -> Workshop {
        Workshop::new(self.programs.clone(), remote, self.folder.path().to_path_buf(), None)
    }
}

/// A remote that the operator configured, without a login.
pub(super) fn remote(url: &str) -> Remote {
    let url = Url::parse(url).unwrap();
    Remote { original: url.to_string(), url, login: None, insecure: false, configured: true }
}

pub(super) fn local(path: &Path) -> Remote {
    remote(Url::from_file_path(path).unwrap().as_str())
}

/// The files of a tree with their contents, links and directories marked, in order.
pub(super) fn files(tree: &dyn Tree) -> Vec<(String, String)> {
    let told = |(n, entry): (usize, &crate::repository::Entry)| {
        let content = match entry.kind {
            Kind::Regular { bytes } => {
                let content = tree.read(n).unwrap();
                assert_eq!(content.len() as u64, bytes);
                String::from_utf8_lossy(&content).into_owned()
            }
            other => format!("{other:?}"),
        };
        (String::from_utf8_lossy(&entry.path).into_owned(), content)
    };
    tree.entries().iter().enumerate().map(told).collect()
}

/// Every name is 127.0.0.1, and each question is counted.
struct Here(std::sync::atomic::AtomicUsize);

impl modkeep_egress::Resolve for Here {
    fn resolve(&self, _: &str) -> modkeep_egress::Resolving {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async { Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]) })
    }
}

/// E03: the name means nothing to the host's own resolver. What a child reaches, the gate looked up and let pass.
#[tokio::test]
async fn names_are_looked_up_by_the_gate_alone() {
    use modkeep_testkit::git::{GitServer, Kind as Server};
    use modkeep_testkit::programs::{FossilRepo, HgRepo};

    let folder = TempDir::new().unwrap();
    let git = GitServer::start(Server::Full);
    git.repository("r").put("go.mod", "module m\n").commit("one").save();
    let mut hg = HgRepo::init(&folder.path().join("hg"));
    let hg = hg.put("go.mod", "module m\n").commit("one").serve();
    let mut fossil = FossilRepo::init(&folder.path().join("fossil"));
    let fossil = fossil.put("go.mod", "module m\n").commit("one").serve();
    for (vcs, host, path) in [
        (Vcs::Git, git.host(), "/r"),
        (Vcs::Hg, hg.host().into(), ""),
        (Vcs::Fossil, fossil.host().into(), ""),
    ] {
        let place = host.replace("127.0.0.1", "origin.modkeep.invalid");
        let resolver = Arc::new(Here(0.into()));
        let egress =
            modkeep_egress::Config { resolver: resolver.clone(), ..modkeep_egress::Config::default() };
        let rig = Rig::with(&[&place], Config::default(), egress);
        let repository = rig.open(vcs, remote(&format!("http://{place}{path}"))).unwrap();
        assert!(repository.tip().await.is_ok(), "{vcs:?}");
        assert!(resolver.0.load(std::sync::atomic::Ordering::Relaxed) > 0, "{vcs:?}");
        let strange = Rig::new(&[]);
        let repository = strange.open(vcs, remote(&format!("http://{host}{path}"))).unwrap();
        let refused = repository.refs(crate::repository::Scope::All).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{vcs:?}: {refused:?}");
    }
}
