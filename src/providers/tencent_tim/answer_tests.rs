//! Answers that no fixture has, broken ones above all.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, DecodeError, Repeat, Verdict};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{RecipientList, Recipients};
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::{everybody, settle};

fn decode(ids: &[&str], status: u16, body: &str) -> Result<Answer, DecodeError> {
    decode_bytes(ids, status, body.as_bytes())
}

fn decode_bytes(ids: &[&str], status: u16, body: &[u8]) -> Result<Answer, DecodeError> {
    let list: RecipientList = ids.iter().copied().collect();
    let positions = everybody(&list);
    let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body.to_vec());
    super::answer::decode(Recipients::new(&list, &positions), &response)
}

#[test]
fn strangers_are_ignored_with_one_warning() {
    let body = r#"{"ActionStatus":"SomeError","ErrorCode":0,"ErrorList":[
        {"To_Account":"x","ErrorCode":20003},{"To_Account":"y","ErrorCode":20003},{"To_Account":"b","ErrorCode":20003}]}"#;
    let answer = decode(&["a", "b"], 200, body).unwrap();
    assert_eq!(answer.warnings.len(), 1);
    assert_eq!(answer.warnings[0].code, WarningCode::UnexpectedRecipient);
    let counts = settle(&answer, 2).counts();
    assert_eq!((counts.accepted, counts.failed), (1, 1));
}

#[test]
fn unusual_answers_are_never_better_than_unknown() {
    for body in [
        r#"{"ActionStatus":"FAIL"}"#,
        r#"{"ActionStatus":"ok"}"#,
        r#"{"ActionStatus":1}"#,
        r#"{"ErrorCode":0}"#,
        r#"{"ErrorCode":"0"}"#,
        r#"{"ActionStatus":"OK","ErrorList":"bonnie"}"#,
        r#"{"ActionStatus":"OK","ErrorList":[1]}"#,
        r#"{"ActionStatus":"OK","ErrorList":[{"To_Account":{},"ErrorCode":1}]}"#,
        r#"{"ActionStatus":"OK","ErrorList":{}}"#,
        r#"{"ErrorCode":60008,"ErrorList":[{"To_Account":"stranger","ErrorCode":1}]}"#,
    ] {
        let counts = settle(&decode(&["a", "b"], 200, body).unwrap(), 2).counts();
        assert_eq!(counts.unknown, 2, "{body}");
    }
    for body in
        ["", "null", "[]", "{}", r#"{"ActionStatus":null}"#, r#"{"ActionStatus":"OK","ErrorCode":[]}"#]
    {
        assert_eq!(decode(&["a"], 200, body).unwrap_err(), DecodeError::NotDocumented, "{body}");
    }
}

#[test]
fn escaped_accounts_are_found() {
    let body = r#"{"ErrorCode":0,"ErrorList":[{"To_Account":"b\u00e9\"x","ErrorCode":"20005"}]}"#;
    let outcomes = settle(&decode(&["a", "bé\"x"], 200, body).unwrap(), 2);
    assert!(matches!(outcomes.get(0), Some(Outcome::Accepted(_))));
    assert!(matches!(outcomes.get(1), Some(Outcome::Failed(failure)) if failure.retryable));
}

#[test]
fn a_listed_recipient_without_a_code_shares_the_calls_code() {
    let body = r#"{"ErrorCode":90012,"ErrorList":[{"To_Account":"b"},{"To_Account":"a","ErrorCode":70107}]}"#;
    let outcomes = settle(&decode(&["a", "b", "c"], 200, body).unwrap(), 3);
    let codes: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Failed(failure) => failure.provider_code.clone().unwrap().into_string(),
            Outcome::Accepted(_) | Outcome::Unknown(_) => panic!("{outcome:?}"),
        })
        .collect();
    assert_eq!(codes, ["70107", "90012", "90012"]);
}

