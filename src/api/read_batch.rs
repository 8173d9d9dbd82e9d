//! `GET /v1/batches/{id}`: the report, live while the batch runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use http::HeaderMap;
use tokio::time::Instant;

use crate::api::answer;
use crate::api::keys::caller::Caller;
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::dispatch::running::Running;
use crate::domain::id::BatchId;
use crate::domain::report::Report;
use crate::store::StoreError;

/// How soon to come back while the store is away, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 5;

/// How soon to look again after a batch that does not run here.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Answers with the report as it stands, at once unless the caller prefers to wait for the end.
///
/// # Errors
/// A [`Problem`] if no such batch is known, or the store is away.
pub async fn read_batch(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let preferences = Preferences::read(&headers);
    check_known(&state, &caller, id).await?;
    let report = wait_for_end(&state, id, preferences.wait(Duration::ZERO)).await;
    let report = report.map_err(|error| store_away(id, &error))?.ok_or_else(unknown_batch)?;
    Ok(answer::to_read(&report, &headers, &preferences))
}

/// The batch id in a path.
///
/// # Errors
/// A [`Problem`]: what is no id names no batch.
pub fn batch_id(path: Result<Path<String>, PathRejection>) -> Result<BatchId, Problem> {
    path.ok().and_then(|Path(text)| BatchId::parse(&text)).ok_or_else(unknown_batch)
}

/// The batch if it runs and this caller may see it.
#[must_use]
pub fn find_running(state: &State, caller: &Caller, id: BatchId) -> Option<Running> {
    state.api.dispatcher.running(id).filter(|running| caller.may_see(running.batch()))
}

/// Whether this caller may know of a batch; another caller's batch is as unknown as one that never was.
///
/// Asked before anything of its report is read or made: how long that takes would tell that the batch exists.
///
/// # Errors
/// A [`Problem`] if no such batch is known to this caller, or the store is away.
pub async fn check_known(state: &State, caller: &Caller, id: BatchId) -> Result<(), Problem> {
    if find_running(state, caller, id).is_some() {
        return Ok(());
    }
    // Of another caller's that runs here as well: the store is asked about every batch that is refused.
    let head = state.api.dispatcher.recorded_head(id).await.map_err(|error| store_away(id, &error))?;
    let is_known = head.is_some_and(|head| caller.may_see_of(head.caller.as_ref()));
    if is_known { Ok(()) } else { Err(unknown_batch()) }
}

/// The report of a batch that this caller may know of.
///
/// # Errors
/// A [`Problem`] if no such batch is known to this caller, or the store is away.
pub async fn find(state: &State, caller: &Caller, id: BatchId) -> Result<Arc<Report>, Problem> {
    check_known(state, caller, id).await?;
    let report = state.api.dispatcher.report(id).await;
    report.map_err(|error| store_away(id, &error))?.ok_or_else(unknown_batch)
}

/// The report of a batch once it is over, or as it stands after `wait`.
///
/// # Errors
/// [`StoreError`] if it does not run here and cannot be read.
pub async fn wait_for_end(
    state: &State,
    id: BatchId,
    wait: Duration,
) -> Result<Option<Arc<Report>>, StoreError> {
    let dispatcher = &state.api.dispatcher;
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if let Some(running) = dispatcher.running(id)
            && (running.finished(left).await || left.is_zero())
        {
            return Ok(Some(running.report()));
        }
        if left.is_zero() || dispatcher.recorded_head(id).await?.is_none_or(|head| head.is_over) {
            return dispatcher.report(id).await;
        }
        // It runs in another process, or in none until somebody goes on with it.
        tokio::time::sleep(left.min(LOOK_AGAIN)).await;
    }
}

/// The refusal when records cannot be read or changed.
pub fn store_away(id: BatchId, error: &StoreError) -> Problem {
    tracing::error!(batch.id = %id, %error, "A recorded batch cannot be read.");
    let detail = "recorded batches cannot be read now";
    Problem::new(ProblemCode::StoreUnavailable, detail).with_retry_after(RETRY_AFTER_SECONDS)
}

/// The refusal when nobody knows the batch.
pub fn unknown_batch() -> Problem {
    Problem::new(ProblemCode::NotFound, "no batch of this id is known here, or no longer")
}
