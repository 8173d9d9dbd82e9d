//! Budgets: how fast a channel may call, in calls and messages at once.
//!
//! Pure: time comes in. Work waits for its turn here, it is never dropped.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::report::BudgetKind;

/// To which part of its rate a channel falls when the provider refuses a call for its rate, and the least part.
const SLOWDOWN: f64 = 0.5;
const SLOWEST: f64 = 0.1;

/// Which part of what the margin leaves may be saved up.
const LARGEST_BURST: f64 = 0.5;

/// The two numbers of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Tokens that come in per second, above 0.
    pub rate: f64,
    /// Most tokens that can be saved up.
    pub burst: f64,
}

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
    /// over a longer time, and there the margin covers one call. Half of what the margin leaves is the burst's, the
    /// other half is for calls that arrive late, together with those that are on time: 25 ms of them at a margin of
    /// 0.95.
    #[must_use]
    pub fn new(limit: f64, margin: f64, largest_cost: f64, now: Instant) -> Self {
        let spare = limit * (1.0 - margin);
        let burst = (spare * LARGEST_BURST).max(largest_cost).max(1.0);
        let is_counted_per_second = burst > spare && burst <= limit * 0.1;
        let rate = if is_counted_per_second { limit - burst } else { limit * margin };
        Self { rate, burst, full_at: now }
    }

    /// Takes `cost` tokens and says how long to wait before using them; `pace` is the part of the rate at which
    /// they come in, above 0 and at most 1.
    pub fn reserve(&mut self, now: Instant, cost: f64, pace: f64) -> Duration {
        let wait = self.wait(now, cost);
        self.full_at = self.full_at.max(now) + seconds(cost, self.rate * pace);
        wait
    }

    /// How long [`Self::reserve`] would say to wait.
    #[must_use]
    pub fn wait(&self, now: Instant, cost: f64) -> Duration {
        // Savings of at most one burst may be used up; a call larger than the burst starts with a full bucket.
        let usable = seconds(self.burst - cost.min(self.burst), self.rate);
        self.full_at.checked_sub(usable).map_or(Duration::ZERO, |ready| ready.saturating_duration_since(now))
    }

    /// Lets nothing through until then.
    pub fn hold(&mut self, until: Instant) {
        self.full_at = self.full_at.max(until + seconds(self.burst, self.rate));
    }

    /// Leaves at most `tokens` of what is saved up.
    fn keep_at_most(&mut self, now: Instant, tokens: f64) {
        let missing = self.burst - tokens.clamp(0.0, self.burst);
        self.full_at = self.full_at.max(now + seconds(missing, self.rate));
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
}

fn seconds(tokens: f64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(tokens / rate).unwrap_or(Duration::ZERO)
}

/// A channel's budgets together, and what the provider's refusals do to them.
#[derive(Clone, Debug)]
pub struct Pacer {
    calls: Option<Budget>,
    messages: Option<Budget>,
    /// How long it takes after a refusal until the whole rate is used again.
    recovery: Duration,
    penalty: Option<Penalty>,
    /// How often the channel was held: what was reserved before the last time has to be reserved anew.
    hold_count: u64,
}

/// After a refusal for the rate: nothing goes out for a while, then little, then more and more.
#[derive(Clone, Copy, Debug)]
struct Penalty {
    until: Instant,
    /// The part of the rate that is used at its end.
    pace: f64,
}

/// A place in the budgets.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    /// How long to wait before using it.
    pub wait: Duration,
    hold_count: u64,
}

impl Pacer {
    /// Full budgets; `None` = not paced. After a refusal the whole rate is used again after `recovery`.
    #[must_use]
    pub const fn new(calls: Option<Budget>, messages: Option<Budget>, recovery: Duration) -> Self {
        Self { calls, messages, recovery, penalty: None, hold_count: 0 }
    }

