//! An upstream that serves a GOPROXY tree and a checksum database, and misbehaves to order.
//!
//! It is written on bare sockets, because a proper HTTP library refuses to send half of the wrong answers
//! that are needed here. Each request is remembered, so that "one thousand callers, one request" can be
//! asked. Everything ends when the value is dropped; [`Upstream::stop`] ends it earlier, and
//! [`Upstream::resume`] takes the same port again.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sumdb::SumDb;
use crate::tls::ServerTls;
use crate::world::ModuleWorld;

/// What there is to serve.
#[derive(Debug, Default)]
pub struct Site {
    files: BTreeMap<String, Vec<u8>>,
    tree: Option<PathBuf>,
    database: Option<SumDb>,
}

impl Site {
    /// The modules of a generated world.
    pub fn of(world: &ModuleWorld) -> Self {
        Self { files: world.files(), ..Self::default() }
    }

    /// The files below a folder, as any file server gives them.
    pub fn tree(folder: impl Into<PathBuf>) -> Self {
        Self { tree: Some(folder.into()), ..Self::default() }
    }

    /// Also a checksum database: for proxies' clients under `/sumdb/NAME/`, directly under `/db/`.
    #[must_use]
    pub fn with_database(mut self, database: SumDb) -> Self {
        self.database = Some(database);
        self
    }

    fn answer(&self, path: &str) -> Option<Vec<u8>> {
        let path = decode(path.split('?').next().unwrap_or_default().trim_start_matches('/'));
        if let Some(answer) = self.database.as_ref().and_then(|db| db.answer(&path)) {
            return Some(answer);
        }
        if path.split('/').any(|element| element == "..") {
            return None;
        }
        let file = self.tree.as_ref().and_then(|tree| std::fs::read(tree.join(&path)).ok());
        file.or_else(|| self.files.get(&path).cloned())
    }
}

/// The ways in which an answer goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The connection is closed before a byte of the answer.
    Hangup,
    /// Half of the body, then a reset of the connection.
    Reset,
    /// Half of the body that `Content-Length` promised, then a clean close.
    ShortBody,
    /// Half of the body in chunks, and no last chunk.
    ChunksWithoutEnd,
    /// More bytes than `Content-Length` says.
    LongBody,
    /// Chunks for ever.
    Endless,
    /// No answer until [`Upstream::mend`]; then the right one.
    Hold,
    /// The head and half of the body, then silence until [`Upstream::mend`].
    Stall,
    /// The head at once, then one byte of the body each time this much time has passed.
    Drip(Duration),
    /// 200 with somebody's login page in place of the file.
    LoginPage,
    /// The right framing around random bytes.
    Garbage,
    /// The right framing around nothing.
    Empty,
    /// The right framing around the first half of the file.
    HalfAFile,
    /// Other bytes in place of the right ones, well formed.
    Instead(Vec<u8>),
    /// A redirect to itself, for ever.
    RedirectLoop,
    /// A redirect to this URL.
    RedirectTo(String),
    /// This status, with a body that explains nothing.
    Status(u16),
    /// This status, and these header fields with it.
    StatusWith(u16, Vec<(String, String)>),
    /// The right answer with more header fields.
    Headers(Vec<(String, String)>),
    /// `Content-Encoding: gzip` in front of bytes that are none.
    FalseGzip,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, mostly.
    pub method: String,
    /// The request target, not decoded.
    pub path: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first field of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A running upstream on loopback.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    site: Mutex<Site>,
    tls: Option<ServerTls>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    open: Vec<TcpStream>,
    /// Grows with each [`Upstream::mend`]; whoever waits, waits for it to change.
    mended: u64,
    stopped: bool,
}

#[derive(Debug)]
struct Rule {
    on: String,
    fault: Fault,
    times: usize,
}

