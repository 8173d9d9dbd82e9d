//! A channel without HTTP, and requests written as the fixtures write them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::{Config, File, FileFormat};
use serde_json::{Value, json as value};

use crate::adapter::channel::CommonSettings;
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::wire::WireRequest;
use crate::adapter::{Adapter, Answer, Attempt, Auth, Call, Prepared, Sign, Verdict};
use crate::domain::fault::Fault;
use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::{Audio, Custom, File as Attachment, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow};
use crate::domain::route::{Push, Route, TargetType};
use crate::providers::tencent_tim::PROVIDER;

/// The time of the vector that has the fixtures' application and administrator.
pub(super) fn vector_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_683_200)
}

/// The credentials of that vector.
pub(super) const FIXTURE_KEYS: &str = "
sdk_app_id = 88888888
identifier = 'admin'
secret_key = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
";

/// One channel.
pub(super) struct Rig {
    pub(super) adapter: Box<dyn Adapter>,
    pub(super) sign: Box<dyn Sign>,
}

/// Builds a channel from `default.toml` and `keys`, as the configuration does.
pub(super) fn build(keys: &str) -> Result<Rig, Vec<Fault>> {
    let merged: Value = Config::builder()
        .add_source(File::from_str(PROVIDER.defaults, FileFormat::Toml))
        .add_source(File::from_str(keys, FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize)
        .unwrap();
    let json = merged.to_string();
    let mut fields = Fields::parse(&json, "", Numbers::OrText).unwrap();
    let built = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call)
        .and_then(|common| (PROVIDER.build)(&common, &mut fields));
    let faults = fields.finish();
    match built {
        Some((adapter, Auth::Sign(sign))) if faults.is_empty() => Ok(Rig { adapter, sign }),
        _ => Err(faults),
    }
}

/// A channel with the fixtures' credentials.
pub(super) fn rig() -> Rig {
    build(FIXTURE_KEYS).unwrap()
}

/// All fixtures of one kind; the count guards against files that nobody reads.
pub(super) fn fixtures(kind: &str, count: usize) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tencent-tim");
    let mut found: Vec<Value> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .filter(|fixture: &Value| fixture["kind"] == kind)
        .collect();
    found.sort_by_key(|fixture| fixture["id"].to_string());
    assert_eq!(found.len(), count, "{kind}");
    found
}

/// Everybody in `list`.
pub(super) fn everybody(list: &RecipientList) -> Positions {
    Positions::Range(0..narrow(list.len()))
}

/// Calls with one nonce.
pub(super) fn call<'a>(recipients: Recipients<'a>, nonce: u64) -> Call<'a> {
    Call { recipients, now: vector_time(), nonce }
}

/// Signs a request at `now`.
pub(super) fn sign(rig: &Rig, route: &Route, now: SystemTime, nonce: u64, request: &mut WireRequest) {
    rig.sign.sign(&Attempt { route, now, nonce }, request).unwrap();
}

/// The route of an intent and its prepared form.
pub(super) fn prepare(rig: &Rig, intent: &Value) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(intent).unwrap();
    let prepared = rig.adapter.prepare(&route);
    let prepared = prepared.unwrap_or_else(|faults| panic!("{intent}: {faults:?}"));
    (route, prepared)
}

/// The faults of an intent.
pub(super) fn faults(intent: &Value) -> Vec<Fault> {
    let result = rig().adapter.prepare(&route(intent).unwrap());
    result.err().unwrap_or_default()
}

/// A text to two accounts.
pub(super) fn text_intent() -> Value {
    value!({"to": ["bonnie", "rong"], "message": {"type": "text", "text": "hi, beauty"}})
}

/// The outcomes that a verdict means for `count` recipients.
pub(super) fn settle(answer: Answer, count: usize) -> Outcomes {
    match answer.verdict {
        Verdict::Answered(outcomes) => outcomes,
        Verdict::Refused { failure, .. } => Outcomes::same(Outcome::failed(failure), count),
        Verdict::Undecided(failure) => Outcomes::same(Outcome::unknown(failure), count),
        Verdict::Listed(_) => panic!("this provider never lists whom it served"),
    }
}

