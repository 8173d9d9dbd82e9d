//! The books of one run, and what can be looked up in them.

use std::collections::HashMap;

use serde_json::Value;

use crate::ledger::Entry;
use crate::record::{Line, Recipient, What};

/// What all parties say.
pub(crate) struct Books {
    /// What the client wanted and heard.
    pub(crate) lines: Vec<Line>,
    /// What the gateway says in the end, of every batch that it knows.
    pub(crate) finals: Vec<Final>,
    /// What each provider was asked, and in which life of the gateway.
    pub(crate) calls: Vec<Vec<(usize, Entry)>>,
    pub(crate) kills: usize,
}

/// The last report of a batch.
pub(crate) struct Final {
    pub(crate) id: String,
    /// The text of its message.
    pub(crate) marker: String,
    pub(crate) resend_of: Option<String>,
    pub(crate) report: Value,
    /// All of them, also those that do not stand in the report.
    pub(crate) results: Vec<Value>,
}

impl Final {
    pub(crate) fn new(report: Value, results: Vec<Value>) -> Self {
        let text = |name: &str| report[name].as_str().map(str::to_owned);
        Self {
            id: text("id").unwrap(),
            marker: text("client_ref").unwrap_or_default(),
            resend_of: text("resend_of"),
            report,
            results,
        }
    }
}

/// What the books say about one batch and everything that sent any of it again.
#[derive(Default)]
pub(crate) struct Family<'a> {
    /// Whom the client asked for, in order.
    pub(crate) to: &'a [Recipient],
    pub(crate) lines: Vec<&'a Line>,
    pub(crate) finals: Vec<&'a Final>,
    /// Every call, by its channel: the life in which it came, and what it says.
    pub(crate) calls: Vec<(usize, usize, &'a Entry)>,
}

impl Books {
    /// Everything that is about one message, by its text.
    pub(crate) fn families(&self) -> HashMap<&str, Family<'_>> {
        let mut families: HashMap<&str, Family<'_>> = HashMap::new();
        for line in &self.lines {
            let family = families.entry(&line.marker).or_default();
            family.lines.push(line);
            if let What::Send { to } = &line.what {
                family.to = to;
            }
        }
        for found in &self.finals {
            families.entry(&found.marker).or_default().finals.push(found);
        }
        for (channel, calls) in self.calls.iter().enumerate() {
            for (life, entry) in calls {
                families.entry(&entry.marker).or_default().calls.push((channel, *life, entry));
            }
        }
        families
    }
}

impl<'a> Family<'a> {
    pub(crate) fn find(&self, id: &str) -> Option<&'a Final> {
        self.finals.iter().find(|found| found.id == id).copied()
    }

    /// How often a recipient was taken.
    pub(crate) fn times_taken(&self, recipient: &str) -> usize {
        let is_taken = |entry: &Entry| {
            let place = entry.recipients.iter().position(|named| named == recipient);
            place.is_some_and(|place| entry.is_taken[place])
        };
        self.calls.iter().filter(|(_, _, entry)| is_taken(entry)).count()
    }

    /// The latest call that named a recipient.
    pub(crate) fn last_call(&self, recipient: &str) -> Option<(usize, usize, &'a Entry)> {
        let names = |entry: &Entry| entry.recipients.iter().any(|named| named == recipient);
        self.calls.iter().rev().find(|(_, _, entry)| names(entry)).copied()
    }

    /// The results of every batch of the family: of what was not kept as it stood in the answer.
    pub(crate) fn results(&self) -> Vec<&'a Vec<Value>> {
        let kept = self.finals.iter().map(|found| &found.results);
        let is_gone = |line: &&&Line| line.batch().is_some_and(|id| self.find(id).is_none());
        let answered = self
            .lines
            .iter()
            .filter(is_gone)
            .filter_map(|line| line.heard().find_map(|heard| heard.results()));
        kept.chain(answered).collect()
    }
}
