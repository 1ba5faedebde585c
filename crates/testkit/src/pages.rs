//! go-import pages: a web server for host names that do not exist.
//!
//! One port is everything: plain HTTP, TLS with a certificate for whatever name the client asks for, and a
//! forward proxy (`HTTPS_PROXY`, `HTTP_PROXY`) that answers for every host by itself. So the go command
//! reaches `https://vanity.example/fish?go-get=1` here, and nothing else gets out:
//!
//! ```no_run
//! # use modkeep_testkit::{Go, Pages};
//! let pages = Pages::start();
//! pages.import("vanity.example/fish", "vanity.example/fish git https://github.com/ann/fish");
//! let go = pages.before(Go::new("direct", "off"));
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use tempfile::TempDir;

use crate::Go;
use crate::door::{Door, Request, Wire, lock};
use crate::tls::{Authority, ServerTls};

/// What one address shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Page {
    /// A page with this status and body.
    Body(u16, Vec<u8>),
    /// A redirect to this URL.
    Redirect(String),
    /// Nothing until the server ends.
    Silence,
    /// The connection is closed.
    Hangup,
}

/// A running server of pages. Dropped, it ends.
#[derive(Debug)]
pub struct Pages {
    shared: Arc<Shared>,
    door: Door,
    home: TempDir,
}

#[derive(Debug)]
struct Shared {
    authority: Authority,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By `host/path`, without the query.
    pages: BTreeMap<String, Page>,
    /// Pages that stand for everything below them.
    whole: Vec<String>,
    /// By `host`: plain HTTP only, nothing under TLS.
    plain_only: Vec<String>,
    certificates: BTreeMap<String, Arc<ServerTls>>,
    seen: Vec<String>,
    stopped: bool,
}

impl Pages {
    /// A server without a page: everything is 404.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("modkeep-pages-").tempdir().expect("a temporary folder");
        let authority = Authority::new();
        std::fs::write(home.path().join("ca.pem"), authority.pem()).expect("a file of our own");
        let shared = Arc::new(Shared { authority, state: Mutex::default(), changed: Condvar::new() });
        let handler = Arc::clone(&shared);
        let door = Door::open(move |stream| drop(serve(&handler, stream)));
        Self { shared, door, home }
    }

    /// `host:port`.
    pub fn host(&self) -> String {
        self.door.address().to_string()
    }

    /// The value of `HTTPS_PROXY` and `HTTP_PROXY`.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The value of `SSL_CERT_FILE`: the authority that signs for every host here.
    pub fn certificate_file(&self) -> String {
        self.home.path().join("ca.pem").to_string_lossy().into_owned()
    }

    /// The go command with this server in front of every host name.
    pub fn before(&self, go: Go) -> Go {
        go.with("HTTPS_PROXY", &self.proxy())
            .with("HTTP_PROXY", &self.proxy())
            .with("SSL_CERT_FILE", &self.certificate_file())
    }

    /// A well-formed page at `address` (`host/path`) with these go-import tags: `PREFIX VCS URL [SUBDIRECTORY]`
    /// each.
    pub fn imports(&self, address: &str, contents: &[&str]) {
        let tags: String =
            contents.iter().map(|c| format!("<meta name=\"go-import\" content=\"{c}\">\n")).collect();
        let html = format!("<!DOCTYPE html>\n<html><head>\n{tags}</head><body>Nothing here.</body></html>\n");
        self.page(address, Page::Body(200, html.into_bytes()));
    }

    /// As [`Pages::imports`], with one tag.
    pub fn import(&self, address: &str, content: &str) {
        self.imports(address, &[content]);
    }

    /// Any page at `address` (`host/path`).
    pub fn page(&self, address: &str, page: Page) {
        lock(&self.shared.state).pages.insert(address.to_owned(), page);
    }

    /// Every address below this one shows the same page.
    pub fn below(&self, address: &str) {
        lock(&self.shared.state).whole.push(address.to_owned());
    }

    /// This host has no TLS.
    pub fn plain_only(&self, host: &str) {
        lock(&self.shared.state).plain_only.push(host.to_owned());
    }

    /// Every address asked for, in order: `https://host/path?query`.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.shared.state).seen.clone()
    }

    /// How many requests had an address that contains `part`.
    pub fn count(&self, part: &str) -> usize {
        lock(&self.shared.state).seen.iter().filter(|seen| seen.contains(part)).count()
    }

    /// The words to start a program behind so that each host with a page here resolves to an address of the
    /// public internet (nothing listens for us there: the proxy is given the name): see
    /// [`crate::program::Setup::through`]. Needs util-linux, and user namespaces or root.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn resolving(&self) -> Vec<String> {
        let hosts: std::collections::BTreeSet<String> = lock(&self.shared.state)
            .pages
            .keys()
            .filter_map(|address| Some(address.split(['/', ':']).next()?.to_owned()))
            .collect();
        let lines: String = hosts.iter().map(|host| format!("93.184.215.14 {host}\n")).collect();
        let file = self.home.path().join("hosts");
        std::fs::write(&file, format!("127.0.0.1 localhost\n{lines}")).expect("a file of our own");
        let mount = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", file.display());
        ["unshare", "-rm", "sh", "-c", &mount, "sh"].map(str::to_owned).to_vec()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.changed.notify_all();
        self.door.close();
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    let mut first = [0];
    let peeked = stream.peek(&mut first)?;
    if peeked == 1 && first == [0x16] {
        secure(shared, "localhost", stream)?;
    } else {
        plain(shared, stream)?;
    }
    socket.shutdown(Shutdown::Both)
}

