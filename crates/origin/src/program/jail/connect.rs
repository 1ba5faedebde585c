//! The way of a child that speaks no HTTP: ssh hands its connection to this process, and we ask the tunnel for it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;

/// The variable that names the tunnel: `127.0.0.1:port`.
pub(in crate::program) const TUNNEL: &str = "MODKEEP_TUNNEL";
/// The variable with what opens it, as `Proxy-Authorization` carries it.
pub(in crate::program) const TUNNEL_LOGIN: &str = "MODKEEP_TUNNEL_LOGIN";
/// The word that stands before host and port in our arguments.
pub(in crate::program) const WORD: &str = "connect";
/// The longest answer of the tunnel, in bytes.
const HEAD_MAX: usize = 4096;

/// Passes bytes between standard input and output and a host beyond the tunnel.
pub(super) fn connect(host: &str, port: &str) -> ExitCode {
    match dial(host, port).and_then(pass) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn dial(host: &str, port: &str) -> io::Result<TcpStream> {
    let known = |name| std::env::var(name).map_err(io::Error::other);
    let mut stream = TcpStream::connect(known(TUNNEL)?)?;
    let login = known(TUNNEL_LOGIN)?;
    write!(
        stream,
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nProxy-Authorization: {login}\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
        let mut byte = [0]; // byte by byte: what follows belongs to the host
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if head.starts_with(b"HTTP/1.1 200 ") { Ok(stream) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
}

fn pass(mut stream: TcpStream) -> io::Result<()> {
    let mut up = stream.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut up);
        let _ = up.shutdown(Shutdown::Write);
    });
    let mut out = io::stdout().lock();
    let mut piece = vec![0; 64 << 10];
    loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Ok(());
        }
        out.write_all(&piece[..n])?;
        out.flush()?;
    }
}
