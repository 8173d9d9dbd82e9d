//! Goes on with durable batches whose process died or left.
//!
//! What was in flight may have been delivered: it becomes `unknown`, or is sent again if the caller accepts
//! duplicates. What was planned is sent. What was done stays.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use crate::dispatch::Dispatcher;
use crate::dispatch::plan::Plan;
use crate::dispatch::running::Running;
use crate::dispatch::sealed_options::{self, LOST_CREDENTIALS};
use crate::dispatch::start::{enter, hand_over};
use crate::domain::batch::RetryUnknown;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::id::BatchId;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::Positions;
use crate::domain::report::{Remarks, Report, RouteReport, Settled};
use crate::store::StoreError;
use crate::store::durable::{Chunk, Durable, Unfinished};

/// How many batches are taken over at once.
const MOST_AT_ONCE: usize = 100;

/// How often the store is asked for batches that nobody works on.
const PAUSE: Duration = Duration::from_secs(2);

impl Dispatcher {
    /// Takes over what nobody works on, now and again, until the gateway drains.
    pub fn recover(self: &Arc<Self>) {
        let dispatcher = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            let draining = dispatcher.shared.draining.clone();
            draining.run_until_cancelled(dispatcher.recover_for_ever()).await;
        });
    }

    async fn recover_for_ever(&self) {
        let Some(store) = self.shared.store.durable() else { return };
        let mut waiting = Vec::new();
        loop {
            self.heed_cancels(store, &mut waiting).await;
            let is_full = waiting.iter().any(|waiting: &Waiting| waiting.is_for_room);
            let claimed = if is_full { Vec::new() } else { self.claim(store, &waiting).await };
            let may_have_more = claimed.len() == MOST_AT_ONCE;
            let known = std::mem::take(&mut waiting).into_iter().map(|waiting| (waiting.unfinished, false));
            let new = claimed.into_iter().map(|unfinished| (unfinished, true));
            for (unfinished, is_new) in known.chain(new) {
                waiting.extend(self.resume_or_end(store, unfinished, is_new).await);
            }
            if !may_have_more {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes over what nobody works on.
    async fn claim(&self, store: &dyn Durable, waiting: &[Waiting]) -> Vec<Unfinished> {
        let mut except: Vec<BatchId> = self.shared.running().keys().copied().collect();
        except.extend(waiting.iter().map(|waiting| waiting.unfinished.report.batch.id));
        store.claim(MOST_AT_ONCE, except).await.unwrap_or_else(|error| {
            warn!(%error, "Unfinished batches cannot be read.");
            Vec::new()
        })
    }

    /// Stops what was canceled since it was read.
    async fn heed_cancels(&self, store: &dyn Durable, waiting: &mut [Waiting]) {
        let elsewhere = store.canceled_elsewhere().await.unwrap_or_else(|error| {
            warn!(%error, "Cancels of other processes cannot be read.");
            Vec::new()
        });
        elsewhere.iter().filter_map(|id| self.running(*id)).for_each(|running| running.cancel());
        for Waiting { unfinished, .. } in waiting {
            let id = unfinished.report.batch.id;
            unfinished.is_canceled |= self.shared.canceled.has(id) || elsewhere.contains(&id);
        }
        self.shared.canceled.forget_old();
    }

    /// Goes on with a batch, or ends it if it is canceled, its time is over or its credentials are lost; gives it back
    /// if neither is possible now.
    async fn resume_or_end(
        &self,
        store: &dyn Durable,
        unfinished: Unfinished,
        is_new: bool,
    ) -> Option<Waiting> {
        let id = unfinished.report.batch.id;
        let (reason, is_for_room) = match self.resume(store, &unfinished).await {
            Ok(()) => {
                info!(batch.id = %id, "A batch goes on that another process began.");
                return None;
            }
            Err(Hindered::Lost) => return None,
            Err(Hindered::Full(reason)) => (reason, true),
            Err(Hindered::Waits(reason)) => (reason, false),
        };
        let now = self.now();
        if let Some(failure) = self.end_of(&unfinished, now) {
            match store.finish(Arc::new(ended(&unfinished, now, &failure))).await {
                Ok(()) | Err(StoreError::Lost) => {
                    self.shared.canceled.forget(id);
                    return None;
                }
                Err(error) => warn!(batch.id = %id, %error, "The end of a batch cannot be written."),
            }
        } else if is_new {
            warn!(batch.id = %id, reason, "A batch that another process began has to wait.");
        }
        Some(Waiting { unfinished, is_for_room })
    }

    /// Why nothing more of a batch that cannot go on now will ever be sent, if that is so.
    fn end_of(&self, unfinished: &Unfinished, now: SystemTime) -> Option<Failure> {
        let batch = &unfinished.report.batch;
        let (kind, hint) = if unfinished.is_canceled {
            (FailureKind::Canceled, "the batch was canceled before this call started")
        } else if batch.expires_at <= now {
            (FailureKind::Expired, "the batch's time was over before this call could start")
        } else if sealed_options::is_lost(batch, &self.shared.channels.load()) {
            return Some(Failure::gateway(FailureKind::Authentication).with_hint(LOST_CREDENTIALS));
        } else {
            return None;
        };
        Some(Failure::gateway(kind).with_retryable(true).with_hint(hint))
    }

    /// Goes on with a batch.
    ///
    /// # Errors
    /// Why that is not possible now.
    async fn resume(&self, store: &dyn Durable, unfinished: &Unfinished) -> Result<(), Hindered> {
        let mut report = (*unfinished.report).clone();
        let mut plan = Plan::resumed(&self.shared, &report).map_err(Hindered::Waits)?;
        let (mut again, mut lost) = (Vec::new(), Vec::new());
        for chunk in &unfinished.in_flight {
            let Some(route) = report.routes.get_mut(chunk.route_index) else { continue };
            let is_repeatable =
                report.batch.retry_unknown == RetryUnknown::Allowed && !plan.is_everyone(chunk.route_index);
            if is_repeatable {
                again.push(chunk.clone());
            } else {
                let settled = lost_call(chunk.positions.clone());
                route.settle(settled.clone());
                lost.push((chunk.route_index, settled));
            }
        }
        report.routes.iter_mut().for_each(RouteReport::count_calls);
        // The process before may not have come to writing that.
        report.canceled |= report.has_canceled();
        plan.leave_open(&report, again);
        // Before anything is written: a batch without room comes here again and again.
        let places =
            enter(&plan, Duration::MAX).map_err(|overloaded| Hindered::Full(overloaded.to_string()))?;
        for (route_index, settled) in lost {
            let written = store.settle(report.batch.id, route_index, settled, Remarks::default()).await;
            written.map_err(|error| match error {
                StoreError::Lost => Hindered::Lost,
                StoreError::Away(_) | StoreError::Unsettled | StoreError::Corrupt(_) => {
                    Hindered::Waits(error.to_string())
                }
            })?;
        }
        let running = Running::resumed(plan, &report);
        if unfinished.is_canceled {
            running.cancel();
        }
        hand_over(&self.shared, &running, places);
        Ok(())
    }
}

/// Why a batch does not go on.
enum Hindered {
    /// Yet another process has it.
    Lost,
    /// The channels have no room for it; why, for operators.
    Full(String),
    /// It has to wait for something else; why, for operators.
    Waits(String),
}

/// What this process has taken over and cannot send yet.
struct Waiting {
    unfinished: Unfinished,
    /// Nothing more is taken over meanwhile: other processes may have room, and memory here is bounded.
    is_for_room: bool,
}

/// What a call comes to whose process died while it was out.
pub(super) fn lost_call(positions: Positions) -> Settled {
    let outcomes = Outcomes::same(Outcome::unknown(lost()), positions.len());
    Settled { positions, outcomes, attempts: 1 }
}

/// The report of a batch of which nothing more will be sent, and why.
fn ended(unfinished: &Unfinished, now: SystemTime, failure: &Failure) -> Report {
    let mut report = (*unfinished.report).clone();
    for Chunk { route_index, positions } in &unfinished.in_flight {
        if let Some(route) = report.routes.get_mut(*route_index) {
            route.settle(lost_call(positions.clone()));
        }
    }
    for route in &mut report.routes {
        for positions in route.open_runs() {
            let outcomes = Outcomes::same(Outcome::failed(failure.clone()), positions.len());
            route.settle(Settled { positions, outcomes, attempts: 0 });
        }
    }
    report.completed_at = Some(now);
    report.canceled |= report.has_canceled();
    report
}

/// Why a call is undecided whose process died while it was out.
pub(super) fn lost() -> Failure {
    let failure = Failure::gateway(FailureKind::Internal);
    failure.with_hint("the gateway's process ended while this call was out")
}
