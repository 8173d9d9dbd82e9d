//! The golden fixtures: one test per kind.

use std::collections::BTreeSet;
use std::path::Path;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Digest;

use super::test_rig::{channel, route, send};
use super::*;
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, Sign};
use crate::domain::outcome::Outcome;
use crate::providers::volcengine_rtc::settings::Credentials;

/// Every fixture of `kind`, by name.
fn fixtures(kind: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volcengine-rtc");
    let mut found: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let fixture: Value = serde_json::from_str(&text).unwrap();
            (fixture["id"].as_str().unwrap().to_owned(), fixture)
        })
        .filter(|(_, fixture)| fixture["kind"] == kind)
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

fn compare_request(name: &str, expected: &Value, request: &WireRequest) {
    assert_eq!(request.method.as_str(), expected["method"], "{name}");
    assert_eq!(request.path, expected["path"].as_str().unwrap(), "{name}");
    let query: Value = request
        .query
        .iter()
        .map(|parameter| (parameter.name.to_owned(), Value::from(parameter.value.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(query, expected["query"], "{name}");
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    for (header_name, value) in expected["headers"].as_object().unwrap() {
        let found = header(header_name);
        match value.as_str().unwrap() {
            // The transport writes it.
            "$HOST" => assert_eq!(found, None, "{name}"),
            "$X_DATE" => assert_eq!(found, Some("20261121T120000Z"), "{name}"),
            "$SHA256_HEX_OF_BODY" => {
                let hash = auth::hex(&sha2::Sha256::digest(&request.body));
                assert_eq!(found, Some(hash.as_str()), "{name}");
            }
            "$VOLC_AUTHORIZATION" => {
                let start = "HMAC-SHA256 Credential=AKLTTEST/20261121/cn-north-1/rtc/request, \
                             SignedHeaders=content-type;host;x-content-sha256;x-date, Signature=";
                assert_eq!(found.unwrap().len(), start.len() + 64, "{name}");
                assert!(found.unwrap().starts_with(start), "{name}");
                assert!(request.headers["authorization"].is_sensitive(), "{name}");
            }
            literal => assert_eq!(found, Some(literal), "{name} {header_name}"),
        }
    }
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
    Some(WireResponse { status: http::StatusCode::from_u16(status).unwrap(), headers, body: body.into() })
}

fn compare_outcome(name: &str, expected: &Value, (recipient, outcome): &(String, Option<Outcome>)) {
    assert_eq!(recipient, expected["recipient"].as_str().unwrap(), "{name}");
    let expected_id = expected["message_id"].as_str();
    let (status, failure) = match outcome.as_ref().unwrap() {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.evidence, Evidence::Explicit, "{name}");
            assert_eq!(acceptance.message_id.as_deref(), expected_id, "{name}");
            assert_eq!(expected["status"], "accepted", "{name}");
            return;
        }
        Outcome::Failed(failure) => ("failed", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
    };
    let error = &expected["error"];
    assert_eq!(status, expected["status"], "{name} {recipient}");
    assert_eq!(failure.kind.as_str(), error["class"], "{name} {recipient}");
    assert_eq!(failure.message_id.as_deref(), expected_id, "{name} {recipient}");
    if let Some(code) = error["provider_code"].as_str() {
        assert_eq!(failure.provider_code.as_deref(), Some(code), "{name}");
    }
    if let Some(text) = error["provider_message"].as_str() {
        assert_eq!(failure.provider_message.as_deref(), Some(text), "{name}");
    }
    let retry = error["retry"].as_str().unwrap();
    let retryable = matches!(retry, "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, retryable, "{name} {retry}");
}

#[test]
fn writes_every_request_fixture() {
    let all = fixtures("request");
    assert_eq!(all.len(), 14);
    for (name, fixture) in &all {
        let mut calls = 0;
        send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            calls += 1;
            compare_request(name, &fixture["request"], &request);
            None
        });
        assert_eq!(calls, 1, "{name}");
    }
}

#[test]
fn settles_every_exchange_fixture() {
    let all = fixtures("exchange");
    assert_eq!(all.len(), 49);
    let (mut left_to_status, mut without_answer, mut without_call) = (Vec::new(), 0, 0);
    for (name, fixture) in &all {
        let answer = response(fixture);
        let mut calls = 0;
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            calls += 1;
            compare_request(name, &fixture["request"], &request);
            answer.clone()
        });
        let expected = fixture["expect"]["recipients"].as_array().unwrap();
        assert_eq!(results.len(), expected.len(), "{name}");
        let is_open = results.iter().any(|(_, outcome)| outcome.is_none());
        match (calls, &answer) {
            (0, _) => without_call += 1,
            (1, None) => without_answer += 1,
            (1, Some(_)) if is_open => left_to_status.push(name.as_str()),
            (1, Some(_)) => {}
            _ => panic!("{name}: {calls} calls"),
        }
        if !is_open {
            for (expected, found) in expected.iter().zip(&results) {
                compare_outcome(name, expected, found);
            }
        }
    }
    assert_eq!((without_call, without_answer), (1, 2));
    let by_status = [
        "odd-01-http-502-html",
        "odd-02-http-200-not-json",
        "odd-04-result-missing",
        "odd-07-http-503-html",
        "odd-08-http-403-empty",
    ];
    assert_eq!(left_to_status, by_status);
}

