//! Settings and requests beyond the golden fixtures.

use std::time::Duration;

use serde_json::{Value, json};

use super::test_rig::{call, channel, prepared_text, route, signed, text_route, try_channel};
use crate::domain::failure::FailureKind;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::report::WarningCode;
use crate::providers::easemob_relay::NAME;
use crate::providers::test_rig::engine::distinct;

fn pointers(faults: &[Fault]) -> Vec<(&str, FaultCode)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}

#[test]
fn settings_name_every_fault_at_once() {
    let extra = json!({
        "path": "send?x=1",
        "req_url": "//evil.example.com/x",
        "msg_body_encoding": "xml",
        "query": { "api_version": "01", "client": "", "version": "1.15", "channel": "c" },
    });
    let faults = try_channel("", &extra).err().unwrap();
    let expected = [
        ("/path", FaultCode::OutOfRange),
        ("/req_url", FaultCode::OutOfRange),
        ("/msg_body_encoding", FaultCode::OutOfRange),
        ("/query/client", FaultCode::OutOfRange),
        ("/query/sign", FaultCode::Required),
    ];
    assert_eq!(pointers(&faults), expected);
    let missing = try_channel("", &json!({})).err().unwrap();
    let expected = ["client", "channel", "sign"].map(|name| format!("/query/{name}"));
    let missing: Vec<_> = missing.iter().map(|fault| fault.pointer.clone()).collect();
    assert_eq!(missing, expected);
}

#[test]
fn requests_name_every_fault_at_once() {
    let mut intent = text_route(&["1"]);
    intent["ext"] = json!({ "a": 1 });
    intent["provider_options"] = json!({ NAME: {
        "target_type": "chatrooms", "media_file": 1, "file_url": "ftp://x", "ext": [], "req_url": "http://x/y",
        "query": { "sign": "" }, "reqUrl": "/x",
    }});
    let route = route(&intent).unwrap();
    let faults = channel(&json!({})).adapter.prepare(&route).err().unwrap();
    let found = pointers(&faults);
    let options = [
        ("target_type", FaultCode::OutOfRange),
        ("media_file", FaultCode::WrongType),
        ("file_url", FaultCode::OutOfRange),
        ("ext", FaultCode::WrongType),
        ("req_url", FaultCode::OutOfRange),
        ("query/sign", FaultCode::OutOfRange),
        ("reqUrl", FaultCode::UnknownField),
    ];
    assert_eq!(found.len(), options.len());
    for (name, code) in options {
        let pointer = format!("/provider_options/easemob_relay/{name}");
        assert!(found.contains(&(pointer.as_str(), code)), "{name}: {found:?}");
    }
}

/// Prepares a message with further parts of a request on a channel with further keys.
fn check_faults(message: &Value, more: &Value, keys: &Value, expected: &[(&str, FaultCode)]) {
    let mut intent = text_route(&["1"]);
    intent["message"] = message.clone();
    for (key, value) in more.as_object().unwrap() {
        intent[key] = value.clone();
    }
    let prepared = channel(keys).adapter.prepare(&route(&intent).unwrap());
    let faults = prepared.err().unwrap_or_default();
    assert_eq!(pointers(&faults), expected, "{intent}");
}

#[test]
fn refuses_what_it_cannot_carry() {
    let none = json!({});
    let check =
        |message: Value, expected: &[(&str, FaultCode)]| check_faults(&message, &none, &none, expected);
    let url = "https://cdn.example.com/x";
    check(
        json!({ "type": "image", "url": url, "secret": "s", "thumbnail_secret": "t", "width": 1 }),
        &[("/message/secret", FaultCode::Unsupported), ("/message/thumbnail_secret", FaultCode::Unsupported)],
    );
    check(json!({ "type": "command", "action": "" }), &[("/message/action", FaultCode::OutOfRange)]);
    check(
        json!({ "type": "location", "latitude": 1.5, "longitude": 2, "address": "" }),
        &[("/message/address", FaultCode::OutOfRange)],
    );
    check(json!({ "type": "native", "payload": [] }), &[("/message/payload", FaultCode::WrongType)]);
    check(
        json!({ "type": "native", "payload": { "toUser": "x", "ext": "y" } }),
        &[
            ("/message/payload/msgType", FaultCode::Required),
            ("/message/payload/toUser", FaultCode::Conflict),
            ("/message/payload/ext", FaultCode::WrongType),
        ],
    );
}

