//! Signature vectors, answers of any shape, and the adapter against the stand-in.
//!
//! Requests and exchanges of the golden fixtures run through the whole gateway in `tests/it`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::adapter::fields::Numbers;
use crate::adapter::sandbox::{Arrival, StandInAnswer};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Attempt, Call, Repeat, Verdict};
use crate::domain::failure::FailureKind;
use crate::domain::id::ChannelName;
use crate::domain::message::Message;
use crate::domain::outcome::Outcome;
use crate::domain::recipients::{Positions, RecipientList, Recipients};

fn channel() -> (Box<dyn Adapter>, Auth) {
    let settings = format!("{}\n{}", PROVIDER.defaults, PROVIDER.sandbox.settings);
    let file = config::File::from_str(&settings, config::FileFormat::Toml);
    let settings: Value = config::Config::builder()
        .add_source(file)
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap();
    let text = settings.to_string();
    let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call).unwrap();
    let built = build(&common, &mut fields).unwrap();
    assert_eq!(fields.finish(), []);
    built
}

fn route(to: &[&str]) -> Arc<Route> {
    Arc::new(Route {
        channel: ChannelName::parse("tim").unwrap(),
        sender: Some("dave".into()),
        to: Arc::new(to.iter().copied().collect::<RecipientList>()),
        target_type: None,
        message: Arc::new(Message::Text {
            text: "hi, \"beauty\"".into(),
        }),
        ext: None,
        push: None,
        provider_options: None,
    })
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn vectors() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tencent-tim");
    let texts = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    texts
        .map(|text| serde_json::from_str::<Value>(&text).unwrap())
        .filter(|value| value["kind"] == "vector")
        .collect()
}

fn open(signature: &str) -> Value {
    let base64 = signature.replace('*', "+").replace('-', "/").replace('_', "=");
    let compressed = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(compressed.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn signs_like_the_official_packages() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let settings = Settings {
            sdk_app_id: input["sdkappid"].as_u64().unwrap(),
            identifier: input["identifier"].as_str().unwrap().to_owned(),
            secret_key: Secret::new(input["key"].as_str().unwrap()),
            usersig_ttl: Duration::from_secs(input["expire"].as_u64().unwrap()),
        };
        let time = input["time"].as_u64().unwrap();
        let user_buffer = input["userbuf"].as_str();
        assert_eq!(
            auth::string_to_sign(&settings, time, user_buffer),
            expect["string_to_sign"].as_str().unwrap()
        );
        assert_eq!(
            auth::tls_sig(&settings, time, user_buffer).unwrap(),
            expect["tls_sig"].as_str().unwrap()
        );
        let signature = auth::user_sig(
            &settings,
            SystemTime::UNIX_EPOCH + Duration::from_secs(time),
            user_buffer,
        )
        .unwrap();
        assert_eq!(open(&signature), expect["decoded"]);
        for package in ["usersig_python_1_1", "usersig_npm_1_0_2"] {
            assert_eq!(open(expect[package].as_str().unwrap()), expect["decoded"]);
        }
    }
}

/// Sends to `to` once, or twice if the stand-in asks for it; one word per recipient.
fn rehearse(to: &[&str]) -> Vec<String> {
    let (adapter, auth) = channel();
    let stand_in = (PROVIDER.sandbox.build)();
    let route = route(to);
    let prepared = adapter.prepare(&route).unwrap();
    let positions = Positions::Range(0..u32::try_from(to.len()).unwrap());
    let call = Call {
        recipients: Recipients::new(&route.to, &positions),
        now: now(),
        nonce: u64::MAX,
    };
    let Auth::Sign(sign) = &auth else {
        panic!("requests are signed")
    };
    let send = |nonce| {
        let mut request = prepared.encode(&call);
        sign.sign(
            &Attempt {
                route: &route,
                now: now(),
                nonce,
            },
            &mut request,
        )
        .unwrap();
        stand_in.answer(&arrival(&request, &request.encoded_query()), now())
    };
    let StandInAnswer::Respond(response) = send(1) else {
        return vec!["no answer".into()];
    };
    let Ok(mut answer) = prepared.decode(&call, &response) else {
        return vec!["not understood".into()];
    };
    let mut again = "";
    if let Verdict::Refused {
        repeat: Repeat::Safe | Repeat::WithNewToken,
        ..
    } = &answer.verdict
    {
        sign.renew();
        again = "again ";
        let StandInAnswer::Respond(response) = send(2) else {
            panic!("no answer")
        };
        answer = prepared.decode(&call, &response).unwrap();
    }
    let words = match answer.verdict {
        Verdict::Answered(outcomes) => outcomes.iter().map(word).collect(),
        Verdict::Refused { failure, .. } => vec![format!("failed {}", failure.kind.as_str())],
        Verdict::Undecided(failure) => vec![format!("unknown {}", failure.kind.as_str())],
        Verdict::Listed(_) => panic!("nobody asked for a list"),
    };
    words.into_iter().map(|word| format!("{again}{word}")).collect()
}

