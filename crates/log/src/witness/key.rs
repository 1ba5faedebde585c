//! A witness's key in a file: its own name, never the log's key (B4).

use std::path::Path;

use modkeep_tlog::cosignature::Algorithm;
use modkeep_tlog::{WitnessKey, WitnessSigner};

use crate::keys::{SignError, read_secret, write_secret};

/// A new key of a witness, as `witness keygen` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WitnessKeygen {
    /// For everybody: judges what the key cosigns.
    pub vkey: WitnessKey,
}

impl WitnessKeygen {
    /// Makes a new key and writes it to a new file of mode 0600, durably. Never overwrites (I16).
    ///
    /// The name is a schema-less URL by convention, as in `witness.example.org/w1`.
    pub fn write(path: &Path, name: &str, algorithm: Algorithm) -> Result<Self, SignError> {
        let refuse = |reason: String| SignError::KeyFile { path: path.to_owned(), reason };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| refuse(format!("no randomness: {error}")))?;
        let signer =
            WitnessSigner::from_seed(name, algorithm, seed).map_err(|error| refuse(error.to_string()))?;
        write_secret(path, &signer.to_text())?;
        Ok(Self { vkey: signer.key().clone() })
    }
}

/// Reads a witness's key: a plain file, readable by our user alone and owned by it (I16).
pub fn read_key(path: &Path) -> Result<WitnessSigner, SignError> {
    let text = read_secret(path)?;
    WitnessSigner::parse(text.trim_ascii_end()).map_err(|error| SignError::KeyFile {
        path: path.to_owned(),
        reason: format!("{error}; is it whole, and of a witness? \"modkeep witness keygen\" makes one"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keygen_writes_once_and_the_file_is_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (file, algorithm) in [("ed25519", Algorithm::Ed25519), ("ml-dsa", Algorithm::MlDsa44)] {
            let path = folder.path().join(file);
            let made = WitnessKeygen::write(&path, "witness.example/w1", algorithm).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(read_key(&path).unwrap().key(), &made.vkey);
            assert!(WitnessKeygen::write(&path, "witness.example/w1", algorithm).is_err());
            assert_eq!(read_key(&path).unwrap().key(), &made.vkey);
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            assert!(read_key(&path).unwrap_err().to_string().contains("chmod 600"));
        }
        assert!(WitnessKeygen::write(&folder.path().join("bad"), "a name", Algorithm::Ed25519).is_err());
    }
}
