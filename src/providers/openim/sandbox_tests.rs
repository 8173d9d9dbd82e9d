//! The adapter against the stand-in: what one writes, the other must take.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use serde_json::{Value, json};

use super::test_rig::{call, now, route, try_channel};
use super::{PROVIDER, sandbox};
use crate::adapter::sandbox::{StandIn, StandInAnswer};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, AuthError, DecodeError, Prepared, Repeat, Token, Verdict};
use crate::domain::outcome::Outcome;
use crate::domain::recipients::Positions;
use crate::domain::route::Route;
use crate::providers::test_rig::channel::{TestChannel, from_toml, merged};
use crate::providers::test_rig::engine::{arrive, everybody, outcomes, responded};

struct Rehearsal {
    channel: TestChannel,
    stand_in: Box<dyn StandIn>,
}

/// One route of a rehearsal.
struct Rehearsed<'a> {
    rehearsal: &'a Rehearsal,
    route: Arc<Route>,
    prepared: Box<dyn Prepared>,
}

impl Rehearsal {
    fn start(extra: &Value) -> Self {
        let keys = merged(&from_toml(PROVIDER.sandbox.settings), extra);
        let channel = try_channel(&keys).unwrap_or_else(|faults| panic!("{faults:?}"));
        Self { channel, stand_in: (PROVIDER.sandbox.build)() }
    }

    fn fetch_token(&self) -> Result<Token, AuthError> {
        let request = self.channel.grant().encode_grant(1).unwrap();
        let response = responded(arrive(&*self.stand_in, &request, now()));
        self.channel.grant().decode_grant(&response, now())
    }

    fn prepare(&self, intent: &Value) -> Rehearsed<'_> {
        let text = json!({"from": PROVIDER.sandbox.sender, "message": {"type": "text", "text": "hi"}});
        let route = route(&merged(&text, intent));
        let prepared = self.channel.adapter.prepare(&route).unwrap();
        Rehearsed { rehearsal: self, route, prepared }
    }

    /// The decoded answer to a text for `to`, with a token of its own.
    fn send(&self, to: &[&str]) -> Result<Answer, DecodeError> {
        let rehearsed = self.prepare(&json!({"to": to}));
        let token = self.fetch_token().unwrap();
        rehearsed.decode(&responded(rehearsed.arrive(&token, now(), |_| {})))
    }
}

impl Rehearsed<'_> {
    fn positions(&self) -> Positions {
        everybody(&self.route.to)
    }

    /// Sends; `change` spoils the finished request.
    fn arrive(&self, token: &Token, at: SystemTime, change: impl FnOnce(&mut WireRequest)) -> StandInAnswer {
        let positions = self.positions();
        let mut request = self.prepared.encode(&call(&self.route, &positions));
        let attempt = Attempt { route: &self.route, now: at, nonce: 1 };
        self.rehearsal.channel.grant().attach(&attempt, token, &mut request).unwrap();
        change(&mut request);
        arrive(&*self.rehearsal.stand_in, &request, at)
    }

    fn decode(&self, response: &WireResponse) -> Result<Answer, DecodeError> {
        let positions = self.positions();
        self.prepared.decode(&call(&self.route, &positions), response)
    }
}

/// Kind, code and repeat of a refusal.
fn refusal(answer: Result<Answer, DecodeError>) -> (&'static str, String, Repeat) {
    let verdict = answer.unwrap().verdict;
    let Verdict::Refused { failure, repeat, .. } = verdict else {
        panic!("{verdict:?}");
    };
    (failure.kind.as_str(), failure.provider_code.unwrap().into(), repeat)
}

/// `+` accepted, `-` failed, `?` unknown.
fn marks(answer: &Result<Answer, DecodeError>, count: usize) -> String {
    outcomes(answer.as_ref().unwrap(), count)
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted(_) => '+',
            Outcome::Failed(_) => '-',
            Outcome::Unknown(_) => '?',
        })
        .collect()
}

#[test]
fn takes_refuses_and_omits_single_recipients() {
    let rehearsal = Rehearsal::start(&json!({}));
    let (good, bad) = PROVIDER.sandbox.recipients;
    let answer = rehearsal.send(&[good, bad, sandbox::OMIT, "carol"]);
    assert_eq!(marks(&answer, 4), "+-?+");
    assert!(answer.unwrap().warnings.is_empty());
}