fn arrival<'a>(request: &'a WireRequest, query: &'a str) -> Arrival<'a> {
    Arrival {
        method: request.method.as_str(),
        path: &request.path,
        query,
        headers: &request.headers,
        body: &request.body,
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(acceptance) => {
            assert!(acceptance.message_id.is_some());
            "accepted".to_owned()
        }
        Outcome::Failed(failure) => format!("failed {}", failure.kind.as_str()),
        Outcome::Unknown(failure) => format!("unknown {}", failure.kind.as_str()),
    }
}

#[test]
fn every_magic_account_plays_its_part() {
    for (account, expected) in [
        ("rong", &["accepted", "accepted"][..]),
        (sandbox::MAGIC_REFUSE, &["accepted", "failed invalid_recipient"]),
        (
            sandbox::MAGIC_OMIT,
            &["unknown provider_error", "unknown provider_error"],
        ),
        (sandbox::MAGIC_REJECT_CALL, &["failed invalid_request"]),
        (
            sandbox::MAGIC_THROTTLE_ONCE,
            &["again accepted", "again accepted"],
        ),
        (sandbox::MAGIC_THROTTLE, &["again failed rate_limited"]),
        (sandbox::MAGIC_DROP, &["no answer"]),
        (sandbox::MAGIC_HANG, &["no answer"]),
        (sandbox::MAGIC_502, &["not understood"]),
        (sandbox::MAGIC_GARBAGE, &["not understood"]),
        (sandbox::MAGIC_EXPIRE, &["again accepted", "again accepted"]),
        (sandbox::MAGIC_UNDECIDED, &["unknown provider_unavailable"]),
    ] {
        assert_eq!(rehearse(&["bonnie", account]), expected, "{account}");
    }
}

#[test]
fn the_stand_in_refuses_foreign_signatures_and_too_many_calls() {
    let (adapter, auth) = channel();
    let Auth::Sign(sign) = &auth else {
        panic!("requests are signed")
    };
    let stand_in = (PROVIDER.sandbox.build)();
    let route = route(&["bonnie"]);
    let prepared = adapter.prepare(&route).unwrap();
    let positions = Positions::Range(0..1);
    let call = Call {
        recipients: Recipients::new(&route.to, &positions),
        now: now(),
        nonce: 7,
    };
    let code = |query: &str, at: SystemTime| {
        let request = prepared.encode(&call);
        let StandInAnswer::Respond(response) = stand_in.answer(&arrival(&request, query), at) else {
            panic!()
        };
        serde_json::from_slice::<Value>(&response.body).unwrap()["ErrorCode"]
            .as_i64()
            .unwrap()
    };
    let mut request = prepared.encode(&call);
    sign.sign(
        &Attempt {
            route: &route,
            now: now(),
            nonce: 7,
        },
        &mut request,
    )
    .unwrap();
    let query = request.encoded_query();
    assert_eq!(code(&query.replace("usersig=eJ", "usersig=eK"), now()), 70003);
    assert_eq!(
        code(&query.replace("sdkappid=1400000000", "sdkappid=1"), now()),
        70020
    );
    assert_eq!(code(&query, now() + Duration::from_secs(86_400)), 70001);
    let late = now() + Duration::from_secs(10);
    for _ in 0..100 {
        assert_eq!(code(&query, late), 0);
    }
    assert_eq!(code(&query, late), 60007);
    assert_eq!(code(&query, late + Duration::from_secs(1)), 0);
}

