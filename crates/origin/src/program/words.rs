//! What a program said, made fit to be shown.

use modkeep_egress::Credentials;

use crate::place::{Login, Remote};

/// The longest excerpt of foreign text that leaves the house, in characters (U8).
const EXCERPT_MAX: usize = 256;

/// The line of a program's complaints that tells most, without secrets, user parts of URLs, our folders, control
/// characters and whatever is longer than an excerpt may be (M02, U8).
pub(super) fn words(stderr: &[u8], remote: &Remote, folder: &std::path::Path) -> String {
    let text = String::from_utf8_lossy(stderr);
    let telling =
        |line: &&str| ["fatal:", "error:", "abort:", "svn: E"].iter().any(|word| line.contains(word));
    let not_empty = |line: &&str| !line.trim().is_empty();
    let line = match text.lines().find(telling) {
        // Of ssh, git knows only that it failed; why, ssh said before.
        Some(line) if line.contains("Could not read from remote repository") => text.lines().find(not_empty),
        Some(line) => Some(line),
        None => text.lines().rfind(not_empty),
    };
    let mut line = line.unwrap_or("no reason given").trim().to_owned();
    for secret in secrets(remote) {
        line = line.replace(&secret, "…");
    }
    if let Some(folder) = folder.to_str() {
        line = line.replace(folder, "…");
    }
    let line = without_user_parts(&line);
    let mut excerpt: String =
        line.chars().take(EXCERPT_MAX).map(|c| if c.is_control() { '�' } else { c }).collect();
    if line.chars().nth(EXCERPT_MAX).is_some() {
        excerpt.push('…');
    }
    excerpt
}

/// The secrets of a remote in each spelling that a program may repeat.
fn secrets(remote: &Remote) -> Vec<String> {
    let secret = match &remote.login {
        Some(Login::Http(Credentials::Basic { password, .. })) => password.clone(),
        Some(Login::Http(Credentials::Bearer { token })) => token.clone(),
        Some(Login::SshKey(path)) => path.display().to_string(),
        None => return Vec::new(),
    };
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    [secret, percent].into_iter().filter(|secret| !secret.is_empty()).collect()
}

/// `https://user:token@host/` becomes `https://host/`.
fn without_user_parts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority = behind.split(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"').next();
        rest = match authority.and_then(|authority| authority.rfind('@')) {
            Some(at) => &behind[at + 1..],
            None => behind,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn remote(login: Option<Login>) -> Remote {
        let original = "https://git.example/r".to_owned();
        let url = url::Url::parse(&original).unwrap();
        Remote { original, url, login, insecure: false, configured: false }
    }

    #[test]
    fn hostile_m02_a_token_in_a_complaint_is_not_repeated() {
        let login = Login::Http(Credentials::Basic { user: "u".into(), password: "s3cr3t/x".into() });
        let remote = remote(Some(login));
        for complaint in [
            "fatal: unable to access 'https://u:s3cr3t/x@git.example/r/': The requested URL returned error: 500",
            "fatal: unable to access 'https://u:s3cr3t%2Fx@git.example/r/': no",
            "hint: x\nfatal: Authentication failed for 'https://s3cr3t/x@git.example/r/'\n",
            "error: s3cr3t/x",
        ] {
            let shown = words(complaint.as_bytes(), &remote, Path::new("/data"));
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }

    #[test]
    fn user_parts_folders_and_control_characters_are_not_shown() {
        for (complaint, shown) in [
            ("fatal: 'https://tok@h/x' and https://a:b@h:1/ no", "fatal: 'https://h/x' and https://h:1/ no"),
            ("abort: /data/of/ours/repo: bad", "abort: …/repo: bad"),
            ("fatal: \u{1b}[31mred", "fatal: �[31mred"),
            ("warning: first\nfatal: second\nthird", "fatal: second"),
            (
                "Host key verification failed.\nfatal: Could not read from remote repository.",
                "Host key verification failed.",
            ),
            ("", "no reason given"),
        ] {
            assert_eq!(words(complaint.as_bytes(), &remote(None), Path::new("/data/of/ours")), shown);
        }
        let long = format!("fatal: {}", "x".repeat(5000));
        assert_eq!(
            words(long.as_bytes(), &remote(None), Path::new("/data")).chars().count(),
            EXCERPT_MAX + 1
        );
    }
}
