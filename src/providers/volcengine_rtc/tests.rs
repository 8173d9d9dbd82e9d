//! The golden fixtures, one test per kind, and what must hold for any answer at all.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::adapter::fields::{Numbers, read_id};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, Call, DecodeError, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure};
use crate::domain::id::ChannelName;
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::Outcome;
use crate::domain::recipients::{Positions, RecipientList, Recipients};
use crate::domain::report::WarningCode;
use crate::domain::route::Push;
use crate::providers::volcengine_rtc::settings::Credentials;

const HOST: &str = "rtc.volcengineapi.com";

/// A channel as the configuration would build it.
pub(super) struct TestChannel {
    pub(super) adapter: Box<dyn Adapter>,
    pub(super) auth: Auth,
}

/// The provider's reference settings as JSON.
fn defaults() -> Value {
    let file = config::File::from_str(PROVIDER.defaults, config::FileFormat::Toml);
    let settings = config::Config::builder().add_source(file).build().unwrap();
    settings.try_deserialize().unwrap()
}

/// Builds a channel from the defaults under `keys`, or says why not.
pub(super) fn try_channel(keys: &Value) -> Result<TestChannel, Vec<Fault>> {
    let mut settings = defaults();
    for (name, value) in keys.as_object().unwrap() {
        settings[name] = value.clone();
    }
    let text = settings.to_string();
    let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call);
    let built = common.and_then(|common| (PROVIDER.build)(&common, &mut fields));
    let faults = fields.finish();
    match built {
        Some((adapter, auth)) if faults.is_empty() => Ok(TestChannel { adapter, auth }),
        built => {
            assert!(!faults.is_empty(), "no channel and no fault: {}", built.is_some());
            Err(faults)
        }
    }
}

fn channel(config: &Value) -> TestChannel {
    let mut keys = json!({ "access_key_id": "AKLTTEST", "secret_access_key": "secret", "app_id": 666_675 });
    for (name, value) in config.as_object().into_iter().flatten() {
        keys[name] = value.clone();
    }
    try_channel(&keys).unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub(super) fn route(intent: &Value) -> Arc<Route> {
    let text = intent.to_string();
    let mut fields = Fields::parse(&text, "", Numbers::Strict).unwrap();
    let mut to = RecipientList::default();
    for entry in intent["to"].as_array().unwrap() {
        to.push(&read_id(&entry.to_string()).unwrap());
    }
    fields.raw("to");
    let route = Route {
        channel: ChannelName::parse("volc").unwrap(),
        sender: fields.id("from"),
        to: Arc::new(to),
        target_type: fields.choice("target_type", &TargetType::ALL.map(|kind| (kind.as_str(), kind))),
        message: Arc::new(fields.object("message", message).unwrap()),
        ext: fields.text_or_object("ext"),
        push: fields.object("push", |push| {
            Some(Push {
                title: push.text("title"),
                ..Push::default()
            })
        }),
        provider_options: fields
            .object("provider_options", |blocks| Some(blocks.json_object(NAME)))
            .flatten(),
    };
    assert_eq!(fields.finish(), []);
    Arc::new(route)
}

fn message(fields: &mut Fields<'_>) -> Option<Message> {
    let kind = fields.text("type")?;
    let seconds = |fields: &mut Fields<'_>| fields.number("duration_seconds", 0.0..=1e9);
    Some(match &*kind {
        "text" => Message::Text {
            text: fields.required_text("text")?,
        },
        "image" => Message::Image(Image {
            url: fields.required_text("url")?,
            width: fields.u32("width"),
            height: fields.u32("height"),
            size_bytes: fields.u64("size_bytes", 0..=u64::MAX),
            format: fields.text("format"),
            id: fields.text("id"),
            secret: fields.text("secret"),
            thumbnail: thumbnail(fields),
            filename: fields.text("filename"),
        }),
        "audio" => Message::Audio(Audio {
            url: fields.required_text("url")?,
            duration_seconds: seconds(fields),
            ..Audio::default()
        }),
        "video" => Message::Video(Video {
            url: fields.required_text("url")?,
            duration_seconds: seconds(fields),
            thumbnail: thumbnail(fields),
            ..Video::default()
        }),
        "file" => Message::File(File {
            url: fields.required_text("url")?,
            filename: fields.text("filename"),
            size_bytes: fields.u64("size_bytes", 0..=u64::MAX),
            ..File::default()
        }),
        "location" => Message::Location(Location {
            latitude: fields.number("latitude", -90.0..=90.0)?,
            longitude: fields.number("longitude", -180.0..=180.0)?,
            address: None,
        }),
        "command" => Message::Command {
            action: fields.required_text("action")?,
            params: fields.json("params"),
        },
        "custom" => Message::Custom(Custom {
            event: fields.text("event"),
            exts: fields.json("exts").map(|_| vec![("k".into(), "v".into())]),
            data: fields.text_or_json("data"),
            ..Custom::default()
        }),
        "face" => Message::Face {
            index: fields.i64("index")?,
            data: None,
        },
        "native" => Message::Native {
            payload: fields.json("payload")?,
        },
        other => panic!("{other}"),
    })
}

fn thumbnail(fields: &mut Fields<'_>) -> Thumbnail {
    Thumbnail {
        url: fields.text("thumbnail_url"),
        width: fields.u32("thumbnail_width"),
        ..Thumbnail::default()
    }
}

/// Every fixture of `kind`, by name.
fn fixtures(kind: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volcengine-rtc");
    let mut found: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let fixture: Value = serde_json::from_str(&text).unwrap();
            (fixture["id"].as_str().unwrap().to_owned(), fixture)
        })
        .filter(|(_, fixture)| fixture["kind"] == kind)
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