#[test]
fn takes_each_value_from_one_place_only() {
    let none = json!({});
    let options = |options: Value| json!({ "provider_options": { NAME: options } });
    let native = json!({ "type": "native", "payload": { "msgType": "txt", "mediaFile": "a", "ext": {} } });
    let own_text = json!({ "type": "text", "text": "x" });
    let prefix = "/provider_options/easemob_relay";
    let mut twice = options(json!({ "ext": {} }));
    twice["ext"] = json!({});
    check_faults(&own_text, &twice, &none, &[(&format!("{prefix}/ext"), FaultCode::Conflict)]);
    check_faults(
        &native,
        &options(json!({ "ext": {}, "media_file": "b", "file_url": "https://x/y" })),
        &none,
        &[
            ("/message/payload/ext", FaultCode::Conflict),
            (&format!("{prefix}/media_file"), FaultCode::Conflict),
        ],
    );
    check_faults(
        &own_text,
        &options(json!({ "file_url": "https://x/y" })),
        &none,
        &[(&format!("{prefix}/file_url"), FaultCode::Unsupported)],
    );
}

#[test]
fn counts_msg_and_ext_only_where_a_limit_is_set() {
    // `"x…"` takes its length and two quotes; `{"k":1}` takes 7.
    let message = json!({ "type": "text", "text": "x".repeat(91) });
    let ext = json!({ "ext": { "k": 1 } });
    check_faults(&message, &ext, &json!({}), &[]);
    check_faults(&message, &ext, &json!({ "max_payload_bytes": 100 }), &[]);
    let too_large = [("/message", FaultCode::TooLarge)];
    check_faults(&message, &ext, &json!({ "max_payload_bytes": 99 }), &too_large);
}

#[test]
fn warns_of_hints_that_are_left_out() {
    let mut intent = text_route(&["1"]);
    intent["message"] = json!({
        "type": "video", "url": "https://cdn.example.com/v.mp4", "duration_seconds": 9, "size_bytes": 10,
        "format": "mp4", "thumbnail_url": "https://cdn.example.com/t.png",
    });
    let prepared = channel(&json!({})).adapter.prepare(&route(&intent).unwrap());
    let prepared = prepared.unwrap();
    let warned: Vec<_> = prepared
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
        .collect();
    let expected = ["duration_seconds", "size_bytes", "format", "thumbnail_url"]
        .map(|name| (WarningCode::FieldLeftOut, format!("/message/{name}")));
    let expected: Vec<_> = expected.iter().map(|(code, pointer)| (*code, pointer.as_str())).collect();
    assert_eq!(warned, expected);
}

#[test]
fn every_recipient_adds_to_the_time_of_a_call() {
    let (route, prepared, positions) = prepared_text(&["1", "2", "3"]);
    let request = prepared.encode(&call(&route.to, &positions));
    assert_eq!(request.timeout, Duration::from_millis(10_600));
}

#[test]
fn the_option_decides_the_target_where_the_request_is_silent() {
    let mut intent = text_route(&["1"]);
    for (option, expected) in [(json!({}), "users"), (json!({ "target_type": "chatgroups" }), "chatgroups")] {
        intent["provider_options"] = json!({ NAME: option });
        let route = route(&intent).unwrap();
        let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
        let positions = distinct(&route.to);
        let body: Value =
            serde_json::from_slice(&prepared.encode(&call(&route.to, &positions)).body).unwrap();
        assert_eq!(body["messages"][0]["msgBody"]["targetType"], expected);
    }
}

#[test]
fn an_empty_recipient_is_refused_alone() {
    let (_, prepared, _) = prepared_text(&["1"]);
    assert_eq!(prepared.check_recipient("1"), Ok(()));
    let failure = prepared.check_recipient("").unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidRecipient);
}

#[test]
fn a_request_may_replace_single_values_of_the_query() {
    let mut intent = text_route(&["1"]);
    intent["provider_options"] = json!({ NAME: { "query": { "sign": "a b&c" } } });
    let channel = channel(&json!({}));
    let route = route(&intent).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
    let expected = "apiVersion=01&client=0123456789abcdef0123456789abcdef&version=1.15\
                    &channel=fedcba9876543210fedcba9876543210&sign=a%20b%26c";
    assert_eq!(request.encoded_query(), expected);
    assert!(!request.redacted_query().contains("a%20b"));
}
