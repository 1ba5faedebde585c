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
        let named = hosts.iter().map(|host| modkeep_egress::HostPort::parse(host).unwrap()).collect();
        let egress =
            Egress::new(modkeep_egress::Config { named, ..modkeep_egress::Config::default() }).unwrap();
        let config = Config { keeper: jail::tests::keeper(), ..Config::default() };
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
