//! The adapter against the stand-in, and the stand-in against mistakes.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};

use super::test_rig::{call, channel, route, signed, text_route};
use crate::adapter::sandbox::{StandIn, StandInAnswer};
use crate::adapter::wire::WireRequest;
use crate::adapter::{Answer, DecodeError, Repeat, Verdict};
use crate::domain::failure::Cause;
use crate::domain::outcome::Outcome;
use crate::providers::easemob_relay::sandbox::{self, SANDBOX};
use crate::providers::test_rig::engine::{arrive, distinct, outcomes, responded};

/// Sends to `to` and returns what the stand-in does and what the adapter makes of it.
fn exchange(
    stand_in: &dyn StandIn,
    keys: &Value,
    intent: &Value,
) -> (StandInAnswer, Option<Result<Answer, DecodeError>>) {
    let channel = channel(keys);
    let route = route(intent).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let call = call(&route.to, &positions);
    let answer = arrive(stand_in, &signed(&channel, &route, &*prepared, &call), call.now);
    let decoded = match &answer {
        StandInAnswer::Respond(response) => Some(prepared.decode(&call, response)),
        StandInAnswer::Drop | StandInAnswer::Hang => None,
    };
    (answer, decoded)
}

fn send(stand_in: &dyn StandIn, to: &[&str]) -> (StandInAnswer, Option<Result<Answer, DecodeError>>) {
    exchange(stand_in, &json!({}), &text_route(to))
}

fn answered(to: &[&str]) -> Vec<Outcome> {
    let (_, decoded) = send(&*(SANDBOX.build)(), to);
    outcomes(&decoded.unwrap().unwrap(), to.len())
}

fn status(answer: &StandInAnswer) -> u16 {
    match answer {
        StandInAnswer::Respond(response) => response.status.as_u16(),
        StandInAnswer::Drop | StandInAnswer::Hang => 0,
    }
}

#[test]
fn the_stand_in_answers_each_magic_recipient_as_its_table_says() {
    let (good, refused) = SANDBOX.recipients;
    assert_eq!(refused, sandbox::MAGIC_REFUSE);
    assert!(matches!(answered(&[good, "x"])[..], [Outcome::Accepted(_), Outcome::Accepted(_)]));
    assert!(matches!(answered(&[good, refused])[..], [Outcome::Accepted(_), Outcome::Failed(_)]));
    let omitted = answered(&[good, sandbox::MAGIC_OMIT, refused]);
    let [Outcome::Unknown(open), Outcome::Unknown(_), Outcome::Failed(_)] = &omitted[..] else {
        panic!("{omitted:?}");
    };
    assert_eq!(open.cause, Some(Cause::Unaccounted));
    let (_, decoded) = send(&*(SANDBOX.build)(), &[sandbox::MAGIC_REJECT_CALL]);
    let verdict = decoded.unwrap().unwrap().verdict;
    assert!(matches!(verdict, Verdict::Refused { repeat: Repeat::Never, .. }));
    let (_, decoded) = send(&*(SANDBOX.build)(), &[good, sandbox::MAGIC_UNDECIDED]);
    assert!(matches!(decoded.unwrap().unwrap().verdict, Verdict::Undecided(_)));
}

#[test]
fn the_stand_in_misbehaves_on_demand() {
    let stand_in = (SANDBOX.build)();
    assert!(matches!(send(&*stand_in, &[sandbox::MAGIC_DROP]).0, StandInAnswer::Drop));
    assert!(matches!(send(&*stand_in, &[sandbox::MAGIC_HANG]).0, StandInAnswer::Hang));
    for (magic, expected) in [
        (sandbox::MAGIC_502, 502),
        (sandbox::MAGIC_GARBAGE, 200),
        (sandbox::MAGIC_THROTTLE, 429),
        (sandbox::MAGIC_THROTTLE, 429),
        (sandbox::MAGIC_THROTTLE_ONCE, 429),
    ] {
        let (answer, decoded) = send(&*stand_in, &["x", magic]);
        assert_eq!(status(&answer), expected, "{magic}");
        assert_eq!(decoded.unwrap().err(), Some(DecodeError::NotDocumented), "{magic}");
    }
    let (_, decoded) = send(&*stand_in, &[sandbox::MAGIC_THROTTLE_ONCE]);
    assert!(matches!(outcomes(&decoded.unwrap().unwrap(), 1)[..], [Outcome::Accepted(_)]));
}

