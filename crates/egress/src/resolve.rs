//! From a name to addresses, once per connection and never for longer than 5 seconds (E08).

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// The answer of a resolver, on its way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Turns names into addresses. The system's resolver in service; a scripted one in tests, where names
/// must resolve to whatever an attacker would answer.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `name`, in the order in which they should be tried.
    ///
    /// The caller bounds the wait and judges every address; an implementation does neither. An error of the kind
    /// `NotFound` says that the name does not exist, any other that nobody knows.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The operating system's resolver (`getaddrinfo`, so hosts files and search rules apply as elsewhere).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(with_absence)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The C library's texts for "no such name" and "no address for it": glibc's and musl's. The number behind them does
/// not come through the standard library.
const ABSENT: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
];

fn with_absence(error: io::Error) -> io::Error {
    let text = error.to_string();
    if ABSENT.iter().any(|absent| text.ends_with(absent)) {
        return io::Error::new(io::ErrorKind::NotFound, error);
    }
    error
}
