//! Answers that no fixture has, and what must hold for any answer at all.

use bytes::Bytes;
use proptest::prelude::*;

use super::test_rig::{noon, outcomes};
use super::*;
use crate::adapter::wire::WireResponse;
use crate::adapter::{Answer, DecodeError, Repeat, Verdict};
use crate::domain::failure::Cause;
use crate::domain::outcome::Outcome;
use crate::domain::recipients::RecipientList;
use crate::domain::report::WarningCode;
use crate::providers::test_rig::engine::{call, everybody};

/// Decodes `body` as the answer to a call to `ids`.
fn decode(ids: &[&str], status: u16, body: impl Into<Bytes>) -> Result<Answer, DecodeError> {
    let list: RecipientList = ids.iter().copied().collect();
    let positions = everybody(&list);
    let call = call(&list, &positions, noon(), 0);
    let status = http::StatusCode::from_u16(status).unwrap();
    answer::decode(&call, &WireResponse::json(status, body))
}

#[test]
fn warns_once_about_strangers_and_contradictions() {
    let body = r#"{"ResponseMetadata":{"RequestId":"r"},"Result":{
        "UserMessageId":{"1":11,"8":1,"9":1},"FailedReceiver":[1,1,8,true]}}"#;
    let answer = decode(&["1", "2"], 200, body).unwrap();
    let codes: Vec<_> = answer.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer]);
    assert_eq!(answer.request_id.as_deref(), Some("r"));
    let found = outcomes(&answer, 2);
    assert!(matches!(&found[0], Outcome::Unknown(failure) if failure.message_id.as_deref() == Some("11")));
    assert!(matches!(&found[1], Outcome::Unknown(failure) if failure.cause == Some(Cause::Unaccounted)));
}

#[test]
fn a_receiver_without_usable_message_id_is_open_even_if_it_also_failed() {
    let body = r#"{"Result":{"UserMessageId":{"1":0,"2":"-4","3":1.5},"FailedReceiver":[1]}}"#;
    let found = outcomes(&decode(&["1", "2", "3"], 200, body).unwrap(), 3);
    assert!(found.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))));
}

#[test]
fn finds_the_error_beside_a_malformed_result() {
    let body = r#"{"ResponseMetadata":{"Error":{"CodeN":100006,"Message":"late"}},"Result":7}"#;
    let answer = decode(&["1"], 403, body).unwrap();
    let Verdict::Refused { failure, repeat, .. } = answer.verdict else {
        panic!("an expired signature refuses the call");
    };
    assert_eq!(repeat, Repeat::EndsRoute);
    assert_eq!(failure.provider_code.as_deref(), Some("100006"));
}

#[test]
fn an_error_without_code_and_a_result_with_a_bad_status_say_nothing() {
    let body = r#"{"ResponseMetadata":{"Error":{}},"Result":{"UserMessageId":{"1":11}}}"#;
    assert!(decode(&["1"], 200, body).is_err());
    assert!(decode(&["1"], 500, r#"{"Result":{"UserMessageId":{"1":11}}}"#).is_err());
    assert!(decode(&["1"], 200, r#"{"Result":null}"#).is_err());
}

/// Checks what must hold for any body: nobody is lost, nobody is taken without the provider's word.
fn check_any_answer(status: u16, body: &[u8]) {
    let ids = ["1", "22", "333"];
    let Ok(answer) = decode(&ids, status, body.to_vec()) else {
        return;
    };
    let text = std::str::from_utf8(body).unwrap();
    for (id, outcome) in ids.iter().zip(outcomes(&answer, ids.len())) {
        if let Outcome::Accepted(acceptance) = outcome {
            assert!((200..300).contains(&status));
            assert!(text.contains(id) && text.contains(acceptance.message_id.as_deref().unwrap()));
        }
    }
}

proptest! {
    #[test]
    fn survives_arbitrary_bytes(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_any_answer(status, &body);
    }

    #[test]
    fn survives_mutated_answers(
        status in prop::sample::select(vec![200_u16, 400, 429, 500]),
        has_error in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let error = if has_error { r#","Error":{"CodeN":100014,"Code":"InternalError","Message":"m"}"# } else { "" };
        let mut body = format!(
            r#"{{"ResponseMetadata":{{"RequestId":"r"{error}}},"Result":{{"UserMessageId":{{"1":11,"22":"7"}},"FailedReceiver":[333]}}}}"#
        ).into_bytes();
        for (place, byte) in &edits {
            let place = place.index(body.len());
            body[place] = *byte;
        }
        if edits.len() > 4 {
            body.truncate(cut.index(body.len()));
        }
        check_any_answer(status, &body);
    }
}