impl Upstream {
    /// Serves `site` over plain HTTP on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(site: Site) -> Self {
        Self::listen(site, None)
    }

    /// Serves `site` over TLS, with whatever certificate the test wants to see refused or accepted.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start_tls(site: Site, tls: ServerTls) -> Self {
        Self::listen(site, Some(tls))
    }

    fn listen(site: Site, tls: Option<ServerTls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            site: Mutex::new(site),
            tls,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Some(accept(listener, Arc::clone(&shared)));
        Self { shared, address, accepting }
    }

    /// `host:port`, as configuration and egress rules name it.
    pub fn host(&self) -> String {
        match self.shared.tls {
            Some(_) => format!("localhost:{}", self.address.port()),
            None => self.address.to_string(),
        }
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host())
    }

    /// Where the checksum database answers directly, for `GOSUMDB="KEY URL"`.
    pub fn database_url(&self) -> String {
        format!("{}/db", self.url())
    }

    /// `KEY URL`: the value of GOSUMDB, and of our `verify.log`, that names this database.
    ///
    /// # Panics
    /// When the site has no database.
    pub fn gosumdb(&self) -> String {
        format!("{} {}", self.key(), self.database_url())
    }

    /// The database's verifier key alone: the go command then looks for it through its proxy.
    ///
    /// # Panics
    /// When the site has no database.
    pub fn key(&self) -> String {
        lock(&self.shared.site).database.as_ref().expect("a site with a database").key()
    }

    /// Changes what is served from the next request on.
    pub fn change(&self, change: impl FnOnce(&mut Site)) {
        change(&mut lock(&self.shared.site));
    }

    /// Every request whose target contains `on` goes wrong like this until [`Upstream::mend`].
    pub fn fault(&self, on: &str, fault: Fault) {
        self.fault_times(on, fault, usize::MAX);
    }

    /// The next `times` requests whose target contains `on` go wrong like this.
    pub fn fault_times(&self, on: &str, fault: Fault, times: usize) {
        lock(&self.shared.state).rules.push(Rule { on: on.to_owned(), fault, times });
    }

    /// Ends all faults; answers held back are given now, stalled ones are cut.
    pub fn mend(&self) {
        let mut state = lock(&self.shared.state);
        state.rules.clear();
        state.mended += 1;
        self.shared.changed.notify_all();
    }

    /// Every request so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.state).seen.clone()
    }

    /// How many requests had a target that contains `part`.
    pub fn count(&self, part: &str) -> usize {
        lock(&self.shared.state).seen.iter().filter(|seen| seen.path.contains(part)).count()
    }

    /// Waits until a request whose target contains `part` has arrived.
    ///
    /// # Panics
    /// When none has within a minute.
    pub fn wait_for(&self, part: &str) {
        let state = lock(&self.shared.state);
        let missing = |state: &mut State| !state.seen.iter().any(|seen| seen.path.contains(part));
        let waited = self.shared.changed.wait_timeout_while(state, Duration::from_mins(1), missing);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the upstream was never asked for {part}");
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.state).seen.clear();
    }

    /// Goes away: connections are cut, new ones refused.
    pub fn stop(&mut self) {
        {
            let mut state = lock(&self.shared.state);
            state.stopped = true;
            state.open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            self.shared.changed.notify_all();
        }
        if let Some(accepting) = self.accepting.take() {
            drop(TcpStream::connect(self.address)); // the accept call returns and sees that it is over
            accepting.join().expect("the accepting thread does not panic");
        }
    }

    /// Comes back on the same port.
    ///
    /// # Panics
    /// When somebody else took the port meanwhile.
    pub fn resume(&mut self) {
        assert!(self.accepting.is_none(), "resume follows stop");
        let listener = TcpListener::bind(self.address).expect("our port is still free");
        lock(&self.shared.state).stopped = false;
        self.accepting = Some(accept(listener, Arc::clone(&self.shared)));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Site {
    /// Adds or replaces one file; the path is escaped and has no leading slash.
    pub fn put(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), bytes.into());
    }

    /// Removes one file: it is 404 from now on.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Publishes this world beside what is here, or over it, and records its new versions in the database.
    pub fn publish(&mut self, world: &ModuleWorld) {
        self.files.extend(world.files());
        if let Some(database) = &mut self.database {
            database.record(world);
        }
    }

    /// The database, to make it lie.
    ///
    /// # Panics
    /// When there is none.
    pub fn database(&mut self) -> &mut SumDb {
        self.database.as_mut().expect("a site with a database")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let mut state = lock(&shared.state);
            if state.stopped {
                return;
            }
            state.open.extend(stream.try_clone());
            drop(state);
            let shared = Arc::clone(&shared);
            // A connection ends with its client or with `stop`, which shuts the socket: nothing to join.
            std::thread::spawn(move || drop(serve(&shared, stream)));
        }
    })
}

