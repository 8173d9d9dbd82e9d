//! Every registered provider through the invariants of the adapter contract.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use imcast::adapter::channel::Channel;
use imcast::adapter::secret::Secret;
use imcast::adapter::wire::{WireRequest, WireResponse};
use imcast::adapter::{Attempt, Auth, Call, Prepared, Token, Verdict};
use imcast::domain::id::ChannelName;
use imcast::domain::message::Message;
use imcast::domain::outcome::Outcome;
use imcast::domain::recipients::{Positions, RecipientList, Recipients};
use imcast::domain::route::Route;
use imcast::providers::REGISTRY;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::accounts::{ACCOUNTS, Account, CANARY};
use crate::fake_provider::Arrival;
use crate::harness::build_channel;

/// One provider's prepared text route.
struct Prepare {
    account: &'static Account,
    channel: Channel,
    route: Arc<Route>,
    prepared: Box<dyn Prepared>,
}

fn every_provider() -> Vec<Prepare> {
    let names: BTreeSet<_> = ACCOUNTS.iter().map(|account| account.provider).collect();
    assert_eq!(names, REGISTRY.iter().map(|provider| provider.name).collect());
    ACCOUNTS.iter().map(|account| Prepare::new(account, account.canaries)).collect()
}

impl Prepare {
    fn new(account: &'static Account, settings: &str) -> Self {
        let channel = build_channel(account.provider, "http://127.0.0.1:1", settings);
        let route = Arc::new(Route {
            channel: ChannelName::parse("under-test").unwrap(),
            sender: Some(account.sender.into()),
            to: Arc::new(account.recipients.into_iter().collect::<RecipientList>()),
            target_type: None,
            message: Arc::new(Message::Text { text: "hello".into() }),
            ext: None,
            push: None,
            provider_options: None,
            sealed_options: None,
            only: None,
        });
        let prepared = channel
            .adapter
            .prepare(&route)
            .unwrap_or_else(|faults| panic!("{}: {faults:?}", account.provider));
        Self { account, channel, route, prepared }
    }

    fn encode(&self, positions: &Positions, nonce: u64) -> WireRequest {
        self.prepared.encode(&self.call(positions, nonce))
    }

    fn call<'a>(&'a self, positions: &'a Positions, nonce: u64) -> Call<'a> {
        Call {
            recipients: Recipients::new(&self.route.to, positions),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            nonce,
        }
    }

    /// Puts the channel's credentials into a request.
    fn authorize(&self, request: &mut WireRequest) {
        let attempt = Attempt {
            route: &self.route,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            nonce: 7,
        };
        match &self.channel.auth {
            Auth::Sign(sign) => sign.sign(&attempt, request).unwrap(),
            Auth::Token(grant) => {
                let token = Token {
                    value: Secret::new(format!("{CANARY}-token")),
                    issued_at: SystemTime::UNIX_EPOCH,
                    lifetime: None,
                    refresh_at: None,
                };
                grant.attach(&attempt, &token, request).unwrap();
            }
        }
    }
}

const BOTH: Positions = Positions::Range(0..2);

/// Everything of a request that goes over the wire, as text.
fn wire_text(request: &WireRequest) -> String {
    format!(
        "{} {}?{} {:?} {}",
        request.method,
        request.path,
        request.encoded_query(),
        header_texts(&request.headers),
        String::from_utf8_lossy(&request.body)
    )
}

fn header_texts(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect()
}

fn answer(status: u16, body: impl Into<bytes::Bytes>) -> WireResponse {
    WireResponse::json(StatusCode::from_u16(status).unwrap(), body)
}

/// What the provider says when all is well.
fn success(prepare: &Prepare, request: &WireRequest) -> Vec<u8> {
    let arrival = Arrival {
        method: request.method.to_string(),
        path: request.path.clone(),
        query: request.encoded_query(),
        headers: Vec::new(),
        body: request.body.to_vec(),
        size: 0,
    };
    (prepare.account.success)(&arrival).to_string().into_bytes()
}

