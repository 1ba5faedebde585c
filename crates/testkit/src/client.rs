//! A plain HTTP/1.1 client that shows what really came over the wire.
//!
//! It normalises nothing, follows nothing and decodes nothing but chunks, so that a test may send the oddest
//! request and see the exact answer, a cut body included.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Longest wait for the next byte; longer than the 50 s that the server may hold a request.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// One answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status number; 0 when the connection ended before a status line came.
    pub status: u16,
    /// Header fields in the order sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
    /// Whether the body ended as its framing promised.
    pub complete: bool,
    /// From the first byte of the request sent to the last byte of the answer received.
    pub took: Duration,
}

impl Answer {
    /// The first field of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The machine-readable name of the error, `X-Modkeep-Code`.
    pub fn code(&self) -> Option<&str> {
        self.header("x-modkeep-code")
    }
}

/// Asks for `http://host:port/path` with GET.
///
/// # Panics
/// When nothing listens there: a test has nothing to say then.
pub fn get(url: &str) -> Answer {
    request("GET", url, &[])
}

/// Sends one request with these header fields beside `Host`, on a connection of its own.
///
/// # Panics
/// When nothing listens there, or the URL is not `http://…`.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
    try_request(method, url, headers).unwrap_or_else(|e| panic!("{method} {url}: {e}"))
}

/// As [`request`], for the moments when nobody may be listening.
pub fn try_request(method: &str, url: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let (host, path) = split(url)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    exchange(host, head.as_bytes(), method == "HEAD")
}

/// Sends these bytes as they are, and reads one answer.
///
/// # Panics
/// When nothing listens there.
pub fn raw(base: &str, bytes: &[u8]) -> Answer {
    let host = base.strip_prefix("http://").unwrap_or(base).trim_end_matches('/');
    exchange(host, bytes, bytes.starts_with(b"HEAD ")).unwrap_or_else(|e| panic!("{base}: {e}"))
}

fn split(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| io::Error::other(format!("{url}: not http")))?;
    Ok(rest.find('/').map_or((rest, "/"), |at| rest.split_at(at)))
}

/// A connection to `host:port`, with the deadlines of this client.
pub(crate) fn connect(host: &str) -> io::Result<TcpStream> {
    let address = host.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn exchange(host: &str, bytes: &[u8], head_only: bool) -> io::Result<Answer> {
    let begin = Instant::now();
    let mut stream = connect(host)?;
    // A server may refuse and close before it has read everything; what it said still counts.
    let sent = stream.write_all(bytes);
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received);
    if received.is_empty() {
        sent?;
        read?;
    }
    Ok(parse(&received, head_only, begin.elapsed()))
}

/// A request that was sent, whose answer was not read yet.
///
/// Dropped, the client has gone away in the middle.
#[derive(Debug)]
pub struct Pending {
    stream: TcpStream,
    begin: Instant,
    received: Vec<u8>,
}

impl Pending {
    /// Sends GET for `url` from the loopback address 127.0.0.`from`, and reads nothing.
    ///
    /// Servers count connections by client address; a crowd needs more than one.
    ///
    /// # Panics
    /// When nothing listens there, or descriptors run out: see [`allow_descriptors`].
    pub fn send(url: &str, from: u8) -> Self {
        let begin = Instant::now();
        let stream = send_from(url, from).unwrap_or_else(|e| panic!("{url} from 127.0.0.{from}: {e}"));
        Self { stream, begin, received: Vec::new() }
    }

    /// Reads until some of the body is here, and leaves the rest to the sockets' buffers.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn read_some(&mut self) {
        let mut buffer = [0; 4096];
        while find(&self.received, b"\r\n\r\n").is_none_or(|at| at + 4 == self.received.len()) {
            let n = self.stream.read(&mut buffer).expect("an answer that goes on");
            assert!(n > 0, "the answer ended after {} bytes", self.received.len());
            self.received.extend_from_slice(&buffer[..n]);
        }
    }

    /// Reads the answer to its end, however it ends.
    pub fn finish(mut self) -> Answer {
        // An error in the middle leaves what came before it, and the framing tells that it is short.
        drop(self.stream.read_to_end(&mut self.received));
        parse(&self.received, false, self.begin.elapsed())
    }
}

fn send_from(url: &str, from: u8) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let (host, path) = split(url)?;
    let address: SocketAddr = host.parse().map_err(io::Error::other)?;
    // Not for children: a program that another test starts meanwhile would keep it open.
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::from(([127, 0, 0, from], 0)))?;
    connect(&socket, &address)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    Ok(stream)
}

/// Lets this process, and those it starts, open as many files as the system allows.
pub fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Refused in some jails; then the test that needs many descriptors says so itself.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn parse(received: &[u8], head_only: bool, took: Duration) -> Answer {
    let end = find(received, b"\r\n\r\n").map_or(received.len(), |at| at + 4);
    let (head, rest) = received.split_at(end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer =
        Answer { status: status.unwrap_or(0), headers, body: rest.to_vec(), complete: true, took };
    if !head_only && answer.status != 304 {
        unframe(&mut answer);
    }
    answer
}

fn unframe(answer: &mut Answer) {
    if answer.header("transfer-encoding").is_some_and(|te| te.eq_ignore_ascii_case("chunked")) {
        (answer.body, answer.complete) = unchunk(&answer.body);
    } else if let Some(length) = answer.header("content-length").and_then(|l| l.parse::<usize>().ok()) {
        answer.complete = answer.body.len() == length;
    }
}

/// The bytes inside the chunks, and whether the last chunk came.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = find(rest, b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..at]).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
        rest = &rest[at + 2..];
        match size {
            Some(0) => return (body, true),
            Some(size) if rest.len() >= size + 2 => {
                body.extend_from_slice(&rest[..size]);
                rest = &rest[size + 2..];
            }
            _ => break,
        }
    }
    body.extend_from_slice(rest);
    (body, false)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_judged() {
        for (wire, status, body, complete) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", 200, "hi", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", 200, "hi", false),
            ("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno", 404, "no", true),
            ("", 0, "", true),
        ] {
            let answer = parse(wire.as_bytes(), false, Duration::ZERO);
            assert_eq!(
                (answer.status, answer.text().as_str(), answer.complete),
                (status, body, complete),
                "{wire:?}"
            );
        }
    }
}
