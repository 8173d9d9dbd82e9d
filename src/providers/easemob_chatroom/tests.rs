//! The golden fixtures, and what they leave open.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_rig::{FIXTURE_KEYS, NOW, Rig, all, build, call, recipients, route, settle};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Audience, AuthError, MessageCost, Prepared, Repeat, Verdict};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::RecipientList;
use crate::domain::report::WarningCode;
use crate::domain::route::Route;

/// All fixtures of one kind; the count guards against files that nobody reads.
fn fixtures(kind: &str, count: usize) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/easemob-chatroom");
    let mut found: Vec<Value> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .filter(|fixture: &Value| fixture["kind"] == kind)
        .collect();
    found.sort_by_key(|fixture| fixture["id"].to_string());
    assert_eq!(found.len(), count, "{kind}");
    found
}

fn rig(fixture: &Value) -> Rig {
    let mut keys = FIXTURE_KEYS.to_owned();
    for (key, value) in fixture["config"].as_object().into_iter().flatten() {
        keys.push_str(&format!("{key} = {value}\n"));
    }
    build(&keys).unwrap()
}

fn prepare(rig: &Rig, intent: &Value) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(intent).unwrap();
    let prepared = rig.adapter.prepare(&route);
    let prepared = prepared.unwrap_or_else(|faults| panic!("{intent}: {faults:?}"));
    (route, prepared)
}

fn faults(intent: &Value) -> Vec<Fault> {
    let rig = build(FIXTURE_KEYS).unwrap();
    let result = rig.adapter.prepare(&route(intent).unwrap());
    result.err().unwrap_or_default()
}

fn text_intent() -> Value {
    json!({"from": "user1", "to": ["1"], "message": {"type": "text", "text": "x"}})
}

fn check_request(id: &Value, request: &WireRequest, expected: &Value) {
    assert_eq!(request.method.as_str(), expected["method"], "{id}");
    assert_eq!(request.path, expected["path"], "{id}");
    assert_eq!(request.encoded_query(), "", "{id}");
    assert!(expected.get("query").is_none(), "{id}");
    let headers = expected["headers"].as_object().unwrap();
    assert_eq!(request.headers.len(), headers.len(), "{id}");
    for (name, value) in headers {
        let sent = &request.headers[name.as_str()];
        assert_eq!(sent.to_str().unwrap(), value, "{id}");
        assert_eq!(sent.is_sensitive(), name == "Authorization", "{id}");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, expected["body"], "{id}");
}

fn response(exchange: &Value) -> WireResponse {
    let status = u16::try_from(exchange["http_status"].as_u64().unwrap()).unwrap();
    let body = match exchange["response"].get("body_text") {
        Some(text) => text.as_str().unwrap().to_owned(),
        None => exchange["response"]["body"].to_string(),
    };
    WireResponse::json(StatusCode::from_u16(status).unwrap(), body)
}

fn check_outcome(id: &Value, outcome: &Outcome, expected: &Value) {
    let error = &expected["error"];
    let (status, failure) = match outcome {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.evidence, Evidence::Unverified);
            assert_eq!(acceptance.message_id.as_deref(), expected["message_id"].as_str(), "{id}");
            assert_eq!(expected["status"], "accepted", "{id}");
            return assert!(error.is_null(), "{id}");
        }
        Outcome::Failed(failure) => ("failed", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
    };
    assert_eq!(status, expected["status"], "{id}");
    assert_eq!(failure.kind.as_str(), error["class"], "{id}");
    if let Some(code) = error["provider_code"].as_str() {
        let cause = failure.cause.map(|cause| cause.to_string());
        let found = failure.provider_code.as_deref().or(cause.as_deref());
        assert_eq!(found, Some(code), "{id}");
    }
    if let Some(message) = error["provider_message"].as_str() {
        assert_eq!(failure.provider_message.as_deref(), Some(message), "{id}");
    }
    let retry = error["retry"].as_str().unwrap();
    let is_retryable = matches!(retry, "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, is_retryable, "{id}");
}