#[test]
fn rejects_the_whole_call() {
    let rehearsal = Rehearsal::start(&json!({}));
    let answer = rehearsal.send(&["alice", sandbox::REJECT_CALL]);
    assert_eq!(refusal(answer), ("invalid_request", "1004".to_owned(), Repeat::EndsRoute));
}

#[test]
fn throttles_once_and_always() {
    let rehearsal = Rehearsal::start(&json!({}));
    let throttled = ("rate_limited", "429".to_owned(), Repeat::Safe);
    assert_eq!(refusal(rehearsal.send(&[sandbox::THROTTLE_ONCE])), throttled);
    assert_eq!(marks(&rehearsal.send(&[sandbox::THROTTLE_ONCE]), 1), "+");
    for _ in 0..3 {
        let Verdict::Refused { retry_after, .. } = rehearsal.send(&[sandbox::THROTTLE]).unwrap().verdict
        else {
            panic!("it was taken");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(1)));
    }
}

#[test]
fn drops_and_hangs() {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    let answer = |id: &str| rehearsal.prepare(&json!({"to": [id]})).arrive(&token, now(), |_| {});
    assert!(matches!(answer(sandbox::DROP), StandInAnswer::Drop));
    assert!(matches!(answer(sandbox::HANG), StandInAnswer::Hang));
}

#[test]
fn unusable_answers_are_left_to_the_status() {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    for (id, status) in [(sandbox::BAD_GATEWAY, 502), (sandbox::GARBAGE, 200), (sandbox::UNDECIDED, 500)] {
        let rehearsed = rehearsal.prepare(&json!({"to": ["alice", id]}));
        let response = responded(rehearsed.arrive(&token, now(), |_| {}));
        assert_eq!(response.status, status, "{id}");
        assert_eq!(rehearsed.decode(&response).unwrap_err(), DecodeError::NotDocumented, "{id}");
    }
}

#[test]
fn ends_a_token_once() {
    let rehearsal = Rehearsal::start(&json!({}));
    let rehearsed = rehearsal.prepare(&json!({"to": [sandbox::EXPIRE]}));
    let ended = ("authentication", "1501".to_owned(), Repeat::WithNewToken);
    let first = rehearsal.fetch_token().unwrap();
    for _ in 0..2 {
        let answer = rehearsed.decode(&responded(rehearsed.arrive(&first, now(), |_| {})));
        assert_eq!(refusal(answer), ended);
    }
    let second = rehearsal.fetch_token().unwrap();
    let answer = rehearsed.decode(&responded(rehearsed.arrive(&second, now(), |_| {})));
    assert_eq!(marks(&answer, 1), "+");
}

#[test]
fn tokens_end_and_older_ones_are_kicked() {
    let rehearsal = Rehearsal::start(&json!({"token_endpoint": "user_token"}));
    let rehearsed = rehearsal.prepare(&json!({"to": ["alice"]}));
    let token = rehearsal.fetch_token().unwrap();
    let answer = |token: &Token, at| rehearsed.decode(&responded(rehearsed.arrive(token, at, |_| {})));
    let end = now() + token.lifetime.unwrap();
    assert_eq!(marks(&answer(&token, end - Duration::from_secs(1)), 1), "+");
    assert_eq!(refusal(answer(&token, end)).1, "1501");
    for _ in 0..30 {
        rehearsal.fetch_token().unwrap();
    }
    assert_eq!(refusal(answer(&token, now())).1, "1506");
    assert_eq!(refusal(answer(&super::test_rig::token("forged"), now())).1, "1505");
}

#[test]
fn wrong_credentials_get_no_token() {
    for keys in [json!({"secret": "wrong"}), json!({"admin_user_id": "bob"})] {
        let Err(AuthError::Refused { failure }) = Rehearsal::start(&keys).fetch_token() else {
            panic!("{keys} got a token");
        };
        assert_eq!(failure.kind.as_str(), "authentication");
    }
}

#[test]
fn sends_to_every_registered_user() {
    let rehearsal = Rehearsal::start(&json!({}));
    let rehearsed = rehearsal
        .prepare(&json!({"from": "carol", "to": [], "provider_options": {"openim": {"is_send_all": true}}}));
    let token = rehearsal.fetch_token().unwrap();
    let answer = rehearsed.decode(&responded(rehearsed.arrive(&token, now(), |_| {}))).unwrap();
    let Verdict::Listed(listed) = answer.verdict else {
        panic!("{:?}", answer.verdict);
    };
    let names: Vec<_> = listed.iter().map(|(id, _)| &**id).collect();
    assert_eq!(names, ["imAdmin", "carol", "alice", "bob", sandbox::REFUSE]);
}