    /// Takes one call and `messages` messages if their time comes within `most`.
    pub fn reserve(&mut self, now: Instant, messages: f64, most: Duration) -> Option<Reservation> {
        let calls = self.calls.as_ref().map(|budget| budget.wait(now, 1.0));
        let held = self.penalty.map(|penalty| penalty.until.saturating_duration_since(now));
        let longest = self.messages.as_ref().map(|budget| budget.wait(now, messages)).max(calls).max(held);
        let wait = longest.unwrap_or_default();
        if wait > most {
            return None;
        }
        let pace = self.pace(now + wait);
        for (budget, cost) in [(&mut self.calls, 1.0), (&mut self.messages, messages)] {
            if let Some(budget) = budget {
                // From when the call starts: what it takes comes in again from then on, whichever budget binds.
                budget.reserve(now + wait, cost, pace);
            }
        }
        Some(Reservation { wait, hold_count: self.hold_count })
    }

    /// Whether the channel was held since: the reservation is worth nothing then.
    #[must_use]
    pub const fn is_void(&self, reservation: &Reservation) -> bool {
        reservation.hold_count != self.hold_count
    }

    /// Lets nothing through for `pause`, because the provider refused a call for its rate, and slows down.
    ///
    /// Calls that were out together and are refused together slow the channel down once.
    pub fn hold(&mut self, now: Instant, pause: Duration) {
        let until = now + pause;
        let pace = match self.penalty {
            Some(penalty) if now < penalty.until => penalty.pace,
            _ => (self.pace(now) * SLOWDOWN).max(SLOWEST),
        };
        let until = self.penalty.map_or(until, |penalty| penalty.until.max(until));
        self.penalty = Some(Penalty { until, pace });
        self.hold_count += 1;
        for budget in [&mut self.calls, &mut self.messages].into_iter().flatten() {
            budget.hold(until);
        }
    }

    /// Goes on with these budgets, so that calls before and after together never exceed the faster of both rates.
    ///
    /// What was saved up stays, nothing is added, and a refusal for the rate goes on to be heeded. Calls that wait
    /// have to reserve anew.
    pub fn change(&mut self, mut next: Self, now: Instant) {
        let is_same = |mine: &Option<Budget>, next: &Option<Budget>| match (mine, next) {
            (Some(mine), Some(next)) => (mine.rate, mine.burst) == (next.rate, next.burst),
            (mine, next) => mine.is_none() && next.is_none(),
        };
        if is_same(&self.calls, &next.calls) && is_same(&self.messages, &next.messages) {
            return;
        }
        for (mine, next) in [(&self.calls, &mut next.calls), (&self.messages, &mut next.messages)] {
            let Some(next) = next else { continue };
            // Less than nothing means that calls wait: they give back what they took. What was not counted so far
            // may just have been spent.
            next.keep_at_most(now, mine.as_ref().map_or(0.0, |budget| budget.available(now)));
            if let Some(penalty) = self.penalty.filter(|penalty| penalty.until > now) {
                next.hold(penalty.until);
            }
        }
        (self.calls, self.messages) = (next.calls, next.messages);
        self.hold_count += 1;
    }

    /// Takes away what is saved up, for an account that was served a moment ago.
    pub fn empty(&mut self, now: Instant) {
        for budget in [&mut self.calls, &mut self.messages].into_iter().flatten() {
            budget.keep_at_most(now, 0.0);
        }
    }

    /// Which part of the rate is used at that time, above 0 and at most 1.
    #[must_use]
    pub fn pace(&self, at: Instant) -> f64 {
        let Some(Penalty { until, pace }) = self.penalty else { return 1.0 };
        let since = at.saturating_duration_since(until).as_secs_f64();
        (pace + (1.0 - pace) * since / self.recovery.as_secs_f64()).min(1.0)
    }

    /// What each budget allows now: calls and messages; `None` = not paced.
    #[must_use]
    pub fn terms(&self, now: Instant) -> [Option<Terms>; 2] {
        let pace = self.pace(now);
        [&self.calls, &self.messages].map(|budget| {
            budget.as_ref().map(|budget| Terms { rate: budget.rate * pace, burst: budget.burst })
        })
    }