pub(super) fn signed(
    channel: &TestChannel,
    route: &Route,
    mut request: WireRequest,
    now: SystemTime,
) -> WireRequest {
    let attempt = Attempt { route, now, nonce: 1 };
    let Auth::Sign(signer) = &channel.auth else {
        panic!("requests are signed");
    };
    signer.sign(&attempt, &mut request).unwrap();
    request
}

fn compare_request(name: &str, expected: &Value, request: &WireRequest) {
    assert_eq!(request.method.as_str(), expected["method"], "{name}");
    assert_eq!(request.path, expected["path"].as_str().unwrap(), "{name}");
    let query: Value = request
        .query
        .iter()
        .map(|parameter| (parameter.name.to_owned(), Value::from(parameter.value.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(query, expected["query"], "{name}");
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    for (header_name, value) in expected["headers"].as_object().unwrap() {
        let found = header(header_name);
        match value.as_str().unwrap() {
            // The transport writes it.
            "$HOST" => assert_eq!(found, None, "{name}"),
            "$X_DATE" => assert_eq!(found, Some("20261121T120000Z"), "{name}"),
            "$SHA256_HEX_OF_BODY" => {
                use sha2::Digest;
                let hash = auth::hex(&sha2::Sha256::digest(&request.body));
                assert_eq!(found, Some(hash.as_str()), "{name}");
            }
            "$VOLC_AUTHORIZATION" => {
                let start = "HMAC-SHA256 Credential=AKLTTEST/20261121/cn-north-1/rtc/request, \
                             SignedHeaders=content-type;host;x-content-sha256;x-date, Signature=";
                assert_eq!(found.unwrap().len(), start.len() + 64, "{name}");
                assert!(found.unwrap().starts_with(start), "{name}");
                assert!(request.headers["authorization"].is_sensitive(), "{name}");
            }
            literal => assert_eq!(found, Some(literal), "{name} {header_name}"),
        }
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    compare_json(name, &expected["body"], &body);
}

fn compare_json(name: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(marker), Value::String(text)) if marker.contains_key("$json") => {
            assert_eq!(
                serde_json::from_str::<Value>(text).unwrap(),
                marker["$json"],
                "{name}"
            );
        }
        (Value::Object(expected), Value::Object(found)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(expected), names(found), "{name}");
            for (key, value) in expected {
                compare_json(name, value, &found[key]);
            }
        }
        _ => assert_eq!(expected, found, "{name}"),
    }
}

fn noon() -> SystemTime {
    "2026-11-21T12:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
}

/// What the engine does around an adapter, in short: repeats, refused ids, chunks, one call each.
///
/// `answer` gets every signed request; the outcome of a recipient is `None` where it says nothing usable.
fn send(
    channel: &TestChannel,
    route: &Arc<Route>,
    mut answer: impl FnMut(WireRequest) -> Option<WireResponse>,
) -> Vec<(String, Option<Outcome>)> {
    let prepared = channel.adapter.prepare(route).unwrap();
    let mut seen = BTreeSet::new();
    let mut results: Vec<(String, Option<Outcome>)> = Vec::new();
    let mut positions = Vec::new();
    for (position, id) in (0..).zip(route.to.iter()) {
        let refused = match prepared.check_recipient(id) {
            Err(failure) => Some(failure),
            Ok(()) if !seen.insert(id) => Some(Failure::gateway(
                crate::domain::failure::FailureKind::DuplicateRecipient,
            )),
            Ok(()) => None,
        };
        if refused.is_none() {
            positions.push(position);
        }
        results.push((id.to_owned(), refused.map(Outcome::failed)));
    }
    let count = positions.len();
    let all = Positions::Picked(positions.into(), 0..count);
    for chunk in all.chunks(prepared.chunking().recipients_per_call) {
        let call = Call {
            recipients: Recipients::new(&route.to, &chunk),
            now: noon(),
            nonce: 1,
        };
        let Some(response) = answer(signed(channel, route, prepared.encode(&call), noon())) else {
            continue;
        };
        let Ok(decoded) = prepared.decode(&call, &response) else {
            continue;
        };
        for (offset, outcome) in outcomes(&decoded, count.min(chunk.len())).into_iter().enumerate() {
            let position = usize::try_from(chunk.get(offset).unwrap()).unwrap();
            results[position].1 = Some(outcome);
        }
    }
    results
}

/// One outcome per recipient, whatever the verdict.
pub(super) fn outcomes(answer: &Answer, count: usize) -> Vec<Outcome> {
    match &answer.verdict {
        Verdict::Answered(outcomes) => {
            assert_eq!(outcomes.len(), count);
            outcomes.iter().cloned().collect()
        }
        Verdict::Refused { failure, repeat, .. } => {
            assert_eq!(failure.retryable, *repeat == Repeat::Safe);
            vec![Outcome::failed(failure.clone()); count]
        }
        Verdict::Undecided(failure) => vec![Outcome::unknown(failure.clone()); count],
        Verdict::Listed(_) => panic!("nobody asked for a list"),
    }
}

fn response(exchange: &Value) -> Option<WireResponse> {
    let status = u16::try_from(exchange["http_status"].as_u64()?).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["response"]["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let body = match exchange["response"]["body_text"].as_str() {
        Some(text) => text.to_owned(),
        None => exchange["response"]["body"].to_string(),
    };
    Some(WireResponse {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
    })
}

fn compare_outcome(name: &str, expected: &Value, (recipient, outcome): &(String, Option<Outcome>)) {
    assert_eq!(recipient, expected["recipient"].as_str().unwrap(), "{name}");
    let expected_id = expected["message_id"].as_str();
    let (status, failure) = match outcome.as_ref().unwrap() {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.evidence, Evidence::Explicit, "{name}");
            assert_eq!(acceptance.message_id.as_deref(), expected_id, "{name}");
            assert_eq!(expected["status"], "accepted", "{name}");
            return;
        }
        Outcome::Failed(failure) => ("failed", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
    };
    let error = &expected["error"];
    assert_eq!(status, expected["status"], "{name} {recipient}");
    assert_eq!(failure.kind.as_str(), error["class"], "{name} {recipient}");
    assert_eq!(failure.message_id.as_deref(), expected_id, "{name} {recipient}");
    if let Some(code) = error["provider_code"].as_str() {
        assert_eq!(failure.provider_code.as_deref(), Some(code), "{name}");
    }
    if let Some(text) = error["provider_message"].as_str() {
        assert_eq!(failure.provider_message.as_deref(), Some(text), "{name}");
    }
    let retry = error["retry"].as_str().unwrap();
    let retryable = matches!(retry, "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, retryable, "{name} {retry}");
}

#[test]
fn writes_every_request_fixture() {
    let all = fixtures("request");
    assert_eq!(all.len(), 14);
    for (name, fixture) in &all {
        let mut calls = 0;
        send(
            &channel(&fixture["config"]),
            &route(&fixture["intent"]),
            |request| {
                calls += 1;
                compare_request(name, &fixture["request"], &request);
                None
            },
        );
        assert_eq!(calls, 1, "{name}");
    }
}

#[test]
fn settles_every_exchange_fixture() {
    let all = fixtures("exchange");
    assert_eq!(all.len(), 49);
    let (mut left_to_status, mut without_answer, mut without_call) = (Vec::new(), 0, 0);
    for (name, fixture) in &all {
        let answer = response(fixture);
        let mut calls = 0;
        let results = send(
            &channel(&fixture["config"]),
            &route(&fixture["intent"]),
            |request| {
                calls += 1;
                compare_request(name, &fixture["request"], &request);
                answer.clone()
            },
        );
        let expected = fixture["expect"]["recipients"].as_array().unwrap();
        assert_eq!(results.len(), expected.len(), "{name}");
        let is_open = results.iter().any(|(_, outcome)| outcome.is_none());
        match (calls, &answer) {
            (0, _) => without_call += 1,
            (1, None) => without_answer += 1,
            (1, Some(_)) if is_open => left_to_status.push(name.as_str()),
            (1, Some(_)) => {}
            _ => panic!("{name}: {calls} calls"),
        }
        if !is_open {
            for (expected, found) in expected.iter().zip(&results) {
                compare_outcome(name, expected, found);
            }
        }
    }
    assert_eq!((without_call, without_answer), (1, 2));
    let by_status = [
        "odd-01-http-502-html",
        "odd-02-http-200-not-json",
        "odd-04-result-missing",
        "odd-07-http-503-html",
        "odd-08-http-403-empty",
    ];
    assert_eq!(left_to_status, by_status);
}

#[test]
fn cuts_every_multi_fixture_into_its_calls() {
    let all = fixtures("multi");
    assert_eq!(all.len(), 1);
    for (name, fixture) in &all {
        let mut exchanges = fixture["exchanges"].as_array().unwrap().iter();
        let results = send(
            &channel(&fixture["config"]),
            &route(&fixture["intent"]),
            |request| {
                let exchange = exchanges.next().unwrap();
                compare_request(name, &exchange["request"], &request);
                response(exchange)
            },
        );
        assert!(exchanges.next().is_none());
        let expected = fixture["expect"]["recipients"].as_array().unwrap();
        assert_eq!(expected.len(), results.len());
        for (expected, found) in expected.iter().zip(&results) {
            compare_outcome(name, expected, found);
        }
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let all = fixtures("reject");
    assert_eq!(all.len(), 16);
    let mut empty = 0;
    for (name, fixture) in &all {
        let route = route(&fixture["intent"]);
        if route.to.is_empty() {
            // The engine's part.
            empty += 1;
            continue;
        }
        let Err(faults) = channel(&fixture["config"]).adapter.prepare(&route) else {
            panic!("{name} was taken");
        };
        assert!(!faults.is_empty(), "{name}");
        let is_setting = ["audio", "command", "file", "image", "video"]
            .iter()
            .any(|kind| *name == format!("reject-{kind}"));
        for fault in &faults {
            assert!(fault.pointer.starts_with('/'), "{name} {fault:?}");
        }
        if is_setting {
            assert!(faults[0].detail.contains("volcengine_rtc"), "{name}");
            assert!(faults[0].detail.contains("the setting `"), "{name}");
        }
    }
    assert_eq!(empty, 1);
}

#[test]
fn signs_every_vector() {
    let all = fixtures("vector");
    assert_eq!(all.len(), 6);
    for (name, fixture) in &all {
        let text = |part: &Value| part.as_str().map(str::to_owned);
        let input = |key: &str| text(&fixture["input"][key]).unwrap();
        let expect = |key: &str| text(&fixture["expect"][key]).unwrap();
        let url: http::Uri = input("url").replace("com?", "com/?").parse().unwrap();
        let base_url = format!("{}://{}", url.scheme_str().unwrap(), url.authority().unwrap());
        let host = auth::signed_host(&base_url.parse().unwrap()).unwrap();
        assert_eq!(host, input("host"), "{name}");
        let signer = Signer::new(
            Credentials {
                access_key_id: Secret::new(input("access_key")),
                secret_access_key: Secret::new(input("secret_key")),
                session_token: text(&fixture["input"]["session_token"]).map(Secret::new),
                region: input("region").into(),
            },
            host,
        );
        let mut request = WireRequest::post_json("/", input("body"), Duration::from_secs(1));
        for pair in url.query().unwrap().split('&') {
            match pair.split_once('=').unwrap() {
                ("Action", action) => request.push_query("Action", action),
                (_, version) => request.push_query("Version", version),
            }
        }
        assert!(request.set_header(CONTENT_TYPE, &input("content_type")));
        let x_date = input("x_date");
        let when = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &x_date).unwrap();
        let now = when.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().into();
        let attempt = Attempt {
            route: &route(&json!({ "to": [], "message": { "type": "text", "text": "" } })),
            now,
            nonce: 0,
        };
        crate::adapter::Sign::sign(&signer, &attempt, &mut request).unwrap();
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-sha256"), expect("body_sha256"), "{name}");
        let (canonical, names) = signer
            .canonical_request(&request, &expect("body_sha256"))
            .unwrap();
        assert_eq!(canonical, expect("canonical_request"), "{name}");
        assert_eq!(names, expect("signed_headers"), "{name}");
        assert_eq!(
            signer.string_to_sign(&x_date, &canonical),
            expect("string_to_sign"),
            "{name}"
        );
        let key = signer.signing_key(&x_date).unwrap();
        assert_eq!(auth::hex(&key), expect("signing_key_hex"), "{name}");
        assert_eq!(header("authorization"), expect("authorization"), "{name}");
    }
}

#[test]
fn every_fixture_has_a_kind_that_is_tested() {
    let kinds = ["request", "exchange", "multi", "reject", "vector"];
    let known: usize = kinds.iter().map(|kind| fixtures(kind).len()).sum();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volcengine-rtc");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), known);
}

fn check_settings(keys: Value, pointer: &str) {
    let mut all = json!({ "app_id": 1, "access_key_id": "AK", "secret_access_key": "SK" });
    for (name, value) in keys.as_object().unwrap() {
        all[name] = value.clone();
    }
    let Err(faults) = try_channel(&all) else {
        panic!("{keys} was taken");
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, [pointer]);
}

#[test]
fn refuses_settings_that_cannot_work() {
    check_settings(
        json!({ "base_url": "https://rtc.volcengineapi.com/api" }),
        "/base_url",
    );
    check_settings(json!({ "default_from": "dave" }), "/default_from");
    check_settings(json!({ "app_id": 0 }), "/app_id");
    check_settings(json!({ "access_key_id": "a/b" }), "/access_key_id");
    check_settings(json!({ "secret_access_key": "" }), "/secret_access_key");
    check_settings(json!({ "session_token": "line\nbreak" }), "/session_token");
    check_settings(json!({ "region": "" }), "/region");
    check_settings(json!({ "content_encoding": "xml" }), "/content_encoding");
    check_settings(json!({ "media_messages": "v2" }), "/media_messages");
    check_settings(json!({ "command_msg_type": "many" }), "/command_msg_type");
    check_settings(json!({ "recipients_per_call": 501 }), "/recipients_per_call");
    let Err(faults) = try_channel(&json!({})) else {
        panic!("a channel without credentials");
    };
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/app_id", "/access_key_id", "/secret_access_key"]);
}

#[test]
fn names_every_fault_of_a_route_at_once() {
    let faults = channel(&json!({}))
        .adapter
        .prepare(&route(&json!({
            "from": "x", "to": ["1"], "target_type": "chatroom", "ext": "e", "push": { "title": "t" },
            "message": { "type": "custom", "event": "gift" },
            "provider_options": { NAME: { "inbox_type": "7", "is_normal_user": 1, "more": 1 } },
        })))
        .err()
        .unwrap();
    let pointers: BTreeSet<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    let expected = [
        "/ext",
        "/from",
        "/message/data",
        "/message/event",
        "/provider_options/volcengine_rtc/inbox_type",
        "/provider_options/volcengine_rtc/is_normal_user",
        "/provider_options/volcengine_rtc/more",
        "/push",
        "/target_type",
    ];
    assert_eq!(pointers.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn warns_about_hints_and_refuses_secrets_of_media() {
    let channel = channel(&json!({ "media_messages": "files_v1", "max_payload_bytes": 400 }));
    let image = |extra: Value| {
        let mut message = json!({ "type": "image", "url": "https://e.com/a", "format": "png" });
        for (name, value) in extra.as_object().unwrap() {
            message[name] = value.clone();
        }
        route(&json!({ "from": 1, "to": [1], "message": message }))
    };
    let prepared = channel
        .adapter
        .prepare(&image(json!({ "thumbnail_width": 3 })))
        .unwrap();
    let pointers: Vec<_> = prepared
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
        .collect();
    let code = WarningCode::FieldLeftOut;
    assert_eq!(
        pointers,
        [(code, "/message/thumbnail_width"), (code, "/message/format")]
    );
    let faults = |extra: Value| {
        let faults = channel.adapter.prepare(&image(extra)).err().unwrap();
        faults
            .into_iter()
            .map(|fault| (fault.pointer, fault.code))
            .collect::<Vec<_>>()
    };
    let unsupported = FaultCode::Unsupported;
    assert_eq!(
        faults(json!({ "id": "i", "secret": "s" })),
        [
            ("/message/id".to_owned(), unsupported),
            ("/message/secret".to_owned(), unsupported)
        ]
    );
    let long = "n".repeat(400);
    assert_eq!(
        faults(json!({ "filename": long })),
        [("/message".to_owned(), FaultCode::TooLarge)]
    );
}

/// Decodes `body` as the answer to a call to `ids`.
fn decode(ids: &[&str], status: u16, body: impl Into<Bytes>) -> Result<Answer, DecodeError> {
    let list: RecipientList = ids.iter().copied().collect();
    let positions = Positions::Range(0..u32::try_from(list.len()).unwrap());
    let call = Call {
        recipients: Recipients::new(&list, &positions),
        now: noon(),
        nonce: 0,
    };
    let status = http::StatusCode::from_u16(status).unwrap();
    answer::decode(&call, &WireResponse::json(status, body))
}

#[test]
fn warns_once_about_strangers_and_contradictions() {
    let body = r#"{"ResponseMetadata":{"RequestId":"r"},"Result":{
        "UserMessageId":{"1":11,"8":1,"9":1},"FailedReceiver":[1,1,8,true]}}"#;
    let answer = decode(&["1", "2"], 200, body).unwrap();
    let codes: Vec<_> = answer.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(
        codes,
        [WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer]
    );
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

#[test]
fn signs_for_the_host_header_that_the_transport_sends() {
    let check = |base_url: &str, host: Option<&str>| {
        assert_eq!(auth::signed_host(&base_url.parse().unwrap()).as_deref(), host);
    };
    check("https://RTC.volcengineapi.com", Some(HOST));
    check("https://rtc.volcengineapi.com:443/", Some(HOST));
    check("http://rtc.volcengineapi.com:80", Some(HOST));
    check("http://127.0.0.1:18080", Some("127.0.0.1:18080"));
    check("http://[::1]:9", Some("[::1]:9"));
    check("http://localhost/api", None);
}
