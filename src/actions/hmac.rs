//! HMAC-SHA256, for confirmation tokens and for the shop's webhook.

use std::fmt;

use ::hmac::{Hmac, KeyInit, Mac as _, digest::InvalidLength};
use sha2::Sha256;

/// HMAC-SHA256 under one key. Its `Debug` form hides the key.
#[derive(Clone)]
pub(super) struct Mac(Hmac<Sha256>);

impl Mac {
    /// # Errors
    /// Never for HMAC, which takes keys of any length; the underlying trait allows it.
    pub(super) fn new(key: &[u8]) -> Result<Self, InvalidLength> {
        Ok(Self(Hmac::new_from_slice(key)?))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.digest(message).finalize().into_bytes().to_vec()
    }

    /// Compares in constant time, so that the time does not reveal how much of a guess was right.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.digest(message).verify_slice(signature).is_ok()
    }

    fn digest(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let mac = Mac::new(b"Jefe").unwrap();
        let signature = mac.sign(b"what do ya want for nothing?");
        assert_eq!(signature[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(signature[28..], [0x64, 0xec, 0x38, 0x43]);
        assert!(mac.verifies(b"what do ya want for nothing?", &signature));
        assert!(!mac.verifies(b"what do ya want for nothing?", &signature[..31]));
        assert!(!mac.verifies(b"what do ya want for something?", &signature));
    }
}
