//! What the tests stand on.
//!
//! | module | gives |
//! |---|---|
//! | [`world`], [`kinds`] | modules of every kind, made here, as files of a GOPROXY tree |
//! | [`sumdb`] | a checksum database for them, honest or lying |
//! | [`upstream`] | a server for both on loopback, with faults to order and a memory of requests |
//! | [`git`] | a real git server on loopback, old or young, with faults to order and a memory of bytes; repositories made by a script |
//! | [`origins`] | repositories as odd as the rules allow |
//! | [`pages`] | go-import pages for host names that do not exist |
//! | [`differential`] | the same questions to the go command and to modkeep, and where they differ |
//! | [`tls`] | certificates, good and flawed |
//! | [`go`] | the real go command with caches of its own |
//! | [`programs`] | repositories and servers of Mercurial, Subversion and Fossil |
//! | [`program`] | the modkeep program as a child |
//! | [`client`] | an HTTP client that shows what came over the wire |
//! | [`clock`] | a clock that a test moves by hand |
//!
//! Everything is blocking and ends when its value is dropped, so that a test reads from top to bottom.

#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "a test kit fails by panicking: that is what tells the test"
)]
#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::return_self_not_must_use,
    reason = "tests want short words, not the last microsecond"
)]

pub mod client;
pub mod clock;
pub mod differential;
mod door;
pub mod git;
pub mod go;
pub mod kinds;
pub mod oracle;
pub mod origins;
pub mod pages;
pub mod program;
pub mod programs;
pub mod sumdb;
pub mod tls;
pub mod upstream;
pub mod world;

pub use client::{Answer, Pending, get};
pub use clock::ManualClock;
pub use git::{GitRepo, GitServer};
pub use go::Go;
pub use kinds::names;
pub use oracle::{Oracle, copy_folder};
pub use pages::Pages;
pub use program::Program;
pub use sumdb::{Lie, SumDb};
pub use upstream::{Fault, Site, Upstream};
pub use world::ModuleWorld;