#[test]
fn a_signature_is_kept_until_a_fifth_of_its_life_is_left() {
    let (_, auth) = channel();
    let Auth::Sign(sign) = &auth else {
        panic!("requests are signed")
    };
    let route = route(&["bonnie"]);
    let signature = |seconds: u64| {
        let mut request = WireRequest::post_json("/", "{}", Duration::from_secs(1));
        let now = now() + Duration::from_secs(seconds);
        sign.sign(
            &Attempt {
                route: &route,
                now,
                nonce: 0,
            },
            &mut request,
        )
        .unwrap();
        let parameter = request
            .query
            .iter()
            .find(|parameter| parameter.name == "usersig")
            .unwrap();
        assert!(parameter.is_secret);
        parameter.value.clone()
    };
    let first = signature(0);
    assert_eq!(signature(86_400 * 8 / 10 - 1), first);
    let second = signature(86_400 * 8 / 10);
    assert_ne!(second, first);
    sign.renew();
    assert_ne!(signature(86_400), second);
}

#[test]
fn large_numbers_in_parameters_stay_exact() {
    let (adapter, _) = channel();
    let params = crate::domain::json::JsonText::parse(r#"{"id":148238038269428232}"#, 32).unwrap();
    let mut route = Arc::unwrap_or_clone(route(&["bonnie"]));
    route.message = Arc::new(Message::Command {
        action: "open".into(),
        params: Some(params),
    });
    let route = Arc::new(route);
    let prepared = adapter.prepare(&route).unwrap();
    let positions = Positions::Range(0..1);
    let call = Call {
        recipients: Recipients::new(&route.to, &positions),
        now: now(),
        nonce: 7,
    };
    let body = String::from_utf8(prepared.encode(&call).body.to_vec()).unwrap();
    assert!(body.contains("148238038269428232"), "{body}");
}

/// Decodes `body` for three accounts and checks what must hold for any answer.
fn check_any_answer(status: u16, body: Vec<u8>) {
    let (adapter, _) = channel();
    let route = route(&["bonnie", "rong", "dave"]);
    let prepared = adapter.prepare(&route).unwrap();
    let positions = Positions::Range(0..3);
    let call = Call {
        recipients: Recipients::new(&route.to, &positions),
        now: now(),
        nonce: 7,
    };
    let says_ok =
        body.windows(2).any(|window| window == b"OK") || body.windows(9).any(|window| window == b"ErrorList");
    let response = WireResponse::json(StatusCode::from_u16(status).unwrap(), body);
    if let Ok(answer) = prepared.decode(&call, &response)
        && let Verdict::Answered(outcomes) = answer.verdict
    {
        assert_eq!(outcomes.len(), 3);
        let is_accepted = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Accepted(_)));
        assert!(!is_accepted || says_ok);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_any_answer(status, body);
    }

    #[test]
    fn no_mutation_of_an_answer_makes_the_decoder_panic(at in 0_usize..160, byte in any::<u8>(), cut in 0_usize..160) {
        let answer = r#"{"ActionStatus":"SomeError","ErrorCode":0,"ErrorInfo":"","ErrorList":[{"To_Account":"rong","ErrorCode":20003},{"To_Account":7,"ErrorCode":"x"}],"MsgKey":"1_2_3"}"#;
        let mut body = answer.as_bytes().to_vec();
        let length = body.len();
        body[at.min(length - 1)] = byte;
        body.truncate(length - cut.min(length));
        check_any_answer(200, body);
    }
}

#[test]
fn unknown_codes_keep_their_code_and_a_conservative_class() {
    let failure = codes::find(4242).call_failure(4242, "what");
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Unknown, false));
    assert_eq!(failure.provider_code.as_deref(), Some("4242"));
}
