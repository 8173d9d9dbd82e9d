//! `POST /v1/batches`: sends.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State as FromState};
use axum::response::Response;
use http::HeaderMap;

use crate::api::answer;
use crate::api::body::{self, Format, HeldBody, HeldRoom};
use crate::api::dto::lines::LineReader;
use crate::api::dto::options::IN_MEMORY_ONLY;
use crate::api::dto::request::{Context, Decoded, Refusal, decode};
use crate::api::keys::caller::Caller;
use crate::api::prefer::Preferences;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::request_id::HandedOver;
use crate::api::router::State;
use crate::dispatch::Overloaded;
use crate::dispatch::plan::{Plan, RouteFault};
use crate::dispatch::running::Running;
use crate::domain::fault::{Fault, FaultCode};
use crate::telemetry::trace_context::TraceId;

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
    caller: Caller,
    Extension(handed_over): Extension<HandedOver>,
    Extension(trace_id): Extension<TraceId>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    caller.spend_batch()?;
    let preferences = Preferences::read(&parts.headers);
    let patience = preferences.patience(state.api.settings.batches.default_wait);
    admit(&state, patience)?;
    let refused = refuse_durable(&parts.headers, &preferences);
    let plan = read_plan(&state, &caller, &parts.headers, body, refused).await?;
    // The body may have taken long.
    admit(&state, patience)?;
    let running = start(&state, &caller, plan.with_trace(trace_id), patience)?;
    Ok(follow(&state, &handed_over, &running, &parts.headers, &preferences).await)
}

/// Waits for a batch that was just started as long as the caller prefers, and answers with its report.
pub async fn follow(
    state: &State,
    handed_over: &HandedOver,
    running: &Running,
    headers: &HeaderMap,
    preferences: &Preferences,
) -> Response {
    handed_over.set(running.id());
    running.finished(preferences.wait(state.api.settings.batches.default_wait)).await;
    answer::to_send(&running.report(), headers, preferences)
}

/// Hands a plan over, once its recipients are within the caller's quota.
///
/// # Errors
/// A [`Problem`]; nothing was sent then, and the quota is as before.
fn start(state: &State, caller: &Caller, plan: Plan, patience: Duration) -> Result<Running, Problem> {
    let recipient_count = plan.recipient_count();
    caller.spend_recipients(recipient_count)?;
    state.api.dispatcher.start(plan, patience).map_err(|error| {
        caller.return_recipients(recipient_count);
        overloaded(error)
    })
}

/// A body as it was read.
enum Incoming {
    /// All of it.
    Text(HeldBody),
    /// What was made of its lines on the way.
    Lines(LineReader, HeldRoom),
}

impl Incoming {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Text(held) => held.len(),
            Self::Lines(reader, _) => reader.held_bytes(),
        }
    }
}

/// Reads a body and plans the batch that it asks for; `refused` are faults found in the headers.
///
/// # Errors
/// A [`Problem`] with every fault.
pub async fn read_plan(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    refused: Vec<Fault>,
) -> Result<Plan, Problem> {
    let incoming = match body::format(headers)? {
        Format::Json => Incoming::Text(state.bodies.read(headers, body).await?),
        Format::JsonLines => {
            let limits = &state.api.settings.limits;
            let mut reader = LineReader::new(limits.recipients_per_batch, limits.routes_per_batch);
            let room = state.bodies.read_pieces(headers, body, |piece| {
                reader.push(piece).map_err(|refusal| refuse(refusal, &refused))?;
                Ok(reader.held_bytes())
            });
            let room = room.await?;
            Incoming::Lines(reader, room)
        }
    };
    if incoming.held_bytes() <= LARGE_BODY_BYTES {
        return plan(state, caller, incoming, refused);
    }
    let (state, caller) = (state.clone(), caller.clone());
    tokio::task::spawn_blocking(move || plan(&state, &caller, incoming, refused)).await.unwrap_or_else(
        |error| {
            tracing::error!(%error, "Reading a request failed.");
            Err(Problem::new(ProblemCode::Internal, "reading the request failed"))
        },
    )
}

