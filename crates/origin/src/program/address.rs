//! Which URLs a program is given at all (C01 to C04).
//!
//! Where a URL comes from is none of our business here: a page of a stranger, a configuration, a mistake further up.
//! The list of schemes is closed, and nothing in an address can be taken for an option, a helper's name or a local
//! path. `ext::`, `fd::` and every other `name::address` are no URLs with a host, and stop at the first line.

use url::Url;

use super::workshop::host;
use crate::error::Error;
use crate::place::{Login, Remote, Vcs};

/// Whether the program of that system may be sent to that address.
///
/// # Errors
/// [`Error::Refused`], naming what is wrong.
pub(super) fn check(vcs: Vcs, remote: &Remote) -> Result<(), Error> {
    let refused = |reason: &str| {
        Err(Error::Refused {
            host: host(&remote.url),
            reason: format!("not an address for {}: {reason}", vcs.name()),
        })
    };
    let url = &remote.url;
    match (url.scheme(), vcs) {
        ("https", _) => {}
        ("http", _) if remote.insecure || remote.configured => {}
        ("http", _) => return refused("http is not encrypted (see [origin] insecure)"),
        ("file", _) if remote.configured => {
            return if local(url) { Ok(()) } else { refused("not a local path") };
        }
        // Opened by the resolver for single hosts only (`[origin] ssh`); with a key, it was meant.
        ("ssh", Vcs::Git) if remote.configured || matches!(remote.login, Some(Login::SshKey(_))) => {}
        ("ssh", _) => return refused("ssh is not configured for it (see [origin] ssh)"),
        (scheme, _) => return refused(&format!("{scheme} is not spoken")),
    }
    if !url.host_str().is_some_and(is_host) {
        return refused("it has no host that a name can be");
    }
    if url.password().is_some()
        || !is_user(url.username())
        || !(url.username().is_empty() || url.scheme() == "ssh")
    {
        return refused("it has a user part");
    }
    if !is_path(url.path()) || url.query().is_some() || url.fragment().is_some() {
        return refused("its path is not one of a repository");
    }
    Ok(())
}

fn local(url: &Url) -> bool {
    url.host_str().is_none() && url.to_file_path().is_ok_and(|path| path.is_absolute()) && is_path(url.path())
}

/// `git.example`, `10.0.0.1`, `[::1]`: nothing that begins with a dash (C03).
fn is_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let v6 = |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some();
    (host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.chars().all(plain)) || v6(host)
}

fn is_user(user: &str) -> bool {
    !user.starts_with('-') && user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// No part that a program or a remote shell could take for something else than a name.
fn is_path(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_graphic() && !br#""'`$\;|&<>*?[]{}()!#"#.contains(&b))
        && path.split('/').all(|part| !part.starts_with('-') && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(vcs: Vcs, url: &str, configured: bool) -> bool {
        let Ok(parsed) = Url::parse(url) else { return false };
        let remote =
            Remote { original: url.to_owned(), url: parsed, login: None, insecure: false, configured };
        check(vcs, &remote).is_ok()
    }

    #[test]
    fn hostile_c01_helpers_of_other_transports_are_no_addresses() {
        for url in
            ["ext::sh -c id", "fd::7", "https::https://h/r", "foo::bar", "testgit::/etc", "ext+x://h/r"]
        {
            assert!(!outcome(Vcs::Git, url, false) && !outcome(Vcs::Git, url, true), "{url}");
        }
    }

    #[test]
    fn hostile_c02_local_paths_are_no_addresses() {
        for url in ["file:///etc", "file://h/etc", "/etc", "../x", "host:path", "://h/x", "", "c:/x"] {
            assert!(!outcome(Vcs::Git, url, false), "{url}");
        }
        assert!(outcome(Vcs::Git, "file:///srv/git/r.git", true), "but for the operator's own rewrites");
        assert!(!outcome(Vcs::Git, "file://elsewhere/srv/git/r.git", true));
    }

    #[test]
    fn hostile_c03_nothing_begins_with_a_dash_and_ssh_is_off() {
        for url in [
            "ssh://-oProxyCommand=id/x",
            "ssh://-Fcfg@h/x",
            "ssh://h/-x",
            "ssh://h/~/-x/r",
            "https://-h/x",
            "https://h/--upload-pack=id",
            "ssh://h/$(id)",
            "ssh://h/a'b",
            "ssh://h/a;id",
        ] {
            assert!(!outcome(Vcs::Git, url, true), "{url}");
        }
        assert!(!outcome(Vcs::Git, "ssh://git@h/x", false));
        assert!(outcome(Vcs::Git, "ssh://git@h:2222/~u/x.git", true));
    }

    #[test]
    fn other_schemes_are_for_configured_places() {
        for (vcs, url, stranger, configured) in [
            (Vcs::Git, "https://h/r.git", true, true),
            (Vcs::Git, "http://h/r.git", false, true),
            (Vcs::Git, "git://h/r.git", false, false),
            (Vcs::Git, "https://u:p@h/r", false, false),
            (Vcs::Git, "https://u@h/r", false, false),
            (Vcs::Hg, "https://h/r", true, true),
            (Vcs::Hg, "ssh://h/r", false, false),
            (Vcs::Svn, "https://h/r/trunk", true, true),
            (Vcs::Svn, "svn+ssh://h/r/trunk", false, false),
            (Vcs::Fossil, "https://h/r", true, true),
            (Vcs::Fossil, "file:///srv/r.fossil", false, true),
        ] {
            assert_eq!(outcome(vcs, url, false), stranger, "{url}");
            assert_eq!(outcome(vcs, url, true), configured, "{url}");
        }
    }
}