/// Requests in the clear; one of them may open a tunnel.
fn plain(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut wire = BufReader::new(stream);
    while let Some(request) = Request::read(&mut wire)? {
        if request.method == "CONNECT" {
            let host = request.target.split(':').next().unwrap_or_default().to_owned();
            if lock(&shared.state).plain_only.contains(&host) {
                return wire.get_mut().write_all(b"HTTP/1.1 502 No TLS\r\nContent-Length: 0\r\n\r\n");
            }
            wire.get_mut().write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
            return secure(shared, &host, wire.into_inner());
        }
        if !answer(shared, "http", &request, wire.get_mut())? {
            break;
        }
    }
    Ok(())
}

/// Requests under TLS, with a certificate for `host`.
fn secure(shared: &Shared, host: &str, stream: TcpStream) -> io::Result<()> {
    let known = lock(&shared.state).certificates.get(host).cloned();
    let tls = known.unwrap_or_else(|| {
        let made = Arc::new(shared.authority.server_for(&[host, "localhost", "127.0.0.1"]));
        lock(&shared.state).certificates.insert(host.to_owned(), Arc::clone(&made));
        made
    });
    let mut wire = BufReader::new(tls.accept(stream)?);
    while let Some(request) = Request::read(&mut wire)? {
        if !answer(shared, "https", &request, wire.get_mut())? {
            break;
        }
    }
    Ok(())
}

/// Says whether the connection goes on.
fn answer(shared: &Shared, scheme: &str, request: &Request, wire: &mut impl Wire) -> io::Result<bool> {
    let (path, query) = request.path_and_query();
    let host = request.header("host").unwrap_or_default();
    let page = {
        let mut state = lock(&shared.state);
        state.seen.push(format!("{scheme}://{host}{path}?{query}"));
        let address = format!("{host}{path}");
        let address = address.trim_end_matches('/');
        let below =
            |root: &&String| address.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let above = state.whole.iter().find(below).and_then(|root| state.pages.get(root));
        state.pages.get(address).or(above).cloned()
    };
    let (status, location, body) = match page {
        None => (404, String::new(), b"no such page\n".to_vec()),
        Some(Page::Body(status, body)) => (status, String::new(), body),
        Some(Page::Redirect(url)) => (302, format!("Location: {url}\r\n"), Vec::new()),
        Some(Page::Hangup) => return Ok(false),
        Some(Page::Silence) => {
            let state = lock(&shared.state);
            drop(shared.changed.wait_while(state, |state| !state.stopped));
            return Ok(false);
        }
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} As-Told\r\nContent-Type: text/html; charset=utf-8\r\n{location}Content-Length: {length}\r\n\r\n"
    );
    wire.write_all(&[head.as_bytes(), &body].concat())?;
    wire.flush()?;
    Ok(request.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")))
}
