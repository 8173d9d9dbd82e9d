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
    /// No new token request this soon after one failed, and no second one in place of a refused token.
    pub token_wait: Duration,
    /// Which part of a configured budget is used, 0.5 to 1.
    pub budget_margin: f64,
    /// Which part of the rest is this process's, above 0 to 1: the others belong to its replicas. From the section
    /// `[store]`.
    pub budget_share: f64,
    /// How long it takes until a channel that was refused for its rate uses its whole budget again.
    pub budget_recovery: Duration,
    /// Most repeats of a channel for each of its first tries, 0 to 1; a few are always allowed.
    pub retry_share: f64,
    /// How many calls in a row must break before a channel's circuit opens, 1 to 1000.
    pub circuit_failures: u32,
    /// How long an open circuit lets nothing through before it tries one call; doubles while that breaks.
    pub circuit_pause: Duration,
    /// No such pause is longer.
    pub circuit_pause_cap: Duration,
    /// Most routes of batches that one channel works on or keeps waiting.
    pub channel_routes: usize,
    /// Most bytes that their messages and recipients take together, roughly.
    pub channel_bytes: usize,
}

impl Settings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let count = |fields: &mut Fields<'_>, name: &str, most: u64| {
            fields.required_u64(name, 1..=most).and_then(|count| u32::try_from(count).ok())
        };
        let size = |fields: &mut Fields<'_>, name: &str, most: u64| {
            fields.required_u64(name, 1..=most).and_then(|size| usize::try_from(size).ok())
        };
        let milliseconds = |fields: &mut Fields<'_>, name: &str| {
            fields.required_u64(name, 1..=600_000).map(Duration::from_millis)
        };
        let max_attempts = count(fields, "max_attempts", 10);
        let throttled_max_attempts = count(fields, "throttled_max_attempts", 10);
        let backoff_base = milliseconds(fields, "backoff_base_ms");
        let throttled_backoff_base = milliseconds(fields, "throttled_backoff_base_ms");
        let backoff_cap = milliseconds(fields, "backoff_cap_ms");
        let token_wait = milliseconds(fields, "token_wait_ms");
        let budget_margin = fields.number("budget_margin", 0.5..=1.0);
        let budget_recovery = milliseconds(fields, "budget_recovery_ms");
        let retry_share = fields.number("retry_share", 0.0..=1.0);
        let circuit_failures = count(fields, "circuit_failures", 1_000);
        let circuit_pause = milliseconds(fields, "circuit_pause_ms");
        let circuit_pause_cap = milliseconds(fields, "circuit_pause_cap_ms");
        let channel_routes = size(fields, "channel_routes", 10_000_000);
        let channel_bytes = size(fields, "channel_bytes", 1 << 40);
        Some(Self {
            max_attempts: max_attempts?,
            throttled_max_attempts: throttled_max_attempts?,
            backoff_base: backoff_base?,
            throttled_backoff_base: throttled_backoff_base?,
            backoff_cap: backoff_cap?,
            token_wait: token_wait?,
            budget_margin: budget_margin?,
            budget_share: 1.0,
            budget_recovery: budget_recovery?,
            retry_share: retry_share?,
            circuit_failures: circuit_failures?,
            circuit_pause: circuit_pause?,
            circuit_pause_cap: circuit_pause_cap?,
            channel_routes: channel_routes?,
            channel_bytes: channel_bytes?,
        })
    }

    /// The defaults of `config/default.toml`.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use crate::adapter::fields::Numbers;

        let file =
            config::File::from_str(include_str!("../../config/default.toml"), config::FileFormat::Toml);
        let tree = config::Config::builder().add_source(file).build().unwrap();
        let text = tree.try_deserialize::<serde_json::Value>().unwrap().to_string();
        let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
        fields.object("delivery", Self::read).unwrap()
    }
}
