//! The ML-DSA-44 kind of cosignature: its message, and the lattice beneath. Spec B2, FIPS 204.

use alloc::{boxed::Box, vec::Vec};

use ml_dsa::{EncodedVerifyingKey, MlDsa44, Signature, SigningKey, VerifyingKey};

use super::{ML_DSA_44_KEY_BYTES, PosixTime};
use crate::checkpoint::Checkpoint;

/// `"subtree/v1\n\0" ‖ len8 witness ‖ u64 time ‖ len8 origin ‖ u64 0 ‖ u64 size ‖ root`; `None` when a name does not
/// fit. Extension lines are no part of it.
pub(super) fn message(witness: &str, checkpoint: &Checkpoint, time: PosixTime) -> Option<Vec<u8>> {
    let mut message = Vec::from(b"subtree/v1\n\0");
    message.push(u8::try_from(witness.len()).ok()?);
    message.extend_from_slice(witness.as_bytes());
    message.extend_from_slice(&time.get().to_be_bytes());
    message.push(u8::try_from(checkpoint.origin().len()).ok()?);
    message.extend_from_slice(checkpoint.origin().as_bytes());
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size().get().to_be_bytes());
    message.extend_from_slice(checkpoint.root().as_bytes());
    Some(message)
}

pub(super) fn verifies(key: &[u8; ML_DSA_44_KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    let Ok(encoded) = EncodedVerifyingKey::<MlDsa44>::try_from(key.as_slice()) else { return false };
    let key = VerifyingKey::<MlDsa44>::decode(&encoded);
    Signature::<MlDsa44>::try_from(signature).is_ok_and(|it| key.verify_with_context(message, &[], &it))
}

/// A secret key, with what it expands to. Wiped when dropped.
#[derive(Clone)]
pub(super) struct Secret(Box<SigningKey<MlDsa44>>);

impl Secret {
    pub(super) fn from_seed(seed: [u8; 32]) -> Self {
        Self(Box::new(SigningKey::from_seed(&seed.into())))
    }

    pub(super) fn seed(&self) -> &[u8; 32] {
        &self.0.as_seed().0
    }

    pub(super) fn public_key(&self) -> Box<[u8; ML_DSA_44_KEY_BYTES]> {
        Box::new(self.0.expanded_key().verifying_key().encode().into())
    }

    /// The deterministic variant: no source of randomness is needed, and one text has one signature.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.expanded_key().sign_deterministic(message, &[]).ok()?;
        Some(signature.encode().as_slice().into())
    }
}
