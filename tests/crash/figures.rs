//! What a run came to, for people.

use std::fmt;
use std::time::Duration;

use crate::client::Heard;
use crate::faults::Fault;
use crate::record::What;
use crate::told::Status;
use crate::verdict::books::Books;

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    faults: Vec<Fault>,
    /// Leases that a gateway lost which lived on.
    lost_leases: usize,
    requests: usize,
    lost_answers: usize,
    /// Requests of a key that had been asked with before.
    repeats: usize,
    resends: usize,
    cancels: usize,
    /// Batches that an answer promised to keep.
    promised: usize,
    batches: usize,
    recipients: usize,
    calls: usize,
    unknown: usize,
    /// Events that were taken, and tries of all.
    told: (usize, usize),
    /// From the last fault and the last request to the last end.
    last_end: Duration,
    /// Undecided calls that arrived.
    pub(crate) open_calls: usize,
    /// Undecided calls that did not arrive whole.
    pub(crate) unsent_calls: usize,
    pub(crate) duplicates: usize,
    pub(crate) lost: usize,
}

impl Figures {
    pub(crate) fn count(books: &Books) -> Self {
        let lines = &books.lines;
        let tries = || lines.iter().flat_map(|line| &line.tries);
        let answered = |is_it: fn(&What) -> bool| {
            lines.iter().filter(|line| is_it(&line.what) && line.heard().any(Heard::is_success)).count()
        };
        let results = || books.finals.iter().flat_map(|found| &found.results);
        let taken = books.events.iter().filter(|event| event.is_taken).count();
        let last_end = books.finals.iter().filter_map(|found| found.completed_at).max();
        Self {
            faults: books.faults.clone(),
            lost_leases: books.fates.iter().map(|fate| fate.lost_leases).sum(),
            requests: tries().count(),
            lost_answers: tries().filter(|attempt| attempt.heard.is_none()).count(),
            repeats: lines
                .iter()
                .filter(|line| line.key.is_some())
                .map(|line| line.tries.len().saturating_sub(1))
                .sum(),
            resends: answered(|what| matches!(what, What::Resend)),
            cancels: answered(|what| matches!(what, What::Cancel { .. })),
            promised: lines.iter().filter(|line| line.is_promised()).count(),
            batches: books.finals.len(),
            recipients: results().count(),
            calls: books.calls.iter().map(Vec::len).sum(),
            unknown: results().filter(|told| told.status == Status::Unknown).count(),
            told: (taken, books.events.len()),
            last_end: last_end.and_then(|end| end.duration_since(books.calm_since).ok()).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Recipients that are undecided.
    pub(crate) const fn unknown(&self) -> usize {
        self.unknown
    }

    /// Batches that an answer promised to keep.
    pub(crate) const fn promised(&self) -> usize {
        self.promised
    }

    /// Events that their receiver has.
    pub(crate) const fn told(&self) -> usize {
        self.told.0
    }

    fn count_of(&self, kind: Fault) -> usize {
        self.faults.iter().filter(|fault| **fault == kind).count()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, lost_answers, repeats, resends, cancels, lost_leases, .. } = self;
        let Self { promised, batches, recipients, calls, unknown, open_calls, unsent_calls, .. } = self;
        let Self { duplicates, lost, told: (taken, tries), .. } = self;
        let [kills, database_kills, stops, cuts, severed] =
            [Fault::KillGateway, Fault::KillDatabase, Fault::StopDatabase, Fault::Cut, Fault::Sever]
                .map(|kind| self.count_of(kind));
        writeln!(formatter, "{kills} kills, {requests} requests, {lost_answers} answers lost")?;
        if database_kills + stops + cuts + severed > 0 {
            writeln!(
                formatter,
                "database: {database_kills} kills, {stops} immediate stops; gateways without it: {cuts} for a moment, \
                 {severed} for 20 s; {lost_leases} leases lost"
            )?;
        }
        writeln!(formatter, "{repeats} repeats of keys, {resends} resends, {cancels} cancels")?;
        writeln!(
            formatter,
            "{promised} batches promised, {batches} found, {recipients} recipients, {calls} calls"
        )?;
        writeln!(
            formatter,
            "{unknown} recipients unknown: {open_calls} calls out at an end, {unsent_calls} not yet written"
        )?;
        let seconds = self.last_end.as_secs_f64();
        writeln!(
            formatter,
            "{taken} ends told in {tries} tries; the last end {seconds:.1} s after the last fault"
        )?;
        write!(formatter, "{duplicates} duplicates, {lost} batches lost")
    }
}
