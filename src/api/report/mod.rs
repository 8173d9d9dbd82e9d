//! Writes reports and results by hand: JSON, lines of JSON, CSV, and one screen of text.

pub mod csv;
pub mod json;
pub mod line;
pub mod stream;
pub mod text;
pub mod walk;

#[cfg(test)]
mod tests;

use crate::domain::outcome::{Counts, Outcome};
use crate::domain::report::Status;

/// What a batch came to, in a word; `None` while it runs.
#[must_use]
pub const fn outcome_name(status: Status, counts: &Counts) -> Option<&'static str> {
    if matches!(status, Status::Processing) {
        return None;
    }
    Some(if counts.accepted == counts.total {
        "all_accepted"
    } else if counts.accepted == 0 {
        "none_accepted"
    } else {
        "partial"
    })
}

/// The `status` of one result; `None` = not decided yet.
#[must_use]
pub const fn result_status(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Accepted(_)) => "accepted",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Unknown(_)) => "unknown",
        None => "pending",
    }
}
