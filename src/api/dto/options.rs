//! Reads `options`.

use std::time::{Duration, SystemTime};

use crate::adapter::fields::Fields;
use crate::domain::batch::{OnInvalid, RetryUnknown};
use crate::domain::fault::FaultCode;

/// The answer to everything that needs a batch to outlive the process where no store does.
pub const IN_MEMORY_ONLY: &str = "batches are kept in memory only here (store.url)";

/// The options of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// No attempt starts after this; `None` = the latest allowed.
    pub expires_at: Option<SystemTime>,
    /// What a recipient id that the provider cannot take does.
    pub on_invalid: OnInvalid,
    /// Whether a lost answer may be retried.
    pub retry_unknown: RetryUnknown,
}

impl Options {
    /// Reads the options of a request accepted at `now`; `max_age` is the latest `expires_at` allowed.
    pub fn read(fields: &mut Fields<'_>, now: SystemTime, max_age: Duration) -> Option<Self> {
        if fields.raw("callback").is_some() {
            let detail = format!("no callback: {IN_MEMORY_ONLY}");
            fields.fault_at("callback", FaultCode::NotAllowed, detail);
        }
        let on_invalid = [("skip", OnInvalid::Skip), ("reject", OnInvalid::Reject)];
        Some(Self {
            expires_at: read_expiry(fields, now, max_age),
            on_invalid: fields.choice("on_invalid", &on_invalid).unwrap_or_default(),
            retry_unknown: match fields.bool("retry_unknown") {
                Some(true) => RetryUnknown::Allowed,
                Some(false) | None => RetryUnknown::Never,
            },
        })
    }
}

/// Reads the time after which no attempt starts: at most `max_age` from `now`; `None` = not given, or a fault.
pub fn read_expiry(fields: &mut Fields<'_>, now: SystemTime, max_age: Duration) -> Option<SystemTime> {
    let text = fields.text("expires_at")?;
    let Ok(timestamp) = text.parse::<jiff::Timestamp>() else {
        let detail = "must be a time as in 2026-11-21T15:00:00Z (RFC 3339)";
        fields.fault_at("expires_at", FaultCode::OutOfRange, detail);
        return None;
    };
    let expires_at = SystemTime::from(timestamp);
    if now.checked_add(max_age).is_some_and(|latest| expires_at > latest) {
        let detail = format!("is more than {} seconds away", max_age.as_secs());
        fields.fault_at("expires_at", FaultCode::OutOfRange, detail);
        return None;
    }
    Some(expires_at)
}
