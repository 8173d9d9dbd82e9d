//! The golden fixtures, arbitrary answers, and the adapter against the stand-in.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::adapter::channel::{Channel, CommonSettings};
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::sandbox::{Arrival, StandIn, StandInAnswer};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, Auth, Call, DecodeError, Prepared, Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, MAX_PASSTHROUGH_DEPTH, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow};
use crate::domain::report::WarningCode;
use crate::domain::route::{Push, Route, TargetType};
use crate::providers::easemob_relay::sandbox::{self, SANDBOX};
use crate::providers::easemob_relay::{NAME, PROVIDER};

/// The channel of the stand-in's account, with further keys.
fn channel(extra: &Value) -> Channel {
    try_channel(SANDBOX.settings, extra).unwrap()
}

fn try_channel(settings: &str, extra: &Value) -> Result<Channel, Vec<Fault>> {
    let toml = |text: &str| config::File::from_str(text, config::FileFormat::Toml);
    let mut keys: Value = config::Config::builder()
        .add_source(toml(PROVIDER.defaults))
        .add_source(toml(settings))
        .add_source(toml("base_url = \"https://relay.example.com\""))
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap();
    for (key, value) in extra.as_object().unwrap() {
        keys[key] = value.clone();
    }
    let text = keys.to_string();
    let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call);
    let parts = common.as_ref().and_then(|common| (PROVIDER.build)(common, &mut fields));
    let faults = fields.finish();
    if !faults.is_empty() {
        return Err(faults);
    }
    let (adapter, auth) = parts.unwrap();
    Ok(Channel { provider: NAME, settings: common.unwrap(), adapter, auth })
}

fn json_text(value: &Value) -> JsonText {
    JsonText::parse(&value.to_string(), MAX_PASSTHROUGH_DEPTH).unwrap()
}

fn text_or_json(value: &Value) -> TextOrJson {
    value.as_str().map_or_else(|| TextOrJson::Json(json_text(value)), |text| TextOrJson::Text(text.into()))
}

fn text(value: &Value, name: &str) -> Option<Arc<str>> {
    value[name].as_str().map(Arc::from)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value[name].as_u64()
}

fn small(value: &Value, name: &str) -> Option<u32> {
    number(value, name).map(|number| u32::try_from(number).unwrap())
}

/// A request's `message`; `None` if the edge would refuse it.
fn message(value: &Value) -> Option<Message> {
    Some(match value["type"].as_str()? {
        "text" => Message::Text { text: text(value, "text")? },
        "location" => Message::Location(Location {
            latitude: value["latitude"].as_f64()?,
            longitude: value["longitude"].as_f64()?,
            address: text(value, "address"),
        }),
        "command" => {
            Message::Command { action: text(value, "action")?, params: value.get("params").map(json_text) }
        }
        "custom" => {
            Message::Custom(Custom { data: value.get("data").map(text_or_json), ..Custom::default() })
        }
        "face" => Message::Face { index: value["index"].as_i64()?, data: text(value, "data") },
        "native" => Message::Native { payload: json_text(&value["payload"]) },
        media => return media_message(media, value),
    })
}

fn media_message(media: &str, value: &Value) -> Option<Message> {
    let url = text(value, "url")?;
    let filename = text(value, "filename");
    let size_bytes = number(value, "size_bytes");
    let duration_seconds = value["duration_seconds"].as_f64();
    let (id, secret, format) = (text(value, "id"), text(value, "secret"), text(value, "format"));
    Some(match media {
        "image" => Message::Image(Image {
            url,
            filename,
            size_bytes,
            width: small(value, "width"),
            height: small(value, "height"),
            format,
            id,
            secret,
            thumbnail: thumbnail(value),
        }),
        "audio" => Message::Audio(Audio { url, filename, duration_seconds, size_bytes, id, secret }),
        "video" => Message::Video(Video {
            url,
            filename,
            duration_seconds,
            size_bytes,
            format,
            secret,
            thumbnail: thumbnail(value),
        }),
        "file" => Message::File(File { url, filename, size_bytes, id, secret }),
        _ => return None,
    })
}

fn thumbnail(value: &Value) -> Thumbnail {
    Thumbnail {
        url: text(value, "thumbnail_url"),
        width: small(value, "thumbnail_width"),
        height: small(value, "thumbnail_height"),
        size_bytes: number(value, "thumbnail_size_bytes"),
        format: text(value, "thumbnail_format"),
        secret: text(value, "thumbnail_secret"),
    }
}

