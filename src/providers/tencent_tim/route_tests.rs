//! Settings, and what becomes of a route before any call.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_rig::{build, call, faults, prepare, rig, text_intent};
use crate::domain::fault::FaultCode;
use crate::domain::recipients::RecipientList;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::everybody;

#[test]
fn settings_name_every_missing_key_at_once() {
    let pointers: Vec<_> =
        build("usersig_ttl_seconds = 59").err().unwrap().into_iter().map(|fault| fault.pointer).collect();
    assert_eq!(pointers, ["/sdk_app_id", "/identifier", "/secret_key", "/usersig_ttl_seconds"]);
}

#[test]
fn all_faults_of_a_route_come_at_once() {
    let found = faults(&json!({
        "from": "", "to": ["a"], "target_type": "group", "ext": "e", "push": {"title": "t"},
        "message": {"type": "custom", "event": "e", "exts": {"a": "b"}},
        "provider_options": {"tencent_tim": {
            "msg_seq": "1", "sync_to_sender": 1, "msg_life_time": 604801, "online_only_flag": 2,
            "send_msg_control": ["NoUnread", "Loud"], "cloud_custom_data": "c", "offline_push_info": {},
        }},
    }));
    let mut pointers: Vec<_> = found.iter().map(|fault| fault.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/from",
            "/message/data",
            "/message/event",
            "/message/exts",
            "/provider_options/tencent_tim/cloud_custom_data",
            "/provider_options/tencent_tim/msg_life_time",
            "/provider_options/tencent_tim/msg_seq",
            "/provider_options/tencent_tim/offline_push_info",
            "/provider_options/tencent_tim/online_only_flag",
            "/provider_options/tencent_tim/send_msg_control/1",
            "/provider_options/tencent_tim/sync_to_sender",
            "/target_type",
        ]
    );
}

#[test]
fn secrets_have_no_field_and_descriptions_are_left_out_with_a_warning() {
    let url = "https://cdn.example.com/a";
    for (kind, refused, left_out) in [
        ("image", vec!["/message/secret"], vec!["filename", "thumbnail_width"]),
        ("audio", vec!["/message/secret"], vec!["filename"]),
        ("file", vec!["/message/secret"], vec![]),
        ("video", vec!["/message/secret", "/message/thumbnail_secret"], vec!["filename"]),
    ] {
        let mut message = json!({"type": kind, "url": url, "filename": "f", "thumbnail_width": 3});
        if kind == "video" {
            message["thumbnail_url"] = url.into();
        }
        let (_, prepared) = prepare(&rig(), &json!({"to": ["a"], "message": message}));
        let pointers: Vec<_> = prepared
            .warnings()
            .iter()
            .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
            .collect();
        let expected: Vec<_> = left_out.iter().map(|field| format!("/message/{field}")).collect();
        let expected: Vec<_> =
            expected.iter().map(|pointer| (WarningCode::FieldLeftOut, pointer.as_str())).collect();
        assert_eq!(pointers, expected, "{kind}");
        message["secret"] = "s".into();
        message["thumbnail_secret"] = "s".into();
        let found = faults(&json!({"to": ["a"], "message": message}));
        let pointers: Vec<_> = found.iter().map(|fault| fault.pointer.as_str()).collect();
        assert!(refused.iter().all(|pointer| pointers.contains(pointer)), "{kind}: {found:?}");
        assert!(found.iter().all(|fault| fault.code == FaultCode::Unsupported), "{kind}");
    }
}

