//! The connector: through the gate, to a vetted address, perhaps through a forward proxy, into TLS.
//!
//! This is the only place that opens a socket. The HTTP library calls it with a URL whenever its pool
//! has no connection; an address literal comes the same way as a name, so nothing slips past (E01).

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::Url;

use crate::error::Error;
use crate::gate::{Gate, Standing};
use crate::host::HostPort;
use crate::proxy::{Proxy, ProxyEnv};
use crate::request::Trust;
use crate::resolve::Resolve;
use crate::surplus::{Stream, Wire, WireKind};

/// How long one address may take to accept us; then the next one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a TLS handshake, or a proxy's answer to `CONNECT`, may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How many of a name's addresses are tried.
const TRIES_MAX: usize = 4;
/// The longest head of a proxy's answer to `CONNECT`, and of a child's request to a tunnel.
const PROXY_HEAD_MAX: usize = 16 * 1024;

/// Everything a connection needs.
pub(crate) struct Ways {
    pub(crate) gate: Gate,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) proxies: ProxyEnv,
    pub(crate) tls: Arc<ClientConfig>,
    /// The same for [`Trust::Insecure`]: any certificate will do.
    pub(crate) tls_unchecked: Arc<ClientConfig>,
}

/// The connector, as the HTTP library wants it.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) ways: Arc<Ways>,
    pub(crate) trust: Trust,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (ways, trust) = (Arc::clone(&self.ways), self.trust);
        Box::pin(async move { ways.open(&target, trust).await.map(TokioIo::new) })
    }
}

impl Ways {
    /// Opens a connection for a URL. The gate judges again here, whatever the caller judged before.
    async fn open(&self, target: &Uri, trust: Trust) -> Result<Wire, Error> {
        let (place, tls) = place_of(target)?;
        let standing = self.gate.judge(&place, tls, trust)?;
        let proxy = self.proxies.before(target);
        let stream = self.reach(&place, tls, standing, proxy.as_ref()).await?;
        match (tls, proxy) {
            (true, _) => self.secure(&place, stream, trust).await,
            (false, None) => Ok(Wire::new(stream, WireKind::Http1)),
            (false, Some(_)) => Ok(Wire::new(stream, WireKind::ForwardProxy)),
        }
    }

    /// A stream to a judged place, or for plain http to the forward proxy before it; TLS is yet to be spoken.
    pub(crate) async fn reach(
        &self,
        place: &HostPort,
        tls: bool,
        standing: Standing,
        proxy: Option<&Proxy>,
    ) -> Result<Box<dyn Stream>, Error> {
        match proxy {
            None => dial(place, self.gate.addresses(&*self.resolver, place, standing).await?).await,
            Some(proxy) => self.through(proxy, place, tls, standing).await,
        }
    }

    /// A stream to the place through a forward proxy, or to the proxy itself for plain http.
    ///
    /// A stranger is resolved and vetted here all the same; then the proxy is given the name.
    async fn through(
        &self,
        proxy: &Proxy,
        place: &HostPort,
        tls: bool,
        standing: Standing,
    ) -> Result<Box<dyn Stream>, Error> {
        if standing == Standing::Stranger {
            self.gate.addresses(&*self.resolver, place, standing).await?;
        }
        let addresses = self.gate.addresses(&*self.resolver, &proxy.place, Standing::Exempt).await?;
        let mut stream = dial(&proxy.place, addresses).await?;
        if proxy.tls {
            // Forward proxies speak HTTP/1 with us, so nothing else is offered.
            let mut config = ClientConfig::clone(&self.tls);
            config.alpn_protocols.clear();
            stream = Box::new(handshake(Arc::new(config), &proxy.place, stream).await?);
        }
        if tls {
            tunnel(&mut stream, place, proxy.authorization.as_ref()).await?;
        }
        Ok(stream)
    }

    async fn secure(&self, place: &HostPort, stream: Box<dyn Stream>, trust: Trust) -> Result<Wire, Error> {
        let config = match trust {
            Trust::Verified => &self.tls,
            Trust::Insecure => &self.tls_unchecked,
        };
        let stream = handshake(Arc::clone(config), place, stream).await?;
        let kind = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => WireKind::Http2,
            _ => WireKind::Http1,
        };
        Ok(Wire::new(Box::new(stream), kind))
    }
}

/// The place in a URL that the HTTP library hands over, read by the same parser as everywhere (E06).
pub(crate) fn place_of(target: &Uri) -> Result<(HostPort, bool), Error> {
    let refused =
        || Error::Refused { host: target.to_string(), reason: "not an http or https address".into() };
    let url = Url::parse(&target.to_string()).map_err(|_| refused())?;
    match url.scheme() {
        "https" => Ok((HostPort::of(&url).ok_or_else(refused)?, true)),
        "http" => Ok((HostPort::of(&url).ok_or_else(refused)?, false)),
        _ => Err(refused()),
    }
}

async fn dial(place: &HostPort, addresses: Vec<SocketAddr>) -> Result<Box<dyn Stream>, Error> {
    let mut reason = String::new();
    for address in addresses.into_iter().take(TRIES_MAX) {
        match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are one small packet; waiting to fill it would only cost time.
                stream.set_nodelay(true).ok();
                return Ok(Box::new(stream));
            }
            Ok(Err(error)) => reason = error.to_string(),
            Err(_) => reason = format!("no answer within {}s", CONNECT_LIMIT.as_secs()),
        }
    }
    Err(Error::Connect { host: place.to_string(), reason })
}

async fn handshake(
    config: Arc<ClientConfig>,
    place: &HostPort,
    stream: Box<dyn Stream>,
) -> Result<tokio_rustls::client::TlsStream<Box<dyn Stream>>, Error> {
    let failed = |reason: String| Error::Tls { host: place.to_string(), reason };
    let name = ServerName::try_from(place.host().to_owned()).map_err(|error| failed(error.to_string()))?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    match tokio::time::timeout(HANDSHAKE_LIMIT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no handshake within {}s", HANDSHAKE_LIMIT.as_secs()))),
    }
}

/// Asks a forward proxy for a tunnel to the place, by name.
async fn tunnel(
    stream: &mut Box<dyn Stream>,
    place: &HostPort,
    authorization: Option<&HeaderValue>,
) -> Result<(), Error> {
    let failed = |reason: String| Error::Connect { host: place.to_string(), reason };
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let exchange = async {
        stream.write_all(&request).await?;
        stream.flush().await?;
        read_head(stream).await
    };
    let head = tokio::time::timeout(HANDSHAKE_LIMIT, exchange)
        .await
        .map_err(|_| failed("the proxy did not answer".to_owned()))?
        .map_err(|error| failed(format!("the proxy hung up: {error}")))?;
    match proxy_status(&head) {
        Some(b"200") => Ok(()),
        Some(status) => Err(failed(format!("the proxy answered {}", String::from_utf8_lossy(status)))),
        None => Err(failed("the proxy did not answer in HTTP".to_owned())),
    }
}

/// Reads up to and including the empty line, byte by byte: what follows belongs to the tunnel.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == PROXY_HEAD_MAX {
            return Err(std::io::Error::other("a head without end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn proxy_status(head: &[u8]) -> Option<&[u8]> {
    let mut words = head.split(|byte| *byte == b' ' || *byte == b'\r');
    let version = words.next()?;
    let status = words.next()?;
    (version.starts_with(b"HTTP/1.") && status.len() == 3 && status.iter().all(u8::is_ascii_digit))
        .then_some(status)
}