/// A fixture's `intent` as a route; `None` if the edge would refuse it.
fn route(intent: &Value) -> Option<Arc<Route>> {
    let to = intent["to"].as_array().unwrap();
    let target_type = intent["target_type"]
        .as_str()
        .map(|word| *TargetType::ALL.iter().find(|known| known.as_str() == word).unwrap());
    Some(Arc::new(Route {
        channel: ChannelName::parse("relay").unwrap(),
        sender: text(intent, "from"),
        to: Arc::new(to.iter().map(|id| id.as_str().unwrap()).collect()),
        target_type,
        message: Arc::new(message(&intent["message"])?),
        ext: intent.get("ext").map(text_or_json),
        push: intent.get("push").map(|push| Push {
            title: text(push, "title"),
            body: text(push, "body"),
            ..Push::default()
        }),
        provider_options: intent.get("provider_options").map(|options| json_text(&options[NAME])),
    }))
}

fn text_route(to: &[&str]) -> Value {
    json!({
        "from": SANDBOX.sender,
        "to": to,
        "message": { "type": "text", "text": "测试123" },
    })
}

/// First occurrences only, as the engine plans them.
fn distinct(list: &RecipientList) -> Positions {
    let mut seen = HashSet::new();
    let first: Vec<u32> =
        (0..narrow(list.len())).filter(|position| seen.insert(list.id(*position))).collect();
    let count = first.len();
    Positions::Picked(first.into(), 0..count)
}

fn call<'a>(list: &'a RecipientList, positions: &'a Positions) -> Call<'a> {
    Call { recipients: Recipients::new(list, positions), now: SystemTime::UNIX_EPOCH, nonce: 1 }
}

fn signed(channel: &Channel, route: &Route, prepared: &dyn Prepared, call: &Call<'_>) -> WireRequest {
    let mut request = prepared.encode(call);
    assert!(request.query.is_empty(), "no credentials before signing");
    let attempt = Attempt { route, now: call.now, nonce: 2 };
    match &channel.auth {
        Auth::Sign(sign) => sign.sign(&attempt, &mut request).unwrap(),
        Auth::Token(_) => panic!("the relay has no tokens"),
    }
    request
}

fn fixtures(kind: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/easemob-relay");
    let mut found: Vec<Value> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .filter(|fixture: &Value| fixture["kind"] == kind)
        .collect();
    found.sort_by_key(|fixture| fixture["id"].as_str().unwrap().to_owned());
    found
}

fn extra_keys(fixture: &Value) -> Value {
    fixture.get("config").cloned().unwrap_or_else(|| json!({}))
}

fn assert_request(actual: &WireRequest, expected: &Value, id: &str) {
    assert_eq!(actual.method.as_str(), expected["method"], "{id}");
    assert_eq!(actual.path, expected["path"].as_str().unwrap(), "{id}");
    let query: Value = actual
        .query
        .iter()
        .map(|parameter| (parameter.name.to_owned(), json!(parameter.value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(query, expected["query"], "{id}");
    assert!(actual.query.iter().all(|parameter| parameter.is_secret), "{id}: the whole query is secret");
    for (name, value) in expected["headers"].as_object().unwrap() {
        assert_eq!(actual.headers.get(name).unwrap(), value.as_str().unwrap(), "{id}");
    }
    let body: Value = serde_json::from_slice(&actual.body).unwrap();
    assert_eq!(body, expected["body"], "{id}");
}

fn response(exchange: &Value) -> WireResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["response"]["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    let body = match exchange["response"].get("body") {
        Some(json) => json.to_string(),
        None => exchange["response"]["body_text"].as_str().unwrap().to_owned(),
    };
    let status = u16::try_from(exchange["http_status"].as_u64().unwrap()).unwrap();
    WireResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
}

/// One outcome per recipient, whatever the verdict.
fn outcomes(answer: &Answer, count: usize) -> Vec<Outcome> {
    match &answer.verdict {
        Verdict::Answered(outcomes) => {
            assert_eq!(outcomes.len(), count);
            outcomes.iter().cloned().collect()
        }
        Verdict::Refused { failure, .. } => vec![Outcome::failed(failure.clone()); count],
        Verdict::Undecided(failure) => vec![Outcome::unknown(failure.clone()); count],
        Verdict::Listed(_) => panic!("the relay has no send-to-all"),
    }
}

fn assert_failure(failure: &Failure, expected: &Value, id: &str) {
    let error = &expected["error"];
    assert_eq!(failure.kind.as_str(), error["class"], "{id}");
    if let Some(code) = error["provider_code"].as_str() {
        assert_eq!(failure.provider_code.as_deref(), Some(code), "{id}");
    }
    if let Some(text) = error.get("provider_message") {
        assert_eq!(failure.provider_message.as_deref(), text.as_str(), "{id}");
    }
    let is_retryable = matches!(error["retry"].as_str().unwrap(), "yes" | "same-body" | "recipients-only");
    assert_eq!(failure.retryable, is_retryable, "{id}");
    assert!(failure.hint.is_some(), "{id}: no hint");
}

fn assert_outcome(actual: &Outcome, expected: &Value, id: &str) {
    let status = match actual {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.message_id, None, "{id}");
            assert_eq!(acceptance.evidence, Evidence::Implied, "{id}");
            "accepted"
        }
        Outcome::Failed(failure) => {
            assert_failure(failure, expected, id);
            "failed"
        }
        Outcome::Unknown(failure) => {
            assert_failure(failure, expected, id);
            "unknown"
        }
    };
    assert_eq!(status, expected["status"], "{id}");
}

