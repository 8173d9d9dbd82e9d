//! What must hold in every world: the reports against the ledger, never against the gateway's own word.

mod repeats;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imcast::adapter::MessageCost;
use imcast::domain::batch::OnInvalid;
use imcast::domain::failure::FailureKind;
use imcast::domain::outcome::Outcome;
use imcast::domain::report::{Report, RouteReport};

use crate::adapter::TIMEOUT;
use crate::circuit;
use crate::invariants::repeats::{ends_route, refuse_repeat};
use crate::invariants::verdicts::{Told, doubt, refute};
use crate::ledger::{Marker, Sent};
use crate::provider::members;
use crate::scenario::{BatchSpec, ChannelSpec, Fate, Refusal, RouteSpec, Scenario};
use crate::world::{Ended, Played};

/// Checks everything; one line per broken promise.
pub(crate) fn broken(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut check = Check { scenario, played, calls: BTreeMap::new(), found: Vec::new() };
    for sent in &played.book.sent {
        check.calls.entry(sent.marker).or_default().push(sent);
    }
    check.ends();
    check.channels();
    for (number, (spec, ended)) in scenario.batches.iter().zip(&played.ended).enumerate() {
        check.batch(number, spec, ended);
    }
    check.found
}

struct Check<'a> {
    scenario: &'a Scenario,
    played: &'a Played,
    /// Calls by route, in order of time.
    calls: BTreeMap<Marker, Vec<&'a Sent>>,
    found: Vec<String>,
}

/// One route with everything that is known about it.
struct Seen<'a> {
    marker: Marker,
    batch: &'a BatchSpec,
    spec: &'a RouteSpec,
    channel: &'a ChannelSpec,
    report: &'a RouteReport,
    calls: Vec<&'a Sent>,
}

impl<'a> Check<'a> {
    fn demand(&mut self, holds: bool, promise: impl FnOnce() -> String) {
        if !holds {
            self.found.push(promise());
        }
    }

    fn ends(&mut self) {
        self.demand(self.played.is_over, || "something never ended".to_owned());
        let count = self.played.running_count;
        self.demand(count == 0, || format!("{count} batches are still held"));
        let held = self.played.held_routes;
        self.demand(held == 0, || format!("{held} routes still have their place in a backlog"));
        let held = self.played.held_turns;
        self.demand(held == 0, || format!("{held} places among the calls in flight were not given back"));
        let open = self.played.book.sent.iter().filter(|sent| sent.ended.is_none()).count();
        self.demand(open == 0, || format!("{open} calls never ended"));
    }

    fn channels(&mut self) {
        for (index, spec) in self.scenario.channels.iter().enumerate() {
            let most = self.played.book.most_out[index];
            self.demand(most <= spec.max_in_flight, || format!("c{index}: {most} calls out at once"));
            let sent: Vec<_> = self.played.book.sent.iter().filter(|sent| sent.channel == index).collect();
            self.budgets(index, spec, &sent);
            self.pauses(index, &sent);
            self.tokens(index);
            self.found.extend(circuit::broken(index, &sent));
            self.found.extend(circuit::overdone(index, &sent));
        }
    }

    fn budgets(&mut self, index: usize, spec: &ChannelSpec, sent: &[&Sent]) {
        let second = Duration::from_secs(1);
        if let Some(limit) = spec.calls_per_second {
            let most = most_within(second, sent.iter().map(|sent| (sent.at, 1)));
            self.demand(most <= limit, || format!("c{index}: {most} calls in a second, limit {limit}"));
        }
        if let Some(limit) = spec.messages_per_second {
            let most = most_within(second, sent.iter().map(|sent| (sent.at, messages(spec, sent))));
            self.demand(most <= limit, || format!("c{index}: {most} messages in a second, limit {limit}"));
        }
    }

    /// After a refusal for the rate nothing goes out until the time that the provider named.
    fn pauses(&mut self, index: usize, sent: &[&Sent]) {
        for throttled in sent {
            let (Some(from), Some(seconds)) = (throttled.ended, pause_asked(throttled.fate)) else {
                continue;
            };
            let to = from + Duration::from_secs(seconds);
            let early = sent.iter().find(|sent| from < sent.at && sent.at < to);
            self.demand(early.is_none(), || {
                let at = early.map(|sent| sent.at).unwrap_or_default();
                format!("c{index}: a call at {at:?} although the provider asked for quiet {from:?} to {to:?}")
            });
        }
    }

    /// One token request at a time.
    fn tokens(&mut self, index: usize) {
        let of_channel = self.played.book.grants.iter().filter(|granted| granted.channel == index);
        let mut spans: Vec<_> = of_channel.map(|granted| (granted.at, granted.ended)).collect();
        spans.sort_unstable();
        let is_single = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        self.demand(is_single, || format!("c{index}: two token requests at once"));
    }

