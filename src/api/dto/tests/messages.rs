use crate::api::dto::request::decode;
use crate::api::dto::tests::{context, faults};

/// Checks a message beside which everything is sound; pointers are relative to the message.
fn check_message(message: &str, expected: &[&str]) {
    let json = format!(r#"{{"channel":"one","to":["a"],"message":{message}}}"#);
    let expected: Vec<_> = expected.iter().map(|fault| format!("/message{fault}")).collect();
    let sound = vec!["sound".to_owned()];
    let expected = if expected.is_empty() { sound } else { expected };
    assert_eq!(faults(decode(&json, &context())), expected, "{json}");
}

#[test]
fn reads_every_type_of_message() {
    for message in [
        r#"{"type":"text","text":""}"#,
        r#"{"type":"image","url":"https://x/中.png","filename":"f","size_bytes":9007199254740993,"width":1,
            "height":2,"format":"png","id":"i","secret":"s","thumbnail_url":"HTTP://x","thumbnail_width":1,
            "thumbnail_height":1,"thumbnail_size_bytes":1}"#,
        r#"{"type":"audio","url":"http://x:80/?q","filename":"f","duration_seconds":1.5,"size_bytes":1,"id":"i","secret":"s"}"#,
        r#"{"type":"video","url":"http://u@x","filename":"f","duration_seconds":0,"size_bytes":1,"format":"mp4",
            "secret":"s","thumbnail_url":"https://x","thumbnail_width":1,"thumbnail_height":1,
            "thumbnail_size_bytes":1,"thumbnail_format":"JPG","thumbnail_secret":"s"}"#,
        r#"{"type":"file","url":"https://x","filename":"f","size_bytes":0,"id":"i","secret":"s"}"#,
        r#"{"type":"location","latitude":-90,"longitude":180.0,"address":"a"}"#,
        r#"{"type":"command","action":"a","params":[{"x":null}]}"#,
        r#"{"type":"custom","event":"e","exts":{"k":"v"},"data":1,"description":"d","extension":"x","sound":"s"}"#,
        r#"{"type":"custom"}"#,
        r#"{"type":"face","index":1,"data":"d"}"#,
        r#"{"type":"native","payload":{}}"#,
    ] {
        check_message(message, &[]);
    }
}

#[test]
fn names_what_is_wrong_with_a_message() {
    check_message("[]", &[" wrong_type"]);
    check_message("{}", &["/type required"]);
    check_message(r#"{"type":"letter","text":"x"}"#, &["/type out_of_range"]);
    check_message(
        r#"{"type":"text","text":"\ud800","url":"x"}"#,
        &["/text wrong_type", "/url unknown_field"],
    );
    for url in ["x", "ftp://x", "http://", "https:///p", "http://:80", "http://a b", "//x", "http://x/\\n"] {
        check_message(&format!(r#"{{"type":"image","url":"{url}"}}"#), &["/url out_of_range"]);
    }
    check_message(
        r#"{"type":"image","size_bytes":-1,"width":1.5,"height":"2","thumbnail_url":"x"}"#,
        &[
            "/url required",
            "/size_bytes out_of_range",
            "/width out_of_range",
            "/height wrong_type",
            "/thumbnail_url out_of_range",
        ],
    );
    check_message(
        r#"{"type":"audio","url":"https://x","duration_seconds":1e999,"size_bytes":1e400}"#,
        &["/duration_seconds out_of_range", "/size_bytes out_of_range"],
    );
    check_message(
        r#"{"type":"location","latitude":90.01}"#,
        &["/longitude required", "/latitude out_of_range"],
    );
    check_message(r#"{"type":"custom","exts":{"a":1,"b":"x"}}"#, &["/exts/a wrong_type"]);
    check_message(r#"{"type":"face"}"#, &["/index required"]);
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    check_message(&format!(r#"{{"type":"native","payload":{deep}}}"#), &["/payload too_large"]);
    let deeper = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    check_message(&format!(r#"{{"type":"command","action":"a","params":{deeper}}}"#), &["/params too_large"]);
}