#[test]
fn takes_every_message_that_the_adapter_writes() {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    for message in [
        json!({"type": "image", "url": "https://e.com/a.png", "width": 2, "height": 1}),
        json!({"type": "audio", "url": "https://e.com/a.m4a", "duration_seconds": 0.2}),
        json!({"type": "video", "url": "https://e.com/v.mp4", "format": "mp4", "size_bytes": 9,
               "duration_seconds": 1.5, "thumbnail_url": "https://e.com/v.jpg", "thumbnail_width": 2,
               "thumbnail_height": 1}),
        json!({"type": "file", "url": "https://e.com/f", "filename": "f", "size_bytes": 1}),
        json!({"type": "custom", "data": {"k": [1, 2]}}),
        json!({"type": "native", "payload": {"content_type": 1400, "content": {
            "notificationName": "n", "notificationType": 1, "text": "t"}}}),
    ] {
        let rehearsed = rehearsal.prepare(&json!({
            "to": ["alice"], "message": message, "ext": {"k": 1},
            "push": {"title": "t", "ios": {"badge": true}},
            "provider_options": {"openim": {"sender_nickname": "n", "send_time": 5}}}));
        let answer = rehearsed.decode(&responded(rehearsed.arrive(&token, now(), |_| {})));
        assert_eq!(marks(&answer, 1), "+", "{message}");
    }
}

/// Sends a text whose request was spoiled; gives the HTTP status and the code of the refusal.
#[track_caller]
fn check_refused(change: impl FnOnce(&mut WireRequest), status: u16, code: &str) {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    let rehearsed = rehearsal.prepare(&json!({"to": ["alice"]}));
    let response = responded(rehearsed.arrive(&token, now(), change));
    assert_eq!(response.status, status);
    assert_eq!(refusal(rehearsed.decode(&response)).1, code);
}

/// The same, with some members of the body replaced.
#[track_caller]
fn check_body_refused(members: &Value, status: u16, code: &str) {
    check_refused(|request| replace(request, members), status, code);
}

fn replace(request: &mut WireRequest, members: &Value) {
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    request.body = body.to_string().into();
}

#[test]
fn demands_headers_and_a_json_object() {
    check_refused(|request| drop(request.headers.remove("operationID")), 200, "1001");
    check_refused(|request| drop(request.headers.remove("token")), 200, "1001");
    let text = HeaderValue::from_static("text/plain");
    check_refused(|request| drop(request.headers.insert("content-type", text)), 400, "1001");
    check_refused(|request| request.body = "[]".into(), 400, "1001");
    check_refused(|request| request.body = "{".into(), 400, "1001");
}

#[test]
fn demands_fields_and_their_types() {
    for members in [
        json!({"recvIDs": null}),
        json!({"recvIDs": [1]}),
        json!({"recvIDs": vec!["x"; 1001]}),
        json!({"sendID": ""}),
        json!({"notOfflinePush": "true"}),
        json!({"offlinePushInfo": {"iOSBadgeCount": "1"}}),
        json!({"sessionType": 0}),
        json!({"content": "hi"}),
    ] {
        check_body_refused(&members, 400, "1001");
    }
}

#[test]
fn demands_a_content_that_fits_its_type() {
    check_body_refused(&json!({"contentType": 109}), 200, "1001");
    check_body_refused(&json!({"content": {"content": ""}}), 200, "500");
    check_body_refused(&json!({"content": {"content": 1}}), 200, "500");
    check_body_refused(&json!({"contentType": 102}), 200, "500");
    let notification = json!({"notificationName": "n", "notificationType": 1, "text": "t"});
    check_body_refused(&json!({"contentType": 1400, "sendID": "bob", "content": notification}), 200, "1101");
}

#[test]
fn fails_everybody_when_the_session_does_not_fit_the_content() {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    let rehearsed = rehearsal.prepare(&json!({"to": ["alice", "bob"]}));
    let response = responded(rehearsed.arrive(&token, now(), |request| {
        replace(request, &json!({"sessionType": 4}));
    }));
    assert_eq!(marks(&rehearsed.decode(&response), 2), "--");
}

#[test]
fn knows_no_other_path() {
    let rehearsal = Rehearsal::start(&json!({}));
    let token = rehearsal.fetch_token().unwrap();
    let rehearsed = rehearsal.prepare(&json!({"to": ["alice"]}));
    let response = responded(rehearsed.arrive(&token, now(), |request| request.path = "/msg/send".into()));
    assert_eq!(response.status, 404);
}
