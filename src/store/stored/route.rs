//! The stored form of a route without its recipients.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::Message;
use crate::domain::recipients::RecipientList;
use crate::domain::route::{Push, Route, TargetType};
use crate::store::stored::message::{StoredMessage, optional_text_or_json};
use crate::store::stored::{Unreadable, VERSION, from_document_of, json, to_document_of};

/// The version of a route whose options are sealed.
const SEALED_VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
struct StoredRoute {
    sender: Option<Arc<str>>,
    target_type: Option<Arc<str>>,
    #[serde(serialize_with = "StoredMessage::serialize", deserialize_with = "message")]
    message: Arc<Message>,
    #[serde(with = "optional_text_or_json")]
    ext: Option<TextOrJson>,
    push: Option<WithPush>,
    #[serde(with = "json::optional_text")]
    provider_options: Option<JsonText>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json::optional_bytes")]
    sealed_options: Option<Arc<[u8]>>,
}

#[derive(Serialize, Deserialize)]
struct WithPush(#[serde(with = "StoredPush")] Push);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Push")]
struct StoredPush {
    disabled: Option<bool>,
    title: Option<Arc<str>>,
    body: Option<Arc<str>>,
    #[serde(with = "optional_text_or_json")]
    ext: Option<TextOrJson>,
    ios_sound: Option<Arc<str>>,
    ios_badge: Option<bool>,
    android_sound: Option<Arc<str>>,
}

fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Message>, D::Error> {
    StoredMessage::deserialize(deserializer).map(Arc::new)
}

/// Writes everything but the channel, `to` and whom a resend goes to, which have columns of their own.
pub(super) fn encode_route(route: &Route) -> Result<String, Unreadable> {
    // Taken apart, so that a new field has to be looked at here.
    let Route {
        channel: _,
        sender,
        to: _,
        target_type,
        message,
        ext,
        push,
        provider_options,
        sealed_options,
        only: _,
    } = route;
    // Whoever does not know of sealed options must not take a route for one without any.
    let version = if sealed_options.is_some() { SEALED_VERSION } else { VERSION };
    to_document_of(
        version,
        StoredRoute {
            sender: sender.clone(),
            target_type: target_type.map(|target_type| target_type.as_str().into()),
            message: Arc::clone(message),
            ext: ext.clone(),
            push: push.clone().map(WithPush),
            provider_options: provider_options.clone(),
            sealed_options: sealed_options.clone(),
        },
    )
}

/// Reads what [`encode_route`] wrote; of a resend without whom it goes to.
pub(super) fn decode_route(
    text: &str,
    channel: ChannelName,
    to: Arc<RecipientList>,
) -> Result<Route, Unreadable> {
    let stored: StoredRoute = from_document_of(&[VERSION, SEALED_VERSION], text)?;
    let target_type = match stored.target_type {
        None => None,
        Some(name) => {
            let found = TargetType::ALL.into_iter().find(|known| known.as_str() == &*name);
            Some(found.ok_or_else(|| Unreadable(format!("unknown target type `{name}`")))?)
        }
    };
    Ok(Route {
        channel,
        sender: stored.sender,
        to,
        target_type,
        message: stored.message,
        ext: stored.ext,
        push: stored.push.map(|push| push.0),
        provider_options: stored.provider_options,
        sealed_options: stored.sealed_options,
        only: None,
    })
}
