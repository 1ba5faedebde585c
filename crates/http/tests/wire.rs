//! What only sockets show: malformed framing, slow and greedy clients, TLS, a clean stop.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "wire/announced.rs"]
mod announced;
mod house;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use house::{House, LARGE};
use modkeep_http::Server;
use modkeep_http::serve::{Config, Limits, Running, ServeError, Tls};
use modkeep_testkit::client::{self, Answer, Pending};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A house on a port, served by two threads of its own.
struct Street {
    house: House,
    address: SocketAddr,
    stop: CancellationToken,
    running: Option<Running>,
    runtime: Runtime,
}

impl Street {
    fn open(config: Config) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let house = {
            let _inside = runtime.enter();
            House::build(Some(runtime.handle().clone()))
        };
        let config = Config { threads: NonZeroUsize::new(2).unwrap(), ..config };
        let server = Server::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))], config).unwrap();
        let address = server.addresses()[0];
        let stop = CancellationToken::new();
        let running = server.serve(house.service.clone(), stop.clone()).unwrap();
        Self { house, address, stop, running: Some(running), runtime }
    }

    fn with_limits(limits: Limits) -> Self {
        Self::open(Config { limits, ..Config::default() })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn raw(&self, bytes: &[u8]) -> Answer {
        client::raw(&self.url(""), bytes)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn hits(&self, limit: &str) -> u64 {
        let hits = self.running.as_ref().unwrap().crowd().limit_hits();
        hits.iter().find(|(name, _)| *name == limit).unwrap().1
    }

    /// Stops, and waits for the end.
    fn close(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.join());
        }
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until the other side closes, and says how long that took.
fn until_closed(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new());
    began.elapsed()
}

