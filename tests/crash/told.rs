//! What the gateway says of recipients, read from its JSON and kept small: a long run hears of millions.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

/// What became of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Accepted,
    Failed,
    Unknown,
    /// Not an end.
    Pending,
}

/// What is said of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) index: u64,
    pub(crate) recipient: String,
    pub(crate) status: Status,
    /// Why he is unknown, unless it is that a process ended while his call was out.
    pub(crate) doubt: Option<String>,
    /// Of everything that is said.
    digest: u64,
}

impl Told {
    pub(crate) fn new(result: &Value) -> Self {
        let status = match result["status"].as_str() {
            Some("accepted") => Status::Accepted,
            Some("failed") => Status::Failed,
            Some("unknown") => Status::Unknown,
            _ => Status::Pending,
        };
        let text = result.to_string();
        let hint = result["error"]["hint"].as_str().unwrap_or_default();
        let is_lost = result["error"]["code"] == "internal" && hint.contains("process ended");
        let mut digest = DefaultHasher::new();
        text.hash(&mut digest);
        Self {
            index: result["index"].as_u64().unwrap_or(u64::MAX),
            recipient: result["recipient"].as_str().unwrap_or_default().to_owned(),
            status,
            doubt: (status == Status::Unknown && !is_lost).then_some(text),
            digest: digest.finish(),
        }
    }

    pub(crate) fn all(results: &[Value]) -> Vec<Self> {
        results.iter().map(Self::new).collect()
    }
}

/// How many recipients ended how: in all, accepted, failed, unknown.
pub(crate) fn counts(results: &[Told]) -> [u64; 4] {
    let ended = |status| results.iter().filter(move |told| told.status == status).count();
    let counts = [results.len(), ended(Status::Accepted), ended(Status::Failed), ended(Status::Unknown)];
    counts.map(|count| u64::try_from(count).unwrap())
}

/// The same as the gateway counts.
pub(crate) fn counted(counts: &Value) -> [u64; 4] {
    ["total", "accepted", "failed", "unknown"].map(|name| counts[name].as_u64().unwrap_or(u64::MAX))
}
