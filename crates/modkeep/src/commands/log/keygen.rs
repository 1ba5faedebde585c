//! `log keygen`: the key that signs, written once, and the GOSUMDB line for it (A5).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use modkeep_tlog::SignerKey;
use modkeep_upstream::GoSumDb;
use serde_json::json;

use crate::cli::Keygen;
use crate::exit::{Exit, Failed};
use crate::output::Output;

pub(in crate::commands) fn run(keygen: &Keygen, output: &Output) -> Result<Exit, Failed> {
    let wrong = |reason: String| Failed::new(Exit::Usage, format!("--name {}: {reason}", keygen.name));
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failed::new(Exit::Failed, error.to_string()))?;
    let key = SignerKey::from_seed(&keygen.name, seed).map_err(|error| wrong(error.to_string()))?;
    let vkey = key.verifier().to_string();
    check_name(&keygen.name, &vkey).map_err(wrong)?;
    write_secret(&keygen.out, &(key.to_text() + "\n")).map_err(|error| unwritten(&keygen.out, &error))?;
    let file = keygen.out.display().to_string();
    output.notice(&format!("{file} holds the secret key: keep it readable by nobody else, and keep a copy"));
    output.notice(&format!("[log] enabled = true  name = \"{}\"  key_file = \"{file}\"", keygen.name));
    output.result(
        || format!("GOSUMDB=\"{vkey}\""),
        || json!({ "name": keygen.name, "key": vkey, "gosumdb": vkey, "key_file": file }),
    );
    Ok(Exit::Done)
}

/// Whether go commands accept the name, and find us at `https://NAME` (A5, A7).
pub(crate) fn check_name(name: &str, vkey: &str) -> Result<(), String> {
    GoSumDb::parse(vkey).map_err(|error| error.to_string())?;
    if name.strip_suffix("/log").is_none_or(str::is_empty) {
        return Err("want HOST/log: the log is served there, below /log".to_owned());
    }
    Ok(())
}

/// Writes a new file that only its owner may read, durably.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Failed {
    let reason = match error.kind() {
        io::ErrorKind::AlreadyExists => "exists; a key is never overwritten".to_owned(),
        _ => error.to_string(),
    };
    Failed::new(Exit::Failed, format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_host_and_log() {
        let checked = |name: &str| {
            let key = SignerKey::from_seed(name, [1; 32]).map_err(|error| error.to_string())?;
            check_name(name, &key.verifier().to_string())
        };
        for name in ["mirror.example/log", "localhost:8080/log", "mirror.example/go/log"] {
            assert_eq!(checked(name), Ok(()), "{name}");
        }
        for name in [
            "mirror.example",
            "/log",
            "log",
            "mirror.example/log/",
            "https://mirror.example/log",
            "a b/log",
            "a+b/log",
            "Mirror.example/log",
            "mirror.example/log?x",
        ] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
