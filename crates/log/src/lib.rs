//! Our own checksum database: an append-only log of go.sum lines that everybody can check and nobody must trust.
//!
//! Sequence first, derive after (spec, part C): a transaction of the store gives a record its number; hashes, tiles and
//! heads are functions of the sequence; a head is signed only after everything below it is durable and was read back and
//! hashed again by other code. Only this room holds a signing key.