/// The route of an intent; `None` for a message that the API refuses before any adapter sees it.
pub(super) fn route(intent: &Value) -> Option<Arc<Route>> {
    let to: RecipientList = intent["to"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    Some(Arc::new(Route {
        channel: ChannelName::parse("tim").unwrap(),
        sender: text(&intent["from"]),
        to: Arc::new(to),
        target_type: intent["target_type"].as_str().map(|name| {
            let all = TargetType::ALL.into_iter();
            all.clone().find(|known| known.as_str() == name).unwrap()
        }),
        message: Arc::new(message(&intent["message"])?),
        ext: text_or_json(&intent["ext"]),
        push: intent.get("push").map(push),
        provider_options: json(&intent["provider_options"]["tencent_tim"]),
    }))
}

fn text(value: &Value) -> Option<Arc<str>> {
    value.as_str().map(Arc::from)
}

fn json(value: &Value) -> Option<JsonText> {
    (!value.is_null()).then(|| JsonText::parse(&value.to_string(), 32).unwrap())
}

fn text_or_json(value: &Value) -> Option<TextOrJson> {
    match text(value) {
        Some(text) => Some(TextOrJson::Text(text)),
        None => json(value).map(TextOrJson::Json),
    }
}

fn pixels(value: &Value) -> Option<u32> {
    value.as_u64().map(|pixels| u32::try_from(pixels).unwrap())
}

fn push(push: &Value) -> Push {
    Push {
        disabled: push["disabled"].as_bool(),
        title: text(&push["title"]),
        body: text(&push["body"]),
        ext: text_or_json(&push["ext"]),
        ios_sound: text(&push["ios"]["sound"]),
        ios_badge: push["ios"]["badge"].as_bool(),
        android_sound: text(&push["android"]["sound"]),
    }
}

fn thumbnail(message: &Value) -> Thumbnail {
    Thumbnail {
        url: text(&message["thumbnail_url"]),
        width: pixels(&message["thumbnail_width"]),
        height: pixels(&message["thumbnail_height"]),
        size_bytes: message["thumbnail_size_bytes"].as_u64(),
        format: text(&message["thumbnail_format"]),
        secret: text(&message["thumbnail_secret"]),
    }
}

fn message(message: &Value) -> Option<Message> {
    let kind = message["type"].as_str()?;
    Some(match kind {
        "text" => Message::Text { text: text(&message["text"])? },
        "location" => Message::Location(Location {
            latitude: message["latitude"].as_f64()?,
            longitude: message["longitude"].as_f64()?,
            address: text(&message["address"]),
        }),
        "command" => Message::Command { action: text(&message["action"])?, params: json(&message["params"]) },
        "custom" => Message::Custom(custom(message)),
        "face" => Message::Face { index: message["index"].as_i64()?, data: text(&message["data"]) },
        "native" => Message::Native { payload: json(&message["payload"])? },
        _ => return media(kind, message),
    })
}

fn custom(message: &Value) -> Custom {
    Custom {
        event: text(&message["event"]),
        exts: message["exts"].as_object().map(|exts| {
            let pair = |(key, value): (&String, &Value)| (key.as_str().into(), text(value).unwrap());
            exts.iter().map(pair).collect()
        }),
        data: text_or_json(&message["data"]),
        description: text(&message["description"]),
        extension: text(&message["extension"]),
        sound: text(&message["sound"]),
    }
}

fn media(kind: &str, message: &Value) -> Option<Message> {
    let url = text(&message["url"])?;
    let [filename, secret, id, format] =
        ["filename", "secret", "id", "format"].map(|name| text(&message[name]));
    let size_bytes = message["size_bytes"].as_u64();
    let duration_seconds = message["duration_seconds"].as_f64();
    Some(match kind {
        "image" => Message::Image(Image {
            url,
            filename,
            size_bytes,
            width: pixels(&message["width"]),
            height: pixels(&message["height"]),
            format,
            id,
            secret,
            thumbnail: thumbnail(message),
        }),
        "audio" => Message::Audio(Audio { url, filename, duration_seconds, size_bytes, id, secret }),
        "video" => Message::Video(Video {
            url,
            filename,
            duration_seconds,
            size_bytes,
            format,
            secret,
            thumbnail: thumbnail(message),
        }),
        "file" => Message::File(Attachment { url, filename, size_bytes, id, secret }),
        _ => return None,
    })
}
