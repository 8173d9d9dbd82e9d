//! What a batch at work writes down: a durable one in the store before it happens, any other in memory.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, warn};

use crate::dispatch::Shared;
use crate::dispatch::run::RouteRun;
use crate::dispatch::running::{Running, State};
use crate::dispatch::turn::Stop;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Report, Settled};
use crate::store::durable::{Accepted, Chunk, Durable, IdempotencyKey, KnownKey, NewBatch};
use crate::store::{StoreError, StoreFuture};

/// How soon a store that is away is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl RouteRun {
    /// Writes that a call is about to be written.
    pub(super) async fn begin(&self, positions: &Positions) -> Result<(), Stop> {
        if !self.state.begin(self.route_index, positions) {
            return Ok(());
        }
        let Some(store) = self.shared.store.durable() else { return Ok(()) };
        self.unless_stopped(self.state.written.cancelled()).await?;
        loop {
            match store.begin(self.state.plan.batch.id, self.chunk(positions)).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Stop::Left),
                Err(error) => {
                    self.complain(&error);
                    self.unless_stopped(tokio::time::sleep(STORE_PAUSE)).await?;
                }
            }
        }
    }

    /// Whether this process may still send for the batch; asked without waiting, right before a call is written.
    pub(super) fn check_holds(&self) -> Result<(), Stop> {
        match self.shared.store.durable() {
            Some(store) if self.state.is_durable() && !store.holds(self.state.plan.batch.id) => {
                Err(Stop::Left)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes that nothing of a call was written.
    ///
    /// If the store is away the call counts as out: should the process die now, its recipients become unknown,
    /// which is less than is known but never wrong.
    pub(super) async fn release(&self, positions: &Positions) {
        if self.state.release(self.route_index, positions)
            && let Some(store) = self.shared.store.durable()
            && let Err(error) = store.release(self.state.plan.batch.id, self.chunk(positions)).await
        {
            self.complain(&error);
        }
    }

    /// Writes what became of recipients.
    pub(super) async fn settle(&self, settled: Settled) {
        self.settle_named(settled, None).await;
    }

    /// Writes what became of a send-to-all, and of whom.
    pub(super) async fn settle_listed(&self, listed: Vec<(Box<str>, Outcome)>, attempts: u32) {
        let recipients: RecipientList = listed.iter().map(|(id, _)| &**id).collect();
        let positions = Positions::Range(0..narrow(listed.len()));
        let outcomes = Outcomes::from_each(listed.into_iter().map(|(_, outcome)| outcome).collect());
        self.settle_named(Settled { positions, outcomes, attempts }, Some(Arc::new(recipients))).await;
    }

    async fn settle_named(&self, settled: Settled, named: Option<Arc<RecipientList>>) {
        let route_index = self.route_index;
        let Some(settled) = self.state.settle_in_memory(route_index, settled, named.as_ref()) else { return };
        if let Some(store) = self.shared.store.durable() {
            self.state.written.cancelled().await;
            let id = self.state.plan.batch.id;
            let write = || match &named {
                None => store.settle(id, route_index, settled.clone()),
                Some(named) => store.settle_listed(id, route_index, Arc::clone(named), settled.clone()),
            };
            until_written(&self.state, write).await;
        }
        self.state.settle(route_index, settled, named);
    }

    fn chunk(&self, positions: &Positions) -> Chunk {
        Chunk { route_index: self.route_index, positions: positions.clone() }
    }

    fn complain(&self, error: &StoreError) {
        complain(&self.state, error);
    }
}

/// Writes the end of a batch.
pub(super) async fn finish(shared: &Shared, state: &State, report: Arc<Report>) {
    match shared.store.durable() {
        Some(store) if state.is_durable() => {
            state.written.cancelled().await;
            until_written(state, || store.finish(Arc::clone(&report))).await;
            if report.batch.callback.is_some() {
                shared.callback_due.notify_one();
            }
        }
        Some(_) | None => {
            if let Err(error) = shared.store.record(report).await {
                shared.metrics.count_unrecorded();
                error!(batch.id = %state.plan.batch.id, %error, "A finished batch was not recorded.");
            }
        }
    }
}

/// What became of an attempt to make a batch durable.
pub(super) enum Written {
    Yes,
    KeyTaken(KnownKey),
}

/// Writes a batch that has not started.
pub(super) async fn accept(
    store: &dyn Durable,
    running: &Running,
    key: Option<IdempotencyKey>,
) -> Result<Written, StoreError> {
    let Some((report, in_flight)) = running.0.become_durable() else { return Ok(Written::Yes) };
    match store.accept(NewBatch { report, in_flight, key }).await? {
        Accepted::Written => {
            running.0.written.cancel();
            Ok(Written::Yes)
        }
        Accepted::KeyTaken(known) => Ok(Written::KeyTaken(known)),
    }
}

/// Writes a batch that runs as it stands; returns when that is done, however long the store is away.
pub(super) async fn promote(store: &dyn Durable, running: &Running) {
    let state = &running.0;
    if let Some((report, in_flight)) = state.become_durable() {
        let batch = NewBatch { report, in_flight, key: None };
        until_written(state, || {
            let accepted = store.accept(batch.clone());
            Box::pin(async move { accepted.await.map(drop) })
        })
        .await;
        if running.0.canceled.is_cancelled() {
            until_written(state, || store.cancel(running.id())).await;
        }
        state.written.cancel();
    } else {
        // Somebody else is writing it, or it is over.
        tokio::select! {
            () = state.written.cancelled() => {}
            _ = running.finished(Duration::MAX) => {}
        }
    }
}

/// Lets the process that may go on with a batch start no further call of it either.
pub(super) async fn cancel(store: Option<&dyn Durable>, running: &Running) {
    let state = &running.0;
    if let Some(store) = store
        && state.is_durable()
    {
        state.written.cancelled().await;
        until_written(state, || store.cancel(running.id())).await;
    }
}

/// Repeats a change until the store has made it; leaves a batch that another process has taken over.
async fn until_written<'a>(state: &State, mut change: impl FnMut() -> StoreFuture<'a, ()>) {
    while let Err(error) = change().await {
        if matches!(error, StoreError::Lost) {
            warn!(batch.id = %state.plan.batch.id, "Another process has taken the batch over; it is left to that one.");
            return state.leave();
        }
        complain(state, &error);
        if matches!(error, StoreError::Corrupt(_)) {
            // Asking again would not help: what is written is mended by hand.
            return;
        }
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

fn complain(state: &State, error: &StoreError) {
    warn!(batch.id = %state.plan.batch.id, %error, "The store did not write; it is asked again.");
}
