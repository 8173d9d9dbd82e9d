//! D6: `unknown` is no excuse. Only calls that were out at a kill may stay undecided.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::figures::Figures;
use crate::ledger::Entry;
use crate::verdict::books::{Books, Family, Final};
use crate::witness::{MOST_IN_FLIGHT, per_call};

/// Calls that were left undecided.
#[derive(Default)]
struct Open {
    /// Those that arrived: by life and channel, how many.
    arrived: BTreeMap<(usize, usize), usize>,
    /// Those that did not, by channel: they were written down, and killed before the provider had all of them.
    unsent: BTreeMap<usize, usize>,
}

pub(super) fn only_what_was_out(books: &Books, figures: &mut Figures) -> Vec<String> {
    let (mut open, mut broken) = (Open::default(), Vec::new());
    for family in books.families().values() {
        for found in &family.finals {
            count(family, found, &mut open, &mut broken);
        }
    }
    for ((life, channel), count) in &open.arrived {
        let most = if *life > books.kills { 0 } else { MOST_IN_FLIGHT };
        if *count > most {
            broken.push(format!(
                "D6: {count} calls of channel {channel} undecided in life {life}, at most {most} were out"
            ));
        }
    }
    for channel in 0..books.calls.len() {
        let arrived = open.arrived.iter().filter(|((_, of), _)| *of == channel).map(|(_, count)| count);
        let all = arrived.sum::<usize>() + open.unsent.get(&channel).copied().unwrap_or_default();
        if all > books.kills * MOST_IN_FLIGHT {
            broken
                .push(format!("D6: {all} calls of channel {channel} undecided after {} kills", books.kills));
        }
    }
    figures.open_calls = open.arrived.values().sum();
    figures.unsent_calls = open.unsent.values().sum();
    broken
}

fn count(family: &Family<'_>, found: &Final, open: &mut Open, broken: &mut Vec<String>) {
    let is_unknown = |result: &Value| result["status"] == "unknown";
    // A call is told by where its entry lies.
    let mut arrived = BTreeSet::new();
    let mut unsent: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, result) in found.results.iter().enumerate().filter(|(_, result)| is_unknown(result)) {
        let recipient = result["recipient"].as_str().unwrap_or_default();
        let hint = result["error"]["hint"].as_str().unwrap_or_default();
        if result["error"]["code"] != "internal" || !hint.contains("process ended") {
            broken.push(format!("D6: {} unknown without a kill: {result}", found.id));
        }
        match family.last_call(recipient) {
            Some((channel, life, entry)) if is_call_of(entry, found) => {
                if arrived.insert(std::ptr::from_ref(entry)) {
                    *open.arrived.entry((life, channel)).or_default() += 1;
                    whole_or_not_at_all(entry, found, broken);
                }
            }
            _ => {
                let channel =
                    family.to.iter().find(|(_, asked)| asked == recipient).map(|(channel, _)| *channel);
                unsent.entry(channel.unwrap_or_default()).or_default().push(index);
            }
        }
    }
    for (channel, indexes) in unsent {
        *open.unsent.entry(channel).or_default() += fewest_calls(&indexes, per_call(channel));
    }
}

/// Whether it is a call of this batch that took somebody, and not one of the batch that it sends again: whoever that
/// one took is not in this one.
fn is_call_of(entry: &Entry, found: &Final) -> bool {
    entry.is_taken.contains(&true)
        && entry.recipients.iter().all(|recipient| result_of(found, recipient).is_some())
}

/// A call whose answer was lost is undecided for everybody in it.
fn whole_or_not_at_all(entry: &Entry, found: &Final, broken: &mut Vec<String>) {
    let results = entry.recipients.iter().filter_map(|recipient| result_of(found, recipient));
    let statuses: Vec<&str> = results.filter_map(|result| result["status"].as_str()).collect();
    if statuses.iter().any(|status| *status != "unknown") {
        broken.push(format!("D6: a call of {} is half decided: {statuses:?}", found.id));
    }
}

fn result_of<'a>(found: &'a Final, recipient: &str) -> Option<&'a Value> {
    found.results.iter().find(|result| result["recipient"] == recipient)
}

/// The fewest calls that can hold these places of a request.
fn fewest_calls(indexes: &[usize], per_call: usize) -> usize {
    let (mut calls, mut end) = (0, 0);
    for index in indexes {
        if *index >= end {
            calls += 1;
            end = index + per_call;
        }
    }
    calls
}
