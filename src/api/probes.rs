//! `GET /livez` and `/readyz`: for whoever runs the process.

use axum::extract::State as FromState;

use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;

/// Answers as long as the process can answer at all.
pub async fn live() -> &'static str {
    "live\n"
}

/// Answers whether new work should come here.
///
/// # Errors
/// A [`Problem`] from the moment on that the process was told to end.
pub async fn ready(FromState(state): FromState<State>) -> Result<&'static str, Problem> {
    if state.api.dispatcher.is_leaving() {
        return Err(Problem::new(ProblemCode::Draining, "this process is about to end").with_retry_after(1));
    }
    Ok("ready\n")
}
