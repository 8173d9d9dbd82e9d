//! The work of one batch: its routes side by side, each route's calls within the channel's bounds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, debug_span, error, info};

use crate::adapter::wire::WireRequest;
use crate::adapter::{Auth, Call, Token};
use crate::dispatch::Shared;
use crate::dispatch::attempt::{Trial, token_source};
use crate::dispatch::gate::{Pass, Place};
use crate::dispatch::journal;
use crate::dispatch::measure::batch_outcome;
use crate::dispatch::plan::PlannedRoute;
use crate::dispatch::recovery::{lost, lost_call};
use crate::dispatch::retry::{Decision, Reason, Rules, Settlement, Step, Tries, Try, next, unrepeated};
use crate::dispatch::running::{Running, State};
use crate::dispatch::turn::{Repeat, Stop, Turn};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, Recipients, narrow};
use crate::domain::report::{Remarks, Report, Settled, Warning};
use crate::telemetry::metrics::words::{RepeatReason, Violation};

/// Runs a batch to its end; `places` are those of its routes, in order.
pub(super) async fn run(shared: Arc<Shared>, running: Running, places: Vec<Place>) {
    let work = Work { shared, state: running.0 };
    let mut runs = places.into_iter().enumerate().map(|(index, place)| RouteRun::new(&work, index, place));
    if runs.len() == 1 {
        if let Some(run) = runs.next() {
            Box::pin(run.run()).await;
        }
    } else {
        let mut running: JoinSet<()> = runs.map(|run| run.run().in_current_span()).collect();
        while running.join_next().await.is_some() {}
    }
    if work.state.has_left() {
        work.state.wake();
        return;
    }
    let report = work.end();
    journal::finish(&work.shared, &work.state, report).await;
}

/// The work of one batch; however it ends, everybody is decided and whoever waits is told.
struct Work {
    shared: Arc<Shared>,
    state: Arc<State>,
}

impl Work {
    fn end(&self) -> Arc<Report> {
        self.settle_forgotten();
        let report = self.state.finish(self.shared.clock.now());
        self.tell_end(&report);
        report
    }

    /// Counts the batch and writes its line in the log.
    fn tell_end(&self, report: &Report) {
        let counts = report.counts();
        let elapsed = report.completed_at.and_then(|end| end.duration_since(report.batch.created_at).ok());
        let elapsed = elapsed.unwrap_or_default();
        self.shared.metrics.count_batch(batch_outcome(&counts), elapsed);
        // A number in JSON, which it would not be with 128 bits.
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        info!(
            batch.id = %report.batch.id,
            total = counts.total,
            accepted = counts.accepted,
            failed = counts.failed,
            unknown = counts.unknown,
            elapsed_ms,
            trace_id = self.state.plan.trace_id.map(display),
            "Batch finished."
        );
    }

