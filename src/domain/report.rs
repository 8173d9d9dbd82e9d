//! All outcomes of a batch.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::domain::batch::Batch;
use crate::domain::failure::FailureKind;
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::outcome::{Counts, Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, narrow};

/// Most results that stand in an answer that reports; of a larger batch it only has the link.
pub const MOST_INLINE_RESULTS: usize = 1000;

/// A batch as it stands: final, or a snapshot while it runs.
#[derive(Clone, Debug)]
pub struct Report {
    /// The batch.
    pub batch: Arc<Batch>,
    /// When it ended; `None` while it runs.
    pub completed_at: Option<SystemTime>,
    /// Whether a cancel stopped at least one recipient.
    pub canceled: bool,
    /// One per route, in the batch's order.
    pub routes: Vec<RouteReport>,
    /// What was left out or looked odd.
    pub warnings: Vec<Warning>,
    /// Batches that sent some of these recipients again.
    pub resends: Vec<BatchId>,
    /// How long the rest will take at the channel's budgets; only while it runs.
    pub eta: Option<Eta>,
}

/// How long the rest of a batch will take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eta {
    /// Time until the last call can start.
    pub remaining: Duration,
    /// Which budget binds: the channel, and `calls` or `messages`; `None` when no budget does.
    pub bound_by: Option<(ChannelName, BudgetKind)>,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// Provider calls.
    Calls,
    /// Messages; what a call costs is the provider's rule.
    Messages,
}

impl BudgetKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Calls, Self::Messages];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Messages => "messages",
        }
    }
}

/// One route's part of a report.
#[derive(Clone, Debug)]
pub struct RouteReport {
    /// The channel.
    pub channel: ChannelName,
    /// Its provider's name.
    pub provider: &'static str,
    /// Whether the channel talks to the built-in sandbox.
    pub is_sandbox: bool,
    /// Who the recipients are, in the caller's order.
    pub recipients: Arc<RecipientList>,
    /// The room that directed messages went through.
    pub chatroom_id: Option<Arc<str>>,
    /// Decided recipients, ordered by their first position; those of a chunk never interleave with another
    /// chunk's, those that were never sent may lie between.
    pub settled: Vec<Settled>,
    /// Recipients that were decided without a call, e.g. repeats: at most one entry.
    pub unsent: Option<Settled>,
    /// Provider calls made, repeats included.
    pub calls: u32,
    /// Calls that were repeats.
    pub retries: u32,
    /// How long calls waited for a budget, all together.
    pub throttled: Duration,
    /// Request ids that the provider gave.
    pub provider_request_ids: Vec<Box<str>>,
}

/// The outcomes of the recipients at some positions.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Which recipients.
    pub positions: Positions,
    /// Same length and order as `positions`.
    pub outcomes: Outcomes,
    /// How often they were tried; 0 = never called.
    pub attempts: u32,
}

/// What the answer to a call said beside its outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The provider's id of the request, verbatim.
    pub request_id: Option<Box<str>>,
    /// What looked odd.
    pub warnings: Vec<Warning>,
    /// Whom a send-to-all reached, in place of the recipients that the route had; `None` = those stay.
    pub recipients: Option<Arc<RecipientList>>,
}

/// Something that a caller should know about an accepted request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable name of the cause.
    pub code: WarningCode,
    /// The channel that it concerns.
    pub channel: Option<ChannelName>,
    /// JSON pointer into the request; relative to the route while an adapter makes it.
    pub pointer: Option<String>,
    /// One sentence for a person.
    pub detail: String,
}

impl Warning {
    /// Adds it to those that are known, one per cause: what another call of the channel said already is not said again.
    pub fn add_to(self, known: &mut Vec<Self>) {
        if !known.iter().any(|known| known.code == self.code && known.channel == self.channel) {
            known.push(self);
        }
    }
}

/// Causes of warnings: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningCode {
    /// A descriptive hint that the provider has no field for was left out.
    FieldLeftOut,
    /// The answer spoke of somebody who was not asked for.
    UnexpectedRecipient,
    /// The answer contradicts itself.
    ContradictoryAnswer,
}

impl WarningCode {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::FieldLeftOut, Self::UnexpectedRecipient, Self::ContradictoryAnswer];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FieldLeftOut => "field_left_out",
            Self::UnexpectedRecipient => "unexpected_recipient",
            Self::ContradictoryAnswer => "contradictory_answer",
        }
    }
}

/// One line of a report.
#[derive(Clone, Copy, Debug)]
pub struct ResultLine<'a> {
    /// Position inside the route.
    pub position: u32,
    /// The decision; `None` = pending.
    pub decided: Option<Decided<'a>>,
}

/// The decision about one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// What became of it.
    pub outcome: &'a Outcome,
    /// Which of the settled group's distinct outcomes it is, and which group: equal pairs render alike.
    pub group: (usize, usize),
    /// How often it was tried.
    pub attempts: u32,
}

impl RouteReport {
    /// Every recipient exactly once, in the caller's order.
    pub fn lines(&self) -> impl Iterator<Item = ResultLine<'_>> + '_ {
        self.lines_from(0)
    }

    /// The same from the recipient at `start` on; what lies before is skipped without being looked at.
    pub fn lines_from(&self, start: u32) -> impl Iterator<Item = ResultLine<'_>> + '_ {
        let mut cursors = Cursors::at(self, start);
        (start..narrow(self.recipients.len()))
            .map(move |position| ResultLine { position, decided: cursors.decide(position) })
    }

