//! Counts of the last seconds, in slots of one second.

use tokio::time::Instant;

/// How many seconds a window spans, the present one included.
const SECONDS: usize = 10;
const SPAN: u64 = 10;

/// Two kinds of events, e.g. calls and those of them that failed, counted over the last ten seconds.
#[derive(Clone, Debug)]
pub struct Window {
    begin: Instant,
    slots: [Slot; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which second since `begin` it counts; older ones are overwritten when their slot comes round again.
    second: u64,
    counts: Counts,
}

/// What one window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events of both kinds, or of the first.
    pub all: u32,
    /// Events of the second kind.
    pub marked: u32,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { begin: now, slots: [Slot::default(); SECONDS] }
    }

    /// Adds to the present second.
    pub fn add(&mut self, now: Instant, counts: Counts) {
        let second = self.second(now);
        let index = usize::try_from(second).unwrap_or_default() % SECONDS;
        if let Some(slot) = self.slots.get_mut(index) {
            if slot.second != second {
                *slot = Slot { second, counts: Counts::default() };
            }
            slot.counts.all = slot.counts.all.saturating_add(counts.all);
            slot.counts.marked = slot.counts.marked.saturating_add(counts.marked);
        }
    }

    /// What the last ten seconds held.
    #[must_use]
    pub fn sum(&self, now: Instant) -> Counts {
        let second = self.second(now);
        let recent = self.slots.iter().filter(|slot| slot.second.saturating_add(SPAN) > second);
        recent.fold(Counts::default(), |sum, slot| Counts {
            all: sum.all.saturating_add(slot.counts.all),
            marked: sum.marked.saturating_add(slot.counts.marked),
        })
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_ten_seconds_old_no_longer_counts() {
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        let mut window = Window::new(begin);
        window.add(at(0), Counts { all: 1, marked: 1 });
        window.add(at(5), Counts { all: 2, marked: 0 });
        assert_eq!(window.sum(at(9)), Counts { all: 3, marked: 1 });
        assert_eq!(window.sum(at(10)), Counts { all: 2, marked: 0 });
        window.add(at(20), Counts { all: 1, marked: 0 });
        assert_eq!(window.sum(at(20)), Counts { all: 1, marked: 0 });
        assert_eq!(window.sum(at(3600)), Counts::default());
    }
}
