//! The vocabulary of Go modules: paths, versions, queries, go.mod, zips, `h1:` sums and the requests of
//! the GOPROXY protocol.
//!
//! Everything here is pure: bytes in, values out. No I/O, no async, no clock. A value that exists has
//! passed its rules, so the rooms above never check twice.

pub mod gomod;
pub mod goproxy;
pub mod gosum;
pub mod h1;
pub mod info;
pub mod latest;
pub mod list;
pub mod path;
pub mod pattern;
pub mod pseudo;
pub mod semver;
pub mod time;
pub mod unicode;
pub mod version;
pub mod zip;

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

pub use h1::H1;
pub use info::{Info, Origin};
pub use path::{EscapedPath, ModulePath};
pub use pattern::Patterns;
pub use version::{ModuleVersion, Query, Version, VersionOrQuery};
