//! The way out against servers that misbehave: rows E, H and M of `hostile-inputs.md`, over loopback.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod post;
mod server;

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use modkeep_egress::{
    Class, Config, Credentials, Egress, Encoding, Error, HostPort, Limits, ProxyEnv, Request, Response,
};
use server::{Do, Identity, Server};
use url::Url;

/// An egress that may talk to these servers.
fn egress(servers: &[&Server]) -> Egress {
    Egress::new(config(servers)).unwrap()
}

fn config(servers: &[&Server]) -> Config {
    let named = servers.iter().flat_map(|server| {
        let port = server.address.port();
        [
            HostPort::parse(&format!("127.0.0.1:{port}")).unwrap(),
            HostPort::parse(&format!("localhost:{port}")).unwrap(),
        ]
    });
    Config { named: named.collect(), ..Config::default() }
}

fn request(url: &str) -> Request {
    let limits = Limits {
        bytes_max: 1_000_000,
        total: Duration::from_secs(3),
        head: Duration::from_millis(800),
        silence: Duration::from_millis(400),
        redirects_max: 10,
    };
    Request { limits, ..Request::named(Url::parse(url).unwrap()) }
}

fn send(text: &str) -> Do {
    Do::Send(text.as_bytes().to_vec())
}

fn ok(body: &str) -> Vec<Do> {
    vec![send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))]
}

/// The whole exchange: status and body, or what went wrong on the way.
async fn fetch(egress: &Egress, request: Request) -> Result<(u16, Bytes), Error> {
    let Response { status, body, .. } = egress.get(request).await?;
    body.collect(u64::MAX).await.map(|bytes| (status, bytes))
}

async fn outcome(plan: Vec<Do>) -> Result<(u16, Bytes), Error> {
    let server = Server::plain(move |_| plan.clone()).await;
    let egress = egress(&[&server]);
    fetch(&egress, request(&server.url("/x"))).await
}

#[tokio::test]
async fn an_honest_answer_arrives_and_the_connection_is_kept() {
    let server = Server::plain(|_| ok("hello")).await;
    let egress = egress(&[&server]);
    for _ in 0..5 {
        let (status, body) = fetch(&egress, request(&server.url("/m/@v/list?x=1#frag"))).await.unwrap();
        assert_eq!((status, &body[..]), (200, &b"hello"[..]));
    }
    assert_eq!(server.connections(), 1);
    let head = &server.seen()[0];
    assert!(head.starts_with("GET /m/@v/list?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("user-agent: modkeep/{}\r\n", env!("CARGO_PKG_VERSION"))), "{head}");
    assert!(!head.contains("accept-encoding") && !head.contains("authorization"), "{head}");
}

#[tokio::test]
async fn hostile_h01_bodies_that_end_early_are_errors() {
    for plan in [
        vec![Do::Close],
        vec![send("HTTP/1.1 200 OK\r\nContent-Le"), Do::Close],
        vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), Do::Close],
        vec![send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"), Do::Close],
    ] {
        let error = outcome(plan.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{plan:?}: {error}");
        assert_eq!(error.class(), Class::Trouble);
    }
}

#[tokio::test]
async fn hostile_h01_the_next_request_goes_out_at_once() {
    let server = Server::plain(|head| {
        if head.contains("/bad") {
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsh"), Do::Close]
        } else {
            ok("good")
        }
    })
    .await;
    let egress = egress(&[&server]);
    assert!(fetch(&egress, request(&server.url("/bad"))).await.is_err());
    assert!(fetch(&egress, request(&server.url("/good"))).await.is_ok());
}

#[tokio::test]
async fn hostile_h02_more_than_content_length() {
    let error = outcome(vec![send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nv1.0.0\nv1.1.0\n")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    let error = outcome(vec![
        send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 14\r\n\r\nv1.0.0\nv1.1.0\n"),
        Do::Close,
    ])
    .await
    .unwrap_err();
    assert_eq!(error.class(), Class::Trouble, "{error}");
}

#[tokio::test]
async fn hostile_h04_endless_bodies_are_cut_at_the_limit() {
    let flood = Do::Flood(vec![b'x'; 16_384]);
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"] {
        let error = outcome(vec![send(head), flood.clone()]).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1_000_000, .. }), "{error}");
    }
}

#[tokio::test]
async fn hostile_f31_a_declared_length_is_refused_before_the_body() {
    let server = Server::plain(|_| {
        vec![send("HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n"), Do::Wait(Duration::from_mins(1))]
    })
    .await;
    let error = egress(&[&server]).get(request(&server.url("/x"))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { declared: Some(1_000_001), .. }), "{error}");
}

