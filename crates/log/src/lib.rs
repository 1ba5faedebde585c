//! Our own checksum database: an append-only log of go.sum lines that everybody can check and nobody must trust.
//!
//! Sequence first, derive after (spec, part C): a transaction of the store gives a record its number; hashes, tiles and
//! heads are functions of the sequence; a head is signed only after everything below it is durable and was read back and
//! hashed again by other code. Only this room holds a signing key.
//!
//! The life of a record: it is appended by a caller and *pending* in the queue; one transaction *sequences* it; tiles
//! and a head are *derived*; the head is *signed* after the second computation, *committed*, and *published*. Only then
//! is the caller answered ([`Log::append`]).

pub mod audit;
mod check;
mod config;
mod error;
mod event;
pub mod fsck;
mod gossip;
mod head;
mod head_copy;
pub mod keys;
mod log;
mod lookup;
mod queue;
mod read;
pub mod rebuild;
mod recover;
mod sabotage;
mod sequencer;
mod shared;
mod sign;
pub mod witness;

pub use config::{Config, Gate, HeadAlign, KnownHead, Parts, Shown};
pub use error::{AppendError, OpenError};
pub use event::{Event, Observer, Timings};
pub use head::Head;
pub use keys::{Keygen, LogName, SignError, Signer};
pub use log::{Appended, Log, State};
pub use recover::{GivenHead, Recovered, Recovery, recover};
#[cfg(any(test, feature = "testing"))]
pub use sabotage::{Mutant, Sabotage, Step};
