//! `GET /metrics`: what is counted, for a scraper.

use axum::extract::State as FromState;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::telemetry::metrics;

/// Answers as [`read`] does if it is an operator who asks: the series name every channel.
///
/// # Errors
/// A [`Problem`] for everybody else, or if this program is faulty.
pub async fn read_as_operator(state: FromState<State>, caller: Caller) -> Result<Response, Problem> {
    if !caller.is_operator() {
        let detail = "the metrics are for operators: `operator = true` in the table of the key";
        return Err(Problem::new(ProblemCode::Forbidden, detail));
    }
    read(state).await
}

/// Answers with every series, as OpenMetrics text.
///
/// # Errors
/// A [`Problem`] if this program is faulty.
pub async fn read(FromState(state): FromState<State>) -> Result<Response, Problem> {
    let dispatcher = &state.api.dispatcher;
    dispatcher.measure();
    dispatcher.metrics().show_held_bytes(state.bodies.held_bytes());
    let text = dispatcher.metrics().encode().map_err(|error| {
        tracing::error!(%error, "The metrics cannot be written.");
        Problem::new(ProblemCode::Internal, "the metrics cannot be written")
    })?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