/// What the engine makes of an answer that the adapter cannot read.
fn assert_left_to_status(exchange: &Value, expected: &[&Value], id: &str) {
    for recipient in expected {
        let error = &recipient["error"];
        match exchange["http_status"].as_u64().unwrap() {
            200 => assert_eq!(error["class"], "provider_error", "{id}"),
            status => assert_eq!(error["provider_code"], format!("http_{status}"), "{id}"),
        }
    }
}

/// One exchange: the request and, unless the connection misbehaves, the answer.
fn check_exchange(
    channel: &Channel,
    route: &Arc<Route>,
    positions: &Positions,
    exchange: &Value,
    all: &Value,
) {
    let id = all["id"].as_str().unwrap();
    let prepared = channel.adapter.prepare(route).unwrap();
    let call = call(&route.to, positions);
    let request = signed(channel, route, &*prepared, &call);
    assert_request(&request, &exchange["request"], id);
    if all.get("script").is_some() {
        return;
    }
    let recipients: Vec<&Value> = all["expect"]["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["error"]["class"] != "duplicate_recipient")
        .collect();
    let expected: Vec<&Value> = call
        .recipients
        .iter()
        .map(|id| *recipients.iter().find(|entry| entry["recipient"] == id).unwrap())
        .collect();
    match prepared.decode(&call, &response(exchange)) {
        Ok(answer) => {
            for (actual, expected) in outcomes(&answer, expected.len()).iter().zip(&expected) {
                assert_outcome(actual, expected, id);
            }
        }
        Err(DecodeError::NotDocumented) if id.starts_with("res-") => panic!("{id}: an envelope"),
        Err(DecodeError::NotDocumented) => assert_left_to_status(exchange, &expected, id),
    }
}

#[test]
fn writes_every_request_fixture() {
    let fixtures = fixtures("request");
    // One fixture has no intent: it shows the document's own example, which the adapter never sends.
    let (with_intent, without): (Vec<_>, Vec<_>) =
        fixtures.iter().partition(|fixture| fixture.get("intent").is_some());
    assert_eq!((with_intent.len(), without.len()), (14, 1));
    assert_eq!(without[0]["id"], "req-seed-verbatim");
    for fixture in with_intent {
        let id = fixture["id"].as_str().unwrap();
        let channel = channel(&extra_keys(fixture));
        let route = route(&fixture["intent"]).unwrap();
        let prepared = channel.adapter.prepare(&route).unwrap();
        let positions = distinct(&route.to);
        let request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
        assert_request(&request, &fixture["request"], id);
    }
}

#[test]
fn settles_every_exchange_fixture() {
    let fixtures = fixtures("exchange");
    assert_eq!(fixtures.len(), 25);
    for fixture in &fixtures {
        let channel = channel(&extra_keys(fixture));
        let route = route(&fixture["intent"]).unwrap();
        check_exchange(&channel, &route, &distinct(&route.to), fixture, fixture);
    }
}

#[test]
fn settles_every_chunked_fixture() {
    let fixtures = fixtures("multi");
    assert_eq!(fixtures.len(), 1);
    for fixture in &fixtures {
        let channel = channel(&extra_keys(fixture));
        let route = route(&fixture["intent"]).unwrap();
        let size = channel.adapter.prepare(&route).unwrap().chunking().recipients_per_call;
        let chunks: Vec<_> = distinct(&route.to).chunks(size).collect();
        let exchanges = fixture["exchanges"].as_array().unwrap();
        assert_eq!(chunks.len(), exchanges.len());
        for (positions, exchange) in chunks.iter().zip(exchanges) {
            check_exchange(&channel, &route, positions, exchange, fixture);
        }
    }
}

#[test]
fn refuses_every_reject_fixture() {
    let fixtures = fixtures("reject");
    assert_eq!(fixtures.len(), 13);
    let mut left_to_the_edge = Vec::new();
    for fixture in &fixtures {
        match route(&fixture["intent"]) {
            Some(route) => {
                let faults = channel(&json!({})).adapter.prepare(&route).err();
                assert!(!faults.unwrap().is_empty(), "{}", fixture["id"]);
            }
            None => left_to_the_edge.push(fixture["id"].clone()),
        }
    }
    assert_eq!(left_to_the_edge, ["reject-file-without-url"]);
}

#[test]
fn no_fixture_is_of_another_kind() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/easemob-relay");
    let known: usize =
        ["request", "exchange", "multi", "reject"].map(|kind| fixtures(kind).len()).iter().sum();
    assert_eq!(fs::read_dir(folder).unwrap().count(), known);
}

