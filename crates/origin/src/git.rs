//! git over HTTP in this process.
