//! The golden fixtures: reading them, and comparing what they expect with what was found.

use std::collections::BTreeSet;
use std::path::PathBuf;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::adapter::wire::{WireRequest, WireResponse};
use crate::domain::outcome::{Evidence, Outcome};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// All fixtures of one kind, by id; the count guards against files that nobody reads.
#[track_caller]
pub(crate) fn fixtures(provider: &str, kind: &str, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = std::fs::read_dir(folder(provider))
        .unwrap()
        .map(|entry| serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .filter(|fixture: &Value| fixture["kind"] == kind)
        .collect();
    found.sort_by(|one, other| id(one).cmp(id(other)));
    assert_eq!(found.len(), count, "{kind}");
    found
}

/// How many files a folder of fixtures holds, of whatever kind.
pub(crate) fn file_count(provider: &str) -> usize {
    std::fs::read_dir(folder(provider)).unwrap().count()
}

/// A fixture's id.
pub(crate) fn id(fixture: &Value) -> &str {
    fixture["id"].as_str().unwrap()
}

/// The recipients of a fixture's report.
pub(crate) fn recipients(fixture: &Value) -> &[Value] {
    fixture["expect"]["recipients"].as_array().unwrap()
}

/// Those that are part of a call: repeats fail without one.
pub(crate) fn called(fixture: &Value) -> Vec<&Value> {
    let is_repeat = |entry: &&Value| entry["error"]["class"] == "duplicate_recipient";
    recipients(fixture).iter().filter(|entry| !is_repeat(entry)).collect()
}

/// The answer of an exchange; `None` if the connection breaks before one comes.
pub(crate) fn response(exchange: &Value) -> Option<WireResponse> {
    let status = u16::try_from(exchange["http_status"].as_u64()?).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["response"]["headers"].as_object().into_iter().flatten() {
        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    let body = match exchange["response"].get("body_text") {
        Some(text) => text.as_str().unwrap().to_owned(),
        None => exchange["response"]["body"].to_string(),
    };
    Some(WireResponse { status: http::StatusCode::from_u16(status).unwrap(), headers, body: body.into() })
}

/// Compares a request; `signature` judges the value of a marker that only one provider has.
#[track_caller]
pub(crate) fn check_request(
    id: &str,
    expected: &Value,
    request: &WireRequest,
    signature: impl Fn(&str, &str),
) {
    assert_eq!(request.method.as_str(), expected["method"], "{id}");
    assert_eq!(request.path, expected["path"].as_str().unwrap(), "{id}");
    let check_text = |name: &str, expected: &Value, found: &str| match expected.as_str().unwrap() {
        "$U32" => assert!(found.parse::<u32>().is_ok(), "{id}: {name}"),
        "$any_nonempty_string" => assert!(!found.is_empty() && found.len() <= 64, "{id}: {name}"),
        marker if marker.starts_with('$') => signature(marker, found),
        literal => assert_eq!(found, literal, "{id}: {name}"),
    };
    let none = Map::new();
    let query = expected.get("query").map_or(&none, |query| query.as_object().unwrap());
    assert_eq!(request.query.len(), query.len(), "{id}");
    for parameter in &request.query {
        check_text(parameter.name, &query[parameter.name], &parameter.value);
    }
    let headers = expected["headers"].as_object().unwrap();
    // The transport writes the host.
    let headers: Vec<_> = headers.iter().filter(|(_, value)| **value != "$HOST").collect();
    assert_eq!(request.headers.len(), headers.len(), "{id}");
    for (name, value) in headers {
        check_text(name, value, request.headers[name.as_str()].to_str().unwrap());
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    check_json(id, &expected["body"], &body);
}

/// The `signature` of a provider whose fixtures have no marker of their own.
pub(crate) fn no_signature(marker: &str, _: &str) {
    panic!("nobody knows the marker {marker}");
}

/// Compares JSON; `{"$json": value}` stands for a text that holds this value, `$U32` for any such number.
#[track_caller]
fn check_json(id: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(marker), Value::String(text)) if marker.contains_key("$json") => {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), marker["$json"], "{id}");
        }
        (Value::String(marker), found) if marker == "$U32" => {
            assert!(found.as_u64().is_some_and(|number| u32::try_from(number).is_ok()), "{id}: {found}");
        }
        (Value::Object(expected), Value::Object(found)) => {
            let names = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(expected), names(found), "{id}");
            for (name, value) in expected {
                check_json(id, value, &found[name]);
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "{id}");
            for (expected, found) in expected.iter().zip(found) {
                check_json(id, expected, found);
            }
        }
        _ => assert_eq!(expected, found, "{id}"),
    }
}

/// Compares the outcome of one recipient; an acceptance must have this evidence.
///
/// Codes and texts of the provider are compared where the fixture states them.
#[track_caller]
pub(crate) fn check_outcome(id: &str, expected: &Value, outcome: &Outcome, evidence: Evidence) {
    let error = &expected["error"];
    let message_id = expected["message_id"].as_str();
    let (status, failure) = match outcome {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.evidence, evidence, "{id}");
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
    if let Some(text) = error["provider_message"].as_str() {
        assert_eq!(failure.provider_message.as_deref(), Some(text), "{id}");
    }
    let retry = error["retry"].as_str().unwrap();
    let is_retryable = matches!(retry, "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, is_retryable, "{id}: {retry}");
}
