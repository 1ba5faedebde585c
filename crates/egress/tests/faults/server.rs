//! A server that does exactly what a test tells it to, byte by byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// One thing to do after a request's head was read.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Say nothing for so long.
    Wait(Duration),
    /// Send these bytes for ever.
    Flood(Vec<u8>),
    /// One byte each so long, for ever.
    Trickle(Duration),
    /// Close the connection.
    Close,
    /// Close it with a reset.
    Reset,
    /// Pass bytes through to another server, both ways (for `CONNECT`).
    Pipe(SocketAddr),
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
    task: tokio::task::JoinHandle<()>,
}

type Plan = Arc<dyn Fn(&str) -> Vec<Do> + Send + Sync>;

impl Server {
    /// Answers over plain TCP as `plan` says for each request head.
    pub(crate) async fn plain(plan: impl Fn(&str) -> Vec<Do> + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(plan)).await
    }

    /// The same over TLS.
    pub(crate) async fn tls(
        identity: &Identity,
        plan: impl Fn(&str) -> Vec<Do> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(identity.acceptor()), Arc::new(plan)).await
    }

    async fn start(tls: Option<TlsAcceptor>, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::new(Mutex::default()), Arc::new(Mutex::new(0)));
        let (heads, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (tls, plan, heads) = (tls.clone(), Arc::clone(&plan), Arc::clone(&heads));
                tokio::spawn(async move {
                    match tls {
                        None => serve(Raw(stream), plan, heads).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, plan, heads).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, connections, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// The heads of all requests so far, each with its body behind it.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Raw(TcpStream);

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset(&self) {}
}
impl Wire for tokio_rustls::server::TlsStream<TcpStream> {}
impl Wire for Raw {
    fn reset(&self) {
        self.0.set_zero_linger().unwrap();
    }
}

impl AsyncRead for Raw {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Raw {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn serve(mut stream: impl Wire, plan: Plan, heads: Arc<Mutex<Vec<String>>>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        heads.lock().unwrap().push(head.clone() + &String::from_utf8(body).unwrap());
        for step in plan(&head) {
            if perform(&mut stream, step).await.is_none() {
                return;
            }
        }
    }
}

async fn perform(stream: &mut impl Wire, step: Do) -> Option<()> {
    match step {
        Do::Send(bytes) => stream.write_all(&bytes).await.ok()?,
        Do::Wait(time) => tokio::time::sleep(time).await,
        Do::Flood(bytes) => loop {
            stream.write_all(&bytes).await.ok()?;
        },
        Do::Trickle(every) => loop {
            stream.write_all(b"x").await.ok()?;
            stream.flush().await.ok()?;
            tokio::time::sleep(every).await;
        },
        Do::Close => {
            stream.shutdown().await.ok();
            return None;
        }
        Do::Reset => {
            stream.reset();
            return None;
        }
        Do::Pipe(address) => {
            let mut other = TcpStream::connect(address).await.ok()?;
            tokio::io::copy_bidirectional(stream, &mut other).await.ok();
            return None;
        }
    }
    stream.flush().await.ok()
}

/// A certificate for `localhost`, signed by its own authority.
pub(crate) struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
    ca: tempfile::NamedTempFile,
}

impl Identity {
    pub(crate) fn new(names: &[&str], not_after: Option<(i32, u8, u8)>) -> Self {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut leaf = rcgen::CertificateParams::new(names).unwrap();
        if let Some((year, month, day)) = not_after {
            leaf.not_before = rcgen::date_time_ymd(year - 1, month, day);
            leaf.not_after = rcgen::date_time_ymd(year, month, day);
        }
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ca_pem).unwrap();
        Self { certificate, key, ca: file }
    }

    pub(crate) fn ca_file(&self) -> std::path::PathBuf {
        self.ca.path().to_owned()
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_for(&[])
    }

    /// Offers these protocols by ALPN.
    pub(crate) fn acceptor_for(&self, protocols: &[&[u8]]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