#[tokio::test]
async fn hostile_h05_a_host_that_asks_for_patience_is_left_alone() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 31536000\r\nContent-Length: 0\r\n\r\n");
        let server = Server::plain(move |_| vec![send(&answer)]).await;
        let egress = egress(&[&server]);
        let first = egress.get(request(&server.url("/a"))).await.unwrap();
        assert_eq!(first.retry_after(), Some(Duration::from_hours(365 * 24)));
        for _ in 0..20 {
            let error = egress.get(request(&server.url("/b"))).await.unwrap_err();
            assert_eq!(error.class(), Class::Busy);
            assert!(error.retry_after().unwrap() <= Duration::from_secs(30), "{error}");
        }
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn hostile_h09_stalls_trickles_and_resets_are_cut() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let stall = outcome(vec![send(head), send("abc"), Do::Wait(Duration::from_mins(1))]).await.unwrap_err();
    assert!(matches!(stall, Error::Silent { .. }), "{stall}");
    let trickle = outcome(vec![send(head), Do::Trickle(Duration::from_millis(20))]).await.unwrap_err();
    assert!(matches!(trickle, Error::Silent { .. }), "{trickle}");
    let reset = outcome(vec![send(head), send("abc"), Do::Wait(Duration::from_millis(50)), Do::Reset])
        .await
        .unwrap_err();
    assert!(matches!(reset, Error::Truncated { .. }), "{reset}");
    let mute = outcome(vec![Do::Wait(Duration::from_mins(1))]).await.unwrap_err();
    assert!(matches!(mute, Error::Timeout { .. }), "{mute}");
}

#[tokio::test]
async fn hostile_h10_bad_certificates_and_plain_http_on_the_tls_port() {
    let good = Identity::new(&["localhost"], None);
    let trusting = |server: &Server, identity: &Identity| {
        Egress::new(Config { ca_file: Some(identity.ca_file()), ..config(&[server]) }).unwrap()
    };
    let server = Server::tls(&good, |_| ok("secure")).await;
    let answer = fetch(&trusting(&server, &good), request(&server.https("/"))).await.unwrap();
    assert_eq!(&answer.1[..], b"secure");
    let stranger = fetch(&egress(&[&server]), request(&server.https("/"))).await.unwrap_err();
    assert!(matches!(stranger, Error::Tls { .. }), "{stranger}");
    for identity in
        [Identity::new(&["other.example"], None), Identity::new(&["localhost"], Some((2020, 1, 1)))]
    {
        let server = Server::tls(&identity, |_| ok("secure")).await;
        let error = fetch(&trusting(&server, &identity), request(&server.https("/"))).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = HostPort::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 no TLS here\r\n\r\n").await.unwrap();
    });
    let url = format!("https://{place}/");
    let egress = Egress::new(Config { named: vec![place], ..Config::default() }).unwrap();
    let error = fetch(&egress, request(&url)).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn hostile_h12_m03_credentials_never_cross_hosts() {
    let identity = Identity::new(&["localhost"], None);
    let evil = Server::tls(&identity, |_| ok("got you")).await;
    let away = evil.https("/steal");
    let home = Server::tls(&identity, move |head| {
        if head.contains("/moved") {
            vec![send("HTTP/1.1 302 Found\r\nLocation: /here\r\nContent-Length: 0\r\n\r\n")]
        } else if head.contains("/here") {
            ok("home")
        } else {
            vec![send(&format!(
                "HTTP/1.1 307 Away\r\nLocation: {away}\r\nWWW-Authenticate: Bearer realm=\"{away}\"\r\nContent-Length: 0\r\n\r\n"
            ))]
        }
    })
    .await;
    let egress =
        Egress::new(Config { ca_file: Some(identity.ca_file()), ..config(&[&home, &evil]) }).unwrap();
    let with_login = |url: &str| Request {
        credentials: Some(Credentials::Bearer { token: "canary".into() }),
        headers: vec![
            (http::header::COOKIE, "canary=1".parse().unwrap()),
            (http::header::IF_NONE_MATCH, "\"tag\"".parse().unwrap()),
        ],
        ..request(url)
    };
    fetch(&egress, with_login(&home.https("/moved"))).await.unwrap();
    assert!(
        home.seen().iter().all(|head| head.contains("authorization: Bearer canary")),
        "at home it is shown"
    );
    fetch(&egress, with_login(&home.https("/x"))).await.unwrap();
    let head = &evil.seen()[0];
    assert!(!head.contains("canary") && head.contains("if-none-match"), "{head}");
}

#[tokio::test]
async fn credentials_are_not_shown_over_plain_http() {
    let server = Server::plain(|_| ok("x")).await;
    let login = Credentials::Basic { user: "me".into(), password: "canary".into() };
    fetch(&egress(&[&server]), Request { credentials: Some(login), ..request(&server.url("/")) })
        .await
        .unwrap();
    assert!(!server.seen()[0].contains("authorization"));
}

