//! Version control programs in their jail: git for what this process does not speak, hg, svn and fossil.
//!
//! Each of them is somebody else's large C or Python program that reads bytes from strangers. So none of them runs
//! but in the [`jail`]: a fixed program, a fixed vector of arguments without a shell, an environment that is written
//! here word by word (C30, M05), a folder of its own, limits on time, memory, disk and output, a way to the network
//! that leads through the egress gate alone, and an end that takes all descendants along (C23, U4).

mod fossil;
mod git;
mod hg;
pub(crate) mod jail;
mod svn;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use modkeep_egress::Egress;

use crate::error::Error;
use crate::place::{Remote, Vcs};
use crate::repository::Repository;

/// How programs are run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The command that becomes the jail's keeper by calling [`jail::keep`]; usually this very program with a hidden
    /// subcommand, `["/proc/self/exe", "__jail"]`.
    pub keeper: Vec<PathBuf>,
    /// The folders in which programs are looked for, in this order.
    pub path: Vec<PathBuf>,
    /// How many jobs run at once; default 4.
    pub jobs_max: usize,
    /// The contact that `User-Agent` headers name (V-98).
    pub user_agent: String,
}

/// The programs of this machine, each job in a jail of its own.
#[derive(Clone)]
pub(crate) struct Programs {
    config: Arc<Config>,
    egress: Egress,
}

impl Programs {
    /// Runs nothing yet.
    pub(crate) fn new(config: Config, egress: Egress) -> Self {
        Self { config: Arc::new(config), egress }
    }

    /// The repository behind a remote, whose derived data live in `folder` (V-97, V-100, V-101).
    ///
    /// # Errors
    /// [`Error::NoProgram`] where the system's program is not installed; [`Error::NoModule`] where the URL is none
    /// that may be handed to a program (C01 to C03).
    pub(crate) fn open(&self, vcs: Vcs, remote: Remote, folder: &Path) -> Result<Box<dyn Repository>, Error> {
        let _ = (&self.config, &self.egress, vcs, remote, folder);
        todo!()
    }
}
