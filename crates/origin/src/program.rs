//! Version control programs in their jail: git for what this process does not speak, hg, svn and fossil.
//!
//! Each of them is somebody else's large C or Python program that reads bytes from strangers. So none of them runs
//! but in the [`jail`]: a fixed program, a fixed vector of arguments without a shell, an environment that is written
//! here word by word (C30, M05), a folder of its own, limits on time, memory, disk and output, a way to the network
//! that leads through the egress gate alone, and an end that takes all descendants along (C23, U4).

mod address;
mod fossil;
mod git;
mod hg;
pub(crate) mod jail;
mod svn;
mod way;
mod words;
mod workshop;
mod zipped;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use modkeep_egress::Egress;
use modkeep_store::{Clock, Workspace};

use self::jail::Jail;
use self::way::Way;
use self::workshop::Workshop;
use crate::error::Error;
use crate::place::{Login, Remote, Vcs};
use crate::repository::Repository;

/// A file of a repository, read at a commit: its contents up to that many bytes are told, and one more (Z-3).
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How programs are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The command that becomes the jail's keeper by calling [`crate::keep_jail`]; usually this very program with a
    /// hidden subcommand, `["/proc/self/exe", "__jail"]`.
    pub keeper: Vec<PathBuf>,
    /// The folders in which programs are looked for, in this order; absolute.
    pub path: Vec<PathBuf>,
    /// How many jobs run at once; default 4.
    pub jobs_max: usize,
    /// The contact that `User-Agent` headers name (V-98).
    pub user_agent: String,
    /// The hosts' keys for ssh, as `known_hosts` of ssh (`[origin] known_hosts`). `None`: a host's first key is believed
    /// and then kept.
    pub known_hosts: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keeper: ["/proc/self/exe", "__jail"].map(PathBuf::from).to_vec(),
            path: ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec(),
            jobs_max: 4,
            user_agent: modkeep_egress::user_agent(None),
            known_hosts: None,
        }
    }
}

impl Config {
    /// Whether a program is installed where jobs look for theirs.
    pub fn has(&self, program: &str) -> bool {
        jail::found(&self.path, program).is_some()
    }
}

/// The programs of this machine, each job in a jail of its own. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Programs(Arc<Shared>);

struct Shared {
    config: Config,
    jail: Jail,
    egress: Egress,
    clock: Arc<dyn Clock>,
    refs_lifetime: Duration,
}

impl Programs {
    /// Runs nothing yet. `refs_lifetime` is how old refs may be (`[origin] list_ttl`).
    pub(crate) fn new(
        config: Config,
        egress: Egress,
        clock: Arc<dyn Clock>,
        refs_lifetime: Duration,
    ) -> Self {
        let jail = Jail::new(config.keeper.clone(), config.path.clone(), config.jobs_max);
        Self(Arc::new(Shared { config, jail, egress, clock, refs_lifetime }))
    }

    /// The repository behind a remote, whose derived data live in the workspace (V-97, V-100, V-101).
    ///
    /// Two of one repository would work in one folder at once: whoever opens keeps one.
    ///
    /// # Errors
    /// [`Error::NoProgram`] where the system's program is not installed; [`Error::Refused`] where the URL is none that
    /// may be handed to a program (C01 to C03).
    pub(crate) fn open(
        &self,
        vcs: Vcs,
        remote: Remote,
        workspace: Workspace,
    ) -> Result<Box<dyn Repository>, Error> {
        let folder = workspace.path().join("program");
        self.enter(vcs, Workshop::new(self.clone(), remote, folder, Some(workspace)))
    }

    fn enter(&self, vcs: Vcs, shop: Workshop) -> Result<Box<dyn Repository>, Error> {
        address::check(vcs, &shop.remote)?;
        let program = vcs.name();
        self.0.jail.find(program).map_err(|_| Error::NoProgram { program })?;
        Ok(match vcs {
            Vcs::Git => Box::new(git::GitProgram::new(shop)),

            Vcs::Hg => Box::new(hg::HgRepository::new(shop)),
            Vcs::Svn => Box::new(svn::SvnRepository::new(shop)),
            Vcs::Fossil => Box::new(fossil::FossilRepository::new(shop)),
        })
    }

    fn jail(&self) -> &Jail {
        &self.0.jail
    }

    fn egress(&self) -> &Egress {
        &self.0.egress
    }

    fn user_agent(&self) -> &str {
        &self.0.config.user_agent
    }

    fn now(&self) -> Instant {
        self.0.clock.monotonic()
    }

    fn refs_lifetime(&self) -> Duration {
        self.0.refs_lifetime
    }

    /// The way to a remote, for one job.
    async fn way(&self, remote: &Remote, folder: &Path) -> Result<Way, Error> {
        Way::open(&self.0.config, &self.0.egress, remote, folder).await
    }

    /// What jobs for a remote may read beside the system's folders.
    fn readable(&self, remote: &Remote) -> Vec<PathBuf> {
        // Of Subversion, a URL goes on where the repository's folder ends.
        let there = |path: PathBuf| path.ancestors().find(|path| path.exists()).map(PathBuf::from);
        let local =
            (remote.url.scheme() == "file").then(|| remote.url.to_file_path().ok()).flatten().and_then(there);
        let key = match &remote.login {
            Some(Login::SshKey(path)) => Some(path.clone()),
            _ => None,
        };
        let config = &self.0.config;
        // With a key, ssh runs the keeper once more, for its connection.
        let keeper = key.as_ref().and_then(|_| way::keeper(config));
        [local, key, keeper, config.known_hosts.clone()].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