fn pointers(faults: &[Fault]) -> Vec<(&str, FaultCode)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect()
}

#[test]
fn settings_name_every_fault_at_once() {
    let extra = json!({
        "path": "send?x=1",
        "req_url": "//evil.example.com/x",
        "msg_body_encoding": "xml",
        "query": { "api_version": "01", "client": "", "version": "1.15", "channel": "c" },
    });
    let faults = try_channel("", &extra).err().unwrap();
    let expected = [
        ("/path", FaultCode::OutOfRange),
        ("/req_url", FaultCode::OutOfRange),
        ("/msg_body_encoding", FaultCode::OutOfRange),
        ("/query/client", FaultCode::OutOfRange),
        ("/query/sign", FaultCode::Required),
    ];
    assert_eq!(pointers(&faults), expected);
    let missing = try_channel("", &json!({})).err().unwrap();
    let expected = ["client", "channel", "sign"].map(|name| format!("/query/{name}"));
    let missing: Vec<_> = missing.iter().map(|fault| fault.pointer.clone()).collect();
    assert_eq!(missing, expected);
}

#[test]
fn requests_name_every_fault_at_once() {
    let mut intent = text_route(&["1"]);
    intent["ext"] = json!({ "a": 1 });
    intent["provider_options"] = json!({ NAME: {
        "target_type": "chatrooms", "media_file": 1, "file_url": "ftp://x", "ext": [], "req_url": "http://x/y",
        "query": { "sign": "" }, "reqUrl": "/x",
    }});
    let route = route(&intent).unwrap();
    let faults = channel(&json!({})).adapter.prepare(&route).err().unwrap();
    let found = pointers(&faults);
    let options = [
        ("target_type", FaultCode::OutOfRange),
        ("media_file", FaultCode::WrongType),
        ("file_url", FaultCode::OutOfRange),
        ("ext", FaultCode::WrongType),
        ("req_url", FaultCode::OutOfRange),
        ("query/sign", FaultCode::OutOfRange),
        ("reqUrl", FaultCode::UnknownField),
    ];
    assert_eq!(found.len(), options.len());
    for (name, code) in options {
        let pointer = format!("/provider_options/easemob_relay/{name}");
        assert!(found.contains(&(pointer.as_str(), code)), "{name}: {found:?}");
    }
}

/// Prepares a message with further parts of a request on a channel with further keys.
fn check_faults(message: &Value, more: &Value, keys: &Value, expected: &[(&str, FaultCode)]) {
    let mut intent = text_route(&["1"]);
    intent["message"] = message.clone();
    for (key, value) in more.as_object().unwrap() {
        intent[key] = value.clone();
    }
    let prepared = channel(keys).adapter.prepare(&route(&intent).unwrap());
    let faults = prepared.err().unwrap_or_default();
    assert_eq!(pointers(&faults), expected, "{intent}");
}

#[test]
fn refuses_what_it_cannot_carry() {
    let none = json!({});
    let check =
        |message: Value, expected: &[(&str, FaultCode)]| check_faults(&message, &none, &none, expected);
    let url = "https://cdn.example.com/x";
    check(
        json!({ "type": "image", "url": url, "secret": "s", "thumbnail_secret": "t", "width": 1 }),
        &[("/message/secret", FaultCode::Unsupported), ("/message/thumbnail_secret", FaultCode::Unsupported)],
    );
    check(json!({ "type": "command", "action": "" }), &[("/message/action", FaultCode::OutOfRange)]);
    check(
        json!({ "type": "location", "latitude": 1.5, "longitude": 2, "address": "" }),
        &[("/message/address", FaultCode::OutOfRange)],
    );
    check(json!({ "type": "native", "payload": [] }), &[("/message/payload", FaultCode::WrongType)]);
    check(
        json!({ "type": "native", "payload": { "toUser": "x", "ext": "y" } }),
        &[
            ("/message/payload/msgType", FaultCode::Required),
            ("/message/payload/toUser", FaultCode::Conflict),
            ("/message/payload/ext", FaultCode::WrongType),
        ],
    );
}