#[test]
fn a_connection_is_kept_after_errors() {
    let street = Street::open(Config::default());
    let mut stream = street.connect();
    for (path, status) in [("/nothing", "404"), ("/example.com//m", "400"), ("/healthz", "200")] {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).unwrap();
        let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[test]
fn every_answer_tells_its_length() {
    let street = Street::open(Config::default());
    let zip = street.house.world.release(LARGE, "v1.0.0").zip.clone();
    for (path, length) in [(format!("/{LARGE}/@v/v1.0.0.zip"), Some(zip.len())), ("/nothing".into(), None)] {
        let told = client::get(&street.url(&path));
        assert!(told.complete);
        assert_eq!(told.header("transfer-encoding"), None);
        let length = length.unwrap_or(told.body.len()).to_string();
        assert_eq!(told.header("content-length"), Some(length.as_str()));
    }
    assert_eq!(client::get(&street.url(&format!("/{LARGE}/@v/v1.0.0.zip"))).body, zip);
}

#[test]
fn large_bodies_come_whole_one_after_the_other_on_one_connection() {
    let street = Street::open(Config::default());
    let zip = street.house.world.release(LARGE, "v1.0.0").zip.clone();
    let path = format!("/{LARGE}/@v/v1.0.0.zip");
    assert_eq!(client::get(&street.url(&path)).body, zip);
    let end = zip.len() - 1;
    let parts = [(0, end), (0, 0), (1, 600_000), (end - 70_000, end), (524_288, 524_289)];
    let mut stream = street.connect();
    // All asked for before anything is read, so that answers wait for each other and for the reader.
    for (from, to) in parts {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nRange: bytes={from}-{to}\r\n\r\n").unwrap();
    }
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    let mut rest = got.as_slice();
    for (from, to) in parts {
        let head = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert!(rest.starts_with(b"HTTP/1.1 206 "), "{from}-{to}");
        let (body, next) = rest[head..].split_at(to - from + 1);
        assert!(body == &zip[from..=to], "{from}-{to}");
        rest = next;
    }
    assert!(rest.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn hostile_a12_ambiguous_framing_is_refused_and_the_connection_closed() {
    let street = Street::open(Config::default());
    for (what, request) in [
        ("two lengths", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        // Two equal lengths are one length to hyper, as RFC 9110 allows; nobody can read that in two ways.
        (
            "length and chunks",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunks, then identity",
            "GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ),
        ("bare line feeds", "GET /healthz HTTP/1.1\nHost: x\n\n"),
        ("one bare line feed", "GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
        ("folded field", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"),
        ("space before colon", "GET /healthz HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n"),
        ("no version", "GET /healthz\r\n\r\n"),
        ("garbage", "\x16\x03\x01\x02\x00\r\n\r\n"),
    ] {
        // The answer ends when the server closes: no `Connection: close` was asked for.
        let told = street.raw(request.as_bytes());
        assert_eq!(told.status, 400, "{what}");
        assert!(told.took < Duration::from_secs(5), "{what}: the connection stayed open");
    }
}

#[test]
fn hostile_a13_floods_of_head_are_cut() {
    let street = Street::open(Config::default());
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", "X: y\r\n".repeat(1000));
    let wide =
        format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(64 << 10));
    for request in [long, many, wide] {
        let told = street.raw(request.as_bytes());
        // The answer may be lost when the server closes while we still send.
        assert!(matches!(told.status, 414 | 431 | 0), "{}", told.status);
    }
}

#[test]
fn hostile_a10_connect_is_refused_on_the_wire() {
    let street = Street::open(Config::default());
    let told = street.raw(b"CONNECT internal.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!((told.status, told.header("allow")), (405, Some("GET, HEAD")));
    let told = street.raw(b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(told.status, 400);
}

#[test]
fn hostile_a22_a_head_that_trickles_is_cut_while_others_are_served() {
    let street = Street::with_limits(Limits { head: Duration::from_millis(400), ..Limits::default() });
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = street.connect();
            stream.write_all(b"GET /healthz HT").unwrap();
            stream
        })
        .collect();
    let silent = street.connect();
    assert_eq!(client::get(&street.url("/healthz")).status, 200);
    for stream in slow {
        assert!(until_closed(stream) < Duration::from_secs(5));
    }
    assert!(until_closed(silent) < Duration::from_secs(5));
    assert_eq!(street.hits("request_head"), 51);
}

#[test]
fn hostile_a24_a_reader_that_takes_nothing_is_cut() {
    let limits =
        Limits { rate_window: Duration::from_millis(500), rate_min_bytes: 1 << 20, ..Limits::default() };
    let street = Street::with_limits(limits);
    let url = street.url(&format!("/{LARGE}/@v/v1.0.0.zip"));
    assert_eq!(client::get(&url).status, 200);
    let mut readers: Vec<Pending> = (1..=5).map(|from| Pending::send(&url, from)).collect();
    // Enough answers on one connection that the sockets' buffers cannot take them.
    let mut greedy = street.connect();
    for _ in 0..30 {
        write!(greedy, "GET /{LARGE}/@v/v1.0.0.zip HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    for reader in &mut readers {
        reader.read_some();
    }
    let began = Instant::now();
    while street.hits("reader_rate") == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody was cut");
        std::thread::sleep(Duration::from_millis(20)); // another process's sockets: there is nothing to wait on
    }
    let mut taken = Vec::new();
    let _ = greedy.read_to_end(&mut taken);
    assert!(taken.len() < 30 << 20, "{} bytes came through", taken.len());
}

#[test]
fn one_address_has_a_limit_unless_it_is_loopback() {
    let limits = Limits { connections_per_address: 3, loopback_is_free: false, ..Limits::default() };
    let street = Street::with_limits(limits);
    let held: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = street.connect();
            // Answered, so surely counted.
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream
        })
        .collect();
    assert!(until_closed(street.connect()) < Duration::from_secs(5));
    assert_eq!(street.hits("connections"), 1);
    drop(held);
}

#[test]
fn a_stop_lets_bodies_end() {
    let mut street = Street::open(Config::default());
    let url = street.url(&format!("/{LARGE}/@v/v1.0.0.zip"));
    assert_eq!(client::get(&url).status, 200);
    let quiet = street.connect();
    let mut under_way: Vec<Pending> = (1..=10).map(|from| Pending::send(&url, from)).collect();
    for body in &mut under_way {
        body.read_some();
    }
    street.stop.cancel();
    for body in under_way {
        let told = body.finish();
        assert!(told.complete && told.status == 200, "{} bytes of a body that was cut", told.body.len());
    }
    street.close();
    assert!(until_closed(quiet) < Duration::from_secs(5));
    assert!(TcpStream::connect(street.address).is_err(), "nobody listens any more");
}

#[test]
fn a_body_cut_at_the_end_of_the_drain_is_a_transport_error() {
    let mut street = Street::open(Config { drain: Duration::from_millis(200), ..Config::default() });
    let path = format!("/{LARGE}/@v/v1.0.0.zip");
    assert_eq!(client::get(&street.url(&path)).status, 200);
    let mut stream = street.connect();
    for _ in 0..20 {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let mut buffer = [0; 1024];
    assert!(stream.read(&mut buffer).unwrap() > 0);
    // The first answer is as far as the sockets take it; the client takes no more until the drain is over.
    let began = Instant::now();
    street.close();
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_port_in_use_is_refused_although_ours_could_be_shared() {
    let street = Street::open(Config::default());
    let trouble = Server::bind(&[street.address], Config::default()).unwrap_err();
    assert!(matches!(trouble, ServeError::Bind { .. }));
    assert!(trouble.to_string().starts_with(&format!("cannot listen on {}", street.address)));
}

mod tls {
    use super::*;

    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    fn secured(limits: Limits) -> (Street, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let tls = Some(Tls::new(vec![certificate.clone()], key).unwrap());
        (Street::open(Config { tls, limits, ..Config::default() }), certificate)
    }

    async fn connect(
        street: &Street,
        certificate: &CertificateDer<'static>,
        protocols: &[&[u8]],
    ) -> TlsStream<tokio::net::TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = tokio::net::TcpStream::connect(street.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    #[test]
    fn http2_is_chosen_by_alpn_and_streams_share_a_connection() {
        let (street, certificate) = secured(Limits::default());
        let zip = street.house.world.release(LARGE, "v1.0.0").zip.clone();
        street.runtime.block_on(async {
            let stream = connect(&street, &certificate, &[b"h2", b"http/1.1"]).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let asks = (0..20).map(|at| {
                let mut sender = sender.clone();
                let zip = zip.clone();
                tokio::spawn(async move {
                    let path =
                        if at % 2 == 0 { "/healthz".into() } else { format!("/{LARGE}/@v/v1.0.0.zip") };
                    let request = http::Request::get(format!("https://localhost{path}"));
                    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
                    let response = sender.send_request(request).await.unwrap();
                    assert_eq!(response.status(), 200);
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(body, if at % 2 == 0 { b"ok\n".to_vec() } else { zip });
                })
            });
            for ask in asks.collect::<Vec<_>>() {
                ask.await.unwrap();
            }
        });
    }

    #[test]
    fn clients_without_alpn_speak_http1() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (street, certificate) = secured(Limits::default());
        street.runtime.block_on(async {
            let mut stream = connect(&street, &certificate, &[]).await;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text).await;
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("ok\n"), "{text}");
        });
    }

    #[test]
    fn hostile_a23_unfinished_handshakes_are_cut() {
        let (street, _) = secured(Limits { handshake: Duration::from_millis(300), ..Limits::default() });
        let crowd = street.running.as_ref().unwrap().crowd();
        let silent: Vec<TcpStream> = (0..100).map(|_| street.connect()).collect();
        for stream in silent {
            assert!(until_closed(stream) < Duration::from_secs(5));
        }
        let began = Instant::now();
        while crowd.connections() > 0 {
            assert!(began.elapsed() < Duration::from_secs(5));
            std::thread::yield_now();
        }
    }

    /// One HTTP/2 frame.
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    #[test]
    fn hostile_a20_a_flood_of_resets_closes_the_connection() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (street, certificate) = secured(Limits::default());
        // :method GET, :scheme https, :path /example.com/none/@v/list, :authority x
        let path = b"/example.com/none/@v/list";
        let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path);
        block.extend_from_slice(&[0x41, 1, b'x']);
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        flood.extend(frame(4, 0, 0, &[]));
        for stream in (1..2001).step_by(2) {
            flood.extend(frame(1, 0x5, stream, &block));
            flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
        }
        street.runtime.block_on(async {
            let mut stream = connect(&street, &certificate, &[b"h2"]).await;
            let _ = stream.write_all(&flood).await;
            let mut said = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await;
            assert!(closed.is_ok(), "the connection stayed open");
            // GOAWAY with ENHANCE_YOUR_CALM.
            let calm = frame(7, 0, 0, &[])[3..5].to_vec();
            assert!(said.windows(2).any(|window| window == calm));
            assert!(said.windows(4).any(|window| window == 11_u32.to_be_bytes()));
        });
        assert_eq!(street.runtime.block_on(async { alive(&street, &certificate).await }), 200);
    }

    /// Sends a beginning, then the same piece again and again, until the server closes.
    async fn flood(
        street: &Street,
        certificate: &CertificateDer<'static>,
        begin: &[u8],
        piece: &[u8],
    ) -> bool {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let stream = connect(street, certificate, &[b"h2"]).await;
        let (mut read, mut write) = tokio::io::split(stream);
        let pieces = piece.repeat(16 * 1024 / piece.len() + 1);
        let send = async {
            let _ = write.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", begin].concat()).await;
            while write.write_all(&pieces).await.is_ok() && write.flush().await.is_ok() {}
        };
        let receive = async {
            let mut buffer = [0; 4096];
            while matches!(read.read(&mut buffer).await, Ok(1..)) {}
        };
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(send, receive) }).await.is_ok()
    }

    /// `GET /healthz` as a header block.
    fn head_block() -> Vec<u8> {
        [&[0x82, 0x87, 0x04, 8][..], b"/healthz", &[0x41, 1, b'x']].concat()
    }

    #[test]
    fn hostile_a21_floods_of_frames_close_the_connection() {
        let (street, certificate) = secured(Limits::default());
        let settings = frame(4, 0, 0, &[]);
        let post = [&[0x83][..], &head_block()[1..]].concat();
        let opened = |flags: u8, block: &[u8]| [settings.clone(), frame(1, flags, 1, block)].concat();
        let field = [&[0x00, 1, b'a', 100][..], &[b'b'; 100]].concat();
        street.runtime.block_on(async {
            for (what, begin, piece) in [
                ("continuations", opened(0x1, &head_block()), frame(9, 0, 1, &field)),
                ("empty continuations", opened(0x1, &head_block()), frame(9, 0, 1, &[])),
                ("empty data", opened(0x4, &post), frame(0, 0, 1, &[])),
                ("pings", settings.clone(), frame(6, 0, 0, &[7; 8])),
                ("answered pings", settings.clone(), frame(6, 1, 0, &[7; 8])),
                ("settings", settings.clone(), frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])),
                ("priorities", settings.clone(), frame(2, 0, 3, &[0, 0, 0, 0, 16])),
                ("unknown frames", settings.clone(), frame(0xfe, 0, 0, &[1; 64])),
            ] {
                assert!(
                    flood(&street, &certificate, &begin, &piece).await,
                    "{what}: the connection stayed open"
                );
            }
            assert_eq!(alive(&street, &certificate).await, 200);
        });
    }

    #[test]
    fn hostile_a21_a_window_of_zero_is_not_held_for_ever() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let limits = Limits { rate_window: Duration::from_millis(300), ..Limits::default() };
        let (street, certificate) = secured(limits);
        let path = format!("/{LARGE}/@v/v1.0.0.zip");
        let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(&[0x41, 1, b'x']);
        let mut asks = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        asks.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])); // SETTINGS_INITIAL_WINDOW_SIZE 0
        (1..101).step_by(2).for_each(|stream| asks.extend(frame(1, 0x5, stream, &block)));
        street.runtime.block_on(async {
            let mut stream = connect(&street, &certificate, &[b"h2"]).await;
            stream.write_all(&asks).await.unwrap();
            let mut said = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
            assert!(closed.is_ok(), "the connection stayed open");
            assert!(said.len() < 64 << 10, "{} bytes past a window of zero", said.len());
            assert_eq!(alive(&street, &certificate).await, 200);
        });
        assert_eq!(street.hits("reader_rate"), 1);
    }

    async fn alive(street: &Street, certificate: &CertificateDer<'static>) -> u16 {
        let stream = connect(street, certificate, &[b"h2"]).await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request =
            http::Request::get("https://localhost/healthz").body(Empty::<bytes::Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    }
}
