//! Counts finished batches that a store did not keep, and says so now and again.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// How soon it may be said again: under load there may be thousands a second.
const PAUSE: Duration = Duration::from_secs(60);

/// The count of one store, from its opening on.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    /// How many of them the log does not have yet.
    unsaid: u64,
    said_at: Option<Instant>,
}

impl Unrecorded {
    /// Counts batches that were not kept, all for this reason.
    pub(crate) fn add(&self, count: usize, reason: impl Display) {
        let said = self.tally().add(count, Instant::now());
        if let Some(count) = said {
            warn!(count, %reason, "Finished batches were not recorded.");
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.tally().count
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// How many are to be said now; `None` = nothing.
    fn add(&mut self, count: usize, now: Instant) -> Option<u64> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.count = self.count.saturating_add(count);
        self.unsaid = self.unsaid.saturating_add(count);
        if self.unsaid == 0 || self.said_at.is_some_and(|at| now.duration_since(at) < PAUSE) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_are_counted_and_said_at_once_or_together_with_the_next_after_a_while() {
        let mut tally = Tally::default();
        let start = Instant::now();
        assert_eq!(tally.add(0, start), None);
        assert_eq!(tally.add(2, start), Some(2));
        assert_eq!(tally.add(3, start + PAUSE / 2), None);
        assert_eq!(tally.add(1, start + PAUSE), Some(4));
        assert_eq!(tally.count, 6);
    }
}
