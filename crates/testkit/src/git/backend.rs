//! `git http-backend` as a CGI program, and plain files for the dumb protocol.

use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::Kind;
use crate::door::Request;

/// An answer whose head was read; its body follows as the program makes it.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Program(Child, BufReader<ChildStdout>),
    File(Cursor<Vec<u8>>),
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.body {
            Body::Program(_, stdout) => stdout.read(buffer),
            Body::File(bytes) => bytes.read(buffer),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Body::Program(child, _) = &mut self.body {
            let _ended = child.kill(); // it has ended, unless its client went away
            drop(child.wait());
        }
    }
}

/// The answer of a server of this kind over `folder`.
pub(super) fn ask(folder: &Path, kind: Kind, request: &Request) -> io::Result<Answer> {
    if kind == Kind::Dumb { Ok(file(folder, request)) } else { program(folder, kind, request) }
}

/// Whether the request carries this `user:password`.
pub(super) fn says(request: &Request, login: &str) -> bool {
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    token.is_some_and(|token| token.trim() == base64(login.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |group: &[u8]| {
        let value = (0..3).fold(0usize, |value, n| value << 8 | group.get(n).map_or(0, |&b| b.into()));
        let digit =
            |n: usize| if n > group.len() { '=' } else { ALPHABET[value >> (18 - 6 * n) & 63].into() };
        [digit(0), digit(1), digit(2), digit(3)]
    };
    bytes.chunks(3).flat_map(encode).collect()
}

/// What the kind of the server means as git configuration.
fn configuration(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let filter = if matches!(kind, Kind::Full | Kind::FewFilters | Kind::Deaf) { "true" } else { "false" };
    let mut configuration = vec![
        ("uploadpack.allowFilter", filter),
        ("uploadpack.allowAnySHA1InWant", filter),
        ("safe.directory", "*"),
        ("uploadpack.allowRefInWant", "false"),
    ];
    if kind == Kind::FewFilters {
        configuration.extend([
            ("uploadpackfilter.allow", "false"),
            ("uploadpackfilter.blob:none.allow", "true"),
            ("uploadpackfilter.tree.allow", "true"),
            ("uploadpackfilter.tree.maxDepth", "0"),
        ]);
    }
    configuration
}

fn program(folder: &Path, kind: Kind, request: &Request) -> io::Result<Answer> {
    let (path, query) = request.path_and_query();
    let is_deaf = kind == Kind::Deaf && request.body.starts_with(b"0012command=fetch");
    let body = if is_deaf { unheeded(&request.body) } else { request.body.clone() };
    let mut command = super::repo::git_command();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", body.len().to_string());
    for (field, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("accept-encoding", "HTTP_ACCEPT_ENCODING"),
    ] {
        command.envs(request.header(field).map(|value| (variable, value)));
    }
    let protocol = match (kind, request.header("git-protocol")) {
        (Kind::V0, _) | (_, None) => None,
        (Kind::V1, Some(_)) => Some("version=1"),
        (_, Some(value)) => Some(value),
    };
    command.envs(protocol.map(|value| ("GIT_PROTOCOL", value)));
    let configuration = configuration(kind);
    command.env("GIT_CONFIG_COUNT", configuration.len().to_string());
    for (n, (key, value)) in configuration.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{n}"), key).env(format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    run(command, body)
}

/// A question without the lines that ask for less than everything.
fn unheeded(question: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::new(), question);
    while let Some(length) = rest.get(..4).and_then(|hex| std::str::from_utf8(hex).ok()) {
        let length = usize::from_str_radix(length, 16).map_or(rest.len(), |length| length.max(4));
        let (line, after) = rest.split_at(length.min(rest.len()));
        if !["filter ", "deepen ", "shallow "].iter().any(|word| line[4..].starts_with(word.as_bytes())) {
            kept.extend_from_slice(line);
        }
        rest = after;
    }
    kept
}

fn run(mut command: Command, body: Vec<u8>) -> io::Result<Answer> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().expect("a piped stream");
    // In a thread: the program may begin to answer before it has read all. It ends with the program.
    std::thread::spawn(move || drop(stdin.write_all(&body)));
    let mut stdout = BufReader::with_capacity(64 << 10, child.stdout.take().expect("a piped stream"));
    let mut status = 200;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { continue };
        if name.eq_ignore_ascii_case("status") {
            status = value.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(500);
        } else {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    Ok(Answer { status, headers, body: Body::Program(child, stdout) })
}

/// A file of the repository, as it is: the dumb protocol.
fn file(folder: &Path, request: &Request) -> Answer {
    let (path, _) = request.path_and_query();
    let path = path.trim_start_matches('/');
    if let Some(repository) = path.strip_suffix("/info/refs") {
        let mut command = super::repo::git_command();
        drop(command.arg("-C").arg(folder.join(repository)).arg("update-server-info").output());
    }
    let safe = !path.split('/').any(|element| element == "..") && request.method == "GET";
    let bytes = safe.then(|| std::fs::read(folder.join(path)).ok()).flatten();
    let status = if bytes.is_some() { 200 } else { 404 };
    let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
    Answer { status, headers, body: Body::File(Cursor::new(bytes.unwrap_or_default())) }
}
