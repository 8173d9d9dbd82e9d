//! D6: `unknown` is no excuse. Only calls may stay undecided that a gateway had out when it was killed, or when it was
//! without its database for so long that others took its batches over.

use std::collections::{BTreeMap, BTreeSet};

use crate::figures::Figures;
use crate::ledger::Entry;
use crate::told::{Status, Told};
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
        let most = books.fates[*life].breaks() * MOST_IN_FLIGHT;
        if *count > most {
            broken.push(format!(
                "D6: {count} calls of channel {channel} undecided in life {life}, at most {most} were out"
            ));
        }
    }
    let breaks: usize = books.fates.iter().map(|fate| fate.breaks()).sum();
    for channel in 0..books.calls.len() {
        let arrived = open.arrived.iter().filter(|((_, of), _)| *of == channel).map(|(_, count)| count);
        let all = arrived.sum::<usize>() + open.unsent.get(&channel).copied().unwrap_or_default();
        if all > breaks * MOST_IN_FLIGHT {
            broken.push(format!("D6: {all} calls of channel {channel} undecided after {breaks} ends"));
        }
    }
    figures.open_calls = open.arrived.values().sum();
    figures.unsent_calls = open.unsent.values().sum();
    broken
}

fn count(family: &Family<'_>, found: &Final, open: &mut Open, broken: &mut Vec<String>) {
    let is_unknown = |told: &Told| told.status == Status::Unknown;
    // A call is told by where its entry lies.
    let mut arrived = BTreeSet::new();
    let mut unsent: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, told) in found.results.iter().enumerate().filter(|(_, told)| is_unknown(told)) {
        let recipient = &*told.recipient;
        if let Some(doubt) = &told.doubt {
            broken.push(format!("D6: {} unknown without a kill: {doubt}", found.id));
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
    let statuses: Vec<Status> = results.map(|told| told.status).collect();
    if statuses.iter().any(|status| *status != Status::Unknown) {
        broken.push(format!("D6: a call of {} is half decided: {statuses:?}", found.id));
    }
}

fn result_of<'a>(found: &'a Final, recipient: &str) -> Option<&'a Told> {
    found.results.iter().find(|told| told.recipient == recipient)
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
