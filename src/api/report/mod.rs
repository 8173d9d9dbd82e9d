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
use crate::domain::report::Report;

const PROCESSING: &str = "processing";
const COMPLETED: &str = "completed";
const CANCELED: &str = "canceled";

/// The words for where a batch stands.
pub const BATCH_STATUSES: [&str; 3] = [PROCESSING, COMPLETED, CANCELED];

const ALL_ACCEPTED: &str = "all_accepted";
const PARTIAL: &str = "partial";
const NONE_ACCEPTED: &str = "none_accepted";

/// The words for what a batch came to.
pub const OUTCOMES: [&str; 3] = [ALL_ACCEPTED, PARTIAL, NONE_ACCEPTED];

/// What a batch came to, in a word; `None` while it runs.
#[must_use]
pub const fn outcome_name(report: &Report, counts: &Counts) -> Option<&'static str> {
    if !report.is_over() {
        return None;
    }
    Some(if counts.accepted == counts.total {
        ALL_ACCEPTED
    } else if counts.accepted == 0 {
        NONE_ACCEPTED
    } else {
        PARTIAL
    })
}

/// Where a batch stands.
#[must_use]
pub const fn status_name(report: &Report) -> &'static str {
    if !report.is_over() {
        PROCESSING
    } else if report.canceled {
        CANCELED
    } else {
        COMPLETED
    }
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
