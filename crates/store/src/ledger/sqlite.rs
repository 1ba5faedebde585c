//! The ledger in SQLite.

/// The ledger of one machine.
#[derive(Debug)]
pub struct SqliteLedger {}
