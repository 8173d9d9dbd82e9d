//! What the tests of this provider share: channels from settings, routes from a fixture's `intent`, calls.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, Audience, Call, DecodeError, Prepared};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::fault::Fault;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::route::Route;
use crate::providers::easemob_chatroom::{NAME, PROVIDER};
use crate::providers::test_rig::channel::{TestChannel, from_toml, try_channel};
use crate::providers::test_rig::{engine, intent};

/// Fixed time of every test.
pub(super) const NOW: SystemTime = UNIX_EPOCH;

/// Keys of the channel that the fixtures assume.
pub(super) const FIXTURE_KEYS: &str = r#"
org_name = "test-org"
app_name = "test-app"
client_id = "TEST-ID"
client_secret = "TEST-SECRET"
"#;

/// Builds a channel from `default.toml` and more keys.
pub(super) fn build(keys: &str) -> Result<TestChannel, Vec<Fault>> {
    try_channel(&PROVIDER, &from_toml(keys))
}

/// The request of one call as it would go out with `token`.
pub(super) fn request(
    rig: &TestChannel,
    route: &Route,
    prepared: &dyn Prepared,
    call: &Call<'_>,
    token: &str,
) -> WireRequest {
    let request = prepared.encode(call);
    assert!(!request.headers.contains_key("authorization"));
    rig.with_token(&Attempt { route, now: NOW, nonce: 0 }, token, request)
}

/// Reads a fixture's `intent`; `None` where the API itself refuses it.
pub(super) fn route(intent: &Value) -> Option<Arc<Route>> {
    intent::route(NAME, intent).filter(|route| !route.to.is_empty())
}

/// The route of an intent and its prepared form.
pub(super) fn prepare(rig: &TestChannel, intent: &Value) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(intent).unwrap();
    let prepared = rig.adapter.prepare(&route);
    let prepared = prepared.unwrap_or_else(|faults| panic!("{intent}: {faults:?}"));
    (route, prepared)
}

/// A text to one room.
pub(super) fn text_intent() -> Value {
    json!({"from": "user1", "to": ["1"], "message": {"type": "text", "text": "x"}})
}

/// The recipients of a prepared route, each once, as the engine would call them.
pub(super) fn recipients(route: &Route, prepared: &dyn Prepared) -> Arc<RecipientList> {
    match prepared.audience() {
        Audience::To => {
            let first = engine::distinct(&route.to);
            Arc::new(call(&route.to, &first).recipients.iter().collect())
        }
        Audience::Members { members, .. } => members,
        Audience::Everyone => panic!("this provider has no send-to-all"),
    }
}

/// A call to those of `list` at `positions`.
pub(super) fn call<'a>(list: &'a RecipientList, positions: &'a Positions) -> Call<'a> {
    engine::call(list, positions, NOW, 0)
}

/// What the engine makes of an answer that is not repeated.
pub(super) fn settle(answer: Result<Answer, DecodeError>, response: &WireResponse, count: usize) -> Outcomes {
    match answer {
        Ok(answer) => engine::settle(&answer, count),
        Err(DecodeError::NotDocumented) => {
            // Errors are all decided by the adapter, since its sheet has a row for every status.
            assert!(response.status.as_u16() < 400);
            let failure = Failure::transport(FailureKind::ProviderError, Cause::UnreadableAnswer);
            Outcomes::same(Outcome::unknown(failure), count)
        }
    }
}
