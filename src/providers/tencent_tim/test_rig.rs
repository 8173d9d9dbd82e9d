//! A channel without HTTP, and requests written as the fixtures write them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::adapter::{Call, Prepared};
use crate::domain::fault::Fault;
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::route::Route;
use crate::providers::tencent_tim::{NAME, PROVIDER};
use crate::providers::test_rig::channel::{TestChannel, from_toml, try_channel};
use crate::providers::test_rig::{engine, intent};

/// The folder of the fixtures.
pub(super) const FOLDER: &str = "tencent-tim";

/// The time of the vector that has the fixtures' application and administrator.
pub(super) fn vector_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_683_200)
}

/// The credentials of that vector.
pub(super) const FIXTURE_KEYS: &str = "
sdk_app_id = 88888888
identifier = 'admin'
secret_key = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
";

/// Builds a channel from `default.toml` and `keys`.
pub(super) fn build(keys: &str) -> Result<TestChannel, Vec<Fault>> {
    try_channel(&PROVIDER, &from_toml(keys))
}

/// A channel with the fixtures' credentials.
pub(super) fn rig() -> TestChannel {
    build(FIXTURE_KEYS).unwrap()
}

/// Calls with one nonce.
pub(super) fn call<'a>(list: &'a RecipientList, positions: &'a Positions, nonce: u64) -> Call<'a> {
    engine::call(list, positions, vector_time(), nonce)
}

/// The route of an intent and its prepared form.
pub(super) fn prepare(rig: &TestChannel, intent: &Value) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(intent).unwrap();
    let prepared = rig.adapter.prepare(&route);
    let prepared = prepared.unwrap_or_else(|faults| panic!("{intent}: {faults:?}"));
    (route, prepared)
}

/// The faults of an intent.
pub(super) fn faults(intent: &Value) -> Vec<Fault> {
    let result = rig().adapter.prepare(&route(intent).unwrap());
    result.err().unwrap_or_default()
}

/// A text to two accounts.
pub(super) fn text_intent() -> Value {
    json!({"to": ["bonnie", "rong"], "message": {"type": "text", "text": "hi, beauty"}})
}

/// The route of an intent; `None` for a message that the API refuses before any adapter sees it.
pub(super) fn route(intent: &Value) -> Option<Arc<Route>> {
    intent::route(NAME, intent)
}
