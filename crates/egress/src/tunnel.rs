//! A door in the wall for children: version control programs that open their own connections.
//!
//! A child's `http_proxy` and `https_proxy` name a [`Tunnel`]: a socket on loopback that opens for one secret, asks
//! the gate like any request of ours (resolve once, vet, dial the vetted address), and passes bytes. So a child
//! reaches what we would reach, and nothing else (E03); a name that means something else at the second look is
//! looked at once only.
//!
//! A tunnel lives for one errand. Its first connection to a host takes one of the host's turns, all further ones
//! share it, and the end of the tunnel gives it back.

mod asked;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::body::TRICKLE;
use crate::budget::Turn;
use crate::client::Egress;
use crate::connect::read_head;
use crate::error::{Class, Error};
use crate::host::HostPort;
use crate::request::{Kind, Trust};
use crate::surplus::Stream;
use asked::Asked;

/// The name that goes with the secret.
const USER: &str = "modkeep";
/// Connections of one errand at a time. git has one or two, svn four.
const CONNECTIONS_MAX: usize = 16;
/// Hosts of one errand: the repository's, and those it redirects to.
const HOSTS_MAX: usize = 16;
/// How long a child may take to say where it wants to go.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that are passed at a time.
const PIECE: usize = 64 * 1024;

/// What passes through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Bytes towards the child, of all its connections together.
    pub bytes_max: u64,
    /// How long a host may be silent after the child has spoken, until at least 1 KiB has come; then the connection
    /// is cut (C17, C18).
    pub silence: Duration,
    /// Who may answer. [`Trust::Insecure`] lets plain http pass to hosts that are not configured; certificates are the
    /// child's affair.
    pub trust: Trust,
}

impl Default for TunnelLimits {
    /// For one fetch of a repository: 2 GiB, 30 s of silence, verified hosts (`hostile-inputs.md` part 1).
    fn default() -> Self {
        Self { bytes_max: 2 << 30, silence: Duration::from_secs(30), trust: Trust::Verified }
    }
}

/// A loopback proxy for one errand. Dropped, it is gone, and all its connections are cut.
///
/// It speaks `CONNECT` for https, and whole URLs for plain http.
pub struct Tunnel {
    address: SocketAddr,
    password: String,
    errand: Arc<Errand>,
    task: AbortHandle,
}

