//! Serves a directory in the layout of the protocol, with nothing checked in a checksum database:
//! `cargo run --release --example tree -- DIRECTORY STORE 127.0.0.1:8080`.
//!
//! It is the smallest program around [`modkeep_http::Server`], and what the edge is measured with.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use modkeep_fetch::{Fetch, Link};
use modkeep_http::serve::Config as Listening;
use modkeep_http::{Config, Faces, Server, Service};
use modkeep_module::Patterns;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_upstream::{Separator, Upstream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The rooms, from the store up.
fn faces(tree: PathBuf, store: PathBuf) -> Result<Faces, modkeep_store::Error> {
    let config = modkeep_store::Config { path: store, min_free: MinFree::Auto };
    let store = Store::open(config, Arc::new(SystemClock))?;
    let fetch = Fetch::new(modkeep_fetch::Parts {
        store: store.clone(),
        chain: vec![Link::upstream(Upstream::new_tree(tree), Separator::Comma)],
        database: None,
        unchecked: Patterns::lenient("*"),
        private: Patterns::lenient(""),
        own: None,
        config: modkeep_fetch::Config::default(),
        observer: modkeep_fetch::unobserved(),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    Ok(Faces::new(fetch, store))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(tree), Some(store), Some(listen)) = (words.next(), words.next(), words.next()) else {
        return Err("usage: tree DIRECTORY STORE ADDRESS [THREADS]".into());
    };
    let listen: SocketAddr = listen.parse()?;
    let public_url = format!("http://{listen}");
    let config = Config { public_url, runtime: Some(Handle::current()), ..Config::default() };
    let service = Service::new(faces(tree.into(), store.into())?, config);
    let mut listening = Listening::default();
    if let Some(threads) = words.next() {
        listening.threads = threads.parse::<NonZeroUsize>()?;
    }
    let stop = CancellationToken::new();
    let running = Server::bind(&[listen], listening)?.serve(service, stop.clone())?;
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    running.join().await;
    Ok(())
}
