//! The adapter against the stand-in, and the stand-in's own rules.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::{Value, json};

use super::sandbox;
use super::test_rig::{NOW, build, call, recipients, request, route};
use crate::adapter::sandbox::{StandIn, StandInAnswer};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, AuthError, DecodeError, Repeat, Verdict};
use crate::domain::outcome::Outcome;
use crate::providers::easemob_chatroom::PROVIDER;
use crate::providers::test_rig::channel::TestChannel;
use crate::providers::test_rig::engine::{arrive, everybody, responded};

/// An adapter and the stand-in that it talks to.
struct Rehearsal {
    rig: TestChannel,
    stand_in: Box<dyn StandIn>,
}

impl Rehearsal {
    fn new() -> Self {
        Self { rig: build(PROVIDER.sandbox.settings).unwrap(), stand_in: (PROVIDER.sandbox.build)() }
    }

    fn respond(&self, request: &WireRequest, now: SystemTime) -> WireResponse {
        responded(arrive(&*self.stand_in, request, now))
    }

    fn token(&self, now: SystemTime) -> String {
        let response = self.respond(&self.rig.grant().encode_grant(0).unwrap(), now);
        let token = self.rig.grant().decode_grant(&response, now).unwrap();
        token.value.expose().to_owned()
    }

    /// One call with everybody in it; `Err` where the stand-in gives no answer.
    fn send(
        &self,
        intent: &Value,
        token: &str,
        now: SystemTime,
    ) -> Result<Result<Answer, DecodeError>, &str> {
        let route = route(intent).unwrap();
        let prepared = self.rig.adapter.prepare(&route).unwrap();
        let list = recipients(&route, &*prepared);
        let positions = everybody(&list);
        let call = call(&list, &positions);
        let request = request(&self.rig, &route, &*prepared, &call, token);
        match arrive(&*self.stand_in, &request, now) {
            StandInAnswer::Respond(response) => Ok(prepared.decode(&call, &response)),
            StandInAnswer::Drop => Err("drop"),
            StandInAnswer::Hang => Err("hang"),
        }
    }

    /// A request of any body with a good token.
    fn raw(&self, path: &str, body: &Value) -> WireResponse {
        let path = format!("/sandbox-org/sandbox-app/{path}");
        let mut request = WireRequest::post_json(path, body.to_string(), Duration::from_secs(1));
        assert!(request.set_header(http::header::ACCEPT, "application/json"));
        let bearer = format!("Bearer {}", self.token(NOW));
        assert!(request.set_secret_header(http::header::AUTHORIZATION, &bearer));
        self.respond(&request, NOW)
    }
}

fn to_rooms(rooms: &[&str]) -> Value {
    json!({"from": "admin", "to": rooms, "message": {"type": "text", "text": "x"}})
}

fn to_members(users: &[&str]) -> Value {
    json!({"from": "admin", "to": ["1"], "message": {"type": "text", "text": "x"},
           "provider_options": {"easemob_chatroom": {"users": users}}})
}

/// What one answer comes to, in a line.
fn describe(answer: Result<Result<Answer, DecodeError>, &str>) -> String {
    match answer {
        Err(silence) => silence.to_owned(),
        Ok(Err(DecodeError::NotDocumented)) => "unreadable".to_owned(),
        Ok(Ok(answer)) => match answer.verdict {
            Verdict::Answered(outcomes) => {
                let words: Vec<_> = outcomes
                    .iter()
                    .map(|outcome| match outcome {
                        Outcome::Accepted(_) => "accepted",
                        Outcome::Failed(_) => "failed",
                        Outcome::Unknown(_) => "unknown",
                    })
                    .collect();
                words.join(" ")
            }
            Verdict::Refused { failure, repeat, .. } => format!("{} {repeat:?}", failure.kind.as_str()),
            Verdict::Undecided(failure) => format!("undecided {}", failure.kind.as_str()),
            Verdict::Listed(_) => "listed".to_owned(),
        },
    }
}

