//! What one channel works on or keeps waiting: bounded, and counted so that a forecast is true.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How much the latest pause between two calls counts in their average.
const LATEST: f64 = 0.1;

/// Most that one channel takes on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Routes.
    pub routes: usize,
    /// Bytes of their recipients, roughly.
    pub bytes: usize,
}

/// The routes of one channel that are not over.
#[derive(Clone, Debug)]
pub struct Backlog {
    bounds: Bounds,
    routes: BTreeMap<u64, Open>,
    bytes: usize,
    next_id: u64,
    /// How many routes have calls that have not started.
    waiting_count: usize,
    /// When a call started while others waited, or the first of them began to wait.
    last_start: Option<Instant>,
    /// Seconds between two starts while calls wait, on average.
    pause: f64,
}

/// Calls that have not started, and their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Calls.
    pub calls: usize,
    /// What they cost of the message budget.
    pub messages: usize,
}

impl Backlog {
    /// An empty one.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            routes: BTreeMap::new(),
            bytes: 0,
            next_id: 0,
            waiting_count: 0,
            last_start: None,
            pause: 0.0,
        }
    }

    /// Takes a route in, unless there is no room; the first one always has it.
    pub fn enter(&mut self, now: Instant, open: Open, bytes: usize) -> Option<u64> {
        let has_room =
            self.routes.len() < self.bounds.routes && self.bytes.saturating_add(bytes) <= self.bounds.bytes;
        if !has_room && !self.routes.is_empty() {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.routes.insert(id, open);
        self.waiting_count += usize::from(open.calls > 0);
        self.last_start.get_or_insert(now);
        Some(id)
    }

    /// Counts one call of a route as started.
    pub fn start_call(&mut self, now: Instant, id: u64, messages: usize) {
        let Some(open) = self.routes.get_mut(&id) else { return };
        let is_last = open.calls == 1;
        open.calls = open.calls.saturating_sub(1);
        open.messages = open.messages.saturating_sub(messages);
        self.waiting_count = self.waiting_count.saturating_sub(usize::from(is_last));
        if let Some(last) = self.last_start {
            let pause = now.saturating_duration_since(last).as_secs_f64();
            self.pause += LATEST * (pause - self.pause);
        }
        self.last_start = (self.waiting_count > 0).then_some(now);
    }

    /// Lets a route go; `bytes` as they were at its entry.
    pub fn leave(&mut self, id: u64, bytes: usize) {
        if let Some(open) = self.routes.remove(&id) {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.waiting_count = self.waiting_count.saturating_sub(usize::from(open.calls > 0));
            if self.waiting_count == 0 {
                self.last_start = None;
            }
        }
    }

    /// How many routes there are.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// How long the turns of others would keep the last of `calls` calls of a new route waiting, going by how
    /// calls started lately; a channel on which none starts at all counts as slow as it has been so far.
    #[must_use]
    pub fn wait(&self, now: Instant, calls: usize) -> Duration {
        let Some(last) = self.last_start.filter(|_| self.waiting_count > 0) else {
            return Duration::ZERO;
        };
        let pause = now.saturating_duration_since(last).as_secs_f64().max(self.pause);
        let ahead = u32::try_from(self.ahead(calls).calls).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(pause * f64::from(ahead)).unwrap_or(Duration::MAX)
    }

    /// What starts before the last of `calls` calls of one route: routes take turns, so that each of the others
    /// starts at most as many.
    #[must_use]
    pub fn ahead(&self, calls: usize) -> Open {
        self.routes.values().fold(Open::default(), |sum, open| {
            let share = open.calls.min(calls);
            let messages = (open.messages * share).checked_div(open.calls).unwrap_or_default();
            Open { calls: sum.calls + share, messages: sum.messages + messages }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Open = Open { calls: 1, messages: 1 };

    #[test]
    fn routes_and_bytes_are_bounded_and_the_first_route_always_has_room() {
        let now = Instant::now();
        let mut backlog = Backlog::new(Bounds { routes: 2, bytes: 100 });
        let large = backlog.enter(now, ONE, 1000).unwrap();
        assert_eq!(backlog.enter(now, ONE, 1), None);
        backlog.leave(large, 1000);
        let first = backlog.enter(now, ONE, 60).unwrap();
        assert_eq!(backlog.enter(now, ONE, 60), None);
        assert!(backlog.enter(now, ONE, 40).is_some());
        backlog.leave(first, 60);
        assert!(backlog.enter(now, ONE, 10).is_some());
        assert_eq!(backlog.enter(now, ONE, 10), None);
        assert_eq!(backlog.route_count(), 2);
    }

    #[test]
    fn a_small_batch_waits_for_its_share_of_a_large_one() {
        let now = Instant::now();
        let mut backlog = Backlog::new(Bounds { routes: 9, bytes: 100 });
        let large = backlog.enter(now, Open { calls: 100, messages: 50_000 }, 0).unwrap();
        let small = backlog.enter(now, Open { calls: 2, messages: 3 }, 0).unwrap();
        assert_eq!(backlog.ahead(2), Open { calls: 4, messages: 1003 });
        assert_eq!(backlog.ahead(100), Open { calls: 102, messages: 50_003 });
        backlog.start_call(now, large, 500);
        assert_eq!(backlog.ahead(100), Open { calls: 101, messages: 49_503 });
        backlog.leave(small, 0);
        backlog.leave(large, 0);
        assert_eq!(backlog.ahead(100), Open::default());
    }

    #[test]
    fn the_wait_follows_how_calls_start_and_is_none_where_nothing_waits() {
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut backlog = Backlog::new(Bounds { routes: 1000, bytes: 1000 });
        let ids: Vec<_> = (0..200).map(|_| backlog.enter(begin, ONE, 0).unwrap()).collect();
        assert_eq!(backlog.wait(begin, 1), Duration::ZERO, "nothing is known yet");
        for (start, id) in (1..=100).zip(&ids) {
            backlog.start_call(at(10 * start), *id, 1);
        }
        let wait = backlog.wait(at(1000), 1).as_secs_f64();
        assert!((0.95..1.05).contains(&wait), "a hundred calls at 10 ms: {wait}");
        // The provider hangs: no call starts any more.
        assert!(backlog.wait(at(3000), 1) >= Duration::from_secs(200));
        for (start, id) in (1..=100).zip(ids.iter().skip(100)) {
            backlog.start_call(at(3000 + start), *id, 1);
        }
        assert_eq!(backlog.wait(at(4000), 1), Duration::ZERO);
    }
}
