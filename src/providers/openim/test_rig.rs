//! What the tests of this folder share: a channel from settings, a route from a request, one send.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{NAME, PROVIDER};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, Call, Prepared, Token};
use crate::domain::fault::Fault;
use crate::domain::recipients::Positions;
use crate::domain::route::Route;
use crate::providers::test_rig::channel::{self, TestChannel, merged};
use crate::providers::test_rig::engine::{self, Results};
use crate::providers::test_rig::intent;

/// When every test takes place.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Builds a channel from `keys` over the provider's defaults.
pub(super) fn try_channel(keys: &Value) -> Result<TestChannel, Vec<Fault>> {
    channel::try_channel(&PROVIDER, keys)
}

/// A channel with the credentials of the fixtures and the extra keys of one.
pub(super) fn channel(keys: &Value) -> TestChannel {
    let all = merged(&json!({"admin_user_id": "imAdmin", "secret": "openIM123"}), keys);
    try_channel(&all).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The route that a request asks for.
pub(super) fn route(intent: &Value) -> Arc<Route> {
    intent::route(NAME, intent).unwrap()
}

/// A token as a grant gives it.
pub(super) fn token(value: &str) -> Token {
    Token { value: Secret::new(value), issued_at: now(), lifetime: None, refresh_at: None }
}

/// Sends with the token of the fixtures.
pub(super) fn send(
    channel: &TestChannel,
    route: &Arc<Route>,
    mut exchange: impl FnMut(WireRequest) -> Option<WireResponse>,
) -> Results {
    let prepared = channel.adapter.prepare(route).unwrap();
    let attempt = Attempt { route, now: now(), nonce: 7 };
    engine::send(route, &*prepared, now(), |request| {
        exchange(channel.with_token(&attempt, "TEST-ADMIN-TOKEN", request))
    })
}

/// The call to some recipients of a route.
pub(super) fn call<'a>(route: &'a Route, positions: &'a Positions) -> Call<'a> {
    engine::call(&route.to, positions, now(), 1)
}

/// A text to two recipients, prepared.
pub(super) fn prepared_text(channel: &TestChannel) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(&json!({"from": "s", "to": ["a", "b"], "message": {"type": "text", "text": "hi"}}));
    let prepared = channel.adapter.prepare(&route).unwrap();
    (route, prepared)
}
