//! What is left of one portion of a budget, and when its calls may start.
//!
//! Pure: time comes in. Each call has its place on the account's virtual schedule (GCRA); it may start from when the
//! savings allow it until a little after its place, and the budget is asked for with a smaller burst in return, so that
//! no window sees more than without replicas.

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::pace::Terms;
use crate::domain::report::BudgetKind;
use crate::store::shared::Portion;

/// Most that a call may start after its place: answers and timers take their time.
const MOST_LATE: Duration = Duration::from_millis(20);

/// Smaller than any cost: what rounding may take away.
const ROUNDING: f64 = 1e-6;

/// What this process has of one budget.
pub(super) struct Share {
    kind: BudgetKind,
    /// Tokens that are left of the portion.
    left: f64,
    /// The place of the next call.
    place: Instant,
    terms: Terms,
    late: Duration,
    /// How many calls used the portion; the next one is at most twice as large.
    used: u32,
    /// Until then one call is not lost: a store that is slower than calls may be late would let nothing through.
    kept_until: Instant,
    /// How long the store took for the last answer.
    took: Duration,
    /// Whether the store did not answer the last time.
    is_away: bool,
}

/// How calls of one cost are asked for.
#[derive(Clone, Copy)]
pub(super) struct CallTerms {
    /// With the burst that is asked for.
    pub(super) terms: Terms,
    late: Duration,
    pub(super) cost: f64,
}

impl CallTerms {
    /// From the budget itself: what a call may be late, the burst is smaller.
    pub(super) fn new(budget: Terms, cost: f64) -> Self {
        let late = (budget.saved(cost) + seconds(cost / 2.0, budget.rate)).min(MOST_LATE);
        let burst = (budget.burst - budget.rate * late.as_secs_f64()).max(cost);
        Self { terms: Terms { burst, ..budget }, late, cost }
    }
}

impl Terms {
    /// How long before its place on the schedule a call may start.
    pub(super) fn saved(self, cost: f64) -> Duration {
        seconds((self.burst - cost).max(0.0), self.rate)
    }
}

impl Share {
    /// Nothing yet.
    pub(super) fn new(kind: BudgetKind) -> Self {
        let terms = Terms { rate: 1.0, burst: 0.0 };
        let (now, late, took) = (Instant::now(), Duration::ZERO, Duration::ZERO);
        Self { kind, left: 0.0, place: now, terms, late, used: 0, kept_until: now, took, is_away: false }
    }

    pub(super) const fn kind(&self) -> BudgetKind {
        self.kind
    }

    /// How many calls to ask for: no more than wait, and not many more than were needed the last time.
    pub(super) fn most(&self, open_calls: u32) -> u32 {
        self.used.saturating_mul(2).min(open_calls).max(1)
    }

    /// Goes on with another portion, which was asked for at `asked_at`.
    pub(super) fn fill(&mut self, now: Instant, asked_at: Instant, portion: Portion, call: CallTerms) {
        let CallTerms { terms, late, cost } = call;
        self.took = now.saturating_duration_since(asked_at);
        // The store looked at its clock somewhere in between.
        self.place = asked_at + self.took / 2 + portion.debt;
        self.left = f64::from(portion.calls) * cost;
        (self.terms, self.late, self.used) = (terms, late, 0);
        self.keep_one(now, self.took);
    }

    /// Does not lose the next call while the store is asked for what else it takes.
    pub(super) fn keep_one(&mut self, now: Instant, took: Duration) {
        self.kept_until = now + took * 2;
    }

    /// How long the store took for the last answer.
    pub(super) const fn took(&self) -> Duration {
        self.took
    }

    /// When a call may start at the earliest; `None` = nothing is left for it. What was not used in its time is lost.
    pub(super) fn starts_at(&mut self, now: Instant, cost: f64) -> Option<Instant> {
        let lost = now.saturating_duration_since(self.place + self.late);
        if !lost.is_zero() {
            let kept = if now <= self.kept_until { cost.min(self.left) } else { 0.0 };
            self.left = (self.left - lost.as_secs_f64() * self.terms.rate).max(kept);
            self.place += lost;
        }
        (self.left + ROUNDING >= cost)
            .then(|| self.place.checked_sub(self.terms.saved(cost)).unwrap_or(self.place))
    }

    /// Uses what one call takes.
    pub(super) fn take(&mut self, cost: f64) {
        self.left -= cost;
        self.place += seconds(cost, self.terms.rate);
        self.used = self.used.saturating_add(1);
    }

    /// Notes whether the store answers; whether that is news.
    pub(super) const fn note_away(&mut self, is_away: bool) -> bool {
        std::mem::replace(&mut self.is_away, is_away) != is_away
    }
}

fn seconds(tokens: f64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(tokens / rate).unwrap_or(Duration::ZERO)
}
