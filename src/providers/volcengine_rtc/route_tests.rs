//! Settings and routes that are refused, and what is left out of a message.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::test_rig::{channel, route, try_channel};
use super::*;
use crate::domain::report::WarningCode;

fn check_settings(keys: &Value, pointer: &str) {
    let mut all = json!({ "app_id": 1, "access_key_id": "AK", "secret_access_key": "SK" });
    for (name, value) in keys.as_object().unwrap() {
        all[name] = value.clone();
    }
    let Err(faults) = try_channel(&all) else {
        panic!("{keys} was taken");
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, [pointer]);
}

#[test]
fn refuses_settings_that_cannot_work() {
    check_settings(&json!({ "base_url": "https://rtc.volcengineapi.com/api" }), "/base_url");
    check_settings(&json!({ "default_from": "dave" }), "/default_from");
    check_settings(&json!({ "app_id": 0 }), "/app_id");
    check_settings(&json!({ "access_key_id": "a/b" }), "/access_key_id");
    check_settings(&json!({ "secret_access_key": "" }), "/secret_access_key");
    check_settings(&json!({ "session_token": "line\nbreak" }), "/session_token");
    check_settings(&json!({ "region": "" }), "/region");
    check_settings(&json!({ "content_encoding": "xml" }), "/content_encoding");
    check_settings(&json!({ "media_messages": "v2" }), "/media_messages");
    check_settings(&json!({ "command_msg_type": "many" }), "/command_msg_type");
    let Err(faults) = try_channel(&json!({})) else {
        panic!("a channel without credentials");
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/app_id", "/access_key_id", "/secret_access_key"]);
}

#[test]
fn names_every_fault_of_a_route_at_once() {
    let faults = channel(&json!({}))
        .adapter
        .prepare(&route(&json!({
            "from": "x", "to": ["1"], "target_type": "chatroom", "ext": "e", "push": { "title": "t" },
            "message": { "type": "custom", "event": "gift" },
            "provider_options": { NAME: { "inbox_type": "7", "is_normal_user": 1, "more": 1 } },
        })))
        .err()
        .unwrap();
    let pointers: BTreeSet<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    let expected = [
        "/ext",
        "/from",
        "/message/data",
        "/message/event",
        "/provider_options/volcengine_rtc/inbox_type",
        "/provider_options/volcengine_rtc/is_normal_user",
        "/provider_options/volcengine_rtc/more",
        "/push",
        "/target_type",
    ];
    assert_eq!(pointers.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn warns_about_hints_and_refuses_secrets_of_media() {
    let channel = channel(&json!({ "media_messages": "files_v1", "max_payload_bytes": 400 }));
    let image = |extra: Value| {
        let mut message = json!({ "type": "image", "url": "https://e.com/a", "format": "png" });
        for (name, value) in extra.as_object().unwrap() {
            message[name] = value.clone();
        }
        route(&json!({ "from": 1, "to": [1], "message": message }))
    };
    let prepared = channel.adapter.prepare(&image(json!({ "thumbnail_width": 3 }))).unwrap();
    let pointers: Vec<_> = prepared
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
        .collect();
    let code = WarningCode::FieldLeftOut;
    assert_eq!(pointers, [(code, "/message/thumbnail_width"), (code, "/message/format")]);
    let faults = |extra: Value| {
        let faults = channel.adapter.prepare(&image(extra)).err().unwrap();
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect::<Vec<_>>()
    };
    let unsupported = FaultCode::Unsupported;
    assert_eq!(
        faults(json!({ "id": "i", "secret": "s" })),
        [("/message/id".to_owned(), unsupported), ("/message/secret".to_owned(), unsupported)]
    );
    let long = "n".repeat(400);
    assert_eq!(faults(json!({ "filename": long })), [("/message".to_owned(), FaultCode::TooLarge)]);
}

#[test]
fn signs_for_the_host_header_that_the_transport_sends() {
    let check = |base_url: &str, host: Option<&str>| {
        assert_eq!(auth::signed_host(&base_url.parse().unwrap()).as_deref(), host);
    };
    check("https://RTC.volcengineapi.com", Some("rtc.volcengineapi.com"));
    check("https://rtc.volcengineapi.com:443/", Some("rtc.volcengineapi.com"));
    check("http://rtc.volcengineapi.com:80", Some("rtc.volcengineapi.com"));
    check("http://127.0.0.1:18080", Some("127.0.0.1:18080"));
    check("http://[::1]:9", Some("[::1]:9"));
    check("http://localhost/api", None);
}
