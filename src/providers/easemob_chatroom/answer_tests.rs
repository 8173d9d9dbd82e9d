//! Answers that no fixture has, broken ones above all.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::json;

use super::test_rig::{FIXTURE_KEYS, build, call, prepare, recipients, settle, text_intent};
use crate::adapter::Verdict;
use crate::adapter::wire::WireResponse;
use crate::domain::outcome::Outcome;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::everybody;

/// Decodes an answer to a call to the rooms "1" and "2"; what is wanted is `status, message id or class`.
fn check_answer(status: u16, body: &str, expected: [(&str, &str); 2], warnings: &[WarningCode]) {
    let rig = build(FIXTURE_KEYS).unwrap();
    let mut intent = text_intent();
    intent["to"] = json!(["1", "2"]);
    let (route, prepared) = prepare(&rig, &intent);
    let list = recipients(&route, &*prepared);
    let positions = everybody(&list);
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
        let answer = prepared.decode(&call(&list, &everybody(&list)), &response).unwrap();
        let Verdict::Refused { retry_after, .. } = answer.verdict else {
            panic!("refused");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(seconds)));
    }
}

/// What an answer says at all, as far as anybody reads it: other fields may hold bytes that are no text.
#[derive(serde::Deserialize)]
struct Named {
    data: std::collections::HashMap<String, serde::de::IgnoredAny>,
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
        let answer = prepared.decode(&call(&list, &everybody(&list)), &response);
        let outcomes = settle(answer, &response, list.len());
        assert_eq!(outcomes.len(), list.len());
        for (id, outcome) in list.iter().zip(outcomes.iter()) {
            let room = if intent.get("provider_options").is_some() { "1" } else { id };
            if matches!(outcome, Outcome::Accepted(_)) {
                assert_eq!(status, 200);
                let named: Named = serde_json::from_slice(body).unwrap();
                assert!(named.data.contains_key(room), "accepted without a word about it");
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
