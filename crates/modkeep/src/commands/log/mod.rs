//! `log`: the keys and the records of our own checksum database.

mod export;
mod fsck;
mod import;
mod keygen;
mod rebuild;
mod recover;
mod status;

pub(super) use export::run as export;
pub(super) use fsck::run as fsck;
pub(super) use import::run as import;
pub(super) use keygen::run as keygen;
pub(super) use rebuild::run as rebuild;
pub(super) use recover::run as recover;
pub(super) use status::run as status;
