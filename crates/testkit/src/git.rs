//! A real git server on loopback: `git http-backend` behind HTTP, with a memory and with faults to order.
//!
//! It serves a folder of bare repositories, `http://127.0.0.1:PORT/<path below the folder>`. What it cannot
//! do is set by its [`Kind`]; how an answer goes wrong, by a [`Fault`]. Each request is remembered with its
//! bytes in both directions, so that the cost of a question at its origin can be asserted to the byte.

mod backend;
mod repo;

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::door::{Door, Request, Wire, lock};
use crate::tls::ServerTls;

pub(crate) use repo::git_command;
pub use repo::{FIRST_DATE, GitRepo, raw_entry};

/// Header fields: name and value.
type Fields = Vec<(String, String)>;

/// What the server can do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// Protocol v2 with `filter`, and wants by any object id: what the large hosts have.
    #[default]
    Full,
    /// Protocol v2 without `filter`.
    NoFilter,
    /// As [`Kind::Full`], but the only filters are `tree:0` and `blob:none`, as on hosts that answer from bitmaps.
    FewFilters,
    /// As [`Kind::Full`], but `filter`, `deepen` and `shallow` are not heeded: everything comes, whatever was asked.
    Deaf,
    /// Protocol v1, also when v2 is asked for.
    V1,
    /// A server from before protocols had numbers: the `Git-Protocol` field is not heard, and only the
    /// tips of refs may be wanted.
    V0,
    /// Plain files, as any web server gives them after `git update-server-info`.
    Dumb,
}

/// The ways in which an answer goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// No answer until [`GitServer::mend`]; then the right one.
    Silence,
    /// The connection is closed before a byte of the answer.
    Hangup,
    /// The first half of the right body, then a close.
    Half,
    /// The first half of the right body, then silence until [`GitServer::mend`].
    HalfThenSilence,
    /// This status with these header fields: 429 with `Retry-After`, 503, 404, 410.
    Status(u16, Vec<(String, String)>),
    /// The right head, then pkt-lines (progress, for a fetch) without end.
    EndlessPktLines,
    /// The right head around these bytes in place of the right ones.
    Instead(Vec<u8>),
    /// A redirect to this URL, followed by the path and query of the request.
    RedirectTo(String),
}

/// One request as it arrived, and what it got.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `GET` or `POST`.
    pub method: String,
    /// The request target: path and query, not decoded.
    pub path: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, after gzip was undone: the pkt-lines of the question.
    pub body: Vec<u8>,
    /// Bytes of the body as they came over the wire.
    pub bytes_in: u64,
    /// Bytes of the answer's body as they went over the wire, without the framing of chunks.
    pub bytes_out: u64,
    /// The status of the answer; 0 while there was none.
    pub status: u16,
}

impl Asked {
    /// The first field of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of `Git-Protocol`: `version=2`.
    pub fn git_protocol(&self) -> Option<&str> {
        self.header("git-protocol")
    }

    /// What protocol v2 was asked to do: `ls-refs`, `fetch`. `None` for the capabilities and for v0.
    pub fn command(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.body.get(4..)?).ok()?;
        Some(text.strip_prefix("command=")?.split(['\n', '0']).next()?.trim_end())
    }

    /// The body as text, to look for `want `, `filter `, `deepen ` in it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Number of requests and bytes in both directions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// How many requests.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    pub bytes_out: u64,
}

/// A running git server on loopback. Dropped, it ends, and its own folder with it.
#[derive(Debug)]
pub struct GitServer {
    shared: Arc<Shared>,
    door: Door,
    own: Option<TempDir>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    tls: Option<ServerTls>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    kind: Kind,
    login: Option<String>,
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    /// How often the record was emptied: a late answer of an older request is not written into a newer one.
    forgotten: u64,
    /// Grows with each [`GitServer::mend`]; whoever waits, waits for it to change.
    mended: u64,
    stopped: bool,
}

#[derive(Debug)]
struct Rule {
    on: String,
    fault: Fault,
    times: usize,
}

impl GitServer {
    /// A server of this kind over a folder of its own, empty at first.
    ///
    /// # Panics
    /// When there is no free port or no temporary folder.
    pub fn start(kind: Kind) -> Self {
        let own = tempfile::Builder::new().prefix("modkeep-git-").tempdir().expect("a temporary folder");
        let mut server = Self::over(own.path(), kind);
        server.own = Some(own);
        server
    }

