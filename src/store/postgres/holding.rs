//! What this process may work on, as far as it knows without asking: its lease and its batches.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::BatchId;

/// How long a lease lasts, by the database's clock.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How often it is renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(5);

/// For how long a renewal is good by our own clock, from its start: well within the lease, so that nothing is sent
/// for a batch that somebody else may have taken.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(10);

/// One process's lease and batches; shared by everything in it that reads or writes.
#[derive(Debug)]
pub(super) struct Holding(Mutex<State>);

#[derive(Debug)]
struct State {
    replica: i64,
    /// The start of the last renewal that succeeded.
    renewed_at: Instant,
    batches: HashMap<BatchId, Held>,
    /// Batches that are this process's and that it cannot read.
    unreadable: HashSet<BatchId>,
    begun: i64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    /// As which replica: what was begun as an earlier one is settled as that one.
    owner: i64,
    /// Whether further calls may start; once not, never again until the batch is taken anew.
    may_send: bool,
}

impl Holding {
    /// `renewed_at`: when the lease of `replica` was asked for.
    pub(super) fn new(replica: i64, renewed_at: Instant) -> Self {
        let (batches, unreadable) = (HashMap::new(), HashSet::new());
        Self(Mutex::new(State { replica, renewed_at, batches, unreadable, begun: 0 }))
    }

    /// The replica that this process is.
    pub(super) fn replica(&self) -> i64 {
        self.state().replica
    }

    /// The lease was renewed by a statement that was sent at `start`.
    pub(super) fn renewed(&self, start: Instant) {
        self.state().renewed_at = start;
    }

    /// The lease was lost and whatever was held with it; there is another one since `start`.
    pub(super) fn replaced(&self, replica: i64, start: Instant) {
        let mut state = self.state();
        state.replica = replica;
        state.renewed_at = start;
        state.unreadable.clear();
        for held in state.batches.values_mut() {
            held.may_send = false;
        }
    }

    /// A batch is about to be written; as whose.
    pub(super) fn hold(&self, batch: BatchId) -> i64 {
        let mut state = self.state();
        let owner = state.replica;
        state.batches.insert(batch, Held { owner, may_send: true });
        owner
    }

    /// Those of `claimed` that are not worked on here: one that was accepted while the claim was on its way looks like
    /// one of ours that nobody knows of.
    pub(super) fn not_held(&self, claimed: Vec<BatchId>) -> Vec<BatchId> {
        let state = self.state();
        let is_held = |batch: &BatchId| state.batches.get(batch).is_some_and(|held| held.may_send);
        claimed.into_iter().filter(|batch| !is_held(batch)).collect()
    }

    /// Batches were taken over as `owner`.
    pub(super) fn hold_all(&self, batches: impl Iterator<Item = BatchId>, owner: i64) {
        let mut state = self.state();
        let may_send = state.replica == owner;
        state.batches.extend(batches.map(|batch| (batch, Held { owner, may_send })));
    }

    /// A batch cannot be read; it is not asked for again.
    pub(super) fn set_aside(&self, batch: BatchId) {
        self.state().unreadable.insert(batch);
    }

    /// Nothing more happens to a batch here.
    pub(super) fn forget(&self, batch: BatchId) {
        self.state().batches.remove(&batch);
    }

    /// No further call of a batch may start here.
    pub(super) fn stop(&self, batch: BatchId) {
        if let Some(held) = self.state().batches.get_mut(&batch) {
            held.may_send = false;
        }
    }

    /// As whom a call of a batch may begin, and the number of its beginning; `None` = it may not.
    pub(super) fn begin(&self, batch: BatchId) -> Option<(i64, i64)> {
        let mut state = self.state();
        let held = state.batches.get(&batch).copied().filter(|held| held.may_send)?;
        state.begun += 1;
        // Grows from one replica to the next as well: their numbers do.
        Some((held.owner, held.owner.wrapping_shl(32).wrapping_add(state.begun)))
    }