#[tokio::test]
async fn hostile_h13_d12_compressed_bodies() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let answer = |body: &[u8]| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Do::Send([head.as_bytes(), body].concat())]
    };
    let fine = outcome(answer(&gzip(b"v1.0.0\n"))).await.unwrap();
    assert_eq!(&fine.1[..], b"v1.0.0\n");
    let bomb = outcome(answer(&gzip(&vec![0; 50_000_000]))).await.unwrap_err();
    assert!(matches!(bomb, Error::TooLarge { .. }), "{bomb}");
    let whole = gzip(b"v1.0.0\n");
    let cut = outcome(answer(&whole[..whole.len() - 4])).await.unwrap_err();
    assert!(matches!(cut, Error::Truncated { .. }), "{cut}");
    let not = outcome(answer(b"v1.0.0\n")).await.unwrap_err();
    assert!(matches!(not, Error::Malformed { .. }), "{not}");
    let other = outcome(vec![send("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx")])
        .await
        .unwrap_err();
    assert!(matches!(other, Error::Malformed { .. }), "{other}");
}

#[tokio::test]
async fn gzip_is_asked_for_where_it_is_welcome() {
    let server = Server::plain(|_| ok("x")).await;
    fetch(&egress(&[&server]), Request { encoding: Encoding::Gzip, ..request(&server.url("/")) })
        .await
        .unwrap();
    assert!(server.seen()[0].contains("accept-encoding: gzip\r\n"));
}

#[tokio::test]
async fn hostile_e05_d10_redirects_that_are_not_followed() {
    let identity = Identity::new(&["localhost"], None);
    let named = Server::plain(|_| ok("reached")).await;
    let unnamed = Server::plain(|_| ok("reached")).await;
    for (location, secure) in [
        ("http://127.0.0.1:22/".to_owned(), false),
        ("https://example.com:6379/".to_owned(), false),
        ("http://10.0.0.1/".to_owned(), false),
        ("https://169.254.169.254/latest/meta-data".to_owned(), false),
        (unnamed.url("/"), false),
        (format!("http://me:pw@{}/", named.address), false),
        (format!("https://good.example@{}/", named.address), false),
        ("https://10.0.0.1#@good.example/".to_owned(), false),
        ("https://good.example\\@10.0.0.1/".to_owned(), false),
        ("file:///etc/passwd".to_owned(), false),
        ("gopher://x/".to_owned(), false),
        (String::new(), false),
        (named.url("/"), true),
    ] {
        let to = location.clone();
        let plan = move |_: &str| {
            let header = if to.is_empty() { String::new() } else { format!("Location: {to}\r\n") };
            vec![send(&format!("HTTP/1.1 302 Found\r\n{header}Content-Length: 0\r\n\r\n"))]
        };
        let from = if secure { Server::tls(&identity, plan).await } else { Server::plain(plan).await };
        let egress =
            Egress::new(Config { ca_file: Some(identity.ca_file()), ..config(&[&from, &named]) }).unwrap();
        let url = if secure { from.https("/") } else { from.url("/") };
        let error = fetch(&egress, request(&url)).await.unwrap_err();
        assert_eq!(error.class(), Class::Refusal, "{location}: {error}");
    }
    assert_eq!((named.connections(), unnamed.connections()), (0, 0));
}

