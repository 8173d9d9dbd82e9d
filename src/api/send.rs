//! `POST /v1/batches`: sends.

use axum::Extension;
use axum::extract::{Request, State as FromState};
use axum::response::Response;

use crate::api::incoming::Incoming;
use crate::api::keys::caller::Caller;
use crate::api::problem::Problem;
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::api::sending::{Sending, not_started};
use crate::dispatch::start::Started;
use crate::telemetry::trace_context::TraceId;

/// Sends a batch and waits for it as long as the caller prefers.
///
/// # Errors
/// A [`Problem`]; nothing was sent then, and nothing will be.
pub async fn send(
    FromState(state): FromState<State>,
    caller: Caller,
    Extension(handed_over): Extension<HandedOver>,
    Extension(trace_id): Extension<TraceId>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    caller.spend_batch()?;
    let sending = Sending::new(state, caller, handed_over, parts.headers)?;
    sending.admit_unless_keyed()?;
    let Sending { state, caller, headers, .. } = &sending;
    let begun = sending.fingerprint(parts.uri.path());
    let mut incoming = Incoming::read(state, headers, body, begun.clone(), sending.refused()).await?;
    let mut fingerprint = None;
    if let Some(begun) = begun {
        let (same, hash) = incoming.fingerprint(begun).await?;
        incoming = same;
        fingerprint = Some(hash);
    }
    let terms = sending.terms(fingerprint);
    if let Some(replayed) = sending.replay(&terms).await? {
        return Ok(replayed);
    }
    let plan = incoming.plan(state, caller).await?.with_trace(trace_id);
    // The body may have taken long.
    sending.admit()?;
    let recipient_count = plan.recipient_count();
    caller.spend_recipients(recipient_count)?;
    match state.api.dispatcher.begin(plan, terms.clone()).await {
        Ok(started) => {
            if matches!(started, Started::Known(_)) {
                caller.return_recipients(recipient_count);
            }
            sending.answer(started, &terms).await
        }
        Err(error) => {
            caller.return_recipients(recipient_count);
            not_started(error)
        }
    }
}
