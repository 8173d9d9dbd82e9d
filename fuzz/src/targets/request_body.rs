//! Any body sent to `POST /v1/batches` or its plan.
//!
//! The input: `0` for JSON, `1` for lines of JSON, `2` and `3` for a plan of either, `4` for JSON whose results
//! are read in every format, and the body.

use std::cell::OnceCell;

use axum::body::Body;
use http::Request;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::targets::gateway::Gateway;
use crate::targets::report::{check_csv, check_lines, check_refusal, check_report, number};
use crate::targets::seeds::fixtures;

thread_local! {
    static GATEWAY: OnceCell<Gateway> = const { OnceCell::new() };
}

/// Takes one input; `true` if it was accepted.
pub(crate) fn run(input: &[u8]) -> bool {
    GATEWAY.with(|gateway| run_on(gateway.get_or_init(Gateway::new), input))
}

fn run_on(gateway: &Gateway, input: &[u8]) -> bool {
    let &[kind, ref body @ ..] = input else { return false };
    let kind = kind.wrapping_sub(b'0') % 5;
    let is_plan = kind == 2 || kind == 3;
    let is_lines = kind == 1 || kind == 3;
    let path = if is_plan { "/v1/batches/plan" } else { "/v1/batches" };
    let content_type = if is_lines { "application/x-ndjson" } else { "application/json" };
    let request = Request::post(path).header("content-type", content_type);
    let answer = gateway.exchange(request.body(Body::from(body.to_vec())).unwrap());
    answer.check_secrets(input);
    match answer.status {
        200 if is_plan => {
            assert_eq!(answer.calls, 0, "a plan called a provider");
            check_plan(&answer.body);
            return true;
        }
        200 | 202 | 207 if !is_plan => {}
        400 | 422 => {
            check_refusal(&answer);
            return false;
        }
        other => panic!("answered {other}"),
    }
    let expected = recipients(body, is_lines);
    let report = check_report(&answer.body, expected.as_deref());
    gateway.settle();
    let id = answer.header("batch-id");
    if report["status"] == "processing" {
        let later = gateway.get(&format!("/v1/batches/{id}"), "application/json");
        later.check_secrets(input);
        assert_eq!(later.status, 200, "the batch is gone");
        let report = check_report(&later.body, expected.as_deref());
        assert_eq!(report["status"], "completed", "the batch did not end");
    }
    if kind == 4 {
        let count = usize::try_from(number(&report["counts"]["total"])).unwrap();
        check_formats(gateway, id, count, input);
    }
    true
}

/// The results of a batch that is over, in every format.
fn check_formats(gateway: &Gateway, id: &str, count: usize, input: &[u8]) {
    let read = |path: &str, accept: &str| {
        let found = gateway.get(&format!("/v1/batches/{id}{path}"), accept);
        found.check_secrets(input);
        found.body
    };
    check_csv(&read("/results", "text/csv"), count);
    check_lines(&read("/results", "application/x-ndjson"), count);
    assert!(!read("", "text/plain").is_empty());
}

fn check_plan(text: &[u8]) {
    // The caller's own JSON stands in a plan as it came; numbers beyond every range are still JSON.
    assert!(serde_json::from_slice::<&RawValue>(text).is_ok(), "a plan is JSON");
    let Ok(plan) = serde_json::from_slice::<Value>(text) else { return };
    let (calls, shown) = (number(&plan["call_count"]), plan["calls"].as_array().expect("calls"));
    assert_eq!(plan["calls_truncated"] == true, calls > 100);
    assert_eq!(u64::try_from(shown.len()).unwrap(), calls.min(100));
    let is_everyone = shown.iter().any(|call| call["body"]["isSendAll"] == true);
    if calls <= 100 && !is_everyone {
        let planned: u64 = shown.iter().map(|call| number(&call["recipient_count"])).sum();
        let all = planned + number(&plan["unsent_count"]);
        assert_eq!(all, number(&plan["recipient_count"]), "everybody is in a call or left out");
    }
}

/// The recipients that a body names; `None` where this reader cannot tell.
fn recipients(body: &[u8], is_lines: bool) -> Option<Vec<String>> {
    let text = std::str::from_utf8(body).ok()?;
    if is_lines {
        let mut lines = text.lines().filter(|line| !line.trim_matches([' ', '\t', '\r']).is_empty());
        let head: Value = serde_json::from_str(lines.next()?).ok()?;
        has_own_audience(&head).then_some(())?;
        return lines.map(|line| recipient(&serde_json::from_str(line).ok()?)).collect();
    }
    let request: Value = serde_json::from_str(text).ok()?;
    has_own_audience(&request).then_some(())?;
    let Some(routes) = request["routes"].as_array() else {
        return request["to"].as_array()?.iter().map(recipient).collect();
    };
    let mut all = Vec::new();
    for route in routes {
        has_own_audience(route).then_some(())?;
        for entry in route["to"].as_array()? {
            all.push(recipient(entry)?);
        }
    }
    Some(all)
}

/// Whether those in `to` are the recipients: two providers have options that name others.
fn has_own_audience(request: &Value) -> bool {
    request["provider_options"].is_null()
}

fn recipient(entry: &Value) -> Option<String> {
    match entry {
        Value::String(id) => Some(id.clone()),
        // Beyond 64 bits this reader loses digits.
        Value::Number(id) if id.is_i64() || id.is_u64() => Some(id.to_string()),
        Value::Object(entry) => recipient(entry.get("id")?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// Every request of the fixtures, in every form; recipients with which the stand-ins misbehave.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for provider in imcast::providers::REGISTRY {
        let channel = provider.sandbox.channel;
        for fixture in fixtures(provider.name) {
            let Some(mut head) = fixture["intent"].as_object().cloned() else { continue };
            head.insert("channel".into(), channel.into());
            let request = Value::Object(head.clone()).to_string();
            seeds.extend(["0", "2", "4"].map(|kind| format!("{kind}{request}").into_bytes()));
            if let Some(Value::Array(to)) = head.remove("to") {
                let lines: Vec<_> = to.iter().map(Value::to_string).collect();
                let head = Value::Object(head);
                seeds.push(format!("1{head}\n{}\n", lines.join("\n")).into_bytes());
            }
        }
        let (taken, refused) = provider.sandbox.recipients;
        let from = provider.sandbox.sender;
        let message = r#""message":{"type":"text","text":"=cmd() <b> \r\n"}"#;
        let mut to = vec![taken, refused, "=1+1", "a,\"b\"", "-1"];
        to.extend(["magic-omit", "magic-throttle-once", "magic-drop", "magic-hang", "990006", "990007"]);
        for id in to {
            let to = serde_json::json!([taken, {"id": id, "ref": "@ref"}]);
            let options = r#""options":{"retry_unknown":true,"on_invalid":"skip"}"#;
            let request =
                format!(r#"4{{"channel":"{channel}","from":"{from}","to":{to},{message},{options}}}"#);
            seeds.push(request.into_bytes());
            let head = format!(r#"{{"channel":"{channel}","from":"{from}",{message},{options}}}"#);
            let entry = serde_json::json!({"id": id, "ref": "@ref"});
            seeds.extend(
                ["1", "3"].map(|kind| format!("{kind}{head}\r\n7\n\n {entry}\n\"{taken}\"").into_bytes()),
            );
            let route = format!(r#"{{"channel":"{channel}","from":"{from}","to":{to}}}"#);
            seeds.push(format!(r#"4{{"routes":[{route},{route}],{message}}}"#).into_bytes());
        }
    }
    seeds
}
