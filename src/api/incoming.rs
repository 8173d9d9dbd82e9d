//! Reads the body of a request that sends, and plans the batch that it asks for.

use axum::body::Body;
use http::HeaderMap;

use crate::api::body::{self, Format, HeldBody, HeldRoom};
use crate::api::dto::lines::LineReader;
use crate::api::dto::request::{Context, Decoded, Refusal, decode};
use crate::api::idempotency::fingerprint::Fingerprint;
use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::dispatch::plan::{Plan, RouteFault};
use crate::domain::fault::Fault;

/// Bodies above this are read and planned away from the threads that serve connections, since they keep one
/// busy for a millisecond and more.
const LARGE_BODY_BYTES: usize = 256 * 1024;

/// A body that was read and not judged yet.
pub struct Incoming {
    body: Read,
    /// What was wrong with the headers.
    refused: Vec<Fault>,
}

enum Read {
    /// All of it.
    Text(HeldBody),
    /// What was made of its lines on the way.
    Lines(Box<LineReader>, HeldRoom),
}

impl Incoming {
    /// Reads a body; `refused` are faults found in the headers, `fingerprint` is what a hash of it begins with, if
    /// one is wanted.
    ///
    /// # Errors
    /// A [`Problem`] if it cannot be read to its end.
    pub async fn read(
        state: &State,
        headers: &HeaderMap,
        body: Body,
        fingerprint: Option<Fingerprint>,
        refused: Vec<Fault>,
    ) -> Result<Self, Problem> {
        let body = match body::format(headers)? {
            Format::Json => Read::Text(state.bodies.read(headers, body).await?),
            Format::JsonLines => {
                let limits = &state.api.settings.limits;
                let mut reader =
                    LineReader::new(limits.recipients_per_batch, limits.routes_per_batch, fingerprint);
                let room = state.bodies.read_pieces(headers, body, |piece| {
                    reader.push(piece).map_err(|refusal| explain(refusal, &refused))?;
                    Ok(reader.held_bytes())
                });
                let room = room.await?;
                Read::Lines(Box::new(reader), room)
            }
        };
        Ok(Self { body, refused })
    }

    /// Whether looking at all of it takes long.
    fn is_large(&self) -> bool {
        let held_bytes = match &self.body {
            Read::Text(held) => held.len(),
            Read::Lines(reader, _) => reader.held_bytes(),
        };
        held_bytes > LARGE_BODY_BYTES
    }

    /// The hash of what is asked for; `begun` is what it begins with.
    ///
    /// # Errors
    /// A [`Problem`] if the body is no JSON.
    pub async fn fingerprint(self, begun: Fingerprint) -> Result<(Self, [u8; 32]), Problem> {
        let is_large = self.is_large();
        away_if(is_large, move || {
            let mut incoming = self;
            let fingerprint = match &mut incoming.body {
                Read::Text(held) => of_text(held, begun)?,
                Read::Lines(reader, _) => {
                    let ended = reader.end().map_err(|refusal| explain(refusal, &incoming.refused))?;
                    ended.unwrap_or(begun).finish()
                }
            };
            Ok((incoming, fingerprint))
        })
        .await
    }

    /// Plans the batch that the body asks for.
    ///
    /// # Errors
    /// A [`Problem`] with every fault.
    pub async fn plan(self, state: &State, caller: &Caller) -> Result<Plan, Problem> {
        let is_large = self.is_large();
        let (state, caller) = (state.clone(), caller.clone());
        away_if(is_large, move || plan(&state, &caller, self)).await
    }
}

/// The hash of a body that is one JSON value, or nothing.
///
/// # Errors
/// A [`Problem`] if it is no JSON.
pub fn of_text(held: &HeldBody, mut begun: Fingerprint) -> Result<[u8; 32], Problem> {
    let text = held.text()?;
    if !text.trim().is_empty() {
        begun.push(text).map_err(|error| Problem::new(ProblemCode::InvalidJson, error.to_string()))?;
    }
    Ok(begun.finish())
}

/// Works here, or away from the threads that serve connections if it `is_long`.
async fn away_if<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if !is_long {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "Reading a request failed.");
        Err(Problem::new(ProblemCode::Internal, "reading the request failed"))
    })
}

/// What is wrong with a body of which nothing could be read, and with its headers.
fn explain(refusal: Refusal, refused: &[Fault]) -> Problem {
    match refusal {
        Refusal::NotJson(detail) => Problem::new(ProblemCode::InvalidJson, detail),
        Refusal::Fault(fault) => Problem::faults(refused.iter().cloned().chain([fault])),
    }
}

fn plan(state: &State, caller: &Caller, incoming: Incoming) -> Result<Plan, Problem> {
    let Incoming { body, refused } = incoming;
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
    let decoded = match body {
        Read::Text(held) => decode(held.text()?, &context),
        Read::Lines(reader, room) => {
            let decoded = reader.finish(&context);
            drop(room);
            decoded
        }
    };
    let decoded = decoded.map_err(|refusal| explain(refusal, &refused))?;
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
