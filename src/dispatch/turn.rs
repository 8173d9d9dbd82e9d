//! When a call of a route may start: the channel's turns, its budgets, its circuit, and the batch's own end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::adapter::Auth;
use crate::dispatch::attempt::{Ready, Trial, token_source};
use crate::dispatch::gate::{Pass, call_messages};
use crate::dispatch::plan::PlannedRoute;
use crate::dispatch::portions::Asker;
use crate::dispatch::retry::Reason;
use crate::dispatch::run::RouteRun;
use crate::domain::failure::{Failure, FailureKind};

/// How often a durable batch looks whether the circuit lets calls through again.
const CIRCUIT_POLL: Duration = Duration::from_millis(500);

/// Why no further call starts.
pub(super) enum Stop {
    /// The batch is canceled or its time is over, the gateway shuts down, the circuit is open, or the route's
    /// other calls were refused for good: nobody will call these recipients.
    Failed(Failure),
    /// The next process will go on with the batch.
    Left,
}

/// A repeat that is allowed.
#[derive(Clone, Copy)]
pub(super) struct Repeat {
    pub(super) after: Duration,
    pub(super) reason: Reason,
    /// Whether it may wait while the circuit is open.
    pub(super) is_patient: bool,
}

/// The right to make one call: a place among the calls in flight, and the circuit's word.
pub(super) struct Turn {
    /// Held until the call is settled.
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) pass: Pass,
}

