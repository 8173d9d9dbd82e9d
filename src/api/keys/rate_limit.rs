//! Tells a caller how its quotas stand: `RateLimit-Policy` and `RateLimit`.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: lists of structured fields; `q` = quota,
//! `w` = window in seconds, `r` = what remains, `t` = seconds for which that holds.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::keys::quota::{Standing, Standings};

/// The quotas.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of them.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Writes both fields; nothing for a caller without a quota.
pub fn insert(headers: &mut HeaderMap, standings: &Standings) {
    let named = [("batches", standings.batches), ("recipients", standings.recipients)];
    let limited: Vec<_> = named.into_iter().filter_map(|(name, standing)| Some((name, standing?))).collect();
    if limited.is_empty() {
        return;
    }
    let write = |item: fn(&str, &Standing) -> String| {
        let items: Vec<_> = limited.iter().map(|(name, standing)| item(name, standing)).collect();
        HeaderValue::try_from(items.join(", "))
    };
    for (name, value) in [(RATE_LIMIT_POLICY, write(policy)), (RATE_LIMIT, write(remainder))] {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
}

/// Whole seconds, rounded up, at least one: a caller that waits so long does not come too early.
#[must_use]
pub fn whole_seconds(time: Duration) -> u64 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    seconds.max(1)
}

fn policy(name: &str, standing: &Standing) -> String {
    format!("\"{name}\";q={};w={}", standing.limit, standing.window.as_secs())
}

fn remainder(name: &str, standing: &Standing) -> String {
    let more_in = standing.more_in.map(|time| format!(";t={}", whole_seconds(time)));
    format!("\"{name}\";r={}{}", standing.remaining, more_in.unwrap_or_default())
}
