//! The edge: the only room that knows routes, headers and status codes.
//!
//! [`Service`] answers requests and can be mounted into any tower or hyper program; [`Server`] puts it on sockets;
//! [`Admin`] is what operators and their Prometheus see; [`Witness`] is what other logs see of a witness. A failure of
//! any room below becomes a status in `status`, and words in `catalogue`, and nowhere else; but a witness speaks to
//! programs of a protocol of its own, whose few statuses stand with it.

mod admin;
mod announce;
mod asked;
pub mod body;
mod buffer;
mod catalogue;
mod conditional;
#[cfg(target_os = "linux")]
mod direct;
#[cfg(not(target_os = "linux"))]
#[path = "direct_elsewhere.rs"]
mod direct;
mod door;
mod gossip;
mod gzip;
pub mod metrics;
mod pages;
mod posted;
mod probes;
mod refuse;
mod representation;
pub mod serve;
mod service;
mod status;
mod witness;

pub use admin::Admin;
pub use body::Body;
pub use metrics::Metrics;
pub use modkeep_web::Announcement;
pub use probes::{Health, Probes};
pub use serve::Server;
pub use service::{AccessLog, Answering, Config, Faces, Service};
pub use witness::Witness;
