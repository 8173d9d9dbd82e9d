//! The provider's own keys, checked.

use std::sync::Arc;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;

/// Longest life of a UserSig in seconds.
///
/// Source: Tencent IM, UserSig (document 1655), "at most 50 years", read 2026-11-21.
const LONGEST_TTL_SECONDS: u64 = 50 * 365 * 86_400;

/// The account that calls, and how it signs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The application's number, 1 to 4294967295 (the upper bound is Assumed).
    pub(super) sdk_app_id: u64,
    /// An app administrator's account.
    pub(super) identifier: Arc<str>,
    /// The key of the signature: the text that the console shows, never hex-decoded.
    pub(super) secret_key: Secret,
    /// Seconds that a signature lives.
    pub(super) usersig_ttl_seconds: u64,
}

/// Takes the provider's own keys; `None` if a fault was added.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Settings> {
    let sdk_app_id = fields.required_u64("sdk_app_id", 1..=u64::from(u32::MAX));
    let identifier = fields.required_filled_text("identifier");
    let secret_key = fields.required_filled_text("secret_key");
    let ttl = fields.required_u64("usersig_ttl_seconds", 60..=LONGEST_TTL_SECONDS);
    Some(Settings {
        sdk_app_id: sdk_app_id?,
        identifier: identifier?,
        secret_key: Secret::new(&*secret_key?),
        usersig_ttl_seconds: ttl?,
    })
}
