//! From a repository's URL to the way there: what may stand in it, rewriting, and which schemes are spoken (V-22).

use modkeep_egress::Egress;
use url::{Host, Url};

use super::discovery::excerpt;
use crate::config::{Config, Rewrite};
use crate::error::Error;
use crate::place::Vcs;

/// What is said of a root with `user:password@` in it: whoever reads it, the one who wrote the page or the one who runs
/// this server, shall know what to do (D05).
const WITH_LOGIN: &str =
    "a login in a repository's address is refused; logins belong into [[origin.credential]]";

/// Reads a repository's URL as strictly as only a machine can be asked to write it: a scheme with `//`, a host that no
/// option parser takes for an option, no user, no query, no dot elements (C01 to C03, D05, E06).
///
/// # Errors
/// The reason, without the URL: it may hold a password.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("no scheme")?;
    if scheme == "file" {
        return Err("file scheme disallowed");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match authority.split_once('@') {
        // Over ssh the user's name is part of the address, and no secret.
        Some((user, host)) if scheme.ends_with("ssh") && is_user(user) => host,
        Some(_) => return Err(WITH_LOGIN),
        None => authority,
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-+:[]%@!$&'()*,;=".contains(&byte);
    if !rest.bytes().all(is_plain) || rest.contains("::") && !rest.starts_with('[') {
        return Err("characters that do not belong there");
    }
    if host.is_empty() || host.starts_with('-') || host.contains('@') {
        return Err("no host");
    }
    for element in path.split('/') {
        let decoded = element.to_ascii_lowercase().replace("%2e", ".");
        if matches!(&*decoded, "." | "..") || decoded.contains("%2f") || decoded.contains("%5c") {
            return Err("dot elements in its path");
        }
        if element.starts_with('-') {
            return Err("a path element that begins with a hyphen");
        }
    }
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    if url.host_str().is_none_or(str::is_empty) || url.cannot_be_a_base() {
        return Err("no host");
    }
    Ok(url)
}

fn is_user(user: &str) -> bool {
    !user.starts_with('-') && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether the URL names its host by address.
pub(super) fn is_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        // Of other schemes the URL reader leaves hosts as they stand.
        Some(Host::Domain(name)) => matches!(Host::parse(name), Ok(Host::Ipv4(_) | Host::Ipv6(_))),
        None => false,
    }
}

/// The URL after the rule with the longest prefix that fits, if any does.
pub(super) fn rewritten(rules: &[Rewrite], original: &str) -> Result<Option<Url>, Error> {
    let fitting = rules.iter().filter(|rule| fits(&rule.prefix, original));
    let Some(rule) = fitting.max_by_key(|rule| rule.prefix.len()) else { return Ok(None) };
    let rest = original.strip_prefix(&rule.prefix).unwrap_or_default();
    let text = format!("{}{rest}", rule.url);
    let url = Url::parse(&text).ok().filter(|url| url.as_str().starts_with(rule.url.as_str()));
    url.map(Some).ok_or_else(|| Error::NoModule {
        reason: format!("the repository {} cannot be rewritten", excerpt(original)),
    })
}

/// As git's `insteadOf`, with one care more: a prefix that ends within the host stands for that host alone.
fn fits(prefix: &str, original: &str) -> bool {
    let Some(rest) = original.strip_prefix(prefix) else { return false };
    let ends_in_host = prefix.split_once("://").is_none_or(|(_, rest)| !rest.contains('/'));
    !ends_in_host || rest.is_empty() || rest.starts_with('/')
}

/// Whether a system's repositories are fetched by this scheme at all, and whether it is secure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Secure,
    Insecure,
    Ssh,
}

fn way(vcs: Vcs, scheme: &str) -> Option<Way> {
    match (vcs, scheme) {
        (_, "https") => Some(Way::Secure),
        (_, "http") | (Vcs::Git, "git") | (Vcs::Svn, "svn") => Some(Way::Insecure),
        (Vcs::Git | Vcs::Hg, "ssh") | (Vcs::Git, "git+ssh") | (Vcs::Svn, "svn+ssh") => Some(Way::Ssh),
        _ => None,
    }
}

