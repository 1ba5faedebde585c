//! The one way out.
//!
//! Every connection modkeep opens to somebody else starts here, so that one gate can promise: the name
//! was resolved once, every address of the answer was judged, and the connection went to a judged
//! address or not at all (`hostile-inputs.md` part E). Here too live the manners and the patience: so
//! many requests to one host at a time, `Retry-After` remembered, failing hosts left alone for a
//! while, and a limit on bytes, time and silence for every body.
//!
//! Hosts that nobody configured are asked at a steady pace, with as many requests at once as one host, one registrable
//! domain and all of them together are given; what their `robots.txt` asks of our name is obeyed, and who asked to be
//! left alone is.
//!
//! A request's life: the caller hands a [`Request`] to [`Egress::get`] or [`Egress::post`]; the host's budget gives it a
//! turn; the gate judges host, port and addresses; the connector dials the judged address (or a
//! forward proxy) and speaks TLS; redirects are followed by our own loop, each through the gate again;
//! the [`Response`]'s [`Body`] is read chunk by chunk under its [`Limits`], and gives the turn back when
//! it ends or is dropped.
//!
//! Children that open their own connections do so through a [`Tunnel`], which asks the same gate.
//!
//! Nothing here reads the environment, installs a process-wide crypto provider or spawns a runtime;
//! system certificate stores alone are found through `SSL_CERT_FILE` and `SSL_CERT_DIR`, as every TLS
//! program does.

mod address;
mod backoff;
mod body;
mod budget;
mod client;
mod connect;
mod courtesy;
mod credentials;
mod domain;
mod error;
mod gate;
mod gunzip;
mod hop;
mod host;
mod manners;
mod pace;
mod place;
mod proxy;
mod request;
mod resolve;
mod robots;
mod surplus;
mod tls;
mod tunnel;

pub use address::forbidden;
pub use body::Body;
pub use client::{Config, Egress, user_agent};
pub use credentials::Credentials;
pub use error::{Class, Error};
pub use host::{AllowRule, BadHost, HostPattern, HostPort};
pub use manners::OptOut;
pub use pace::Pace;
pub use place::Place;
pub use proxy::{BadProxy, ProxyEnv};
pub use request::{Encoding, Kind, Limits, Post, Request, Response, Trust};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use robots::CrawlRules;
pub use tls::SetupError;
pub use tunnel::{Tunnel, TunnelLimits};
