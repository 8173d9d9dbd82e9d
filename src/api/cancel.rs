//! `POST /v1/batches/{id}/cancel`: starts no further call of a batch.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use http::HeaderMap;

use crate::api::answer;
use crate::api::keys::caller::Caller;
use crate::api::prefer::Preferences;
use crate::api::problem::Problem;
use crate::api::read_batch::{batch_id, find, find_running, store_away, unknown_batch, wait_for_end};
use crate::api::router::State;

/// Stops a batch and answers with its report: when its calls in flight are over, or after as long as the caller
/// prefers. A batch that is over already stays as it is.
///
/// # Errors
/// A [`Problem`] if no such batch is known, or the store is away.
pub async fn cancel(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = batch_id(path)?;
    let preferences = Preferences::read(&headers);
    if find_running(&state, &caller, id).is_none() {
        find(&state, &caller, id).await?;
    }
    state.api.dispatcher.cancel(id).await.map_err(|error| store_away(id, &error))?;
    let wait = preferences.wait(state.api.settings.batches.default_wait);
    let report = wait_for_end(&state, id, wait).await;
    let report = report.map_err(|error| store_away(id, &error))?.ok_or_else(unknown_batch)?;
    Ok(answer::to_read(&report, &headers, &preferences))
}
