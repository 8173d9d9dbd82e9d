//! The golden fixtures: one test per kind.

use http::StatusCode;
use serde_json::{Value, json};

use super::test_rig::{channel, now, route, send};
use super::*;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Audience, AuthError};
use crate::domain::outcome::Outcome;
use crate::providers::test_rig::engine::Results;
use crate::providers::test_rig::fixture::{self, file_count, fixtures, id, response};

const FOLDER: &str = "openim";

fn compare_request(name: &str, expected: &Value, request: &WireRequest) {
    fixture::check_request(name, expected, request, fixture::no_signature);
    assert!(request.query.is_empty(), "{name}");
}

/// Compares what `send` found.
fn compare_results(name: &str, fixture: &Value, results: &Results) {
    let expected = fixture::recipients(fixture);
    assert_eq!(results.len(), expected.len(), "{name}");
    for (expected, (recipient, outcome)) in expected.iter().zip(results) {
        assert_eq!(recipient, expected["recipient"].as_str().unwrap(), "{name}");
        compare_outcome(name, expected, outcome.as_ref().unwrap());
    }
}

fn compare_outcome(name: &str, expected: &Value, outcome: &Outcome) {
    fixture::check_outcome(name, expected, outcome, Evidence::Explicit);
    let error = &expected["error"];
    match outcome {
        Outcome::Accepted(acceptance) => {
            let fields = acceptance.provider_fields.as_ref().unwrap();
            let fields: Value = serde_json::from_str(fields.as_str()).unwrap();
            assert_eq!(fields["sendTime"], 1_340_619_319_058_u64, "{name}");
            assert_eq!(fields["clientMsgID"], "ec5792358392cf9168eff64adfa4ac6a", "{name}");
        }
        Outcome::Failed(failure) | Outcome::Unknown(failure) => {
            assert_eq!(failure.provider_code.as_deref(), error["provider_code"].as_str(), "{name}");
            assert_eq!(failure.retryable, error["retry"] == "yes", "{name}");
            assert_eq!(failure.message_id, None, "{name}");
        }
    }
}

#[test]
fn writes_every_request_fixture() {
    let all = fixtures(FOLDER, "request", 18);
    for fixture in &all {
        let mut calls = 0;
        let channel = channel(&fixture["config"]);
        let route = route(&fixture["intent"]);
        assert!(channel.adapter.prepare(&route).unwrap().warnings().is_empty());
        let is_everyone = route.to.is_empty();
        send(&channel, &route, |request| {
            calls += 1;
            compare_request(id(fixture), &fixture["request"], &request);
            let data = json!({"errCode": 0, "data": {"failedUserIDs": ["x"]}}).to_string();
            is_everyone.then(|| WireResponse::json(StatusCode::OK, data))
        });
        assert_eq!(calls, 1, "{}", id(fixture));
    }
}

#[test]
fn settles_every_exchange_fixture() {
    let all = fixtures(FOLDER, "exchange", 40);
    let (mut left_to_status, mut without_answer) = (Vec::new(), Vec::new());
    for fixture in &all {
        let (name, answer) = (id(fixture), response(fixture));
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            compare_request(name, &fixture["request"], &request);
            answer.clone()
        });
        if results.iter().all(|(_, outcome)| outcome.is_some()) {
            compare_results(name, fixture, &results);
        } else if answer.is_some() {
            left_to_status.push(name);
        } else {
            without_answer.push(name);
        }
    }
    assert_eq!(left_to_status, ["err-http-500-empty", "err-http-502-html", "res-not-json"]);
    assert_eq!(without_answer, ["err-connection-refused", "err-timeout-after-send"]);
}

#[test]
fn cuts_every_multi_fixture_into_its_calls() {
    let all = fixtures(FOLDER, "multi", 1);
    for fixture in &all {
        let name = id(fixture);
        let mut exchanges = fixture["exchanges"].as_array().unwrap().iter();
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            let exchange = exchanges.next().unwrap();
            compare_request(name, &exchange["request"], &request);
            response(exchange)
        });
        assert!(exchanges.next().is_none(), "{name}");
        compare_results(name, fixture, &results);
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let all = fixtures(FOLDER, "reject", 20);
    let mut left_to_the_engine = Vec::new();
    for fixture in &all {
        match channel(&fixture["config"]).adapter.prepare(&route(&fixture["intent"])) {
            Ok(prepared) if matches!(prepared.audience(), Audience::To) => {
                left_to_the_engine.push(id(fixture))
            }
            Ok(_) => panic!("{} is taken", id(fixture)),
            Err(faults) => assert!(!faults.is_empty(), "{}", id(fixture)),
        }
    }
    // An empty `to` is for the engine to refuse, which knows what the audience is.
    assert_eq!(left_to_the_engine, ["reject-no-recipients"]);
}

#[test]
fn reads_every_token_fixture() {
    let all = fixtures(FOLDER, "token", 7);
    for fixture in &all {
        let (name, expect) = (id(fixture), &fixture["expect"]);
        let channel = channel(&fixture["config"]);
        if let Some(expected) = fixture.get("request") {
            let request = channel.grant().encode_grant(7).unwrap();
            compare_request(name, expected, &request);
            assert!(request.has_secret_body, "{name}");
        }
        match channel.grant().decode_grant(&response(fixture).unwrap(), now()) {
            Ok(token) => {
                assert_eq!(token.value.expose(), expect["token"], "{name}");
                let lifetime = expect["lifetime_s"].as_u64().unwrap();
                assert_eq!(token.lifetime, Some(Duration::from_secs(lifetime)), "{name}");
                let refresh_at = now() + Duration::from_secs(lifetime / 10 * 9);
                assert_eq!((token.issued_at, token.refresh_at), (now(), Some(refresh_at)), "{name}");
            }
            Err(AuthError::Refused { failure }) => {
                assert_eq!(failure.kind.as_str(), expect["error_class"], "{name}");
                assert!(!failure.retryable && failure.hint.is_some(), "{name}");
            }
            Err(AuthError::Unusable(what)) => panic!("{name}: {what}"),
        }
    }
}

#[test]
fn no_fixture_is_of_another_kind() {
    assert_eq!(file_count(FOLDER), 18 + 40 + 1 + 20 + 7);
}
