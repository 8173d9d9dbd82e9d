//! The golden fixtures: one test per kind.

use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use sha2::Digest;

use super::test_rig::{channel, route, send};
use super::*;
use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, Sign};
use crate::domain::outcome::Outcome;
use crate::providers::test_rig::fixture::{self, file_count, fixtures, response};
use crate::providers::volcengine_rtc::settings::Credentials;

const FOLDER: &str = "volcengine-rtc";

fn compare_request(name: &str, expected: &Value, request: &WireRequest) {
    assert!(expected["query"].is_object(), "{name}");
    fixture::check_request(name, expected, request, |marker, found| match marker {
        "$X_DATE" => assert_eq!(found, "20261121T120000Z", "{name}"),
        "$SHA256_HEX_OF_BODY" => {
            assert_eq!(found, auth::hex(&sha2::Sha256::digest(&request.body)), "{name}");
        }
        "$VOLC_AUTHORIZATION" => {
            let start = "HMAC-SHA256 Credential=AKLTTEST/20261121/cn-north-1/rtc/request, \
                         SignedHeaders=content-type;host;x-content-sha256;x-date, Signature=";
            assert_eq!(found.len(), start.len() + 64, "{name}");
            assert!(found.starts_with(start), "{name}");
            assert!(request.headers["authorization"].is_sensitive(), "{name}");
        }
        unknown => panic!("{name}: {unknown}"),
    });
}

fn compare_outcome(name: &str, expected: &Value, (recipient, outcome): &(String, Option<Outcome>)) {
    assert_eq!(recipient, expected["recipient"].as_str().unwrap(), "{name}");
    fixture::check_outcome(name, expected, outcome.as_ref().unwrap(), Evidence::Explicit);
}

#[test]
fn writes_every_request_fixture() {
    let all = fixtures(FOLDER, "request", 14);
    for fixture in &all {
        let name = fixture::id(fixture);
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
    let all = fixtures(FOLDER, "exchange", 49);
    let (mut left_to_status, mut without_answer, mut without_call) = (Vec::new(), 0, 0);
    for fixture in &all {
        let name = fixture::id(fixture);
        let answer = response(fixture);
        let mut calls = 0;
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            calls += 1;
            compare_request(name, &fixture["request"], &request);
            answer.clone()
        });
        let expected = fixture::recipients(fixture);
        assert_eq!(results.len(), expected.len(), "{name}");
        let is_open = results.iter().any(|(_, outcome)| outcome.is_none());
        match (calls, &answer) {
            (0, _) => without_call += 1,
            (1, None) => without_answer += 1,
            (1, Some(_)) if is_open => left_to_status.push(name),
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
    let all = fixtures(FOLDER, "multi", 1);
    for fixture in &all {
        let name = fixture::id(fixture);
        let mut exchanges = fixture["exchanges"].as_array().unwrap().iter();
        let results = send(&channel(&fixture["config"]), &route(&fixture["intent"]), |request| {
            let exchange = exchanges.next().unwrap();
            compare_request(name, &exchange["request"], &request);
            response(exchange)
        });
        assert!(exchanges.next().is_none());
        let expected = fixture::recipients(fixture);
        assert_eq!(expected.len(), results.len());
        for (expected, found) in expected.iter().zip(&results) {
            compare_outcome(name, expected, found);
        }
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let all = fixtures(FOLDER, "reject", 16);
    let mut empty = 0;
    for fixture in &all {
        let name = fixture::id(fixture);
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
            .any(|kind| name == format!("reject-{kind}"));
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
    let all = fixtures(FOLDER, "vector", 6);
    for fixture in &all {
        let name = fixture::id(fixture);
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
    assert_eq!(file_count(FOLDER), 14 + 49 + 1 + 16 + 6);
}
