//! The `[delivery]` section.

use std::time::Duration;

use crate::adapter::fields::Fields;

/// How calls are repeated and paced. Defaults and meanings: `config/default.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Most tries of one call, 1 to 10.
    pub max_attempts: u32,
    /// Most tries of one call that the provider refuses for its rate, 1 to 10.
    pub throttled_max_attempts: u32,
    /// Longest wait before the first repeat; doubles with every repeat.
    pub backoff_base: Duration,
    /// Shortest wait after a refusal for the rate, unless the provider says otherwise; doubles likewise.
    pub throttled_backoff_base: Duration,
    /// No back-off is longer.
    pub backoff_cap: Duration,
    /// No new token request this soon after one failed.
    pub token_wait: Duration,
    /// Which part of a configured budget is used, 0.5 to 1.
    pub budget_margin: f64,
}

impl Settings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let attempts = |fields: &mut Fields<'_>, name: &str| {
            fields.required_u64(name, 1..=10).and_then(|count| u32::try_from(count).ok())
        };
        let milliseconds = |fields: &mut Fields<'_>, name: &str| {
            fields.required_u64(name, 1..=600_000).map(Duration::from_millis)
        };
        let max_attempts = attempts(fields, "max_attempts");
        let throttled_max_attempts = attempts(fields, "throttled_max_attempts");
        let backoff_base = milliseconds(fields, "backoff_base_ms");
        let throttled_backoff_base = milliseconds(fields, "throttled_backoff_base_ms");
        let backoff_cap = milliseconds(fields, "backoff_cap_ms");
        let token_wait = milliseconds(fields, "token_wait_ms");
        let budget_margin = fields.number("budget_margin", 0.5..=1.0);
        Some(Self {
            max_attempts: max_attempts?,
            throttled_max_attempts: throttled_max_attempts?,
            backoff_base: backoff_base?,
            throttled_backoff_base: throttled_backoff_base?,
            backoff_cap: backoff_cap?,
            token_wait: token_wait?,
            budget_margin: budget_margin?,
        })
    }
}
