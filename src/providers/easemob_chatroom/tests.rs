//! The golden fixtures, and what they leave open.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::test_rig::{
    FIXTURE_KEYS, NOW, build, call, prepare, recipients, request, route, settle, text_intent,
};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Audience, AuthError, MessageCost, Repeat, Verdict};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::RecipientList;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::channel::TestChannel;
use crate::providers::test_rig::engine::everybody;
use crate::providers::test_rig::fixture::{self, fixtures, response};

const FOLDER: &str = "easemob-chatroom";

fn rig(fixture: &Value) -> TestChannel {
    let mut keys = FIXTURE_KEYS.to_owned();
    for (key, value) in fixture["config"].as_object().into_iter().flatten() {
        keys.push_str(&format!("{key} = {value}\n"));
    }
    build(&keys).unwrap()
}

fn faults(intent: &Value) -> Vec<Fault> {
    let rig = build(FIXTURE_KEYS).unwrap();
    let result = rig.adapter.prepare(&route(intent).unwrap());
    result.err().unwrap_or_default()
}

fn check_request(id: &str, request: &WireRequest, expected: &Value) {
    fixture::check_request(id, expected, request, fixture::no_signature);
    assert!(request.query.is_empty(), "{id}");
    for (name, value) in &request.headers {
        assert_eq!(value.is_sensitive(), name == "authorization", "{id}");
    }
}

/// Compares an outcome; what the provider's code is to others may be a cause here.
fn check_outcome(id: &str, outcome: &Outcome, expected: &Value) {
    let mut outcome = outcome.clone();
    if let Outcome::Failed(failure) | Outcome::Unknown(failure) = &mut outcome
        && failure.provider_code.is_none()
    {
        failure.provider_code = failure.cause.map(|cause| cause.to_string().into());
    }
    fixture::check_outcome(id, expected, &outcome, Evidence::Unverified);
}

fn check_repeat(id: &str, verdict: &Verdict, expected: &Value) {
    let Verdict::Refused { repeat, .. } = verdict else {
        return;
    };
    let error = &expected["recipients"][0]["error"];
    let expected = match (error["retry"].as_str().unwrap(), error["class"].as_str().unwrap()) {
        ("yes", _) => Repeat::Safe,
        ("refresh-once", _) => Repeat::WithNewToken,
        ("no", "invalid_request" | "permission" | "authentication") => Repeat::EndsRoute,
        _ => Repeat::Never,
    };
    assert_eq!(*repeat, expected, "{id}");
}

/// Sends every exchange of a fixture and compares requests, answers and the outcomes of all recipients.
fn check_exchanges(fixture: &Value, exchanges: &[Value]) {
    let id = fixture::id(fixture);
    let rig = rig(fixture);
    let (route, prepared) = prepare(&rig, &fixture["intent"]);
    let list = recipients(&route, &*prepared);
    let size = prepared.chunking().recipients_per_call;
    let chunks: Vec<_> = everybody(&list).chunks(size).collect();
    assert_eq!(chunks.len(), exchanges.len(), "{id}");
    let expected = fixture::called(fixture);
    let mut position = 0;
    for (chunk, exchange) in chunks.iter().zip(exchanges) {
        let call = call(&list, chunk);
        let request = request(&rig, &route, &*prepared, &call, "TEST-APP-TOKEN");
        check_request(id, &request, &exchange["request"]);
        if exchange.get("script").is_some() {
            return;
        }
        let response = response(exchange).unwrap();
        let answer = prepared.decode(&call, &response);
        if let (Ok(answer), 1) = (&answer, exchanges.len()) {
            check_repeat(id, &answer.verdict, &fixture["expect"]);
        }
        let outcomes = settle(answer, &response, call.recipients.len());
        assert_eq!(outcomes.len(), call.recipients.len(), "{id}");
        for (recipient, outcome) in call.recipients.iter().zip(outcomes.iter()) {
            assert_eq!(expected[position]["recipient"], recipient, "{id}");
            check_outcome(id, outcome, expected[position]);
            if let Audience::Members { chatroom_id, .. } = prepared.audience() {
                assert_eq!(expected[position]["chatroom_id"], *chatroom_id, "{id}");
            }
            position += 1;
        }
    }
    assert_eq!(position, expected.len(), "{id}");
}

