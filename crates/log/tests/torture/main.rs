//! The whole log under what reliability.md has for it: crashes of the recorded disk (T2), rot (T6), clocks (T9), copies that
//! were put back (T17). The judge is a tree that is computed here, from the texts alone.
//!
//! Each test does a little with every change; `CRASH_EVERY=1` and `ROT_FLIPS=1000` do all of it.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on has failed

mod clocks;
mod crash;
mod oracle;
mod restore;
mod rot;
#[path = "../support/mod.rs"]
mod support;
