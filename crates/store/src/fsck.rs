//! The oracle: compares bytes, ledger and protocol, and names each broken promise (R26).