#[test]
fn the_same_call_gives_the_same_bytes() {
    for prepare in every_provider() {
        let first = wire_text(&prepare.encode(&BOTH, 11));
        assert_eq!(first, wire_text(&prepare.encode(&BOTH, 11)), "{}", prepare.account.provider);
        let again = Prepare::new(prepare.account, prepare.account.canaries);
        assert_eq!(first, wire_text(&again.encode(&BOTH, 11)), "{}", prepare.account.provider);
    }
}

#[test]
fn every_part_named_volatile_is_all_that_differs_between_calls() {
    for prepare in every_provider() {
        let bodies = [11, 12].map(|nonce| {
            let mut body: serde_json::Value =
                serde_json::from_slice(&prepare.encode(&BOTH, nonce).body).unwrap();
            for name in prepare.channel.adapter.profile().volatile {
                if let (Some(name), Some(object)) = (name.strip_prefix("body."), body.as_object_mut()) {
                    assert!(object.remove(name).is_some(), "{}: {name}", prepare.account.provider);
                }
            }
            body
        });
        assert_eq!(bodies[0], bodies[1], "{}", prepare.account.provider);
    }
}

#[test]
fn credentials_come_after_encoding_and_are_marked() {
    for prepare in every_provider() {
        let name = prepare.account.provider;
        let mut request = prepare.encode(&BOTH, 11);
        let before = wire_text(&request);
        assert!(!before.contains(CANARY), "{name}: {before}");
        prepare.authorize(&mut request);
        let after = wire_text(&request);
        assert_ne!(before, after, "{name}");
        let shown = format!("{:?} {} {request:?}", request.headers, request.redacted_query());
        assert!(!shown.contains(CANARY), "{name}: {shown}");
        assert!(!String::from_utf8_lossy(&request.body).contains(CANARY), "{name}");
        let signature = request.query.iter().find(|parameter| parameter.name == "usersig");
        assert!(signature.is_none_or(|parameter| parameter.is_secret), "{name}");
        for secret in ["authorization", "token", "x-security-token"] {
            let value = request.headers.get(secret);
            assert!(value.is_none_or(http::HeaderValue::is_sensitive), "{name}: {secret}");
        }
    }
}

#[test]
fn a_grant_that_carries_the_secret_says_so() {
    for prepare in every_provider() {
        if let Auth::Token(grant) = &prepare.channel.auth {
            let request = grant.encode_grant(5).unwrap();
            let shown = format!("{:?} {} {request:?}", request.headers, request.redacted_query());
            assert!(!shown.contains(CANARY), "{}", prepare.account.provider);
            let has_secret = String::from_utf8_lossy(&request.body).contains(CANARY);
            assert!(!has_secret || request.has_secret_body, "{}", prepare.account.provider);
        }
    }
}

#[test]
fn recipients_stand_in_the_callers_order_and_alone() {
    for prepare in every_provider() {
        let [first, second] = prepare.account.recipients;
        let text =
            |positions: &Positions| String::from_utf8(prepare.encode(positions, 11).body.to_vec()).unwrap();
        // As JSON tokens: a short id must not be found inside a longer one.
        let place = |text: &str, id: &str| {
            let quoted = text.find(&format!("\"{id}\""));
            let bare = [format!("[{id},"), format!(",{id}]"), format!("[{id}]")];
            quoted.or_else(|| bare.iter().find_map(|token| text.find(token)))
        };
        let both = text(&BOTH);
        assert!(place(&both, first).unwrap() < place(&both, second).unwrap(), "{both}");
        let one = text(&Positions::Range(1..2));
        assert!(place(&one, first).is_none() && place(&one, second).is_some(), "{one}");
    }
}

#[test]
fn a_success_accepts_everybody() {
    for prepare in every_provider() {
        let request = prepare.encode(&BOTH, 11);
        let response = answer(200, success(&prepare, &request));
        let decoded = prepare.prepared.decode(&prepare.call(&BOTH, 11), &response).unwrap();
        let Verdict::Answered(outcomes) = decoded.verdict else {
            panic!("{}: {:?}", prepare.account.provider, decoded.verdict);
        };
        assert_eq!(outcomes.len(), 2);
        assert_eq!(outcomes.counts().accepted, 2, "{}: {outcomes:?}", prepare.account.provider);
    }
}