    /// Records what became of some recipients, in their place.
    pub fn settle(&mut self, settled: Settled) {
        let first = settled.positions.get(0);
        let index = self.settled.partition_point(|known| known.positions.get(0) < first);
        self.settled.insert(index, settled);
    }

    /// Counts the calls that settled chunks tell of: a process that died had not come to writing their number.
    pub fn count_calls(&mut self) {
        let attempts = self.settled.iter().map(|settled| settled.attempts);
        let (calls, retries) = attempts.fold((0_u32, 0_u32), |(calls, retries), attempts| {
            (calls.saturating_add(attempts), retries.saturating_add(attempts.saturating_sub(1)))
        });
        self.calls = self.calls.max(calls);
        self.retries = self.retries.max(retries);
    }

    /// The positions that nobody decided, in runs of neighbours.
    #[must_use]
    pub fn open_runs(&self) -> Vec<Positions> {
        let mut runs: Vec<std::ops::Range<u32>> = Vec::new();
        for line in self.lines().filter(|line| line.decided.is_none()) {
            match runs.last_mut() {
                Some(run) if run.end == line.position => run.end += 1,
                _ => runs.push(line.position..line.position + 1),
            }
        }
        runs.into_iter().map(Positions::Range).collect()
    }

    /// How many recipients ended in each way.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for settled in self.settled.iter().chain(&self.unsent) {
            counts += settled.outcomes.counts();
        }
        counts.pending = self.recipients.len().saturating_sub(counts.total);
        counts.total = self.recipients.len();
        counts
    }
}

/// Walks the settled groups and the unsent recipients side by side.
///
/// Groups may lie within each other: what one process leaves open on both sides of a decided call, the next one may
/// decide at once.
struct Cursors<'a> {
    route: &'a RouteReport,
    /// The groups that have begun and not ended, and where each is; most of the time one.
    begun: Vec<(usize, usize)>,
    /// The first group that has not begun.
    next: usize,
    unsent_offset: usize,
}

impl<'a> Cursors<'a> {
    fn at(route: &'a RouteReport, start: u32) -> Self {
        let offset = |settled: &Settled| settled.positions.lower_bound(start);
        let next = route.settled.partition_point(|settled| settled.positions.get(0) < Some(start));
        let before = route.settled.iter().take(next).enumerate();
        let begun = before
            .map(|(group, settled)| (group, offset(settled), settled.positions.len()))
            .filter(|(_, offset, length)| offset < length)
            .map(|(group, offset, _)| (group, offset));
        Self { route, begun: begun.collect(), next, unsent_offset: route.unsent.as_ref().map_or(0, offset) }
    }

    fn decide(&mut self, position: u32) -> Option<Decided<'a>> {
        let route = self.route;
        if let Some(unsent) = &route.unsent
            && unsent.positions.get(self.unsent_offset) == Some(position)
        {
            let offset = self.unsent_offset;
            self.unsent_offset += 1;
            return decided(unsent, usize::MAX, offset);
        }
        while route.settled.get(self.next).is_some_and(|settled| settled.positions.get(0) <= Some(position)) {
            self.begun.push((self.next, 0));
            self.next += 1;
        }
        let is_here = |(group, offset): &(usize, usize)| {
            route.settled.get(*group).is_some_and(|settled| settled.positions.get(*offset) == Some(position))
        };
        let place = self.begun.iter().position(is_here)?;
        let (group, offset) = self.begun.get_mut(place)?;
        let settled = route.settled.get(*group)?;
        let found = decided(settled, *group, *offset);
        *offset += 1;
        if *offset == settled.positions.len() {
            self.begun.swap_remove(place);
        }
        found
    }
}

fn decided(settled: &Settled, group: usize, offset: usize) -> Option<Decided<'_>> {
    let pick = settled.outcomes.pick(offset)?;
    let outcome = settled.outcomes.distinct().get(pick)?;
    Some(Decided { outcome, group: (group, pick), attempts: settled.attempts })
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not over.
    Processing,
    /// It is over.
    Completed,
    /// It is over, and a cancel stopped at least one recipient.
    Canceled,
}

impl Status {
    /// Every status, in the order of the API document.
    pub const ALL: [Self; 3] = [Self::Processing, Self::Completed, Self::Canceled];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }

    /// Of a batch that has ended at `completed_at`.
    #[must_use]
    pub const fn of(completed_at: Option<SystemTime>, canceled: bool) -> Self {
        match (completed_at, canceled) {
            (None, _) => Self::Processing,
            (Some(_), false) => Self::Completed,
            (Some(_), true) => Self::Canceled,
        }
    }
}

impl Report {
    /// How far the batch is.
    #[must_use]
    pub const fn status(&self) -> Status {
        Status::of(self.completed_at, self.canceled)
    }

    /// How many recipients ended in each way, over all routes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for route in &self.routes {
            counts += route.counts();
        }
        counts
    }

    /// Whether a cancel decided about somebody.
    #[must_use]
    pub fn has_canceled(&self) -> bool {
        let decided = self.routes.iter().flat_map(|route| &route.settled);
        decided.flat_map(|settled| settled.outcomes.distinct()).any(
            |outcome| matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Canceled),
        )
    }

    /// Whether the batch is over.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.completed_at.is_some()
    }
}