#[test]
fn every_magic_id_does_what_its_table_says() {
    for (magic, first, then) in [
        ("185145305923585", "accepted accepted", "accepted accepted"),
        (sandbox::REFUSE, "permission EndsRoute", "permission EndsRoute"),
        (sandbox::REJECT_CALL, "invalid_request EndsRoute", "invalid_request EndsRoute"),
        (sandbox::THROTTLE_ONCE, "rate_limited Safe", "accepted accepted"),
        (sandbox::THROTTLE, "rate_limited Safe", "rate_limited Safe"),
        (sandbox::DROP, "drop", "drop"),
        (sandbox::HANG, "hang", "hang"),
        (sandbox::BAD_GATEWAY, "undecided provider_unavailable", "undecided provider_unavailable"),
        (sandbox::GARBAGE, "unreadable", "unreadable"),
        (sandbox::EXPIRE, "authentication WithNewToken", "accepted accepted"),
        (sandbox::UNDECIDED, "undecided provider_error", "undecided provider_error"),
    ] {
        for intent in [to_rooms(&["5", magic]), to_members(&["a", magic])] {
            let rehearsal = Rehearsal::new();
            for expected in [first, then] {
                let token = rehearsal.token(NOW);
                let found = describe(rehearsal.send(&intent, &token, NOW));
                assert_eq!(found, expected, "{magic} {intent}");
            }
        }
    }
}

#[test]
fn an_omitted_room_is_unknown_and_so_are_all_members_of_one() {
    let rehearsal = Rehearsal::new();
    let token = rehearsal.token(NOW);
    let found = describe(rehearsal.send(&to_rooms(&["5", sandbox::OMIT]), &token, NOW));
    assert_eq!(found, "accepted unknown");
    let found = describe(rehearsal.send(&to_members(&["a", sandbox::OMIT]), &token, NOW));
    assert_eq!(found, "unknown unknown");
}

#[test]
fn the_demonstration_recipients_keep_their_word() {
    let rehearsal = Rehearsal::new();
    let token = rehearsal.token(NOW);
    let (accepted, refused) = PROVIDER.sandbox.recipients;
    assert_eq!(describe(rehearsal.send(&to_rooms(&[accepted]), &token, NOW)), "accepted");
    assert_eq!(describe(rehearsal.send(&to_rooms(&[refused]), &token, NOW)), "permission EndsRoute");
}

#[test]
fn takes_every_message_type_that_the_adapter_writes() {
    let rehearsal = Rehearsal::new();
    let token = rehearsal.token(NOW);
    for message in [
        json!({"type": "image", "url": "https://x/a", "filename": "a", "secret": "s", "width": 1, "height": 2}),
        json!({"type": "audio", "url": "https://x/a", "duration_seconds": 1.5}),
        json!({"type": "video", "url": "https://x/a", "thumbnail_url": "https://x/b", "size_bytes": 1}),
        json!({"type": "file", "url": "https://x/a"}),
        json!({"type": "location", "latitude": 1.5, "longitude": -2, "address": "x"}),
        json!({"type": "command", "action": "a"}),
        json!({"type": "custom", "event": "e", "exts": {"k": "v"}}),
        json!({"type": "native", "payload": {"type": "txt", "body": {"msg": "x"}}}),
    ] {
        let mut intent = to_rooms(&["5"]);
        intent["ext"] = json!({"k": {"n": 12345678901234567890_u64}});
        intent["message"] = message;
        assert_eq!(describe(rehearsal.send(&intent, &token, NOW)), "accepted", "{intent}");
    }
}

#[test]
fn tokens_are_checked_and_end() {
    let rehearsal = Rehearsal::new();
    let refused = format!("authentication {:?}", Repeat::WithNewToken);
    let found = describe(rehearsal.send(&to_rooms(&["5"]), "made-up", NOW));
    assert_eq!(found, refused);
    let token = rehearsal.token(NOW);
    let later = NOW + Duration::from_secs(5_184_000);
    assert_eq!(describe(rehearsal.send(&to_rooms(&["5"]), &token, later)), refused);
    assert_eq!(describe(rehearsal.send(&to_rooms(&["5"]), &token, NOW)), "accepted");
}

