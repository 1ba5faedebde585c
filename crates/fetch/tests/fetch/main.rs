//! The decisions over a real store, real upstreams on loopback and a checksum database that is honest or lies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod answers;
mod files;
mod hostile;
mod real;
mod rig;
