//! git over HTTP in this process.
//!
//! [`wire`] speaks version 2 of git's smart HTTP protocol: capabilities, refs, and packs as streams of bytes;
//! [`pkt`] is its framing.

mod cache;
mod complete;
mod earlier;
mod filters;
mod gather;
mod history;
mod object;
mod objects;
mod pack;
mod pkt;
mod refs;
mod spool;
mod wire;

mod attributes;
mod convert;
mod repo;
pub(crate) mod tree;

pub(crate) use filters::Filters;
pub(crate) use repo::{GitRepository, Opening, Zips};
pub(crate) use wire::WireLimits;
