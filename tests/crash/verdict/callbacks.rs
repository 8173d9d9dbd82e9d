//! D13: every end that somebody wanted to hear of was told at least once, and always in the same words.

use std::collections::{HashMap, HashSet};

use crate::receiver::Event;
use crate::verdict::books::{Books, Final};

pub(super) fn every_end_is_told(books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    let wanted: HashSet<&str> =
        books.lines.iter().filter(|line| line.has_callback).map(|line| &*line.marker).collect();
    let mut tries: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &books.events {
        tries.entry(&event.batch).or_default().push(event);
    }
    for found in &books.finals {
        let is_wanted = found.resend_of.is_none() && wanted.contains(&*found.marker);
        let tries = tries.remove(&*found.id).unwrap_or_default();
        if is_wanted && !tries.iter().any(|event| event.is_taken) {
            broken.push(format!("D13: {} ended and nobody was told, in {} tries", found.id, tries.len()));
        }
        if !is_wanted && !tries.is_empty() {
            broken.push(format!("D13: nobody wanted to hear of {}", found.id));
        }
        broken.extend(tries.iter().filter_map(|event| wrong(event, tries[0], found)));
    }
    broken.extend(tries.keys().map(|batch| format!("D13: told of {batch}, which nobody knows")));
    broken
}

/// What is wrong with a try; `first` is the batch's first one.
fn wrong(event: &Event, first: &Event, found: &Final) -> Option<String> {
    let what = if event.id != found.id.replace("bat_", "evt_") {
        "has another name"
    } else if !event.is_genuine {
        "is not signed as it should be"
    } else if event.body != first.body {
        "says something else than the one before"
    } else if event.counts != found.counts {
        "says something else than the report"
    } else {
        return None;
    };
    Some(format!("D13: {} of {} {what}", event.id, found.id))
}
