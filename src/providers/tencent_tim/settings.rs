//! The channel's own settings.

use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::domain::fault::FaultCode;

/// Longest identifier in bytes.
///
/// Source: Tencent IM, usage limits (account id), read 2026-11-21.
const MOST_IDENTIFIER_BYTES: usize = 32;

/// What one channel's own keys say, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The application.
    pub sdk_app_id: u64,
    /// The administrator account that signs; 1 to 32 bytes.
    pub identifier: String,
    /// The key as the console shows it: its UTF-8 bytes sign, it is not hex to be decoded.
    pub secret_key: Secret,
    /// Life of a signature, at least a minute.
    pub usersig_ttl: Duration,
}

impl Settings {
    /// Takes the keys out of `fields`, to which it adds every fault.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let sdk_app_id = fields.required_u64("sdk_app_id", 1..=u64::from(u32::MAX));
        let identifier = fields.required_filled_text("identifier");
        let is_usable = |text: &str| text.len() <= MOST_IDENTIFIER_BYTES && !text.contains(char::is_control);
        if identifier.as_deref().is_some_and(|text| !is_usable(text)) {
            fields.fault_at(
                "identifier",
                FaultCode::OutOfRange,
                "must be 1 to 32 bytes without control characters",
            );
        }
        let secret_key = fields.required_filled_text("secret_key");
        let usersig_ttl = fields.required_u64("usersig_ttl_seconds", 60..=1_576_800_000);
        Some(Self {
            sdk_app_id: sdk_app_id?,
            identifier: identifier.filter(|text| is_usable(text))?.to_string(),
            secret_key: Secret::new(&*secret_key?),
            usersig_ttl: Duration::from_secs(usersig_ttl?),
        })
    }
}
