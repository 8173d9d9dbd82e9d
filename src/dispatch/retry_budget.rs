//! How many repeats a channel may make: a provider in trouble gets little more than its usual load.
//!
//! Pure: time comes in. Source of the shape: the retry budgets of Finagle and Envoy.

use tokio::time::Instant;

use crate::dispatch::window::{Counts, Window};

/// Repeats that are always allowed within ten seconds: a channel of few calls has no share to speak of.
const FLOOR: f64 = 3.0;

/// First tries and repeats of the last ten seconds.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    recent: Window,
    share: f64,
}

impl RetryBudget {
    /// `share`: most repeats for each first try.
    #[must_use]
    pub fn new(share: f64, now: Instant) -> Self {
        Self { recent: Window::new(now), share }
    }

    /// Counts a first try.
    pub fn count_first(&mut self, now: Instant) {
        self.recent.add(now, Counts { all: 1, marked: 0 });
    }

    /// Takes a repeat if there is one left.
    pub fn take(&mut self, now: Instant) -> bool {
        let Counts { all: firsts, marked: repeats } = self.recent.sum(now);
        let is_left = f64::from(repeats) + 1.0 <= (f64::from(firsts) * self.share).max(FLOOR);
        if is_left {
            self.recent.add(now, Counts { all: 0, marked: 1 });
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn repeats_are_a_fifth_of_the_first_tries_or_three() {
        let mut now = Instant::now();
        let mut budget = RetryBudget::new(0.2, now);
        let taken = |budget: &mut RetryBudget, now| (0..1000).filter(|_| budget.take(now)).count();
        assert_eq!(taken(&mut budget, now), 3);
        now += Duration::from_secs(10);
        for _ in 0..100 {
            budget.count_first(now);
        }
        assert_eq!(taken(&mut budget, now), 20);
        assert_eq!(taken(&mut budget, now + Duration::from_secs(9)), 0);
        assert_eq!(taken(&mut budget, now + Duration::from_secs(10)), 3);
    }
}
