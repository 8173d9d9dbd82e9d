//! `POST /v1/batches`: sends.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State as FromState};
use axum::response::Response;
use http::HeaderMap;

use crate::api::answer;
use crate::api::body::{self, Format, HeldBody};
use crate::api::dto::options::IN_MEMORY_ONLY;
use crate::api::dto::request::{Context, Refusal, decode, decode_lines};
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::dispatch::plan::Plan;
use crate::domain::fault::{Fault, FaultCode};

/// Bodies above this are read and planned away from the threads that serve connections, since they keep one
/// busy for a millisecond and more.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// How soon to come back when the process is full or about to end, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Sends a batch and waits for it as long as the caller prefers.
///
/// # Errors
/// A [`Problem`]; nothing was sent then, and nothing will be.
pub async fn send(
    FromState(state): FromState<State>,
    Extension(handed_over): Extension<HandedOver>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    admit(&state)?;
    let preferences = Preferences::read(&parts.headers);
    let refused = refuse_durable(&parts.headers, &preferences);
    let plan = read_plan(&state, &parts.headers, body, refused).await?;
    // The body may have taken long.
    admit(&state)?;
    let running = state.api.dispatcher.start(plan);
    handed_over.set(running.id());
    running
        .finished(preferences.wait(state.api.settings.batches.default_wait))
        .await;
    Ok(answer::to_send(&running.report(), &parts.headers, &preferences))
}

/// Reads a body and plans the batch that it asks for; `refused` are faults found in the headers.
///
/// # Errors
/// A [`Problem`] with every fault.
pub async fn read_plan(
    state: &State,
    headers: &HeaderMap,
    body: Body,
    refused: Vec<Fault>,
) -> Result<Plan, Problem> {
    let format = body::format(headers)?;
    let held = state.bodies.read(headers, body).await?;
    if held.len() <= LARGE_BODY_BYTES {
        return plan(state, format, &held, refused);
    }
    let state = state.clone();
    tokio::task::spawn_blocking(move || plan(&state, format, &held, refused))
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "Reading a request failed.");
            Err(Problem::new(ProblemCode::Internal, "reading the request failed"))
        })
}

fn plan(state: &State, format: Format, held: &HeldBody, refused: Vec<Fault>) -> Result<Plan, Problem> {
    let api = &state.api;
    let dispatcher = &api.dispatcher;
    let context = Context {
        id: dispatcher.new_batch_id(),
        now: dispatcher.now(),
        max_age: api.settings.batches.max_age,
        most_routes: api.settings.limits.routes_per_batch,
        most_recipients: api.settings.limits.recipients_per_batch,
        provider_of: &|name| dispatcher.channel(name).map(|channel| channel.provider()),
    };
    let text = held.text()?;
    let decoded = match format {
        Format::Json => decode(text, &context),
        Format::JsonLines => decode_lines(text, &context),
    };
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(Refusal::NotJson(detail)) => return Err(Problem::new(ProblemCode::InvalidJson, detail)),
        Err(Refusal::Faults(faults)) => return Err(Problem::faults(refused.into_iter().chain(faults))),
    };
    let origins = decoded.origins;
    let planned = dispatcher.plan(decoded.batch);
    let faults = match planned {
        Ok(plan) if refused.is_empty() => {
            return Ok(plan.with_pointers(|route_index, pointer| origins.place(route_index, pointer)));
        }
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    let placed = faults.into_iter().map(|found| {
        let pointer = origins.place(found.route_index, &found.fault.pointer);
        Fault {
            pointer,
            ..found.fault
        }
    });
    Err(Problem::faults(refused.into_iter().chain(placed)))
}

/// Whether a new batch may come in now: asked before anything of the body is read.
fn admit(state: &State) -> Result<(), Problem> {
    let dispatcher = &state.api.dispatcher;
    if dispatcher.is_draining() {
        let detail = "this process is about to end: send the request again";
        return Err(Problem::new(ProblemCode::Draining, detail).with_retry_after(RETRY_AFTER_SECONDS));
    }
    if dispatcher.running_count() >= state.api.settings.limits.batches_in_progress {
        let detail = "too many batches are in progress";
        return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(RETRY_AFTER_SECONDS));
    }
    Ok(())
}

/// What asks for a batch that outlives the process, and so more than can be kept here.
fn refuse_durable(headers: &HeaderMap, preferences: &Preferences) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut refuse = |what: &str| {
        let detail = format!("{what}: {IN_MEMORY_ONLY}");
        faults.push(Fault::new("", FaultCode::NotAllowed, detail));
    };
    if headers.contains_key("idempotency-key") {
        refuse("no header `Idempotency-Key`");
    }
    if preferences.respond_async {
        refuse("no `Prefer: respond-async`");
    }
    faults
}
