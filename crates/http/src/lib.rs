//! The edge: the only room that knows routes, headers and status codes.

pub mod body;
pub mod serve;

pub use body::Body;
