//! One key as text: how it is made, what its id is, and the digest by which it is known.

use std::fmt::{self, Write as _};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::adapter::secret::Secret;

/// What every key begins with, so that one that leaked can be searched for.
pub const PREFIX: &str = "imc_";

/// Bytes of the public part; an id has twice as many characters.
const ID_BYTES: usize = 8;

/// Bytes of the secret part: 256 bits, so that no guessing ever succeeds and a plain hash is enough at rest.
const SECRET_BYTES: usize = 32;

/// More than any key has; what is longer is not hashed to its end.
const MOST_KEY_BYTES: usize = 128;

/// A new key: `imc_<id>.<256 random bits in base64url>`.
pub struct Key {
    /// Its public part: 16 characters of `0-9a-f`.
    pub id: String,
    /// The whole key, as the caller sends it.
    pub text: Secret,
}

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Key {
    /// Makes a key from the operating system's randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] if there is none; a key must not be made then.
    pub fn generate() -> Result<Self, NoRandomness> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        rand::fill(&mut id).and_then(|()| rand::fill(&mut secret)).map_err(|_| NoRandomness)?;
        let id = hexadecimal(&id);
        let text = Secret::new(format!("{PREFIX}{id}.{}", URL_SAFE_NO_PAD.encode(secret)));
        Ok(Self { id, text })
    }

    /// The digest that the configuration holds.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.text.expose())
    }
}

/// The id that a presented key claims; `None` = it is no key of ours.
#[must_use]
pub fn id_of(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)?.split_once('.').map(|(id, _)| id)
}

/// The SHA-256 of a whole key.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of no key: stands in where there is none to compare with.
    pub const OF_NONE: Self = Self([0; 32]);

    /// Hashes a presented key; takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self(Sha256::digest(bytes.get(..MOST_KEY_BYTES).unwrap_or(bytes)).into())
    }

    /// Reads 64 hexadecimal digits; `None` = it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hexadecimal(&self.0))
    }
}

// By hand: nothing that belongs to a key stands in a log.
impl fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[digest]")
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
