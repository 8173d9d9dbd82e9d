//! `POST /v1/batches/{id}/resend`: sends what failed, or may have failed, again.

use std::time::SystemTime;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State as FromState};
use axum::response::Response;
use http::HeaderMap;

use crate::api::body::{self, Format};
use crate::api::dto::request::Refusal as Unreadable;
use crate::api::dto::resend::decode;
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::read_batch::{batch_id, store_away, unknown_batch};
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::api::send::{admit, draining, follow, overloaded, refuse_durable};
use crate::dispatch::plan::RouteFault;
use crate::dispatch::resend::{Refusal, Request, Wanted};
use crate::domain::fault::Fault;
use crate::domain::id::BatchId;
use crate::telemetry::trace_context::TraceId;

/// Sends recipients of a batch again and waits for that as for a send.
///
/// # Errors
/// A [`Problem`]; nothing was sent then, and nothing will be.
pub async fn resend(
    FromState(state): FromState<State>,
    Extension(handed_over): Extension<HandedOver>,
    Extension(trace_id): Extension<TraceId>,
    path: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let of = batch_id(path)?;
    let preferences = Preferences::read(&parts.headers);
    let patience = preferences.patience(state.api.settings.batches.default_wait);
    admit(&state, patience)?;
    let refused = refuse_durable(&parts.headers, &preferences);
    let (wanted, expires_at) = read(&state, &parts.headers, body, refused).await?;
    // The body may have taken long.
    admit(&state, patience)?;
    let request = Request { of, wanted, expires_at, patience, trace_id: Some(trace_id) };
    match state.api.dispatcher.resend(request).await {
        Ok(running) => Ok(follow(&state, &handed_over, &running, &parts.headers, &preferences).await),
        Err(refusal) => Err(explain(of, refusal)),
    }
}

/// Which recipients are wanted, and until when.
async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
    mut faults: Vec<Fault>,
) -> Result<(Wanted, SystemTime), Problem> {
    let held = state.bodies.read(headers, body).await?;
    // No body needs no type.
    if !held.is_empty() && body::format(headers)? != Format::Json {
        let detail = "send `content-type: application/json` (with curl: `curl --json`)";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    let (now, max_age) = (state.api.dispatcher.now(), state.api.settings.batches.max_age);
    let asked = match decode(held.text()?, now, max_age) {
        Ok((asked, found)) => {
            faults.extend(found);
            asked
        }
        Err(Unreadable::NotJson(detail)) => return Err(Problem::new(ProblemCode::InvalidJson, detail)),
        Err(Unreadable::Fault(fault)) => return Err(Problem::faults(faults.into_iter().chain([fault]))),
    };
    if !faults.is_empty() {
        return Err(Problem::faults(faults));
    }
    let expires_at = asked.expires_at.or_else(|| now.checked_add(max_age)).unwrap_or(now);
    Ok((asked.wanted, expires_at))
}

fn explain(of: BatchId, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::UnknownBatch => unknown_batch(),
        Refusal::StillRunning(_) | Refusal::NotKept(_) | Refusal::NothingLeft { .. } => {
            Problem::new(ProblemCode::Conflict, refusal.to_string())
        }
        Refusal::Faults(faults) => Problem::faults(faults.into_iter().map(whole)),
        Refusal::Draining => draining(),
        Refusal::Overloaded(error) => overloaded(error),
        Refusal::Store(error) => store_away(of, &error),
        Refusal::Internal => Problem::new(ProblemCode::Internal, refusal.to_string()),
    }
}

/// A fault of a route as one of the whole request, which has no routes to point into.
fn whole(RouteFault { route_index, fault }: RouteFault) -> Fault {
    let Fault { pointer, code, detail } = fault;
    Fault::new("", code, format!("route {route_index} can no longer be sent: {pointer}: {detail}"))
}
