//! `POST /v1/batches/{id}/resend`: sends what failed, or may have failed, again.

use std::time::SystemTime;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request as HttpRequest, State as FromState};
use axum::response::Response;
use http::HeaderMap;

use crate::api::body::{self, Format, HeldBody};
use crate::api::dto::request::Refusal as Unreadable;
use crate::api::dto::resend::decode;
use crate::api::incoming::of_text;
use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::read_batch::{batch_id, check_known, store_away, unknown_batch};
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::api::sending::{Sending, draining, not_started};
use crate::dispatch::plan::RouteFault;
use crate::dispatch::resend::permission::{NotResent, Permission};
use crate::dispatch::resend::{Refusal, Request, Wanted};
use crate::domain::batch::Batch;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::BatchId;
use crate::telemetry::trace_context::TraceId;

/// Sends recipients of a batch again and waits for that as for a send.
///
/// The new batch belongs to whom the old one belongs to, also if an operator asks: a family has one owner, who
/// sees all of it.
///
/// # Errors
/// A [`Problem`]; nothing was sent then, and nothing will be.
pub async fn resend(
    FromState(state): FromState<State>,
    caller: Caller,
    (Extension(handed_over), Extension(trace_id)): (Extension<HandedOver>, Extension<TraceId>),
    path: Result<Path<String>, PathRejection>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    caller.spend_batch()?;
    let of = batch_id(path)?;
    // First of all: nobody else learns that the batch exists, whatever stands in the way of sending it.
    check_known(&state, &caller, of).await?;
    let sending = Sending::new(state, caller, handed_over, parts.headers)?;
    sending.admit_unless_keyed()?;
    let Sending { state, caller, headers, .. } = &sending;
    let held = state.bodies.read(headers, body).await?;
    let fingerprint = sending.fingerprint(parts.uri.path()).map(|begun| of_text(&held, begun)).transpose()?;
    let terms = sending.terms(fingerprint);
    if let Some(replayed) = sending.replay(&terms).await? {
        return Ok(replayed);
    }
    let (wanted, expires_at) = read(state, headers, &held, sending.refused())?;
    sending.admit_after_body()?;
    let request = Request { of, wanted, expires_at, terms: terms.clone(), trace_id: Some(trace_id) };
    match state.api.dispatcher.resend(request, caller.clone()).await {
        Ok(started) => sending.answer(started, &terms).await,
        Err(NotResent::Denied(problem)) => Err(problem),
        Err(NotResent::Refused(Refusal::Start(error))) => not_started(error),
        // A twin of this request may have come first.
        Err(NotResent::Refused(refusal)) => match sending.replay(&terms).await? {
            Some(replayed) => Ok(replayed),
            None => Err(explain(of, refusal)),
        },
    }
}

impl Permission for Caller {
    type Denial = Problem;

    fn allow(&self, batch: &Batch) -> Result<(), Problem> {
        let channels = batch.routes.iter().map(|route| &route.channel);
        let forbidden = channels.filter(|channel| !self.may_use(channel.as_str())).map(|channel| {
            let detail = format!("this key may not use the channel `{channel}`");
            // The request has no routes to point into.
            Fault::new("", FaultCode::NotAllowed, detail)
        });
        let forbidden: Vec<_> = forbidden.collect();
        if forbidden.is_empty() { Ok(()) } else { Err(Problem::forbidden_channels(forbidden)) }
    }

    fn take_recipients(&self, count: usize) -> Result<(), Problem> {
        self.spend_recipients(count)
    }

    fn give_back_recipients(&self, count: usize) {
        self.return_recipients(count);
    }
}

/// Which recipients are wanted, and until when.
fn read(
    state: &State,
    headers: &HeaderMap,
    held: &HeldBody,
    mut faults: Vec<Fault>,
) -> Result<(Wanted, SystemTime), Problem> {
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
        Refusal::Start(error) => Problem::new(ProblemCode::Internal, error.to_string()),
        Refusal::Store(error) => store_away(of, &error),
        Refusal::Internal => Problem::new(ProblemCode::Internal, refusal.to_string()),
    }
}

/// A fault of a route as one of the whole request, which has no routes to point into.
fn whole(RouteFault { route_index, fault }: RouteFault) -> Fault {
    let Fault { pointer, code, detail } = fault;
    Fault::new("", code, format!("route {route_index} can no longer be sent: {pointer}: {detail}"))
}
