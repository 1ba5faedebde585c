//! The listener side: sockets, threads, TLS, HTTP/1.1 and HTTP/2, limits for each connection, a clean stop.
//!
//! Each core runs its own thread with its own single-threaded runtime and its own listening socket
//! (`SO_REUSEPORT`), so a request that is answered from memory never leaves its core. What has to wait (the ledger,
//! a fetch) is handed by [`crate::Service`] to the runtime it was given.
//!
//! A connection is watched by its core's sweeper, once a second, instead of by timers of its own: no request pays
//! for arming one. The rules it keeps are the fields of [`Limits`].

mod connection;
mod core;
mod gauge;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use self::connection::Answerer;
pub use self::core::Crowd;
pub use self::tls::{Tls, TlsError};

/// Connections that the kernel keeps waiting for a socket; more than one second's worth of new ones.
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 1024;

/// What one connection may do. The defaults are those of hostile-inputs part 1.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once; the next one is closed as soon as it is accepted. Default 8,192.
    pub connections: usize,
    /// Connections open at once from one IPv4 address or one IPv6 /64. Default 256.
    pub connections_per_address: usize,
    /// Whether loopback is free of `connections_per_address`: a reverse proxy on this machine is one address.
    /// Default true.
    pub loopback_is_free: bool,
    /// From the first byte of a request, or from the connection's start, to the end of its head. Default 10 s
    /// (A22).
    pub head: Duration,
    /// From the connection's start to the end of the TLS handshake. Default 10 s (A23).
    pub handshake: Duration,
    /// A quiet connection is kept this long. Default 120 s: longer than the go command's own 90 s (P-115), so that
    /// it is the client who lets go.
    pub idle: Duration,
    /// The least a reader may take, in bytes per second over `rate_window`. Default 1 KiB/s (A24).
    pub rate_min_bytes: u64,
    /// Over which time that is measured. Default 60 s.
    pub rate_window: Duration,
    /// HTTP/2 requests in flight on one connection. Default 128.
    pub streams: u32,
    /// HTTP/2 requests that a client may abandon within 10 s before its connection is closed. Default 200 (A20).
    pub resets: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8192,
            connections_per_address: 256,
            loopback_is_free: true,
            head: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            rate_min_bytes: 1 << 10,
            rate_window: Duration::from_mins(1),
            streams: 128,
            resets: 200,
        }
    }
}

/// How a listener is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Threads, each with a runtime and a listening socket of its own. Default: one for each core.
    pub threads: NonZeroUsize,
    /// The certificate, for https. Default none.
    pub tls: Option<Tls>,
    /// The rules for each connection.
    pub limits: Limits,
    /// Whether the service reads bodies of requests. Default no: then no line feed without a carriage return passes in
    /// HTTP/1.1, which spoils bodies as it does malformed heads (A12).
    pub reads_bodies: bool,
    /// After the stop is asked for: how long bodies under way may take. Default 30 s (R17).
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            tls: None,
            limits: Limits::default(),
            reads_bodies: false,
            drain: Duration::from_secs(30),
        }
    }
}

/// Why a listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, is not ours, or needs more rights.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The system's word for it.
        cause: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a serving thread: {0}")]
    Thread(io::Error),
}

/// Sockets that are bound and listening but not yet served: a client that connects now waits, it is not refused.
#[derive(Debug)]
pub struct Server {
    config: Config,
    addresses: Vec<SocketAddr>,
    /// For each thread, one socket for each address.
    sockets: Vec<Vec<std::net::TcpListener>>,
}

impl Server {
    /// Binds every address, once for each thread. Port 0 takes a free port; see [`Server::addresses`].
    ///
    /// An address where any other program listens is refused, although `SO_REUSEPORT` alone would let two of
    /// one user's programs share it in silence.
    pub fn bind(addresses: &[SocketAddr], config: Config) -> Result<Self, ServeError> {
        let mut bound = Vec::with_capacity(addresses.len());
        let mut sockets: Vec<Vec<_>> = (0..config.threads.get()).map(|_| Vec::new()).collect();
        for &address in addresses {
            let refused = |cause| ServeError::Bind { address, cause };
            if address.port() != 0 {
                drop(std::net::TcpListener::bind(address).map_err(refused)?);
            }
            let mut actual = address;
            let mut first = None;
            for thread in &mut sockets {
                let socket = listen(actual, first).map_err(refused)?;
                actual = socket.local_addr().map_err(refused)?;
                thread.push(socket);
                first = thread.last();
            }
            bound.push(actual);
        }
        Ok(Self { config, addresses: bound, sockets })
    }

    /// The addresses as bound, in the order given, with real ports in place of 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts the threads. They serve until `stop`, then let the bodies under way end, for at most
    /// [`Config::drain`]; what is left then is cut with a transport error, never with a clean end (R17).
    pub fn serve<S: Answerer>(self, service: S, stop: CancellationToken) -> Result<Running, ServeError> {
        let crowd = Arc::new(Crowd::new(&self.config.limits));
        let stop = stop.child_token();
        // Where a later thread cannot be started, the earlier ones end; disarmed at the end.
        let undo = stop.clone().drop_guard();
        let mut threads = Vec::with_capacity(self.sockets.len());
        for (number, listeners) in self.sockets.into_iter().enumerate() {
            let core = core::Core {
                service: service.clone(),
                config: self.config.clone(),
                crowd: Arc::clone(&crowd),
                stop: stop.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                // Only reads of files that are not in memory come here; the disk, not we, is the limit.
                .max_blocking_threads(64)
                .build()
                .map_err(ServeError::Thread)?;
            let (ending, ended) = oneshot::channel::<()>();
            let handle = thread::Builder::new()
                .name(format!("serve-{number}"))
                .spawn(move || {
                    let _ending = ending; // dropped, and so told, even when the thread panics
                    runtime.block_on(core.run(listeners));
                })
                .map_err(ServeError::Thread)?;
            threads.push((ended, handle));
        }
        undo.disarm();
        Ok(Running { threads, crowd })
    }
}

/// A listening socket that shares its port with those of the other threads; the kernel spreads the connections.
#[cfg(target_os = "linux")]
fn listen(address: SocketAddr, _first: Option<&std::net::TcpListener>) -> io::Result<std::net::TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

    // std has no way to set an option before it binds.
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Elsewhere the threads take turns at one socket.
#[cfg(not(target_os = "linux"))]
fn listen(address: SocketAddr, first: Option<&std::net::TcpListener>) -> io::Result<std::net::TcpListener> {
    let socket = match first {
        Some(first) => first.try_clone()?,
        None => std::net::TcpListener::bind(address)?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The threads of a [`Server`] at work.
#[derive(Debug)]
pub struct Running {
    threads: Vec<(oneshot::Receiver<()>, thread::JoinHandle<()>)>,
    crowd: Arc<Crowd>,
}

impl Running {
    /// Who is connected, for the metrics.
    pub fn crowd(&self) -> Arc<Crowd> {
        Arc::clone(&self.crowd)
    }

    /// Waits until every thread has ended; they end after the stop token is cancelled.
    pub async fn join(self) {
        for (ended, handle) in self.threads {
            // The sender is only ever dropped; an error here is the news itself.
            let _ = ended.await;
            if handle.join().is_err() {
                tracing::error!(event = "stop", "a serving thread panicked");
            }
        }
    }
}