#[test]
fn takes_each_value_from_one_place_only() {
    let none = json!({});
    let options = |options: Value| json!({ "provider_options": { NAME: options } });
    let native = json!({ "type": "native", "payload": { "msgType": "txt", "mediaFile": "a", "ext": {} } });
    let own_text = json!({ "type": "text", "text": "x" });
    let prefix = "/provider_options/easemob_relay";
    let mut twice = options(json!({ "ext": {} }));
    twice["ext"] = json!({});
    check_faults(&own_text, &twice, &none, &[(&format!("{prefix}/ext"), FaultCode::Conflict)]);
    check_faults(
        &native,
        &options(json!({ "ext": {}, "media_file": "b", "file_url": "https://x/y" })),
        &none,
        &[
            ("/message/payload/ext", FaultCode::Conflict),
            (&format!("{prefix}/media_file"), FaultCode::Conflict),
        ],
    );
    check_faults(
        &own_text,
        &options(json!({ "file_url": "https://x/y" })),
        &none,
        &[(&format!("{prefix}/file_url"), FaultCode::Unsupported)],
    );
}

#[test]
fn counts_msg_and_ext_only_where_a_limit_is_set() {
    // `"x…"` takes its length and two quotes; `{"k":1}` takes 7.
    let message = json!({ "type": "text", "text": "x".repeat(91) });
    let ext = json!({ "ext": { "k": 1 } });
    check_faults(&message, &ext, &json!({}), &[]);
    check_faults(&message, &ext, &json!({ "max_payload_bytes": 100 }), &[]);
    let too_large = [("/message", FaultCode::TooLarge)];
    check_faults(&message, &ext, &json!({ "max_payload_bytes": 99 }), &too_large);
}

#[test]
fn warns_of_hints_that_are_left_out() {
    let mut intent = text_route(&["1"]);
    intent["message"] = json!({
        "type": "video", "url": "https://cdn.example.com/v.mp4", "duration_seconds": 9, "size_bytes": 10,
        "format": "mp4", "thumbnail_url": "https://cdn.example.com/t.png",
    });
    let prepared = channel(&json!({})).adapter.prepare(&route(&intent).unwrap());
    let prepared = prepared.unwrap();
    let warned: Vec<_> = prepared
        .warnings()
        .iter()
        .map(|warning| (warning.code, warning.pointer.as_deref().unwrap()))
        .collect();
    let expected = ["duration_seconds", "size_bytes", "format", "thumbnail_url"]
        .map(|name| (WarningCode::FieldLeftOut, format!("/message/{name}")));
    let expected: Vec<_> = expected.iter().map(|(code, pointer)| (*code, pointer.as_str())).collect();
    assert_eq!(warned, expected);
}

#[test]
fn every_recipient_adds_to_the_time_of_a_call() {
    let route = route(&text_route(&["1", "2", "3"])).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let request = prepared.encode(&call(&route.to, &positions));
    assert_eq!(request.timeout, Duration::from_millis(10_600));
}

#[test]
fn the_option_decides_the_target_where_the_request_is_silent() {
    let mut intent = text_route(&["1"]);
    for (option, expected) in [(json!({}), "users"), (json!({ "target_type": "chatgroups" }), "chatgroups")] {
        intent["provider_options"] = json!({ NAME: option });
        let route = route(&intent).unwrap();
        let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
        let positions = distinct(&route.to);
        let body: Value =
            serde_json::from_slice(&prepared.encode(&call(&route.to, &positions)).body).unwrap();
        assert_eq!(body["messages"][0]["msgBody"]["targetType"], expected);
    }
}

#[test]
fn an_empty_recipient_is_refused_alone() {
    let route = route(&text_route(&["1"])).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    assert_eq!(prepared.check_recipient("1"), Ok(()));
    let failure = prepared.check_recipient("").unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidRecipient);
}

#[test]
fn a_request_may_replace_single_values_of_the_query() {
    let mut intent = text_route(&["1"]);
    intent["provider_options"] = json!({ NAME: { "query": { "sign": "a b&c" } } });
    let channel = channel(&json!({}));
    let route = route(&intent).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
    let expected = "apiVersion=01&client=0123456789abcdef0123456789abcdef&version=1.15\
                    &channel=fedcba9876543210fedcba9876543210&sign=a%20b%26c";
    assert_eq!(request.encoded_query(), expected);
    assert!(!request.redacted_query().contains("a%20b"));
}

fn check_answer(body: &Value, expected: [(&str, FailureKind); 3], codes: &[WarningCode]) {
    let route = route(&text_route(&["1", "2", "3"])).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let response = WireResponse::json(StatusCode::OK, body.to_string());
    let answer = prepared.decode(&call(&route.to, &positions), &response).unwrap();
    let found: Vec<_> = outcomes(&answer, 3)
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted(_) => ("accepted", FailureKind::Internal),
            Outcome::Failed(failure) => ("failed", failure.kind),
            Outcome::Unknown(failure) => ("unknown", failure.kind),
        })
        .collect();
    assert_eq!(found, expected, "{body}");
    let warned: Vec<_> = answer.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(warned, codes, "{body}");
}