/// A stream under TLS or without.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    let wire: Box<dyn Wire> = match &shared.tls {
        Some(tls) => Box::new(tls.accept(stream)?),
        None => Box::new(stream),
    };
    let mut wire = BufReader::new(wire);
    while let Some(seen) = read_request(&mut wire)? {
        let (fault, mended) = note(shared, &seen);
        let keep =
            Reply { shared, seen: &seen, mended, wire: wire.get_mut(), socket: &socket }.give(fault)?;
        if !keep {
            break;
        }
    }
    // Both halves: the stop list still holds a clone of this socket.
    socket.shutdown(Shutdown::Both)
}

fn read_request(wire: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let fields = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
    Ok(Some(Seen { method, path, headers }))
}

/// Remembers the request and says how its answer goes wrong, if it does, and how often all was mended before: a
/// mending between this look and the wait for it must not be missed.
fn note(shared: &Shared, seen: &Seen) -> (Option<Fault>, u64) {
    let mut state = lock(&shared.state);
    state.seen.push(seen.clone());
    shared.changed.notify_all();
    let rule = state.rules.iter_mut().find(|rule| rule.times > 0 && seen.path.contains(&rule.on));
    let fault = rule.map(|rule| {
        rule.times -= 1;
        rule.fault.clone()
    });
    (fault, state.mended)
}

/// One answer on its way.
struct Reply<'a> {
    shared: &'a Shared,
    seen: &'a Seen,
    /// How often all had been mended when the request arrived.
    mended: u64,
    wire: &'a mut Box<dyn Wire>,
    socket: &'a TcpStream,
}

