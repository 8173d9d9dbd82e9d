//! `POST /v1/batches/{id}/cancel`: starts no further call of a batch.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use http::HeaderMap;
use tokio::time::{Instant, timeout};

use crate::api::answer;
use crate::api::keys::caller::Caller;
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::read_batch::{
    RETRY_AFTER_SECONDS, batch_id, find, find_running, store_away, unknown_batch, wait_for_end,
};
use crate::api::router::State;
use crate::domain::id::BatchId;

/// A cancel has at least so long to be written, whatever the caller prefers: a store that works takes less.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// Stops a batch and answers with its report: when its calls in flight are over, or after as long as the caller
/// prefers. A batch that is over already stays as it is.
///
/// # Errors
/// A [`Problem`] if no such batch is known, or the store is away. A batch that runs here is stopped even then.
pub async fn cancel(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let preferences = Preferences::read(&headers);
    let is_here = find_running(&state, &caller, id).is_some();
    if !is_here {
        find(&state, &caller, id).await?;
    }
    let wait = preferences.wait(state.api.settings.batches.default_wait);
    let begin = Instant::now();
    let written = timeout(wait.max(WRITE_PATIENCE), state.api.dispatcher.cancel(id)).await;
    written.map_err(|_| unwritten(id, is_here))?.map_err(|error| store_away(id, &error))?;
    let report = wait_for_end(&state, id, wait.saturating_sub(begin.elapsed())).await;
    let report = report.map_err(|error| store_away(id, &error))?.ok_or_else(unknown_batch)?;
    Ok(answer::to_read(&report, &headers, &preferences))
}

/// The refusal while a cancel is not written.
fn unwritten(id: BatchId, is_here: bool) -> Problem {
    tracing::error!(batch.id = %id, "A cancel is not written yet.");
    let detail = if is_here {
        "the batch is stopped in this process, but that cannot be written now: should the process end before, the \
         next one goes on with it; cancel it again"
    } else {
        "the cancel cannot be written now and may yet be; cancel the batch again"
    };
    Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(RETRY_AFTER_SECONDS)
}
