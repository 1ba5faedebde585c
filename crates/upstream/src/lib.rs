//! Other mirrors and other people's checksum databases.
//!
//! A [`Chain`] is what GOPROXY's grammar says (P-80 to P-86); each of its entries becomes an
//! [`Upstream`], which answers the five questions of the protocol and lets nothing through that does not
//! look like an answer: a login page is never a `.mod`, a timeout is never a 404 (D9, H01-H13).
//!
//! A [`Database`] looks module versions up in a checksum database and believes nothing but signatures and
//! hashes: it drives the verifying client of `tlog`, keeps the newest head and everything authenticated
//! in the store, and stops when it is shown a second history (`checksum-database.md` A7, A8).
//!
//! Both talk through `egress` alone, or read a `file://` tree (P-150).

mod answer;
mod base;
mod chain;
mod database;
mod error;
mod gosumdb;
mod inventory;
mod text;
mod tree;
mod upstream;

pub use answer::Fetched;
pub use base::Patience;
pub use chain::{Chain, ChainError, Entry, PUBLIC_MIRROR, Separator, redacted};
pub use database::{Database, DatabaseConfig, DatabaseError};
pub use error::Error;
pub use gosumdb::{GoSumDb, GoSumDbError, PUBLIC_DATABASE_KEY};
pub use inventory::{Inventory, noted_sum};
pub use text::sanitised;
pub use upstream::Upstream;
