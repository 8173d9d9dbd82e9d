//! `GET /metrics`: what is counted, for a scraper.

use axum::extract::State as FromState;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::telemetry::metrics;

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
