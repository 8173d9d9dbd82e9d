//! What the tests of this folder share: a channel from settings, a route from a request, one send.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::PROVIDER;
use crate::adapter::channel::CommonSettings;
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{
    Adapter, Answer, Attempt, Audience, Auth, Call, DecodeError, Prepared, Token, TokenGrant, Verdict,
};
use crate::domain::fault::Fault;
use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, MAX_PASSTHROUGH_DEPTH, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::Outcome;
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow};
use crate::domain::route::{Push, Route, TargetType};

/// A channel that is ready to send.
pub(super) struct TestChannel {
    pub(super) adapter: Box<dyn Adapter>,
    pub(super) token: Box<dyn TokenGrant>,
}

/// When every test takes place.
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Reads TOML as the JSON that settings are read from.
pub(super) fn from_toml(text: &str) -> Map<String, Value> {
    let file = config::File::from_str(text, config::FileFormat::Toml);
    let settings = config::Config::builder().add_source(file).build().unwrap();
    settings.try_deserialize().unwrap()
}

/// Builds a channel from `keys` over the provider's defaults.
pub(super) fn try_channel(keys: &Value) -> Result<TestChannel, Vec<Fault>> {
    let mut settings = from_toml(PROVIDER.defaults);
    settings.insert("base_url".into(), "http://127.0.0.1:10002".into());
    settings.extend(keys.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    let text = Value::from(settings).to_string();
    let mut fields = Fields::parse(&text, "", Numbers::OrText).unwrap();
    let built = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call)
        .and_then(|common| (PROVIDER.build)(&common, &mut fields));
    let faults = fields.finish();
    match built {
        Some((adapter, Auth::Token(token))) if faults.is_empty() => Ok(TestChannel { adapter, token }),
        _ => Err(faults),
    }
}