#[test]
fn the_stand_in_takes_every_message_type_in_both_encodings() {
    let url = "https://cdn.example.com/x";
    for message in [
        json!({ "type": "text", "text": "x" }),
        json!({ "type": "image", "url": url }),
        json!({ "type": "audio", "url": url }),
        json!({ "type": "video", "url": url }),
        json!({ "type": "file", "url": url, "filename": "a" }),
        json!({ "type": "location", "latitude": -0.0, "longitude": 1e-7, "address": "中关村" }),
        json!({ "type": "command", "action": "a" }),
        json!({ "type": "native", "payload": { "msgType": "txt", "msg": "x", "more": [1, { "k": "\"" }] } }),
    ] {
        for encoding in ["object", "string"] {
            let mut intent = text_route(&["1", "magic-refuse"]);
            intent["message"] = message.clone();
            let keys = json!({ "msg_body_encoding": encoding });
            let (_, decoded) = exchange(&*(SANDBOX.build)(), &keys, &intent);
            let outcomes = outcomes(&decoded.unwrap().unwrap(), 2);
            assert!(
                matches!(outcomes[..], [Outcome::Accepted(_), Outcome::Failed(_)]),
                "{message} {encoding}: {outcomes:?}"
            );
        }
    }
}

/// Changes a sound request and returns the stand-in's status and envelope code.
fn tampered(change: impl FnOnce(&mut WireRequest)) -> (u16, Value) {
    let channel = channel(&json!({}));
    let route = route(&text_route(&["1"])).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let mut request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
    change(&mut request);
    let response = responded(arrive(&*(SANDBOX.build)(), &request, SystemTime::UNIX_EPOCH));
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status.as_u16(), body["code"].clone())
}

#[test]
fn the_stand_in_checks_what_the_document_states() {
    assert_eq!(tampered(|_| ()), (200, json!(200)));
    assert_eq!(tampered(|request| request.path.push('x')).0, 404);
    assert_eq!(tampered(|request| request.method = http::Method::PUT).0, 405);
    assert_eq!(tampered(|request| request.headers.clear()).0, 415);
    let wrong_sign = tampered(|request| request.query[4].value.push('x'));
    assert_eq!(wrong_sign, (200, json!(401)));
    let unsigned = tampered(|request| request.query.truncate(4));
    assert_eq!(unsigned, (200, json!(401)));
    for (pointer, value) in [
        ("/reqUrl", json!("/other")),
        ("/messages", json!([])),
        ("/messages/0/msgType", json!("text")),
        ("/messages/0/msgType", json!("img")),
        ("/messages/0/msgBody", json!("{")),
        ("/messages/0/msgBody", json!(null)),
        ("/messages/0/fileUrl", json!(1)),
        ("/messages/0/msgBody/fromUser", json!("")),
        ("/messages/0/msgBody/toUser", json!(1)),
        ("/messages/0/msgBody/msgType", json!("cmd")),
        ("/messages/0/msgBody/msg", json!("")),
        ("/messages/0/msgBody/mediaFile", json!(null)),
        ("/messages/0/msgBody/ext", json!("{}")),
        ("/messages/0/msgBody/targetType", json!("user")),
    ] {
        let answer = tampered(|request| {
            let mut body: Value = serde_json::from_slice(&request.body).unwrap();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            request.body = Bytes::from(body.to_string());
        });
        assert_eq!(answer, (200, json!(400)), "{pointer} = {value}");
    }
}
