//! What a run came to, for people.

use std::fmt;

use crate::client::Heard;
use crate::record::What;
use crate::verdict::books::Books;

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    kills: usize,
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
        Self {
            kills: books.kills,
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
            unknown: results().filter(|result| result["status"] == "unknown").count(),
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
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, requests, lost_answers, repeats, resends, cancels, .. } = self;
        let Self { promised, batches, recipients, calls, unknown, open_calls, unsent_calls, .. } = self;
        let Self { duplicates, lost, .. } = self;
        writeln!(formatter, "{kills} kills, {requests} requests, {lost_answers} answers lost")?;
        writeln!(formatter, "{repeats} repeats of keys, {resends} resends, {cancels} cancels")?;
        writeln!(
            formatter,
            "{promised} batches promised, {batches} found, {recipients} recipients, {calls} calls"
        )?;
        writeln!(
            formatter,
            "{unknown} recipients unknown: {open_calls} calls out at a kill, {unsent_calls} not yet written"
        )?;
        write!(formatter, "{duplicates} duplicates, {lost} batches lost")
    }
}
