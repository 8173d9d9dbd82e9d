//! What the tests of this provider share: a channel from settings, a route from a request, one send.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, Repeat, Verdict};
use crate::domain::fault::Fault;
use crate::domain::outcome::Outcome;
use crate::domain::route::Route;
use crate::providers::test_rig::channel::{self, TestChannel, merged};
use crate::providers::test_rig::engine::{self, Results};
use crate::providers::test_rig::intent;
use crate::providers::volcengine_rtc::{NAME, PROVIDER};

/// Builds a channel from the defaults under `keys`, or says why not.
pub(super) fn try_channel(keys: &Value) -> Result<TestChannel, Vec<Fault>> {
    channel::try_channel(&PROVIDER, keys)
}

/// A channel with the credentials of the fixtures and the extra keys of one.
pub(super) fn channel(config: &Value) -> TestChannel {
    let keys = json!({ "access_key_id": "AKLTTEST", "secret_access_key": "secret", "app_id": 666_675 });
    try_channel(&merged(&keys, config)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The route that a request asks for.
pub(super) fn route(intent: &Value) -> Arc<Route> {
    intent::route(NAME, intent).unwrap()
}

pub(super) fn signed(
    channel: &TestChannel,
    route: &Route,
    request: WireRequest,
    now: SystemTime,
) -> WireRequest {
    channel.signed(&Attempt { route, now, nonce: 1 }, request)
}

pub(super) fn noon() -> SystemTime {
    "2026-11-21T12:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
}

/// Sends at noon; `answer` gets every signed request.
pub(super) fn send(
    channel: &TestChannel,
    route: &Arc<Route>,
    mut answer: impl FnMut(WireRequest) -> Option<WireResponse>,
) -> Results {
    let prepared = channel.adapter.prepare(route).unwrap();
    engine::send(route, &*prepared, noon(), |request| answer(signed(channel, route, request, noon())))
}

/// One outcome per recipient, whatever the verdict.
pub(super) fn outcomes(answer: &Answer, count: usize) -> Vec<Outcome> {
    if let Verdict::Refused { failure, repeat, .. } = &answer.verdict {
        assert_eq!(failure.retryable, *repeat == Repeat::Safe);
    }
    engine::outcomes(answer, count)
}