/// A channel with the credentials of the fixtures and the extra keys of one.
pub(super) fn channel(keys: &Value) -> TestChannel {
    let mut all = json!({"admin_user_id": "imAdmin", "secret": "openIM123"});
    for (key, value) in keys.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    try_channel(&all).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn text(value: &Value) -> Option<Arc<str>> {
    value.as_str().map(Arc::from)
}

fn json_text(value: &Value) -> JsonText {
    JsonText::parse(&value.to_string(), MAX_PASSTHROUGH_DEPTH).unwrap()
}

fn text_or_json(value: &Value) -> Option<TextOrJson> {
    match (value.as_str(), value.is_null()) {
        (Some(text), _) => Some(TextOrJson::Text(text.into())),
        (None, true) => None,
        (None, false) => Some(TextOrJson::Json(json_text(value))),
    }
}

fn pixels(value: &Value) -> Option<u32> {
    value.as_u64().map(|pixels| u32::try_from(pixels).unwrap())
}

fn thumbnail(json: &Value) -> Thumbnail {
    Thumbnail {
        url: text(&json["thumbnail_url"]),
        width: pixels(&json["thumbnail_width"]),
        height: pixels(&json["thumbnail_height"]),
        size_bytes: json["thumbnail_size_bytes"].as_u64(),
        format: text(&json["thumbnail_format"]),
        secret: text(&json["thumbnail_secret"]),
    }
}

fn custom(json: &Value) -> Custom {
    let exts = json["exts"]
        .as_object()
        .map(|exts| exts.iter().map(|(key, value)| (key.as_str().into(), text(value).unwrap())).collect());
    Custom {
        event: text(&json["event"]),
        exts,
        data: text_or_json(&json["data"]),
        description: text(&json["description"]),
        extension: text(&json["extension"]),
        sound: text(&json["sound"]),
    }
}

pub(super) fn message(json: &Value) -> Message {
    match json["type"].as_str().unwrap() {
        "text" => Message::Text { text: text(&json["text"]).unwrap() },
        "location" => Message::Location(Location {
            latitude: json["latitude"].as_f64().unwrap(),
            longitude: json["longitude"].as_f64().unwrap(),
            address: text(&json["address"]),
        }),
        "command" => Message::Command { action: text(&json["action"]).unwrap(), params: None },
        "custom" => Message::Custom(custom(json)),
        "face" => Message::Face { index: json["index"].as_i64().unwrap(), data: text(&json["data"]) },
        "native" => Message::Native { payload: json_text(&json["payload"]) },
        _ => media(json),
    }
}

fn media(json: &Value) -> Message {
    let url = text(&json["url"]).unwrap();
    let (filename, id, secret) = (text(&json["filename"]), text(&json["id"]), text(&json["secret"]));
    let (size_bytes, format) = (json["size_bytes"].as_u64(), text(&json["format"]));
    let duration_seconds = json["duration_seconds"].as_f64();
    match json["type"].as_str().unwrap() {
        "image" => Message::Image(Image {
            url,
            filename,
            size_bytes,
            width: pixels(&json["width"]),
            height: pixels(&json["height"]),
            format,
            id,
            secret,
            thumbnail: thumbnail(json),
        }),
        "audio" => Message::Audio(Audio { url, filename, duration_seconds, size_bytes, id, secret }),
        "video" => Message::Video(Video {
            url,
            filename,
            duration_seconds,
            size_bytes,
            format,
            secret,
            thumbnail: thumbnail(json),
        }),
        "file" => Message::File(File { url, filename, size_bytes, id, secret }),
        other => panic!("no message type is named {other}"),
    }
}

fn push(json: &Value) -> Push {
    Push {
        disabled: json["disabled"].as_bool(),
        title: text(&json["title"]),
        body: text(&json["body"]),
        ext: text_or_json(&json["ext"]),
        ios_sound: text(&json["ios"]["sound"]),
        ios_badge: json["ios"]["badge"].as_bool(),
        android_sound: text(&json["android"]["sound"]),
    }
}

/// The route that a request asks for.
pub(super) fn route(intent: &Value) -> Arc<Route> {
    let to: RecipientList = intent["to"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let target_type = intent["target_type"].as_str().map(|name| {
        let found = TargetType::ALL.into_iter().find(|known| known.as_str() == name);
        found.unwrap()
    });
    let options = &intent["provider_options"][PROVIDER.name];
    Arc::new(Route {
        channel: ChannelName::parse("test").unwrap(),
        sender: text(&intent["from"]),
        to: Arc::new(to),
        target_type,
        message: Arc::new(message(&intent["message"])),
        ext: text_or_json(&intent["ext"]),
        push: intent.get("push").map(push),
        provider_options: (!options.is_null()).then(|| json_text(options)),
    })
}

/// A token as a grant gives it.
pub(super) fn token(value: &str) -> Token {
    Token { value: Secret::new(value), issued_at: now(), lifetime: None, refresh_at: None }
}

impl TestChannel {
    /// What the caller's route becomes, with the token of the fixtures.
    pub(super) fn authorized(&self, route: &Route, mut request: WireRequest) -> WireRequest {
        let attempt = Attempt { route, now: now(), nonce: 7 };
        self.token.attach(&attempt, &token("TEST-ADMIN-TOKEN"), &mut request).unwrap();
        request
    }
}

/// Each recipient of a report with its outcome; `None` = left to the HTTP status, or no answer came.
pub(super) type Results = Vec<(String, Option<Outcome>)>;

/// Sends like the engine does: repeats left out, cut into calls, merged in order.
pub(super) fn send(
    channel: &TestChannel,
    route: &Arc<Route>,
    mut exchange: impl FnMut(WireRequest) -> Option<WireResponse>,
) -> Results {
    let prepared = channel.adapter.prepare(route).unwrap();
    if matches!(prepared.audience(), Audience::Everyone) {
        let nobody = Positions::Range(0..0);
        let call = call(route, &nobody);
        let response = exchange(channel.authorized(route, prepared.encode(&call)));
        let verdict = prepared.decode(&call, &response.unwrap()).unwrap().verdict;
        let Verdict::Listed(listed) = verdict else { panic!("{verdict:?}") };
        return listed.into_iter().map(|(id, outcome)| (id.into(), Some(outcome))).collect();
    }
    let mut distinct: Vec<u32> = Vec::new();
    for position in 0..narrow(route.to.len()) {
        if !distinct.iter().any(|known| route.to.id(*known) == route.to.id(position)) {
            distinct.push(position);
        }
    }
    let count = distinct.len();
    let positions = Positions::Picked(distinct.into(), 0..count);
    let mut results = Results::new();
    for chunk in positions.chunks(prepared.chunking().recipients_per_call) {
        let call = call(route, &chunk);
        let response = exchange(channel.authorized(route, prepared.encode(&call)));
        let answer = response.map(|response| prepared.decode(&call, &response));
        for (offset, id) in call.recipients.iter().enumerate() {
            let outcome = answer.as_ref().and_then(|answer| settled(answer, offset));
            results.push((id.to_owned(), outcome));
        }
    }
    results
}

/// The call to some recipients of a route.
pub(super) fn call<'a>(route: &'a Route, positions: &'a Positions) -> Call<'a> {
    Call { recipients: Recipients::new(&route.to, positions), now: now(), nonce: 1 }
}

/// The outcome that an answer gives one recipient.
pub(super) fn settled(answer: &Result<Answer, DecodeError>, offset: usize) -> Option<Outcome> {
    Some(match &answer.as_ref().ok()?.verdict {
        Verdict::Answered(outcomes) => outcomes.get(offset).unwrap().clone(),
        Verdict::Refused { failure, .. } => Outcome::failed(failure.clone()),
        Verdict::Undecided(failure) => Outcome::unknown(failure.clone()),
        Verdict::Listed(listed) => panic!("nobody asked for a list: {listed:?}"),
    })
}

/// A text to two recipients, prepared.
pub(super) fn prepared_text(channel: &TestChannel) -> (Arc<Route>, Box<dyn Prepared>) {
    let route = route(&json!({"from": "s", "to": ["a", "b"], "message": {"type": "text", "text": "hi"}}));
    let prepared = channel.adapter.prepare(&route).unwrap();
    (route, prepared)
}
