//! The golden fixtures: one test per kind.

use std::sync::Arc;

use serde_json::{Value, json};

use super::test_rig::{call, channel, route, signed};
use crate::adapter::DecodeError;
use crate::adapter::wire::WireRequest;
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::Positions;
use crate::domain::route::Route;
use crate::providers::test_rig::channel::TestChannel;
use crate::providers::test_rig::engine::{distinct, outcomes};
use crate::providers::test_rig::fixture::{self, file_count, fixtures, response};

const FOLDER: &str = "easemob-relay";

fn assert_request(id: &str, actual: &WireRequest, expected: &Value) {
    assert!(expected["query"].is_object(), "{id}");
    fixture::check_request(id, expected, actual, fixture::no_signature);
    assert!(actual.query.iter().all(|parameter| parameter.is_secret), "{id}: the whole query is secret");
}

fn assert_outcome(id: &str, actual: &Outcome, expected: &Value) {
    fixture::check_outcome(id, expected, actual, Evidence::Implied);
    match actual {
        Outcome::Accepted(acceptance) => assert_eq!(acceptance.message_id, None, "{id}"),
        Outcome::Failed(failure) | Outcome::Unknown(failure) => {
            assert!(failure.hint.is_some(), "{id}: no hint");
            if let Some(text) = expected["error"].get("provider_message") {
                assert_eq!(failure.provider_message.as_deref(), text.as_str(), "{id}");
            }
        }
    }
}

/// What the engine makes of an answer that the adapter cannot read.
fn assert_left_to_status(exchange: &Value, expected: &[&Value], id: &str) {
    for recipient in expected {
        let error = &recipient["error"];
        match exchange["http_status"].as_u64().unwrap() {
            200 => assert_eq!(error["class"], "provider_error", "{id}"),
            status => assert_eq!(error["provider_code"], format!("http_{status}"), "{id}"),
        }
    }
}

/// One exchange: the request and, unless the connection misbehaves, the answer.
fn check_exchange(
    channel: &TestChannel,
    route: &Arc<Route>,
    positions: &Positions,
    exchange: &Value,
    all: &Value,
) {
    let id = fixture::id(all);
    let prepared = channel.adapter.prepare(route).unwrap();
    let call = call(&route.to, positions);
    let request = signed(channel, route, &*prepared, &call);
    assert_request(id, &request, &exchange["request"]);
    if all.get("script").is_some() {
        return;
    }
    let recipients = fixture::called(all);
    let expected: Vec<&Value> = call
        .recipients
        .iter()
        .map(|id| *recipients.iter().find(|entry| entry["recipient"] == id).unwrap())
        .collect();
    match prepared.decode(&call, &response(exchange).unwrap()) {
        Ok(answer) => {
            for (actual, expected) in outcomes(&answer, expected.len()).iter().zip(&expected) {
                assert_outcome(id, actual, expected);
            }
        }
        Err(DecodeError::NotDocumented) if id.starts_with("res-") => panic!("{id}: an envelope"),
        Err(DecodeError::NotDocumented) => assert_left_to_status(exchange, &expected, id),
    }
}

#[test]
fn writes_every_request_fixture() {
    let fixtures = fixtures(FOLDER, "request", 15);
    // One fixture has no intent: it shows the document's own example, which the adapter never sends.
    let (with_intent, without): (Vec<_>, Vec<_>) =
        fixtures.iter().partition(|fixture| fixture.get("intent").is_some());
    assert_eq!((with_intent.len(), without.len()), (14, 1));
    assert_eq!(without[0]["id"], "req-seed-verbatim");
    for fixture in with_intent {
        let id = fixture::id(fixture);
        let channel = channel(&fixture["config"]);
        let route = route(&fixture["intent"]).unwrap();
        let prepared = channel.adapter.prepare(&route).unwrap();
        let positions = distinct(&route.to);
        let request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
        assert_request(id, &request, &fixture["request"]);
    }
}

#[test]
fn settles_every_exchange_fixture() {
    for fixture in &fixtures(FOLDER, "exchange", 25) {
        let channel = channel(&fixture["config"]);
        let route = route(&fixture["intent"]).unwrap();
        check_exchange(&channel, &route, &distinct(&route.to), fixture, fixture);
    }
}

#[test]
fn settles_every_chunked_fixture() {
    for fixture in &fixtures(FOLDER, "multi", 1) {
        let channel = channel(&fixture["config"]);
        let route = route(&fixture["intent"]).unwrap();
        let size = channel.adapter.prepare(&route).unwrap().chunking().recipients_per_call;
        let chunks: Vec<_> = distinct(&route.to).chunks(size).collect();
        let exchanges = fixture["exchanges"].as_array().unwrap();
        assert_eq!(chunks.len(), exchanges.len());
        for (positions, exchange) in chunks.iter().zip(exchanges) {
            check_exchange(&channel, &route, positions, exchange, fixture);
        }
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let fixtures = fixtures(FOLDER, "reject", 13);
    let mut left_to_the_edge = Vec::new();
    for fixture in &fixtures {
        match route(&fixture["intent"]) {
            Some(route) => {
                let faults = channel(&json!({})).adapter.prepare(&route).err();
                assert!(!faults.unwrap().is_empty(), "{}", fixture["id"]);
            }
            None => left_to_the_edge.push(fixture["id"].clone()),
        }
    }
    assert_eq!(left_to_the_edge, ["reject-file-without-url"]);
}

#[test]
fn no_fixture_is_of_another_kind() {
    assert_eq!(file_count(FOLDER), 15 + 25 + 1 + 13);
}
