//! What the tests of this provider share: a channel from settings, a route from a request, one call.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, Call, Prepared};
use crate::domain::fault::Fault;
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::route::Route;
use crate::providers::easemob_relay::sandbox::SANDBOX;
use crate::providers::easemob_relay::{NAME, PROVIDER};
use crate::providers::test_rig::channel::{self, TestChannel, from_toml, merged};
use crate::providers::test_rig::engine::{self, distinct};
use crate::providers::test_rig::intent;

/// The channel of the stand-in's account, with further keys.
pub(super) fn channel(extra: &Value) -> TestChannel {
    let built = try_channel(SANDBOX.settings, extra);
    built.unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub(super) fn try_channel(settings: &str, extra: &Value) -> Result<TestChannel, Vec<Fault>> {
    channel::try_channel(&PROVIDER, &merged(&from_toml(settings), extra))
}

/// A fixture's `intent` as a route; `None` if the edge would refuse it.
pub(super) fn route(intent: &Value) -> Option<Arc<Route>> {
    intent::route(NAME, intent)
}

pub(super) fn text_route(to: &[&str]) -> Value {
    json!({
        "from": SANDBOX.sender,
        "to": to,
        "message": { "type": "text", "text": "测试123" },
    })
}

/// A text to these, prepared on the channel without further keys, and everybody once.
pub(super) fn prepared_text(to: &[&str]) -> (Arc<Route>, Box<dyn Prepared>, Positions) {
    let route = route(&text_route(to)).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    (route, prepared, positions)
}

pub(super) fn call<'a>(list: &'a RecipientList, positions: &'a Positions) -> Call<'a> {
    engine::call(list, positions, SystemTime::UNIX_EPOCH, 1)
}

pub(super) fn signed(
    channel: &TestChannel,
    route: &Route,
    prepared: &dyn Prepared,
    call: &Call<'_>,
) -> WireRequest {
    let request = prepared.encode(call);
    assert!(request.query.is_empty(), "no credentials before signing");
    channel.signed(&Attempt { route, now: call.now, nonce: 2 }, request)
}