fn check_repeat(id: &Value, verdict: &Verdict, expected: &Value) {
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
    let id = &fixture["id"];
    let rig = rig(fixture);
    let (route, prepared) = prepare(&rig, &fixture["intent"]);
    let list = recipients(&route, &*prepared);
    let size = prepared.chunking().recipients_per_call;
    let chunks: Vec<_> = all(&list).chunks(size).collect();
    assert_eq!(chunks.len(), exchanges.len(), "{id}");
    let expected: Vec<&Value> = fixture["expect"]["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["error"]["class"] != "duplicate_recipient")
        .collect();
    let mut position = 0;
    for (chunk, exchange) in chunks.iter().zip(exchanges) {
        let call = call(&list, chunk);
        let request = rig.request(&route, &*prepared, &call, "TEST-APP-TOKEN");
        check_request(id, &request, &exchange["request"]);
        if exchange.get("script").is_some() {
            return;
        }
        let response = response(exchange);
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
    for fixture in fixtures("request", 28) {
        let rig = rig(&fixture);
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let list = recipients(&route, &*prepared);
        assert!(list.len() <= prepared.chunking().recipients_per_call);
        let request = rig.request(&route, &*prepared, &call(&list, &all(&list)), "TEST-APP-TOKEN");
        check_request(&fixture["id"], &request, &fixture["request"]);
        assert_eq!(request.timeout, Duration::from_secs(10));
    }
}

#[test]
fn settles_every_exchange_fixture() {
    for fixture in fixtures("exchange", 50) {
        check_exchanges(&fixture, std::slice::from_ref(&fixture));
    }
}

#[test]
fn settles_every_multi_fixture() {
    for fixture in fixtures("multi", 2) {
        check_exchanges(&fixture, fixture["exchanges"].as_array().unwrap());
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let mut refused_by_the_api = Vec::new();
    for fixture in fixtures("reject", 26) {
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
    for fixture in fixtures("token", 7) {
        let id = &fixture["id"];
        let rig = rig(&fixture);
        if let Some(expected) = fixture.get("request") {
            let request = rig.grant.encode_grant(0).unwrap();
            assert!(request.has_secret_body);
            check_request(id, &request, expected);
        }
        let expected = &fixture["expect"];
        match rig.grant.decode_grant(&response(&fixture), NOW) {
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
    let grant = build(FIXTURE_KEYS).unwrap().grant;
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
    let grant = build(FIXTURE_KEYS).unwrap().grant;
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
    let grant = build("org_name = \"o\"\napp_name = \"a\"\napp_token = \"T\"").unwrap().grant;
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
    let request = build(&keys).unwrap().grant.encode_grant(0).unwrap();
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

/// Decodes an answer to a call to the rooms "1" and "2"; what is wanted is `status, message id or class`.
fn check_answer(status: u16, body: &str, expected: [(&str, &str); 2], warnings: &[WarningCode]) {
    let rig = build(FIXTURE_KEYS).unwrap();
    let mut intent = text_intent();
    intent["to"] = json!(["1", "2"]);
    let (route, prepared) = prepare(&rig, &intent);
    let list = recipients(&route, &*prepared);
    let positions = all(&list);
    let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body.to_owned());
    let answer = prepared.decode(&call(&list, &positions), &response);
    let found: Vec<_> =
        answer.iter().flat_map(|answer| answer.warnings.iter().map(|warning| warning.code)).collect();
    assert_eq!(found, warnings, "{body}");
    let outcomes = settle(answer, &response, 2);
    for (outcome, expected) in outcomes.iter().zip(expected) {
        let found = match outcome {
            Outcome::Accepted(acceptance) => ("accepted", acceptance.message_id.as_deref().unwrap_or("")),
            Outcome::Failed(failure) => ("failed", failure.kind.as_str()),
            Outcome::Unknown(failure) => ("unknown", failure.kind.as_str()),
        };
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn odd_answers_are_never_acceptances() {
    let open = [("unknown", "unknown"); 2];
    let broken = [("unknown", "provider_error"); 2];
    check_answer(200, r#"{"data":{"1":"x","2":null}}"#, open, &[]);
    check_answer(200, r#"{"data":{"1":{},"2":-5}}"#, open, &[]);
    check_answer(200, r#"{"data":{"1":1.0,"2":1e3}}"#, open, &[]);
    check_answer(200, r#"{"data":["1","2"]}"#, open, &[]);
    check_answer(200, "{}", open, &[]);
    check_answer(200, "[]", broken, &[]);
    check_answer(200, "", broken, &[]);
    check_answer(204, "", broken, &[]);
    check_answer(302, r#"{"data":{"1":"11","2":"12"}}"#, broken, &[]);
    check_answer(200, r#"{"error":"new_error","data":{"1":"11","2":"12"}}"#, broken, &[]);
    check_answer(200, r#"{"error":5,"data":{"1":"11"}}"#, [("accepted", "11"), open[1]], &[]);
}

#[test]
fn strangers_and_contradictions_are_warned_about_once() {
    let taken = [("accepted", "11"), ("accepted", "12")];
    let body = r#"{"data":{"9":"1","1":"11","2":"12","8":"1"}}"#;
    check_answer(200, body, taken, &[WarningCode::UnexpectedRecipient]);
    let body = r#"{"data":{"1":"11","2":"12","1":"13","2":""}}"#;
    check_answer(200, body, taken, &[WarningCode::ContradictoryAnswer]);
    check_answer(200, r#"{"data":{"1":"11","2":"12","1":"11"}}"#, taken, &[]);
}

#[test]
fn errors_without_the_documented_body_are_settled_by_status() {
    let check = |status, expected| check_answer(status, "<html>", [expected; 2], &[]);
    check(400, ("failed", "invalid_request"));
    check(401, ("failed", "authentication"));
    check(403, ("failed", "permission"));
    check(408, ("unknown", "provider_unavailable"));
    check(418, ("failed", "invalid_request"));
    check(429, ("failed", "rate_limited"));
    check(500, ("unknown", "provider_error"));
    check(501, ("failed", "provider_error"));
    check(503, ("unknown", "provider_unavailable"));
    check(520, ("unknown", "provider_unavailable"));
}

#[test]
fn rate_refusals_wait_at_least_their_second() {
    let rig = build(FIXTURE_KEYS).unwrap();
    let (route, prepared) = prepare(&rig, &text_intent());
    let list = recipients(&route, &*prepared);
    for (header, seconds) in [(None, 1), (Some("0"), 1), (Some("7"), 7)] {
        let mut response = WireResponse::json(StatusCode::TOO_MANY_REQUESTS, "");
        if let Some(header) = header {
            response.headers.insert("retry-after", header.parse().unwrap());
        }
        let answer = prepared.decode(&call(&list, &all(&list)), &response).unwrap();
        let Verdict::Refused { retry_after, .. } = answer.verdict else {
            panic!("refused");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(seconds)));
    }
}

/// Decodes anything, for whole rooms and for members, and checks what must hold whatever the bytes.
fn check_invariants(status: u16, body: &[u8]) {
    let rig = build(FIXTURE_KEYS).unwrap();
    let mut directed = text_intent();
    directed["provider_options"] = json!({"easemob_chatroom": {"users": ["a", "b"]}});
    let mut rooms = text_intent();
    rooms["to"] = json!(["1", "2", "3"]);
    for intent in [directed, rooms] {
        let (route, prepared) = prepare(&rig, &intent);
        let list = recipients(&route, &*prepared);
        let response = WireResponse {
            body: Bytes::copy_from_slice(body),
            ..WireResponse::json(StatusCode::from_u16(status).unwrap(), "")
        };
        let answer = prepared.decode(&call(&list, &all(&list)), &response);
        let outcomes = settle(answer, &response, list.len());
        assert_eq!(outcomes.len(), list.len());
        for (id, outcome) in list.iter().zip(outcomes.iter()) {
            let room = if intent.get("provider_options").is_some() { "1" } else { id };
            if matches!(outcome, Outcome::Accepted(_)) {
                assert_eq!(status, 200);
                let names_it = String::from_utf8_lossy(body).contains(&format!("\"{room}\":"));
                assert!(names_it, "accepted without a word about it");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decodes_any_bytes(status in 100u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_invariants(status, &body);
    }

    #[test]
    fn decodes_mutated_answers(
        status in prop_oneof![Just(200u16), Just(400), Just(403), Just(500)],
        is_error in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
    ) {
        let mut body = if is_error {
            br#"{"error":"message_send_error","error_code":14007,"error_description":"message is too large"}"#.to_vec()
        } else {
            br#"{"action":"post","data":{"1":"1029545553039460728","2":1029545553039460729,"3":"success"}}"#.to_vec()
        };
        for (index, byte) in edits {
            let index = index.index(body.len());
            body[index] = byte;
        }
        check_invariants(status, &body);
        body.truncate(length.index(body.len()));
        check_invariants(status, &body);
    }
}
