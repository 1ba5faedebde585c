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
    /// The caller bounds the wait and judges every address; an implementation does neither.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The operating system's resolver (`getaddrinfo`, so hosts files and search rules apply as elsewhere).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
