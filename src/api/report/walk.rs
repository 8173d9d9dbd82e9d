//! Goes through the results of a batch, over all routes, from any index.

use crate::domain::outcome::Outcome;
use crate::domain::recipients::{narrow, widen};
use crate::domain::report::{Report, ResultLine, RouteReport};

/// One result and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Index over all routes, in order.
    pub index: usize,
    /// Which route.
    pub route_index: usize,
    /// The route.
    pub route: &'a RouteReport,
    /// The result.
    pub line: ResultLine<'a>,
}

impl<'a> Row<'a> {
    /// What became of the recipient; `None` = not decided yet.
    #[must_use]
    pub fn outcome(&self) -> Option<&'a Outcome> {
        self.line.decided.map(|decided| decided.outcome)
    }
}

/// All results from `start` on, in order.
pub fn rows(report: &Report, start: usize) -> impl Iterator<Item = Row<'_>> + '_ {
    let mut first = 0;
    report.routes.iter().enumerate().flat_map(move |(route_index, route)| {
        let base = first;
        first += route.recipients.len();
        let skipped = narrow(start.saturating_sub(base).min(route.recipients.len()));
        route.lines_from(skipped).map(move |line| Row {
            index: base + widen(line.position),
            route_index,
            route,
            line,
        })
    })
}

/// Which results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusFilter {
    bits: u8,
}

/// The statuses of results, each at its bit.
pub const STATUSES: [&str; 4] = ["accepted", "failed", "unknown", "pending"];

impl StatusFilter {
    /// Every result.
    pub const ALL: Self = Self { bits: 0b1111 };

    /// Reads statuses separated by commas.
    ///
    /// # Errors
    /// The word that is no status.
    pub fn parse(text: &str) -> Result<Self, &str> {
        let mut bits = 0;
        for word in text.split(',') {
            let place = STATUSES.iter().position(|status| *status == word).ok_or(word)?;
            bits |= 1 << place;
        }
        Ok(Self { bits })
    }

    /// The same as a small number: equal filters have equal numbers.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether a result of this outcome is wanted; `None` = not decided yet.
    #[must_use]
    pub const fn takes(self, outcome: Option<&Outcome>) -> bool {
        let place = match outcome {
            Some(Outcome::Accepted(_)) => 0,
            Some(Outcome::Failed(_)) => 1,
            Some(Outcome::Unknown(_)) => 2,
            None => 3,
        };
        self.bits & (1 << place) != 0
    }
}
