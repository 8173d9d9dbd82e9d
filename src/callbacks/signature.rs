//! The signature of what is sent, so that its receiver knows who sent it and when.
//!
//! Source: Standard Webhooks 1.0 (`spec/standard-webhooks.md` of standard-webhooks/standard-webhooks), sections
//! "Signature scheme" and "Webhook headers", read 2026-11-21.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::adapter::secret::REDACTED;

/// What every symmetric secret begins with.
const PREFIX: &str = "whsec_";

/// How many bytes a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that signs; prints as `[redacted]`.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Reads `whsec_` and base64; `None` if it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let mac = Hmac::new_from_slice(&bytes).ok()?;
        BYTES.contains(&bytes.len()).then_some(Self(mac))
    }

    /// Signs one try: `id.timestamp.body`, as `v1,` and base64.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let head = format!("{id}.{timestamp}.");
        let mac = self.0.clone().chain_update(head).chain_update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// The signatures of one try by all keys, the newest first.
///
/// `timestamp`: seconds since 1970.
#[must_use]
pub fn sign(keys: &[SigningKey], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_has_the_published_signature() {
        let keys = [SigningKey::parse(SECRET).unwrap()];
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign(&keys, id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_key_signs_id_time_and_body() {
        let other = format!("{PREFIX}{}", STANDARD.encode([7; 32]));
        let keys = [SigningKey::parse(&other).unwrap(), SigningKey::parse(SECRET).unwrap()];
        let base = sign(&keys, "evt_1", 1, b"{}");
        let parts: Vec<_> = base.split(' ').collect();
        assert_eq!(parts, [keys[0].sign("evt_1", 1, b"{}"), keys[1].sign("evt_1", 1, b"{}")]);
        assert_ne!(parts[0], parts[1]);
        for changed in
            [sign(&keys, "evt_2", 1, b"{}"), sign(&keys, "evt_1", 2, b"{}"), sign(&keys, "evt_1", 1, b"[]")]
        {
            assert!(changed.split(' ').all(|part| !parts.contains(&part)), "{changed}");
        }
    }

    #[test]
    fn a_secret_has_its_shape_and_is_never_shown() {
        let secret = |count: usize| format!("{PREFIX}{}", STANDARD.encode(vec![1; count]));
        for text in [secret(24), secret(64), SECRET.to_owned()] {
            assert_eq!(format!("{:?}", SigningKey::parse(&text).unwrap()), REDACTED);
        }
        for text in [
            secret(23),
            secret(65),
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            "whsec_".into(),
            "whsec_M".into(),
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            format!("{SECRET} "),
        ] {
            assert!(SigningKey::parse(&text).is_none(), "{text}");
        }
    }
}
