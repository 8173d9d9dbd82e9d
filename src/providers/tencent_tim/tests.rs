//! The golden fixtures and the signature.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::auth::Claim;
use super::sandbox_signature::unpack;
use super::test_rig::{
    FIXTURE_KEYS, Rig, build, call, everybody, faults, fixtures, prepare, rig, route, settle, sign,
    text_intent, vector_time,
};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, DecodeError, Prepared, Repeat, Verdict};
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::{Positions, Recipients, narrow};
use crate::domain::route::Route;

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Whom the engine would send to: repeats and ids that the adapter refuses are out.
fn served(route: &Route, prepared: &dyn Prepared) -> Vec<u32> {
    let first = |position: u32| (0..position).all(|other| route.to.id(other) != route.to.id(position));
    (0..narrow(route.to.len()))
        .filter(|position| first(*position) && prepared.check_recipient(route.to.id(*position)).is_ok())
        .collect()
}

/// Equal, where the expected value may hold markers.
fn matches(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::String(marker) if marker == "$U32" => {
            found.as_u64().is_some_and(|number| u32::try_from(number).is_ok())
        }
        Value::Object(members) if members.contains_key("$json") => found
            .as_str()
            .is_some_and(|text| serde_json::from_str::<Value>(text).unwrap() == members["$json"]),
        Value::Object(members) => found.as_object().is_some_and(|found| {
            found.len() == members.len()
                && members
                    .iter()
                    .all(|(name, value)| found.get(name).is_some_and(|found| matches(found, value)))
        }),
        Value::Array(entries) => found.as_array().is_some_and(|found| {
            found.len() == entries.len()
                && found.iter().zip(entries).all(|(found, entry)| matches(found, entry))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found == expected,
    }
}

fn check_request(id: &Value, request: &WireRequest, expected: &Value) {
    assert_eq!(request.method.as_str(), expected["method"], "{id}");
    assert_eq!(request.path, expected["path"], "{id}");
    let query = expected["query"].as_object().unwrap();
    assert_eq!(request.query.len(), query.len(), "{id}");
    for parameter in &request.query {
        let expected = query[parameter.name].as_str().unwrap();
        assert_eq!(parameter.is_secret, parameter.name == "usersig", "{id}");
        match expected {
            "$U32" => assert!(parameter.value.parse::<u32>().is_ok(), "{id}"),
            "$USERSIG" => assert_eq!(
                unpack(&parameter.value).unwrap()["TLS.sig"],
                // The vector with these credentials and this time.
                "A8Gty8cESOxAGhmlKC27/xpMSloO4ujFhBkGugmHmFk=",
                "{id}"
            ),
            literal => assert_eq!(parameter.value, literal, "{id}"),
        }
    }
    let headers = expected["headers"].as_object().unwrap();
    assert_eq!(request.headers.len(), headers.len(), "{id}");
    for (name, value) in headers {
        assert_eq!(request.headers[name.as_str()].to_str().unwrap(), value, "{id}");
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert!(matches(&body, &expected["body"]), "{id}: {body} is not {}", expected["body"]);
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
    let message_id = expected["message_id"].as_str();
    let (status, failure) = match outcome {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.evidence, Evidence::Implied, "{id}");
            assert_eq!(acceptance.message_id.as_deref(), message_id, "{id}");
            assert_eq!(expected["status"], "accepted", "{id}");
            return assert!(error.is_null(), "{id}");
        }
        Outcome::Failed(failure) => ("failed", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
    };
    assert_eq!(status, expected["status"], "{id}");
    assert_eq!(failure.kind.as_str(), error["class"], "{id}");
    assert_eq!(failure.message_id.as_deref(), message_id, "{id}");
    if let Some(code) = error["provider_code"].as_str() {
        assert_eq!(failure.provider_code.as_deref(), Some(code), "{id}");
    }
    if let Some(message) = error["provider_message"].as_str() {
        assert_eq!(failure.provider_message.as_deref(), Some(message), "{id}");
    }
    let retry = error["retry"].as_str().unwrap();
    let is_retryable = matches!(retry, "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, is_retryable, "{id}");
}

/// What a refused call may do next.
fn check_repeat(id: &Value, answer: &Answer, expected: &Value) {
    let Verdict::Refused { repeat, failure, .. } = &answer.verdict else {
        return;
    };
    let ends = matches!(failure.kind.as_str(), "authentication" | "permission");
    let wanted = match expected["error"]["retry"].as_str().unwrap() {
        "yes" | "same-body" => Repeat::Safe,
        "refresh-once" => Repeat::WithNewToken,
        _ if ends => Repeat::EndsRoute,
        _ => Repeat::Never,
    };
    assert_eq!(*repeat, wanted, "{id}");
}

#[test]
fn every_request_fixture_is_written_as_documented() {
    let rig = rig();
    for fixture in fixtures("request", 21) {
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let positions = everybody(&route.to);
        let call = call(Recipients::new(&route.to, &positions), 7);
        let mut request = prepared.encode(&call);
        assert_eq!(request.body, prepared.encode(&call).body, "a repeat has the same body");
        sign(&rig, &route, vector_time(), 8, &mut request);
        check_request(&fixture["id"], &request, &fixture["request"]);
        assert!(prepared.warnings().is_empty(), "{}", fixture["id"]);
    }
}

#[test]
fn every_exchange_ends_as_the_decision_table_says() {
    let rig = rig();
    let (mut decoded, mut unusable, mut scripted) = (0, 0, 0);
    for fixture in fixtures("exchange", 64) {
        let id = &fixture["id"];
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let positions = served(&route, &*prepared);
        let chosen = Positions::Picked(positions.clone().into(), 0..positions.len());
        let call = call(Recipients::new(&route.to, &chosen), 7);
        let mut request = prepared.encode(&call);
        sign(&rig, &route, vector_time(), 8, &mut request);
        check_request(id, &request, &fixture["request"]);
        if fixture.get("script").is_some() {
            scripted += 1;
            continue;
        }
        let answer = match prepared.decode(&call, &response(&fixture)) {
            Ok(answer) => answer,
            Err(DecodeError::NotDocumented) => {
                let named = ["odd-01", "odd-02", "odd-03", "odd-04", "odd-08"];
                assert!(named.iter().any(|name| id.as_str().unwrap().starts_with(name)), "{id}");
                unusable += 1;
                continue;
            }
        };
        decoded += 1;
        check_repeat(id, &answer, &fixture["expect"]["recipients"][0]);
        let outcomes = settle(answer, positions.len());
        assert_eq!(outcomes.len(), positions.len(), "{id}");
        for (position, expected) in fixture["expect"]["recipients"].as_array().unwrap().iter().enumerate() {
            assert_eq!(expected["recipient"], route.to.id(narrow(position)), "{id}");
            match positions.iter().position(|served| *served == narrow(position)) {
                Some(offset) => check_outcome(id, outcomes.get(offset).unwrap(), expected),
                None if expected["error"]["class"] == "duplicate_recipient" => {}
                None => {
                    let failure = prepared.check_recipient(route.to.id(narrow(position)));
                    check_outcome(id, &Outcome::failed(failure.unwrap_err()), expected);
                }
            }
        }
    }
    assert_eq!((decoded, unusable, scripted), (56, 5, 3));
}

#[test]
fn a_batch_of_501_is_two_calls_in_order() {
    let rig = rig();
    for fixture in fixtures("multi", 1) {
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let all = everybody(&route.to);
        let chunks: Vec<_> = all.chunks(prepared.chunking().recipients_per_call).collect();
        let exchanges = fixture["exchanges"].as_array().unwrap();
        assert_eq!(chunks.len(), exchanges.len());
        let mut expected = fixture["expect"]["recipients"].as_array().unwrap().iter();
        for (nonce, (chunk, exchange)) in (7..).zip(chunks.iter().zip(exchanges)) {
            let call = call(Recipients::new(&route.to, chunk), nonce);
            let mut request = prepared.encode(&call);
            sign(&rig, &route, vector_time(), nonce, &mut request);
            check_request(&fixture["id"], &request, &exchange["request"]);
            let answer = prepared.decode(&call, &response(exchange)).unwrap();
            for outcome in settle(answer, chunk.len()).iter() {
                check_outcome(&fixture["id"], outcome, expected.next().unwrap());
            }
        }
        assert!(expected.next().is_none());
    }
}

#[test]
fn every_reject_fixture_that_is_not_the_edges_is_refused_here() {
    let edges = ["reject-image-without-url", "reject-no-recipients", "reject-unknown-type"];
    let pointers = [
        ("reject-chatroom-target", "/target_type"),
        ("reject-custom-event", "/message/event"),
        ("reject-empty-sender", "/from"),
        ("reject-ext-twice", "/provider_options/tencent_tim/cloud_custom_data"),
        ("reject-group-target", "/target_type"),
        ("reject-latitude-out-of-range", "/message/latitude"),
        ("reject-msg-seq-range", "/provider_options/tencent_tim/msg_seq"),
        ("reject-push-twice", "/provider_options/tencent_tim/offline_push_info"),
        ("reject-unknown-option", "/provider_options/tencent_tim/msg_lifetime"),
        ("reject-video-without-thumbnail", "/message/thumbnail_url"),
    ];
    for fixture in fixtures("reject", 13) {
        let id = fixture["id"].as_str().unwrap();
        if edges.contains(&id) {
            continue;
        }
        let (_, pointer) = pointers.iter().find(|(known, _)| *known == id).unwrap();
        let faults = faults(&fixture["intent"]);
        assert!(faults.iter().any(|fault| fault.pointer == *pointer), "{id}: {faults:?}");
    }
}

#[test]
fn every_vector_is_signed_alike() {
    let mut with_user_buffer = 0;
    for fixture in fixtures("vector", 6) {
        let (id, input, expect) = (&fixture["id"], &fixture["input"], &fixture["expect"]);
        for package in ["usersig_python_1_1", "usersig_npm_1_0_2"] {
            let literal = unpack(expect[package].as_str().unwrap());
            assert_eq!(literal, Some(expect["decoded"].clone()), "{id}");
        }
        let claim = Claim {
            identifier: input["identifier"].as_str().unwrap(),
            sdk_app_id: input["sdkappid"].as_u64().unwrap(),
            made_at: input["time"].as_u64().unwrap(),
            ttl: input["expire"].as_u64().unwrap(),
        };
        let key = Secret::new(input["key"].as_str().unwrap());
        if let Some(buffer) = input["userbuf"].as_str() {
            // Rights of a room, which no call here has: only the lines before it can be compared.
            let text = format!("{}TLS.userbuf:{buffer}\n", claim.string_to_sign());
            assert_eq!(text, expect["string_to_sign"], "{id}");
            with_user_buffer += 1;
            continue;
        }
        assert_eq!(claim.string_to_sign(), expect["string_to_sign"], "{id}");
        assert_eq!(claim.inner_signature(&key).unwrap(), expect["tls_sig"], "{id}");
        let signature = claim.sign(&key).unwrap();
        assert_eq!(unpack(&signature), Some(expect["decoded"].clone()), "{id}");
        assert!(!signature.contains(['+', '/', '=']), "{id}");
    }
    assert_eq!(with_user_buffer, 1);
}

fn signature(rig: &Rig, route: &Route, seconds: u64) -> String {
    let mut request = WireRequest::post_json("/", "{}", Duration::from_secs(1));
    sign(rig, route, vector_time() + Duration::from_secs(seconds), 1, &mut request);
    let found = request.query.iter().find(|parameter| parameter.name == "usersig");
    found.unwrap().value.clone()
}

#[test]
fn one_signature_serves_until_a_fifth_of_its_life_is_left() {
    let rig = build(&format!("{FIXTURE_KEYS}usersig_ttl_seconds = 1000")).unwrap();
    let route = route(&text_intent()).unwrap();
    let first = signature(&rig, &route, 0);
    assert_eq!(signature(&rig, &route, 799), first);
    let second = signature(&rig, &route, 800);
    assert_ne!(second, first);
    assert_eq!(signature(&rig, &route, 790), second, "attempts overtake each other");
    rig.sign.renew();
    assert_ne!(signature(&rig, &route, 801), second);
    assert_eq!(unpack(&signature(&rig, &route, 10)).unwrap()["TLS.time"], 1_763_683_210);
}

#[test]
fn neither_signature_nor_key_is_ever_shown() {
    let rig = rig();
    let (route, prepared) = prepare(&rig, &text_intent());
    let positions = everybody(&route.to);
    let mut request = prepared.encode(&call(Recipients::new(&route.to, &positions), 7));
    assert!(!request.encoded_query().contains("usersig"), "credentials come with the attempt");
    sign(&rig, &route, vector_time(), 0xFFFF_FFFF_0000_0009, &mut request);
    assert_eq!(
        request.redacted_query(),
        "sdkappid=88888888&identifier=admin&contenttype=json&usersig=[redacted]&random=9"
    );
    assert!(!format!("{request:?}").contains(KEY));
}
