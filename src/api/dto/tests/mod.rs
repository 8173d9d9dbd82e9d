mod lines;
mod messages;

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use crate::api::dto::lines::LineReader;
use crate::api::dto::request::{Context, Decoded, Refusal, decode};
use crate::api::keys::caller::Caller;
use crate::domain::batch::{OnInvalid, RetryUnknown};
use crate::domain::id::BatchId;
use crate::domain::message::Message;
use crate::domain::route::TargetType;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn provider_of(name: &str) -> Option<&'static str> {
    match name {
        "one" | "uno" => Some("first"),
        "two" => Some("second"),
        _ => None,
    }
}

static ANYBODY: Caller = Caller::anybody();

fn context() -> Context<'static> {
    Context {
        id: BatchId::new(1, 1),
        caller: &ANYBODY,
        now: now(),
        max_age: Duration::from_secs(3600),
        most_routes: 3,
        most_recipients: 5,
        callback_hosts: None,
        provider_of: &provider_of,
    }
}

fn read(json: &str) -> Decoded {
    decode(json, &context()).unwrap()
}

/// Pointer and code of every fault, each as `pointer code`.
fn faults(decoded: Result<Decoded, Refusal>) -> Vec<String> {
    let found = match decoded {
        Ok(decoded) if decoded.faults.is_empty() => return vec!["sound".to_owned()],
        Ok(decoded) => decoded.faults,
        Err(Refusal::NotJson(_)) => return vec!["not JSON".to_owned()],
        Err(Refusal::Fault(fault)) => vec![fault],
    };
    found.iter().map(|fault| format!("{} {}", fault.pointer, fault.code.as_str())).collect()
}

fn check(json: &str, expected: &[&str]) {
    assert_eq!(faults(decode(json, &context())), expected, "{json}");
}

const TEXT: &str = r#""message":{"type":"text","text":"hi"}"#;

