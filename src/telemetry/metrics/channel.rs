//! What is counted for each channel.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::failure::FailureKind;
use crate::domain::id::ChannelName;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::telemetry::metrics::labels::{ByChannel, ByOutcome, ByReason, ByResult, ByState, Counters, Word};
use crate::telemetry::metrics::words::{CallResult, CircuitState, RepeatReason, TokenResult};
use crate::telemetry::metrics::{level, number};

/// Upper bounds of the classes of call times, in seconds: from a provider next door to the longest timeouts.
const CALL_SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of the classes of waits for a budget, in seconds.
const WAIT_SECONDS: [f64; 8] = [0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

type Histograms = Family<ByChannel, Histogram, fn() -> Histogram>;

/// All channels' series; lives as long as the process.
#[derive(Debug)]
pub(super) struct ChannelFamilies {
    outcomes: Family<ByOutcome, Counter>,
    calls: Family<ByResult, Counter>,
    call_duration: Histograms,
    budget_wait: Histograms,
    repeats: Family<ByReason, Counter>,
    token_requests: Family<ByResult, Counter>,
    transitions: Family<ByState, Counter>,
    circuit: Family<ByState, Gauge>,
    in_flight: Family<ByChannel, Gauge>,
    max_in_flight: Family<ByChannel, Gauge>,
    routes: Family<ByChannel, Gauge>,
}

impl ChannelFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            outcomes: Family::default(),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            budget_wait: Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
            repeats: Family::default(),
            token_requests: Family::default(),
            transitions: Family::default(),
            circuit: Family::default(),
            in_flight: Family::default(),
            max_in_flight: Family::default(),
            routes: Family::default(),
        };
        registry.register("recipients", "Recipients decided", families.outcomes.clone());
        registry.register("calls", "Provider calls, repeats included", families.calls.clone());
        let seconds = Unit::Seconds;
        let (help, metric) = ("Time from a call to its answer", families.call_duration.clone());
        registry.register_with_unit("call_duration", help, seconds.clone(), metric);
        let (help, metric) = ("Waits of calls for a budget", families.budget_wait.clone());
        registry.register_with_unit("budget_wait", help, seconds, metric);
        registry.register(
            "repeats",
            "Calls sent again, or not although it may help",
            families.repeats.clone(),
        );
        registry.register("token_requests", "Requests for a token", families.token_requests.clone());
        registry.register("circuit_transitions", "Changes of the circuit", families.transitions.clone());
        registry.register("circuit_state", "1 for the state of the circuit", families.circuit.clone());
        registry.register("calls_in_flight", "Calls out now", families.in_flight.clone());
        let help = "Most calls at once";
        registry.register("calls_in_flight_limit", help, families.max_in_flight.clone());
        let help = "Routes of batches that are worked on or wait";
        registry.register("routes_in_progress", help, families.routes.clone());
        families
    }

    pub(super) fn channel(&self, name: &ChannelName) -> ChannelMetrics {
        let channel = name.clone();
        let by_channel = ByChannel { channel: channel.clone() };
        let by_result = |result| ByResult { channel: channel.clone(), result };
        let by_reason = |reason| ByReason { channel: channel.clone(), reason };
        let by_state = |state| ByState { channel: channel.clone(), state };
        let accepted = ByOutcome { channel: channel.clone(), status: "accepted", code: "none" };
        let states = CircuitState::ALL.iter();
        ChannelMetrics {
            accepted: self.outcomes.get_or_create_owned(&accepted),
            outcomes: self.outcomes.clone(),
            calls: Counters::new(&self.calls, by_result),
            call_duration: self.call_duration.get_or_create_owned(&by_channel),
            budget_wait: self.budget_wait.get_or_create_owned(&by_channel),
            repeats: Counters::new(&self.repeats, by_reason),
            token_requests: Counters::new(&self.token_requests, by_result),
            transitions: Counters::new(&self.transitions, by_state),
            circuit: states
                .map(|state| (*state, self.circuit.get_or_create_owned(&by_state(state.word()))))
                .collect(),
            in_flight: self.in_flight.get_or_create_owned(&by_channel),
            max_in_flight: self.max_in_flight.get_or_create_owned(&by_channel),
            routes: self.routes.get_or_create_owned(&by_channel),
            name: channel,
        }
    }
}