#[test]
fn decides_by_code_and_list() {
    const TAKEN: (&str, FailureKind) = ("accepted", FailureKind::Internal);
    const FAILED: (&str, FailureKind) = ("failed", FailureKind::ProviderError);
    const OPEN: (&str, FailureKind) = ("unknown", FailureKind::ProviderError);
    const UNTOLD: (&str, FailureKind) = ("unknown", FailureKind::Unknown);
    let stranger = [WarningCode::UnexpectedRecipient];
    let contradiction = [WarningCode::ContradictoryAnswer];
    let both = [WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer];
    let check = |code: u32, data: Value, expected, codes: &[WarningCode]| {
        check_answer(&json!({ "code": code, "message": "x", "data": data }), expected, codes);
    };
    check(200, json!(null), [TAKEN; 3], &[]);
    check(200, json!(""), [TAKEN; 3], &[]);
    check(200, json!(true), [UNTOLD; 3], &[]);
    check(200, json!(["9"]), [TAKEN; 3], &stranger);
    check(200, json!(["2", "9"]), [TAKEN, UNTOLD, TAKEN], &both);
    check(200, json!(["2", {}]), [UNTOLD; 3], &contradiction);
    check(200, json!([null]), [UNTOLD; 3], &[]);
    check(500, json!([]), [OPEN; 3], &[]);
    check(500, json!("text"), [OPEN; 3], &[]);
    check(500, json!([{}]), [OPEN; 3], &[]);
    check(500, json!(["9"]), [OPEN; 3], &stranger);
    check(500, json!([3, "9", 3, 1]), [FAILED, TAKEN, FAILED], &stranger);
    check(500, json!({ "toUser": "2" }), [TAKEN, FAILED, TAKEN], &[]);
    check(500, json!([{ "msgBody": "{", "toUser": 2 }]), [TAKEN, FAILED, TAKEN], &[]);
    check(500, json!(["2", { "msgBody": {} }]), [UNTOLD, FAILED, UNTOLD], &[]);
    check(500, json!(["", 1.0]), [OPEN; 3], &[]);
    check(403, json!([]), [FAILED; 3], &[]);
    check(403, json!(["2"]), [UNTOLD, FAILED, UNTOLD], &[]);
    check(403, json!(["9"]), [OPEN; 3], &stranger);
    check(403, json!(7), [OPEN; 3], &[]);
}

#[test]
fn reads_a_class_from_the_text() {
    for (text, kind) in [
        ("message is Too Large", FailureKind::InvalidRequest),
        ("message send REACH LIMIT", FailureKind::RateLimited),
        ("HTTP 429", FailureKind::RateLimited),
        ("", FailureKind::ProviderError),
    ] {
        let accepted = ("accepted", FailureKind::Internal);
        let body = json!({ "code": 500, "message": format!("[{text}]"), "data": ["1"] });
        check_answer(&body, [("failed", kind), accepted, accepted], &[]);
    }
}

#[test]
fn is_no_envelope_without_an_integer_code() {
    let route = route(&text_route(&["1"])).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    for body in [
        "",
        "null",
        "[200,\"\",[]]",
        "{}",
        "{\"code\":null}",
        "{\"code\":200.0}",
        "{\"code\":\"ok\"}",
        "{\"code\":\"\"}",
        "{\"code\":200",
    ] {
        let response = WireResponse::json(StatusCode::OK, body);
        let decoded = prepared.decode(&call(&route.to, &positions), &response);
        assert_eq!(decoded.err(), Some(DecodeError::NotDocumented), "{body}");
    }
}

/// An answer that says something about three recipients, with bytes cut and changed.
fn mutated_answer() -> impl Strategy<Value = Vec<u8>> {
    let bodies = [
        json!({ "code": 200, "message": "成功", "data": [], "page": null }),
        json!({ "code": 500, "message": "[a, b]", "data": [{ "msgBody": { "toUser": "2" } }, { "toUser": 1 }] }),
        json!({ "code": "500", "message": "[a]", "data": ["3"] }),
        json!({ "code": 500, "message": "x", "data": [{ "msgBody": "{\"toUser\":\"1\"}" }] }),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4);
    (prop::sample::select(bodies.to_vec()), edits).prop_map(|(body, edits)| {
        let mut bytes = body.to_string().into_bytes();
        for (index, byte, is_cut) in edits {
            let index = index.index(bytes.len());
            if is_cut {
                bytes.remove(index);
            } else {
                bytes[index] = byte;
            }
        }
        bytes
    })
}

fn check_any_answer(body: &[u8]) {
    let route = route(&text_route(&["1", "2", "3"])).unwrap();
    let prepared = channel(&json!({})).adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let response = WireResponse::json(StatusCode::OK, body.to_vec());
    let Ok(answer) = prepared.decode(&call(&route.to, &positions), &response) else {
        return;
    };
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = value["code"].as_str().map_or_else(|| value["code"].to_string(), str::to_owned);
    let has_acceptance = outcomes(&answer, 3).iter().any(|outcome| matches!(outcome, Outcome::Accepted(_)));
    if has_acceptance && !value.is_null() {
        assert!(code == "200" || code == "500", "{value}");
        let has_list =
            value["data"].as_array().is_some_and(|list| !list.is_empty()) || value["data"].is_object();
        assert!(code == "200" || has_list, "{value}");
    }
}

