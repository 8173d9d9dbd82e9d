//! Any answer of a provider, read by its adapter (and by its token grant, where it has one).
//!
//! The input: a digit for the route, a character for the status, `1` if the next line is a `Retry-After`
//! header, and the body.

use std::collections::HashSet;
use std::ops::Not as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::header::{HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use imcast::adapter::wire::WireResponse;
use imcast::adapter::{Answer, Audience, Auth, Call, Prepared, Verdict};
use imcast::api::dto::request::{Context, decode};
use imcast::api::keys::caller::Caller;
use imcast::config::build_channel;
use imcast::domain::failure::MAX_RETRY_AFTER;
use imcast::domain::id::BatchId;
use imcast::domain::outcome::Outcome;
use imcast::domain::recipients::{Positions, RecipientList, Recipients};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::targets::seeds::fixtures;

/// A provider under test.
pub(crate) struct Subject {
    pub(crate) provider: &'static str,
    /// The channel's own keys, as TOML.
    pub(crate) keys: &'static str,
    /// Requests without a channel, one per route; fixed places, for regressions name them by number.
    pub(crate) requests: &'static [&'static str],
    /// Whether the answer can be read as saying that this recipient was taken: what every documented success
    /// has at least, read apart from the adapter. `room` is that of directed messages.
    pub(crate) takes: fn(&Statement<'_>, &str) -> bool,
    pub(crate) ready: OnceLock<Ready>,
}

/// An answer as the judge reads it.
pub(crate) struct Statement<'a> {
    pub(crate) status: u16,
    pub(crate) json: &'a Value,
    /// The room that directed messages went through.
    pub(crate) room: Option<&'a str>,
}

/// What is made once of a subject.
pub(crate) struct Ready {
    routes: Vec<PreparedRoute>,
    auth: Auth,
}

struct PreparedRoute {
    prepared: Box<dyn Prepared>,
    recipients: Arc<RecipientList>,
    room: Option<Arc<str>>,
    is_everyone: bool,
}

/// By the place of the status character after `0`; successes stand first and twice, as they decide most.
const STATUSES: [u16; 16] = [200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504];

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

impl Subject {
    /// Takes one input; `true` if somebody is accepted, or a token.
    pub(crate) fn run(&self, input: &[u8]) -> bool {
        let &[route, status, has_header, ref rest @ ..] = input else { return false };
        let response = response(status, has_header, rest);
        let ready = self.ready();
        let place = usize::from(route.wrapping_sub(b'0')) % (ready.routes.len() + 1);
        match (ready.routes.get(place), &ready.auth) {
            (Some(route), _) => self.decode(route, &response),
            (None, Auth::Token(grant)) => grant.decode_grant(&response, now()).is_ok_and(|token| {
                assert!(!token.value.expose().is_empty(), "an empty token");
                assert!(is_object(&response.body), "a token out of something that is no JSON object");
                true
            }),
            (None, Auth::Sign(_)) => false,
        }
    }

    fn decode(&self, route: &PreparedRoute, response: &WireResponse) -> bool {
        let count = if route.is_everyone { 0 } else { u32::try_from(route.recipients.len()).unwrap() };
        let positions = Positions::Range(0..count);
        let call = Call { recipients: Recipients::new(&route.recipients, &positions), now: now(), nonce: 7 };
        let Ok(Answer { verdict, .. }) = route.prepared.decode(&call, response) else { return false };
        let mut accepted = Vec::new();
        match verdict {
            Verdict::Answered(outcomes) => {
                assert!(!route.is_everyone, "an answer about nobody");
                assert_eq!(outcomes.len(), call.recipients.len(), "one outcome per recipient");
                let counts = outcomes.counts();
                assert_eq!(counts.total, counts.accepted + counts.failed + counts.unknown);
                for (offset, id) in call.recipients.iter().enumerate() {
                    let outcome = outcomes.get(offset).expect("an outcome for everybody");
                    if is_accepted(outcome) {
                        accepted.push(id.to_owned());
                    }
                }
                assert_eq!(accepted.len(), counts.accepted);
            }
            Verdict::Listed(listed) => {
                assert!(route.is_everyone, "a list that nobody asked for");
                let distinct: HashSet<_> = listed.iter().map(|(id, _)| id).collect();
                assert_eq!(distinct.len(), listed.len(), "somebody is listed twice");
                let taken = listed.iter().filter(|(_, outcome)| is_accepted(outcome));
                accepted.extend(taken.map(|(id, _)| id.to_string()));
            }
            Verdict::Refused { retry_after, .. } => {
                assert!(retry_after.is_none_or(|wait| wait <= MAX_RETRY_AFTER), "too long a wait");
            }
            Verdict::Undecided(_) => {}
        }
        self.judge(route, response, &accepted);
        accepted.is_empty().not()
    }

    /// Nobody is accepted without the provider's word.
    fn judge(&self, route: &PreparedRoute, response: &WireResponse, accepted: &[String]) {
        if accepted.is_empty() {
            return;
        }
        assert!(is_object(&response.body), "accepted by something that is no JSON object");
        // Numbers beyond every range and deep nesting are JSON that this reader gives up on.
        let Ok(json) = serde_json::from_str(&String::from_utf8_lossy(&response.body)) else { return };
        let statement =
            Statement { status: response.status.as_u16(), json: &json, room: route.room.as_deref() };
        for id in accepted {
            assert!((self.takes)(&statement, id), "{id} is accepted without the provider's word");
        }
    }

