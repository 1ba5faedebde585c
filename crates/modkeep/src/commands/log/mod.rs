//! `log`: the keys and the records of our own checksum database.

mod keygen;

pub(super) use keygen::run as keygen;
