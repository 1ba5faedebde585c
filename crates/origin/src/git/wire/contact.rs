//! The first contact: where the repository really answers, and what its server can do.

use http::HeaderValue;
use http::header::{HeaderName, PRAGMA};
use modkeep_egress::{Credentials, Egress, Encoding, HostPort, Kind, Request, Response, Trust};
use url::Url;

use super::talk::{Talk, host_of, is_type, refusal};
use super::{Capabilities, ObjectFormat, WireError, WireLimits};
use crate::error::Error;
use crate::git::pkt::{Pkt, text};
use crate::place::{Login, Remote};

/// What is put behind a repository's URL (gitprotocol-http).
const REFS: &str = "info/refs";
const SERVICE: &str = "service=git-upload-pack";
/// The media type of a smart server's answer.
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
/// More lines than any server has capabilities (C14). git has eight.
const CAPABILITIES_MAX: usize = 1_000;
/// As much of an answer as it takes to see that it is a dumb server's list of refs.
const DUMB_EXCERPT: usize = 1_024;

/// A repository's server, as it presented itself.
#[derive(Debug)]
pub(super) struct Contact {
    /// The repository's URL after redirects, with a slash at its end.
    pub(super) base: String,
    /// The login, if `base` is still at the host it is for (C05).
    pub(super) credentials: Option<Credentials>,
    /// The same of GOINSECURE.
    pub(super) trust: Trust,
    /// What callers may know of it.
    pub(super) can: Capabilities,
    /// It likes to know the client's name.
    pub(super) agent: bool,
    /// It wants to be told the hash function.
    pub(super) names_format: bool,
    /// It tells of a HEAD whose branch has no commit yet.
    pub(super) unborn: bool,
}

/// The header that asks for version 2.
pub(super) fn version_header() -> (HeaderName, HeaderValue) {
    (HeaderName::from_static("git-protocol"), HeaderValue::from_static("version=2"))
}

/// Asks a repository for its capabilities: one request.
pub(super) async fn greet(
    egress: &Egress,
    remote: &Remote,
    limits: WireLimits,
) -> Result<Contact, WireError> {
    let login = match &remote.login {
        Some(Login::Http(login)) => Some(login.clone()),
        Some(Login::SshKey(_)) | None => None,
    };
    let trust = if remote.insecure { Trust::Insecure } else { Trust::Verified };
    let request = Request {
        headers: vec![version_header(), (PRAGMA, HeaderValue::from_static("no-cache"))],
        credentials: login.clone(),
        limits: limits.of(limits.refs_bytes_max),
        kind: Kind::Origin,
        encoding: Encoding::Gzip,
        trust,
        ..Request::named(question(&remote.url)?)
    };
    let response = egress.get(request).await.map_err(|error| Error::of_egress(&error))?;
    if response.status != 200 {
        return Err(refusal(response).await.into());
    }
    if !is_type(&response, ADVERTISEMENT) {
        return Err(dumb_or_nothing(response).await);
    }
    let base = base(&response.url)?;
    let stays = is_same_host(&response.url, &remote.url);
    let lines = advertisement(Talk::listen(response)).await?;
    let contact = Contact {
        base,
        credentials: login.filter(|_| stays),
        trust: if stays { trust } else { Trust::Verified },
        ..Contact::read(&lines)?
    };
    Ok(contact)
}

/// The URL to ask: the repository's own, with `info/refs` behind it, as git puts it together.
fn question(url: &Url) -> Result<Url, Error> {
    let mut text = url.as_str().split('#').next().unwrap_or_default().to_owned();
    if !text.ends_with('/') {
        text.push('/');
    }
    let and = if text.contains('?') { '&' } else { '?' };
    let asked = format!("{text}{REFS}{and}{SERVICE}");
    Url::parse(&asked)
        .map_err(|_| Error::Malformed { host: host_of(url), what: "its URL cannot be asked for refs".into() })
}

/// What is left of the URL that answered when the question is taken away: the base of all that follows.
fn base(answered: &Url) -> Result<String, Error> {
    let text = answered.as_str();
    let base = [format!("{REFS}?{SERVICE}"), format!("{REFS}&{SERVICE}")]
        .iter()
        .find_map(|end| text.strip_suffix(end.as_str()))
        .filter(|base| base.ends_with('/'));
    base.map(str::to_owned).ok_or_else(|| Error::Malformed {
        host: host_of(answered),
        what: "a redirect that leads to another kind of address".to_owned(),
    })
}

fn is_same_host(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && HostPort::of(one) == HostPort::of(other)
}

/// The lines of a version 2 advertisement, its first line left out.
async fn advertisement(mut talk: Talk) -> Result<Vec<String>, WireError> {
    let mut first = talk.unit().await?;
    // Some servers begin as they begin in version 0, with a line of their own.
    if matches!(&first, Some(Pkt::Line(line)) if text(line) == b"# service=git-upload-pack") {
        if talk.unit().await? != Some(Pkt::Flush) {
            return Err(talk.malformed("an advertisement without its second part").into());
        }
        first = talk.unit().await?;
    }
    if !matches!(first, Some(Pkt::Line(line)) if text(&line) == b"version 2") {
        return Err(WireError::NotV2);
    }
    let mut lines = Vec::new();
    while let Some(unit) = talk.unit().await? {
        match unit {
            Pkt::Line(line) if lines.len() < CAPABILITIES_MAX => {
                lines.push(String::from_utf8_lossy(text(&line)).into_owned());
            }
            Pkt::Flush => {
                talk.finish().await?;
                return Ok(lines);
            }
            _ => return Err(talk.malformed("an advertisement that is none").into()),
        }
    }
    Err(talk.malformed("an advertisement without end").into())
}