/// One channel's series, resolved once; belongs to the channel.
#[derive(Debug)]
pub struct ChannelMetrics {
    name: ChannelName,
    accepted: Counter,
    /// What is not accepted is rare and is looked up: most of these series never come to be.
    outcomes: Family<ByOutcome, Counter>,
    calls: Counters<CallResult>,
    call_duration: Histogram,
    budget_wait: Histogram,
    repeats: Counters<RepeatReason>,
    token_requests: Counters<TokenResult>,
    transitions: Counters<CircuitState>,
    circuit: Vec<(CircuitState, Gauge)>,
    in_flight: Gauge,
    max_in_flight: Gauge,
    routes: Gauge,
}

/// What a channel is doing at the moment of a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// Calls out now.
    pub in_flight: usize,
    /// Most calls at once.
    pub max_in_flight: usize,
    /// Routes of batches that it works on or keeps waiting.
    pub route_count: usize,
    /// Its circuit.
    pub circuit: CircuitState,
}

impl ChannelState {
    /// Of a channel that is no longer configured.
    pub const GONE: Self =
        Self { in_flight: 0, max_in_flight: 0, route_count: 0, circuit: CircuitState::Closed };
}

impl ChannelMetrics {
    /// Counts decided recipients, each once.
    pub fn count_outcomes(&self, outcomes: &Outcomes) {
        if let [only] = outcomes.distinct() {
            return self.count(Kind::of(only), outcomes.len());
        }
        let mut counts: Vec<(Kind, usize)> = Vec::new();
        for outcome in outcomes.iter() {
            let kind = Kind::of(outcome);
            match counts.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((kind, 1)),
            }
        }
        for (kind, count) in counts {
            self.count(kind, count);
        }
    }

    fn count(&self, kind: Kind, count: usize) {
        let (status, code) = match kind {
            Kind::Accepted => {
                self.accepted.inc_by(number(count));
                return;
            }
            Kind::Failed(failure) => ("failed", failure.as_str()),
            Kind::Unknown(failure) => ("unknown", failure.as_str()),
        };
        let labels = ByOutcome { channel: self.name.clone(), status, code };
        self.outcomes.get_or_create(&labels).inc_by(number(count));
    }

    /// Counts one call that went out.
    pub fn count_call(&self, result: CallResult, elapsed: Duration) {
        self.calls.count(result);
        self.call_duration.observe(elapsed.as_secs_f64());
    }

    /// Counts a wait for a budget.
    pub fn count_wait(&self, wait: Duration) {
        self.budget_wait.observe(wait.as_secs_f64());
    }

    /// Counts a repeat, or one that is not allowed.
    pub fn count_repeat(&self, reason: RepeatReason) {
        self.repeats.count(reason);
    }

    /// Counts a request for a token.
    pub fn count_token_request(&self, result: TokenResult) {
        self.token_requests.count(result);
    }

    /// Counts that the circuit came into this state.
    pub fn count_transition(&self, to: CircuitState) {
        self.transitions.count(to);
    }

    /// Shows what the channel is doing now.
    pub fn show(&self, state: ChannelState) {
        self.in_flight.set(level(state.in_flight));
        self.max_in_flight.set(level(state.max_in_flight));
        self.routes.set(level(state.route_count));
        for (known, gauge) in &self.circuit {
            gauge.set(i64::from(*known == state.circuit));
        }
    }
}

/// What tells two outcomes apart here.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Accepted,
    Failed(FailureKind),
    Unknown(FailureKind),
}

impl Kind {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted(_) => Self::Accepted,
            Outcome::Failed(failure) => Self::Failed(failure.kind),
            Outcome::Unknown(failure) => Self::Unknown(failure.kind),
        }
    }
}