    /// A server of this kind over a folder of bare repositories that somebody else keeps.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn over(folder: &Path, kind: Kind) -> Self {
        Self::listen(folder, kind, None)
    }

    /// As [`GitServer::over`], under TLS.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn over_tls(folder: &Path, kind: Kind, tls: ServerTls) -> Self {
        Self::listen(folder, kind, Some(tls))
    }

    fn listen(folder: &Path, kind: Kind, tls: Option<ServerTls>) -> Self {
        let state = Mutex::new(State { kind, ..State::default() });
        let shared = Arc::new(Shared { folder: folder.to_owned(), tls, state, changed: Condvar::new() });
        let door = Door::open(handler(&shared));
        Self { shared, door, own: None }
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host())
    }

    /// `host:port`, as configuration and egress rules name it.
    pub fn host(&self) -> String {
        match self.shared.tls {
            Some(_) => format!("localhost:{}", self.door.address().port()),
            None => self.door.address().to_string(),
        }
    }

    /// The go command with this server in place of every https and http host: git's `insteadOf`. Its module
    /// cache is its own, git is allowed, and the checksum database is not asked.
    pub fn instead(&self, go: crate::Go) -> crate::Go {
        let base = format!("url.{}/.insteadOf", self.url());
        go.with("GIT_CONFIG_COUNT", "2")
            .with("GIT_CONFIG_KEY_0", &base)
            .with("GIT_CONFIG_VALUE_0", "https://")
            .with("GIT_CONFIG_KEY_1", &base)
            .with("GIT_CONFIG_VALUE_1", "http://")
            .with("GIT_CONFIG_NOSYSTEM", "1")
            .with("GIT_CONFIG_GLOBAL", "/dev/null")
            .with("GOVCS", "*:all")
    }

    /// The same for modkeep: the value of `MODKEEP_ORIGIN_REWRITE`, one rule for each host that has a repository here.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn rewrites(&self) -> String {
        let entries = std::fs::read_dir(self.folder()).expect("our own folder");
        let hosts = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let rule =
            |host: String| format!(r#"{{ prefix = "https://{host}/", url = "{}/{host}/" }}"#, self.url());
        format!("[{}]", hosts.map(rule).collect::<Vec<_>>().join(", "))
    }

    /// Where the bare repositories stand.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// A new, empty repository served as `/<path>`: `github.com/ann/fish`.
    ///
    /// # Panics
    /// When it exists or cannot be made.
    pub fn repository(&self, path: &str) -> GitRepo {
        GitRepo::init(&self.shared.folder.join(path))
    }

    /// As [`GitServer::repository`], with SHA-256 object ids.
    ///
    /// # Panics
    /// When it exists or cannot be made.
    pub fn repository_sha256(&self, path: &str) -> GitRepo {
        GitRepo::init_sha256(&self.shared.folder.join(path))
    }

    /// From the next request on, a server of another kind.
    pub fn change_kind(&self, kind: Kind) {
        lock(&self.shared.state).kind = kind;
    }

    /// From the next request on, everybody must say this name and password (Basic).
    pub fn require_login(&self, user: &str, password: &str) {
        lock(&self.shared.state).login = Some(format!("{user}:{password}"));
    }

    /// Every request whose target contains `on` goes wrong like this until [`GitServer::mend`].
    pub fn fault(&self, on: &str, fault: Fault) {
        self.fault_times(on, fault, usize::MAX);
    }

    /// The next `times` requests whose target contains `on` go wrong like this.
    pub fn fault_times(&self, on: &str, fault: Fault, times: usize) {
        lock(&self.shared.state).rules.push(Rule { on: on.to_owned(), fault, times });
    }

    /// Ends all faults; answers held back are given now.
    pub fn mend(&self) {
        let mut state = lock(&self.shared.state);
        state.rules.clear();
        state.mended += 1;
        self.shared.changed.notify_all();
    }

    /// Every request so far, in the order of their arrival.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.state).asked.clone()
    }

    /// How many requests had a target that contains `part`.
    pub fn count(&self, part: &str) -> usize {
        lock(&self.shared.state).asked.iter().filter(|asked| asked.path.contains(part)).count()
    }

    /// What all requests so far have cost.
    pub fn cost(&self) -> Cost {
        let add = |cost: Cost, asked: &Asked| Cost {
            requests: cost.requests + 1,
            bytes_in: cost.bytes_in + asked.bytes_in,
            bytes_out: cost.bytes_out + asked.bytes_out,
        };
        lock(&self.shared.state).asked.iter().fold(Cost::default(), add)
    }

    /// The requests in one line each, for the message of a failed assertion.
    pub fn told(&self) -> String {
        let line = |asked: &Asked| {
            let command = asked.command().unwrap_or("-");
            let protocol = asked.git_protocol().unwrap_or("-");
            let (method, path) = (&asked.method, &asked.path);
            let (status, bytes_in, bytes_out) = (asked.status, asked.bytes_in, asked.bytes_out);
            format!("{method} {path} {protocol} {command} → {status}, {bytes_in} in, {bytes_out} out\n")
        };
        self.asked().iter().map(line).collect()
    }

    /// Waits until a request whose target contains `part` has arrived.
    ///
    /// # Panics
    /// When none has within a minute.
    pub fn wait_for(&self, part: &str) {
        let state = lock(&self.shared.state);
        let missing = |state: &mut State| !state.asked.iter().any(|asked| asked.path.contains(part));
        let waited = self.shared.changed.wait_timeout_while(state, Duration::from_mins(1), missing);
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the git server was never asked for {part}");
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        let mut state = lock(&self.shared.state);
        state.asked.clear();
        state.forgotten += 1;
    }

    /// Goes away: connections are cut, new ones refused.
    pub fn stop(&mut self) {
        lock(&self.shared.state).stopped = true;
        self.shared.changed.notify_all();
        self.door.close();
    }

    /// Comes back on the same port.
    ///
    /// # Panics
    /// When it was not stopped, or somebody else took the port meanwhile.
    pub fn resume(&mut self) {
        lock(&self.shared.state).stopped = false;
        self.door.reopen(handler(&self.shared));
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn handler(shared: &Arc<Shared>) -> impl Fn(TcpStream) + Clone + Send + 'static {
    let shared = Arc::clone(shared);
    move |stream| drop(serve(&shared, stream))
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    let wire: Box<dyn Wire> = match &shared.tls {
        Some(tls) => Box::new(tls.accept(stream)?),
        None => Box::new(stream),
    };
    let mut wire = BufReader::new(wire);
    while let Some(request) = Request::read(&mut wire)? {
        let mut reply = Reply::note(shared, &request, wire.get_mut());
        if !reply.give()? {
            break;
        }
    }
    socket.shutdown(Shutdown::Both)
}

