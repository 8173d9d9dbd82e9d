//! Settings, checks and requests beyond the golden fixtures.

use std::time::Duration;

use serde_json::{Value, json};

use super::test_rig::{call, channel, prepared_text, route, send, try_channel};
use crate::domain::fault::FaultCode;
use crate::domain::recipients::Positions;
use crate::domain::report::WarningCode;

#[test]
fn settings_name_every_fault() {
    let faults = |keys: Value| -> Vec<(String, FaultCode)> {
        let faults = try_channel(&keys).err().unwrap();
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    };
    let at = |pointer: &str, code| (pointer.to_owned(), code);
    assert_eq!(
        faults(json!({})),
        [at("/admin_user_id", FaultCode::Required), at("/secret", FaultCode::Required)]
    );
    assert_eq!(
        faults(
            json!({"token": "t", "secret": "s", "token_endpoint": "x", "extra_content_types": [109, 107]})
        ),
        [
            at("/secret", FaultCode::Conflict),
            at("/token_endpoint", FaultCode::OutOfRange),
            at("/extra_content_types/1", FaultCode::OutOfRange),
        ]
    );
    assert_eq!(faults(json!({"token": "a b"})), [at("/token", FaultCode::OutOfRange)]);
    assert_eq!(
        faults(json!({"token": "t", "send_all_timeout_ms": 0})),
        [at("/send_all_timeout_ms", FaultCode::OutOfRange)]
    );
}

/// Pointers of the faults of a request, with the channel's extra keys.
fn faults(keys: &Value, intent: &Value) -> Vec<String> {
    let mut whole = json!({"from": "s", "to": ["a"]});
    for (key, value) in intent.as_object().unwrap() {
        whole[key] = value.clone();
    }
    match channel(keys).adapter.prepare(&route(&whole)) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| fault.pointer).collect(),
    }
}

#[track_caller]
fn check_faults(keys: &Value, intent: &Value, expected: &[&str]) {
    assert_eq!(faults(keys, intent), expected, "{intent}");
}

#[test]
fn faults_of_a_message_come_all_at_once_and_point_at_their_place() {
    let none = json!({});
    check_faults(
        &none,
        &json!({"message": {"type": "image", "url": "https://e.com/a", "secret": "s", "width": 0},
                "provider_options": {"openim": {"ex": 1, "send_time": -1}}}),
        &[
            "/provider_options/openim/send_time",
            "/provider_options/openim/ex",
            "/message/secret",
            "/message/width",
            "/message/height",
            "/message/format",
        ],
    );
    check_faults(
        &none,
        &json!({"message": {"type": "video", "url": "https://e.com/a", "thumbnail_secret": "s"}}),
        &[
            "/message/thumbnail_secret",
            "/message/format",
            "/message/size_bytes",
            "/message/duration_seconds",
            "/message/thumbnail_url",
            "/message/thumbnail_width",
            "/message/thumbnail_height",
        ],
    );
    check_faults(
        &none,
        &json!({"message": {"type": "custom", "sound": "s", "data": ""}}),
        &["/message/sound", "/message/data"],
    );
    check_faults(
        &none,
        &json!({"message": {"type": "native", "payload": {"content_type": 109, "extra": 1}}}),
        &["/message/payload/content", "/message/payload/content_type", "/message/payload/extra"],
    );
}

#[test]
fn contradictions_point_at_their_place() {
    let text = json!({"type": "text", "text": "x"});
    let none = json!({});
    check_faults(
        &none,
        &json!({"message": text, "push": {"android": {"sound": "s"}},
                "provider_options": {"openim": {"not_offline_push": true}}}),
        &["/push", "/push/android/sound"],
    );
    check_faults(
        &none,
        &json!({"message": {"type": "native", "payload": {"content_type": 1400, "content": {}}},
                "provider_options": {"openim": {"session_type": 1}}}),
        &["/provider_options/openim/session_type"],
    );
    check_faults(
        &none,
        &json!({"message": text, "to": [], "provider_options": {"openim": {"is_send_all": true}}}),
        &["/provider_options/openim/is_send_all"],
    );
}

