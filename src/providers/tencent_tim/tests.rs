//! The golden fixtures and the signature.

use std::time::Duration;

use serde_json::Value;

use super::auth::Claim;
use super::sandbox_signature::unpack;
use super::test_rig::{
    FIXTURE_KEYS, FOLDER, build, call, faults, prepare, rig, route, text_intent, vector_time,
};
use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Answer, Attempt, DecodeError, Prepared, Repeat, Verdict};
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::narrow;
use crate::domain::route::Route;
use crate::providers::test_rig::channel::TestChannel;
use crate::providers::test_rig::engine::{everybody, picked, settle};
use crate::providers::test_rig::fixture::{self, fixtures, response};

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Whom the engine would send to: repeats and ids that the adapter refuses are out.
fn served(route: &Route, prepared: &dyn Prepared) -> Vec<u32> {
    let first = |position: u32| (0..position).all(|other| route.to.id(other) != route.to.id(position));
    (0..narrow(route.to.len()))
        .filter(|position| first(*position) && prepared.check_recipient(route.to.id(*position)).is_ok())
        .collect()
}

fn check_request(id: &str, request: &WireRequest, expected: &Value) {
    fixture::check_request(id, expected, request, |marker, signature| {
        assert_eq!(marker, "$USERSIG", "{id}");
        // The vector with these credentials and this time.
        let vector = "A8Gty8cESOxAGhmlKC27/xpMSloO4ujFhBkGugmHmFk=";
        assert_eq!(unpack(signature).unwrap()["TLS.sig"], vector, "{id}");
    });
    assert!(expected["query"].is_object(), "{id}");
    for parameter in &request.query {
        assert_eq!(parameter.is_secret, parameter.name == "usersig", "{id}");
    }
}

fn check_outcome(id: &str, outcome: &Outcome, expected: &Value) {
    fixture::check_outcome(id, expected, outcome, Evidence::Implied);
}

/// What a refused call may do next.
fn check_repeat(id: &str, answer: &Answer, expected: &Value) {
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
    for fixture in fixtures(FOLDER, "request", 21) {
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let positions = everybody(&route.to);
        let call = call(&route.to, &positions, 7);
        let request = prepared.encode(&call);
        assert_eq!(request.body, prepared.encode(&call).body, "a repeat has the same body");
        let attempt = Attempt { route: &route, now: vector_time(), nonce: 8 };
        let request = rig.signed(&attempt, request);
        check_request(fixture::id(&fixture), &request, &fixture["request"]);
        assert!(prepared.warnings().is_empty(), "{}", fixture["id"]);
    }
}

#[test]
fn every_exchange_ends_as_the_decision_table_says() {
    let rig = rig();
    let (mut decoded, mut unusable, mut scripted) = (0, 0, 0);
    for fixture in fixtures(FOLDER, "exchange", 64) {
        let id = fixture::id(&fixture);
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let positions = served(&route, &*prepared);
        let chosen = picked(positions.clone());
        let call = call(&route.to, &chosen, 7);
        let request = prepared.encode(&call);
        let attempt = Attempt { route: &route, now: vector_time(), nonce: 8 };
        let request = rig.signed(&attempt, request);
        check_request(id, &request, &fixture["request"]);
        if fixture.get("script").is_some() {
            scripted += 1;
            continue;
        }
        let answer = match prepared.decode(&call, &response(&fixture).unwrap()) {
            Ok(answer) => answer,
            Err(DecodeError::NotDocumented) => {
                let named = ["odd-01", "odd-02", "odd-03", "odd-04", "odd-08"];
                assert!(named.iter().any(|name| id.starts_with(name)), "{id}");
                unusable += 1;
                continue;
            }
        };
        decoded += 1;
        check_repeat(id, &answer, &fixture["expect"]["recipients"][0]);
        let outcomes = settle(&answer, positions.len());
        assert_eq!(outcomes.len(), positions.len(), "{id}");
        for (position, expected) in fixture::recipients(&fixture).iter().enumerate() {
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
    for fixture in fixtures(FOLDER, "multi", 1) {
        let (route, prepared) = prepare(&rig, &fixture["intent"]);
        let all = everybody(&route.to);
        let chunks: Vec<_> = all.chunks(prepared.chunking().recipients_per_call).collect();
        let exchanges = fixture["exchanges"].as_array().unwrap();
        assert_eq!(chunks.len(), exchanges.len());
        let mut expected = fixture::recipients(&fixture).iter();
        for (nonce, (chunk, exchange)) in (7..).zip(chunks.iter().zip(exchanges)) {
            let call = call(&route.to, chunk, nonce);
            let request = prepared.encode(&call);
            let attempt = Attempt { route: &route, now: vector_time(), nonce };
            let request = rig.signed(&attempt, request);
            check_request(fixture::id(&fixture), &request, &exchange["request"]);
            let answer = prepared.decode(&call, &response(exchange).unwrap()).unwrap();
            for outcome in settle(&answer, chunk.len()).iter() {
                check_outcome(fixture::id(&fixture), outcome, expected.next().unwrap());
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
    for fixture in fixtures(FOLDER, "reject", 13) {
        let id = fixture::id(&fixture);
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
    for fixture in fixtures(FOLDER, "vector", 6) {
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

fn signature(rig: &TestChannel, route: &Route, seconds: u64) -> String {
    let request = WireRequest::post_json("/", "{}", Duration::from_secs(1));
    let attempt = Attempt { route, now: vector_time() + Duration::from_secs(seconds), nonce: 1 };
    let request = rig.signed(&attempt, request);
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
    rig.signer().renew();
    assert_ne!(signature(&rig, &route, 801), second);
    assert_eq!(unpack(&signature(&rig, &route, 10)).unwrap()["TLS.time"], 1_763_683_210);
}

#[test]
fn neither_signature_nor_key_is_ever_shown() {
    let rig = rig();
    let (route, prepared) = prepare(&rig, &text_intent());
    let positions = everybody(&route.to);
    let request = prepared.encode(&call(&route.to, &positions, 7));
    assert!(!request.encoded_query().contains("usersig"), "credentials come with the attempt");
    let attempt = Attempt { route: &route, now: vector_time(), nonce: 0xFFFF_FFFF_0000_0009 };
    let request = rig.signed(&attempt, request);
    assert_eq!(
        request.redacted_query(),
        "sdkappid=88888888&identifier=admin&contenttype=json&usersig=[redacted]&random=9"
    );
    assert!(!format!("{request:?}").contains(KEY));
}
