//! Readers ask for exactly the fields that the document names.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::adapter::channel::Provider;
use crate::adapter::fields::tests::asked;
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::api::dto::request::{Context, decode};
use crate::api::keys::caller::Caller;
use crate::api::tests::document::schema;
use crate::config::build_channel;
use crate::domain::callback::AllowedHosts;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::json::JsonText;
use crate::domain::message::{Message, MessageType};
use crate::domain::route::Route;
use crate::providers::REGISTRY;

/// Names that one schema allows; it must allow no others.
fn names(schema: &Value) -> BTreeSet<String> {
    assert_eq!(schema["additionalProperties"], false, "{schema}");
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

fn read(text: &str) {
    let hosts = AllowedHosts::new(Vec::new());
    let context = Context {
        callback_hosts: Some(&hosts),
        id: BatchId::new(1, 1),
        caller: &Caller::anybody(),
        now: SystemTime::UNIX_EPOCH,
        max_age: Duration::from_secs(60),
        most_routes: 3,
        most_recipients: 5,
        provider_of: &|_| Some("fake"),
    };
    drop(decode(text, &context));
}

/// `taken`: fields that are read on another way, and `refused`: those that are asked for only to be refused.
#[track_caller]
fn check(text: &str, pointer: &str, schema: &Value, taken: &[&str], refused: &[&str]) {
    let mut found = asked(pointer, || read(text));
    found.extend(taken.iter().map(|name| (*name).to_owned()));
    for name in refused {
        assert!(found.remove(*name), "{pointer}: {name}");
    }
    assert_eq!(found, names(schema), "{pointer} of {text}");
}

#[test]
fn of_a_request() {
    let short =
        r#"{"channel":"c","to":[{"id":"a"}],"options":{"callback":{}},"push":{"ios":{},"android":{}}}"#;
    let full = r#"{"routes":[{"channel":"c","to":["a"]}]}"#;
    check(short, "", &schema("ShortSend"), &["to"], &[]);
    // Those of the short form are asked for to say that they stand in the wrong place.
    check(full, "", &schema("FullSend"), &["routes"], &["channel", "target_type"]);
    check(full, "/routes/0", &schema("Route"), &["to"], &[]);
    check(short, "/0", &schema("Recipient")["anyOf"][1], &[], &[]);
    check(short, "/options", &schema("SendOptions"), &[], &[]);
    check(short, "/options/callback", &schema("SendOptions")["properties"]["callback"], &[], &[]);
    check(short, "/push", &schema("Push"), &[], &[]);
    check(short, "/push/ios", &schema("Push")["properties"]["ios"], &[], &[]);
    check(short, "/push/android", &schema("Push")["properties"]["android"], &[], &[]);
}

#[test]
fn of_every_type_of_message() {
    let message = schema("Message");
    for of in MessageType::ALL.map(MessageType::as_str) {
        let text = format!(r#"{{"channel":"c","to":["a"],"message":{{"type":"{of}"}}}}"#);
        let place = message["discriminator"]["mapping"][of].as_str().unwrap();
        check(&text, "/message", &schema(place.rsplit('/').next().unwrap()), &[], &[]);
    }
}

#[test]
fn of_a_resend() {
    let resend = || drop(crate::api::dto::resend::decode("{}", SystemTime::UNIX_EPOCH, Duration::ZERO));
    let mut found = asked("", resend);
    // Asked for only if it is there.
    found.insert("statuses".to_owned());
    assert_eq!(found, names(&schema("ResendRequest")));
}

/// What the adapter finds wrong with this block.
fn prepare(provider: &Provider, block: &str) -> Vec<Fault> {
    let channel = build_channel(provider, "http://127.0.0.1:1", provider.sandbox.settings).unwrap();
    let route = Route {
        channel: ChannelName::parse("c").unwrap(),
        sender: Some("10001".into()),
        to: Arc::new(["1"].into_iter().collect()),
        target_type: None,
        message: Arc::new(Message::Text { text: "hi".into() }),
        ext: None,
        push: None,
        provider_options: Some(JsonText::parse(block, 32).unwrap()),
        sealed_options: None,
        only: None,
    };
    channel.adapter.prepare(&Arc::new(route)).err().unwrap_or_default()
}

/// Checks a block and those inside it; `around` puts a block of `fields` where it belongs.
fn check_block(
    provider: &Provider,
    pointer: &str,
    fields: &[OptionField],
    schema: &Value,
    around: &dyn Fn(String) -> String,
) {
    let found = asked(pointer, || drop(prepare(provider, &around("{}".to_owned()))));
    assert_eq!(found, names(schema), "{pointer}");
    for field in fields {
        let name = field.name;
        let at = format!("{pointer}/{name}");
        let faults = |value: &str| {
            let faults = prepare(provider, &around(format!(r#"{{"{name}":{value}}}"#)));
            let found = faults.into_iter().filter(|fault| fault.pointer.starts_with(&at));
            found.map(|fault| fault.code).collect::<Vec<_>>()
        };
        let unreadable =
            [FaultCode::UnknownField, FaultCode::WrongType, FaultCode::OutOfRange, FaultCode::TooLarge];
        let example = faults(field.example);
        assert!(!example.iter().any(|code| unreadable.contains(code)), "{at}: {example:?}");
        assert_eq!(faults("null"), [FaultCode::WrongType], "{at}");
        if let OptionShape::Fields(inner) = field.shape {
            let deeper = |block: String| around(format!(r#"{{"{name}":{block}}}"#));
            check_block(provider, &at, inner, &schema["properties"][name], &deeper);
        }
    }
}

#[test]
fn of_every_provider_block() {
    let blocks = schema("ProviderOptions");
    for provider in REGISTRY {
        let pointer = format!("/provider_options/{}", provider.name);
        let block = &blocks["properties"][provider.name];
        check_block(provider, &pointer, provider.options, block, &|block| block);
    }
    assert_eq!(names(&blocks), REGISTRY.iter().map(|provider| provider.name.to_owned()).collect());
}