proptest! {
    #[test]
    fn reads_arbitrary_bytes_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check_any_answer(&body);
    }

    #[test]
    fn reads_mutated_answers_without_panic(body in mutated_answer()) {
        check_any_answer(&body);
    }

    #[test]
    fn both_encodings_carry_any_text(to in "\\PC{1,8}|[\"\\\\\n\u{1}]{1,4}", said in "[^\u{0}]{1,20}") {
        let mut intent = text_route(&[&to]);
        intent["message"]["text"] = json!(said);
        intent["ext"] = json!({ "k\"": said });
        let route = route(&intent).unwrap();
        let positions = distinct(&route.to);
        let body = |encoding: &str| -> Value {
            let channel = channel(&json!({ "msg_body_encoding": encoding }));
            let prepared = channel.adapter.prepare(&route).unwrap();
            let request = prepared.encode(&call(&route.to, &positions));
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            body["messages"][0]["msgBody"].clone()
        };
        let nested = body("string");
        let nested: Value = serde_json::from_str(nested.as_str().unwrap()).unwrap();
        prop_assert_eq!(&nested, &body("object"));
        prop_assert_eq!(&nested["toUser"], &json!(to));
        prop_assert_eq!(&nested["msg"], &json!(said));
    }
}

fn deliver(stand_in: &dyn StandIn, request: &WireRequest) -> StandInAnswer {
    let query = request.encoded_query();
    let arrival = Arrival {
        method: request.method.as_str(),
        path: &request.path,
        query: &query,
        headers: &request.headers,
        body: &request.body,
    };
    stand_in.answer(&arrival, SystemTime::UNIX_EPOCH)
}

/// Sends to `to` and returns what the stand-in does and what the adapter makes of it.
fn exchange(
    stand_in: &dyn StandIn,
    keys: &Value,
    intent: &Value,
) -> (StandInAnswer, Option<Result<Answer, DecodeError>>) {
    let channel = channel(keys);
    let route = route(intent).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let call = call(&route.to, &positions);
    let answer = deliver(stand_in, &signed(&channel, &route, &*prepared, &call));
    let decoded = match &answer {
        StandInAnswer::Respond(response) => Some(prepared.decode(&call, response)),
        StandInAnswer::Drop | StandInAnswer::Hang => None,
    };
    (answer, decoded)
}

fn send(stand_in: &dyn StandIn, to: &[&str]) -> (StandInAnswer, Option<Result<Answer, DecodeError>>) {
    exchange(stand_in, &json!({}), &text_route(to))
}

fn answered(to: &[&str]) -> Vec<Outcome> {
    let (_, decoded) = send(&*(SANDBOX.build)(), to);
    outcomes(&decoded.unwrap().unwrap(), to.len())
}

fn status(answer: &StandInAnswer) -> u16 {
    match answer {
        StandInAnswer::Respond(response) => response.status.as_u16(),
        StandInAnswer::Drop | StandInAnswer::Hang => 0,
    }
}

#[test]
fn the_stand_in_answers_each_magic_recipient_as_its_table_says() {
    let (good, refused) = SANDBOX.recipients;
    assert_eq!(refused, sandbox::MAGIC_REFUSE);
    assert!(matches!(answered(&[good, "x"])[..], [Outcome::Accepted(_), Outcome::Accepted(_)]));
    assert!(matches!(answered(&[good, refused])[..], [Outcome::Accepted(_), Outcome::Failed(_)]));
    let omitted = answered(&[good, sandbox::MAGIC_OMIT, refused]);
    let [Outcome::Unknown(open), Outcome::Unknown(_), Outcome::Failed(_)] = &omitted[..] else {
        panic!("{omitted:?}");
    };
    assert_eq!(open.cause, Some(Cause::Unaccounted));
    let (_, decoded) = send(&*(SANDBOX.build)(), &[sandbox::MAGIC_REJECT_CALL]);
    let verdict = decoded.unwrap().unwrap().verdict;
    assert!(matches!(verdict, Verdict::Refused { repeat: Repeat::Never, .. }));
    let (_, decoded) = send(&*(SANDBOX.build)(), &[good, sandbox::MAGIC_UNDECIDED]);
    assert!(matches!(decoded.unwrap().unwrap().verdict, Verdict::Undecided(_)));
}

