//! What became of recipients, packed: many recipients usually share one outcome.

use crate::domain::failure::Failure;
use crate::domain::json::JsonText;
use crate::domain::recipients::{narrow, widen};

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The provider took it; no batch API proves more.
    Accepted(Acceptance),
    /// Not served, and certainly not delivered.
    Failed(Box<Failure>),
    /// It may have been delivered; nobody can tell.
    Unknown(Box<Failure>),
}

impl Outcome {
    /// Failed for this reason.
    #[must_use]
    pub fn failed(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }

    /// Open for this reason; never retryable.
    #[must_use]
    pub fn unknown(failure: Failure) -> Self {
        Self::Unknown(Box::new(failure.with_retryable(false)))
    }
}

/// A provider's acceptance of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// What it rests on.
    pub evidence: Evidence,
    /// The provider's message id, if it gave one.
    pub message_id: Option<Box<str>>,
    /// What else the provider said of this recipient, under its own names: an object.
    pub provider_fields: Option<JsonText>,
}

/// What an acceptance rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The provider named this recipient.
    Explicit,
    /// The provider only failed to list it among the failed.
    Implied,
    /// The provider says that it never checks the id.
    Unverified,
}

impl Evidence {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Explicit, Self::Implied, Self::Unverified];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Implied => "implied",
            Self::Unverified => "unverified",
        }
    }
}

/// The outcomes of an ordered set of recipients: the distinct outcomes, and which one each recipient has.
///
/// A call of 500 that succeeds as a whole is one outcome and no list at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcomes {
    distinct: Vec<Outcome>,
    picks: Picks,
}

#[derive(Clone, Debug, PartialEq)]
enum Picks {
    /// All `count` recipients have the only outcome.
    Same(usize),
    /// One index into the distinct outcomes per recipient.
    Each(Vec<u32>),
}

impl Outcomes {
    /// `count` recipients that share one outcome.
    #[must_use]
    pub fn same(outcome: Outcome, count: usize) -> Self {
        Self { distinct: vec![outcome], picks: Picks::Same(count) }
    }

    /// One outcome per recipient, none shared.
    #[must_use]
    pub fn from_each(outcomes: Vec<Outcome>) -> Self {
        let picks = Picks::Each((0..narrow(outcomes.len())).collect());
        Self { distinct: outcomes, picks }
    }

    /// How many recipients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.picks {
            Picks::Same(count) => *count,
            Picks::Each(picks) => picks.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The different outcomes, in no particular order.
    #[must_use]
    pub fn distinct(&self) -> &[Outcome] {
        &self.distinct
    }

    /// Bytes that these take, roughly; texts of the provider are counted as 64 bytes an outcome.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let picks = match &self.picks {
            Picks::Same(_) => 0,
            Picks::Each(picks) => picks.len() * size_of::<u32>(),
        };
        picks + self.distinct.len() * (size_of::<Outcome>() + 64)
    }

    /// Which of [`Self::distinct`] the recipient at `offset` has.
    #[must_use]
    pub fn pick(&self, offset: usize) -> Option<usize> {
        match &self.picks {
            Picks::Same(count) => (offset < *count).then_some(0),
            Picks::Each(picks) => picks.get(offset).copied().map(widen),
        }
    }

    /// The outcome of the recipient at `offset`.
    #[must_use]
    pub fn get(&self, offset: usize) -> Option<&Outcome> {
        self.distinct.get(self.pick(offset)?)
    }

    /// All outcomes, in the recipients' order.
    pub fn iter(&self) -> impl Iterator<Item = &Outcome> + '_ {
        (0..self.len()).filter_map(|offset| self.get(offset))
    }

    /// How many recipients ended in each way.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { total: self.len(), ..Counts::default() };
        let mut count = |outcome: &Outcome, times: usize| match outcome {
            Outcome::Accepted(_) => counts.accepted += times,
            Outcome::Failed(_) => counts.failed += times,
            Outcome::Unknown(_) => counts.unknown += times,
        };
        match (&self.picks, self.distinct.first()) {
            (Picks::Same(times), Some(outcome)) => count(outcome, *times),
            (Picks::Same(_), None) => {}
            (Picks::Each(_), _) => self.iter().for_each(|outcome| count(outcome, 1)),
        }
        counts
    }
}

/// Builds [`Outcomes`] recipient by recipient.
///
/// Starts with one outcome for everybody and lets single recipients differ, which is how provider answers
/// read: a list of those that failed, or a list of those that were taken.
#[derive(Debug)]
pub struct OutcomesBuilder {
    distinct: Vec<Outcome>,
    picks: Vec<u32>,
}

impl OutcomesBuilder {
    /// `count` recipients, all with `rest` until told otherwise.
    #[must_use]
    pub fn new(rest: Outcome, count: usize) -> Self {
        Self { distinct: vec![rest], picks: vec![0; count] }
    }

    /// Adds an outcome that [`Self::assign`] can give to several recipients.
    pub fn add(&mut self, outcome: Outcome) -> u32 {
        let pick = narrow(self.distinct.len());
        self.distinct.push(outcome);
        pick
    }

    /// Gives the recipient at `offset` an outcome made by [`Self::add`]; beyond the end nothing happens.
    pub fn assign(&mut self, offset: usize, pick: u32) {
        if let Some(slot) = self.picks.get_mut(offset) {
            *slot = pick;
        }
    }

    /// Gives the recipient at `offset` an outcome of its own.
    pub fn set(&mut self, offset: usize, outcome: Outcome) {
        let pick = self.add(outcome);
        self.assign(offset, pick);
    }

    /// Whether the recipient at `offset` still has the outcome of the rest.
    #[must_use]
    pub fn is_rest(&self, offset: usize) -> bool {
        self.picks.get(offset) == Some(&0)
    }

    /// The outcome that the recipient at `offset` has so far.
    #[must_use]
    pub fn get(&self, offset: usize) -> Option<&Outcome> {
        self.distinct.get(widen(*self.picks.get(offset)?))
    }

    /// Ends the building.
    #[must_use]
    pub fn build(self) -> Outcomes {
        Outcomes { distinct: self.distinct, picks: Picks::Each(self.picks) }
    }
}

/// How many recipients ended in each way; the parts add up to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All recipients.
    pub total: usize,
    /// Taken by the provider.
    pub accepted: usize,
    /// Certainly not delivered.
    pub failed: usize,
    /// May have been delivered.
    pub unknown: usize,
    /// Not decided yet.
    pub pending: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.pending += other.pending;
    }
}
