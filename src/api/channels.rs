//! `GET /v1/channels` and `/v1/channels/{name}`: what each channel can do, and what is left of it.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as FromState};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::api::answer;
use crate::api::keys::caller::Caller;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::{BudgetStatus, ChannelRuntime};
use crate::dispatch::circuit::CircuitStatus;
use crate::domain::message::MessageType;

/// Answers with all channels that the caller may look at, by name.
pub async fn list(FromState(state): FromState<State>, caller: Caller) -> Response {
    let dispatcher = &state.api.dispatcher;
    let mut shown = dispatcher.channels();
    shown.retain(|channel| caller.may_look_at(channel.name().as_str()));
    let channels: Vec<_> = shown.iter().map(|channel| describe(dispatcher, channel)).collect();
    answer::with_type("application/json", json!({ "channels": channels }).to_string())
}

/// Answers with one channel.
///
/// # Errors
/// A [`Problem`] if there is no channel of this name, or it is not for this caller.
pub async fn read(
    FromState(state): FromState<State>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let dispatcher = &state.api.dispatcher;
    let name = path.map(|Path(name)| name).unwrap_or_default();
    if !caller.may_look_at(&name) {
        // Whether it exists or not.
        return Err(Problem::new(ProblemCode::Forbidden, "this key may not use this channel"));
    }
    let channel = dispatcher
        .channel(&name)
        .ok_or_else(|| Problem::new(ProblemCode::NotFound, "no channel has this name"))?;
    Ok(answer::with_type("application/json", describe(dispatcher, &channel).to_string()))
}

fn describe(dispatcher: &Dispatcher, channel: &ChannelRuntime) -> Value {
    let profile = channel.profile();
    let status = dispatcher.status(channel);
    let target_types: Vec<_> = profile.target_types.iter().map(|target| target.as_str()).collect();
    json!({
        "name": channel.name().as_str(),
        "provider": channel.provider(),
        "sandbox": channel.is_sandbox(),
        "default_from": channel.default_from(),
        "message_types": message_types(profile),
        "target_types": target_types,
        "sender": match profile.sender {
            SenderRule::Required => "required",
            SenderRule::Optional => "optional",
        },
        "push": profile.has_push,
        "evidence": profile.evidence.as_str(),
        "limits": {
            "recipients_per_call": profile.recipients_per_call,
            "max_payload_bytes": profile.max_payload_bytes,
            "max_in_flight": status.max_in_flight,
        },
        "budgets": { "calls": budget(status.calls), "messages": budget(status.messages) },
        "in_flight": status.in_flight,
        "routes_in_progress": status.route_count,
        "circuit": circuit(status.circuit),
        "token": status.token.as_str(),
    })
}

/// Whether calls go out; while they do not, how long until one tries.
fn circuit(status: CircuitStatus) -> Value {
    let retry_in_seconds = match status {
        CircuitStatus::Open { retry_in } => Some(retry_in.as_secs_f64().ceil()),
        CircuitStatus::Closed | CircuitStatus::HalfOpen => None,
    };
    json!({ "state": status.as_str(), "retry_in_seconds": retry_in_seconds })
}

/// Every type with whether it is carried, and why not.
fn message_types(profile: &Profile) -> Map<String, Value> {
    let describe = |message_type: MessageType| {
        let found = profile.messages.iter().find(|(known, _)| *known == message_type);
        match found.map(|(_, support)| support) {
            Some(Support::Carried) => json!({ "carried": true }),
            Some(Support::Refused(reason)) => json!({ "carried": false, "reason": reason }),
            None => json!({ "carried": false, "reason": "no field for it" }),
        }
    };
    MessageType::ALL
        .into_iter()
        .map(|message_type| (message_type.as_str().to_owned(), describe(message_type)))
        .collect()
}

/// A budget; `null` = not paced. What calls have already reserved ahead counts as nothing left.
fn budget(status: Option<BudgetStatus>) -> Value {
    status.map_or(
        Value::Null,
        |status| json!({ "per_second": status.per_second, "available": status.available.max(0.0) }),
    )
}
