//! Routes from requests, as the fixtures write them.

use std::sync::Arc;

use serde_json::Value;

use crate::adapter::fields::read_id;
use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, MAX_PASSTHROUGH_DEPTH, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::recipients::RecipientList;
use crate::domain::route::{Push, Route, TargetType};

/// Every member that some message has.
const MESSAGE_MEMBERS: [&str; 30] = [
    "type",
    "text",
    "url",
    "filename",
    "size_bytes",
    "width",
    "height",
    "format",
    "id",
    "secret",
    "duration_seconds",
    "thumbnail_url",
    "thumbnail_width",
    "thumbnail_height",
    "thumbnail_size_bytes",
    "thumbnail_format",
    "thumbnail_secret",
    "latitude",
    "longitude",
    "address",
    "action",
    "params",
    "event",
    "exts",
    "data",
    "description",
    "extension",
    "sound",
    "index",
    "payload",
];

/// Fails on a member that nobody here reads: a fixture must not say something that no test looks at.
fn expect_members(given: &Value, known: &[&str]) {
    let unknown =
        given.as_object().and_then(|members| members.keys().find(|name| !known.contains(&name.as_str())));
    assert_eq!(unknown, None, "nobody reads this member of {given}");
}

/// The route of an intent with the options for `provider`; `None` if the API would refuse its message or
/// recipients before any adapter sees them. That nobody is in `to` is for the adapter or the engine to say.
pub(crate) fn route(provider: &str, intent: &Value) -> Option<Arc<Route>> {
    expect_members(intent, &["from", "to", "target_type", "message", "ext", "push", "provider_options"]);
    expect_members(&intent["message"], &MESSAGE_MEMBERS);
    expect_members(&intent["push"], &["disabled", "title", "body", "ext", "ios", "android"]);
    expect_members(&intent["push"]["ios"], &["sound", "badge"]);
    expect_members(&intent["push"]["android"], &["sound"]);
    let mut to = RecipientList::default();
    for entry in intent["to"].as_array()? {
        to.push(&id(entry)?);
    }
    let target_type = intent["target_type"].as_str().map(|name| {
        let known = TargetType::ALL.into_iter().find(|known| known.as_str() == name);
        known.unwrap_or_else(|| panic!("no target type is named {name}"))
    });
    Some(Arc::new(Route {
        channel: ChannelName::parse("test")?,
        sender: id(&intent["from"]),
        to: Arc::new(to),
        target_type,
        message: Arc::new(message(&intent["message"])?),
        ext: text_or_json(&intent["ext"]),
        push: intent.get("push").map(push),
        provider_options: json(&intent["provider_options"][provider]),
        sealed_options: None,
        only: None,
    }))
}

fn message(given: &Value) -> Option<Message> {
    let kind = given["type"].as_str()?;
    Some(match kind {
        "text" => Message::Text { text: text(&given["text"])? },
        "location" => Message::Location(Location {
            latitude: given["latitude"].as_f64()?,
            longitude: given["longitude"].as_f64()?,
            address: text(&given["address"]),
        }),
        "command" => Message::Command { action: text(&given["action"])?, params: json(&given["params"]) },
        "custom" => Message::Custom(custom(given)?),
        "face" => Message::Face { index: given["index"].as_i64()?, data: text(&given["data"]) },
        "native" => Message::Native { payload: json(&given["payload"])? },
        _ => return media(kind, given),
    })
}

fn media(kind: &str, given: &Value) -> Option<Message> {
    let url = text(&given["url"])?;
    let [filename, format, id, secret] =
        ["filename", "format", "id", "secret"].map(|name| text(&given[name]));
    let size_bytes = given["size_bytes"].as_u64();
    let duration_seconds = given["duration_seconds"].as_f64();
    let (width, height, thumbnail) = (pixels(&given["width"]), pixels(&given["height"]), thumbnail(given));
    Some(match kind {
        "image" => {
            Message::Image(Image { url, filename, size_bytes, width, height, format, id, secret, thumbnail })
        }
        "audio" => Message::Audio(Audio { url, filename, duration_seconds, size_bytes, id, secret }),
        "video" => {
            Message::Video(Video { url, filename, duration_seconds, size_bytes, format, secret, thumbnail })
        }
        "file" => Message::File(File { url, filename, size_bytes, id, secret }),
        _ => return None,
    })
}

fn thumbnail(given: &Value) -> Thumbnail {
    Thumbnail {
        url: text(&given["thumbnail_url"]),
        width: pixels(&given["thumbnail_width"]),
        height: pixels(&given["thumbnail_height"]),
        size_bytes: given["thumbnail_size_bytes"].as_u64(),
        format: text(&given["thumbnail_format"]),
        secret: text(&given["thumbnail_secret"]),
    }
}

fn custom(given: &Value) -> Option<Custom> {
    let pair = |(name, value): (&String, &Value)| Some((name.as_str().into(), text(value)?));
    let exts = match given["exts"].as_object() {
        Some(exts) => Some(exts.iter().map(pair).collect::<Option<Vec<_>>>()?),
        None => None,
    };
    Some(Custom {
        event: text(&given["event"]),
        exts,
        data: text_or_json(&given["data"]),
        description: text(&given["description"]),
        extension: text(&given["extension"]),
        sound: text(&given["sound"]),
    })
}

fn push(given: &Value) -> Push {
    Push {
        disabled: given["disabled"].as_bool(),
        title: text(&given["title"]),
        body: text(&given["body"]),
        ext: text_or_json(&given["ext"]),
        ios_sound: text(&given["ios"]["sound"]),
        ios_badge: given["ios"]["badge"].as_bool(),
        android_sound: text(&given["android"]["sound"]),
    }
}

fn id(given: &Value) -> Option<Arc<str>> {
    read_id(&given.to_string())
}

fn text(given: &Value) -> Option<Arc<str>> {
    given.as_str().map(Arc::from)
}

fn pixels(given: &Value) -> Option<u32> {
    given.as_u64().map(|pixels| u32::try_from(pixels).unwrap())
}

fn json(given: &Value) -> Option<JsonText> {
    (!given.is_null()).then(|| JsonText::parse(&given.to_string(), MAX_PASSTHROUGH_DEPTH).unwrap())
}

fn text_or_json(given: &Value) -> Option<TextOrJson> {
    match text(given) {
        Some(text) => Some(TextOrJson::Text(text)),
        None => json(given).map(TextOrJson::Json),
    }
}