#[test]
fn wrong_credentials_get_no_token() {
    let mut rehearsal = Rehearsal::new();
    for (name, class) in [
        ("sandbox-client-id", "authentication"),
        ("sandbox-client-secret", "authentication"),
        ("sandbox-app", "invalid_request"),
    ] {
        rehearsal.rig = build(&PROVIDER.sandbox.settings.replace(name, "other")).unwrap();
        let response = rehearsal.respond(&rehearsal.rig.grant().encode_grant(0).unwrap(), NOW);
        let Err(AuthError::Refused { failure }) = rehearsal.rig.grant().decode_grant(&response, NOW) else {
            panic!("{name}");
        };
        assert_eq!(failure.kind.as_str(), class, "{name}");
    }
}

#[test]
fn messages_and_calls_are_counted_by_the_second() {
    let rooms: Vec<String> = (0..10).map(|room| room.to_string()).collect();
    let ten: Vec<&str> = rooms.iter().map(String::as_str).collect();
    for (intent, most) in [(to_rooms(&ten), 10), (to_rooms(&["5"]), 100), (to_members(&ten), 100)] {
        let rehearsal = Rehearsal::new();
        let token = rehearsal.token(NOW);
        let send = |now| describe(rehearsal.send(&intent, &token, now));
        for _ in 0..most {
            assert!(send(NOW).starts_with("accepted"));
        }
        let within = NOW + Duration::from_millis(999);
        assert_eq!(send(within), "rate_limited Safe");
        assert!(send(NOW + Duration::from_secs(2)).starts_with("accepted"));
    }
}

#[test]
fn breaches_of_the_document_get_its_errors() {
    let rehearsal = Rehearsal::new();
    let good = json!({"to": ["1"], "type": "txt", "body": {"msg": "x"}});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let rooms = "messages/chatrooms";
    let users = "messages/chatrooms/users";
    let many: Vec<String> = (0..21).map(|id| id.to_string()).collect();
    for (path, body, expected) in [
        (rooms, good.clone(), ""),
        (rooms, json!([]), "invalid_request_body"),
        (rooms, with("type", json!(1)), "invalid_request_body"),
        (rooms, with("unknown", json!(1)), "invalid_request_body"),
        (rooms, with("from", json!("")), "from can't"),
        (rooms, with("to", json!([])), "to can't"),
        (rooms, with("to", json!(many[..11])), "exceed limit"),
        (rooms, with("type", json!("")), "type can't"),
        (rooms, with("body", json!({})), "body can't"),
        (rooms, with("body", json!({"text": "x"})), "invalid_request_body"),
        (rooms, with("ext", Value::Null), "ext must"),
        (rooms, with("users", json!(["a"])), "illegal_argument"),
        (rooms, with("roam_ignore_users", json!(many)), "illegal_argument"),
        (rooms, with("chatroom_msg_level", json!("top")), "illegal_argument"),
        (rooms, with("body", json!({"msg": "x".repeat(5111)})), "too large"),
        (users, good.clone(), "users can't"),
        (users, with("users", json!(["a"])), ""),
        (users, with("users", json!(many)), "illegal_argument"),
        ("messages/users", good.clone(), "service_resource_not_found"),
    ] {
        let response = rehearsal.raw(path, &body);
        let text = String::from_utf8(response.body.to_vec()).unwrap();
        assert_eq!(response.status == StatusCode::OK, expected.is_empty(), "{body} {text}");
        assert!(text.contains(expected), "{body} {text}");
    }
}

#[test]
fn the_front_checks_method_headers_and_query() {
    let rehearsal = Rehearsal::new();
    let good = Arc::new(rehearsal.rig.grant().encode_grant(0).unwrap());
    let status = |change: &dyn Fn(&mut WireRequest)| {
        let mut request = (*good).clone();
        change(&mut request);
        rehearsal.respond(&request, NOW).status.as_u16()
    };
    assert_eq!(status(&|_| {}), 200);
    assert_eq!(status(&|request| request.method = http::Method::GET), 405);
    assert_eq!(status(&|request| drop(request.headers.remove("content-type"))), 415);
    assert_eq!(status(&|request| drop(request.headers.remove("accept"))), 400);
    assert_eq!(status(&|request| request.push_query("useMsgId", "true")), 400);
    assert_eq!(status(&|request| request.path.push('x')), 404);
    assert_eq!(status(&|request| request.body = "{}".into()), 400);
}