    /// What is left of each budget: calls and messages.
    #[must_use]
    pub fn available(&self, now: Instant) -> (Option<f64>, Option<f64>) {
        let available = |budget: &Option<Budget>| budget.as_ref().map(|budget| budget.available(now));
        (available(&self.calls), available(&self.messages))
    }

    /// How long the budgets take for `calls` calls with `messages` messages in all, once it is their turn.
    #[must_use]
    pub fn time_for(&self, now: Instant, calls: f64, messages: f64) -> Duration {
        let pace = self.pace(now);
        let time = |budget: &Option<Budget>, tokens: f64| {
            budget.as_ref().map_or(Duration::ZERO, |budget| seconds(tokens, budget.per_second() * pace))
        };
        time(&self.calls, calls).max(time(&self.messages, messages))
    }

    /// How long it takes until the last of `calls` calls with `messages` messages in all can start, and which
    /// budget binds.
    #[must_use]
    pub fn eta(&self, now: Instant, calls: f64, messages: f64) -> (Duration, Option<BudgetKind>) {
        let pace = self.pace(now);
        let time = |budget: &Option<Budget>, tokens: f64| {
            budget.as_ref().map(|budget| {
                let missing = (tokens - budget.available(now)).max(0.0);
                Duration::try_from_secs_f64(missing / (budget.per_second() * pace)).unwrap_or(Duration::MAX)
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
        (0..count).map(|_| budget.reserve(begin, cost, 1.0).as_secs_f64()).collect()
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
    fn calls_that_arrive_late_with_others_do_not_exceed_the_limit() {
        for limit in [50.0, 100.0, 1000.0] {
            let late = 0.02;
            let most = most_in_window(&starts(limit, 1.0, 4000), 1.0 + late, 1.0);
            assert!(most <= limit, "{most} of {limit}");
        }
    }

    fn pacer(now: Instant) -> Pacer {
        let calls = Some(Budget::new(100.0, 0.95, 1.0, now));
        let messages = Some(Budget::new(200.0, 0.95, 500.0, now));
        Pacer::new(calls, messages, Duration::from_secs(30))
    }

    #[test]
    fn a_hold_voids_what_was_reserved_and_lets_nothing_through() {
        let now = Instant::now();
        let mut pacer = pacer(now);
        let before = pacer.reserve(now, 1.0, Duration::MAX).unwrap();
        assert!(!pacer.is_void(&before));
        pacer.hold(now, Duration::from_secs(7));
        assert!(pacer.is_void(&before));
        let after = pacer.reserve(now, 1.0, Duration::MAX).unwrap();
        assert!(after.wait >= Duration::from_secs(7), "{after:?}");
        assert!(pacer.reserve(now, 1.0, Duration::from_secs(6)).is_none());
    }

    #[test]
    fn a_channel_without_budgets_is_held_as_well() {
        let now = Instant::now();
        let mut pacer = Pacer::new(None, None, Duration::from_secs(30));
        pacer.hold(now, Duration::from_secs(7));
        assert_eq!(pacer.reserve(now, 1.0, Duration::MAX).unwrap().wait, Duration::from_secs(7));
    }

    #[test]
    fn a_budget_that_does_not_bind_counts_a_call_from_its_start() {
        let now = Instant::now();
        // Ten small calls in a row wait for the call budget; the messages that they leave are not saved twice.
        let calls = Some(Budget::new(10.0, 0.95, 1.0, now));
        let messages = Some(Budget::new(30.0, 0.95, 3.0, now));
        let mut pacer = Pacer::new(calls, messages, Duration::from_secs(30));
        let mut starts = Vec::new();
        for cost in [1.0; 10].into_iter().chain([3.0; 20]) {
            let wait = pacer.reserve(now, cost, Duration::MAX).unwrap().wait.as_secs_f64();
            starts.push((wait, cost));
        }
        for (first, _) in &starts {
            let inside = starts.iter().filter(|(at, _)| (*first..*first + 1.0).contains(at));
            let sum: f64 = inside.map(|(_, cost)| cost).sum();
            assert!(sum <= 30.0, "{sum} messages in the second from {first}");
        }
    }

    #[test]
    fn refusals_slow_the_channel_down_and_it_recovers() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut pacer = pacer(now);
        let check = |pacer: &Pacer, second, expected: f64| {
            let pace = pacer.pace(at(second));
            assert!((pace - expected).abs() < 0.001, "{pace} after {second} s");
        };
        pacer.hold(now, Duration::from_secs(7));
        // Another call that was out at the same time.
        pacer.hold(at(1), Duration::from_secs(1));
        check(&pacer, 7, 0.5);
        check(&pacer, 22, 0.75);
        check(&pacer, 37, 1.0);
        pacer.hold(at(7), Duration::from_secs(1));
        check(&pacer, 8, 0.25);
        for second in 8..20 {
            pacer.hold(at(second), Duration::from_secs(1));
        }
        check(&pacer, 20, SLOWEST);
    }

    #[test]
    fn a_change_of_the_budgets_never_lets_more_through_than_the_faster_of_both() {
        let begin = Instant::now();
        for (before, after) in [(100.0, 100.5), (100.0, 20.0), (20.0, 100.0)] {
            for change_ms in [0, 1, 300, 950] {
                let change_at = begin + Duration::from_millis(change_ms);
                let budget = |limit, now| Some(Budget::new(limit, 0.95, 1.0, now));
                let mut pacer = Pacer::new(budget(before, begin), None, Duration::from_secs(30));
                // All calls wait from the beginning on; those whose time has not come are void at the change.
                let waits = (0..150).map(|_| pacer.reserve(begin, 1.0, Duration::MAX).unwrap().wait);
                let mut starts: Vec<_> =
                    waits.map(|wait| begin + wait).filter(|at| *at <= change_at).collect();
                let reservation = Reservation { wait: Duration::ZERO, hold_count: pacer.hold_count };
                pacer.change(Pacer::new(budget(after, change_at), None, Duration::from_secs(30)), change_at);
                assert!(pacer.is_void(&reservation));
                let count = 150 - starts.len();
                let waits = (0..count).map(|_| pacer.reserve(change_at, 1.0, Duration::MAX).unwrap().wait);
                starts.extend(waits.map(|wait| change_at + wait));
                let starts: Vec<_> = starts.iter().map(|at| (*at - begin).as_secs_f64()).collect();
                let most = most_in_window(&starts, 1.0, 1.0);
                assert!(most <= before.max(after), "{most}: {before} to {after} at {change_ms} ms");
                let used = f64::from(u32::try_from(count).unwrap()) / (starts[149] - starts[150 - count]);
                assert!(used >= 0.9 * after, "{used} of {after}");
            }
        }
    }

    #[test]
    fn a_change_keeps_a_hold_and_the_same_budgets_are_no_change() {
        let now = Instant::now();
        let mut changed = pacer(now);
        changed.hold(now, Duration::from_secs(7));
        let before = changed.reserve(now, 1.0, Duration::MAX).unwrap();
        changed.change(pacer(now), now);
        assert!(!changed.is_void(&before));
        let calls = Some(Budget::new(50.0, 0.95, 1.0, now));
        changed.change(Pacer::new(calls, None, Duration::from_secs(30)), now);
        assert!(changed.is_void(&before));
        assert!(changed.reserve(now, 1.0, Duration::MAX).unwrap().wait >= Duration::from_secs(7));
    }

    #[test]
    fn the_eta_names_the_budget_that_binds() {
        let now = Instant::now();
        let pacer = pacer(now);
        let (wait, bound_by) = pacer.eta(now, 10.0, 5000.0);
        assert_eq!(bound_by, Some(BudgetKind::Messages));
        assert_eq!(wait.as_secs(), 23);
        assert_eq!(pacer.eta(now, 1.0, 1.0), (Duration::ZERO, None));
    }
}