impl Egress {
    /// Opens a tunnel for one errand.
    ///
    /// Fails when there is no port on loopback or no randomness.
    pub async fn tunnel(&self, limits: TunnelLimits) -> io::Result<Tunnel> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let password = self.secret()?;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
        let errand = Arc::new(Errand {
            egress: self.clone(),
            limits,
            login: format!("Basic {login}"),
            turns: Mutex::default(),
            bytes: AtomicU64::new(0),
            trouble: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&errand))).abort_handle();
        Ok(Tunnel { address, password, errand, task })
    }

    fn secret(&self) -> io::Result<String> {
        let mut bytes = [0; 16];
        let random = self.ways().tls.crypto_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| io::Error::other("the system gives no randomness"))?;
        Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl Tunnel {
    /// Where it listens: 127.0.0.1 and a port of its own.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name that it asks for.
    pub fn user(&self) -> &str {
        USER
    }

    /// The secret that it asks for: 22 letters, digits, `-` and `_`, others for each tunnel.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// All in one, as `http_proxy` and `https_proxy` take it. Not for logs.
    pub fn url(&self) -> String {
        format!("http://{USER}:{}@{}", self.password, self.address)
    }

    /// Bytes that have come for the child so far.
    pub fn bytes(&self) -> u64 {
        self.errand.bytes.load(Ordering::Relaxed)
    }

    /// The first thing that went wrong on the way, for whoever must explain why the child failed.
    pub fn trouble(&self) -> Option<Error> {
        self.errand.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the connections of one tunnel have in common.
struct Errand {
    egress: Egress,
    limits: TunnelLimits,
    /// The header value that opens the door.
    login: String,
    turns: Mutex<HashMap<HostPort, Arc<OnceCell<Turn>>>>,
    bytes: AtomicU64,
    trouble: Mutex<Option<Error>>,
}

/// The connections live in this task, so that they end with it.
async fn accept(listener: TcpListener, errand: Arc<Errand>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((child, _)) = listener.accept().await else { break };
        child.set_nodelay(true).ok();
        let errand = Arc::clone(&errand);
        connections.spawn(async move {
            // The child sees a cut connection; why, the errand's owner is told.
            drop(errand.serve(child).await);
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Errand {
    async fn serve(&self, child: TcpStream) -> io::Result<()> {
        let mut child = BufReader::new(child);
        let head = tokio::time::timeout(HEAD_LIMIT, read_head(&mut child)).await??;
        let asked = match Asked::read(&head, &self.login) {
            Ok(asked) => asked,
            Err(no) => return answer(&mut child, no.status, no.field).await,
        };
        let (place, server) = match self.reach(&asked).await {
            Ok(reached) => reached,
            Err(error) => {
                let more = error.retry_after().map(|wait| format!("Retry-After: {}\r\n", wait.as_secs() + 1));
                let status = match error.class() {
                    Class::Refusal => "403 Forbidden",
                    Class::Busy => "503 Service Unavailable",
                    Class::Trouble | Class::Limit => "502 Bad Gateway",
                };
                self.note(error);
                return answer(&mut child, status, &more.unwrap_or_default()).await;
            }
        };
        self.converse(child, &place, server, &asked).await
    }

    /// Through the gate, once, and to the address that it let pass; or to the operator's forward proxy.
    async fn reach(&self, asked: &Asked) -> Result<(HostPort, Reached), Error> {
        let ways = self.egress.ways();
        let place = asked.place().clone();
        let standing = ways.gate.judge(&place, asked.tls(), self.limits.trust)?;
        let turn = self.turn(&place).await?;
        let target = asked.target().ok_or_else(|| Error::Refused {
            host: place.to_string(),
            reason: "the address cannot be put into a request".to_owned(),
        })?;
        let proxy = ways.proxies.before(&target);
        let stream = ways.reach(&place, asked.tls(), standing, proxy.as_ref()).await;
        if let Err(error) = &stream
            && error.class() == Class::Trouble
            && let Some(turn) = turn.get()
        {
            turn.failed();
        }
        Ok((place, Reached { stream: stream?, turn, head: asked.head(proxy.as_ref()) }))
    }

    /// The turn of a host, taken by the first connection to it.
    async fn turn(&self, place: &HostPort) -> Result<Arc<OnceCell<Turn>>, Error> {
        let cell = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= HOSTS_MAX && !turns.contains_key(place) {
                return Err(Error::Refused {
                    host: place.to_string(),
                    reason: format!("more than {HOSTS_MAX} hosts in one errand"),
                });
            }
            Arc::clone(turns.entry(place.clone()).or_default())
        };
        cell.get_or_try_init(|| self.egress.turn(place, Kind::Origin)).await?;
        Ok(cell)
    }

    async fn converse(
        &self,
        mut child: BufReader<TcpStream>,
        place: &HostPort,
        mut server: Reached,
        asked: &Asked,
    ) -> io::Result<()> {
        match &server.head {
            None => child.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
            Some(head) => server.stream.write_all(head).await?,
        }
        // The child's end stays open until the errand knows what happened: its owner looks as soon as the child ends.
        let (child_in, mut child_out) = tokio::io::split(child);
        let (server_in, server_out) = tokio::io::split(server.stream);
        let spoken = AtomicBool::new(matches!(asked, Asked::Plain { .. }));
        let up = async {
            questions(child_in, server_out, &spoken).await;
            std::future::pending::<()>().await;
        };
        let passed = tokio::select! {
            () = up => Ok(()),
            passed = self.answers(server_in, &mut child_out, place, &spoken) => passed,
        };
        match passed {
            Ok(()) => {
                if let Some(turn) = server.turn.get() {
                    turn.succeeded();
                }
            }
            Err(error) => {
                // Silence is not held against the host: a child that thinks for long looks the same from here.
                if let (Error::Truncated { .. }, Some(turn)) = (&error, server.turn.get()) {
                    turn.failed();
                }
                self.note(error);
            }
        }
        Ok(())
    }

    /// Passes on what the server says. Only the server's time counts, not that of a child that reads slowly or thinks.
    async fn answers(
        &self,
        mut server: impl AsyncRead + Unpin,
        mut child: impl AsyncWrite + Unpin,
        place: &HostPort,
        spoken: &AtomicBool,
    ) -> Result<(), Error> {
        let host = place.to_string();
        let TunnelLimits { bytes_max, silence, .. } = self.limits;
        let (mut waited, mut progress) = (Duration::ZERO, 0);
        let mut piece = vec![0; PIECE];
        loop {
            let began = Instant::now();
            let read = tokio::time::timeout(silence.saturating_sub(waited), server.read(&mut piece)).await;
            let Ok(read) = read else { return Err(Error::Silent { host, after: silence }) };
            let bytes = match read {
                Ok(0) => {
                    child.shutdown().await.ok();
                    return Ok(());
                }
                Ok(bytes) => bytes,
                Err(error) => return Err(Error::Truncated { host, reason: error.to_string() }),
            };
            waited += began.elapsed();
            progress += bytes as u64;
            if progress >= TRICKLE || spoken.swap(false, Ordering::Relaxed) {
                (waited, progress) = (Duration::ZERO, 0);
            }
            if self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64 > bytes_max {
                return Err(Error::TooLarge { host, limit: bytes_max, declared: None });
            }
            let piece = piece.get(..bytes).unwrap_or_default();
            if child.write_all(piece).await.is_err() {
                return Ok(()); // the child has heard enough
            }
        }
    }

    fn note(&self, error: Error) {
        tracing::debug!(%error, "a tunnel for a child");
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A host that was reached, and what it must hear first.
struct Reached {
    stream: Box<dyn Stream>,
    turn: Arc<OnceCell<Turn>>,
    /// The head of a plain request; under TLS the child speaks for itself.
    head: Option<Vec<u8>>,
}

/// Passes on what the child says, and that it has said something.
async fn questions(
    mut child: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    spoken: &AtomicBool,
) {
    let mut piece = vec![0; PIECE];
    while let Ok(bytes @ 1..) = child.read(&mut piece).await {
        spoken.store(true, Ordering::Relaxed);
        let piece = piece.get(..bytes).unwrap_or_default();
        if server.write_all(piece).await.is_err() || server.flush().await.is_err() {
            return;
        }
    }
    server.shutdown().await.ok();
}

async fn answer(child: &mut BufReader<TcpStream>, status: &str, more: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
    child.write_all(head.as_bytes()).await?;
    child.shutdown().await
}
