//! The adapter against the stand-in: what one writes, the other must take.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::sandbox_checks::{ACCESS_KEY_ID, APP_ID, SECRET_ACCESS_KEY};
use super::test_rig::{outcomes, route, signed, try_channel};
use super::*;
use crate::adapter::sandbox::{StandIn, StandInAnswer};
use crate::adapter::wire::WireRequest;
use crate::adapter::{Answer, DecodeError, Repeat, Verdict};
use crate::domain::failure::FailureKind;
use crate::domain::outcome::Outcome;
use crate::providers::test_rig::channel::{TestChannel, from_toml};
use crate::providers::test_rig::engine::{arrive, call, everybody, responded};

const HOST: &str = "127.0.0.1:18080";

/// What came back from the stand-in.
enum Reply {
    Decoded(Result<Answer, DecodeError>),
    Dropped,
    Hung,
}

struct Rehearsal {
    channel: TestChannel,
    stand_in: Box<dyn StandIn>,
    now: SystemTime,
}

impl Rehearsal {
    fn start() -> Self {
        let mut keys = from_toml(PROVIDER.sandbox.settings);
        keys["base_url"] = format!("http://{HOST}").into();
        Self {
            channel: try_channel(&keys).unwrap_or_else(|faults| panic!("{faults:?}")),
            stand_in: (PROVIDER.sandbox.build)(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        }
    }

    fn answer(&self, request: &WireRequest) -> StandInAnswer {
        let mut request = request.clone();
        request.headers.insert("host", http::HeaderValue::from_static(HOST));
        arrive(&*self.stand_in, &request, self.now)
    }

    /// Sends to `to`; `change` spoils the request before it is signed.
    fn send_changed(&self, to: &[i64], change: impl FnOnce(&mut WireRequest)) -> Reply {
        let intent = json!({ "from": PROVIDER.sandbox.sender, "to": to, "ext": { "k": 1 },
            "message": { "type": "text", "text": "hi" },
            "provider_options": { NAME: { "inbox_type": 0, "is_normal_user": true } } });
        let route = route(&intent);
        let prepared = self.channel.adapter.prepare(&route).unwrap();
        let positions = everybody(&route.to);
        let call = call(&route.to, &positions, self.now, 1);
        let mut request = prepared.encode(&call);
        change(&mut request);
        match self.answer(&signed(&self.channel, &route, request, self.now)) {
            StandInAnswer::Respond(response) => Reply::Decoded(prepared.decode(&call, &response)),
            StandInAnswer::Drop => Reply::Dropped,
            StandInAnswer::Hang => Reply::Hung,
        }
    }

    fn send(&self, to: &[i64]) -> Reply {
        self.send_changed(to, |_| {})
    }

    #[track_caller]
    fn outcomes(&self, to: &[i64]) -> Vec<Outcome> {
        outcomes(&decoded(self.send(to)), to.len())
    }

    #[track_caller]
    fn refusal(&self, to: &[i64]) -> (FailureKind, Repeat, String) {
        refusal(decoded(self.send(to)))
    }
}

#[track_caller]
fn decoded(reply: Reply) -> Answer {
    let Reply::Decoded(Ok(answer)) = reply else {
        panic!("the answer is not usable");
    };
    answer
}

#[track_caller]
fn refusal(answer: Answer) -> (FailureKind, Repeat, String) {
    let Verdict::Refused { failure, repeat, .. } = answer.verdict else {
        panic!("{:?}", answer.verdict);
    };
    (failure.kind, repeat, failure.provider_code.unwrap().into())
}

#[test]
fn takes_everybody_and_gives_large_message_ids() {
    let rehearsal = Rehearsal::start();
    let everybody: Vec<i64> = (0..499).chain([i64::MAX]).collect();
    for outcome in rehearsal.outcomes(&everybody) {
        let Outcome::Accepted(acceptance) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(acceptance.message_id.unwrap().parse::<u64>().unwrap() > 1 << 53);
    }
}

#[test]
fn refuses_and_omits_single_receivers() {
    let found = Rehearsal::start().outcomes(&[1, sandbox::REFUSE, sandbox::OMIT, 2]);
    assert!(matches!(found[0], Outcome::Accepted(_)));
    assert!(matches!(&found[1], Outcome::Failed(failure) if failure.retryable));
    assert!(matches!(&found[2], Outcome::Unknown(failure) if failure.kind == FailureKind::ProviderError));
    assert!(matches!(found[3], Outcome::Accepted(_)));
}

#[test]
fn rejects_the_call() {
    assert_eq!(
        Rehearsal::start().refusal(&[1, sandbox::REJECT_CALL]),
        (FailureKind::InvalidRecipient, Repeat::Never, "InvalidParameter.IllegalTo".to_owned())
    );
}

#[test]
fn throttles_once_or_always() {
    let rehearsal = Rehearsal::start();
    let (kind, repeat, code) = rehearsal.refusal(&[sandbox::THROTTLE_ONCE]);
    assert_eq!((kind, repeat), (FailureKind::RateLimited, Repeat::Safe));
    assert_eq!(code, "AccountFlowLimitExceeded");
    assert!(matches!(rehearsal.outcomes(&[sandbox::THROTTLE_ONCE])[0], Outcome::Accepted(_)));
    for _ in 0..2 {
        let (kind, repeat, code) = rehearsal.refusal(&[sandbox::THROTTLE]);
        assert_eq!((kind, repeat), (FailureKind::RateLimited, Repeat::Safe));
        assert_eq!(code, "FlowLimitExceeded.QPSOverLimit");
    }
}

#[test]
fn drops_hangs_and_answers_nonsense() {
    let rehearsal = Rehearsal::start();
    assert!(matches!(rehearsal.send(&[sandbox::DROP]), Reply::Dropped));
    assert!(matches!(rehearsal.send(&[sandbox::HANG]), Reply::Hung));
    for magic in [sandbox::BAD_GATEWAY, sandbox::GARBAGE] {
        assert!(matches!(rehearsal.send(&[magic]), Reply::Decoded(Err(_))));
    }
}

#[test]
fn expires_the_first_signature() {
    let rehearsal = Rehearsal::start();
    let (kind, repeat, code) = rehearsal.refusal(&[sandbox::EXPIRE]);
    assert_eq!((kind, repeat), (FailureKind::Authentication, Repeat::EndsRoute));
    assert_eq!(code, "InvalidTimestamp");
    assert!(matches!(rehearsal.outcomes(&[sandbox::EXPIRE])[0], Outcome::Accepted(_)));
}

#[test]
fn leaves_open_whether_the_messages_were_sent() {
    let found = Rehearsal::start().outcomes(&[sandbox::UNDECIDED]);
    assert!(
        matches!(&found[0], Outcome::Unknown(failure) if failure.provider_code.as_deref() == Some("InternalError"))
    );
}

#[test]
fn admits_twelve_thousand_messages_in_any_minute() {
    let mut rehearsal = Rehearsal::start();
    let everybody: Vec<i64> = (0..500).collect();
    for _ in 0..24 {
        rehearsal.outcomes(&everybody);
    }
    rehearsal.now += Duration::from_secs(59);
    assert_eq!(rehearsal.refusal(&[1]).0, FailureKind::RateLimited);
    rehearsal.now += Duration::from_secs(1);
    assert!(matches!(rehearsal.outcomes(&[1])[0], Outcome::Accepted(_)));
}

/// Sends a body of another shape, properly signed.
#[track_caller]
fn check_body(body: &str, code: &str) {
    let reply = Rehearsal::start().send_changed(&[1], |request| request.body = body.to_owned().into());
    assert_eq!(refusal(decoded(reply)).2, code, "{body}");
}

#[test]
fn refuses_bodies_that_break_the_document() {
    check_body("", "InvalidParameter.BodyIsEmpty");
    check_body("{", "InvalidParameter.Unmarshal");
    check_body("{}", "InvalidParameter");
    let check = |fields: &str, code: &str| {
        let rest = r#""MsgType":10001,"Content":"x""#;
        check_body(&format!("{{{fields},{rest}}}"), code);
    };
    let unmarshal = "InvalidParameter.Unmarshal";
    check(r#""AppId":666675,"Sender":1,"Receiver":["1"]"#, unmarshal);
    check(r#""AppId":"666675","Sender":1,"Receiver":[1]"#, unmarshal);
    check(r#""AppId":666675,"Sender":1,"Receiver":[1],"Ext":{"n":1}"#, unmarshal);
    check(r#""AppId":666675,"Sender":1,"Receiver":[1],"ClientMsgId":"c""#, unmarshal);
    check(r#""AppId":666675,"Sender":1,"Receiver":[]"#, "InvalidParameter.IllegalTo");
    check(r#""AppId":666675,"Sender":1,"Receiver":[-1]"#, "InvalidParameter.IllegalTo");
    check(r#""AppId":666675,"Sender":-1,"Receiver":[1]"#, "InvalidParameter.IllegalFrom");
    check(r#""AppId":0,"Sender":1,"Receiver":[1]"#, "InvalidParameter.IllegalAppId");
    check(r#""AppId":5,"Sender":1,"Receiver":[1]"#, "InvalidParameter.NotExistAppId");
    let many = vec!["1"; 501].join(",");
    check(
        &format!(r#""AppId":666675,"Sender":1,"Receiver":[{many}]"#),
        "InvalidParameter.UserCountOverLimit",
    );
}

/// Spoils a request after it was signed.
#[track_caller]
fn check_spoiled(spoil: impl FnOnce(&mut WireRequest, &mut SystemTime), status: u16, code: &str) {
    let mut rehearsal = Rehearsal::start();
    let route = route(&json!({ "from": 1, "to": [1], "message": { "type": "text", "text": "hi" } }));
    let prepared = rehearsal.channel.adapter.prepare(&route).unwrap();
    let positions = everybody(&route.to);
    let call = call(&route.to, &positions, rehearsal.now, 1);
    let mut request = signed(&rehearsal.channel, &route, prepared.encode(&call), rehearsal.now);
    spoil(&mut request, &mut rehearsal.now);
    let response = responded(rehearsal.answer(&request));
    assert_eq!(response.status.as_u16(), status, "{code}");
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["ResponseMetadata"]["Error"]["Code"], code);
}

fn replace_authorization(request: &mut WireRequest, from: &str, to: &str) {
    let text = request.headers["authorization"].to_str().unwrap().replace(from, to);
    assert!(request.set_secret_header(http::header::AUTHORIZATION, &text));
}

#[test]
fn refuses_requests_that_are_not_properly_signed() {
    let mismatch = "SignatureDoesNotMatch";
    check_spoiled(|request, _| request.body = "{}".into(), 401, mismatch);
    check_spoiled(|request, _| request.push_query("X", "1"), 401, mismatch);
    check_spoiled(|_, now| *now += Duration::from_secs(901), 403, "InvalidTimestamp");
    check_spoiled(|_, now| *now -= Duration::from_secs(901), 403, "InvalidTimestamp");
    let remove = |name: &'static str| {
        move |request: &mut WireRequest, _: &mut SystemTime| {
            request.headers.remove(name);
        }
    };
    check_spoiled(remove("authorization"), 401, "MissingAuthenticationToken");
    check_spoiled(remove("x-date"), 400, "MissingRequestInfo");
    check_spoiled(remove("x-content-sha256"), 401, mismatch);
    let replace = |from: &'static str, to: &'static str| {
        move |request: &mut WireRequest, _: &mut SystemTime| replace_authorization(request, from, to)
    };
    check_spoiled(replace("HMAC-SHA256", "Bearer"), 400, "InvalidAuthorization");
    check_spoiled(replace("/rtc/", "/vod/"), 404, "ServiceNotFound");
    check_spoiled(replace("AKLT", "AKXX"), 401, "InvalidAccessKey");
    check_spoiled(replace("cn-north-1", "cn-south-1"), 401, mismatch);
    check_spoiled(replace(", Signature", ", Nothing"), 401, "MissingSignature");
    check_spoiled(replace("/request", "/x"), 400, "InvalidCredential");
    check_spoiled(
        |request, _| assert!(request.set_header(http::HeaderName::from_static("x-security-token"), "t")),
        401,
        "InvalidSecretToken",
    );
}

#[test]
fn refuses_other_actions() {
    let unknown = "InvalidActionOrVersion";
    check_spoiled(|request, _| request.query.clear(), 400, "MissingParameter");
    check_spoiled(|request, _| request.method = http::Method::GET, 404, unknown);
    check_spoiled(|request, _| request.path = "/v1".to_owned(), 404, unknown);
    check_spoiled(
        |request, _| {
            request.query.clear();
            request.push_query("Action", "SendMessage");
            request.push_query("Version", "2020-12-01");
        },
        404,
        unknown,
    );
}

#[test]
fn the_sandbox_settings_name_its_own_credentials() {
    for value in [&APP_ID.to_string(), ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
        assert!(PROVIDER.sandbox.settings.contains(value));
    }
    assert_eq!(PROVIDER.sandbox.recipients.1, sandbox::REFUSE.to_string());
}
