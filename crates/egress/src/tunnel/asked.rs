//! What a child asks a tunnel for, read from the head of its request.

use http::Uri;
use url::Url;

use crate::host::HostPort;
use crate::proxy::Proxy;

/// Methods that read. Over plain http alone: what a child says under TLS is its own affair.
const READING: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PROPFIND", "REPORT"];

/// A head that goes nowhere, and what it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct No {
    pub(super) status: &'static str,
    /// A header field with its line end, or nothing.
    pub(super) field: &'static str,
}

/// What a child wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `CONNECT host:port`.
    Connect(HostPort),
    /// One request over plain http.
    Plain { place: HostPort, method: String, url: Url, fields: Vec<String> },
}

impl Asked {
    /// Reads the head of a request.
    pub(super) fn read(head: &[u8], login: &str) -> Result<Self, No> {
        const BAD: No = No { status: "400 Bad Request", field: "" };
        let head = std::str::from_utf8(head).map_err(|_| BAD)?;
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let mut words = lines.next().ok_or(BAD)?.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BAD);
        };
        let fields: Vec<&str> = lines.collect();
        if !fields.iter().any(|field| opens(field, login)) {
            return Err(No {
                status: "407 Proxy Authentication Required",
                field: "Proxy-Authenticate: Basic realm=\"modkeep\"\r\n",
            });
        }
        if method == "CONNECT" {
            return HostPort::parse(target).map(Self::Connect).map_err(|_| BAD);
        }
        if !READING.contains(&method) {
            return Err(No { status: "405 Method Not Allowed", field: "Allow: GET, HEAD, POST\r\n" });
        }
        let url = Url::parse(target).map_err(|_| BAD)?;
        let place = HostPort::of(&url).filter(|_| url.scheme() == "http").ok_or(BAD)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BAD);
        }
        let fields = fields.into_iter().filter(|field| passes(field)).map(str::to_owned).collect();
        Ok(Self::Plain { place, method: method.to_owned(), url, fields })
    }

    /// Where to.
    pub(super) fn place(&self) -> &HostPort {
        match self {
            Self::Connect(place) | Self::Plain { place, .. } => place,
        }
    }

    /// A `CONNECT` is taken for the beginning of TLS, which all clients use it for.
    pub(super) fn tls(&self) -> bool {
        matches!(self, Self::Connect(_))
    }

    /// As the choice of a forward proxy wants it.
    pub(super) fn target(&self) -> Option<Uri> {
        match self {
            Self::Connect(place) => format!("https://{place}/").parse().ok(),
            Self::Plain { url, .. } => url.as_str().parse().ok(),
        }
    }

    /// What the server hears in place of the child's head. One request for each connection: where the next one goes
    /// is to be judged anew.
    pub(super) fn head(&self, proxy: Option<&Proxy>) -> Option<Vec<u8>> {
        let Self::Plain { place, method, url, fields } = self else { return None };
        let target = match proxy {
            Some(_) => &url[..url::Position::AfterQuery],
            None => &url[url::Position::BeforePath..url::Position::AfterQuery],
        };
        let host = if place.port() == 80 { place.host().to_owned() } else { place.to_string() };
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").into_bytes();
        for field in fields {
            head.extend_from_slice(field.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        if let Some(authorization) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            head.extend_from_slice(b"Proxy-Authorization: ");
            head.extend_from_slice(authorization.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Some(head)
    }
}

/// Whether a header field is the login. All bytes are compared, wherever the first difference is.
fn opens(field: &str, login: &str) -> bool {
    let Some((name, value)) = field.split_once(':') else { return false };
    let value = value.trim();
    name.eq_ignore_ascii_case("proxy-authorization")
        && value.len() == login.len()
        && value.bytes().zip(login.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Whether a header field is for the server. Those for us stay here.
fn passes(field: &str) -> bool {
    const OURS: [&str; 6] =
        ["connection", "host", "keep-alive", "proxy-authorization", "proxy-connection", "upgrade"];
    let Some((name, _)) = field.split_once(':') else { return false };
    !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = "Basic bW9ka2VlcDpz";

    fn read(line: &str, fields: &[&str]) -> Result<Asked, No> {
        let login = format!("Proxy-Authorization: {LOGIN}");
        let lines = [&[line, &login], fields, &["", ""]].concat();
        Asked::read(lines.join("\r\n").as_bytes(), LOGIN)
    }

    #[test]
    fn what_a_child_wants_is_read() {
        let asked = read("CONNECT git.example:443 HTTP/1.1", &["Host: git.example:443"]).unwrap();
        assert_eq!(asked, Asked::Connect(HostPort::parse("git.example:443").unwrap()));
        assert!(asked.tls() && asked.head(None).is_none());
        let fields = ["Host: other.example", "Connection: keep-alive", "Proxy-Connection: x", "Accept: */*"];
        let asked = read("GET http://Git.example/a%20b?c=d HTTP/1.1", &fields).unwrap();
        assert_eq!(
            String::from_utf8(asked.head(None).unwrap()).unwrap(),
            "GET /a%20b?c=d HTTP/1.1\r\nHost: git.example\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn what_is_no_reading_request_is_refused() {
        for (line, status) in [
            ("", "400"),
            ("GET / HTTP/1.1", "400"),
            ("GET https://git.example/ HTTP/1.1", "400"),
            ("GET file:///etc/passwd HTTP/1.1", "400"),
            ("GET http://user:pw@git.example/ HTTP/1.1", "400"),
            ("GET http://git.example/ HTTP/2", "400"),
            ("GET http://git.example/ x HTTP/1.1", "400"),
            ("CONNECT git.example HTTP/1.1", "400"),
            ("PUT http://git.example/ HTTP/1.1", "405"),
        ] {
            assert!(read(line, &[]).unwrap_err().status.starts_with(status), "{line}");
        }
    }

    #[test]
    fn the_secret_opens_and_nothing_else_does() {
        let line = "CONNECT git.example:443 HTTP/1.1\r\n";
        for (fields, opens) in [
            (format!("proxy-authorization:{LOGIN}\r\n"), true),
            (String::new(), false),
            (format!("Authorization: {LOGIN}\r\n"), false),
            ("Proxy-Authorization: Basic bW9ka2VlcDpt\r\n".to_owned(), false),
            ("Proxy-Authorization: \r\n".to_owned(), false),
        ] {
            let asked = Asked::read(format!("{line}{fields}\r\n").as_bytes(), LOGIN);
            assert_eq!(asked.is_ok(), opens, "{fields}");
            assert!(opens || asked.unwrap_err().status.starts_with("407 "));
        }
    }
}
