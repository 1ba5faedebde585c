//! The real go command finds a repository through a go-import page of ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use modkeep_testkit::Go;

use super::*;

/// What stands before a mirror that serves several host names: a proxy that passes every request on to it, by path and
/// with its `Host`. It speaks no TLS, so the go command must be allowed to do without.
fn front(to: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(pass_on(stream, to)));
        }
    });
    format!("http://{address}")
}

fn pass_on(mut client: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let target = first.split(' ').nth(1).unwrap_or_default();
    let Some((_, rest)) = target.split_once("http://").filter(|_| first.starts_with("GET ")) else {
        return client.write_all(b"HTTP/1.1 502 No TLS\r\nContent-Length: 0\r\n\r\n");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut server = TcpStream::connect(to)?;
    server
        .write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}

#[test]
fn the_go_command_finds_a_repository_through_a_page_of_ours() {
    let street = Street::open(Config::default());
    let proxy = front(street.address);
    let go = Go::new("direct", "off").with("HTTPS_PROXY", &proxy).with("HTTP_PROXY", &proxy);
    let go = go.with("GOINSECURE", "go.corp.example").with("GOFLAGS", "-mod=mod").with("GOVCS", "*:off");
    // It stops before the repository, and by then it has read its system and its root.
    for (module, says) in [
        ("go.corp.example/tool", "GOVCS disallows using git for public go.corp.example/tool"),
        ("go.corp.example/tool/sub", "GOVCS disallows using git for public go.corp.example/tool"),
        ("go.corp.example/tools", "unrecognized import path \"go.corp.example/tools\""),
    ] {
        go.run(&["list", "-m", &format!("{module}@latest")]).expect_failure(says);
    }
}
