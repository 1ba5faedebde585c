//! Heads from sizes and roots: two notes, each signed by every key (A5, B1).

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use modkeep_tlog::note::Note;
use modkeep_tlog::{Checkpoint, TreeHead, VerifierKey};

use crate::error::OpenError;
use crate::head::Head;
use crate::keys::{SignError, Signer};

/// The keys of a log: one, or the old and the new one while they are changed.
#[derive(Clone, Debug)]
pub(crate) struct Signers {
    signers: Vec<Arc<dyn Signer>>,
    keys: Vec<VerifierKey>,
}

impl Signers {
    /// At least one, all of one name, no key twice.
    pub(crate) fn new(signers: Vec<Arc<dyn Signer>>) -> Result<Self, OpenError> {
        let keys: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier().clone()).collect();
        let Some(first) = keys.first() else { return Err(OpenError::Signers("none was given".to_owned())) };
        if let Some(other) = keys.iter().find(|key| key.name() != first.name()) {
            return Err(OpenError::Signers(format!(
                "they name two logs, {} and {}",
                first.name(),
                other.name()
            )));
        }
        if keys.iter().enumerate().any(|(i, key)| keys.iter().skip(i + 1).any(|other| other == key)) {
            return Err(OpenError::Signers("one key was given twice".to_owned()));
        }
        Ok(Self { signers, keys })
    }

    /// The keys that open what is signed, the present one first.
    pub(crate) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Whether a note carries a line of each of the keys.
    pub(crate) fn have_all_signed(&self, note: &[u8]) -> bool {
        have_all_signed(&self.keys, note)
    }

    /// The head of this tree. Whoever calls has made sure that it may be signed.
    pub(crate) fn sign(&self, head: TreeHead, now: SystemTime) -> Result<Head, SignError> {
        let name = self.keys.first().map_or("", VerifierKey::name);
        let checkpoint = Checkpoint::new(name, head).map_err(|error| failed(name, &error))?;
        Ok(Head {
            size: head.size,
            root: head.root,
            note: self.note(&head.to_text())?,
            checkpoint: self.note(&checkpoint.to_text())?,
            signed_at: now,
        })
    }

    /// The text with a line of every key, each verified before it is used.
    fn note(&self, text: &str) -> Result<Bytes, SignError> {
        let mut lines = Vec::with_capacity(self.signers.len());
        for signer in &self.signers {
            let (key, signature) = (signer.verifier(), signer.sign(text)?);
            lines.push(key.signature_line(text, &signature).map_err(|error| failed(key.name(), &error))?);
        }
        let note = Note::assemble(text, lines).map_err(|error| failed("note", &error))?;
        Ok(note.to_text().into_bytes().into())
    }
}

/// Whether a note carries a line of each of these keys.
pub(crate) fn have_all_signed(keys: &[VerifierKey], note: &[u8]) -> bool {
    keys.iter().all(|key| Note::open(note, std::slice::from_ref(key)).is_ok())
}

fn failed(signer: &str, error: &dyn std::error::Error) -> SignError {
    SignError::Failed { signer: signer.to_owned(), reason: error.to_string() }
}
