//! UserSig (`TLSSigAPIv2`): the signature that stands in every request's URL.
//!
//! Source: official packages tls-sig-api-v2 (Python 1.1, npm 1.0.2), read 2026-11-21.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, AuthError, Sign};
use crate::providers::tencent_tim::settings::Settings;

/// Signs with one application's key; the current signature lives as long as the channel.
pub(super) struct UserSig {
    settings: Settings,
    current: Mutex<Option<Current>>,
}

struct Current {
    text: Secret,
    /// From when on a new one is made.
    renew_at: SystemTime,
}

impl UserSig {
    pub(super) const fn new(settings: Settings) -> Self {
        Self {
            settings,
            current: Mutex::new(None),
        }
    }

    fn text(&self, now: SystemTime) -> Result<Secret, AuthError> {
        let mut current = self.current();
        if let Some(current) = &*current
            && now < current.renew_at
        {
            return Ok(current.text.clone());
        }
        let text = Secret::new(user_sig(&self.settings, now, None)?);
        // A fifth of its life is left when the next one is made.
        let renew_at = now + self.settings.usersig_ttl.mul_f64(0.8);
        *current = Some(Current {
            text: text.clone(),
            renew_at,
        });
        Ok(text)
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sign for UserSig {
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        request.push_query("sdkappid", self.settings.sdk_app_id.to_string());
        request.push_query("identifier", self.settings.identifier.clone());
        request.push_secret_query("usersig", self.text(attempt.now)?.expose());
        // New for every HTTP request, repeats included; 32 bits, unsigned.
        request.push_query("random", (attempt.nonce >> 32).to_string());
        request.push_query("contenttype", "json");
        Ok(())
    }

    fn renew(&self) {
        *self.current() = None;
    }
}

/// The text whose HMAC is the signature: four lines, each ended, the last one too.
///
/// `time`: Unix seconds. The lifetime is one in seconds, not a point in time. `user_buffer`: rights in base64, a
/// fifth line that REST calls do without.
#[must_use]
pub fn string_to_sign(settings: &Settings, time: u64, user_buffer: Option<&str>) -> String {
    let mut text = format!(
        "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{time}\nTLS.expire:{}\n",
        settings.identifier,
        settings.sdk_app_id,
        settings.usersig_ttl.as_secs()
    );
    if let Some(user_buffer) = user_buffer {
        text.push_str(&format!("TLS.userbuf:{user_buffer}\n"));
    }
    text
}

/// The signature proper: standard base64 of HMAC-SHA256.
///
/// # Errors
/// Never in practice: HMAC takes keys of any length.
pub fn tls_sig(settings: &Settings, time: u64, user_buffer: Option<&str>) -> Result<String, AuthError> {
    let key = settings.secret_key.expose().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| AuthError::Unusable("secret_key"))?;
    mac.update(string_to_sign(settings, time, user_buffer).as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

/// The text for the URL: zlib-compressed JSON in base64 with three characters replaced.
///
/// # Errors
/// As [`tls_sig`].
pub fn user_sig(
    settings: &Settings,
    now: SystemTime,
    user_buffer: Option<&str>,
) -> Result<String, AuthError> {
    let time = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let mut json = serde_json::json!({
        "TLS.ver": "2.0",
        "TLS.identifier": settings.identifier,
        "TLS.sdkappid": settings.sdk_app_id,
        "TLS.expire": settings.usersig_ttl.as_secs(),
        "TLS.time": time,
        "TLS.sig": tls_sig(settings, time, user_buffer)?,
    });
    if let (Some(user_buffer), Some(json)) = (user_buffer, json.as_object_mut()) {
        json.insert("TLS.userbuf".into(), user_buffer.into());
    }
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = zlib
        .write_all(json.to_string().as_bytes())
        .and_then(|()| zlib.finish());
    let compressed = written.map_err(|_| AuthError::Unusable("secret_key"))?;
    // Not base64url: its own three replacements.
    Ok(STANDARD
        .encode(compressed)
        .replace('+', "*")
        .replace('/', "-")
        .replace('=', "_"))
}
