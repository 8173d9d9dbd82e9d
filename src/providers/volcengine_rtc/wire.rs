//! The provider's JSON: contents that the clients read, and the answer.

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::adapter::fields::members::{Key, Object};

/// `Content` of a text message.
///
/// Source: `VolcEngineIM` demo, `Web/src/hooks/useMessage.tsx`, read 2026-11-21. Undocumented; observed.
#[derive(Serialize)]
pub(super) struct TextContent<'a> {
    /// The text.
    pub(super) text: &'a str,
}

/// `Content` of a transparent message. Assumed: the provider leaves its shape to the app.
#[derive(Serialize)]
pub(super) struct CommandContent<'a> {
    /// What the app is to do.
    pub(super) action: &'a str,
    /// Parameters, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) params: Option<&'a RawValue>,
}

/// `Content` of a media message.
///
/// The demo clients take the first key of the first key, so `__files` must stay alone.
/// Source: `VolcEngineIM` demo, `Taro/src/hooks/useMedia.ts`, `Web/src/components/MessageCards`, read
/// 2026-11-21. Undocumented; observed.
#[derive(Serialize)]
pub(super) struct FilesContent<'a> {
    /// The wrapper.
    #[serde(rename = "__files")]
    pub(super) files: Files<'a>,
}

/// The only entry of the wrapper.
#[derive(Serialize)]
pub(super) struct Files<'a> {
    /// The file.
    pub(super) media: Media<'a>,
}

/// One file of a media message.
#[derive(Serialize)]
pub(super) struct Media<'a> {
    /// Where it is.
    #[serde(rename = "remoteURL")]
    pub(super) remote_url: &'a str,
    /// Always `media`.
    #[serde(rename = "displayType")]
    pub(super) display_type: &'static str,
    /// Name to show.
    #[serde(rename = "fileName", skip_serializing_if = "Option::is_none")]
    pub(super) file_name: Option<&'a str>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) length: Option<u64>,
    /// What else is known; every value is a string.
    pub(super) ext: MediaExt<'a>,
}

/// What else is known about a file. Sizes are in pixels, durations in whole seconds, all as text.
///
/// Width, height and audio duration stand literally in the demo clients; the other names were seen only in a
/// third-party copy of the provider's web library. Assumed.
#[derive(Default, Serialize)]
pub(super) struct MediaExt<'a> {
    /// `file_ext_value_type_image`, `_audio`, `_video` or `_file`.
    #[serde(rename = "s:file_ext_key_type")]
    pub(super) kind: &'static str,
    /// Width of the picture.
    #[serde(rename = "s:file_ext_key_original_width", skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<String>,
    /// Height of the picture.
    #[serde(rename = "s:file_ext_key_original_height", skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<String>,
    /// Picture to show in a preview.
    #[serde(rename = "s:file_ext_key_preview_url", skip_serializing_if = "Option::is_none")]
    pub(super) preview_url: Option<&'a str>,
    /// Picture to show in a list.
    #[serde(rename = "s:file_ext_key_thumb_url", skip_serializing_if = "Option::is_none")]
    pub(super) thumb_url: Option<&'a str>,
    /// Length of the sound.
    #[serde(rename = "s:file_ext_key_audio_duration", skip_serializing_if = "Option::is_none")]
    pub(super) audio_duration: Option<String>,
    /// Length of the video.
    #[serde(rename = "s:file_ext_key_video_duration", skip_serializing_if = "Option::is_none")]
    pub(super) video_duration: Option<String>,
    /// Cover of the video.
    #[serde(rename = "s:file_ext_key_video_cover_url", skip_serializing_if = "Option::is_none")]
    pub(super) cover_url: Option<&'a str>,
    /// Name to show.
    #[serde(rename = "s:file_ext_key_file_name", skip_serializing_if = "Option::is_none")]
    pub(super) file_name: Option<&'a str>,
}

/// The whole answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Response<'a> {
    /// About the request.
    #[serde(rename = "ResponseMetadata")]
    pub(super) metadata: Option<Object<Metadata>>,
    /// About the receivers; absent on errors.
    #[serde(rename = "Result", borrow)]
    pub(super) result: Option<Object<Sent<'a>>>,
}

/// About the request.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    /// For the provider's support.
    #[serde(rename = "RequestId")]
    pub(super) request_id: Option<Box<str>>,
    /// Only on failure.
    #[serde(rename = "Error")]
    pub(super) error: Option<Object<Error>>,
}

/// Why the whole call failed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Error {
    /// The code.
    #[serde(rename = "Code")]
    pub(super) code: Option<Box<str>>,
    /// The gateway's number; absent or 0 for errors of the service itself.
    #[serde(rename = "CodeN")]
    pub(super) number: Option<u64>,
    /// The text.
    #[serde(rename = "Message")]
    pub(super) message: Option<Box<str>>,
}

/// What became of the receivers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent<'a> {
    /// Receivers that were taken, with their message ids.
    #[serde(rename = "UserMessageId", borrow)]
    pub(super) user_message_ids: Option<UserMessageIds<'a>>,
    /// Receivers that failed, without a reason. The provider's libraries do not know this field.
    #[serde(rename = "FailedReceiver", borrow)]
    pub(super) failed_receivers: Option<Vec<&'a RawValue>>,
}

/// User id and message id of each entry, in the answer's order.
pub(super) struct UserMessageIds<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for UserMessageIds<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries).map(Self)
    }
}

/// The part of an answer that states an error, whatever stands beside it.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "ResponseMetadata")]
    metadata: Object<Metadata>,
}

impl<'a> Response<'a> {
    /// Reads an answer; an error is found even where the rest is malformed.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let refusal = || {
            let Object(refusal) = serde_json::from_str::<Object<Refusal>>(text).ok()?;
            Some(Self { metadata: Some(refusal.metadata), result: None })
        };
        serde_json::from_str::<Object<Self>>(text).ok().map(|Object(response)| response).or_else(refusal)
    }
}

/// The text of an integer or string token, exactly; `None` for anything else.
pub(super) fn read_token(token: &RawValue) -> Option<Cow<'_, str>> {
    let token = token.get();
    match token.as_bytes().first()? {
        b'"' => serde_json::from_str::<Key<'_>>(token).ok().map(|text| text.0),
        b'0'..=b'9' | b'-' => Some(Cow::Borrowed(token)),
        _ => None,
    }
}