/// What is wrong with a body of which nothing could be read, and with its headers.
fn refuse(refusal: Refusal, refused: &[Fault]) -> Problem {
    match refusal {
        Refusal::NotJson(detail) => Problem::new(ProblemCode::InvalidJson, detail),
        Refusal::Fault(fault) => Problem::faults(refused.iter().cloned().chain([fault])),
    }
}

fn plan(state: &State, caller: &Caller, incoming: Incoming, refused: Vec<Fault>) -> Result<Plan, Problem> {
    let api = &state.api;
    let dispatcher = &api.dispatcher;
    let context = Context {
        id: dispatcher.new_batch_id(),
        caller,
        now: dispatcher.now(),
        max_age: api.settings.batches.max_age,
        most_routes: api.settings.limits.routes_per_batch,
        most_recipients: api.settings.limits.recipients_per_batch,
        provider_of: &|name| dispatcher.channel(name).map(|channel| channel.provider()),
    };
    let decoded = match incoming {
        Incoming::Text(held) => decode(held.text()?, &context),
        Incoming::Lines(reader, room) => {
            let decoded = reader.finish(&context);
            drop(room);
            decoded
        }
    };
    let decoded = decoded.map_err(|refusal| refuse(refusal, &refused))?;
    let Decoded { batch, origins, faults, forbidden, route_indexes } = decoded;
    if !forbidden.is_empty() {
        return Err(Problem::forbidden_channels(forbidden));
    }
    let mut faults: Vec<_> = refused.into_iter().chain(faults).collect();
    // The adapters judge what could be read even if something else is wrong: all faults in one answer.
    let place = |route_index: usize, pointer: &str| {
        origins.place(route_indexes.get(route_index).copied().unwrap_or(route_index), pointer)
    };
    match dispatcher.plan(batch) {
        Ok(plan) if faults.is_empty() => return Ok(plan.with_pointers(place)),
        Ok(_) => {}
        Err(found) => {
            let read_count = faults.len();
            for RouteFault { route_index, fault } in found {
                let fault = Fault { pointer: place(route_index, &fault.pointer), ..fault };
                // A field that could not be read is no missing field.
                if !faults.iter().take(read_count).any(|known| known.pointer == fault.pointer) {
                    faults.push(fault);
                }
            }
        }
    }
    Err(Problem::faults(faults))
}

/// Whether a new batch may come in now: asked before anything of the body is read.
///
/// `patience`: how long the turns of other batches may keep it waiting.
///
/// # Errors
/// A [`Problem`] that says when to come back.
pub fn admit(state: &State, patience: Duration) -> Result<(), Problem> {
    let dispatcher = &state.api.dispatcher;
    if dispatcher.is_draining() {
        return Err(draining());
    }
    if dispatcher.running_count() >= state.api.settings.limits.batches_in_progress {
        let detail = "too many batches are in progress";
        return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(RETRY_AFTER_SECONDS));
    }
    if dispatcher.is_overloaded(patience) {
        let detail = "every channel has more to do than this request would wait for";
        return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(RETRY_AFTER_SECONDS));
    }
    Ok(())
}

/// The refusal while the process ends.
pub fn draining() -> Problem {
    let detail = "this process is about to end: send the request again";
    Problem::new(ProblemCode::Draining, detail).with_retry_after(RETRY_AFTER_SECONDS)
}

/// One channel has too much to do; the others may not.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped from an error")]
pub fn overloaded(error: Overloaded) -> Problem {
    let problem = Problem::new(ProblemCode::Overloaded, error.to_string());
    problem.with_retry_after(RETRY_AFTER_SECONDS)
}

/// What asks for a batch that outlives the process, and so more than can be kept here.
pub fn refuse_durable(headers: &HeaderMap, preferences: &Preferences) -> Vec<Fault> {
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
