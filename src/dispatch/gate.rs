//! Whether a channel's call may start now: budgets, circuit, repeats and backlog behind one lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::adapter::channel::Channel;
use crate::adapter::{Chunking, MessageCost};
use crate::dispatch::backlog::{Backlog, Bounds, Open};
use crate::dispatch::channel::ChannelRuntime;
use crate::dispatch::circuit::{Admission, Circuit, Signal};
use crate::dispatch::pace::{Budget, Pacer, Reservation, Terms};
use crate::dispatch::plan::PlannedRoute;
use crate::dispatch::retry_budget::RetryBudget;
use crate::dispatch::settings::Settings;
use crate::domain::report::BudgetKind;
use crate::telemetry::metrics::words::CircuitState;

/// How much the latest call counts in the average time of a call.
const LATEST: f64 = 0.1;

/// Bytes that a route takes besides its message and its recipients, roughly.
const ROUTE_BYTES: usize = 1024;

/// The bounds of one channel; lives as long as the channel.
pub(super) struct Gate {
    /// The account's: a channel that was replaced while batches run on it shares it with its successor. Locked
    /// after the gate.
    pacer: Arc<Mutex<Pacer>>,
    pub(super) circuit: Circuit,
    pub(super) backlog: Backlog,
    retries: RetryBudget,
    settings: Settings,
    /// How long a call takes, on average.
    call_seconds: f64,
    max_in_flight: f64,
}

/// A channel's budgets, full.
pub(super) fn budgets(channel: &Channel, settings: &Settings, now: Instant) -> Pacer {
    let common = &channel.settings;
    let margin = settings.budget_margin * settings.budget_share;
    let largest_call = to_f64(channel.adapter.profile().recipients_per_call.get());
    let budget = |limit: Option<f64>, cost| limit.map(|limit| Budget::new(limit, margin, cost, now));
    let calls = budget(common.calls_per_second, 1.0);
    let messages = budget(common.messages_per_second, largest_call);
    Pacer::new(calls, messages, settings.budget_recovery)
}

impl Gate {
    pub(super) fn new(
        channel: &Channel,
        settings: &Settings,
        pacer: Arc<Mutex<Pacer>>,
        now: Instant,
    ) -> Self {
        Self {
            pacer,
            circuit: Circuit::new(now),
            backlog: Backlog::new(Bounds { routes: settings.channel_routes, bytes: settings.channel_bytes }),
            retries: RetryBudget::new(settings.retry_share, now),
            settings: settings.clone(),
            call_seconds: 0.0,
            max_in_flight: f64::from(channel.settings.max_in_flight.get()),
        }
    }

    /// The budgets.
    pub(super) fn pacer(&self) -> MutexGuard<'_, Pacer> {
        // As with the gate itself: changes are whole.
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a successor of the channel.
    pub(super) fn share_pacer(&self) -> Arc<Mutex<Pacer>> {
        Arc::clone(&self.pacer)
    }

    /// How long the turns of others would keep the last of `calls` calls of a new route waiting: for the budgets,
    /// or for a place among the calls in flight. What was sent before does not count, whatever it cost.
    fn wait(&self, now: Instant, calls: usize) -> Duration {
        let ahead = self.backlog.ahead(calls);
        let paced = self.pacer().time_for(now, to_f64(ahead.calls), to_f64(ahead.messages));
        let turns = to_f64(ahead.calls) * self.call_seconds / self.max_in_flight;
        paced.max(Duration::try_from_secs_f64(turns).unwrap_or(Duration::MAX))
    }
}

/// The right to make one call now; it tells the circuit what became of it.
pub(super) struct Pass {
    channel: Arc<ChannelRuntime>,
    is_probe: bool,
    /// When the latest try began.
    started_at: Option<Instant>,
}

impl Pass {
    /// Counts the call as a first try, once; one that gets no credential never starts.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        if self.started_at.replace(now).is_none() {
            self.channel.gate().retries.count_first(now);
        }
    }

    /// Whether this call decides for everybody, so that it should carry as few recipients as possible.
    pub(super) const fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Records one try; `jitter`: 0 to 1.
    pub(super) fn record(&mut self, signal: Signal, jitter: f64) {
        let now = Instant::now();
        let gate = &mut *self.channel.gate();
        if let (Some(started_at), true) = (self.started_at, signal != Signal::Nothing) {
            let seconds = now.saturating_duration_since(started_at).as_secs_f64();
            gate.call_seconds += LATEST * (seconds - gate.call_seconds);
        }
        let before = gate.circuit.status(now).state();
        if std::mem::take(&mut self.is_probe) {
            gate.circuit.record_probe(now, signal, &gate.settings, jitter);
        } else {
            gate.circuit.record(now, signal, &gate.settings, jitter);
        }
        let after = gate.circuit.status(now).state();
        if after != before {
            self.channel.metrics.count_transition(after);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // A probe that was never sent leaves its place to another call.
        if self.is_probe {
            self.record(Signal::Nothing, 0.0);
        }
    }
}

/// A route's place in its channel's backlog; dropping it lets the route go.
pub(super) struct Place {
    channel: Arc<ChannelRuntime>,
    id: u64,
    bytes: usize,
}

