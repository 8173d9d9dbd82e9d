//! The provider's JSON around a message: what is written, and what is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::adapter::fields::members::{Key, Object};

/// Path of the one endpoint that sends.
pub(super) const SEND_PATH: &str = "/msg/batch_send_msg";

/// Writes `value` as compact JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    // Structs of texts, numbers and booleans always serialize.
    serde_json::to_string(value).unwrap_or_default()
}

/// The fields of a send beside `recvIDs` and `content`; what is `None` is left out, because the server takes
/// no `null`.
///
/// Source: OpenIM, batch send message, parameter table; `pkg/apistruct/manage.go`, read 2026-11-21.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendFields<'a> {
    #[serde(rename = "sendID")]
    pub(super) send_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sender_nickname: Option<&'a str>,
    #[serde(rename = "senderFaceURL", skip_serializing_if = "Option::is_none")]
    pub(super) sender_face_url: Option<&'a str>,
    #[serde(rename = "senderPlatformID", skip_serializing_if = "Option::is_none")]
    pub(super) sender_platform_id: Option<u64>,
    pub(super) content_type: u64,
    pub(super) session_type: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_online_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_offline_push: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offline_push_info: Option<OfflinePushInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ex: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_send_all: Option<bool>,
}

/// The notification of an offline push.
#[derive(Serialize)]
pub(super) struct OfflinePushInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) desc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ex: Option<&'a str>,
    #[serde(rename = "iOSPushSound", skip_serializing_if = "Option::is_none")]
    pub(super) ios_push_sound: Option<&'a str>,
    #[serde(rename = "iOSBadgeCount", skip_serializing_if = "Option::is_none")]
    pub(super) ios_badge_count: Option<bool>,
}

/// Body of a token request.
///
/// Source: OpenIM, get admin token, and get a token using a secret (with the platform), read 2026-11-21.
#[derive(Serialize)]
pub(super) struct GrantRequest<'a> {
    pub(super) secret: &'a str,
    #[serde(rename = "platformID", skip_serializing_if = "Option::is_none")]
    pub(super) platform_id: Option<u32>,
    #[serde(rename = "userID")]
    pub(super) user_id: &'a str,
}

/// What an acceptance says of one recipient.
#[derive(Serialize)]
pub(super) struct AcceptanceFields<'a> {
    #[serde(rename = "clientMsgID", skip_serializing_if = "str::is_empty")]
    pub(super) client_msg_id: &'a str,
    #[serde(rename = "serverMsgID", skip_serializing_if = "str::is_empty")]
    pub(super) server_msg_id: &'a str,
    #[serde(rename = "sendTime", skip_serializing_if = "Option::is_none")]
    pub(super) send_time: Option<i64>,
}

/// An answer of the server: its code and texts, and the data if it has the expected shape.
pub(super) struct Answer<'a, Data> {
    /// 0 = no error.
    pub(super) code: i64,
    /// `errMsg`.
    pub(super) message: Cow<'a, str>,
    /// `errDlt`.
    pub(super) detail: Cow<'a, str>,
    /// `data`; `None` = absent, `null` or no object.
    pub(super) data: Option<Data>,
}

/// `data` of a send; a list that is `null` or absent is empty.
#[derive(Default)]
pub(super) struct Listing<'a> {
    /// Those that the server took.
    pub(super) results: Vec<Entry<'a>>,
    /// Those that it did not take.
    pub(super) failed: Vec<Cow<'a, str>>,
}

/// One recipient that the server took.
#[derive(Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(rename = "recvID", borrow)]
    recv_id: Key<'a>,
    #[serde(rename = "serverMsgID", borrow)]
    server_msg_id: Option<Key<'a>>,
    #[serde(rename = "clientMsgID", borrow)]
    client_msg_id: Option<Key<'a>>,
    #[serde(rename = "sendTime", borrow)]
    send_time: Option<&'a RawValue>,
}

impl Entry<'_> {
    /// The recipient.
    pub(super) fn id(&self) -> &str {
        &self.recv_id.0
    }

    /// Id of this recipient's copy; may be empty.
    pub(super) fn server_msg_id(&self) -> &str {
        self.server_msg_id.as_ref().map_or("", |id| &id.0)
    }

    /// Id that all recipients of the call share; may be empty.
    pub(super) fn client_msg_id(&self) -> &str {
        self.client_msg_id.as_ref().map_or("", |id| &id.0)
    }

    /// Milliseconds since 1970.
    pub(super) fn send_time(&self) -> Option<i64> {
        self.send_time?.get().parse().ok()
    }
}