/// Says whether a repository may be asked by its own, unrewritten URL.
///
/// # Errors
/// [`Error::NoModule`] for a scheme that is never spoken, [`Error::Refused`] for one that a setting opens.
pub(super) fn check_scheme(
    config: &Config,
    egress: &Egress,
    vcs: Vcs,
    url: &Url,
    is_insecure: bool,
) -> Result<(), Error> {
    let refused =
        |reason: String| Error::Refused { host: url.host_str().unwrap_or_default().to_owned(), reason };
    match way(vcs, url.scheme()) {
        Some(Way::Secure) => Ok(()),
        Some(Way::Insecure) if is_insecure || egress.is_configured(url) => Ok(()),
        Some(Way::Ssh) if config.ssh.matches(&super::logins::target(url)) => Ok(()),
        Some(Way::Insecure) => Err(refused(format!(
            "{}:// is not secure; [origin] insecure names the modules that may use it",
            url.scheme()
        ))),
        Some(Way::Ssh) => {
            Err(refused("ssh is off; [origin] ssh names the hosts it may be used with".to_owned()))
        }
        None => Err(Error::NoModule {
            reason: format!("{} repositories are not fetched by {}://", vcs.name(), excerpt(url.scheme())),
        }),
    }
}

/// The schemes that a path with a qualifier may mean, in the go command's order (V-4). `git://` is not among them: it
/// neither encrypts nor authenticates, and whoever offers it offers http as well.
pub(super) fn schemes(vcs: Vcs) -> &'static [&'static str] {
    match vcs {
        Vcs::Git => &["https", "http", "git+ssh", "ssh"],
        Vcs::Hg => &["https", "http", "ssh"],
        Vcs::Svn => &["https", "http", "svn", "svn+ssh"],
        Vcs::Fossil => &["https", "http"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_c01_c02_c03_d05_e06_strange_repository_urls_are_refused() {
        for text in [
            "ext::sh",
            "ext::sh -c id",
            "fd::7",
            "transport::https://example.com/x",
            "https://example.com/a::b",
            "file:///etc/passwd",
            "file://host/x",
            "/etc",
            "../x",
            "host:path",
            "git@example.com:x/y",
            "",
            "://example.com/x",
            "https://",
            "https:///x",
            "https:example.com/x",
            "ssh://-oProxyCommand=id/x",
            "ssh://-Fcfg@h/x",
            "ssh://example.com/-x",
            "https://user:pass@example.com/x",
            "https://user@example.com/x",
            "ssh://git:pw@example.com/x",
            "ssh://-oX@example.com/x",
            "ssh://a@b@example.com/x",
            "https://good.example@10.0.0.1/",
            "https://10.0.0.1#@good.example/",
            "https://good.example\\@10.0.0.1/",
            "https://example.com/a/../../b",
            "https://example.com/%2e%2E/b",
            "https://example.com/a%2fb",
            "https://example.com/a?b",
            "https://example.com/a#b",
            "https://example.com/\u{1b}[31m",
            "https://exämple.com/x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in [
            "https://me:s3cret@example.com/x",
            "https://me@example.com/x",
            "https://me:s\u{fc}#3@example.com/x",
        ] {
            assert_eq!(parse(text), Err(WITH_LOGIN), "{text}");
        }
        for text in [
            "https://example.com/x",
            "https://example.com",
            "https://example.com:8443/a/b.git",
            "ssh://git@example.com/~me/x",
            "svn+ssh://example.com/x",
            "https://[2001:db8::1]/x",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn addresses_are_told_from_names_in_every_scheme() {
        for (text, is) in [
            ("https://10.0.0.1/", true),
            ("https://127.1/", true),
            ("svn://127.0.0.1/x", true),
            ("svn://0x7f.1/x", true),
            ("ssh://[::1]/x", true),
            ("https://example.com/10.0.0.1", false),
        ] {
            assert_eq!(is_address(&Url::parse(text).unwrap()), is, "{text}");
        }
    }

    #[test]
    fn the_longest_prefix_rewrites() {
        let rule =
            |prefix: &str, url: &str| Rewrite { prefix: prefix.to_owned(), url: Url::parse(url).unwrap() };
        let rules = [
            rule("https://github.com/", "https://git.corp.example/mirror/"),
            rule("https://github.com/acme/", "http://127.0.0.1:8080/acme/"),
            rule("https://gitlab.com", "https://git.corp.example/gitlab"),
        ];
        for (original, url) in [
            ("https://github.com/rsc/quote", Some("https://git.corp.example/mirror/rsc/quote")),
            ("https://github.com/acme/x", Some("http://127.0.0.1:8080/acme/x")),
            ("https://github.company/x", None),
            ("https://gitlab.com/a/b.git", Some("https://git.corp.example/gitlab/a/b.git")),
            ("https://gitlab.com.evil.example/a", None),
            ("http://github.com/rsc/quote", None),
        ] {
            let found = rewritten(&rules, original).unwrap();
            assert_eq!(found.as_ref().map(Url::as_str), url, "{original}");
        }
        // What a page says cannot lead out of the target.
        assert!(rewritten(&rules, "https://github.com/../admin").is_err());
    }
}
