//! `GET /livez` and `/readyz`: for whoever runs the process.

use std::time::Duration;

use axum::extract::State as FromState;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::store::durable::Durable;

/// How long one look at the store serves all probes.
const LOOK_LIFE: Duration = Duration::from_millis(500);

/// How long a store may take before it counts as away: with the look before, it is known within two seconds.
const LOOK_PATIENCE: Duration = Duration::from_millis(1_300);

/// Answers as long as the process can answer at all.
pub async fn live() -> &'static str {
    "live\n"
}

/// Answers whether new work should come here.
///
/// # Errors
/// A [`Problem`] from the moment on that the process was told to end, and while what is durable cannot be written.
pub async fn ready(FromState(state): FromState<State>) -> Result<&'static str, Problem> {
    let dispatcher = &state.api.dispatcher;
    if dispatcher.is_leaving() {
        return Err(Problem::new(ProblemCode::Draining, "this process is about to end").with_retry_after(1));
    }
    let Some(store) = dispatcher.durable() else {
        return Ok("ready\nbatches: in memory only\n");
    };
    if !state.store_check.is_well(store).await {
        let detail = "batches cannot be written now";
        return Err(Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(1));
    }
    Ok(if dispatcher.shares_budgets() {
        "ready\nbatches: durable\nbudgets: shared with all replicas on this store\n"
    } else {
        "ready\nbatches: durable\nbudgets: this process's own (store.replicas)\n"
    })
}

/// What the last look at the store said, so that many probes cost one look.
#[derive(Debug, Default)]
pub struct StoreCheck(Mutex<Option<(Instant, bool)>>);

impl StoreCheck {
    /// Whether the store could be written lately; probes that come meanwhile wait for the same look.
    async fn is_well(&self, store: &dyn Durable) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, is_well)) = *last
            && at.elapsed() < LOOK_LIFE
        {
            return is_well;
        }
        let looked = tokio::time::timeout(LOOK_PATIENCE, store.check()).await;
        let is_well = matches!(looked, Ok(Ok(())));
        if let Ok(Err(error)) = looked {
            tracing::warn!(%error, "The store does not serve.");
        }
        *last = Some((Instant::now(), is_well));
        is_well
    }
}
