//! Logins in a netrc file, as curl, git and the go command read it.

/// The login and password for a host: of its own `machine` entry, else of `default`.
pub(super) fn login(netrc: &str, host: &str) -> Option<(String, String)> {
    let mut words = words(netrc);
    let mut found = None;
    while let Some(word) = words.next() {
        let is_ours = match word {
            "machine" => words.next() == Some(host),
            "default" => found.is_none(),
            _ => continue,
        };
        let entry = entry(&mut words);
        if is_ours && word == "machine" {
            return Some(entry);
        }
        if is_ours {
            found = Some(entry);
        }
    }
    found
}

/// The words up to the next entry.
fn entry<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> (String, String) {
    let (mut user, mut password) = ("", "");
    while let Some(word) = words.next_if(|word| !matches!(*word, "machine" | "default")) {
        match word {
            "login" => user = words.next().unwrap_or_default(),
            "password" => password = words.next().unwrap_or_default(),
            "account" => drop(words.next()),
            _ => {}
        }
    }
    (user.to_owned(), password.to_owned())
}

/// All words but comments and macros; a macro ends with an empty line.
fn words(netrc: &str) -> std::iter::Peekable<impl Iterator<Item = &str>> {
    let mut in_macro = false;
    let lines = netrc.lines().filter(move |line| {
        if in_macro {
            in_macro = !line.trim().is_empty();
            return false;
        }
        in_macro = line.split_whitespace().next() == Some("macdef");
        !in_macro && !line.trim_start().starts_with('#')
    });
    lines.flat_map(str::split_whitespace).peekable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_its_entry_and_the_others_share_the_default() {
        let netrc = "# ours\nmachine git.corp.example login me password p1\n\
                     machine\n  other.example\n  login you\n  account x\n  password p2\n\
                     macdef init\nmachine evil.example login m password m\n\n\
                     machine token.example password only\n\
                     default login anybody password p3\n";
        for (host, user, password) in [
            ("git.corp.example", "me", "p1"),
            ("other.example", "you", "p2"),
            ("token.example", "", "only"),
            ("evil.example", "anybody", "p3"),
        ] {
            assert_eq!(login(netrc, host), Some((user.to_owned(), password.to_owned())), "{host}");
        }
        assert_eq!(login("machine a login b password c", "x"), None);
        assert_eq!(login("machine", "machine"), None);
    }
}