#[test]
fn the_stand_in_misbehaves_on_demand() {
    let stand_in = (SANDBOX.build)();
    assert!(matches!(send(&*stand_in, &[sandbox::MAGIC_DROP]).0, StandInAnswer::Drop));
    assert!(matches!(send(&*stand_in, &[sandbox::MAGIC_HANG]).0, StandInAnswer::Hang));
    for (magic, expected) in [
        (sandbox::MAGIC_502, 502),
        (sandbox::MAGIC_GARBAGE, 200),
        (sandbox::MAGIC_THROTTLE, 429),
        (sandbox::MAGIC_THROTTLE, 429),
        (sandbox::MAGIC_THROTTLE_ONCE, 429),
    ] {
        let (answer, decoded) = send(&*stand_in, &["x", magic]);
        assert_eq!(status(&answer), expected, "{magic}");
        assert_eq!(decoded.unwrap().err(), Some(DecodeError::NotDocumented), "{magic}");
    }
    let (_, decoded) = send(&*stand_in, &[sandbox::MAGIC_THROTTLE_ONCE]);
    assert!(matches!(outcomes(&decoded.unwrap().unwrap(), 1)[..], [Outcome::Accepted(_)]));
}

#[test]
fn the_stand_in_takes_every_message_type_in_both_encodings() {
    let url = "https://cdn.example.com/x";
    for message in [
        json!({ "type": "text", "text": "x" }),
        json!({ "type": "image", "url": url }),
        json!({ "type": "audio", "url": url }),
        json!({ "type": "video", "url": url }),
        json!({ "type": "file", "url": url, "filename": "a" }),
        json!({ "type": "location", "latitude": -0.0, "longitude": 1e-7, "address": "中关村" }),
        json!({ "type": "command", "action": "a" }),
        json!({ "type": "native", "payload": { "msgType": "txt", "msg": "x", "more": [1, { "k": "\"" }] } }),
    ] {
        for encoding in ["object", "string"] {
            let mut intent = text_route(&["1", "magic-refuse"]);
            intent["message"] = message.clone();
            let keys = json!({ "msg_body_encoding": encoding });
            let (_, decoded) = exchange(&*(SANDBOX.build)(), &keys, &intent);
            let outcomes = outcomes(&decoded.unwrap().unwrap(), 2);
            assert!(
                matches!(outcomes[..], [Outcome::Accepted(_), Outcome::Failed(_)]),
                "{message} {encoding}: {outcomes:?}"
            );
        }
    }
}

/// Changes a sound request and returns the stand-in's status and envelope code.
fn tampered(change: impl FnOnce(&mut WireRequest)) -> (u16, Value) {
    let channel = channel(&json!({}));
    let route = route(&text_route(&["1"])).unwrap();
    let prepared = channel.adapter.prepare(&route).unwrap();
    let positions = distinct(&route.to);
    let mut request = signed(&channel, &route, &*prepared, &call(&route.to, &positions));
    change(&mut request);
    match deliver(&*(SANDBOX.build)(), &request) {
        StandInAnswer::Respond(response) => {
            let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            (response.status.as_u16(), body["code"].clone())
        }
        StandInAnswer::Drop | StandInAnswer::Hang => panic!("no answer"),
    }
}

#[test]
fn the_stand_in_checks_what_the_document_states() {
    assert_eq!(tampered(|_| ()), (200, json!(200)));
    assert_eq!(tampered(|request| request.path.push('x')).0, 404);
    assert_eq!(tampered(|request| request.method = http::Method::PUT).0, 405);
    assert_eq!(tampered(|request| request.headers.clear()).0, 415);
    let wrong_sign = tampered(|request| request.query[4].value.push('x'));
    assert_eq!(wrong_sign, (200, json!(401)));
    let unsigned = tampered(|request| request.query.truncate(4));
    assert_eq!(unsigned, (200, json!(401)));
    for (pointer, value) in [
        ("/reqUrl", json!("/other")),
        ("/messages", json!([])),
        ("/messages/0/msgType", json!("text")),
        ("/messages/0/msgType", json!("img")),
        ("/messages/0/msgBody", json!("{")),
        ("/messages/0/msgBody", json!(null)),
        ("/messages/0/fileUrl", json!(1)),
        ("/messages/0/msgBody/fromUser", json!("")),
        ("/messages/0/msgBody/toUser", json!(1)),
        ("/messages/0/msgBody/msgType", json!("cmd")),
        ("/messages/0/msgBody/msg", json!("")),
        ("/messages/0/msgBody/mediaFile", json!(null)),
        ("/messages/0/msgBody/ext", json!("{}")),
        ("/messages/0/msgBody/targetType", json!("user")),
    ] {
        let answer = tampered(|request| {
            let mut body: Value = serde_json::from_slice(&request.body).unwrap();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            request.body = Bytes::from(body.to_string());
        });
        assert_eq!(answer, (200, json!(400)), "{pointer} = {value}");
    }
}
