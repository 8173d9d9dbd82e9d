//! Answers that no fixture has, and texts of any kind.

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_rig::{call, channel, prepared_text, route, text_route};
use crate::adapter::DecodeError;
use crate::adapter::wire::WireResponse;
use crate::domain::failure::FailureKind;
use crate::domain::outcome::Outcome;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::{distinct, outcomes};

fn check_answer(body: &Value, expected: [(&str, FailureKind); 3], codes: &[WarningCode]) {
    let (route, prepared, positions) = prepared_text(&["1", "2", "3"]);
    let response = WireResponse::json(StatusCode::OK, body.to_string());
    let answer = prepared.decode(&call(&route.to, &positions), &response).unwrap();
    let found: Vec<_> = outcomes(&answer, 3)
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted(_) => ("accepted", FailureKind::Internal),
            Outcome::Failed(failure) => ("failed", failure.kind),
            Outcome::Unknown(failure) => ("unknown", failure.kind),
        })
        .collect();
    assert_eq!(found, expected, "{body}");
    let warned: Vec<_> = answer.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(warned, codes, "{body}");
}

#[test]
fn decides_by_code_and_list() {
    const TAKEN: (&str, FailureKind) = ("accepted", FailureKind::Internal);
    const FAILED: (&str, FailureKind) = ("failed", FailureKind::ProviderError);
    const OPEN: (&str, FailureKind) = ("unknown", FailureKind::ProviderError);
    const UNTOLD: (&str, FailureKind) = ("unknown", FailureKind::Unknown);
    let stranger = [WarningCode::UnexpectedRecipient];
    let contradiction = [WarningCode::ContradictoryAnswer];
    let both = [WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer];
    let check = |code: u32, data: Value, expected, codes: &[WarningCode]| {
        check_answer(&json!({ "code": code, "message": "x", "data": data }), expected, codes);
    };
    check(200, json!(null), [TAKEN; 3], &[]);
    check(200, json!(""), [TAKEN; 3], &[]);
    check(200, json!(true), [UNTOLD; 3], &[]);
    check(200, json!(["9"]), [TAKEN; 3], &stranger);
    check(200, json!(["2", "9"]), [TAKEN, UNTOLD, TAKEN], &both);
    check(200, json!(["2", {}]), [UNTOLD; 3], &contradiction);
    check(200, json!([null]), [UNTOLD; 3], &[]);
    check(500, json!([]), [OPEN; 3], &[]);
    check(500, json!("text"), [OPEN; 3], &[]);
    check(500, json!([{}]), [OPEN; 3], &[]);
    check(500, json!(["9"]), [OPEN; 3], &stranger);
    check(500, json!([3, "9", 3, 1]), [FAILED, TAKEN, FAILED], &stranger);
    check(500, json!({ "toUser": "2" }), [TAKEN, FAILED, TAKEN], &[]);
    check(500, json!([{ "msgBody": "{", "toUser": 2 }]), [TAKEN, FAILED, TAKEN], &[]);
    check(500, json!(["2", { "msgBody": {} }]), [UNTOLD, FAILED, UNTOLD], &[]);
    check(500, json!(["", 1.0]), [OPEN; 3], &[]);
    check(403, json!([]), [FAILED; 3], &[]);
    check(403, json!(["2"]), [UNTOLD, FAILED, UNTOLD], &[]);
    check(403, json!(["9"]), [OPEN; 3], &stranger);
    check(403, json!(7), [OPEN; 3], &[]);
}

#[test]
fn reads_a_class_from_the_text() {
    for (text, kind) in [
        ("message is Too Large", FailureKind::InvalidRequest),
        ("message send REACH LIMIT", FailureKind::RateLimited),
        ("HTTP 429", FailureKind::RateLimited),
        ("", FailureKind::ProviderError),
    ] {
        let accepted = ("accepted", FailureKind::Internal);
        let body = json!({ "code": 500, "message": format!("[{text}]"), "data": ["1"] });
        check_answer(&body, [("failed", kind), accepted, accepted], &[]);
    }
}

#[test]
fn is_no_envelope_without_an_integer_code() {
    let (route, prepared, positions) = prepared_text(&["1"]);
    for body in [
        "",
        "null",
        "[200,\"\",[]]",
        "{}",
        "{\"code\":null}",
        "{\"code\":200.0}",
        "{\"code\":\"ok\"}",
        "{\"code\":\"\"}",
        "{\"code\":200",
    ] {
        let response = WireResponse::json(StatusCode::OK, body);
        let decoded = prepared.decode(&call(&route.to, &positions), &response);
        assert_eq!(decoded.err(), Some(DecodeError::NotDocumented), "{body}");
    }
}

/// An answer that says something about three recipients, with bytes cut and changed.
fn mutated_answer() -> impl Strategy<Value = Vec<u8>> {
    let bodies = [
        json!({ "code": 200, "message": "成功", "data": [], "page": null }),
        json!({ "code": 500, "message": "[a, b]", "data": [{ "msgBody": { "toUser": "2" } }, { "toUser": 1 }] }),
        json!({ "code": "500", "message": "[a]", "data": ["3"] }),
        json!({ "code": 500, "message": "x", "data": [{ "msgBody": "{\"toUser\":\"1\"}" }] }),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4);
    (prop::sample::select(bodies.to_vec()), edits).prop_map(|(body, edits)| {
        let mut bytes = body.to_string().into_bytes();
        for (index, byte, is_cut) in edits {
            let index = index.index(bytes.len());
            if is_cut {
                bytes.remove(index);
            } else {
                bytes[index] = byte;
            }
        }
        bytes
    })
}

fn check_any_answer(body: &[u8]) {
    let (route, prepared, positions) = prepared_text(&["1", "2", "3"]);
    let response = WireResponse::json(StatusCode::OK, body.to_vec());
    let Ok(answer) = prepared.decode(&call(&route.to, &positions), &response) else {
        return;
    };
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = value["code"].as_str().map_or_else(|| value["code"].to_string(), str::to_owned);
    let has_acceptance = outcomes(&answer, 3).iter().any(|outcome| matches!(outcome, Outcome::Accepted(_)));
    if has_acceptance && !value.is_null() {
        assert!(code == "200" || code == "500", "{value}");
        let has_list =
            value["data"].as_array().is_some_and(|list| !list.is_empty()) || value["data"].is_object();
        assert!(code == "200" || has_list, "{value}");
    }
}

proptest! {
    #[test]
    fn reads_arbitrary_bytes_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check_any_answer(&body);
    }

    #[test]
    fn reads_mutated_answers_without_panic(body in mutated_answer()) {
        check_any_answer(&body);
    }

    #[test]
    fn both_encodings_carry_any_text(to in "\\PC{1,8}|[\"\\\\\n\u{1}]{1,4}", said in "[^\u{0}]{1,20}") {
        let mut intent = text_route(&[&to]);
        intent["message"]["text"] = json!(said);
        intent["ext"] = json!({ "k\"": said });
        let route = route(&intent).unwrap();
        let positions = distinct(&route.to);
        let body = |encoding: &str| -> Value {
            let channel = channel(&json!({ "msg_body_encoding": encoding }));
            let prepared = channel.adapter.prepare(&route).unwrap();
            let request = prepared.encode(&call(&route.to, &positions));
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            body["messages"][0]["msgBody"].clone()
        };
        let nested = body("string");
        let nested: Value = serde_json::from_str(nested.as_str().unwrap()).unwrap();
        prop_assert_eq!(&nested, &body("object"));
        prop_assert_eq!(&nested["toUser"], &json!(to));
        prop_assert_eq!(&nested["msg"], &json!(said));
    }
}