impl Contact {
    /// Reads the lines; where to, and with which login, is for [`greet`] to say.
    fn read(lines: &[String]) -> Result<Self, WireError> {
        let value = |key: &str| {
            lines.iter().find_map(|line| match line.split_once('=') {
                Some((name, value)) => (name == key).then_some(value),
                None => (line == key).then_some(""),
            })
        };
        let has = |values: &str, wanted: &str| values.split(' ').any(|value| value == wanted);
        let (Some(ls_refs), Some(fetch)) = (value("ls-refs"), value("fetch")) else {
            return Err(WireError::NotV2);
        };
        let object_format = match value("object-format") {
            None | Some("sha1") => ObjectFormat::Sha1,
            Some("sha256") => ObjectFormat::Sha256,
            Some(_) => return Err(WireError::NotV2),
        };
        Ok(Self {
            base: String::new(),
            credentials: None,
            trust: Trust::Verified,
            can: Capabilities { object_format, filter: has(fetch, "filter"), shallow: has(fetch, "shallow") },
            agent: value("agent").is_some(),
            names_format: value("object-format").is_some(),
            unborn: has(ls_refs, "unborn"),
        })
    }
}

/// An answer of another media type: the list of refs of a dumb server, or no repository at all.
async fn dumb_or_nothing(response: Response) -> WireError {
    let start = response.body.excerpt(DUMB_EXCERPT).await;
    if start.is_empty() || begins_with_ref(&start) { WireError::NotV2 } else { WireError::NotGit }
}

/// `<id> TAB <name>`: the first line of the file `info/refs`.
fn begins_with_ref(start: &[u8]) -> bool {
    let id = start.split(|byte| *byte == b'\t').next().unwrap_or_default();
    [ObjectFormat::Sha1, ObjectFormat::Sha256].into_iter().any(|format| format.is_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_put_together_as_git_does() {
        for (url, asked) in [
            ("https://h.example/a/b", "https://h.example/a/b/info/refs?service=git-upload-pack"),
            ("https://h.example/a.git/", "https://h.example/a.git/info/refs?service=git-upload-pack"),
            ("https://h.example", "https://h.example/info/refs?service=git-upload-pack"),
            ("https://h.example/a#b", "https://h.example/a/info/refs?service=git-upload-pack"),
            ("https://h.example/a?x=1", "https://h.example/a?x=1/info/refs&service=git-upload-pack"),
        ] {
            let question = question(&Url::parse(url).unwrap()).unwrap();
            assert_eq!(question.as_str(), asked);
            assert!(asked.starts_with(&base(&question).unwrap()), "{url}");
        }
    }

    #[test]
    fn a_redirect_moves_the_base_or_is_refused() {
        let base = |url: &str| base(&Url::parse(url).unwrap()).ok();
        for (answered, left) in [
            (
                "https://new.example/b.git/info/refs?service=git-upload-pack",
                Some("https://new.example/b.git/"),
            ),
            ("https://new.example/login?then=info/refs", None),
            ("https://new.example/b.git/info/refs", None),
            ("https://new.example/xinfo/refs?service=git-upload-pack", None),
        ] {
            assert_eq!(base(answered).as_deref(), left, "{answered}");
        }
    }

    #[test]
    fn capabilities_are_read_word_by_word() {
        let read = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            Contact::read(&lines)
        };
        let contact = read(&[
            "agent=git/2.47.3",
            "ls-refs=unborn",
            "fetch=shallow wait-for-done filter",
            "server-option",
            "object-format=sha256",
        ])
        .unwrap();
        assert_eq!(
            contact.can,
            Capabilities { object_format: ObjectFormat::Sha256, filter: true, shallow: true }
        );
        assert!(contact.agent && contact.unborn && contact.names_format);
        let bare = read(&["ls-refs", "fetch"]).unwrap();
        assert_eq!(
            bare.can,
            Capabilities { object_format: ObjectFormat::Sha1, filter: false, shallow: false }
        );
        assert!(!bare.agent && !bare.unborn && !bare.names_format);
        for lines in [&["ls-refs"][..], &["fetch"], &[], &["ls-refs", "fetch", "object-format=sha3"]] {
            assert!(matches!(read(lines), Err(WireError::NotV2)), "{lines:?}");
        }
    }

    #[test]
    fn a_dumb_server_shows_a_list_of_refs() {
        for (start, dumb) in [
            ("fb637565f87b4b27692f2d2efa7653d6af47f271\trefs/heads/main\n", true),
            ("fb637565f87b4b27692f2d2efa7653d6af47f271 HEAD", false),
            ("<!DOCTYPE html>", false),
            ("", false),
        ] {
            assert_eq!(begins_with_ref(start.as_bytes()), dumb, "{start}");
        }
    }
}