/// Decodes; nothing may panic, and every recipient gets exactly one outcome.
fn decode(prepare: &Prepare, response: &WireResponse) -> Option<usize> {
    let name = prepare.account.provider;
    match prepare.prepared.decode(&prepare.call(&BOTH, 11), response).ok()?.verdict {
        Verdict::Answered(outcomes) => {
            assert_eq!(outcomes.len(), 2, "{name}");
            assert_eq!(outcomes.iter().count(), 2, "{name}");
            let is_accepted = |outcome: &&Outcome| matches!(outcome, Outcome::Accepted(_));
            Some(outcomes.iter().filter(is_accepted).count())
        }
        Verdict::Listed(_) => panic!("{name}: nobody asked for a list"),
        Verdict::Refused { .. } | Verdict::Undecided(_) => Some(0),
    }
}

#[test]
fn nothing_is_accepted_without_the_providers_word() {
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b"200",
        b"\"OK\"",
        b"[]",
        b"[[]]",
        b"{}",
        b"{\"data\":null}",
        b"{\"data\":{}}",
        b"{\"errCode\":0}",
        b"{\"Result\":{}}",
        b"{\"Result\":null}",
        b"{\"code\":\"200\"",
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf{}",
        b"{\"data\":{\"results\":null,\"failedUserIDs\":null},\"errCode\":0}",
        b"{\"ActionStatus\":\"FAIL\"}",
        // Serde takes an array for a struct; the documents know objects only.
        b"[\"OK\",0,\"\",null,\"1_2_3\"]",
        b"[null,[{\"1\":900000,\"2\":900000},null]]",
        b"{\"Result\":[{\"1\":900000,\"2\":900000},null]}",
    ];
    for prepare in every_provider() {
        for body in bodies {
            for status in [200, 204, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504] {
                let accepted = decode(&prepare, &answer(status, body.to_vec()));
                let shown = String::from_utf8_lossy(body);
                assert!(
                    accepted.is_none_or(|count| count == 0),
                    "{}: {status} {shown} accepts somebody",
                    prepare.account.provider
                );
            }
        }
    }
}

#[test]
fn truncated_answers_accept_nobody() {
    for prepare in every_provider() {
        let whole = success(&prepare, &prepare.encode(&BOTH, 11));
        for length in 0..whole.len() {
            let accepted = decode(&prepare, &answer(200, whole[..length].to_vec()));
            assert!(accepted.is_none_or(|count| count == 0), "{}: {length}", prepare.account.provider);
        }
    }
}

#[test]
fn no_answer_makes_decode_panic() {
    for prepare in every_provider() {
        let whole = success(&prepare, &prepare.encode(&BOTH, 11));
        let mutated = (
            prop::collection::vec((0..whole.len(), any::<u8>()), 0..4),
            0..whole.len(),
            prop::collection::vec(any::<u8>(), 0..16),
        );
        let mutated = mutated.prop_map(move |(changes, place, inserted)| {
            let mut bytes = whole.clone();
            for (place, byte) in changes {
                bytes[place] = byte;
            }
            bytes.splice(place..place, inserted);
            bytes
        });
        let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..200), mutated];
        let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&(100..600_u16, body), |(status, body)| {
                decode(&prepare, &answer(status, body));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn paths_stay_below_the_base_url() {
    for prepare in every_provider() {
        let request = prepare.encode(&BOTH, 11);
        assert!(request.path.starts_with('/'), "{}", request.path);
        assert!(!request.path.contains("..") && !request.path.contains(['?', '#', ' ']), "{}", request.path);
        assert!(request.timeout >= prepare.channel.settings.timeout);
    }
}

#[test]
fn profiles_say_what_the_channel_does() {
    for prepare in every_provider() {
        let profile = prepare.channel.adapter.profile();
        assert_eq!(profile.provider, prepare.account.provider);
        let mut types: Vec<_> =
            profile.messages.iter().map(|(message_type, _)| message_type.as_str()).collect();
        types.sort_unstable();
        let count = types.len();
        types.dedup();
        assert_eq!(count, types.len(), "each message type stands there once");
        assert!(!profile.target_types.is_empty());
        let chunking = prepare.prepared.chunking();
        assert!((1..=profile.recipients_per_call.get()).contains(&chunking.recipients_per_call));
    }
}
