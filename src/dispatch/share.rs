//! What is left of one portion of an account's schedule, and when its calls may start.
//!
//! Pure: time comes in. An account has one schedule (GCRA), in seconds, on which a call takes as long as the slower of
//! its budgets needs for it: both are kept, and a call never waits for two places that do not meet. A call may start
//! from when the savings allow it until a little after its place; the savings that are asked for are smaller in
//! return, so that no window sees more than without replicas.

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::pace::Terms;
use crate::store::shared::Portion;

/// Most that a call may start after its place: answers and timers take their time.
const MOST_LATE: Duration = Duration::from_millis(20);

/// Seconds; smaller than any cost: what rounding may take away.
const ROUNDING: f64 = 1e-9;

/// What a call takes of its account's schedule.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Seconds, above 0.
    pub(super) cost: f64,
    /// How long before its place the call may start, if that much is saved up.
    pub(super) saved: Duration,
    /// How long after its place it may start.
    late: Duration,
}

/// What this process has of the schedule.
pub(super) struct Share {
    /// Seconds that are left of the portion.
    left: f64,
    /// The place of the next call.
    place: Instant,
    /// How many calls used the portion; the next one is at most twice as large.
    used: u32,
    /// Until then one call is not lost: a store that is slower than calls may be late would let nothing through.
    kept_until: Instant,
    /// Whether the store did not answer the last time.
    is_away: bool,
}

impl Slot {
    /// Of a call with so many messages; `budgets`: calls and messages, `None` in all = not paced.
    pub(super) fn new(budgets: [Option<Terms>; 2], messages: f64) -> Option<Self> {
        let parts =
            || budgets.into_iter().zip([1.0, messages]).filter_map(|(terms, cost)| Some((terms?, cost)));
        let cost = parts().map(|(terms, cost)| cost / terms.rate).reduce(f64::max)?;
        let savings =
            parts().map(|(terms, cost)| (terms.burst - cost).max(0.0) / terms.rate).reduce(f64::min)?;
        let late = seconds(savings + cost / 2.0).min(MOST_LATE);
        Some(Self { cost, saved: seconds(savings).saturating_sub(late), late })
    }
}

impl Share {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { left: 0.0, place: now, used: 0, kept_until: now, is_away: false }
    }

    /// How many calls to ask for: no more than wait, and not many more than were needed the last time.
    pub(super) fn most(&self, open_calls: u32) -> u32 {
        self.used.saturating_mul(2).min(open_calls).max(1)
    }

    /// Goes on with another portion, which was asked for at `asked_at`.
    pub(super) fn fill(&mut self, now: Instant, asked_at: Instant, portion: Portion, slot: Slot) {
        let took = now.saturating_duration_since(asked_at);
        // The store looked at its clock somewhere in between.
        self.place = asked_at + took / 2 + portion.debt;
        self.left = f64::from(portion.calls) * slot.cost;
        self.used = 0;
        self.kept_until = now + took;
    }

    /// When a call may start at the earliest; `None` = nothing is left for it. What was not used in its time is lost.
    pub(super) fn starts_at(&mut self, now: Instant, slot: Slot) -> Option<Instant> {
        let lost = now.saturating_duration_since(self.place + slot.late);
        if !lost.is_zero() {
            let kept = if now <= self.kept_until { slot.cost.min(self.left) } else { 0.0 };
            self.left = (self.left - lost.as_secs_f64()).max(kept);
            self.place += lost;
        }
        let starts_at = self.place.checked_sub(slot.saved).unwrap_or(self.place);
        (self.left + ROUNDING >= slot.cost).then_some(starts_at)
    }

    /// Uses what one call takes.
    pub(super) fn take(&mut self, slot: Slot) {
        self.left -= slot.cost;
        self.place += seconds(slot.cost);
        self.used = self.used.saturating_add(1);
    }

    /// Notes whether the store answers; whether that is news.
    pub(super) const fn note_away(&mut self, is_away: bool) -> bool {
        std::mem::replace(&mut self.is_away, is_away) != is_away
    }
}

fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count).unwrap_or(Duration::MAX)
}
