//! Modules straight from version control.
//!
//! [`Origin`] answers the questions that an upstream mirror answers, by asking the repositories themselves. A
//! question travels through four rooms of this house:
//!
//! 1. [`resolve`] finds out where a module path lives (static hosts, go-import pages, rewrite rules, logins);
//! 2. a [`repository::Repository`] for its version control system tells refs, commits, files and trees: [`git`] in
//!    this process, [`program`] for everything else;
//! 3. [`versions`] turns them into versions, exactly as the go command does;
//! 4. [`archive`] packs a tree into the zip whose `h1` every go command computes.

mod archive;
mod config;
mod error;
mod git;
mod mixed;
mod origin;
mod place;
mod program;
mod repositories;
mod repository;
mod resolve;
mod versions;
mod watch;

pub use config::{BadGovcs, Config, Govcs, LoginRule, LoginSource, Rewrite, Vanity};
pub use error::{Error, Verdict};
pub use origin::{Origin, Parts, Zip};
pub use place::{Login, Vcs};
pub use program::Config as ProgramConfig;
pub use program::jail::keep as keep_jail;
pub use watch::{Tell, Watch};