/// `data` of a token request.
#[derive(Deserialize)]
pub(super) struct Grant<'a> {
    #[serde(borrow)]
    pub(super) token: Key<'a>,
    #[serde(rename = "expireTimeSeconds")]
    pub(super) expire_time_seconds: Option<Integer>,
}

#[derive(Deserialize)]
struct Envelope<'a, Data> {
    #[serde(rename = "errCode")]
    code: Integer,
    #[serde(rename = "errMsg", borrow)]
    message: Option<Key<'a>>,
    #[serde(rename = "errDlt", borrow)]
    detail: Option<Key<'a>>,
    data: Option<Object<Data>>,
}

/// The envelope when the strict reading failed: whatever is usable counts.
#[derive(Deserialize)]
struct LooseEnvelope<'a> {
    #[serde(rename = "errCode")]
    code: Integer,
    #[serde(rename = "errMsg", borrow)]
    message: Option<&'a RawValue>,
    #[serde(rename = "errDlt", borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StrictListing<'a> {
    #[serde(borrow)]
    results: Option<Vec<Object<Entry<'a>>>>,
    #[serde(rename = "failedUserIDs", borrow)]
    failed: Option<Vec<Key<'a>>>,
}

#[derive(Deserialize)]
struct LooseListing<'a> {
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    #[serde(rename = "failedUserIDs", borrow)]
    failed: Option<&'a RawValue>,
}

/// Reads the answer to a send; `None` if it is no JSON object with an integer `errCode`.
pub(super) fn read_send(body: &[u8]) -> Option<Answer<'_, Listing<'_>>> {
    match serde_json::from_slice::<Object<Envelope<'_, StrictListing<'_>>>>(body) {
        Ok(Object(envelope)) => Some(Answer {
            code: envelope.code.0,
            message: text(envelope.message),
            detail: text(envelope.detail),
            data: envelope.data.map(|Object(data)| Listing {
                results: unwrap_objects(data.results.unwrap_or_default()),
                failed: unwrap_keys(data.failed.unwrap_or_default()),
            }),
        }),
        // One odd entry must not hide what the others say.
        Err(_) => read_loosely(body, |data| {
            let Object(data) = serde_json::from_str::<Object<LooseListing<'_>>>(data.get()).ok()?;
            Some(Listing {
                results: unwrap_objects(usable_items(data.results)),
                failed: unwrap_keys(usable_items(data.failed)),
            })
        }),
    }
}

/// Reads the answer to a token request; `None` as in [`read_send`].
pub(super) fn read_grant(body: &[u8]) -> Option<Answer<'_, Grant<'_>>> {
    read_loosely(body, |data| {
        serde_json::from_str::<Object<Grant<'_>>>(data.get()).ok().map(|Object(grant)| grant)
    })
}

fn read_loosely<'a, Data>(
    body: &'a [u8],
    read_data: impl FnOnce(&'a RawValue) -> Option<Data>,
) -> Option<Answer<'a, Data>> {
    let Object(envelope) = serde_json::from_slice::<Object<LooseEnvelope<'a>>>(body).ok()?;
    let loose_text =
        |raw: Option<&'a RawValue>| text(raw.and_then(|raw| serde_json::from_str::<Key<'a>>(raw.get()).ok()));
    Some(Answer {
        code: envelope.code.0,
        message: loose_text(envelope.message),
        detail: loose_text(envelope.detail),
        data: envelope.data.and_then(read_data),
    })
}

fn text(key: Option<Key<'_>>) -> Cow<'_, str> {
    key.map_or(Cow::Borrowed(""), |key| key.0)
}

fn unwrap_objects<T>(items: Vec<Object<T>>) -> Vec<T> {
    items.into_iter().map(|Object(item)| item).collect()
}

fn unwrap_keys(items: Vec<Key<'_>>) -> Vec<Cow<'_, str>> {
    items.into_iter().map(|key| key.0).collect()
}

/// The items of an array that read as `T`; nothing if it is no array.
fn usable_items<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Vec<T> {
    let items = raw.and_then(|raw| serde_json::from_str::<Vec<&'a RawValue>>(raw.get()).ok());
    items.unwrap_or_default().into_iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect()
}

/// An integer, also as text: one page of the provider's document calls a number a string.
#[derive(Clone, Copy)]
pub(super) struct Integer(pub(super) i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;
        impl Visitor<'_> for IntegerVisitor {
            type Value = i64;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an integer")
            }

            fn visit_i64<E>(self, value: i64) -> Result<i64, E> {
                Ok(value)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
                i64::try_from(value).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<i64, E> {
                value.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(IntegerVisitor).map(Self)
    }
}
