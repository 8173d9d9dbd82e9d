//! The circuit breaker of one channel: a provider that does not answer is left alone for a while.
//!
//! Pure: time and jitter come in. Only broken connections and answers that say nothing usable count; what a
//! provider refuses, it has answered.

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::settings::Settings;
use crate::dispatch::window::{Counts, Window};

/// Least calls within ten seconds before their share of failures says anything.
/// Source: the outlier detection of Envoy, whose figures these are in kind.
const LEAST_CALLS: u32 = 20;

/// Part of the pause by which it may be longer or shorter, so that channels do not probe in step.
const JITTER: f64 = 0.2;

/// When calls may go out.
#[derive(Clone, Debug)]
pub struct Circuit {
    state: State,
    recent: Window,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures_in_a_row: u32,
    },
    /// No call until then; `pause` is how long it was planned, before jitter.
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One call is out to see whether the provider is back.
    Probing {
        pause: Duration,
    },
}

/// What the circuit says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go.
    Pass,
    /// Go alone, with as few recipients as possible: what becomes of it decides for everybody.
    Probe,
    /// Do not go.
    Refused,
}

/// What a call says about its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It answered, whatever the answer.
    Answered,
    /// It could not be reached, or the answer was lost or unusable.
    Silent,
    /// Nothing: no call was made, or the fault was ours.
    Nothing,
}

/// A circuit for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitStatus {
    /// Calls go out.
    Closed,
    /// Calls fail at once; after `retry_in` one may try.
    Open {
        /// How long until then.
        retry_in: Duration,
    },
    /// One call may try, or is trying.
    HalfOpen,
}