    /// The number of the latest beginning.
    pub(super) fn last_begun(&self, batch: BatchId) -> i64 {
        let state = self.state();
        let owner = state.batches.get(&batch).map_or(state.replica, |held| held.owner);
        owner.wrapping_shl(32).wrapping_add(state.begun)
    }

    /// As whom what became of a batch is written.
    pub(super) fn owner(&self, batch: BatchId) -> i64 {
        let state = self.state();
        state.batches.get(&batch).map_or(state.replica, |held| held.owner)
    }

    /// Whether a call of a batch may be written now; whoever is told that it may not, is told so from then on.
    pub(super) fn holds(&self, batch: BatchId, now: Instant) -> bool {
        let mut state = self.state();
        let is_good = now.saturating_duration_since(state.renewed_at) < GOOD_FOR;
        let Some(held) = state.batches.get_mut(&batch) else { return false };
        held.may_send &= is_good;
        held.may_send
    }

    /// The batches that must not be taken over, since they are worked on or cannot be; `except` = those that whoever
    /// asks knows about.
    pub(super) fn known(&self, except: &[BatchId]) -> Vec<String> {
        let mut state = self.state();
        let except: HashSet<BatchId> = except.iter().copied().collect();
        // Whoever left a batch has let go of it for good once he no longer names it.
        state.batches.retain(|batch, held| held.may_send || except.contains(batch));
        let known = state.batches.iter().filter(|(_, held)| held.may_send).map(|(batch, _)| batch);
        let known: HashSet<&BatchId> = known.chain(&except).chain(&state.unreadable).collect();
        known.into_iter().map(ToString::to_string).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u64) -> BatchId {
        BatchId::new(number, 0)
    }

    #[test]
    fn nothing_is_held_ten_seconds_after_the_start_of_the_last_renewal() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let holding = Holding::new(1, start);
        for number in 1..=3 {
            holding.hold(batch(number));
        }
        assert!(holding.holds(batch(1), at(9)));
        assert!(!holding.holds(batch(9), at(0)), "never heard of");
        assert!(!holding.holds(batch(1), at(10)));
        // A renewal in time keeps what nobody was told to leave.
        holding.renewed(at(12));
        assert!(!holding.holds(batch(1), at(12)), "was told to leave it");
        assert!(holding.begin(batch(1)).is_none());
        assert!(holding.holds(batch(2), at(21)));
        holding.replaced(2, at(22));
        assert!(!holding.holds(batch(2), at(22)), "somebody else may have taken it");
        assert_eq!(holding.owner(batch(2)), 1, "what was begun is settled as whoever began it");
        holding.hold(batch(4));
        assert!(holding.holds(batch(4), at(22)));
    }

    #[test]
    fn what_was_left_can_be_taken_again_once_nobody_names_it() {
        let start = Instant::now();
        let holding = Holding::new(1, start);
        holding.hold(batch(1));
        holding.stop(batch(1));
        assert_eq!(holding.known(&[batch(1)]), [batch(1).to_string()]);
        assert_eq!(holding.known(&[]), [""; 0]);
        holding.hold_all([batch(1), batch(2)].into_iter(), 1);
        assert!(holding.holds(batch(1), start));
        holding.hold_all([batch(3)].into_iter(), 0);
        assert!(!holding.holds(batch(3), start), "taken as a replica that is no more");
    }

    #[test]
    fn later_beginnings_have_higher_numbers() {
        let holding = Holding::new(1, Instant::now());
        holding.hold(batch(1));
        let (_, first) = holding.begin(batch(1)).unwrap();
        assert_eq!(holding.last_begun(batch(1)), first);
        let (_, second) = holding.begin(batch(1)).unwrap();
        holding.replaced(2, Instant::now());
        holding.hold(batch(1));
        let (owner, third) = holding.begin(batch(1)).unwrap();
        assert!(first < second && second < third);
        assert_eq!(owner, 2);
    }
}
