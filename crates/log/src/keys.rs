//! Who signs: key files, commands, sockets; and the log's name. Spec A5.

mod external;
mod file;
mod name;

use std::fmt::Debug;
use std::path::PathBuf;

use modkeep_tlog::VerifierKey;

pub use external::{CommandSigner, PATIENCE, SocketSigner};
pub use file::{KeySigner, Keygen};
pub(crate) use file::{read_secret, write_secret};
pub use name::{LogName, gosumdb};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Something that holds a private key and signs with it.
///
/// Calls block, for a bounded time. What comes back is verified before anybody else sees it.
pub trait Signer: Send + Sync + Debug {
    /// The key that verifies what this one signs; its name is the log's name.
    fn verifier(&self) -> &VerifierKey;
    /// The Ed25519 signature of a text that ends in LF.
    fn sign(&self, text: &str) -> Result<[u8; SIGNATURE_BYTES], SignError>;
}

/// Why there is no signature, or no signer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A key file is not fit for use (I16).
    #[error("key file {}: {reason}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What to change.
        reason: String,
    },
    /// The name is none that the go command would take.
    #[error("{name:?} cannot be a log's name: want host[/path], as in sums.example.org/corp")]
    Name {
        /// The name.
        name: String,
    },
    /// The address is none that the go command would take.
    #[error("{url:?} cannot be a log's address: want an https, http or file URL without query and fragment")]
    Url {
        /// The address.
        url: String,
    },
    /// A signer failed, took too long, or gave something that is no signature of the text.
    #[error("{signer}: {reason}")]
    Failed {
        /// The command, the socket, or the key's name.
        signer: String,
        /// What happened.
        reason: String,
    },
}
