//! The golden fixtures: one test per kind.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::test_rig::{Results, channel, now, route, send};
use super::*;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Audience, AuthError};
use crate::domain::outcome::Outcome;

/// Every fixture of `kind`.
fn fixtures(kind: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openim");
    let mut found: Vec<Value> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            serde_json::from_str(&text).unwrap()
        })
        .filter(|fixture: &Value| fixture["kind"] == kind)
        .collect();
    found.sort_by_key(name);
    found
}

fn name(fixture: &Value) -> String {
    fixture["id"].as_str().unwrap().to_owned()
}

fn compare_request(name: &str, expected: &Value, request: &WireRequest) {
    assert_eq!(request.method.as_str(), expected["method"], "{name}");
    assert_eq!(request.path, expected["path"].as_str().unwrap(), "{name}");
    assert!(request.query.is_empty(), "{name}");
    for (header, wanted) in expected["headers"].as_object().unwrap() {
        let found = request.headers[header.as_str()].to_str().unwrap();
        match wanted.as_str().unwrap() {
            "$any_nonempty_string" => assert!(!found.is_empty() && found.len() <= 64, "{name}"),
            literal => assert_eq!(found, literal, "{name}: {header}"),
        }
    }
    assert_eq!(request.headers.len(), expected["headers"].as_object().unwrap().len(), "{name}");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    compare_json(name, &expected["body"], &body);
}

fn compare_json(name: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(marker), Value::String(text)) if marker.contains_key("$json") => {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), marker["$json"], "{name}");
        }
        (Value::Object(expected), Value::Object(found)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(expected), names(found), "{name}");
            for (key, value) in expected {
                compare_json(name, value, &found[key]);
            }
        }
        _ => assert_eq!(expected, found, "{name}"),
    }
}

fn response(exchange: &Value) -> Option<WireResponse> {
    let status = u16::try_from(exchange["http_status"].as_u64()?).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["response"]["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let body = match exchange["response"]["body_text"].as_str() {
        Some(text) => text.to_owned(),
        None => exchange["response"]["body"].to_string(),
    };
    Some(WireResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() })
}

/// Compares what `send` found; repeats, which the engine fails without a call, are left out.
fn compare_results(name: &str, fixture: &Value, results: &Results) {
    let expected = fixture["expect"]["recipients"].as_array().unwrap();
    let mut results = results.iter();
    for expected in expected {
        if expected["error"]["class"] == "duplicate_recipient" {
            continue;
        }
        let (recipient, outcome) = results.next().unwrap();
        assert_eq!(recipient, expected["recipient"].as_str().unwrap(), "{name}");
        compare_outcome(name, expected, outcome.as_ref().unwrap());
    }
    assert!(results.next().is_none(), "{name}");
}

fn compare_outcome(name: &str, expected: &Value, outcome: &Outcome) {
    let (status, failure) = match outcome {
        Outcome::Accepted(acceptance) => {
            assert_eq!(expected["status"], "accepted", "{name}");
            assert_eq!(acceptance.evidence, Evidence::Explicit, "{name}");
            assert_eq!(acceptance.message_id.as_deref(), expected["message_id"].as_str(), "{name}");
            let fields = acceptance.provider_fields.as_ref().unwrap();
            let fields: Value = serde_json::from_str(fields.as_str()).unwrap();
            assert_eq!(fields["sendTime"], 1_340_619_319_058_u64, "{name}");
            assert_eq!(fields["clientMsgID"], "ec5792358392cf9168eff64adfa4ac6a", "{name}");
            return;
        }
        Outcome::Failed(failure) => ("failed", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
    };
    let error = &expected["error"];
    assert_eq!(status, expected["status"], "{name}");
    assert_eq!(failure.kind.as_str(), error["class"], "{name}");
    assert_eq!(failure.provider_code.as_deref(), error["provider_code"].as_str(), "{name}");
    assert_eq!(failure.retryable, error["retry"] == "yes", "{name}");
    assert_eq!(failure.message_id, None, "{name}");
}

#[test]
fn writes_every_request_fixture() {
    let all = fixtures("request");
    assert_eq!(all.len(), 18);
    for fixture in &all {
        let mut calls = 0;
        let channel = channel(&fixture["config"]);
        let route = route(&fixture["intent"]);
        assert!(channel.adapter.prepare(&route).unwrap().warnings().is_empty());
        let is_everyone = route.to.is_empty();
        send(&channel, &route, |request| {
            calls += 1;
            compare_request(&name(fixture), &fixture["request"], &request);
            let data = json!({"errCode": 0, "data": {"failedUserIDs": ["x"]}}).to_string();
            is_everyone.then(|| WireResponse::json(StatusCode::OK, data))
        });
        assert_eq!(calls, 1, "{}", name(fixture));
    }
}

#[test]
fn settles_every_exchange_fixture() {
    let all = fixtures("exchange");
    assert_eq!(all.len(), 40);
    let (mut left_to_status, mut without_answer) = (Vec::new(), Vec::new());
    for fixture in &all {
        let (name, answer) = (name(fixture), response(fixture));
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            compare_request(&name, &fixture["request"], &request);
            answer.clone()
        });
        if results.iter().all(|(_, outcome)| outcome.is_some()) {
            compare_results(&name, fixture, &results);
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
    let all = fixtures("multi");
    assert_eq!(all.len(), 1);
    for fixture in &all {
        let name = name(fixture);
        let mut exchanges = fixture["exchanges"].as_array().unwrap().iter();
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            let exchange = exchanges.next().unwrap();
            compare_request(&name, &exchange["request"], &request);
            response(exchange)
        });
        assert!(exchanges.next().is_none(), "{name}");
        compare_results(&name, fixture, &results);
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let all = fixtures("reject");
    assert_eq!(all.len(), 20);
    let mut left_to_the_engine = Vec::new();
    for fixture in &all {
        match channel(&fixture["config"]).adapter.prepare(&route(&fixture["intent"])) {
            Ok(prepared) if matches!(prepared.audience(), Audience::To) => {
                left_to_the_engine.push(name(fixture))
            }
            Ok(_) => panic!("{} is taken", name(fixture)),
            Err(faults) => assert!(!faults.is_empty(), "{}", name(fixture)),
        }
    }
    // An empty `to` is for the engine to refuse, which knows what the audience is.
    assert_eq!(left_to_the_engine, ["reject-no-recipients"]);
}

#[test]
fn reads_every_token_fixture() {
    let all = fixtures("token");
    assert_eq!(all.len(), 7);
    for fixture in &all {
        let (name, expect) = (name(fixture), &fixture["expect"]);
        let channel = channel(&fixture["config"]);
        if let Some(expected) = fixture.get("request") {
            let request = channel.token.encode_grant(7).unwrap();
            compare_request(&name, expected, &request);
            assert!(request.has_secret_body, "{name}");
        }
        match channel.token.decode_grant(&response(fixture).unwrap(), now()) {
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openim");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 18 + 40 + 1 + 20 + 7);
}
