//! Witnesses: being watched, and watching. Spec B3, B4; C2SP tlog-witness.
//!
//! A witness cosigns a checkpoint when it continues everything the witness has seen of that log. Whoever asks for a
//! quorum of cosignatures cannot be shown a history of their own.
//!
//! - [`Collector`] asks the witnesses of our own log, in the background, and keeps what they say with the checkpoint;
//!   [`known_heads`] asks them before the log opens, so that an old copy of it does not sign (C4).
//! - [`Witness`] is the other side: it remembers what it cosigned of each log, one file each, and decides.
//! - [`Lists`] reads the witness network's lists for it, again and again: who is new there is watched from then on.
//! - [`Feeder`] carries the heads of a log that calls nobody to a witness.
//!
//! A cosignature's life: a head is *published*; it is *submitted* with a proof from the size that the witness has; the
//! witness *decides*, *stores*, *cosigns* and answers; the line is *verified*, and when the policy is met the cosigned
//! checkpoint is *kept* and shown.

mod adopted;
mod ask;
mod collector;
mod feeder;
mod keeper;
mod key;
mod lists;
mod pace;
mod turn;

pub use ask::{Asker, Reply, WITNESS_PATIENCE};
pub use collector::{BadPlace, Collector, Panel, known_heads};
pub use feeder::{Fed, FeedError, Feeder, Which};
pub use keeper::{Adopted, Denied, Qpd, Witness, WitnessError};
pub use key::{WitnessKeygen, read_key};
pub use lists::{ListPlace, ListTold, Lists};
