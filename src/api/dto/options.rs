//! Reads `options`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::fields::Fields;
use crate::domain::batch::{OnInvalid, RetryUnknown};
use crate::domain::callback::{AllowedHosts, MOST_URL_BYTES, UrlFault};
use crate::domain::fault::FaultCode;

/// The answer to everything that needs a batch to outlive the process where no store does.
pub const IN_MEMORY_ONLY: &str = "batches are kept in memory only here (store.url)";

/// The words of `on_invalid`.
pub const ON_INVALID: [(&str, OnInvalid); 2] = [("skip", OnInvalid::Skip), ("reject", OnInvalid::Reject)];

/// The options of a batch.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// No attempt starts after this; `None` = the latest allowed.
    pub expires_at: Option<SystemTime>,
    /// What a recipient id that the provider cannot take does.
    pub on_invalid: OnInvalid,
    /// Whether a lost answer may be retried.
    pub retry_unknown: RetryUnknown,
    /// Where the end of the batch is told; `None` = nowhere.
    pub callback: Option<Arc<str>>,
}

impl Options {
    /// Reads the options of a request accepted at `now`; `max_age` is the latest `expires_at` allowed, and
    /// `callback_hosts` are the servers that may be told; `None` = no callback would survive this process.
    pub fn read(
        fields: &mut Fields<'_>,
        now: SystemTime,
        max_age: Duration,
        callback_hosts: Option<&AllowedHosts>,
    ) -> Option<Self> {
        let callback = read_callback(fields, callback_hosts);
        Some(Self {
            expires_at: read_expiry(fields, now, max_age),
            on_invalid: fields.choice("on_invalid", &ON_INVALID).unwrap_or_default(),
            retry_unknown: match fields.bool("retry_unknown") {
                Some(true) => RetryUnknown::Allowed,
                Some(false) | None => RetryUnknown::Never,
            },
            callback,
        })
    }
}

/// Reads where the end of the batch is told; `None` = nowhere, or a fault.
fn read_callback(fields: &mut Fields<'_>, hosts: Option<&AllowedHosts>) -> Option<Arc<str>> {
    let Some(hosts) = hosts else {
        if fields.raw("callback").is_some() {
            let detail = format!("no callback: {IN_MEMORY_ONLY}");
            fields.fault_at("callback", FaultCode::NotAllowed, detail);
        }
        return None;
    };
    fields.object("callback", |callback| {
        let url = callback.required_text("url")?;
        let (code, detail) = match hosts.find(&url) {
            Ok(_) => return Some(url),
            Err(UrlFault::TooLong) => (FaultCode::TooLarge, format!("has more than {MOST_URL_BYTES} bytes")),
            Err(UrlFault::Malformed) => {
                let detail = "must be an https URL of visible ASCII characters, without user and fragment";
                (FaultCode::OutOfRange, detail.to_owned())
            }
            Err(UrlFault::NotAllowed) => {
                let detail = "names a server that the operator does not allow (callbacks.allowed_hosts)";
                (FaultCode::NotAllowed, detail.to_owned())
            }
        };
        callback.fault_at("url", code, detail);
        None
    })
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
