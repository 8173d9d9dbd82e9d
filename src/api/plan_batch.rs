//! `POST /v1/batches/plan`: the exact calls that a send would make, without making them.

use axum::extract::{Request, State as FromState};
use axum::response::Response;
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::adapter::secret::REDACTED;
use crate::adapter::wire::{WireRequest, push_json_string};
use crate::api::answer;
use crate::api::incoming::Incoming;
use crate::api::keys::caller::Caller;
use crate::api::problem::Problem;
use crate::api::report::json::{push_eta, push_list, push_warnings};
use crate::api::report::line::push_number;
use crate::api::router::State;
use crate::dispatch::plan::{Plan, PlannedCall};

/// Most calls that are shown; all are counted.
const MOST_SHOWN_CALLS: usize = 100;

/// Answers with the plan of a batch.
///
/// # Errors
/// A [`Problem`], as a send would answer.
pub async fn plan_batch(
    FromState(state): FromState<State>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let incoming = Incoming::read(&state, &parts.headers, body, None, Vec::new()).await?;
    let plan = incoming.plan(&state, &caller).await?;
    Ok(answer::with_type("application/json", write(&plan)))
}

fn write(plan: &Plan) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let counts: [(&[u8], usize); 3] = [
        (b"{\"call_count\":", plan.call_count()),
        (b",\"recipient_count\":", plan.recipient_count()),
        (b",\"unsent_count\":", plan.unsent()),
    ];
    for (name, count) in counts {
        out.extend_from_slice(name);
        push_number(&mut out, count);
    }
    out.extend_from_slice(b",\"calls\":");
    let calls = plan.preview(MOST_SHOWN_CALLS);
    push_list(&mut out, calls.iter(), push_call);
    if plan.call_count() > calls.len() {
        out.extend_from_slice(b",\"calls_truncated\":true");
    }
    out.extend_from_slice(b",\"warnings\":");
    push_warnings(&mut out, plan.warnings());
    out.extend_from_slice(b",\"eta\":");
    match plan.eta() {
        Some(eta) => push_eta(&mut out, &eta),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

fn push_call(out: &mut Vec<u8>, call: &PlannedCall) {
    let request = &call.request;
    out.extend_from_slice(b"{\"route_index\":");
    push_number(out, call.route_index);
    for (name, value) in [
        ("channel", call.channel.as_str()),
        ("provider", call.provider),
        ("method", request.method.as_str()),
        ("url", &url(call)),
    ] {
        out.push(b',');
        push_json_string(out, name);
        out.push(b':');
        push_json_string(out, value);
    }
    out.extend_from_slice(b",\"headers\":");
    push_headers(out, &request.headers);
    out.extend_from_slice(b",\"body\":");
    push_body(out, request);
    out.extend_from_slice(b",\"recipient_count\":");
    push_number(out, call.recipient_count);
    out.extend_from_slice(b",\"volatile\":");
    push_list(out, call.volatile.iter(), |out, name| push_json_string(out, name));
    out.push(b'}');
}

fn url(call: &PlannedCall) -> String {
    let query = call.request.redacted_query();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{}{mark}{query}", call.base_url, call.request.path)
}

fn push_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    out.push(b'{');
    for (index, (name, value)) in headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json_string(out, name.as_str());
        out.push(b':');
        let shown =
            if value.is_sensitive() { REDACTED.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        push_json_string(out, &shown);
    }
    out.push(b'}');
}

/// Writes a body as the JSON that it is, or as text.
fn push_body(out: &mut Vec<u8>, request: &WireRequest) {
    if request.has_secret_body {
        push_json_string(out, REDACTED);
    } else if let Ok(json) = serde_json::from_slice::<&RawValue>(&request.body) {
        out.extend_from_slice(json.get().as_bytes());
    } else {
        push_json_string(out, &String::from_utf8_lossy(&request.body));
    }
}