impl Place {
    /// Counts one call as started.
    pub(super) fn start_call(&self, chunking: Chunking, recipient_count: usize) {
        let messages = messages(chunking, 1, recipient_count);
        self.channel.gate().backlog.start_call(self.id, messages);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.channel.gate().backlog.leave(self.id, self.bytes);
    }
}

impl PlannedRoute {
    /// Whether the turns of others would keep it waiting for longer than `most`.
    pub(super) fn is_kept_waiting(&self, most: Duration) -> bool {
        most < Duration::MAX && self.channel.gate().wait(Instant::now(), self.call_count()) > most
    }

    /// Takes a place in the channel's backlog if there is room.
    pub(super) fn enter(&self) -> Option<Place> {
        // What is sent is there twice: as it came, and as the adapter encoded it.
        let bytes = ROUTE_BYTES + 2 * self.route.text_bytes() + self.recipients.bytes();
        let calls = self.call_count();
        let open = Open { calls, messages: messages(self.chunking, calls, self.positions.len()) };
        let id = self.channel.gate().backlog.enter(open, bytes)?;
        Some(Place { channel: Arc::clone(&self.channel), id, bytes })
    }
}

impl ChannelRuntime {
    /// Takes one call for `recipient_count` recipients from the budgets if its time comes within `most`.
    pub(super) fn reserve(
        &self,
        chunking: Chunking,
        recipient_count: usize,
        most: Duration,
    ) -> Option<Reservation> {
        let messages = call_messages(chunking, recipient_count);
        self.gate().pacer().reserve(Instant::now(), messages, most)
    }

    /// Whether the provider has refused a call for its rate since, so that the budgets have to be asked again.
    pub(super) fn is_void(&self, reservation: &Reservation) -> bool {
        self.gate().pacer().is_void(reservation)
    }

    /// Slows the channel down because the provider refused a call for its rate.
    pub(super) fn hold(&self, pause: Duration) {
        self.gate().pacer().hold(Instant::now(), pause);
    }

    /// What its budgets allow now: calls and messages; `None` = not paced.
    pub(super) fn budget_terms(&self) -> [Option<Terms>; 2] {
        self.gate().pacer().terms(Instant::now())
    }

    /// How many calls have not started.
    pub(super) fn open_calls(&self) -> u32 {
        u32::try_from(self.gate().backlog.ahead(usize::MAX).calls).unwrap_or(u32::MAX)
    }

    /// Whether others would keep even a single call waiting for longer than `most`.
    pub(super) fn is_full(&self, most: Duration) -> bool {
        self.gate().wait(Instant::now(), 1) > most
    }

    /// Whether the circuit keeps calls back.
    pub(super) fn is_refusing(&self) -> bool {
        self.gate().circuit.admission(Instant::now()) == Admission::Refused
    }

    /// Lets a call start, unless the circuit keeps it back.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Pass> {
        let now = Instant::now();
        let gate = &mut *self.gate();
        let is_probe = match gate.circuit.admit(now) {
            Admission::Refused => return None,
            Admission::Pass => false,
            Admission::Probe => true,
        };
        if is_probe {
            self.metrics.count_transition(CircuitState::HalfOpen);
        }
        Some(Pass { channel: Arc::clone(self), is_probe, started_at: None })
    }

    /// Lets a call be repeated, unless the channel made too many repeats already or its circuit is not closed.
    pub(super) fn admit_repeat(&self) -> bool {
        let now = Instant::now();
        let gate = &mut *self.gate();
        gate.circuit.admission(now) == Admission::Pass && gate.retries.take(now)
    }

    /// Whether the circuit lets every call through.
    pub(super) fn is_closed(&self) -> bool {
        self.gate().circuit.admission(Instant::now()) == Admission::Pass
    }

    /// How long the budgets make these calls of one route wait, with what the others start meanwhile, and which
    /// budget binds. `is_waiting`: whether the route has its place in the backlog already.
    pub(super) fn eta(
        &self,
        chunking: Chunking,
        calls: usize,
        recipients: usize,
        is_waiting: bool,
    ) -> (Duration, Option<BudgetKind>) {
        let gate = self.gate();
        let mut open = gate.backlog.ahead(calls);
        if !is_waiting {
            open.calls += calls;
            open.messages += messages(chunking, calls, recipients);
        }
        gate.pacer().eta(Instant::now(), to_f64(open.calls), to_f64(open.messages))
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        // A poisoned lock only means that another task panicked between two whole changes.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call for `recipient_count` recipients costs of the message budget.
pub(super) fn call_messages(chunking: Chunking, recipient_count: usize) -> f64 {
    to_f64(messages(chunking, 1, recipient_count))
}

/// What `calls` calls with so many recipients in all cost of the message budget.
fn messages(chunking: Chunking, calls: usize, recipient_count: usize) -> usize {
    match chunking.cost {
        MessageCost::PerRecipient => recipient_count.max(calls),
        MessageCost::PerCall => calls,
    }
}

/// Exact up to 2^32, which no batch reaches.
fn to_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
