//! What the tests of this provider share: channels from settings, routes from a fixture's `intent`, calls.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::adapter::channel::CommonSettings;
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{
    Adapter, Answer, Attempt, Audience, Auth, Call, DecodeError, Prepared, Token, TokenGrant, Verdict,
};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::fault::Fault;
use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, MAX_PASSTHROUGH_DEPTH, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow};
use crate::domain::route::{Push, Route, TargetType};
use crate::providers::easemob_chatroom::{NAME, PROVIDER};

/// Fixed time of every test.
pub(super) const NOW: SystemTime = UNIX_EPOCH;

/// Keys of the channel that the fixtures assume.
pub(super) const FIXTURE_KEYS: &str = r#"
org_name = "test-org"
app_name = "test-app"
client_id = "TEST-ID"
client_secret = "TEST-SECRET"
"#;

/// One channel under test.
pub(super) struct Rig {
    pub(super) adapter: Box<dyn Adapter>,
    pub(super) grant: Box<dyn TokenGrant>,
}

/// Builds a channel from `default.toml` and more keys, the way the configuration does.
pub(super) fn build(keys: &str) -> Result<Rig, Vec<Fault>> {
    let merged = config::Config::builder()
        .add_source(config::File::from_str(PROVIDER.defaults, config::FileFormat::Toml))
        .add_source(config::File::from_str("base_url = \"https://a1.easemob.com\"", config::FileFormat::Toml))
        .add_source(config::File::from_str(keys, config::FileFormat::Toml))
        .build()
        .unwrap();
    let json = merged.try_deserialize::<Value>().unwrap().to_string();
    let mut fields = Fields::parse(&json, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, PROVIDER.most_recipients_per_call);
    let built = common.and_then(|common| (PROVIDER.build)(&common, &mut fields));
    let faults = fields.finish();
    match built {
        Some((adapter, Auth::Token(grant))) if faults.is_empty() => Ok(Rig { adapter, grant }),
        Some((_, Auth::Sign(_))) => panic!("this provider has tokens"),
        Some(_) | None => Err(faults),
    }
}

impl Rig {
    /// The request of one call as it would go out with `token`.
    pub(super) fn request(
        &self,
        route: &Route,
        prepared: &dyn Prepared,
        call: &Call<'_>,
        token: &str,
    ) -> WireRequest {
        let mut request = prepared.encode(call);
        assert!(!request.headers.contains_key("authorization"));
        let attempt = Attempt { route, now: NOW, nonce: 0 };
        let token = Token { value: Secret::new(token), issued_at: NOW, lifetime: None, refresh_at: None };
        self.grant.attach(&attempt, &token, &mut request).unwrap();
        request
    }
}

/// The recipients of a prepared route, each once, as the engine would call them.
pub(super) fn recipients(route: &Route, prepared: &dyn Prepared) -> Arc<RecipientList> {
    match prepared.audience() {
        Audience::To => {
            let mut seen = std::collections::HashSet::new();
            Arc::new(route.to.iter().filter(|id| seen.insert(*id)).collect())
        }
        Audience::Members { members, .. } => members,
        Audience::Everyone => panic!("this provider has no send-to-all"),
    }
}

/// A call to all of `list` at `positions`.
pub(super) fn call<'a>(list: &'a RecipientList, positions: &'a Positions) -> Call<'a> {
    Call { recipients: Recipients::new(list, positions), now: NOW, nonce: 0 }
}

/// All positions of a list.
pub(super) fn all(list: &RecipientList) -> Positions {
    Positions::Range(0..narrow(list.len()))
}

/// What the engine makes of an answer that is not repeated.
pub(super) fn settle(answer: Result<Answer, DecodeError>, response: &WireResponse, count: usize) -> Outcomes {
    match answer.map(|answer| answer.verdict) {
        Ok(Verdict::Answered(outcomes)) => outcomes,
        Ok(Verdict::Refused { failure, .. }) => Outcomes::same(Outcome::failed(failure), count),
        Ok(Verdict::Undecided(failure)) => Outcomes::same(Outcome::unknown(failure), count),
        Ok(Verdict::Listed(_)) => panic!("this provider has no send-to-all"),
        Err(DecodeError::NotDocumented) => {
            // Errors are all decided by the adapter, since its sheet has a row for every status.
            assert!(response.status.as_u16() < 400);
            let failure = Failure::transport(FailureKind::ProviderError, Cause::UnreadableAnswer);
            Outcomes::same(Outcome::unknown(failure), count)
        }
    }
}

