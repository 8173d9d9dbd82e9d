//! The work of one batch: its routes side by side, each route's calls within the channel's bounds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::adapter::{Auth, Call, Token, Verdict};
use crate::dispatch::Shared;
use crate::dispatch::attempt::{Trial, token_source};
use crate::dispatch::plan::PlannedRoute;
use crate::dispatch::retry::{Decision, Rules, Settlement, Step, Tries, Try, next};
use crate::dispatch::running::{Running, State};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, Recipients};
use crate::domain::report::{Report, Settled};

/// Runs a batch to its end.
pub(super) async fn run(shared: Arc<Shared>, running: Running) {
    let work = Work { shared, state: running.0 };
    match work.state.plan.routes.as_slice() {
        [_] => Box::pin(RouteRun::new(&work, 0).run()).await,
        routes => {
            let mut runs = JoinSet::new();
            for route_index in 0..routes.len() {
                runs.spawn(RouteRun::new(&work, route_index).run());
            }
            while runs.join_next().await.is_some() {}
        }
    }
    let report = work.end();
    if let Err(error) = work.shared.store.record(report).await {
        error!(batch.id = %work.state.plan.batch.id, %error, "A finished batch was not recorded.");
    }
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
        log_end(&report);
        report
    }

    /// Every recipient must be decided by now; whoever is not fell to a fault of ours and may have been sent to.
    fn settle_forgotten(&self) {
        for (route_index, forgotten) in self.state.undecided() {
            let batch_id = self.state.plan.batch.id;
            error!(batch.id = %batch_id, recipient_count = forgotten.len(), "Recipients were left undecided.");
            let outcome = Outcome::unknown(Failure::gateway(FailureKind::Internal));
            // Runs of neighbours, so that groups never interleave.
            for run in forgotten.chunk_by(|left, right| left + 1 == *right) {
                if let (Some(first), Some(last)) = (run.first(), run.last()) {
                    let positions = Positions::Range(*first..last + 1);
                    let outcomes = Outcomes::same(outcome.clone(), positions.len());
                    self.state.settle(route_index, Settled { positions, outcomes, attempts: 1 });
                }
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.state.is_finished() {
            // A panic of ours came this far: nobody may wait for ever.
            self.end();
        }
        self.shared.forget(self.state.plan.batch.id);
    }
}

fn log_end(report: &Report) {
    let counts = report.counts();
    let elapsed = report.completed_at.and_then(|end| end.duration_since(report.batch.created_at).ok());
    info!(
        batch.id = %report.batch.id,
        total = counts.total,
        accepted = counts.accepted,
        failed = counts.failed,
        unknown = counts.unknown,
        elapsed_ms = elapsed.unwrap_or_default().as_millis(),
        "Batch finished."
    );
}

/// One route at work.
#[derive(Clone)]
struct RouteRun {
    shared: Arc<Shared>,
    state: Arc<State>,
    route_index: usize,
    /// Set by the call whose refusal will meet the route's other calls as well.
    ended: Arc<OnceLock<Failure>>,
}

/// Why a call does not start: the batch's time is over, the gateway shuts down, or the route's other calls were
/// refused for good.
struct Stop(Failure);

impl RouteRun {
    fn new(work: &Work, route_index: usize) -> Self {
        let (shared, state) = (Arc::clone(&work.shared), Arc::clone(&work.state));
        Self { shared, state, route_index, ended: Arc::default() }
    }

    fn planned(&self) -> Option<&PlannedRoute> {
        self.state.plan.routes.get(self.route_index)
    }

    /// Starts the route's calls in order, as turns and budgets allow, and waits for all of them.
    async fn run(self) {
        let Some(planned) = self.planned() else { return };
        let mut calls = JoinSet::new();
        let is_single = planned.call_count() == 1;
        for chunk in planned.chunks() {
            while calls.try_join_next().is_some() {}
            match self.take_turn(planned, chunk.len()).await {
                Err(Stop(failure)) => self.settle_unsent(chunk, failure),
                Ok(permit) if is_single => Box::pin(self.call(chunk, permit)).await,
                Ok(permit) => {
                    let run = self.clone();
                    calls.spawn(async move { run.call(chunk, permit).await });
                }
            }
        }
        while calls.join_next().await.is_some() {}
    }

    /// Waits for a call's turn and for its budget.
    async fn take_turn(
        &self,
        planned: &PlannedRoute,
        recipient_count: usize,
    ) -> Result<OwnedSemaphorePermit, Stop> {
        self.check_ended()?;
        let turns = Arc::clone(&planned.channel.turns);
        let permit = match Arc::clone(&turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.unless_stopped(turns.acquire_owned()).await?.map_err(|_| self.shutdown())?,
        };
        let time_left = self.time_left();
        if time_left.is_zero() {
            return Err(expired());
        }
        if self.shared.draining.is_cancelled() {
            return Err(self.shutdown());
        }
        let Some(wait) = planned.channel.reserve(planned.chunking, recipient_count, time_left) else {
            // The budget's turn comes after the batch's time is over: nothing is left to wait for.
            return Err(expired());
        };
        if !wait.is_zero() {
            self.state.count_wait(self.route_index, wait);
            self.unless_stopped(tokio::time::sleep(wait)).await?;
        }
        // While this call waited, another one may have ended the route.
        self.check_ended()?;
        Ok(permit)
    }

    fn check_ended(&self) -> Result<(), Stop> {
        self.ended.get().map_or(Ok(()), |failure| Err(Stop(failure.clone())))
    }

    /// Waits for `work` until the batch's time is over or the gateway drains.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = tokio::time::sleep(self.time_left()) => Err(expired()),
            () = self.shared.draining.cancelled() => Err(self.shutdown()),
        }
    }

    fn time_left(&self) -> Duration {
        self.state.plan.batch.expires_at.duration_since(self.shared.clock.now()).unwrap_or_default()
    }

    fn shutdown(&self) -> Stop {
        let failure = Failure::gateway(FailureKind::Shutdown).with_retryable(true);
        Stop(failure.with_hint("the gateway shut down before this call started"))
    }

    /// Makes one call, repeats included.
    async fn call(&self, chunk: Positions, permit: OwnedSemaphorePermit) {
        let Some(planned) = self.planned() else { return };
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
        };
        let mut tries = Tries::default();
        let settlement = loop {
            let tried = trial.run().await;
            if tried.was_called {
                self.state.count_call(self.route_index, tries.made > 0);
                tries.made += 1;
            }
            let rules = Rules {
                settings: &self.shared.settings,
                retry_unknown: self.state.plan.batch.retry_unknown,
                is_repeatable: !planned.is_everyone,
                jitter: self.shared.randomness.next(),
            };
            let fallback = last_word(&tried.result);
            match next(tried.result, &mut tries, rules) {
                Step::Settle(settlement) => break settlement,
                Step::Again { after, renew, is_throttled } => {
                    if renew {
                        renew_credential(planned, tried.token.as_ref());
                    }
                    if is_throttled {
                        planned.channel.hold(after);
                    }
                    if let Err(stopped) = self.pause(planned, after, chunk.len()).await {
                        break stopped.settlement(fallback, &tries);
                    }
                }
            }
        };
        self.conclude(planned, chunk, settlement, tries.made);
        drop(permit);
        self.renew_ahead(planned);
    }

    /// Waits before a repeat; the repeat takes its own share of the budgets.
    async fn pause(
        &self,
        planned: &PlannedRoute,
        after: Duration,
        recipient_count: usize,
    ) -> Result<(), Stop> {
        let time_left = self.time_left();
        if after >= time_left {
            return Err(expired());
        }
        self.unless_stopped(tokio::time::sleep(after)).await?;
        let Some(wait) = planned.channel.reserve(planned.chunking, recipient_count, self.time_left()) else {
            return Err(expired());
        };
        if !wait.is_zero() {
            self.state.count_wait(self.route_index, wait);
            self.unless_stopped(tokio::time::sleep(wait)).await?;
        }
        Ok(())
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

    fn conclude(&self, planned: &PlannedRoute, positions: Positions, settlement: Settlement, attempts: u32) {
        if let Some(failure) = settlement.ends_route {
            // The first refusal is the one that the rest reports.
            self.ended.get_or_init(|| failure);
        }
        self.state.note(self.route_index, settlement.request_id, settlement.warnings);
        let count = positions.len();
        let outcomes = match settlement.decision {
            Decision::Same(outcome) => Outcomes::same(outcome, count),
            Decision::Listed(listed) if planned.is_everyone => {
                return self.state.settle_listed(self.route_index, listed, attempts);
            }
            Decision::Each(outcomes) if outcomes.len() == count => outcomes,
            Decision::Each(_) | Decision::Listed(_) => {
                error!(batch.id = %self.state.plan.batch.id, "An adapter's outcomes do not match its call.");
                Outcomes::same(Outcome::unknown(Failure::gateway(FailureKind::Internal)), count)
            }
        };
        self.state.settle(self.route_index, Settled { positions, outcomes, attempts });
    }

    fn settle_unsent(&self, positions: Positions, failure: Failure) {
        let outcomes = Outcomes::same(Outcome::failed(failure), positions.len());
        self.state.settle(self.route_index, Settled { positions, outcomes, attempts: 0 });
    }
}