    fn batch(&mut self, number: usize, spec: &'a BatchSpec, ended: &'a Ended) {
        let expires = spec.at + spec.expires_after;
        let calls_of_batch = (0..spec.routes.len()).map(|route| Marker { batch: number, route });
        let call_count: usize =
            calls_of_batch.filter_map(|marker| self.calls.get(&marker)).map(Vec::len).sum();
        match ended {
            Ended::Stuck => self.found.push(format!("b{number} never ended")),
            Ended::Overloaded => {
                self.demand(call_count == 0, || format!("b{number} found no room and was sent"));
                let is_tight = self.scenario.channel_routes < self.scenario.route_count();
                self.demand(is_tight, || format!("b{number} found no room although there was"));
            }
            Ended::NotAsked => {
                self.demand(self.scenario.drain.is_some(), || format!("b{number} was refused"))
            }
            Ended::Refused => {
                self.demand(call_count == 0, || format!("b{number} was refused and sent"));
                let is_faulty = spec.on_invalid == OnInvalid::Reject
                    && spec.routes.iter().flat_map(|route| &route.to).any(|id| !is_sound(id));
                self.demand(is_faulty, || format!("b{number} was refused without a reason"));
            }
            Ended::Reported { looked, last, recorded, at } => {
                self.demand(*at <= expires + 2 * TIMEOUT, || format!("b{number} ended at {at:?} only"));
                self.whole(number, looked, last);
                let may_be_canceled = spec.cancel_after.is_some();
                self.demand(may_be_canceled || !last.canceled, || format!("b{number} was not canceled"));
                let is_kept =
                    recorded.as_ref().is_some_and(|kept| kept.is_over() && kept.counts() == last.counts());
                self.demand(is_kept, || format!("b{number} is not on record as it ended"));
                for (route_index, route) in spec.routes.iter().enumerate() {
                    let marker = Marker { batch: number, route: route_index };
                    self.route(&Seen {
                        marker,
                        batch: spec,
                        spec: route,
                        channel: &self.scenario.channels[route.channel],
                        report: &last.routes[route_index],
                        calls: self.calls.get(&marker).cloned().unwrap_or_default(),
                    });
                }
            }
        }
    }

    /// D7: counts add up, nothing is open at the end, and what was decided once stays.
    fn whole(&mut self, number: usize, looked: &Report, last: &Report) {
        for report in [looked, last] {
            let counts = report.counts();
            let sum = counts.accepted + counts.failed + counts.unknown + counts.pending;
            self.demand(sum == counts.total, || format!("b{number}: {counts:?} do not add up"));
        }
        let pending = last.counts().pending;
        self.demand(pending == 0 && last.is_over(), || format!("b{number}: {pending} open at the end"));
        for (early, late) in looked.routes.iter().zip(&last.routes) {
            if early.recipients.len() != late.recipients.len() {
                // Sent to everybody: the answer said who that is.
                continue;
            }
            let changed = early.lines().zip(late.lines()).any(|(early, late)| {
                early.decided.is_some_and(|early| {
                    late.decided
                        .is_none_or(|late| late.outcome != early.outcome || late.attempts != early.attempts)
                })
            });
            self.demand(!changed, || format!("b{number}: a decision changed"));
        }
    }

    fn route(&mut self, seen: &Seen<'_>) {
        let Seen { marker: Marker { batch, route }, spec, report, calls, .. } = seen;
        let name = format!("b{batch}.{route}");
        let groups = report.settled.iter().chain(&report.unsent);
        let decided: Vec<u32> = groups
            .flat_map(|settled| (0..settled.positions.len()).filter_map(|at| settled.positions.get(at)))
            .collect();
        let distinct: BTreeSet<_> = decided.iter().collect();
        let is_once = distinct.len() == decided.len() && decided.len() == report.recipients.len();
        self.demand(is_once, || format!("{name}: not everybody is decided exactly once"));
        let call_count = u32::try_from(calls.len()).unwrap();
        self.demand(report.calls == call_count, || {
            format!("{name}: {} calls reported, {call_count} made", report.calls)
        });
        self.calls_of_route(&name, seen);
        if spec.to.is_empty() {
            self.everybody(&name, seen);
        } else {
            let is_in_order = report.recipients.iter().eq(spec.to.iter().map(String::as_str));
            self.demand(is_in_order, || format!("{name}: other recipients than asked for"));
            self.named(&name, seen);
        }
    }

