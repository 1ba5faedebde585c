//! `log`: the keys and the records of our own checksum database.

mod import;
mod keygen;

pub(super) use import::run as import;
pub(super) use keygen::run as keygen;