impl Stop {
    /// What a call that was tried comes to when it cannot be tried again: its last failure, not the stop.
    fn settlement(self, last: Option<Failure>, tries: &Tries) -> Settlement {
        let Self(stop) = self;
        let decision = match &tries.maybe_delivered {
            Some(earlier) => Outcome::unknown(earlier.clone()),
            None => Outcome::failed(last.unwrap_or(stop)),
        };
        Settlement {
            decision: Decision::Same(decision),
            ends_route: None,
            request_id: None,
            warnings: Vec::new(),
        }
    }
}

fn expired() -> Stop {
    let failure = Failure::gateway(FailureKind::Expired).with_retryable(true);
    Stop(failure.with_hint("the batch's time was over before this call could start"))
}

/// The failure that stands if a call is not tried again.
fn last_word(result: &Try) -> Option<Failure> {
    match result {
        Try::Unsent { failure, .. } | Try::Lost(failure) => Some(failure.clone()),
        Try::Answered(answer) => match &answer.verdict {
            Verdict::Refused { failure, .. } | Verdict::Undecided(failure) => Some(failure.clone()),
            Verdict::Answered(_) | Verdict::Listed(_) => None,
        },
    }
}

fn renew_credential(planned: &PlannedRoute, used: Option<&Token>) {
    match (&planned.channel.channel().auth, used) {
        (Auth::Sign(sign), _) => sign.renew(),
        (Auth::Token(_), Some(used)) => planned.channel.tokens.discard(used),
        (Auth::Token(_), None) => {}
    }
}