/// One answer on its way.
struct Reply<'a> {
    shared: &'a Shared,
    request: &'a Request,
    wire: &'a mut Box<dyn Wire>,
    kind: Kind,
    admitted: bool,
    fault: Option<Fault>,
    /// Where the request stands in the record, and how often that had been emptied.
    place: (u64, usize),
    /// How often all had been mended when the request arrived.
    mended: u64,
}

impl<'a> Reply<'a> {
    /// Writes the request into the record and says how its answer goes wrong, if it does.
    fn note(shared: &'a Shared, request: &'a Request, wire: &'a mut Box<dyn Wire>) -> Self {
        let mut state = lock(&shared.state);
        state.asked.push(Asked {
            method: request.method.clone(),
            path: request.target.clone(),
            headers: request.headers.clone(),
            body: plain(request),
            bytes_in: request.body.len() as u64,
            ..Asked::default()
        });
        shared.changed.notify_all();
        let place = (state.forgotten, state.asked.len() - 1);
        let (kind, mended) = (state.kind, state.mended);
        let admitted = state.login.as_deref().is_none_or(|login| backend::says(request, login));
        let rule = state.rules.iter_mut().find(|rule| rule.times > 0 && request.target.contains(&rule.on));
        let fault = rule.map(|rule| {
            rule.times -= 1;
            rule.fault.clone()
        });
        Self { shared, request, wire, kind, admitted, fault, place, mended }
    }

