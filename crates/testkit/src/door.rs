//! A listening socket with a thread for each connection, and requests as they come over it.
//!
//! What [`crate::git`] and [`crate::pages`] have in common: they must answer wrongly to order, so they are
//! written on bare sockets.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Longest request body that is taken: a fetch request of every object of a large repository is below.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A stream under TLS or without.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One request with its whole body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// As sent, after chunks were put together: possibly compressed.
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Path and query of the target, which a client of a proxy sends as a whole URL.
    pub(crate) fn path_and_query(&self) -> (&str, &str) {
        let path = match self.target.split_once("://") {
            None => self.target.as_str(),
            Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        };
        path.split_once('?').unwrap_or((path, ""))
    }

    /// Reads the next request; `None` when the client has closed.
    pub(crate) fn read(wire: &mut (impl BufRead + WriteBack)) -> io::Result<Option<Self>> {
        let Some(mut request) = read_head(wire)? else { return Ok(None) };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            wire.write_back(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = request.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        if chunked {
            while let Some(mut chunk) = read_chunk(wire)? {
                request.body.append(&mut chunk);
                limit(request.body.len())?;
            }
        } else if let Some(length) = request.header("content-length").and_then(|v| v.parse().ok()) {
            limit(length)?;
            request.body = vec![0; length];
            wire.read_exact(&mut request.body)?;
        }
        Ok(Some(request))
    }
}

/// The other direction of a buffered connection.
pub(crate) trait WriteBack {
    fn write_back(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl<W: Wire> WriteBack for io::BufReader<W> {
    fn write_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.get_mut().write_all(bytes)?;
        self.get_mut().flush()
    }
}

fn limit(length: usize) -> io::Result<()> {
    if length > BODY_BYTES_MAX { Err(io::Error::other("a request body beyond all measure")) } else { Ok(()) }
}

fn read_head(wire: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
    Ok(Some(Request { method, target, headers, body: Vec::new() }))
}

fn read_chunk(wire: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    wire.read_line(&mut line)?;
    let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
    limit(length)?;
    let mut chunk = vec![0; length];
    wire.read_exact(&mut chunk)?;
    wire.read_line(&mut String::new())?; // the line end behind a chunk, or behind the last one
    Ok((length > 0).then_some(chunk))
}

/// A listening socket on 127.0.0.1 that hands each connection to `serve` in a thread of its own.
#[derive(Debug)]
pub(crate) struct Door {
    open: Arc<Mutex<Open>>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Open {
    streams: Vec<TcpStream>,
    stopped: bool,
}

impl Door {
    pub(crate) fn open(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let open = Arc::<Mutex<Open>>::default();
        let accepting = Some(accept(listener, Arc::clone(&open), serve));
        Self { open, address, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) fn close(&mut self) {
        {
            let mut open = lock(&self.open);
            open.stopped = true;
            open.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
        if let Some(accepting) = self.accepting.take() {
            drop(TcpStream::connect(self.address)); // the accept call returns and sees that it is over
            accepting.join().expect("the accepting thread does not panic");
        }
    }

    /// Listens on the same port again.
    pub(crate) fn reopen(&mut self, serve: impl Fn(TcpStream) + Clone + Send + 'static) {
        assert!(self.accepting.is_none(), "a door is opened after it was closed");
        let listener = TcpListener::bind(self.address).expect("our port is still free");
        lock(&self.open).stopped = false;
        self.accepting = Some(accept(listener, Arc::clone(&self.open), serve));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(
    listener: TcpListener,
    open: Arc<Mutex<Open>>,
    serve: impl Fn(TcpStream) + Clone + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let mut open = lock(&open);
            if open.stopped {
                return;
            }
            open.streams.retain(|stream| stream.peer_addr().is_ok()); // those that have ended
            open.streams.extend(stream.try_clone());
            drop(open);
            let serve = serve.clone();
            // A connection ends with its client or with `close`, which shuts the socket: nothing to join.
            std::thread::spawn(move || serve(stream));
        }
    })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
