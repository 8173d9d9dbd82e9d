//! What the tests share: a channel from settings, a route from a request, and the engine in short.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::adapter::fields::{Numbers, read_id};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Attempt, Call, Repeat, Verdict};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::id::ChannelName;
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::Outcome;
use crate::domain::recipients::{Positions, RecipientList, Recipients};
use crate::domain::route::Push;

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

pub(super) fn channel(config: &Value) -> TestChannel {
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
        push: fields.object("push", |push| Some(Push { title: push.text("title"), ..Push::default() })),
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
        "text" => Message::Text { text: fields.required_text("text")? },
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
        "command" => {
            Message::Command { action: fields.required_text("action")?, params: fields.json("params") }
        }
        "custom" => Message::Custom(Custom {
            event: fields.text("event"),
            exts: fields.json("exts").map(|_| vec![("k".into(), "v".into())]),
            data: fields.text_or_json("data"),
            ..Custom::default()
        }),
        "face" => Message::Face { index: fields.i64("index")?, data: None },
        "native" => Message::Native { payload: fields.json("payload")? },
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

pub(super) fn noon() -> SystemTime {
    "2026-11-21T12:00:00Z".parse::<jiff::Timestamp>().unwrap().into()
}

/// What the engine does around an adapter, in short: repeats, refused ids, chunks, one call each.
///
/// `answer` gets every signed request; the outcome of a recipient is `None` where it says nothing usable.
pub(super) fn send(
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
            Ok(()) if !seen.insert(id) => Some(Failure::gateway(FailureKind::DuplicateRecipient)),
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
        let call = Call { recipients: Recipients::new(&route.to, &chunk), now: noon(), nonce: 1 };
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