    /// Every recipient must be decided by now; whoever is not fell to a fault of ours and may have been sent to.
    fn settle_forgotten(&self) {
        for (route_index, forgotten) in self.state.undecided() {
            let batch_id = self.state.plan.batch.id;
            self.shared.metrics.count_violation(Violation::UndecidedRecipients);
            error!(batch.id = %batch_id, recipient_count = forgotten.len(), "Recipients were left undecided.");
            let outcome = Outcome::unknown(Failure::gateway(FailureKind::Internal));
            // Runs of neighbours, so that groups never interleave.
            for run in forgotten.chunk_by(|left, right| left + 1 == *right) {
                if let (Some(first), Some(last)) = (run.first(), run.last()) {
                    let positions = Positions::Range(*first..last + 1);
                    let outcomes = Outcomes::same(outcome.clone(), positions.len());
                    let settled = Settled { positions, outcomes, attempts: 1 };
                    self.state.settle(route_index, settled, Remarks::default());
                }
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.state.is_finished() && !self.state.has_left() {
            // A panic of ours came this far: nobody may wait for ever.
            let report = self.end();
            if std::thread::panicking() {
                // Here nothing can be waited for.
                let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
                self.shared.tasks.spawn(async move { journal::finish(&shared, &state, report).await });
            }
        }
        self.shared.forget(self.state.plan.batch.id);
    }
}

/// One route at work.
#[derive(Clone)]
pub(super) struct RouteRun {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<State>,
    pub(super) route_index: usize,
    /// Given back when the last call is settled.
    place: Arc<Place>,
    /// Set by the call whose refusal will meet the route's other calls as well.
    ended: Arc<OnceLock<Failure>>,
}

impl RouteRun {
    fn new(work: &Work, route_index: usize, place: Place) -> Self {
        let (shared, state) = (Arc::clone(&work.shared), Arc::clone(&work.state));
        Self { shared, state, route_index, place: Arc::new(place), ended: Arc::default() }
    }

    fn planned(&self) -> Option<&PlannedRoute> {
        self.state.plan.routes.get(self.route_index)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The refusal that will meet every call of the route.
    pub(super) fn ended(&self) -> Option<Failure> {
        self.ended.get().cloned()
    }

    pub(super) fn canceled(&self) -> &CancellationToken {
        &self.state.canceled
    }

    pub(super) fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }

    pub(super) fn time_left(&self) -> Duration {
        self.state.plan.batch.expires_at.duration_since(self.shared.clock.now()).unwrap_or_default()
    }

    pub(super) fn count_wait(&self, wait: Duration) {
        if let Some(planned) = self.planned() {
            planned.channel.metrics.count_wait(wait);
        }
        self.state.count_wait(self.route_index, wait);
    }

    /// Starts the route's calls in order, as turns and budgets allow, and waits for all of them.
    async fn run(self) {
        let Some(planned) = self.planned() else { return };
        let size = planned.chunking.recipients_per_call.max(1);
        let mut rest = planned.positions.clone();
        let mut calls = JoinSet::new();
        for chunk in planned.again.iter().cloned() {
            match self.take_turn(planned, chunk.len()).await {
                Ok(turn) => Box::pin(self.call(chunk, turn, Tries::after_loss(lost()))).await,
                Err(Stop::Left) => self.state.leave(),
                Err(Stop::Failed(_)) => self.settle(lost_call(chunk), Remarks::default()).await,
            }
        }
        while !rest.is_empty() {
            while calls.try_join_next().is_some() {}
            let turn = match self.take_turn(planned, size.min(rest.len())).await {
                Ok(turn) => turn,
                Err(stop) => {
                    self.settle_unsent(rest, stop).await;
                    break;
                }
            };
            // The fewer recipients a probe carries, the fewer are unknown if it fails; the others wait for it.
            let is_probe = turn.pass.is_probe();
            let chunk = rest.take_front(if is_probe { 1 } else { size });
            self.place.start_call(planned.chunking, chunk.len());
            if is_probe || rest.is_empty() {
                // The last call needs no task of its own either.
                Box::pin(self.call(chunk, turn, Tries::default())).await;
            } else {
                let run = self.clone();
                calls.spawn(async move { run.call(chunk, turn, Tries::default()).await }.in_current_span());
            }
        }
        while calls.join_next().await.is_some() {}
    }

    /// Makes one call, repeats included.
    async fn call(&self, chunk: Positions, turn: Turn, mut tries: Tries) {
        let Some(planned) = self.planned() else { return };
        let Turn { permit, pass } = turn;
        let nobody = Positions::Range(0..0);
        let named = if planned.is_everyone { &nobody } else { &chunk };
        let call = Call {
            recipients: Recipients::new(&planned.recipients, named),
            now: self.shared.clock.now(),
            nonce: self.shared.randomness.next(),
        };
        let trial = Trial {
            shared: &self.shared,
            channel: &planned.channel,
            route: &planned.route,
            prepared: &*planned.prepared,
            call,
            positions: &chunk,
        };
        let settled = self.try_until_settled(planned, trial, pass, &mut tries).await;
        match settled {
            Ok(settlement) => self.conclude(planned, chunk, settlement, tries.made).await,
            Err(Left) => self.state.leave(),
        }
        drop(permit);
        self.renew_ahead(planned);
    }

    async fn try_until_settled(
        &self,
        planned: &PlannedRoute,
        trial: Trial<'_>,
        mut pass: Pass,
        tries: &mut Tries,
    ) -> Result<Settlement, Left> {
        // What stands if the call is not tried again.
        let mut last = None;
        loop {
            let (result, token) = match self.try_once(planned, &trial, tries, &mut pass).await {
                Ok(tried) => tried,
                Err(stop) => return self.stopped(stop, last, tries),
            };
            let rules = Rules {
                settings: &self.shared.settings,
                retry_unknown: self.state.plan.batch.retry_unknown,
                is_repeatable: !planned.is_everyone,
                jitter: self.shared.randomness.next(),
            };
            last = result.failure().cloned();
            let (after, reason) = match next(result, tries, rules) {
                Step::Settle(settlement) => {
                    if let Some(pause) = settlement.hold {
                        self.hold(planned, pause);
                    }
                    return Ok(settlement);
                }
                Step::Again { after, reason } => (after, reason),
            };
            if tries.maybe_delivered.is_none() {
                self.release(trial.positions).await;
            }
            // A durable call of which nothing was written may wait until its provider is back.
            let is_patient = tries.maybe_delivered.is_none() && self.state.is_durable();
            let may_repeat = match reason {
                Reason::Refused => renew_credential(&self.shared, planned, token.as_ref()),
                Reason::Throttled => {
                    self.hold(planned, after);
                    true
                }
                Reason::Broken => {
                    planned.channel.admit_repeat() || (is_patient && !planned.channel.is_closed())
                }
            };
            let metrics = &planned.channel.metrics;
            metrics.count_repeat(if may_repeat { reason.repeat() } else { RepeatReason::Denied });
            if !may_repeat {
                let ends_route = last.clone().filter(|_| reason == Reason::Refused);
                return Ok(Settlement { ends_route, ..unrepeated(last, tries) });
            }
            match self.pause(planned, Repeat { after, reason, is_patient }, trial.positions.len()).await {
                Ok(None) => {}
                Ok(Some(admitted)) => {
                    // The provider was there for nobody: that costs no try.
                    tries.made = tries.made.saturating_sub(1);
                    pass = admitted;
                }
                Err(stop) => return self.stopped(stop, last, tries),
            }
        }
    }

    /// One try. Once it is written, it is waited for whatever happens meanwhile.
    async fn try_once(
        &self,
        planned: &PlannedRoute,
        trial: &Trial<'_>,
        tries: &mut Tries,
        pass: &mut Pass,
    ) -> Result<(Try, Option<Token>), Stop> {
        let (request, token) = match self.ready(planned, trial).await? {
            Ok(ready) => ready,
            Err(failure) => return Ok((Try::Unsent { failure, may_pass: false }, None)),
        };
        self.begin(trial.positions).await?;
        // The token and the store may have taken their time.
        if let Err(stop) = self.check_stop().and_then(|()| self.check_holds()) {
            if tries.maybe_delivered.is_none() {
                self.release(trial.positions).await;
            }
            return Err(stop);
        }
        pass.start();
        let result = timed_send(trial, request, tries).await;
        self.state.count_call(self.route_index, tries.made > 0);
        tries.made += 1;
        pass.record(result.signal(), self.shared.randomness.fraction());
        Ok((result, token))
    }

    /// What a call comes to that is stopped: its last failure if it was tried, else the stop.
    fn stopped(&self, stop: Stop, last: Option<Failure>, tries: &Tries) -> Result<Settlement, Left> {
        match stop {
            Stop::Failed(failure) => {
                if failure.kind == FailureKind::Canceled {
                    self.state.note_canceled();
                }
                Ok(unrepeated(Some(last.unwrap_or(failure)), tries))
            }
            // What may have been delivered is decided here and now.
            Stop::Left if tries.maybe_delivered.is_some() => Ok(unrepeated(last, tries)),
            Stop::Left => Err(Left),
        }
    }

    /// Fetches the channel's next token in the background when the present one is near its end.
    fn renew_ahead(&self, planned: &PlannedRoute) {
        if !matches!(planned.channel.channel().auth, Auth::Token(_))
            || !planned.channel.tokens.starts_renewal(self.shared.clock.now())
        {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let channel = Arc::clone(&planned.channel);
        self.shared.tasks.spawn(async move {
            if let Auth::Token(grant) = &channel.channel().auth {
                channel.tokens.renew(token_source(&shared, &channel, &**grant)).await;
            }
        });
    }

    async fn conclude(
        &self,
        planned: &PlannedRoute,
        positions: Positions,
        settlement: Settlement,
        attempts: u32,
    ) {
        if let Some(failure) = settlement.ends_route {
            // The first refusal is the one that the rest reports.
            self.ended.get_or_init(|| failure);
        }
        let channel = Some(planned.channel.name().clone());
        let warnings = settlement.warnings.into_iter();
        let warnings = warnings.map(|warning| Warning { channel: channel.clone(), ..warning }).collect();
        let mut remarks = Remarks { request_id: settlement.request_id, warnings, recipients: None };
        let count = positions.len();
        let (positions, outcomes) = match settlement.decision {
            Decision::Same(outcome) => (positions, Outcomes::same(outcome, count)),
            Decision::Listed(listed) if planned.is_everyone => {
                remarks.recipients = Some(Arc::new(listed.iter().map(|(id, _)| &**id).collect()));
                let positions = Positions::Range(0..narrow(listed.len()));
                (positions, Outcomes::from_each(listed.into_iter().map(|(_, outcome)| outcome).collect()))
            }
            Decision::Each(outcomes) if outcomes.len() == count => (positions, outcomes),
            Decision::Each(_) | Decision::Listed(_) => {
                self.shared.metrics.count_violation(Violation::MismatchedOutcomes);
                error!(batch.id = %self.state.plan.batch.id, "An adapter's outcomes do not match its call.");
                let outcome = Outcome::unknown(Failure::gateway(FailureKind::Internal));
                (positions, Outcomes::same(outcome, count))
            }
        };
        self.settle(Settled { positions, outcomes, attempts }, remarks).await;
    }

    async fn settle_unsent(&self, positions: Positions, stop: Stop) {
        let failure = match stop {
            Stop::Failed(failure) => failure,
            Stop::Left => return self.state.leave(),
        };
        if failure.kind == FailureKind::Canceled {
            self.state.note_canceled();
        }
        let outcomes = Outcomes::same(Outcome::failed(failure), positions.len());
        self.settle(Settled { positions, outcomes, attempts: 0 }, Remarks::default()).await;
    }
}

/// A call that the next process will make.
struct Left;

/// Sends once, counted and timed.
async fn timed_send(trial: &Trial<'_>, request: WireRequest, tries: &Tries) -> Try {
    let span = debug_span!(
        "call",
        otel.kind = "client",
        channel.name = %trial.channel.name(),
        provider = trial.channel.provider(),
        call.attempt = tries.made + 1,
        call.recipient_count = trial.call.recipients.len(),
        call.result = Empty,
    );
    let begin = Instant::now();
    let result = trial.send(request).instrument(span.clone()).await;
    trial.channel.metrics.count_call(result.result(), begin.elapsed());
    span.record("call.result", result.result().as_str());
    result
}

/// Whether a repeat will have another credential than the one that was refused.
fn renew_credential(shared: &Shared, planned: &PlannedRoute, used: Option<&Token>) -> bool {
    match (&planned.channel.channel().auth, used) {
        (Auth::Sign(sign), _) => {
            sign.renew();
            true
        }
        (Auth::Token(_), Some(used)) => planned.channel.tokens.discard(used, &shared.settings),
        (Auth::Token(_), None) => false,
    }
}