/// Reads a fixture's `intent`; `None` where the API itself refuses it.
pub(super) fn route(intent: &Value) -> Option<Arc<Route>> {
    let to = intent["to"].as_array()?;
    if to.is_empty() {
        return None;
    }
    let target_type = intent
        .get("target_type")
        .map(|name| TargetType::ALL.into_iter().find(|known| Some(known.as_str()) == name.as_str()).unwrap());
    Some(Arc::new(Route {
        channel: ChannelName::parse("rooms")?,
        sender: text(intent, "from"),
        to: Arc::new(to.iter().filter_map(Value::as_str).collect()),
        target_type,
        message: Arc::new(message(&intent["message"])?),
        ext: intent.get("ext").map(text_or_json),
        push: intent.get("push").map(|push| Push { title: text(push, "title"), ..Push::default() }),
        provider_options: intent.pointer(&format!("/provider_options/{NAME}")).map(json),
    }))
}

fn message(given: &Value) -> Option<Message> {
    let url = text(given, "url");
    Some(match given["type"].as_str()? {
        "text" => Message::Text { text: text(given, "text")? },
        "image" => Message::Image(Image {
            url: url?,
            filename: text(given, "filename"),
            size_bytes: given["size_bytes"].as_u64(),
            width: number(given, "width"),
            height: number(given, "height"),
            format: text(given, "format"),
            id: text(given, "id"),
            secret: text(given, "secret"),
            thumbnail: thumbnail(given),
        }),
        "audio" => Message::Audio(Audio {
            url: url?,
            filename: text(given, "filename"),
            duration_seconds: given["duration_seconds"].as_f64(),
            size_bytes: given["size_bytes"].as_u64(),
            id: text(given, "id"),
            secret: text(given, "secret"),
        }),
        "video" => Message::Video(Video {
            url: url?,
            filename: text(given, "filename"),
            duration_seconds: given["duration_seconds"].as_f64(),
            size_bytes: given["size_bytes"].as_u64(),
            format: text(given, "format"),
            secret: text(given, "secret"),
            thumbnail: thumbnail(given),
        }),
        "file" => Message::File(File {
            url: url?,
            filename: text(given, "filename"),
            size_bytes: given["size_bytes"].as_u64(),
            id: text(given, "id"),
            secret: text(given, "secret"),
        }),
        "location" => Message::Location(Location {
            latitude: given["latitude"].as_f64()?,
            longitude: given["longitude"].as_f64()?,
            address: text(given, "address"),
        }),
        "command" => {
            Message::Command { action: text(given, "action")?, params: given.get("params").map(json) }
        }
        "custom" => Message::Custom(custom(given)?),
        "face" => Message::Face { index: given["index"].as_i64()?, data: text(given, "data") },
        "native" => Message::Native { payload: json(&given["payload"]) },
        other => panic!("no such message type: {other}"),
    })
}

fn custom(given: &Value) -> Option<Custom> {
    let exts = match given.get("exts").and_then(Value::as_object) {
        None => None,
        Some(exts) => Some(
            exts.iter()
                .map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
                .collect::<Option<Vec<_>>>()?,
        ),
    };
    Some(Custom {
        event: text(given, "event"),
        exts,
        data: given.get("data").map(text_or_json),
        description: text(given, "description"),
        extension: text(given, "extension"),
        sound: text(given, "sound"),
    })
}

fn thumbnail(given: &Value) -> Thumbnail {
    Thumbnail {
        url: text(given, "thumbnail_url"),
        width: number(given, "thumbnail_width"),
        height: number(given, "thumbnail_height"),
        size_bytes: given["thumbnail_size_bytes"].as_u64(),
        format: text(given, "thumbnail_format"),
        secret: text(given, "thumbnail_secret"),
    }
}

fn text(given: &Value, name: &str) -> Option<Arc<str>> {
    given.get(name)?.as_str().map(Arc::from)
}

fn number(given: &Value, name: &str) -> Option<u32> {
    given.get(name)?.as_u64().and_then(|value| value.try_into().ok())
}

fn json(given: &Value) -> JsonText {
    JsonText::parse(&given.to_string(), MAX_PASSTHROUGH_DEPTH).unwrap()
}

fn text_or_json(given: &Value) -> TextOrJson {
    match given.as_str() {
        Some(text) => TextOrJson::Text(text.into()),
        None => TextOrJson::Json(json(given)),
    }
}
