//! The books of one run, and what can be looked up in them.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::faults::Fault;
use crate::ledger::Entry;
use crate::lives::Fate;
use crate::receiver::Event;
use crate::record::{Line, Recipient, Try, What};
use crate::told::{Told, counted};

/// What all parties say.
pub(crate) struct Books {
    /// What the client wanted and heard.
    pub(crate) lines: Vec<Line>,
    /// What the gateway says in the end, of every batch that it knows.
    pub(crate) finals: Vec<Final>,
    /// What each provider was asked, and by which life.
    pub(crate) calls: Vec<Vec<(usize, Entry)>>,
    /// What the receiver was told.
    pub(crate) events: Vec<Event>,
    /// What befell each life, by its number.
    pub(crate) fates: Vec<Fate>,
    pub(crate) faults: Vec<Fault>,
    /// When nothing more befell anybody, and no caller began anything new.
    pub(crate) calm_since: SystemTime,
    /// What the gateways logged, and in which life: no evidence, but a help.
    pub(crate) log: Vec<(usize, String)>,
}

/// The last report of a batch.
pub(crate) struct Final {
    pub(crate) id: String,
    /// The text of its message.
    pub(crate) marker: String,
    pub(crate) resend_of: Option<String>,
    pub(crate) status: String,
    pub(crate) completed_at: Option<SystemTime>,
    /// Of all, accepted, failed, unknown, as the gateway counts.
    pub(crate) counts: [u64; 4],
    /// All of them, also those that do not stand in the report.
    pub(crate) results: Vec<Told>,
}

impl Final {
    pub(crate) fn new(report: &Value, results: Vec<Told>) -> Self {
        let text = |name: &str| report[name].as_str().map(str::to_owned);
        let time = text("completed_at").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Self {
            id: text("id").unwrap(),
            marker: text("client_ref").unwrap_or_default(),
            resend_of: text("resend_of"),
            status: text("status").unwrap_or_default(),
            completed_at: time.map(SystemTime::from),
            counts: counted(&report["counts"]),
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
    /// Every call, by its channel: the life that wrote it, and what it says.
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
    /// Everything that stands in the books about it, for people.
    pub(crate) fn tell(&self, log: &[(usize, String)]) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let Line { what, key, prefer, has_callback, .. } = line;
            let what = match what {
                What::Send { to } => format!("send to {}", to.len()),
                What::Resend | What::Cancel { .. } => format!("{what:?}"),
            };
            let heard = |attempt: &Try| (attempt.life, attempt.heard.as_ref().map(|heard| heard.status));
            let tries: Vec<_> = line.tries.iter().map(heard).collect();
            text += &format!("  asked: {what} {key:?} {prefer:?} callback {has_callback}: {tries:?}\n");
        }
        for (channel, life, Entry { recipients, is_taken, .. }) in &self.calls {
            let taken = is_taken.iter().filter(|is_taken| **is_taken).count();
            text += &format!("  call: channel {channel} life {life} {taken} taken of {recipients:?}\n");
        }
        for Final { id, resend_of, status, counts, .. } in &self.finals {
            text += &format!("  found: {id} {resend_of:?} {status} {counts:?}\n");
            for (life, line) in log.iter().filter(|(_, line)| line.contains(&**id)) {
                text += &format!("    life {life}: {line}\n");
            }
        }
        text
    }

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
    pub(crate) fn results(&self) -> Vec<&'a Vec<Told>> {
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