#[test]
fn writes_every_request_fixture() {
    for fixture in fixtures(FOLDER, "request", 28) {
        let rig = rig(&fixture);
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let list = recipients(&route, &*prepared);
        assert!(list.len() <= prepared.chunking().recipients_per_call);
        let request = request(&rig, &route, &*prepared, &call(&list, &everybody(&list)), "TEST-APP-TOKEN");
        check_request(fixture::id(&fixture), &request, &fixture["request"]);
        assert_eq!(request.timeout, Duration::from_secs(10));
    }
}

#[test]
fn settles_every_exchange_fixture() {
    for fixture in fixtures(FOLDER, "exchange", 50) {
        check_exchanges(&fixture, std::slice::from_ref(&fixture));
    }
}

#[test]
fn settles_every_multi_fixture() {
    for fixture in fixtures(FOLDER, "multi", 2) {
        check_exchanges(&fixture, fixture["exchanges"].as_array().unwrap());
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let mut refused_by_the_api = Vec::new();
    for fixture in fixtures(FOLDER, "reject", 26) {
        match route(&fixture["intent"]) {
            None => refused_by_the_api.push(fixture["id"].as_str().unwrap().to_owned()),
            Some(route) => {
                let result = rig(&fixture).adapter.prepare(&route);
                assert!(result.is_err_and(|faults| !faults.is_empty()), "{}", fixture["id"]);
            }
        }
    }
    let expected = ["reject-custom-exts-number", "reject-image-without-url", "reject-no-recipients"];
    assert_eq!(refused_by_the_api, expected);
}

#[test]
fn reads_every_token_fixture() {
    for fixture in fixtures(FOLDER, "token", 7) {
        let id = fixture::id(&fixture);
        let rig = rig(&fixture);
        if let Some(expected) = fixture.get("request") {
            let request = rig.grant().encode_grant(0).unwrap();
            assert!(request.has_secret_body);
            check_request(id, &request, expected);
        }
        let expected = &fixture["expect"];
        match rig.grant().decode_grant(&response(&fixture).unwrap(), NOW) {
            Ok(token) => {
                assert_eq!(token.value.expose(), expected["token"], "{id}");
                assert_eq!(
                    token.lifetime.map(|life| life.as_secs()),
                    expected["lifetime_s"].as_u64(),
                    "{id}"
                );
                assert_eq!(token.lifetime.is_some(), token.refresh_at.is_some(), "{id}");
            }
            Err(AuthError::Refused { failure }) => {
                assert_eq!(failure.kind.as_str(), expected["error_class"], "{id}");
                assert_eq!(failure.retryable, expected["retry"] == "yes", "{id}");
            }
            Err(AuthError::Unusable(what)) => panic!("{id}: {what}"),
        }
    }
}

#[test]
fn renews_tokens_before_their_end_but_never_too_often() {
    let rig = build(FIXTURE_KEYS).unwrap();
    let grant = rig.grant();
    for (expires_in, refresh_after) in [
        (json!(5_184_000), Some(5_184_000 - 3600)),
        (json!(7200), Some(6480)),
        (json!(300), Some(240)),
        (json!(60), Some(30)),
        (json!("7200"), Some(6480)),
        (json!(0), None),
        (json!(-1), None),
        (json!(1.5), None),
        (Value::Null, None),
    ] {
        let body = json!({"access_token": "t", "expires_in": expires_in}).to_string();
        let token = grant.decode_grant(&WireResponse::json(StatusCode::OK, body), NOW).unwrap();
        let after = token.refresh_at.map(|at| at.duration_since(NOW).unwrap());
        assert_eq!(after, refresh_after.map(Duration::from_secs), "{expires_in}");
    }
}

#[test]
fn unusable_token_answers_are_provider_errors() {
    let rig = build(FIXTURE_KEYS).unwrap();
    let grant = rig.grant();
    for (status, body, class, is_retryable) in [
        (200, "<html>", "provider_error", true),
        (200, "{\"access_token\":\"\"}", "provider_error", true),
        (200, "{\"error\":\"invalid_grant\"}", "authentication", false),
        (302, "", "provider_error", true),
        (401, "", "authentication", false),
        (415, "", "invalid_request", false),
        (503, "", "provider_unavailable", true),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let Err(AuthError::Refused { failure }) = grant.decode_grant(&WireResponse::json(status, body), NOW)
        else {
            panic!("{status} {body}");
        };
        assert_eq!((failure.kind.as_str(), failure.retryable), (class, is_retryable), "{status} {body}");
    }
}

#[test]
fn a_static_token_is_used_and_never_renewed() {
    let rig = build("org_name = \"o\"\napp_name = \"a\"\napp_token = \"T\"").unwrap();
    let grant = rig.grant();
    let token = grant.fixed().unwrap();
    assert_eq!((token.value.expose(), token.refresh_at), ("T", None));
    assert!(matches!(grant.encode_grant(0), Err(AuthError::Refused { .. })));
}

#[test]
fn wrong_keys_name_themselves() {
    let check = |keys: &str, expected: &[&str]| {
        let faults = build(keys).err().unwrap();
        let pointers: Vec<_> = faults.iter().map(|fault| &*fault.pointer).collect();
        assert_eq!(pointers, expected, "{keys}");
    };
    check("", &["/org_name", "/app_name", "/client_id", "/client_secret"]);
    check(
        "org_name = \"o\"\napp_name = \"\"\napp_token = \"t\"\nclient_id = \"c\"\ntoken_ttl_seconds = 5",
        &["/app_name", "/client_id", "/token_ttl_seconds"],
    );
    check(&format!("{FIXTURE_KEYS}token_ttl_seconds = -1"), &["/token_ttl_seconds"]);
    check(&format!("{FIXTURE_KEYS}secret = \"x\""), &["/secret"]);
}

#[test]
fn names_of_the_app_are_percent_encoded() {
    let keys = FIXTURE_KEYS.replace("test-app", "a/b?c");
    let request = build(&keys).unwrap().grant().encode_grant(0).unwrap();
    assert_eq!(request.path, "/test-org/a%2Fb%3Fc/token");
}

#[test]
fn lists_all_faults_at_once() {
    let intent = json!({
        "from": "", "to": ["1", "2"], "target_type": "group", "ext": "x", "push": {"title": "t"},
        "message": {"type": "custom", "event": "a b", "data": 1, "sound": "s"},
        "provider_options": {"easemob_chatroom": {"users": [], "chatroom_msg_level": "top", "x": 1}},
    });
    let mut pointers: Vec<_> = faults(&intent).into_iter().map(|fault| fault.pointer).collect();
    pointers.sort();
    let expected = [
        "/ext",
        "/from",
        "/message/data",
        "/message/event",
        "/message/sound",
        "/provider_options/easemob_chatroom/chatroom_msg_level",
        "/provider_options/easemob_chatroom/users",
        "/provider_options/easemob_chatroom/x",
        "/push",
        "/target_type",
        "/to",
    ];
    assert_eq!(pointers, expected);
}

#[test]
fn refuses_native_payloads_with_another_shape() {
    for (payload, pointer) in [
        (json!([]), "/message/payload"),
        (json!({"type": "txt"}), "/message/payload/body"),
        (json!({"type": "txt", "body": {}}), "/message/payload/body"),
        (json!({"type": "sms", "body": {"a": 1}}), "/message/payload/type"),
        (json!({"type": "txt", "body": {"a": 1}, "to": []}), "/message/payload/to"),
    ] {
        let mut intent = text_intent();
        intent["message"] = json!({"type": "native", "payload": payload});
        let found = faults(&intent);
        assert_eq!(found.len(), 1, "{payload}");
        assert_eq!(found[0].pointer, pointer, "{payload}");
    }
}

#[test]
fn the_size_limit_counts_ext_from_the_options_and_native_bodies() {
    let check = |intent: &Value, is_taken: bool| {
        let found = faults(intent);
        assert_eq!(found.is_empty(), is_taken, "{found:?}");
        assert!(found.iter().all(|fault| fault.code == FaultCode::TooLarge));
    };
    for (length, is_taken) in [(5120 - 10 - 8 - 1, true), (5120 - 10 - 8, false)] {
        let mut intent = text_intent();
        intent["message"]["text"] = "\u{e9}".repeat(length / 2).into();
        let spare = "x".repeat(length % 2 + 1);
        intent["provider_options"] = json!({"easemob_chatroom": {"ext": {"k": spare}}});
        check(&intent, is_taken);
    }
    for (length, is_taken) in [(5110, true), (5111, false)] {
        let mut intent = text_intent();
        let body = json!({"msg": "x".repeat(length)});
        intent["message"] = json!({"type": "native", "payload": {"type": "txt", "body": body}});
        check(&intent, is_taken);
    }
}

#[test]
fn warns_of_hints_that_have_no_field() {
    let rig = build(FIXTURE_KEYS).unwrap();
    let check = |message: Value, expected: &[&str]| {
        let mut intent = text_intent();
        intent["message"] = message;
        let (_, prepared) = prepare(&rig, &intent);
        let warnings = prepared.warnings().iter();
        let found: Vec<_> = warnings
            .map(|warning| {
                assert_eq!(warning.code, WarningCode::FieldLeftOut);
                warning.pointer.as_deref().unwrap()
            })
            .collect();
        assert_eq!(found, expected);
    };
    check(
        json!({"type": "image", "url": "https://x/a", "width": 1, "size_bytes": 2, "format": "png", "id": "i",
               "thumbnail_url": "https://x/b", "thumbnail_width": 3}),
        &[
            "/message/width",
            "/message/size_bytes",
            "/message/format",
            "/message/id",
            "/message/thumbnail_url",
            "/message/thumbnail_width",
        ],
    );
    check(
        json!({"type": "audio", "url": "https://x/a", "size_bytes": 2, "id": "i"}),
        &["/message/size_bytes", "/message/id"],
    );
    check(
        json!({"type": "video", "url": "https://x/a", "size_bytes": 2, "format": "mp4", "thumbnail_height": 1,
               "thumbnail_format": "JPG"}),
        &["/message/format", "/message/thumbnail_height", "/message/thumbnail_format"],
    );
    check(json!({"type": "file", "url": "https://x/a", "size_bytes": 2}), &["/message/size_bytes"]);
}

#[test]
fn members_carry_the_rooms_reference_and_cost_one_message_a_call() {
    let rig = build(&format!("{FIXTURE_KEYS}recipients_per_call = 3")).unwrap();
    let mut intent = text_intent();
    intent["provider_options"] = json!({"easemob_chatroom": {"users": ["a", 7]}});
    let mut route = route(&intent).unwrap();
    let mut to = RecipientList::default();
    to.push_with_reference("room", "our-room".into());
    Arc::get_mut(&mut route).unwrap().to = Arc::new(to);
    let prepared = rig.adapter.prepare(&route).unwrap();
    let Audience::Members { chatroom_id, members } = prepared.audience() else {
        panic!("directed");
    };
    assert_eq!(&*chatroom_id, "room");
    assert_eq!(members.iter().collect::<Vec<_>>(), ["a", "7"]);
    assert_eq!(members.reference(1).map(|reference| &**reference), Some("our-room"));
    let chunking = prepared.chunking();
    assert_eq!((chunking.recipients_per_call, chunking.cost), (20, MessageCost::PerCall));
    let (_, rooms) = prepare(&rig, &text_intent());
    let chunking = rooms.chunking();
    assert_eq!((chunking.recipients_per_call, chunking.cost), (3, MessageCost::PerRecipient));
}

#[test]
fn refuses_empty_ids() {
    let rig = build(FIXTURE_KEYS).unwrap();
    let (_, prepared) = prepare(&rig, &text_intent());
    assert!(prepared.check_recipient("").is_err());
    assert!(prepared.check_recipient("1").is_ok());
    let mut intent = text_intent();
    intent["to"] = json!([""]);
    intent["provider_options"] = json!({"easemob_chatroom": {"users": ["a"]}});
    assert_eq!(faults(&intent)[0].pointer, "/to/0");
}