#[tokio::test]
async fn hostile_e06_addresses_with_a_user_part_have_one_reading() {
    let egress = egress(&[]);
    for url in [
        "https://good.example@10.0.0.1/",
        "https://10.0.0.1#@good.example/",
        "https://user:pw@good.example/",
        "ftp://good.example/",
    ] {
        let error = egress.get(Request::named(Url::parse(url).unwrap())).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn hostile_d10_the_eleventh_redirect_is_one_too_many() {
    let server = Server::plain(|head| {
        let n: u32 = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        match n {
            0 => ok("end"),
            n => vec![send(&format!(
                "HTTP/1.1 301 On\r\nLocation: /{}\r\nContent-Length: 3\r\n\r\nabc",
                n - 1
            ))],
        }
    })
    .await;
    let egress = egress(&[&server]);
    assert_eq!(fetch(&egress, request(&server.url("/10"))).await.unwrap().0, 200);
    let error = fetch(&egress, request(&server.url("/11"))).await.unwrap_err();
    assert!(matches!(error, Error::BadRedirect { .. }), "{error}");
    assert_eq!(server.connections(), 1, "redirects reuse the connection");
}

#[tokio::test]
async fn hostile_e07_a_redirect_home_is_a_loop() {
    let own = Server::plain(|_| ok("me")).await;
    let to = own.url("/");
    let from = Server::plain(move |_| {
        vec![send(&format!("HTTP/1.1 302 F\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))]
    })
    .await;
    let own_place = HostPort::parse(&own.address.to_string()).unwrap();
    let egress = Egress::new(Config { own: vec![own_place], ..config(&[&from]) }).unwrap();
    let error = fetch(&egress, request(&from.url("/"))).await.unwrap_err();
    assert!(error.to_string().contains("loop"), "{error}");
    assert_eq!(own.connections(), 0);
}

#[tokio::test]
async fn a_forward_proxy_gets_names_and_tunnels_tls() {
    let identity = Identity::new(&["localhost", "mirror.example"], None);
    let target = Server::tls(&identity, |_| ok("through")).await;
    let address = target.address;
    let proxy = Server::plain(move |head| {
        if head.starts_with("CONNECT ") {
            vec![send("HTTP/1.1 200 Connection established\r\n\r\n"), Do::Pipe(address)]
        } else {
            ok("forwarded")
        }
    })
    .await;
    let via = format!("http://me:pw@{}", proxy.address);
    let proxies =
        ProxyEnv::read(|name| matches!(name, "HTTPS_PROXY" | "HTTP_PROXY").then(|| via.clone())).unwrap();
    let named =
        ["mirror.example:8443", "plain.example:80"].map(|place| HostPort::parse(place).unwrap()).to_vec();
    let egress =
        Egress::new(Config { ca_file: Some(identity.ca_file()), named, proxies, ..Config::default() })
            .unwrap();
    let (_, body) = fetch(&egress, request("https://mirror.example:8443/x")).await.unwrap();
    assert_eq!(&body[..], b"through");
    let (_, body) = fetch(&egress, request("http://plain.example/y")).await.unwrap();
    assert_eq!(&body[..], b"forwarded");
    let seen = proxy.seen();
    assert!(seen[0].starts_with("CONNECT mirror.example:8443 HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[1].starts_with("GET http://plain.example/y HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(
        seen.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic bwu6chc=")),
        "{seen:?}"
    );
    assert!(!target.seen()[0].to_lowercase().contains("proxy-authorization"));
    assert_eq!(seen.len(), 2);
    let error = fetch(&egress, request("https://10.0.0.1/")).await.unwrap_err();
    assert_eq!(error.class(), Class::Refusal, "a proxy is no way around the gate");
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn leaving_gives_the_turn_back() {
    let server = Server::plain(|_| vec![Do::Wait(Duration::from_mins(1))]).await;
    let egress = Egress::new(Config { per_upstream: 1, ..config(&[&server]) }).unwrap();
    for _ in 0..3 {
        let wait =
            tokio::time::timeout(Duration::from_millis(50), egress.get(request(&server.url("/x")))).await;
        assert!(wait.is_err(), "it hung, and we left");
    }
    assert_eq!(server.seen().len(), 3, "each of them had its turn");
}

#[tokio::test]
async fn parallel_requests_to_one_host_are_bounded() {
    let server = Server::plain(|_| {
        let mut steps = vec![Do::Wait(Duration::from_millis(40))];
        steps.extend(ok("x"));
        steps
    })
    .await;
    let egress = Egress::new(Config { per_upstream: 2, queue_max: 6, ..config(&[&server]) }).unwrap();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (egress, request) = (egress.clone(), request(&server.url("/x")));
            tokio::spawn(async move { fetch(&egress, request).await })
        })
        .collect();
    let (mut done, mut full) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(Error::QueueFull { .. }) => full += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((done, full), (8, 4));
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_offered_and_one_connection_carries_all() {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let identity = Identity::new(&["localhost"], None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (count, tls) = (std::sync::Arc::clone(&connections), identity.acceptor_for(&[b"h2"]));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let stream = TokioIo::new(tls.accept(stream).await.unwrap());
            let answer = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let body =
                    Bytes::from(format!("{:?} {}", request.version(), request.uri().path()).repeat(1_000));
                Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(body)))
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, answer),
            );
        }
    });
    let named = vec![HostPort::parse(&format!("localhost:{port}")).unwrap()];
    let egress =
        Egress::new(Config { named, ca_file: Some(identity.ca_file()), ..Config::default() }).unwrap();
    fetch(&egress, request(&format!("https://localhost:{port}/first"))).await.unwrap();
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (egress, request) = (egress.clone(), request(&format!("https://localhost:{port}/{n}")));
            tokio::spawn(async move { fetch(&egress, request).await.unwrap() })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().1, format!("HTTP/2.0 /{n}").repeat(1_000));
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}