impl CircuitStatus {
    /// Every status; how long an open circuit stays so is left open.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open { retry_in: Duration::ZERO }, Self::HalfOpen];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Circuit {
    /// A closed circuit.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { state: State::Closed { failures_in_a_row: 0 }, recent: Window::new(now) }
    }

    /// What [`Self::admit`] would say.
    #[must_use]
    pub fn admission(&self, now: Instant) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Pass,
            State::Open { until, .. } if now >= until => Admission::Probe,
            State::Open { .. } | State::Probing { .. } => Admission::Refused,
        }
    }

    /// Asks for a call that starts now. Whoever gets [`Admission::Probe`] owes a [`Self::record_probe`].
    pub fn admit(&mut self, now: Instant) -> Admission {
        let admission = self.admission(now);
        if let (Admission::Probe, State::Open { pause, .. }) = (admission, self.state) {
            self.state = State::Probing { pause };
        }
        admission
    }

    /// Records a try of a call that passed. While the circuit is not closed only its probe says anything.
    pub fn record(&mut self, now: Instant, signal: Signal, settings: &Settings, jitter: f64) {
        let State::Closed { failures_in_a_row } = &mut self.state else { return };
        match signal {
            Signal::Nothing => return,
            Signal::Answered => {
                *failures_in_a_row = 0;
                self.recent.add(now, Counts { all: 1, marked: 0 });
            }
            Signal::Silent => {
                *failures_in_a_row += 1;
                self.recent.add(now, Counts { all: 1, marked: 1 });
            }
        }
        let is_run = *failures_in_a_row >= settings.circuit_failures;
        let recent = self.recent.sum(now);
        if is_run || (recent.all >= LEAST_CALLS && recent.marked.saturating_mul(2) >= recent.all) {
            self.open(now, settings.circuit_pause, jitter);
        }
    }

    /// Records what became of the probe.
    pub fn record_probe(&mut self, now: Instant, signal: Signal, settings: &Settings, jitter: f64) {
        let State::Probing { pause } = self.state else { return };
        match signal {
            Signal::Answered => *self = Self::new(now),
            Signal::Silent => {
                self.open(now, pause.saturating_mul(2).min(settings.circuit_pause_cap), jitter);
            }
            // The next call tries in its place.
            Signal::Nothing => self.state = State::Open { until: now, pause },
        }
    }

    /// The state, for operators.
    #[must_use]
    pub fn status(&self, now: Instant) -> CircuitStatus {
        match self.state {
            State::Closed { .. } => CircuitStatus::Closed,
            State::Open { until, .. } if now < until => {
                CircuitStatus::Open { retry_in: until.saturating_duration_since(now) }
            }
            State::Open { .. } | State::Probing { .. } => CircuitStatus::HalfOpen,
        }
    }

    /// `jitter`: 0 to 1.
    fn open(&mut self, now: Instant, pause: Duration, jitter: f64) {
        let until = now + pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
        self.state = State::Open { until, pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    struct Rig {
        circuit: Circuit,
        now: Instant,
        settings: Settings,
    }

    impl Rig {
        fn new() -> Self {
            let now = Instant::now();
            Self { circuit: Circuit::new(now), now, settings: Settings::for_tests() }
        }

        fn record(&mut self, signals: &[Signal]) -> CircuitStatus {
            for signal in signals {
                self.circuit.record(self.now, *signal, &self.settings, 0.5);
            }
            self.circuit.status(self.now)
        }

        fn probe(&mut self, signal: Signal) -> CircuitStatus {
            assert_eq!(self.circuit.admit(self.now), Admission::Probe);
            assert_eq!(self.circuit.admit(self.now), Admission::Refused);
            self.circuit.record_probe(self.now, signal, &self.settings, 0.5);
            self.circuit.status(self.now)
        }
    }

    #[test]
    fn a_run_of_failures_opens_it_and_one_answer_breaks_the_run() {
        let mut rig = Rig::new();
        let failures = [Signal::Silent; 4];
        assert_eq!(rig.record(&failures), CircuitStatus::Closed);
        assert_eq!(rig.record(&[Signal::Answered]), CircuitStatus::Closed);
        assert_eq!(rig.record(&failures), CircuitStatus::Closed);
        assert_eq!(rig.record(&[Signal::Nothing]), CircuitStatus::Closed);
        assert_eq!(rig.record(&[Signal::Silent]), CircuitStatus::Open { retry_in: PAUSE });
        assert_eq!(rig.circuit.admit(rig.now), Admission::Refused);
    }

    #[test]
    fn half_of_twenty_recent_calls_open_it() {
        let mut rig = Rig::new();
        let mixed = [Signal::Silent, Signal::Answered];
        assert_eq!(rig.record(&mixed.repeat(9)), CircuitStatus::Closed);
        rig.now += Duration::from_secs(11);
        assert_eq!(rig.record(&mixed.repeat(9)), CircuitStatus::Closed);
        assert_ne!(rig.record(&mixed), CircuitStatus::Closed);
    }

    #[test]
    fn one_probe_at_a_time_decides_and_the_pause_doubles_up_to_its_cap() {
        let mut rig = Rig::new();
        rig.record(&[Signal::Silent; 5]);
        for seconds in [30, 60, 120, 240, 300, 300] {
            let retry_in = Duration::from_secs(seconds);
            assert_eq!(rig.circuit.status(rig.now), CircuitStatus::Open { retry_in });
            rig.now += retry_in;
            rig.probe(Signal::Silent);
        }
        rig.now += Duration::from_secs(300);
        assert_eq!(rig.probe(Signal::Nothing), CircuitStatus::HalfOpen);
        assert_eq!(rig.probe(Signal::Answered), CircuitStatus::Closed);
        // A new outage starts with the short pause.
        assert_eq!(rig.record(&[Signal::Silent; 5]), CircuitStatus::Open { retry_in: PAUSE });
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let mut rig = Rig::new();
        rig.record(&[Signal::Silent; 5]);
        let open = rig.circuit.status(rig.now);
        assert_eq!(rig.record(&[Signal::Answered, Signal::Silent]), open);
    }
}
