//! UserSig: the signature that stands in every request's URL.
//!
//! Source: Tencent IM, UserSig (documents 32688 and 1655), and the official packages tls-sig-api-v2 1.1
//! (Python) and 1.0.2 (npm), read 2026-11-21. Applications from before 2019-07-19 sign with ECDSA and are not
//! served.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, AuthError, GivenCredentials, Sign};
use crate::providers::tencent_tim::settings::Settings;
use crate::providers::tencent_tim::wire::low_half;

/// A wall clock that stepped back further than this makes a kept signature useless: it would lie in the future.
const TOLERATED_STEP_BACK: Duration = Duration::from_secs(60);

/// Signs for one application; keeps the signature it made last.
pub(super) struct UserSig {
    settings: Settings,
    /// Owned by this channel and gone with it. Held while a signature is made: that takes microseconds and
    /// never waits for anything.
    kept: Mutex<Option<Kept>>,
}

/// One signature.
struct Kept {
    text: Secret,
    made_at: SystemTime,
    renew_at: SystemTime,
}

impl UserSig {
    /// Signs with these settings.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, kept: Mutex::new(None) }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // What a panicking thread left behind is either a whole signature or none.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, now: SystemTime) -> Result<String, AuthError> {
        let mut kept = self.kept();
        if let Some(kept) = kept.as_ref()
            && now < kept.renew_at
            && now + TOLERATED_STEP_BACK >= kept.made_at
        {
            return Ok(kept.text.expose().to_owned());
        }
        let ttl = self.settings.usersig_ttl_seconds;
        let text = Claim {
            identifier: &self.settings.identifier,
            sdk_app_id: self.settings.sdk_app_id,
            made_at: unix_seconds(now),
            ttl,
        }
        .sign(&self.settings.secret_key)?;
        *kept = Some(Kept {
            text: Secret::new(text.clone()),
            made_at: now,
            // A fifth of its life is left then.
            renew_at: now + Duration::from_secs(ttl / 5 * 4),
        });
        Ok(text)
    }
}

impl Sign for UserSig {
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        request.push_secret_query("usersig", self.current(attempt.now)?);
        // Source: REST API introduction, "random: unsigned 32-bit integer"; a new one per HTTP request.
        request.push_query("random", low_half(attempt.nonce).to_string());
        Ok(())
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        None
    }

    fn renew(&self) {
        *self.kept() = None;
    }
}

/// What a signature states.
pub(super) struct Claim<'a> {
    /// Whose signature it is.
    pub(super) identifier: &'a str,
    /// For which application.
    pub(super) sdk_app_id: u64,
    /// When its life begins, in Unix seconds.
    pub(super) made_at: u64,
    /// How long it lives, in seconds.
    pub(super) ttl: u64,
}

/// The JSON inside a signature; the order of its names is free.
#[derive(Serialize)]
struct Ticket<'a> {
    #[serde(rename = "TLS.ver")]
    version: &'static str,
    #[serde(rename = "TLS.identifier")]
    identifier: &'a str,
    #[serde(rename = "TLS.sdkappid")]
    sdk_app_id: u64,
    #[serde(rename = "TLS.expire")]
    ttl: u64,
    #[serde(rename = "TLS.time")]
    made_at: u64,
    #[serde(rename = "TLS.sig")]
    signature: &'a str,
}

impl Claim<'_> {
    /// The text that is signed: every line is ended, the last one too.
    pub(super) fn string_to_sign(&self) -> String {
        format!(
            "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
            self.identifier, self.sdk_app_id, self.made_at, self.ttl
        )
    }

    /// The inner signature, `TLS.sig`.
    pub(super) fn inner_signature(&self, key: &Secret) -> Result<String, AuthError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
            .map_err(|_| AuthError::Unusable("secret_key"))?;
        mac.update(self.string_to_sign().as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The whole signature, in an alphabet of its own: base64 with `*`, `-`, `_` for `+`, `/`, `=`.
    pub(super) fn sign(&self, key: &Secret) -> Result<String, AuthError> {
        let signature = self.inner_signature(key)?;
        let ticket = Ticket {
            version: "2.0",
            identifier: self.identifier,
            sdk_app_id: self.sdk_app_id,
            ttl: self.ttl,
            made_at: self.made_at,
            signature: &signature,
        };
        let packed = pack(&ticket).map_err(|_| AuthError::Unusable("identifier"))?;
        Ok(STANDARD
            .encode(packed)
            .chars()
            .map(|symbol| match symbol {
                '+' => '*',
                '/' => '-',
                '=' => '_',
                other => other,
            })
            .collect())
    }
}

/// A zlib stream with header and checksum (RFC 1950); the level is free.
fn pack(ticket: &Ticket<'_>) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(ticket)?;
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(256), Compression::default());
    encoder.write_all(&json)?;
    encoder.finish()
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
