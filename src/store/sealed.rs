//! Seals what stands in a store and is nobody else's business, with a key of the channel's own secret.
//!
//! AES-256-GCM with a key by HKDF-SHA-256, and a random nonce in front of each sealed value. Whoever has the store and
//! not the channel's secret can neither read nor change it, nor put it in another one's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

use crate::adapter::secret::Secret;

/// Seals and opens the values of one account.
pub struct Sealer(RandomizedNonceKey);

/// A value cannot be sealed, or is not what was sealed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value cannot be opened: the secret has changed, or somebody changed the value")]
pub struct SealError;

/// The length of a key of AES-256.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

const KEY_BYTES: usize = 32;

impl Sealer {
    /// A sealer whose key follows from the account's name and its secret.
    ///
    /// # Errors
    /// [`SealError`]: none in practice.
    pub fn new(account: &str, secret: &Secret) -> Result<Self, SealError> {
        let keys = Salt::new(HKDF_SHA256, b"imcast sealed 1").extract(secret.expose().as_bytes());
        let mut key = [0; KEY_BYTES];
        let derived =
            keys.expand(&[account.as_bytes()], KeyLength).and_then(|derived| derived.fill(&mut key));
        derived.map_err(|_| SealError)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Self).map_err(|_| SealError)
    }

    /// Seals a value; `purpose`: what it is for, which has to be the same when it is opened.
    ///
    /// # Errors
    /// [`SealError`]: none in practice.
    pub fn seal(&self, purpose: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = value.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed);
        let nonce = nonce.map_err(|_| SealError)?;
        Ok([&nonce.as_ref()[..], &sealed[..]].concat())
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`SealError`]: somebody else sealed it, or changed it.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut value = rest.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut value);
        let length = opened.map_err(|_| SealError)?.len();
        value.truncate(length);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(account: &str, secret: &str) -> Sealer {
        Sealer::new(account, &Secret::new(secret)).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let sealed = sealer("main", "hunter2").seal("token", b"value").unwrap();
        let open = |account, secret, purpose, sealed: &[u8]| sealer(account, secret).open(purpose, sealed);
        assert_eq!(open("main", "hunter2", "token", &sealed).unwrap(), b"value");
        assert_eq!(open("main", "hunter3", "token", &sealed), Err(SealError));
        assert_eq!(open("other", "hunter2", "token", &sealed), Err(SealError));
        assert_eq!(open("main", "hunter2", "query", &sealed), Err(SealError));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open("main", "hunter2", "token", &changed), Err(SealError), "{at}");
            assert_eq!(open("main", "hunter2", "token", &sealed[..at]), Err(SealError), "{at}");
        }
    }

    #[test]
    fn the_same_value_never_looks_the_same() {
        let sealer = sealer("main", "hunter2");
        let [one, two] = [(); 2].map(|()| sealer.seal("token", b"value").unwrap());
        assert_ne!(one, two);
        assert!(!one.windows(5).any(|window| window == b"value"));
    }
}
