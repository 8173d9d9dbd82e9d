//! Circuits and repeats as the ledger shows them: told from the calls alone, by a model of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ledger::{Marker, Sent};
use crate::scenario::{Break, Fate, Refusal};

/// How many calls in a row open a circuit, how long at least, and the longest such pause.
const RUN: u32 = 5;
const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_CAP: Duration = Duration::from_secs(300);
/// Calls within ten seconds from which on their share of failures counts as well.
const CROWD: usize = 20;
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// What a call says about its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Answered,
    Silent,
    Nothing,
}

fn signal(fate: Fate) -> Signal {
    match fate {
        Fate::Broken { how: Break::Panic, .. } => Signal::Nothing,
        // Our own miscount: the provider answered.
        Fate::Broken { how: Break::WrongLength, .. } | Fate::Refused(_) | Fate::Served { .. } => {
            Signal::Answered
        }
        Fate::NoConnection | Fate::Broken { .. } => Signal::Silent,
    }
}

enum State {
    Closed {
        run: u32,
    },
    /// Nothing may start before `until`, and then one call.
    Open {
        since: Duration,
        until: Duration,
        pause: Duration,
    },
    Probing {
        call: usize,
        pause: Duration,
    },
}

/// What the channel's calls did although its circuit was open.
pub(crate) fn broken(channel: usize, sent: &[&Sent]) -> Option<String> {
    let mut ends: Vec<(Duration, usize)> =
        sent.iter().enumerate().filter_map(|(index, sent)| Some((sent.ended?, index))).collect();
    ends.sort_unstable();
    let mut state = State::Closed { run: 0 };
    let mut next_start = 0;
    let mut last_silent = None;
    for (position, &(ended, index)) in ends.iter().enumerate() {
        while let Some(started) = sent.get(next_start).filter(|sent| sent.at < ended) {
            if let Some(at) = start(&mut state, started.at, next_start) {
                return Some(format!("c{channel}: a call at {at:?} although the circuit was open"));
            }
            next_start += 1;
        }
        let told = signal(sent[index].fate);
        let (before, rest) = ends.split_at(position);
        let is_same_instant = |(at, _): &&(Duration, usize)| *at == ended;
        let mut same_instant =
            before.iter().rev().take_while(is_same_instant).chain(rest.iter().take_while(is_same_instant));
        let is_unclear = same_instant.any(|(_, other)| signal(sent[*other].fate) != told);
        if told == Signal::Silent {
            last_silent = Some(ended);
        }
        let has_silence = last_silent.is_some_and(|at| at + TEN_SECONDS >= ended);
        if is_unclear || has_silence && is_crowd(&ends[..=position], sent) {
            // In which order they came, or what their share was, cannot be told from here.
            return None;
        }
        end(&mut state, ended, index, told);
    }
    None
}

/// The time of a start that must not be.
fn start(state: &mut State, at: Duration, index: usize) -> Option<Duration> {
    match *state {
        State::Closed { .. } => None,
        // At the very instant of the opening it may have been first.
        State::Open { since, .. } if at == since => None,
        State::Open { until, pause, .. } => {
            *state = State::Probing { call: index, pause };
            (at < until).then_some(at)
        }
        State::Probing { .. } => Some(at),
    }
}

fn end(state: &mut State, ended: Duration, index: usize, told: Signal) {
    let open = |pause: Duration| State::Open { since: ended, until: ended + pause.mul_f64(0.8), pause };
    match (&mut *state, told) {
        (State::Closed { run }, Signal::Silent) => {
            *run += 1;
            if *run == RUN {
                *state = open(PAUSE);
            }
        }
        (State::Closed { run }, Signal::Answered) => *run = 0,
        (State::Probing { call, pause }, _) if *call == index => {
            *state = match told {
                Signal::Silent => open((*pause * 2).min(PAUSE_CAP)),
                Signal::Answered => State::Closed { run: 0 },
                Signal::Nothing => State::Open { since: ended, until: ended, pause: *pause },
            };
        }
        (State::Closed { .. }, Signal::Nothing) | (State::Open { .. } | State::Probing { .. }, _) => {}
    }
}

/// Whether so many calls ended lately that their share of failures may have opened the circuit.
fn is_crowd(ends: &[(Duration, usize)], sent: &[&Sent]) -> bool {
    let now = ends.last().map(|(at, _)| *at).unwrap_or_default();
    let recent = || ends.iter().rev().take_while(|(at, _)| *at + TEN_SECONDS >= now);
    let silent = recent().filter(|(_, index)| signal(sent[*index].fate) == Signal::Silent);
    recent().count() >= CROWD && silent.count() >= CROWD / 2
}

/// Repeats beyond a fifth of the first tries and beyond three, within ten seconds.
pub(crate) fn overdone(channel: usize, sent: &[&Sent]) -> Option<String> {
    let mut known: BTreeSet<(Marker, &[String])> = BTreeSet::new();
    let (mut firsts, mut repeats) = (Vec::new(), Vec::new());
    for (index, call) in sent.iter().enumerate() {
        if known.insert((call.marker, &call.ids)) {
            firsts.push(call.at);
            continue;
        }
        let before = sent[..index]
            .iter()
            .rev()
            .find(|earlier| earlier.marker == call.marker && earlier.ids == call.ids)?;
        let is_free = matches!(
            before.fate,
            Fate::Refused(Refusal::Throttled(_) | Refusal::BareThrottled(_) | Refusal::OldToken)
        );
        if !is_free {
            // It was granted when the try before it ended.
            repeats.push(before.ended?);
        }
    }
    repeats.sort_unstable();
    repeats.iter().enumerate().find_map(|(position, granted)| {
        let is_recent = |at: &&Duration| at <= &granted && at.as_secs() + 10 > granted.as_secs();
        let first_count = firsts.iter().filter(is_recent).count();
        let repeat_count = repeats[..=position].iter().filter(is_recent).count();
        (repeat_count > 3 && repeat_count * 5 > first_count).then(|| {
            format!("c{channel}: {repeat_count} repeats for {first_count} first tries until {granted:?}")
        })
    })
}
