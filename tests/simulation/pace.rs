//! The budget's arithmetic against a reference: a plain token bucket in whole numbers.

use std::time::Duration;

use imcast::dispatch::pace::Budget;
use tokio::time::Instant;

use crate::dice::Dice;

const STEPS: u64 = 1_000_000;
const STEPS_OF_ONE_BUDGET: u64 = 10_000;
/// Fractions of a token that are told apart, and of a second.
const PARTS: u128 = 1_000_000_000;
const NANOSECONDS: u128 = 1_000_000_000;

/// A bucket that fills at a rate and holds at most a burst; it may owe what calls have reserved ahead.
struct Bucket {
    /// In `1 / PARTS` tokens a second.
    rate: u128,
    burst: u128,
    /// What was taken and has not come in again, in `1 / (PARTS * NANOSECONDS)` tokens.
    missing: u128,
    at: u128,
}

impl Bucket {
    /// In whole numbers: margins are given in hundredths.
    fn new(limit: u128, margin_percent: u128, largest_cost: u128) -> Self {
        let spare = limit * (100 - margin_percent) * (PARTS / 100);
        let burst = (spare / 2).max(largest_cost * PARTS).max(PARTS);
        let is_counted_per_second = burst > spare && burst * 10 <= limit * PARTS;
        let rate = if is_counted_per_second {
            limit * PARTS - burst
        } else {
            limit * margin_percent * (PARTS / 100)
        };
        Self { rate, burst, missing: 0, at: 0 }
    }

    /// Nanoseconds until a call of this cost may start.
    fn reserve(&mut self, now: u128, cost: u128) -> u128 {
        self.missing = self.missing.saturating_sub((now - self.at) * self.rate);
        self.at = now;
        let free = self.burst.saturating_sub(cost * PARTS) * NANOSECONDS;
        let wait = self.missing.saturating_sub(free).div_ceil(self.rate);
        self.missing += cost * PARTS * NANOSECONDS;
        wait
    }
}

/// The same calls at the same times to both: they say the same, but for the nanosecond to which each step of the
/// budget rounds.
fn check(dice: &Dice) {
    let limit = dice.number(1..=dice.pick(&[5, 200, 20_000]));
    let margin_percent = dice.number(50..=100);
    let largest_cost = dice.number(1..=dice.pick(&[1, 10, 500]));
    let begin = Instant::now();
    let exact = |number: u64| f64::from(u32::try_from(number).unwrap());
    let mut budget = Budget::new(exact(limit), exact(margin_percent) / 100.0, exact(largest_cost), begin);
    let mut bucket = Bucket::new(limit.into(), margin_percent.into(), largest_cost.into());
    let mut now = Duration::ZERO;
    let typical_gap = largest_cost * 1_000_000_000 / limit;
    for step in 1..=STEPS_OF_ONE_BUDGET {
        now += Duration::from_nanos(dice.number(0..=typical_gap * dice.pick(&[0, 1, 2])));
        let cost = dice.number(1..=largest_cost);
        let said = budget.reserve(begin + now, exact(cost), 1.0).as_nanos();
        let expected = bucket.reserve(now.as_nanos(), cost.into());
        let rounding = u128::from(step) + 2;
        assert!(
            said.abs_diff(expected) <= rounding,
            "step {step} at {limit}/s, {margin_percent} %, {cost} of {largest_cost}: {said} ns, not {expected} ns"
        );
    }
}

#[test]
fn a_million_reservations_agree_with_a_plain_token_bucket() {
    let dice = Dice::new(0);
    for _ in 0..STEPS / STEPS_OF_ONE_BUDGET {
        check(&dice);
    }
}
