//! A log on loopback, asked through the one way out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use modkeep_egress::{Config, Egress, HostPort};
use modkeep_log::audit::Remote;
use tokio::runtime::Runtime;
use url::Url;

use crate::support::Log;

/// A running server: its threads end with the test's process.
pub(crate) struct Server {
    base: Url,
    runtime: Runtime,
}

impl Server {
    pub(crate) fn start(log: Log) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}/log", listener.local_addr().unwrap())).unwrap();
        let log = Arc::new(log);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(&log, &stream.unwrap()));
            }
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { base, runtime }
    }

    pub(crate) fn remote(&self) -> Remote {
        let _inside = self.runtime.enter();
        let named = vec![HostPort::of(&self.base).unwrap()];
        let egress = Egress::new(Config { named, ..Config::default() }).unwrap();
        Remote::new(egress, self.base.clone(), self.runtime.handle().clone())
    }
}

fn serve(log: &Log, stream: &TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream).lines();
    loop {
        let Some(Ok(request)) = lines.next() else { return };
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let path = request.split(' ').nth(1).unwrap().strip_prefix("/log/").unwrap();
        let (status, body) = match log.answer(path) {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        if stream.write_all(&[head.into_bytes(), body].concat()).is_err() {
            return;
        }
    }
}