#[test]
fn reads_the_short_form() {
    let decoded = read(
        r#"{"channel":"one","from":7,"to":["a",12345678901234567890123,{"id":"c\u00e9","ref":"r"},{"id":-4}],
            "target_type":"group","client_ref":"x","ext":{"k": 1},"push":{"disabled":true,"ios":{"badge":false}},
            "provider_options":{"first":{"o": [1]}},"message":{"type":"text","text":"hi"},
            "options":{"expires_at":"2023-11-14T22:30:00+00:00","on_invalid":"reject","retry_unknown":true}}"#,
    );
    let batch = decoded.batch;
    assert_eq!((batch.on_invalid, batch.retry_unknown), (OnInvalid::Reject, RetryUnknown::Allowed));
    assert_eq!(batch.expires_at, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_001_000));
    assert_eq!(batch.client_ref.as_deref(), Some("x"));
    let route = &batch.routes[0];
    let ids: Vec<_> = route.to.iter().collect();
    assert_eq!(ids, ["a", "12345678901234567890123", "cé", "-4"]);
    assert_eq!(route.to.reference(2).map(|text| &**text), Some("r"));
    assert_eq!((route.sender.as_deref(), route.target_type), (Some("7"), Some(TargetType::Group)));
    assert_eq!(route.ext.as_ref().map(|ext| ext.as_text()), Some(r#"{"k":1}"#));
    assert_eq!(route.push.as_ref().and_then(|push| push.ios_badge), Some(false));
    assert_eq!(route.provider_options.as_ref().map(|block| block.as_str()), Some(r#"{"o":[1]}"#));
    assert_eq!(decoded.origins.place(0, "/message/text"), "/message/text");
}

#[test]
fn a_route_replaces_what_the_top_says() {
    let decoded = read(&format!(
        r#"{{{TEXT},"from":"top","ext":"e","provider_options":{{"first":{{}}}},
            "routes":[{{"channel":"one","to":["a"]}},
                      {{"channel":"two","to":["b"],"from":"own","message":{{"type":"face","index":-3}},
                        "provider_options":{{"second":{{"x":1}}}}}}]}}"#
    ));
    let [first, second] = &decoded.batch.routes[..] else { panic!("two routes") };
    assert_eq!((first.sender.as_deref(), second.sender.as_deref()), (Some("top"), Some("own")));
    assert_eq!(first.ext, second.ext);
    assert!(matches!(*second.message, Message::Face { index: -3, .. }));
    assert_eq!(second.provider_options.as_ref().map(|block| block.as_str()), Some(r#"{"x":1}"#));
    assert_eq!(decoded.batch.expires_at, now() + Duration::from_secs(3600));
    for (route_index, pointer, expected) in [
        (0, "/message/text", "/message/text"),
        (1, "/message/index", "/routes/1/message/index"),
        (0, "/from", "/from"),
        (1, "/from", "/routes/1/from"),
        (0, "/push", "/routes/0/push"),
        (1, "/to/3", "/routes/1/to/3"),
        (1, "", "/routes/1"),
    ] {
        assert_eq!(decoded.origins.place(route_index, pointer), expected);
    }
}

#[test]
fn tells_what_is_no_json() {
    for json in [
        "",
        "{",
        "nul",
        "{\"to\":[1,]}",
        "{} x",
        "{\"a\":01}",
        "{\"to\":[\"a]}",
        "[1",
        "{\"routes\":[{]}",
        "{\"a\":NaN}",
        "{'a':1}",
        "{\"a\":\"\u{1}\"}",
    ] {
        check(json, &["not JSON"]);
    }
}

#[test]
fn json_of_another_shape_is_a_fault() {
    for json in ["[]", "1", "\"x\"", "null", "1e999", "[[[]]]"] {
        check(json, &[" wrong_type"]);
    }
    check("{}", &["/channel required", "/message required", "/to required"]);
    for to in ["\"a\"", "{}", "null", "7", "true", "1.5"] {
        let json = format!(r#"{{"channel":"nobody","to":{to},{TEXT}}}"#);
        check(&json, &["/channel unknown_channel", "/to wrong_type"]);
    }
    check(&format!(r#"{{"channel":"one","to":1e999,{TEXT}}}"#), &["/to wrong_type"]);
    check(&format!(r#"{{"channel":"one","to":"\ud800",{TEXT}}}"#), &["/to wrong_type"]);
    check(&format!(r#"{{"\ud800":1,"channel":"one","to":["a"],{TEXT}}}"#), &[" wrong_type"]);
    check(&format!(r#"{{"routes":{{}},{TEXT}}}"#), &["/routes wrong_type"]);
    check(&format!(r#"{{"routes":[],{TEXT}}}"#), &["/routes required"]);
    check(&format!(r#"{{"routes":[1,[]],{TEXT}}}"#), &["/routes/0 wrong_type", "/routes/1 wrong_type"]);
}

#[test]
fn names_every_bad_entry_of_to() {
    let long = "r".repeat(129);
    let json = format!(
        r#"{{"channel":"one",{TEXT},"to":[true,1.5,{{"id":"a","ref":"{long}","x":1}},{{"ref":2}},"\udc00"]}}"#
    );
    let expected = [
        "/to/0 wrong_type",
        "/to/1 wrong_type",
        "/to/2/ref too_large",
        "/to/2/x unknown_field",
        "/to/3/id required",
        "/to/3/ref wrong_type",
        "/to/4 wrong_type",
    ];
    check(&json, &expected);
    check(
        &format!(r#"{{"channel":"nowhere",{TEXT},"to":[]}}"#),
        &["/channel unknown_channel", "/to required"],
    );
    check(&format!(r#"{{"channel":"one",{TEXT},"to":[1,2,3,4,5]}}"#), &["sound"]);
    check(&format!(r#"{{"channel":"one",{TEXT},"to":[1,2,3,4,5,6]}}"#), &["/to too_large"]);
    let many = ["null"; 5].join(",");
    let route = format!(r#"{{"channel":"one","to":[{many}]}}"#);
    let found = faults(decode(&format!(r#"{{{TEXT},"routes":[{route},{route}]}}"#), &context()));
    assert_eq!(found.len(), 6);
    assert_eq!(found.last().map(String::as_str), Some("/routes too_large"));
}

#[test]
fn texts_before_another_entry_count_once() {
    let json = format!(r#"{{"channel":"one",{TEXT},"to":["a","b\u00e9","c",4,{{"id":"e"}}]}}"#);
    let decoded = read(&json);
    let ids: Vec<_> = decoded.batch.routes[0].to.iter().collect();
    assert_eq!(ids, ["a", "bé", "c", "4", "e"]);
    check(&json, &["sound"]);
    check(&format!(r#"{{"channel":"one",{TEXT},"to":["a","b","c","d","e",6]}}"#), &["/to too_large"]);
    check(&format!(r#"{{"channel":"one",{TEXT},"to":["a","b","c","d","\udc00"]}}"#), &["/to/4 wrong_type"]);
}

#[test]
fn an_empty_to_is_for_the_adapter_to_judge() {
    check(&format!(r#"{{"channel":"one",{TEXT}}}"#), &["sound"]);
    check(&format!(r#"{{"channel":"one",{TEXT},"to":[]}}"#), &["sound"]);
}

#[test]
fn refuses_what_does_not_belong_together() {
    check(
        &format!(
            r#"{{{TEXT},"channel":"one","to":["a"],"target_type":"user","routes":[{{"channel":"one","to":["a"]}}]}}"#
        ),
        &["/channel conflict", "/target_type conflict", "/to conflict"],
    );
    check(
        &format!(r#"{{"to":["a"],"to":["b"],"channel":"one","channel":"two",{TEXT}}}"#),
        &["/channel conflict", "/to conflict"],
    );
    check(
        r#"{"routes":[{"channel":"one","to":["a"],"routes":[],"client_ref":"x"},{"to":["b"],"to":[]}]}"#,
        &[
            "/routes/0/message required",
            "/routes/0/routes unknown_field",
            "/routes/0/client_ref unknown_field",
            "/routes/1/to conflict",
            "/routes/1/channel required",
            "/routes/1/message required",
        ],
    );
    let route = r#"{"channel":"one","to":["a"]}"#;
    let routes = [route; 4].join(",");
    check(&format!(r#"{{{TEXT},"routes":[{routes}]}}"#), &["/routes too_large"]);
}

#[test]
fn refuses_options_that_no_route_reads() {
    let routes = r#""routes":[{"channel":"one","to":["a"]},{"channel":"two","to":["b"]}]"#;
    check(&format!(r#"{{{TEXT},"provider_options":{{"first":{{}},"second":{{}}}},{routes}}}"#), &["sound"]);
    check(
        &format!(r#"{{{TEXT},"provider_options":{{"first":{{}},"a/b":{{}},"second":3}},{routes}}}"#),
        &["/provider_options/second wrong_type"],
    );
    check(
        &format!(r#"{{{TEXT},"provider_options":{{"first":{{}},"a/b":{{}}}},{routes}}}"#),
        &["/provider_options/a~1b unsupported"],
    );
    check(
        &format!(
            r#"{{{TEXT},"routes":[{{"channel":"one","to":["a"],"provider_options":{{"second":{{}}}}}}]}}"#
        ),
        &["/routes/0/provider_options/second unsupported"],
    );
}

#[test]
fn a_native_message_at_the_top_serves_one_provider() {
    let json = |second: &str| {
        format!(
            r#"{{"message":{{"type":"native","payload":[1]}},
                "routes":[{{"channel":"one","to":["a"]}},{{"channel":"{second}","to":["b"]}}]}}"#
        )
    };
    check(&json("uno"), &["sound"]);
    check(&json("two"), &["/message/type conflict"]);
}

#[test]
fn refuses_bad_options() {
    let json = |options: &str| format!(r#"{{"channel":"one","to":["a"],{TEXT},"options":{options}}}"#);
    check(
        &json(
            r#"{"callback":{"url":"https://x"},"expires_at":"tomorrow","on_invalid":"maybe","retry_unknown":1,"x":0}"#,
        ),
        &[
            "/options/callback not_allowed",
            "/options/expires_at out_of_range",
            "/options/on_invalid out_of_range",
            "/options/retry_unknown wrong_type",
            "/options/x unknown_field",
        ],
    );
    check(&json(r#"{"expires_at":"2023-11-14T23:13:21Z"}"#), &["/options/expires_at out_of_range"]);
    check(&json(r#"{"expires_at":"2023-11-14T23:13:20Z"}"#), &["sound"]);
    check(&json(r#"{"expires_at":"2001-01-01T00:00:00Z"}"#), &["sound"]);
    check(
        &format!(r#"{{"channel":"one","to":["a"],{TEXT},"client_ref":"a\u0007"}}"#),
        &["/client_ref out_of_range"],
    );
}

#[test]
fn a_callback_goes_to_an_allowed_server() {
    use crate::domain::callback::{AllowedHosts, Origin};

    let hosts = AllowedHosts::new(vec![Origin::of("https://hooks.example").unwrap()]);
    let context = Context { callback_hosts: Some(&hosts), ..context() };
    let read = |callback: &str| {
        decode(
            &format!(r#"{{"channel":"one","to":["a"],{TEXT},"options":{{"callback":{callback}}}}}"#),
            &context,
        )
    };
    let url = r#"{"url":"https://hooks.example/end?batch=1"}"#;
    let decoded = read(url).unwrap();
    assert_eq!((decoded.faults.len(), decoded.batch.callback.as_deref()), (0, Some(&url[8..url.len() - 2])));
    let long = format!(r#"{{"url":"https://hooks.example/{}"}}"#, "a".repeat(2048));
    for (callback, expected) in [
        ("{}", "/options/callback/url required"),
        (r#"{"url":7}"#, "/options/callback/url wrong_type"),
        (r#""https://hooks.example/""#, "/options/callback wrong_type"),
        (r#"{"url":"https://hooks.example/","secret":"x"}"#, "/options/callback/secret unknown_field"),
        (r#"{"url":"https://other.example/"}"#, "/options/callback/url not_allowed"),
        (r#"{"url":"http://hooks.example/"}"#, "/options/callback/url not_allowed"),
        (r#"{"url":"https://hooks.example:8443/"}"#, "/options/callback/url not_allowed"),
        (r#"{"url":"https://me@hooks.example/"}"#, "/options/callback/url out_of_range"),
        (r#"{"url":"https://hooks.example/#end"}"#, "/options/callback/url out_of_range"),
        (&long, "/options/callback/url too_large"),
    ] {
        assert_eq!(faults(read(callback)), [expected], "{callback}");
    }
}

/// Reads a stream of lines that comes in one piece.
fn decode_lines(text: &str, context: &Context<'_>) -> Result<Decoded, Refusal> {
    let mut reader = LineReader::new(context.most_recipients, context.most_routes, None);
    reader.push(text.as_bytes())?;
    reader.finish(context)
}

proptest! {
    #[test]
    fn no_text_makes_the_decoder_panic(text in ".{0,200}") {
        let _ = decode(&text, &context());
        let _ = decode_lines(&text, &context());
    }

    #[test]
    fn no_damage_to_a_request_makes_the_decoder_panic(at in 0_usize..220, byte in 0_u8..128, cut in 0_usize..300) {
        let json = r#"{"client_ref":"m","message":{"type":"text","text":"a\ud83d\ude00"},"ext":{"c":[1.5e3,null]},"routes":[{"channel":"one","from":"d","to":["b",{"id":"r","ref":"u"},-12]}],"options":{"expires_at":"2026-11-21T15:00:00Z"}}"#;
        let mut bytes = json.as_bytes().to_vec();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        bytes.truncate(cut);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = decode(text, &context());
            let _ = decode_lines(text, &context());
        }
    }
}