impl RouteRun {
    /// Waits for a call's turn and for its budget.
    pub(super) async fn take_turn(
        &self,
        planned: &PlannedRoute,
        recipient_count: usize,
    ) -> Result<Turn, Stop> {
        self.wait_for_circuit(planned).await?;
        self.check_start()?;
        // Before the turn, so that calls that wait for a token stand in nobody's way.
        self.wait_for_token(planned).await?.map_err(Stop::Failed)?;
        let turns = Arc::clone(&planned.channel.turns);
        let permit = match Arc::clone(&turns).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let permit = self.unless_stopped(turns.acquire_owned()).await?;
                // While this call waited, another one may have ended the route.
                self.check_start()?;
                // Nobody closes the turns.
                permit.map_err(|_| self.shutdown())?
            }
        };
        loop {
            self.spend_budget(planned, recipient_count).await?;
            self.check_start()?;
            match planned.channel.admit() {
                Some(pass) => return Ok(Turn { permit, pass }),
                None => self.wait_for_circuit(planned).await?,
            }
        }
    }

    /// Waits before a repeat, which takes its own share of the budgets.
    ///
    /// `Some`: the circuit was not closed, and gave the call a new pass.
    pub(super) async fn pause(
        &self,
        planned: &PlannedRoute,
        repeat: Repeat,
        recipient_count: usize,
    ) -> Result<Option<Pass>, Stop> {
        let Repeat { after, reason, is_patient } = repeat;
        if after >= self.time_left() {
            return Err(expired());
        }
        let begin = Instant::now();
        let waited = self.unless_stopped(tokio::time::sleep(after)).await;
        if reason == Reason::Throttled {
            self.count_wait(begin.elapsed());
        }
        waited?;
        loop {
            if is_patient {
                self.wait_for_circuit(planned).await?;
            }
            self.spend_budget(planned, recipient_count).await?;
            if planned.channel.is_closed() {
                return Ok(None);
            }
            if !is_patient {
                return Err(circuit_open());
            }
            if let Some(pass) = planned.channel.admit() {
                return Ok(Some(pass));
            }
        }
    }

    /// Lets a durable batch wait while the circuit is open; others fail fast.
    async fn wait_for_circuit(&self, planned: &PlannedRoute) -> Result<(), Stop> {
        while planned.channel.is_refusing() {
            if !self.state.is_durable() {
                return Err(circuit_open());
            }
            self.unless_stopped(tokio::time::sleep(CIRCUIT_POLL)).await?;
        }
        Ok(())
    }

    /// Takes one call from the budgets and waits until they allow it.
    async fn spend_budget(&self, planned: &PlannedRoute, recipient_count: usize) -> Result<(), Stop> {
        let channel = &planned.channel;
        loop {
            // The token first: calls that waited for one after their time had come would leave all together.
            if self.wait_for_token(planned).await?.is_err() {
                // The try will hear the same at once, and sends nothing.
                return Ok(());
            }
            // A turn that comes after the batch's time is over leaves nothing to wait for.
            let reservation =
                channel.reserve(planned.chunking, recipient_count, self.time_left()).ok_or_else(expired)?;
            let portions = channel.portions.as_ref();
            if reservation.wait.is_zero() && portions.is_none() {
                return Ok(());
            }
            let begin = Instant::now();
            let waited = self.unless_stopped(async {
                if !reservation.wait.is_zero() {
                    tokio::time::sleep(reservation.wait).await;
                }
                if let Some(portions) = portions {
                    let asker = Asker { channel, randomness: &self.shared().randomness };
                    portions.take(asker, call_messages(planned.chunking, recipient_count)).await;
                }
            });
            let waited = waited.await;
            self.count_wait(begin.elapsed());
            waited?;
            if !channel.is_void(&reservation) && self.has_token(planned) {
                return Ok(());
            }
        }
    }

    /// The request of one try with its credential, or why it can have none.
    pub(super) async fn ready(
        &self,
        planned: &PlannedRoute,
        trial: &Trial<'_>,
    ) -> Result<Result<Ready, Failure>, Stop> {
        loop {
            match self.unless_stopped(trial.request()).await? {
                // The token went between the call's turn and now: with the next one it takes another turn.
                Err(failure) if self.waits_for_token(planned, &failure) => {
                    self.spend_budget(planned, trial.positions.len()).await?;
                }
                done => return Ok(done),
            }
        }
    }

    /// Slows the channel down because the provider refused a call for its rate, on every replica.
    pub(super) fn hold(&self, planned: &PlannedRoute, pause: Duration) {
        planned.channel.hold(pause);
        if let Some(portions) = planned.channel.portions.clone() {
            let terms = planned.channel.budget_terms();
            self.shared().tasks.spawn(async move { portions.hold(terms, pause).await });
        }
    }

    /// Waits for a token, where one is needed; why there is none, for those that do not wait until there is.
    async fn wait_for_token(&self, planned: &PlannedRoute) -> Result<Result<(), Failure>, Stop> {
        while !self.has_token(planned) {
            match self.unless_stopped(self.fetch_token(planned)).await? {
                Err(failure) if self.waits_for_token(planned, &failure) => {
                    let pause = planned.channel.tokens.pause(&self.shared().settings);
                    self.unless_stopped(tokio::time::sleep(pause)).await?;
                }
                // Also one that is over already: what the provider says of it decides.
                fetched => return Ok(fetched),
            }
        }
        Ok(Ok(()))
    }

    /// Lets a durable batch wait while the provider cannot grant a token; others fail fast.
    fn waits_for_token(&self, planned: &PlannedRoute, failure: &Failure) -> bool {
        let needs_token = matches!(planned.channel.channel().auth, Auth::Token(_));
        needs_token && failure.retryable && self.state.is_durable()
    }

    /// Makes sure that there is a token, where one is needed.
    async fn fetch_token(&self, planned: &PlannedRoute) -> Result<(), Failure> {
        let (shared, channel) = (Arc::clone(&self.shared), Arc::clone(&planned.channel));
        // A task of its own: whoever stops waiting leaves the token to the others.
        let fetched = self.shared.tasks.spawn(async move {
            match &channel.channel().auth {
                Auth::Sign(_) => Ok(()),
                Auth::Token(grant) => {
                    let source = token_source(&shared, &channel, &**grant);
                    channel.tokens.get(source).await.map(drop)
                }
            }
        });
        fetched.await.unwrap_or_else(|_| Err(Failure::gateway(FailureKind::Internal)))
    }

    fn has_token(&self, planned: &PlannedRoute) -> bool {
        match &planned.channel.channel().auth {
            Auth::Sign(_) => true,
            Auth::Token(grant) => planned.channel.tokens.has_token(&**grant, self.shared().clock.now()),
        }
    }

    /// Whether a call may start now as far as the batch and its route are concerned.
    fn check_start(&self) -> Result<(), Stop> {
        if let Some(failure) = self.ended() {
            return Err(Stop::Failed(failure));
        }
        self.check_stop()
    }

    /// Whether the batch may go on.
    pub(super) fn check_stop(&self) -> Result<(), Stop> {
        if self.canceled().is_cancelled() {
            Err(canceled())
        } else if self.draining().is_cancelled() {
            Err(self.shutdown())
        } else if self.time_left().is_zero() {
            Err(expired())
        } else {
            Ok(())
        }
    }

    /// Waits for `work` until the batch is canceled or its time is over, or the gateway drains.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            // Made only once `work` has to wait, which most of it never does.
            stop = self.stop() => Err(stop),
        }
    }

    /// Waits until no further call of the batch may start.
    async fn stop(&self) -> Stop {
        tokio::select! {
            biased;
            () = self.canceled().cancelled() => canceled(),
            () = self.draining().cancelled() => self.shutdown(),
            () = tokio::time::sleep(self.time_left()) => expired(),
        }
    }

    /// A durable batch goes on in the next process.
    fn shutdown(&self) -> Stop {
        if self.state.is_durable() {
            Stop::Left
        } else {
            stop(FailureKind::Shutdown, "the gateway shut down before this call started")
        }
    }
}

fn canceled() -> Stop {
    stop(FailureKind::Canceled, "the batch was canceled before this call started")
}

fn expired() -> Stop {
    stop(FailureKind::Expired, "the batch's time was over before this call could start")
}

fn circuit_open() -> Stop {
    stop(
        FailureKind::CircuitOpen,
        "the channel's last calls found no provider, so that it is left alone for a while",
    )
}

/// Nothing was sent: the same request can be made again.
fn stop(kind: FailureKind, hint: &str) -> Stop {
    Stop::Failed(Failure::gateway(kind).with_retryable(true).with_hint(hint))
}