    /// Sends the answer, or what stands for it; says whether the connection goes on.
    fn give(&mut self) -> io::Result<bool> {
        match self.fault.take() {
            None => return self.honest(),
            Some(Fault::Silence) => {
                self.wait_for_mend();
                return self.honest();
            }
            Some(Fault::Status(status, more)) => {
                return self.whole(status, more, b"not now\n");
            }
            Some(Fault::RedirectTo(url)) => {
                let location = ("Location".to_owned(), format!("{url}{}", self.request.target));
                return self.whole(302, vec![location], b"");
            }
            Some(Fault::Instead(bytes)) => {
                let (status, headers, _) = self.right()?;
                return self.whole(status, headers, &bytes);
            }
            Some(Fault::Hangup) => {}
            Some(Fault::Half) => self.half()?,
            Some(Fault::HalfThenSilence) => {
                self.half()?;
                self.wait_for_mend();
            }
            Some(Fault::EndlessPktLines) => self.endless()?,
        }
        Ok(false)
    }

    /// The right answer, as the real program gives it.
    fn honest(&mut self) -> io::Result<bool> {
        if !self.admitted {
            let ask = ("WWW-Authenticate".to_owned(), "Basic realm=\"git\"".to_owned());
            return self.whole(401, vec![ask], b"who are you?\n");
        }
        let mut answer = backend::ask(&self.shared.folder, self.kind, self.request)?;
        let mut headers = std::mem::take(&mut answer.headers);
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        self.head(answer.status, &headers)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = answer.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            self.chunk(&buffer[..n])?;
        }
        // All was counted before the client can know that it has all: a test may look at the record at once.
        self.wire.write_all(b"0\r\n\r\n")?;
        self.wire.flush()?;
        Ok(self.stays())
    }

    /// The right answer in one piece.
    fn right(&self) -> io::Result<(u16, Fields, Vec<u8>)> {
        let mut answer = backend::ask(&self.shared.folder, self.kind, self.request)?;
        let mut body = Vec::new();
        answer.read_to_end(&mut body)?;
        Ok((answer.status, std::mem::take(&mut answer.headers), body))
    }

    fn half(&mut self) -> io::Result<()> {
        let (status, mut headers, body) = self.right()?;
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        self.head(status, &headers)?;
        self.send(&body[..body.len() / 2])
    }

    fn endless(&mut self) -> io::Result<()> {
        let (status, mut headers, body) = self.right()?;
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        self.head(status, &headers)?;
        // A fetch begins with its section; what follows is progress in band 2. Elsewhere it is one more ref.
        let fetch = body.windows(8).any(|window| window == b"packfile");
        let line: &[u8] = if fetch {
            b"0014\x02still thinking\n"
        } else {
            b"003d0123456789012345678901234567890123456789 refs/heads/more\n"
        };
        if fetch {
            self.chunk(b"000dpackfile\n")?;
        }
        let block = line.repeat(1024);
        while !lock(&self.shared.state).stopped {
            self.chunk(&block)?; // ends when the client has had enough
        }
        Ok(())
    }

    fn whole(&mut self, status: u16, mut headers: Vec<(String, String)>, body: &[u8]) -> io::Result<bool> {
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        self.head(status, &headers)?;
        self.send(body)?;
        Ok(self.stays())
    }

    fn stays(&self) -> bool {
        self.request.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }

    fn head(&mut self, status: u16, headers: &[(String, String)]) -> io::Result<()> {
        let (forgotten, index) = self.place;
        let mut state = lock(&self.shared.state);
        if state.forgotten == forgotten
            && let Some(asked) = state.asked.get_mut(index)
        {
            asked.status = status;
        }
        drop(state);
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.wire.write_all(format!("HTTP/1.1 {status} As-Told\r\n{fields}\r\n").as_bytes())?;
        self.wire.flush()
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len());
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.wire.write_all(&chunk)?;
        self.wire.flush()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count(bytes.len());
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    fn count(&self, bytes: usize) {
        let (forgotten, index) = self.place;
        let mut state = lock(&self.shared.state);
        if state.forgotten == forgotten
            && let Some(asked) = state.asked.get_mut(index)
        {
            asked.bytes_out += bytes as u64;
        }
    }

    fn wait_for_mend(&self) {
        let state = lock(&self.shared.state);
        let waiting = |state: &mut State| state.mended == self.mended && !state.stopped;
        drop(self.shared.changed.wait_while(state, waiting));
    }
}

/// The body without its compression; as it is when that is broken.
fn plain(request: &Request) -> Vec<u8> {
    let gzip = request.header("content-encoding").is_some_and(|v| v.eq_ignore_ascii_case("gzip"));
    let mut body = Vec::new();
    match gzip.then(|| flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body)) {
        Some(Ok(_)) => body,
        _ => request.body.clone(),
    }
}
