//! `?go-get=1`: import paths of our own say where they live (V-10, V-15).
//!
//! A go command that resolves `go.corp.example/tool` asks `https://go.corp.example/tool?go-get=1`. Whoever serves that
//! host sends such requests here. What is asked for is the host with the path; the host is the configured public one, or
//! the request's own where a configured prefix has exactly that host. Everything in the answer comes from the
//! configuration, never from the request (A14).

use http::header::HOST;
use http::request::Parts;
use modkeep_web::Announcement;
use url::Url;

/// What is announced, and under which public address.
#[derive(Clone, Debug)]
pub(crate) struct Announcements {
    announced: Vec<Announcement>,
    /// Host and path of the public URL, without a slash at its end.
    public: Option<String>,
}

impl Announcements {
    pub(crate) fn new(announced: Vec<Announcement>, public_url: &str) -> Self {
        let public = Url::parse(public_url).ok();
        let public =
            public.and_then(|url| Some(format!("{}{}", url.host_str()?, url.path().trim_end_matches('/'))));
        Self { announced, public }
    }

    /// The announcement that a request asks for: of the longest prefix of its import path.
    pub(crate) fn of(&self, parts: &Parts, path: &str) -> Option<&Announcement> {
        if self.announced.is_empty() || !asks_for_import(parts.uri.query()) {
            return None;
        }
        let of_host = |host: &str| self.longest(&join(host, path));
        let own = requested_host(parts).and_then(|host| {
            let is_ours = |announced: &&Announcement| host_of(&announced.prefix) == host;
            self.announced.iter().find(is_ours).and_then(|announced| of_host(host_of(&announced.prefix)))
        });
        own.or_else(|| self.public.as_deref().and_then(of_host))
    }

    fn longest(&self, import_path: &str) -> Option<&Announcement> {
        let below = |prefix: &str| {
            import_path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let fitting = self.announced.iter().filter(|announced| below(&announced.prefix));
        fitting.max_by_key(|announced| announced.prefix.len())
    }
}

/// Whether a query asks for a go-import page.
pub(crate) fn asks_for_import(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "go-get=1"))
}

fn join(host: &str, path: &str) -> String {
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// The host that the request names, without its port.
fn requested_host(parts: &Parts) -> Option<String> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(field.to_str().ok()?),
        (None, _) => parts.uri.authority().map(http::uri::Authority::as_str),
        _ => None,
    }?;
    let host = field.rsplit_once(':').map_or(field, |(host, _)| host);
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn host_of(prefix: &str) -> &str {
    prefix.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn announced(prefix: &str) -> Announcement {
        Announcement {
            prefix: prefix.to_owned(),
            vcs: "git".to_owned(),
            url: format!("https://code.example/{prefix}"),
            subdirectory: String::new(),
        }
    }

    fn asked(host: &str, target: &str) -> Parts {
        Request::builder().uri(target).header(HOST, host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn hostile_a14_the_host_of_a_request_only_chooses_among_what_is_configured() {
        let ours = ["go.corp.example", "go.corp.example/tool", "mirror.example/base/x"].map(announced);
        let announcements = Announcements::new(ours.into(), "https://mirror.example/base/");
        for (host, target, prefix) in [
            ("go.corp.example", "/tool?go-get=1", Some("go.corp.example/tool")),
            ("Go.Corp.Example:443", "/tool/sub?go-get=1", Some("go.corp.example/tool")),
            ("go.corp.example", "/tools?a=b&go-get=1", Some("go.corp.example")),
            ("go.corp.example", "/?go-get=1", Some("go.corp.example")),
            ("go.corp.example", "/tool", None),
            ("go.corp.example", "/tool?go-get=2", None),
            ("evil.example", "/tool?go-get=1", None),
            ("go.corp.example.evil.example", "/tool?go-get=1", None),
            ("mirror.example", "/x/y?go-get=1", Some("mirror.example/base/x")),
            ("evil.example", "/x?go-get=1", Some("mirror.example/base/x")),
        ] {
            let parts = asked(host, target);
            let path = parts.uri.path().trim_start_matches('/').to_owned();
            let found = announcements.of(&parts, &path).map(|announced| announced.prefix.as_str());
            assert_eq!(found, prefix, "{host} {target}");
        }
    }
}
