//! The mirror under `/go` of somebody else's axum application:
//! `cargo run --example mount -- DIRECTORY STORE`, then `GOPROXY=http://localhost:3000/go GOSUMDB=off go get …`.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use modkeep_fetch::{Fetch, Link, Parts};
use modkeep_http::{Config, Faces, Service};
use modkeep_module::Patterns;
use modkeep_store::{MinFree, Store, SystemClock};
use modkeep_upstream::{Separator, Upstream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (tree, path) = words.next().zip(words.next()).ok_or("usage: mount DIRECTORY STORE")?;

    let config = modkeep_store::Config { path: path.into(), min_free: MinFree::Auto };
    let store = Store::open(config, Arc::new(SystemClock))?;
    let fetch = Fetch::new(Parts {
        store: store.clone(),
        chain: vec![Link::upstream(Upstream::new_tree(tree.into()), Separator::Comma)],
        database: None, // a directory of our own: nothing in it is in a checksum database
        unchecked: Patterns::lenient("*"),
        private: Patterns::lenient(""),
        own: None,
        config: modkeep_fetch::Config::default(),
        observer: modkeep_fetch::unobserved(),
        tracker: TaskTracker::new(),
        cancel: CancellationToken::new(),
    });
    let public_url = "http://localhost:3000/go".to_owned();
    let mirror = Service::new(Faces::new(fetch, store), Config { public_url, ..Config::default() });

    let app = Router::new().route("/", get(|| async { "my application" })).nest_service("/go", mirror);
    Ok(axum::serve(tokio::net::TcpListener::bind("localhost:3000").await?, app).await?)
}
