//! Budgets: how fast a channel may call, in calls and messages at once.
//!
//! Pure: time comes in. Work waits for its turn here, it is never dropped.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::report::BudgetKind;

/// One budget as a token bucket in its virtual-scheduling form (GCRA).
#[derive(Clone, Debug)]
pub struct Budget {
    /// Tokens that come in per second.
    rate: f64,
    /// Most tokens that can be saved up.
    burst: f64,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Budget {
    /// A full bucket.
    ///
    /// `limit`: the documented or bought rate per second. `margin`: which part of it is used. `largest_cost`:
    /// the most tokens that one call takes. Burst and rate are chosen so that no second sees more than
    /// `limit`, as long as a call is no larger than a tenth of it; larger calls mean that the provider counts
    /// over a longer time, and there the margin covers one call.
    #[must_use]
    pub fn new(limit: f64, margin: f64, largest_cost: f64, now: Instant) -> Self {
        let spare = limit * (1.0 - margin);
        let burst = spare.max(largest_cost).max(1.0);
        let is_counted_per_second = burst > spare && burst <= limit * 0.1;
        let rate = if is_counted_per_second { limit - burst } else { limit * margin };
        Self { rate, burst, full_at: now }
    }

    /// Takes `cost` tokens and says how long to wait before using them.
    pub fn reserve(&mut self, now: Instant, cost: f64) -> Duration {
        let wait = self.wait(now, cost);
        self.full_at = self.full_at.max(now) + self.seconds(cost);
        wait
    }

    /// How long [`Self::reserve`] would say to wait.
    #[must_use]
    pub fn wait(&self, now: Instant, cost: f64) -> Duration {
        // Savings of at most one burst may be used up; a call larger than the burst starts with a full bucket.
        let usable = self.seconds(self.burst - cost.min(self.burst));
        self.full_at.checked_sub(usable).map_or(Duration::ZERO, |ready| ready.saturating_duration_since(now))
    }

    /// Lets nothing through for `pause`.
    pub fn hold(&mut self, now: Instant, pause: Duration) {
        self.full_at = self.full_at.max(now + pause + self.seconds(self.burst));
    }

    /// How many tokens are there; less than zero while calls wait.
    #[must_use]
    pub fn available(&self, now: Instant) -> f64 {
        let debt = self.full_at.saturating_duration_since(now).as_secs_f64() * self.rate;
        self.burst - debt
    }

    /// Tokens that come in per second.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.rate
    }

    fn seconds(&self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64(tokens / self.rate).unwrap_or(Duration::ZERO)
    }
}

/// A channel's budgets together.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Provider calls; `None` = not paced.
    pub calls: Option<Budget>,
    /// Messages; `None` = not paced.
    pub messages: Option<Budget>,
}

impl Pacer {
    /// Takes one call and `messages` messages, and says how long to wait before using them.
    pub fn reserve(&mut self, now: Instant, messages: f64) -> Duration {
        let calls = self.calls.as_mut().map(|budget| budget.reserve(now, 1.0)).unwrap_or_default();
        let messages = self.messages.as_mut().map(|budget| budget.reserve(now, messages)).unwrap_or_default();
        calls.max(messages)
    }

    /// How long [`Self::reserve`] would say to wait.
    #[must_use]
    pub fn wait(&self, now: Instant, messages: f64) -> Duration {
        let calls = self.calls.as_ref().map(|budget| budget.wait(now, 1.0)).unwrap_or_default();
        let messages = self.messages.as_ref().map(|budget| budget.wait(now, messages)).unwrap_or_default();
        calls.max(messages)
    }

    /// Lets nothing through for `pause`, because the provider refused a call for its rate.
    pub fn hold(&mut self, now: Instant, pause: Duration) {
        for budget in [&mut self.calls, &mut self.messages].into_iter().flatten() {
            budget.hold(now, pause);
        }
    }

    /// How long it takes until the last of `calls` calls with `messages` messages in all can start, and which
    /// budget binds.
    #[must_use]
    pub fn eta(&self, now: Instant, calls: f64, messages: f64) -> (Duration, Option<BudgetKind>) {
        let time = |budget: &Option<Budget>, tokens: f64| {
            budget.as_ref().map(|budget| {
                let missing = (tokens - budget.available(now)).max(0.0);
                Duration::try_from_secs_f64(missing / budget.per_second()).unwrap_or(Duration::MAX)
            })
        };
        let calls = time(&self.calls, calls).map(|wait| (wait, Some(BudgetKind::Calls)));
        let messages = time(&self.messages, messages).map(|wait| (wait, Some(BudgetKind::Messages)));
        let longest = calls.into_iter().chain(messages).max_by_key(|(wait, _)| *wait);
        longest.filter(|(wait, _)| !wait.is_zero()).unwrap_or((Duration::ZERO, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends calls of `cost` as fast as the budget lets them; returns the start times in seconds.
    fn starts(limit: f64, cost: f64, count: usize) -> Vec<f64> {
        let begin = Instant::now();
        let mut budget = Budget::new(limit, 0.95, cost, begin);
        (0..count).map(|_| budget.reserve(begin, cost).as_secs_f64()).collect()
    }

    fn most_in_window(starts: &[f64], window: f64, cost: f64) -> f64 {
        let counts = starts.iter().map(|first| {
            starts.iter().filter(|start| **start >= *first && **start <= *first + window).count()
        });
        f64::from(u32::try_from(counts.max().unwrap_or(0)).unwrap()) * cost
    }

    #[test]
    fn no_window_ever_sees_more_than_the_limit_and_nine_tenths_are_used() {
        for (limit, cost, window) in
            [(100.0, 1.0, 1.0), (100.0, 10.0, 1.0), (200.0, 500.0, 60.0), (1.0, 1.0, 1.0)]
        {
            let starts = starts(limit, cost, 2000);
            let most = most_in_window(&starts, window, cost);
            assert!(most <= limit * window, "{most} in {window} s at {limit}/s with calls of {cost}");
            let used = 2000.0 * cost / starts.last().unwrap();
            assert!(used >= 0.9 * limit, "{used} of {limit}");
        }
    }

    #[test]
    fn a_hold_lets_nothing_through() {
        let now = Instant::now();
        let mut budget = Budget::new(100.0, 0.95, 1.0, now);
        budget.hold(now, Duration::from_secs(7));
        assert!(budget.wait(now, 1.0) >= Duration::from_secs(7));
    }

    #[test]
    fn the_eta_names_the_budget_that_binds() {
        let now = Instant::now();
        let pacer = Pacer {
            calls: Some(Budget::new(100.0, 0.95, 1.0, now)),
            messages: Some(Budget::new(200.0, 0.95, 500.0, now)),
        };
        let (wait, bound_by) = pacer.eta(now, 10.0, 5000.0);
        assert_eq!(bound_by, Some(BudgetKind::Messages));
        assert_eq!(wait.as_secs(), 23);
        assert_eq!(pacer.eta(now, 1.0, 1.0), (Duration::ZERO, None));
    }
}
