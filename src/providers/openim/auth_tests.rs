//! Tokens beyond the golden fixtures.

use http::StatusCode;
use serde_json::{Value, json};

use super::test_rig::{call, channel, now, prepared_text, token, try_channel};
use crate::adapter::wire::WireResponse;
use crate::adapter::{Attempt, AuthError};
use crate::domain::recipients::Positions;

#[test]
fn a_fixed_token_is_used_and_never_fetched() {
    let channel =
        try_channel(&json!({"token": "TEST-ADMIN-TOKEN"})).unwrap_or_else(|faults| panic!("{faults:?}"));
    let fixed = channel.grant().fixed().unwrap();
    assert_eq!(fixed.value.expose(), "TEST-ADMIN-TOKEN");
    assert_eq!((fixed.lifetime, fixed.refresh_at), (None, None));
    assert!(channel.grant().encode_grant(1).is_err());
}

#[test]
fn every_attempt_has_an_operation_id_of_its_own_and_hides_the_token() {
    let channel = channel(&json!({}));
    let (route, prepared) = prepared_text(&channel);
    let ids = [1, 2].map(|nonce| {
        let mut request = prepared.encode(&call(&route, &Positions::Range(0..2)));
        let attempt = Attempt { route: &route, now: now(), nonce };
        channel.grant().attach(&attempt, &token("secret-token"), &mut request).unwrap();
        assert!(request.headers["token"].is_sensitive());
        assert!(!format!("{:?}", request.headers).contains("secret-token"));
        request.headers["operationID"].to_str().unwrap().to_owned()
    });
    assert_eq!(ids, ["imcast-0000000000000001", "imcast-0000000000000002"]);
    let mut request = prepared.encode(&call(&route, &Positions::Range(0..2)));
    let attempt = Attempt { route: &route, now: now(), nonce: 1 };
    assert!(channel.grant().attach(&attempt, &token("a\nb"), &mut request).is_err());
}

#[test]
fn a_lifetime_that_is_not_positive_is_not_believed() {
    let channel = channel(&json!({}));
    for lifetime in [json!(0), json!(-5), json!("0"), Value::Null] {
        let body = json!({"errCode": 0, "data": {"token": "t", "expireTimeSeconds": lifetime}}).to_string();
        let response = WireResponse::json(StatusCode::OK, body);
        let token = channel.grant().decode_grant(&response, now()).unwrap();
        assert_eq!((token.lifetime, token.refresh_at), (None, None), "{lifetime}");
    }
}

#[test]
fn token_requests_fail_with_the_class_of_the_refusal() {
    let channel = channel(&json!({}));
    for (status, body, class, retryable) in [
        (200, "{\"errCode\":500,\"errMsg\":\"grpc service down\"}", "provider_unavailable", true),
        (200, "{\"errCode\":1001,\"errDlt\":\"header must have operationID\"}", "invalid_request", false),
        (200, "{\"errCode\":0,\"data\":{\"token\":\"\"}}", "provider_error", true),
        (200, "{\"errCode\":0}", "provider_error", true),
        (200, "<html>", "provider_error", true),
        (401, "", "authentication", false),
        (403, "", "permission", false),
        (429, "", "rate_limited", true),
        (400, "", "invalid_request", false),
        (502, "<html>", "provider_unavailable", true),
    ] {
        let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body);
        let Err(AuthError::Refused { failure }) = channel.grant().decode_grant(&response, now()) else {
            panic!("{body}");
        };
        assert_eq!((failure.kind.as_str(), failure.retryable), (class, retryable), "{status} {body}");
    }
}