#[test]
fn content_may_be_exactly_as_large_as_allowed() {
    // {"content":"x"}
    let message = json!({"message": {"type": "text", "text": "x"}});
    check_faults(&json!({"max_payload_bytes": 14}), &message, &["/message"]);
    check_faults(&json!({"max_payload_bytes": 15}), &message, &[]);
}

#[test]
fn location_and_face_are_carried_where_the_settings_say_so() {
    let channel = channel(&json!({"extra_content_types": [109, 115]}));
    for (message, content_type, content) in [
        (
            json!({"type": "location", "latitude": 39.9, "longitude": -116.25}),
            109,
            json!({"description": "", "longitude": -116.25, "latitude": 39.9}),
        ),
        (json!({"type": "face", "index": 3, "data": "d"}), 115, json!({"index": 3, "data": "d"})),
        (
            json!({"type": "native", "payload": {"content_type": 115, "content": {"index": 1}}}),
            115,
            json!({"index": 1}),
        ),
    ] {
        let route = route(&json!({"from": "s", "to": ["a"], "message": message}));
        send(&channel, &route, |request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!((&body["contentType"], &body["content"]), (&json!(content_type), &content));
            None
        });
    }
}

#[test]
fn hints_without_a_field_are_left_out_with_a_warning() {
    let route = route(&json!({"from": "s", "to": ["a"], "message": {
        "type": "image", "url": "https://e.com/a.png", "width": 1, "height": 1, "id": "p1",
        "filename": "a.png", "thumbnail_url": "https://e.com/t.png", "thumbnail_width": 5}}));
    let channel = channel(&json!({}));
    let prepared = channel.adapter.prepare(&route).unwrap();
    let warnings: Vec<_> = prepared
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
        .collect();
    let expected = ["/message/filename", "/message/thumbnail_url", "/message/thumbnail_width"];
    assert_eq!(warnings, expected.map(|pointer| (WarningCode::FieldLeftOut, pointer)));
    let body: Value =
        serde_json::from_slice(&prepared.encode(&call(&route, &Positions::Range(0..1))).body).unwrap();
    assert_eq!(body["content"]["snapshotPicture"], body["content"]["sourcePicture"]);
    assert_eq!(body["content"]["sourcePicture"]["uuid"], "p1");
}

#[test]
fn time_grows_with_the_recipients_and_send_all_has_its_own() {
    let channel = channel(&json!({"allow_send_all": true}));
    let (route_to_two, prepared) = prepared_text(&channel);
    let request = prepared.encode(&call(&route_to_two, &Positions::Range(0..2)));
    assert_eq!(request.timeout, Duration::from_millis(10_040));
    assert_eq!(request.headers.len(), 1);
    let everyone = route(&json!({"from": "s", "to": [], "message": {"type": "text", "text": "hi"},
                                 "provider_options": {"openim": {"is_send_all": true}}}));
    let prepared = channel.adapter.prepare(&everyone).unwrap();
    let request = prepared.encode(&call(&everyone, &Positions::Range(0..0)));
    assert_eq!(request.timeout, Duration::from_secs(300));
}

#[test]
fn ids_are_escaped_and_an_empty_one_is_refused() {
    let channel = channel(&json!({}));
    let route = route(
        &json!({"from": "s\"", "to": ["a\"\\", "\u{1F600}"], "message": {"type": "text", "text": "\n"}}),
    );
    let prepared = channel.adapter.prepare(&route).unwrap();
    let request = prepared.encode(&call(&route, &Positions::Range(0..2)));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["recvIDs"], json!(["a\"\\", "\u{1F600}"]));
    assert_eq!(body["sendID"], "s\"");
    assert!(prepared.check_recipient("").is_err());
    assert!(prepared.check_recipient("a").is_ok());
}
