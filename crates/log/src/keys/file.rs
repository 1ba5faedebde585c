//! Keys in files: one line, mode 0600, never overwritten.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use modkeep_tlog::{SignerKey, VerifierKey};
use rustix::fs::OFlags;

use super::{LogName, SIGNATURE_BYTES, SignError, Signer, gosumdb};

/// A key's text has some 150 bytes; a larger file is something else.
const KEY_BYTES_MAX: u64 = 4096;

/// Signs with a key held in memory.
#[derive(Debug)]
pub struct KeySigner {
    key: SignerKey,
    verifier: VerifierKey,
}

impl KeySigner {
    /// Reads the key: a plain file, readable by our user alone and owned by it, that names this log (I16).
    pub fn open(path: &Path, name: &LogName) -> Result<Self, SignError> {
        let refuse = |reason: String| SignError::KeyFile { path: path.to_owned(), reason };
        let text = read_secret(path)?;
        Self::from_text(&text, name).map_err(|error| refuse(error.to_string()))
    }

    /// Takes the key from its text, as in a secret of the environment: one line, `PRIVATE+KEY+NAME+…`.
    pub fn from_text(text: &str, name: &LogName) -> Result<Self, SignError> {
        let failed = |reason: String| SignError::Failed { signer: "signer key".to_owned(), reason };
        let key = SignerKey::parse(text.trim_ascii_end())
            .map_err(|error| failed(format!("{error}; is it whole? want PRIVATE+KEY+NAME+HASH+KEY")))?;
        let verifier = key.verifier();
        if verifier.name() != name.as_str() {
            return Err(failed(format!("the key is for the log {}, not for {name}", verifier.name())));
        }
        Ok(Self { key, verifier })
    }
}

impl From<SignerKey> for KeySigner {
    fn from(key: SignerKey) -> Self {
        Self { verifier: key.verifier(), key }
    }
}

impl Signer for KeySigner {
    fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    fn sign(&self, text: &str) -> Result<[u8; SIGNATURE_BYTES], SignError> {
        let failed = |reason: &str| SignError::Failed {
            signer: self.verifier.name().to_owned(),
            reason: reason.to_owned(),
        };
        let line = self.key.sign_line(text).map_err(|error| failed(&error.to_string()))?;
        line.bytes().try_into().map_err(|_| failed("not an Ed25519 signature"))
    }
}

/// The text of a key file: a plain file, readable by our user alone and owned by it (I16).
pub(crate) fn read_secret(path: &Path) -> Result<String, SignError> {
    let refuse = |reason: String| SignError::KeyFile { path: path.to_owned(), reason };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| refuse(error.to_string()))?;
    check_owner(&file).map_err(refuse)?;
    let mut text = String::new();
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
    Ok(text)
}

/// A plain file of our user that nobody else can read or write (I16).
fn check_owner(file: &File) -> Result<(), String> {
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if !facts.is_file() {
        return Err("not a plain file".to_owned());
    }
    let (mode, us) = (facts.mode() & 0o7777, rustix::process::geteuid().as_raw());
    if mode & 0o177 != 0 {
        return Err(format!(
            "mode {mode:04o} lets others at the key: chmod 600 it, and think about who has read it"
        ));
    }
    if facts.uid() != us {
        return Err(format!("it belongs to user {}, and we are user {us}", facts.uid()));
    }
    Ok(())
}

/// A new key, as `log keygen` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keygen {
    /// For everybody: opens what the key signs.
    pub vkey: VerifierKey,
    /// The value for GOSUMDB.
    pub gosumdb: String,
}

impl Keygen {
    /// Makes a new key and writes it to a new file of mode 0600, durably. Never overwrites (I16).
    ///
    /// The address, where there is one, is checked before the file is made.
    pub fn write(path: &Path, name: &LogName, url: Option<&str>) -> Result<Self, SignError> {
        let refuse = |reason: String| SignError::KeyFile { path: path.to_owned(), reason };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| refuse(format!("no randomness: {error}")))?;
        let key = SignerKey::from_seed(name.as_str(), seed).map_err(|error| refuse(error.to_string()))?;
        let vkey = key.verifier();
        let made = Self { gosumdb: gosumdb(&vkey, url)?, vkey };
        write_secret(path, &key.to_text())?;
        Ok(made)
    }
}

/// Writes a secret key to a new file of mode 0600, durably. Never overwrites (I16).
pub(crate) fn write_secret(path: &Path, secret: &str) -> Result<(), SignError> {
    write_new(path, secret).map_err(|error| {
        let there = error.kind() == std::io::ErrorKind::AlreadyExists;
        let reason = if there { "exists, and is never overwritten".to_owned() } else { error.to_string() };
        SignError::KeyFile { path: path.to_owned(), reason }
    })
}

fn write_new(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{secret}\n").as_bytes())?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn name() -> LogName {
        LogName::parse("sums.example.org/log").unwrap()
    }

    #[test]
    fn keygen_writes_once_and_what_it_wrote_signs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = Keygen::write(&path, &name(), Some("https://sums.example.org/log")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(made.gosumdb, format!("{} https://sums.example.org/log", made.vkey));

        let signer = KeySigner::open(&path, &name()).unwrap();
        assert_eq!(signer.verifier(), &made.vkey);
        let signature = signer.sign("text\n").unwrap();
        assert!(made.vkey.verifies("text\n", &signature));

        let before = fs::read(&path).unwrap();
        let again = Keygen::write(&path, &name(), None).unwrap_err().to_string();
        assert!(again.contains("never overwritten"), "{again}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn hostile_i16_key_files_that_others_read_or_that_are_not_ours_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Keygen::write(&path, &name(), None).unwrap();
        let whole = fs::read_to_string(&path).unwrap();

        for mode in [0o644, 0o640, 0o604, 0o620, 0o601, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeySigner::open(&path, &name()).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for cut in [0, 1, 11, 20, whole.len() / 2, whole.len() - 2] {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = KeySigner::open(&path, &name()).unwrap_err().to_string();
            assert!(error.contains("is it whole"), "{cut}: {error}");
        }
        fs::write(&path, &whole).unwrap();
        let other = LogName::parse("sums.example.org/other").unwrap();
        let error = KeySigner::open(&path, &other).unwrap_err().to_string();
        assert!(error.contains("the key is for the log sums.example.org/log"), "{error}");
        // No error shows the key.
        assert!(!error.contains("PRIVATE+KEY+sums"), "{error}");

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(KeySigner::open(&link, &name()).is_err());
        assert!(KeySigner::open(folder.path(), &name()).is_err());
        assert!(KeySigner::open(&folder.path().join("missing"), &name()).is_err());
        KeySigner::open(&path, &name()).unwrap();
    }
}