#[test]
fn a_rate_refusal_obeys_retry_after() {
    let list: RecipientList = ["a"].into_iter().collect();
    let positions = everybody(&list);
    let mut response = WireResponse::json(StatusCode::OK, r#"{"ErrorCode":60007}"#);
    response.headers.insert("retry-after", HeaderValue::from_static("3"));
    let answer = super::answer::decode(Recipients::new(&list, &positions), &response).unwrap();
    let Verdict::Refused { repeat, retry_after, .. } = answer.verdict else {
        panic!("not refused");
    };
    assert_eq!((repeat, retry_after), (Repeat::Safe, Some(Duration::from_secs(3))));
}

#[test]
fn a_call_that_was_taken_whole_is_one_outcome() {
    let answer = decode(&["a", "b"], 200, r#"{"ActionStatus":"OK","ErrorCode":0,"MsgKey":"k"}"#).unwrap();
    let outcomes = settle(&answer, 2);
    assert_eq!(outcomes, Outcomes::same(outcomes.get(0).unwrap().clone(), 2));
}

/// Whether the bytes say that `id` was served: the documents' rule in other words.
fn states_success(body: &[u8], id: &str) -> bool {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        // A number beyond every range is JSON that this reader gives up on.
        return serde_json::from_slice::<&RawValue>(body).is_ok();
    };
    let code = &answer["ErrorCode"];
    let is_zero = code.is_null() || *code == 0 || code.as_str().is_some_and(|text| text.parse() == Ok(0));
    let empty = Vec::new();
    let list = match &answer["ErrorList"] {
        Value::Null => &empty,
        Value::Array(entries) => entries,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return false,
    };
    let is_named = list.iter().any(|entry| entry["To_Account"] == id);
    is_zero && !is_named && (!list.is_empty() || answer["ActionStatus"] == "OK")
}

fn check_soundness(ids: &[&str], status: u16, body: &[u8]) {
    let Ok(answer) = decode_bytes(ids, status, body) else {
        return;
    };
    let outcomes = settle(&answer, ids.len());
    assert_eq!(outcomes.len(), ids.len());
    for (id, outcome) in ids.iter().zip(outcomes.iter()) {
        if matches!(outcome, Outcome::Accepted(_)) {
            assert!(states_success(body, id), "{id}: {}", String::from_utf8_lossy(body));
        }
    }
}

fn any_answer() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("0"),
        Just("\"0\""),
        Just("90012"),
        Just("70169"),
        Just("60008"),
        Just("null"),
        Just("{}"),
        Just("\"OK\""),
        Just("\"FAIL\""),
        Just("-1"),
        Just("1e3"),
        Just("99999999999999999999"),
        Just("\"\""),
    ];
    let account =
        prop_oneof![Just("\"a\""), Just("\"b\""), Just("7"), Just("\"x\""), Just("null"), Just("{}")];
    let entry = (account, word.clone())
        .prop_map(|(account, code)| format!(r#"{{"To_Account":{account},"ErrorCode":{code}}}"#));
    let list = prop_oneof![
        4 => prop::collection::vec(entry, 0..5).prop_map(|entries| format!("[{}]", entries.join(","))),
        1 => word.clone().prop_map(str::to_owned),
    ];
    (word.clone(), word.clone(), list, word).prop_map(|(status, code, list, key)| {
        format!(r#"{{"ActionStatus":{status},"ErrorCode":{code},"ErrorList":{list},"MsgKey":{key}}}"#)
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_promise_too_much(
        body in prop::collection::vec(any::<u8>(), 0..200), status in 200_u16..600,
    ) {
        check_soundness(&["a", "b"], status, &body);
    }

    #[test]
    fn strange_answers_never_promise_too_much(body in any_answer(), status in 200_u16..600) {
        check_soundness(&["a", "b", "7"], status, body.as_bytes());
    }

    #[test]
    fn broken_answers_never_promise_too_much(
        body in any_answer(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        check_soundness(&["a", "b", "7"], 200, &body);
    }
}