fn body(intent: &Value) -> Value {
    let (route, prepared) = prepare(&rig(), intent);
    let positions = everybody(&route.to);
    let request = prepared.encode(&call(&route.to, &positions, 7));
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn media_fall_back_to_what_the_url_says() {
    let content =
        |message: Value| body(&json!({"to": ["a"], "message": message}))["MsgBody"][0]["MsgContent"].clone();
    let file = content(json!({"type": "file", "url": "https://cdn.example.com/a/report%20Q3.pdf?v=1"}));
    assert_eq!(file["FileName"], "report Q3.pdf");
    assert_eq!(file["UUID"].as_str().unwrap().len(), 32);
    let nameless = content(json!({"type": "file", "url": "https://cdn.example.com/"}));
    assert_eq!(nameless.get("FileName"), None);
    let video = content(json!({
        "type": "video", "url": "https://cdn.example.com/clip.MOV", "thumbnail_url": "https://cdn.example.com/c",
        "duration_seconds": 4.01,
    }));
    assert_eq!((&video["VideoFormat"], &video["ThumbFormat"]), (&json!("MOV"), &json!("JPG")));
    assert_eq!(video["VideoSecond"], 5);
    let image = content(json!({
        "type": "image", "url": "https://cdn.example.com/p.jpeg", "width": 4, "height": 3, "format": "bmp",
        "thumbnail_url": "https://cdn.example.com/t", "thumbnail_width": 2, "thumbnail_size_bytes": 9,
    }));
    assert_eq!(image["ImageFormat"], 4);
    let small = json!({"Type": 3, "Size": 9, "Width": 2, "Height": 0, "URL": "https://cdn.example.com/t"});
    assert_eq!(image["ImageInfoArray"][2], small);
}

#[test]
fn a_command_keeps_what_the_caller_set() {
    let body = body(&json!({
        "to": ["a"], "message": {"type": "command", "action": "say \"hi\""}, "push": {"title": "t"},
        "provider_options": {"tencent_tim": {"send_msg_control": []}},
    }));
    assert_eq!(body["MsgBody"][0]["MsgContent"]["Data"], r#"{"action":"say \"hi\""}"#);
    assert_eq!(body["OfflinePushInfo"], json!({"Title": "t"}));
    assert_eq!(body["SendMsgControl"], json!([]));
}

#[test]
fn an_empty_push_says_nothing() {
    let mut intent = text_intent();
    intent["push"] = json!({});
    assert_eq!(body(&intent).get("OfflinePushInfo"), None);
}

#[test]
fn native_payloads_are_checked_from_outside_only() {
    let text = json!({"MsgType": "TIMTextElem", "MsgContent": {"Anything": [1]}});
    let custom = json!({"MsgType": "TIMCustomElem", "MsgContent": {"Data": "d"}});
    for (payload, pointer) in [
        (json!([text, custom, {"MsgType": "TIMNewElem", "MsgContent": {}}]), None),
        (json!({}), Some("/message/payload")),
        (json!([]), Some("/message/payload")),
        (json!([custom, custom]), Some("/message/payload")),
        (json!([text, 1]), Some("/message/payload/1")),
        (json!([{"MsgType": 1, "MsgContent": {}}]), Some("/message/payload/0")),
        (json!([{"MsgType": "x", "MsgContent": "y"}]), Some("/message/payload/0")),
    ] {
        let found = faults(&json!({"to": ["a"], "message": {"type": "native", "payload": payload}}));
        let pointers: Vec<_> = found.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, Vec::from_iter(pointer), "{payload}");
    }
}

#[test]
fn a_message_body_may_have_exactly_12288_bytes() {
    let around = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":""}}]"#.len();
    let intent =
        |bytes: usize| json!({"to": ["a"], "message": {"type": "text", "text": "x".repeat(bytes - around)}});
    assert_eq!(faults(&intent(12_288)), []);
    let found = faults(&intent(12_289));
    assert_eq!((found.len(), found[0].code, found[0].pointer.as_str()), (1, FaultCode::TooLarge, "/message"));
}

proptest! {
    #[test]
    fn any_ids_are_written_as_json(ids in prop::collection::vec(".{1,12}", 1..20), nonce in any::<u64>()) {
        let (_, prepared) = prepare(&rig(), &text_intent());
        let list: RecipientList = ids.iter().map(String::as_str).collect();
        let positions = everybody(&list);
        let body = prepared.encode(&call(&list, &positions, nonce)).body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(&body["To_Account"], &json!(ids));
        prop_assert_eq!(&body["MsgRandom"], &json!(nonce & 0xFFFF_FFFF));
    }
}