impl Reply<'_> {
    /// Sends the answer, or what stands for it; says whether the connection goes on.
    fn give(&mut self, fault: Option<Fault>) -> io::Result<bool> {
        let right = lock(&self.shared.site).answer(&self.seen.path);
        let body = right.clone().unwrap_or_else(|| b"something to send".to_vec());
        let half = &body[..body.len() / 2];
        let full_length = [("Content-Length".to_owned(), body.len().to_string())];
        let chunked = [("Transfer-Encoding".to_owned(), "chunked".to_owned())];
        match fault {
            None => return self.honest(right, &[]),
            Some(Fault::Hold) => {
                self.wait_for_mend();
                return self.honest(right, &[]);
            }
            Some(Fault::Headers(more)) => return self.honest(right, &more),
            Some(Fault::Status(status)) => return self.whole(status, &[], b"no explanation\n"),
            Some(Fault::StatusWith(status, more)) => return self.whole(status, &more, b"no explanation\n"),
            Some(Fault::LoginPage) => return self.whole(200, &[html()], LOGIN_PAGE),
            Some(Fault::Garbage) => return self.whole(200, &[], &garbage(body.len())),
            Some(Fault::Empty) => return self.whole(200, &[], b""),
            Some(Fault::HalfAFile) => return self.whole(200, &[], half),
            Some(Fault::Instead(other)) => return self.whole(200, &[], &other),
            Some(Fault::RedirectLoop) => return self.redirect(&self.seen.path.clone()),
            Some(Fault::RedirectTo(url)) => return self.redirect(&url),
            Some(Fault::FalseGzip) => return self.honest(Some(body), &[gzip()]),
            Some(Fault::Hangup) => {}
            Some(Fault::Reset) => {
                self.head(200, &full_length)?;
                self.send(half)?;
                self.reset()?;
            }
            Some(Fault::ShortBody) => {
                self.head(200, &full_length)?;
                self.send(half)?;
            }
            Some(Fault::ChunksWithoutEnd) => {
                self.head(200, &chunked)?;
                self.chunk(half)?;
            }
            Some(Fault::LongBody) => {
                self.head(200, &full_length)?;
                self.send(&body)?;
                self.send(b"and more than was promised")?;
            }
            Some(Fault::Endless) => {
                self.head(200, &chunked)?;
                let block = vec![b'v'; 64 * 1024];
                while !self.over() {
                    self.chunk(&block)?; // ends when the client has had enough
                }
            }
            Some(Fault::Stall) => {
                self.head(200, &full_length)?;
                self.send(half)?;
                self.wait_for_mend();
            }
            Some(Fault::Drip(pause)) => {
                self.head(200, &full_length)?;
                for byte in &body {
                    self.send(std::slice::from_ref(byte))?;
                    if self.pause(pause) {
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    fn honest(&mut self, right: Option<Vec<u8>>, more: &[(String, String)]) -> io::Result<bool> {
        match right {
            Some(body) => self.whole(200, more, &body),
            None => self.whole(404, more, b"not found: nobody made this\n"),
        }
    }

    fn whole(&mut self, status: u16, more: &[(String, String)], body: &[u8]) -> io::Result<bool> {
        let mut headers = vec![("Content-Length".to_owned(), body.len().to_string())];
        headers.extend_from_slice(more);
        self.head(status, &headers)?;
        // A 304 has no body, whatever it says: bytes behind it would be the next answer.
        if self.seen.method != "HEAD" && status != 304 {
            self.send(body)?;
        }
        Ok(self.seen.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")))
    }

    fn redirect(&mut self, url: &str) -> io::Result<bool> {
        self.whole(302, &[("Location".to_owned(), url.to_owned())], b"")
    }

    fn head(&mut self, status: u16, headers: &[(String, String)]) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {status} As-Told\r\n");
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.send(bytes)?;
        self.send(b"\r\n")
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    /// A close that discards: the peer reads `connection reset`.
    fn reset(&self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(self.socket, Some(Duration::ZERO))?;
        // The reset goes out when the last copy of the socket closes: the stop list must not hold one.
        let ours = self.socket.peer_addr()?;
        lock(&self.shared.state).open.retain(|stream| stream.peer_addr().ok() != Some(ours));
        Err(io::Error::other("reset to order"))
    }

    fn wait_for_mend(&self) {
        let state = lock(&self.shared.state);
        let waiting = |state: &mut State| state.mended == self.mended && !state.stopped;
        drop(self.shared.changed.wait_while(state, waiting));
    }

    /// Waits this long, or shorter when all is over; says whether it is.
    fn pause(&self, pause: Duration) -> bool {
        let state = lock(&self.shared.state);
        let waiting = |state: &mut State| state.mended == self.mended && !state.stopped;
        let waited = self.shared.changed.wait_timeout_while(state, pause, waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn over(&self) -> bool {
        lock(&self.shared.state).stopped
    }
}

const LOGIN_PAGE: &[u8] =
    b"<!DOCTYPE html><html><title>Sign in</title><form>Please sign in to the network</form></html>\n";

fn html() -> (String, String) {
    ("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())
}

fn gzip() -> (String, String) {
    ("Content-Encoding".to_owned(), "gzip".to_owned())
}

/// Bytes without meaning, the same each time: a linear congruence is random enough for a parser.
fn garbage(len: usize) -> Vec<u8> {
    let step = |seed: &mut u32| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*seed >> 24) as u8)
    };
    std::iter::repeat_n((), len).scan(7, |seed, ()| step(seed)).collect()
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