#[test]
fn cuts_every_multi_fixture_into_its_calls() {
    let all = fixtures("multi");
    assert_eq!(all.len(), 1);
    for (name, fixture) in &all {
        let mut exchanges = fixture["exchanges"].as_array().unwrap().iter();
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            let exchange = exchanges.next().unwrap();
            compare_request(name, &exchange["request"], &request);
            response(exchange)
        });
        assert!(exchanges.next().is_none());
        let expected = fixture["expect"]["recipients"].as_array().unwrap();
        assert_eq!(expected.len(), results.len());
        for (expected, found) in expected.iter().zip(&results) {
            compare_outcome(name, expected, found);
        }
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let all = fixtures("reject");
    assert_eq!(all.len(), 16);
    let mut empty = 0;
    for (name, fixture) in &all {
        let route = route(&fixture["intent"]);
        if route.to.is_empty() {
            // The engine's part.
            empty += 1;
            continue;
        }
        let Err(faults) = channel(&fixture["config"]).adapter.prepare(&route) else {
            panic!("{name} was taken");
        };
        assert!(!faults.is_empty(), "{name}");
        let is_setting = ["audio", "command", "file", "image", "video"]
            .iter()
            .any(|kind| *name == format!("reject-{kind}"));
        for fault in &faults {
            assert!(fault.pointer.starts_with('/'), "{name} {fault:?}");
        }
        if is_setting {
            assert!(faults[0].detail.contains("volcengine_rtc"), "{name}");
            assert!(faults[0].detail.contains("the setting `"), "{name}");
        }
    }
    assert_eq!(empty, 1);
}

#[test]
fn signs_every_vector() {
    let all = fixtures("vector");
    assert_eq!(all.len(), 6);
    for (name, fixture) in &all {
        let text = |part: &Value| part.as_str().map(str::to_owned);
        let input = |key: &str| text(&fixture["input"][key]).unwrap();
        let expect = |key: &str| text(&fixture["expect"][key]).unwrap();
        let url: http::Uri = input("url").replace("com?", "com/?").parse().unwrap();
        let base_url = format!("{}://{}", url.scheme_str().unwrap(), url.authority().unwrap());
        let host = auth::signed_host(&base_url.parse().unwrap()).unwrap();
        assert_eq!(host, input("host"), "{name}");
        let signer = Signer::new(
            Credentials {
                access_key_id: Secret::new(input("access_key")),
                secret_access_key: Secret::new(input("secret_key")),
                session_token: text(&fixture["input"]["session_token"]).map(Secret::new),
                region: input("region").into(),
            },
            host,
        );
        let mut request = WireRequest::post_json("/", input("body"), Duration::from_secs(1));
        for pair in url.query().unwrap().split('&') {
            match pair.split_once('=').unwrap() {
                ("Action", action) => request.push_query("Action", action),
                (_, version) => request.push_query("Version", version),
            }
        }
        assert!(request.set_header(CONTENT_TYPE, &input("content_type")));
        let x_date = input("x_date");
        let when = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &x_date).unwrap();
        let now = when.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().into();
        let attempt = Attempt {
            route: &route(&json!({ "to": [], "message": { "type": "text", "text": "" } })),
            now,
            nonce: 0,
        };
        signer.sign(&attempt, &mut request).unwrap();
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-sha256"), expect("body_sha256"), "{name}");
        let (canonical, names) = signer.canonical_request(&request, &expect("body_sha256")).unwrap();
        assert_eq!(canonical, expect("canonical_request"), "{name}");
        assert_eq!(names, expect("signed_headers"), "{name}");
        assert_eq!(signer.string_to_sign(&x_date, &canonical), expect("string_to_sign"), "{name}");
        let key = signer.signing_key(&x_date).unwrap();
        assert_eq!(auth::hex(&key), expect("signing_key_hex"), "{name}");
        assert_eq!(header("authorization"), expect("authorization"), "{name}");
        for secret in ["authorization", "x-security-token"] {
            let value = request.headers.get(secret);
            assert!(value.is_none_or(HeaderValue::is_sensitive), "{name} {secret}");
        }
    }
}

#[test]
fn every_fixture_has_a_kind_that_is_tested() {
    let kinds = ["request", "exchange", "multi", "reject", "vector"];
    let known: usize = kinds.iter().map(|kind| fixtures(kind).len()).sum();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volcengine-rtc");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), known);
}