    /// Each try of each call: allowed by the one before, by the batch's time and by the gateway's.
    fn calls_of_route(&mut self, name: &str, seen: &Seen<'_>) {
        let expires = seen.batch.at + seen.batch.expires_after;
        let mut tries: BTreeMap<&[String], Vec<&Sent>> = BTreeMap::new();
        let mut ended: Option<Duration> = None;
        for sent in &seen.calls {
            let at = sent.at;
            self.demand(at <= expires, || format!("{name}: a call at {at:?}, after the batch's time"));
            if let Some(cancel) = seen.batch.cancel_after {
                let canceled = seen.batch.at + cancel;
                self.demand(at <= canceled, || format!("{name}: a call at {at:?}, after the cancel"));
            }
            if let Some(drain) = &self.scenario.drain {
                self.demand(at <= drain.at, || format!("{name}: a call at {at:?}, after the shutdown began"));
            }
            let is_paired = sent.ids.len() <= seen.channel.recipients_per_call;
            self.demand(is_paired, || format!("{name}: a call for {} recipients", sent.ids.len()));
            let earlier = tries.entry(&sent.ids).or_default();
            if let Some(last) = earlier.last() {
                let why = refuse_repeat(last, sent, earlier, seen);
                self.demand(why.is_none(), || {
                    format!("{name}: repeated at {at:?} {}", why.unwrap_or_default())
                });
            } else {
                let is_late = ended.is_some_and(|ended| ended < at);
                self.demand(!is_late, || format!("{name}: a new call at {at:?} on a route that was refused"));
            }
            earlier.push(sent);
            if ends_route(sent, earlier) {
                ended = ended.min(sent.ended).or(sent.ended);
            }
        }
        let retries = seen.calls.len() - tries.len();
        let reported = usize::try_from(seen.report.retries).unwrap();
        self.demand(reported == retries, || format!("{name}: {reported} repeats reported, {retries} made"));
    }

    fn everybody(&mut self, name: &str, seen: &Seen<'_>) {
        let listed = members(seen.marker);
        let accepted: BTreeSet<_> = seen.calls.iter().flat_map(|sent| &sent.accepted).cloned().collect();
        for (id, line) in seen.report.recipients.iter().zip(seen.report.lines()) {
            let holds = match line.decided.map(|decided| decided.outcome) {
                None => false,
                Some(Outcome::Accepted(_)) => accepted.contains(id),
                Some(Outcome::Failed(_)) if id == "*" => accepted.is_empty(),
                Some(Outcome::Failed(_)) => {
                    listed.iter().any(|member| member == id) && !accepted.contains(id)
                }
                Some(Outcome::Unknown(_)) => seen.calls.iter().any(|sent| is_broken(sent.fate)),
            };
            self.demand(holds, || format!("{name}: {id} is reported {line:?}, accepted were {accepted:?}"));
        }
    }

    fn named(&mut self, name: &str, seen: &Seen<'_>) {
        let mut known = BTreeSet::new();
        let mut by_id: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
        for sent in &seen.calls {
            for id in &sent.ids {
                by_id.entry(id).or_default().push(sent);
            }
        }
        for (id, line) in seen.spec.to.iter().zip(seen.report.lines()) {
            let Some(decided) = line.decided else { continue };
            let outcome = Told::of(decided.outcome);
            let verdict = if !known.insert(id) {
                (outcome != Told::Failed(FailureKind::DuplicateRecipient)).then(|| "is a repeat".to_owned())
            } else if is_sound(id) {
                let tries = by_id.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
                refute(id, outcome, decided.attempts, tries, seen.channel)
                    .or_else(|| doubt(outcome, self.scenario, seen))
            } else {
                (outcome != Told::Failed(FailureKind::InvalidRecipient)).then(|| "is no id".to_owned())
            };
            self.demand(verdict.is_none(), || {
                let position = line.position;
                format!(
                    "{name}: {position} ({id}) is reported {outcome:?}, but {}",
                    verdict.unwrap_or_default()
                )
            });
        }
        let strangers = by_id.keys().find(|id| !known.contains(&(**id).to_owned()) || !is_sound(id));
        self.demand(strangers.is_none(), || format!("{name}: {strangers:?} was sent to"));
    }
}

fn is_broken(fate: Fate) -> bool {
    matches!(fate, Fate::Broken { .. })
}

pub(crate) fn pause_asked(fate: Fate) -> Option<u64> {
    match fate {
        Fate::Refused(Refusal::Throttled(seconds) | Refusal::BareThrottled(seconds)) => seconds,
        Fate::NoConnection | Fate::Refused(_) | Fate::Broken { .. } | Fate::Served { .. } => None,
    }
}

pub(crate) fn messages(channel: &ChannelSpec, sent: &Sent) -> u32 {
    match channel.cost {
        MessageCost::PerRecipient => u32::try_from(sent.ids.len().max(1)).unwrap(),
        MessageCost::PerCall => 1,
    }
}

/// The most that any window of this length sees; events in order of time, each with its weight.
pub(crate) fn most_within(window: Duration, events: impl Iterator<Item = (Duration, u32)>) -> u32 {
    let events: Vec<_> = events.collect();
    let (mut first, mut inside, mut most) = (0, 0, 0);
    for (at, weight) in &events {
        inside += weight;
        while events[first].0 + window <= *at {
            inside -= events[first].1;
            first += 1;
        }
        most = most.max(inside);
    }
    most
}

fn is_sound(id: &str) -> bool {
    !id.is_empty() && !id.starts_with('!')
}