    fn ready(&self) -> &Ready {
        self.ready.get_or_init(|| {
            let provider = imcast::providers::find(self.provider).unwrap();
            let channel = build_channel(provider, "https://provider.test", self.keys).unwrap();
            let prepare = |request: &&str| {
                let text = request.replacen('{', r#"{"channel":"c","#, 1);
                let context = Context {
                    id: BatchId::new(1, 1),
                    caller: &Caller::anybody(),
                    now: now(),
                    max_age: Duration::from_secs(3600),
                    most_routes: 1,
                    most_recipients: 100,
                    callback_hosts: None,
                    provider_of: &|_| Some(self.provider),
                };
                let decoded = decode(&text, &context).unwrap();
                assert_eq!(decoded.faults, [], "{text}");
                let route = &decoded.batch.routes[0];
                let prepared = channel.adapter.prepare(route).unwrap_or_else(|faults| panic!("{faults:?}"));
                let (recipients, room, is_everyone) = match prepared.audience() {
                    Audience::To => (Arc::clone(&route.to), None, false),
                    Audience::Members { chatroom_id, members } => (members, Some(chatroom_id), false),
                    Audience::Everyone => (Arc::clone(&route.to), None, true),
                };
                PreparedRoute { prepared, recipients, room, is_everyone }
            };
            let routes = self.requests.iter().map(prepare).collect();
            Ready { routes, auth: channel.auth }
        })
    }

    /// Every answer of the fixtures for every route, about the recipients of that route; then tokens.
    pub(crate) fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = Vec::new();
        for fixture in fixtures(self.provider) {
            let several = fixture["exchanges"].as_array().into_iter().flatten();
            for exchange in several.chain([&fixture]).filter(|exchange| exchange["http_status"].is_u64()) {
                if fixture["kind"] == "token" {
                    seeds.push(seed(self.requests.len(), exchange, &body(exchange)));
                    continue;
                }
                for (place, route) in self.ready().routes.iter().enumerate() {
                    let mut body = body(exchange);
                    let ids = route.room.as_deref().into_iter().chain(route.recipients.iter());
                    for (from, to) in fixture["intent"]["to"].as_array().into_iter().flatten().zip(ids) {
                        let from = from.as_str().map_or_else(|| from.to_string(), str::to_owned);
                        body = body.replace(&from, to.replace('"', "\\\"").as_str());
                    }
                    seeds.push(seed(place, exchange, &body));
                    // Serde takes an array for a struct, which no provider writes.
                    for depth in 0..3 {
                        let json = serde_json::from_str(&body).unwrap_or_default();
                        seeds.push(seed(place, exchange, &as_array(json, depth).to_string()));
                    }
                }
            }
        }
        seeds
    }
}

/// The same with arrays of their values for the objects at one depth.
fn as_array(json: Value, depth: usize) -> Value {
    match json {
        Value::Object(members) if depth == 0 => members.into_iter().map(|(_, value)| value).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, as_array(value, depth - 1))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            other
        }
    }
}

fn body(exchange: &Value) -> String {
    let response = &exchange["response"];
    response["body_text"].as_str().map_or_else(|| response["body"].to_string(), str::to_owned)
}

fn seed(place: usize, exchange: &Value, body: &str) -> Vec<u8> {
    let status = exchange["http_status"].as_u64().unwrap();
    let status = STATUSES.iter().position(|known| u64::from(*known) == status).unwrap_or_default();
    let wait = exchange["response"]["headers"].as_object().and_then(|headers| {
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
        value.as_str()
    });
    let mark = |place: usize| char::from(b'0' + u8::try_from(place).unwrap());
    let header = wait.map_or_else(|| "0".to_owned(), |wait| format!("1{wait}\n"));
    format!("{}{}{header}{body}", mark(place), mark(status)).into_bytes()
}

fn response(status: u8, has_header: u8, rest: &[u8]) -> WireResponse {
    let status = STATUSES[usize::from(status.wrapping_sub(b'0')) % STATUSES.len()];
    let mut headers = HeaderMap::new();
    let mut body = rest;
    if has_header % 2 == 1 {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        if let Ok(value) = HeaderValue::from_bytes(&rest[..end]) {
            headers.insert(RETRY_AFTER, value);
        }
        body = rest.get(end + 1..).unwrap_or_default();
    }
    WireResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_vec().into() }
}

fn is_accepted(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted(acceptance) => {
            if let Some(fields) = &acceptance.provider_fields {
                assert!(is_object(fields.as_str().as_bytes()), "provider fields are an object");
            }
            true
        }
        Outcome::Failed(_) | Outcome::Unknown(_) => false,
    }
}

/// Whether it is a JSON object, but for texts that are not UTF-8: those spoil what stands in them and no more.
fn is_object(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.trim_ascii_start().starts_with('{') && serde_json::from_str::<&RawValue>(&text).is_ok()
}
