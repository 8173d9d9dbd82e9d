//! Answers beyond the golden fixtures: odd ones, spoiled ones, and what may be repeated.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_rig::{call, channel, now, prepared_text, route};
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, Repeat, Verdict};
use crate::domain::outcome::Outcome;
use crate::domain::recipients::Positions;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::outcomes;

/// The verdict and warnings of an answer to a text for `a` and `b`.
fn decode(status: u16, body: &Value) -> Answer {
    let channel = channel(&json!({}));
    let (route, prepared) = prepared_text(&channel);
    let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body.to_string());
    prepared.decode(&call(&route, &Positions::Range(0..2)), &response).unwrap()
}

#[test]
fn refusals_say_what_may_be_repeated() {
    for (code, detail, expected) in [
        (1001, "x", Repeat::EndsRoute),
        (1002, "x", Repeat::EndsRoute),
        (1302, "x", Repeat::Never),
        (1505, "x", Repeat::WithNewToken),
        (1508, "x", Repeat::Never),
        (500, "rpc error: code = Unavailable", Repeat::Safe),
        (500, "3 error(s) decoding", Repeat::EndsRoute),
        (29999, "x", Repeat::Never),
        (90007, "x", Repeat::Safe),
        (90003, "x", Repeat::Never),
    ] {
        for status in [200, 400, 500] {
            let answer = decode(status, &json!({"errCode": code, "errMsg": "M", "errDlt": detail}));
            let Verdict::Refused { failure, repeat, .. } = answer.verdict else {
                panic!("{:?}", answer.verdict);
            };
            assert_eq!(repeat, expected, "{code}");
            assert_eq!(failure.retryable, expected == Repeat::Safe, "{code}");
            assert_eq!(failure.provider_message.as_deref(), Some(&*format!("M: {detail}")));
        }
    }
}

#[test]
fn the_limiters_wait_is_believed_up_to_half_a_minute() {
    let channel = channel(&json!({}));
    let (route, prepared) = prepared_text(&channel);
    let mut response = WireResponse::json(StatusCode::TOO_MANY_REQUESTS, "{\"errCode\":429}");
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    for (header, expected) in [("7", 7), ("600", 30)] {
        response.headers.insert("retry-after", HeaderValue::from_static(header));
        let answer = prepared.decode(&call(&route, &Positions::Range(0..2)), &response).unwrap();
        let Verdict::Refused { retry_after, .. } = answer.verdict else {
            panic!("{:?}", answer.verdict);
        };
        assert_eq!(retry_after, Some(Duration::from_secs(expected)));
    }
}

#[test]
fn odd_entries_do_not_hide_the_others() {
    let good = json!({"recvID": "a", "serverMsgID": "m", "sendTime": "soon"});
    for data in [
        json!({"results": [good, {"recvID": 7}, null, ["b"]], "failedUserIDs": {}}),
        json!({"results": [["b", "m", "c", 1], good]}),
        json!({"results": [good], "failedUserIDs": [null, 3]}),
    ] {
        let answer = decode(200, &json!({"errCode": 0, "errMsg": 5, "data": data}));
        let [Outcome::Accepted(acceptance), Outcome::Unknown(_)] = &outcomes(&answer, 2)[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(acceptance.message_id.as_deref(), Some("m"));
        assert_eq!(acceptance.provider_fields.as_ref().unwrap().as_str(), "{\"serverMsgID\":\"m\"}");
    }
}

#[test]
fn arrays_do_not_pass_for_objects() {
    for body in [
        json!({"errCode": 0, "data": [[{"recvID": "a", "serverMsgID": "m"}], null]}),
        json!({"errCode": 0, "data": "x"}),
        json!({"errCode": 0, "data": null}),
    ] {
        let answer = decode(200, &body);
        assert!(matches!(outcomes(&answer, 2)[0], Outcome::Unknown(_)), "{body}");
    }
}

#[test]
fn strangers_and_contradictions_are_one_warning_each() {
    let entry = |id: &str| json!({"recvID": id, "serverMsgID": "m"});
    let answer = decode(
        200,
        &json!({"errCode": 0, "data": {
            "results": [entry("a"), entry("x"), entry("y")], "failedUserIDs": ["a", "b", "b", "z"]}}),
    );
    let codes: Vec<_> = answer.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer]);
    assert!(decode(200, &json!({"errCode": 0, "data": {"failedUserIDs": ["b", "b"]}})).warnings.is_empty());
}

#[test]
fn send_all_lists_everybody_once_and_an_empty_list_stays_open() {
    let channel = channel(&json!({"allow_send_all": true}));
    let route = route(&json!({"from": "s", "to": [], "message": {"type": "text", "text": "hi"},
                              "provider_options": {"openim": {"is_send_all": true}}}));
    let prepared = channel.adapter.prepare(&route).unwrap();
    let nobody = Positions::Range(0..0);
    let verdict = |data: Value| {
        let body = json!({"errCode": 0, "data": data}).to_string();
        let response = WireResponse::json(StatusCode::OK, body);
        prepared.decode(&call(&route, &nobody), &response).unwrap()
    };
    let entry = |id: &str| json!({"recvID": id, "serverMsgID": "m"});
    let answer = verdict(json!({"results": [entry("a"), entry("a")], "failedUserIDs": ["a", "b", "b"]}));
    let Verdict::Listed(listed) = answer.verdict else {
        panic!("{:?}", answer.verdict);
    };
    let names: Vec<_> = listed.iter().map(|(id, _)| &**id).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(matches!(listed[0].1, Outcome::Accepted(_)) && matches!(listed[1].1, Outcome::Failed(_)));
    assert_eq!(answer.warnings.len(), 1);
    for data in [Value::Null, json!({"results": null, "failedUserIDs": null})] {
        assert!(matches!(verdict(data).verdict, Verdict::Undecided(_)));
    }
}

/// Decodes anything; nobody may be accepted unless the code is 0 and the results name them.
fn check_decode(status: u16, body: &[u8]) {
    let channel = channel(&json!({}));
    let (route, prepared) = prepared_text(&channel);
    let positions = Positions::Range(0..2);
    let call = call(&route, &positions);
    let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body.to_vec());
    let decoded = prepared.decode(&call, &response);
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_named = |id: &str| {
        let results = parsed["data"]["results"].as_array().into_iter().flatten();
        let no_error = parsed["errCode"] == 0 || parsed["errCode"] == "0";
        no_error && results.into_iter().any(|entry| entry["recvID"] == id)
    };
    if let Ok(answer) = decoded {
        for (id, outcome) in ["a", "b"].into_iter().zip(outcomes(&answer, 2)) {
            if let Outcome::Accepted(_) = outcome {
                assert!(is_named(id), "{parsed}");
            }
        }
    }
    let _unused = channel.grant().decode_grant(&response, now());
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_decode(status, &body);
    }

    #[test]
    fn no_spoiled_answer_is_too_strange(
        place in any::<proptest::sample::Index>(),
        piece in proptest::sample::select(vec!["", "0", "null", "\"", "[", "}", "{\"recvID\":\"b\"}", "\\u0000", "-", "é"]),
        length in 0_usize..12,
    ) {
        let text = json!({"errCode": 0, "errMsg": "", "errDlt": "", "data": {
            "results": [{"serverMsgID": "m", "clientMsgID": "c", "sendTime": 1, "recvID": "a"}],
            "failedUserIDs": ["b"]}}).to_string();
        let start = place.index(text.len());
        let mut body = text.into_bytes();
        let end = (start + length).min(body.len());
        body.splice(start..end, piece.bytes());
        check_decode(200, &body);
    }
}
