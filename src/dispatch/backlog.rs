//! What one channel works on or keeps waiting: bounded, and counted so that a forecast is true.

use std::collections::BTreeMap;

/// Most that one channel takes on.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Routes.
    pub routes: usize,
    /// Bytes of their messages and recipients, roughly.
    pub bytes: usize,
}

/// The routes of one channel that are not over.
#[derive(Clone, Debug)]
pub struct Backlog {
    bounds: Bounds,
    route_count: usize,
    /// Messages of the routes with one call that has not started: most routes, so they are summed up here.
    singles: BTreeMap<u64, usize>,
    single_messages: usize,
    /// The routes with several calls that have not started.
    longer: BTreeMap<u64, Open>,
    bytes: usize,
    next_id: u64,
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
            route_count: 0,
            singles: BTreeMap::new(),
            single_messages: 0,
            longer: BTreeMap::new(),
            bytes: 0,
            next_id: 0,
        }
    }

    /// Takes a route in, unless there is no room; the first one always has it.
    pub fn enter(&mut self, open: Open, bytes: usize) -> Option<u64> {
        let has_room =
            self.route_count < self.bounds.routes && self.bytes.saturating_add(bytes) <= self.bounds.bytes;
        if !has_room && self.route_count > 0 {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.route_count += 1;
        self.keep(id, open);
        Some(id)
    }

    /// Counts one call of a route as started.
    pub fn start_call(&mut self, id: u64, messages: usize) {
        if let Some(Open { calls, messages: all }) = self.take(id) {
            self.keep(id, Open { calls: calls.saturating_sub(1), messages: all.saturating_sub(messages) });
        }
    }

    /// Lets a route go, once; `bytes` as they were at its entry.
    pub fn leave(&mut self, id: u64, bytes: usize) {
        self.take(id);
        self.route_count = self.route_count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// How many routes there are.
    #[must_use]
    pub const fn route_count(&self) -> usize {
        self.route_count
    }

    /// What starts before the last of `calls` calls of one route: routes take turns, so that each of the others
    /// starts at most as many.
    #[must_use]
    pub fn ahead(&self, calls: usize) -> Open {
        let singles = match calls {
            0 => Open::default(),
            _ => Open { calls: self.singles.len(), messages: self.single_messages },
        };
        self.longer.values().fold(singles, |sum, open| {
            let share = open.calls.min(calls);
            let messages = (open.messages * share).checked_div(open.calls).unwrap_or_default();
            Open { calls: sum.calls + share, messages: sum.messages + messages }
        })
    }

    /// Nothing is kept of a route whose calls have all started: nobody waits for it.
    fn keep(&mut self, id: u64, open: Open) {
        match open.calls {
            0 => {}
            1 => {
                self.singles.insert(id, open.messages);
                self.single_messages += open.messages;
            }
            _ => {
                self.longer.insert(id, open);
            }
        }
    }

    fn take(&mut self, id: u64) -> Option<Open> {
        match self.singles.remove(&id) {
            Some(messages) => {
                self.single_messages -= messages;
                Some(Open { calls: 1, messages })
            }
            None => self.longer.remove(&id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Open = Open { calls: 1, messages: 1 };

    #[test]
    fn routes_and_bytes_are_bounded_and_the_first_route_always_has_room() {
        let mut backlog = Backlog::new(Bounds { routes: 2, bytes: 100 });
        let large = backlog.enter(ONE, 1000).unwrap();
        assert_eq!(backlog.enter(ONE, 1), None);
        backlog.leave(large, 1000);
        let first = backlog.enter(ONE, 60).unwrap();
        assert_eq!(backlog.enter(ONE, 60), None);
        assert!(backlog.enter(ONE, 40).is_some());
        backlog.leave(first, 60);
        assert!(backlog.enter(ONE, 10).is_some());
        assert_eq!(backlog.enter(ONE, 10), None);
        assert_eq!(backlog.route_count(), 2);
    }

    #[test]
    fn a_small_batch_waits_for_its_share_of_a_large_one() {
        let mut backlog = Backlog::new(Bounds { routes: 9, bytes: 100 });
        let large = backlog.enter(Open { calls: 100, messages: 50_000 }, 0).unwrap();
        let small = backlog.enter(Open { calls: 2, messages: 3 }, 0).unwrap();
        assert_eq!(backlog.ahead(2), Open { calls: 4, messages: 1003 });
        assert_eq!(backlog.ahead(100), Open { calls: 102, messages: 50_003 });
        backlog.start_call(large, 500);
        assert_eq!(backlog.ahead(100), Open { calls: 101, messages: 49_503 });
        backlog.leave(small, 0);
        backlog.leave(large, 0);
        assert_eq!(backlog.ahead(100), Open::default());
    }

    #[test]
    fn a_route_counts_until_its_last_call_has_started_and_has_its_room_until_it_leaves() {
        let mut backlog = Backlog::new(Bounds { routes: 2, bytes: 100 });
        let route = backlog.enter(Open { calls: 2, messages: 7 }, 60).unwrap();
        assert_eq!(backlog.ahead(0), Open::default());
        assert_eq!(backlog.ahead(1), Open { calls: 1, messages: 3 });
        backlog.start_call(route, 4);
        assert_eq!(backlog.ahead(1), Open { calls: 1, messages: 3 });
        assert_eq!(backlog.ahead(9), Open { calls: 1, messages: 3 });
        backlog.start_call(route, 3);
        assert_eq!(backlog.ahead(9), Open::default());
        assert_eq!((backlog.route_count(), backlog.enter(ONE, 60)), (1, None));
        backlog.leave(route, 60);
        assert_eq!(backlog.route_count(), 0);
    }
}
