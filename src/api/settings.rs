//! The `[limits]` and `[batches]` sections.

use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::domain::callback::AllowedHosts;

/// What the API lets in. Defaults and meanings: `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `[limits]`.
    pub limits: Limits,
    /// `[batches]`.
    pub batches: Batches,
    /// Whom callers may have told that their batches ended: of `[callbacks]`, not read here.
    pub callback_hosts: AllowedHosts,
}

/// The front door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one body, at most 1 GiB.
    pub body_bytes: usize,
    /// Time that every body may take, whatever its length.
    pub body_patience: Duration,
    /// Bytes of a body that buy it one more second, at least 1.
    pub body_bytes_per_second: u64,
    /// Most bytes of all bodies that are being read at once.
    pub held_body_bytes: usize,
    /// Most recipients of one batch, over all its routes.
    pub recipients_per_batch: usize,
    /// Most routes of one batch.
    pub routes_per_batch: usize,
    /// Most batches that run at once.
    pub batches_in_progress: usize,
}

/// How long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Default and latest `expires_at`, counted from the acceptance.
    pub max_age: Duration,
    /// How long an answer waits for the end of its batch when the caller does not say; at most 25 s.
    pub default_wait: Duration,
}

impl Settings {
    /// Reads both sections out of the whole configuration; no callback is allowed so far.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let limits = fields.object("limits", Limits::read);
        let batches = fields.object("batches", Batches::read);
        Some(Self { limits: limits?, batches: batches?, callback_hosts: AllowedHosts::default() })
    }
}

impl Limits {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let count = |fields: &mut Fields<'_>, name: &str, most: u64| {
            fields.required_u64(name, 1..=most).and_then(|count| usize::try_from(count).ok())
        };
        let body_bytes = count(fields, "body_bytes", 1 << 30);
        let body_patience = fields.required_u64("body_patience_ms", 1..=600_000).map(Duration::from_millis);
        let body_bytes_per_second = fields.required_u64("body_bytes_per_second", 1..=1 << 30);
        let held_body_bytes = count(fields, "held_body_bytes", 1 << 40);
        let recipients_per_batch = count(fields, "recipients_per_batch", 100_000_000);
        let routes_per_batch = count(fields, "routes_per_batch", 1_000);
        let batches_in_progress = count(fields, "batches_in_progress", 10_000_000);
        Some(Self {
            body_bytes: body_bytes?,
            body_patience: body_patience?,
            body_bytes_per_second: body_bytes_per_second?,
            held_body_bytes: held_body_bytes?,
            recipients_per_batch: recipients_per_batch?,
            routes_per_batch: routes_per_batch?,
            batches_in_progress: batches_in_progress?,
        })
    }
}

impl Batches {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let max_age = fields.required_u64("max_age_seconds", 1..=30 * 86_400);
        let default_wait = fields.required_u64("default_wait_seconds", 0..=25);
        Some(Self {
            max_age: Duration::from_secs(max_age?),
            default_wait: Duration::from_secs(default_wait?),
        })
    }
}
