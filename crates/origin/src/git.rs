//! git over HTTP in this process.
//!
//! [`wire`] speaks version 2 of git's smart HTTP protocol: capabilities, refs, and packs as streams of bytes;
//! [`pkt`] is its framing.

mod pkt;
mod wire;

mod attributes;
mod convert;
mod repo;
mod tree;
