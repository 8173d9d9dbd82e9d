//! The provider's own shapes: message elements, push settings, the body around them, and the answer.
//!
//! Source: batch one-to-one messages, sections 2.6 to 2.9; message formats; read 2026-11-21.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::adapter::wire::push_json_string;
use crate::domain::recipients::Recipients;

/// One element of `MsgBody`. The spelling of the names is as mixed as in the document.
#[derive(Debug, Serialize)]
#[serde(tag = "MsgType", content = "MsgContent")]
pub(super) enum Element<'a> {
    /// Text.
    #[serde(rename = "TIMTextElem", rename_all = "PascalCase")]
    Text { text: &'a str },
    /// A sticker of the app.
    #[serde(rename = "TIMFaceElem", rename_all = "PascalCase")]
    Face { index: i64, data: &'a str },
    /// A place.
    #[serde(rename = "TIMLocationElem", rename_all = "PascalCase")]
    Location { desc: &'a str, latitude: f64, longitude: f64 },
    /// What only the app understands.
    #[serde(rename = "TIMCustomElem", rename_all = "PascalCase")]
    Custom {
        data: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        desc: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ext: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sound: Option<&'a str>,
    },
    /// A sound.
    #[serde(rename = "TIMSoundElem", rename_all = "PascalCase")]
    Sound {
        url: &'a str,
        #[serde(rename = "UUID")]
        uuid: Cow<'a, str>,
        size: u64,
        second: u64,
        #[serde(rename = "Download_Flag")]
        download_flag: u8,
    },
    /// A picture in three sizes.
    #[serde(rename = "TIMImageElem", rename_all = "PascalCase")]
    Image {
        #[serde(rename = "UUID")]
        uuid: Cow<'a, str>,
        image_format: u8,
        image_info_array: [ImageInfo<'a>; 3],
    },
    /// A file.
    #[serde(rename = "TIMFileElem", rename_all = "PascalCase")]
    File {
        url: &'a str,
        #[serde(rename = "UUID")]
        uuid: Cow<'a, str>,
        file_size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_name: Option<Cow<'a, str>>,
        #[serde(rename = "Download_Flag")]
        download_flag: u8,
    },
    /// A video with its cover.
    #[serde(rename = "TIMVideoFileElem")]
    Video(Video<'a>),
}

/// "The URL can be downloaded from", the only documented value of every download flag.
pub(super) const DOWNLOAD_BY_URL: u8 = 2;

/// One size of a picture.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageInfo<'a> {
    /// 1 original, 2 large, 3 thumbnail.
    #[serde(rename = "Type")]
    pub(super) role: u8,
    /// Bytes.
    pub(super) size: u64,
    /// Pixels.
    pub(super) width: u32,
    /// Pixels.
    pub(super) height: u32,
    /// Where it is.
    #[serde(rename = "URL")]
    pub(super) url: &'a str,
}

/// A video with its cover; sizes in bytes and pixels, length in whole seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Video<'a> {
    pub(super) video_url: &'a str,
    #[serde(rename = "VideoUUID")]
    pub(super) video_uuid: String,
    pub(super) video_size: u64,
    pub(super) video_second: u64,
    pub(super) video_format: &'a str,
    pub(super) video_download_flag: u8,
    pub(super) thumb_url: &'a str,
    #[serde(rename = "ThumbUUID")]
    pub(super) thumb_uuid: String,
    pub(super) thumb_size: u64,
    pub(super) thumb_width: u32,
    pub(super) thumb_height: u32,
    pub(super) thumb_format: &'a str,
    pub(super) thumb_download_flag: u8,
}

/// `OfflinePushInfo`, as far as the normalized request has words for it.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PushInfo<'a> {
    /// 0 push, 1 no offline push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) push_flag: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) desc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) android_info: Option<PlatformInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apns_info: Option<PlatformInfo<'a>>,
}

/// `AndroidInfo` or `ApnsInfo`.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PlatformInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sound: Option<&'a str>,
    /// iOS only: 0 the message counts on the icon, 1 it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) badge_mode: Option<u8>,
}

/// A body with everything but the recipients and `MsgRandom`, which differ from call to call.
#[derive(Debug)]
pub(super) struct Template {
    /// Up to and with the `[` of `To_Account`.
    head: Vec<u8>,
    /// From the `]` on, up to the value of `MsgRandom`.
    tail: Vec<u8>,
}

impl Template {
    /// Puts a body together; `members` are names with their JSON, in order, after the recipients.
    pub(super) fn new(sender: Option<&str>, members: &[(&'static str, &str)]) -> Self {
        let mut head = Vec::with_capacity(64);
        head.push(b'{');
        if let Some(sender) = sender {
            head.extend_from_slice(b"\"From_Account\":");
            push_json_string(&mut head, sender);
            head.push(b',');
        }
        head.extend_from_slice(b"\"To_Account\":[");
        let mut tail = Vec::with_capacity(
            members.iter().map(|(name, json)| name.len() + json.len() + 4).sum::<usize>() + 32,
        );
        tail.push(b']');
        for (name, json) in members {
            tail.push(b',');
            push_json_string(&mut tail, name);
            tail.push(b':');
            tail.extend_from_slice(json.as_bytes());
        }
        tail.extend_from_slice(b",\"MsgRandom\":");
        Self { head, tail }
    }

    /// Writes the body of one call.
    pub(super) fn write(&self, recipients: Recipients<'_>, random: u32) -> Vec<u8> {
        // Two quotes and a comma per id, ten digits and a brace; ids that need escapes make it grow.
        let room = self.head.len() + recipients.text_bytes() + 3 * recipients.len() + self.tail.len() + 11;
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(&self.head);
        let mut ids = recipients.iter();
        if let Some(first) = ids.next() {
            push_json_string(&mut out, first);
        }
        for id in ids {
            out.push(b',');
            push_json_string(&mut out, id);
        }
        out.extend_from_slice(&self.tail);
        out.extend_from_slice(random.to_string().as_bytes());
        out.push(b'}');
        out
    }
}

/// The unsigned 32-bit integer that the provider's random fields take, out of 64 random bits.
pub(super) fn low_half(nonce: u64) -> u32 {
    u32::try_from(nonce & u64::from(u32::MAX)).unwrap_or_default()
}

/// An answer. Everything is optional and of any type: what is usable is decided field by field.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    /// `OK`, `FAIL` or `SomeError`.
    #[serde(rename = "ActionStatus", borrow)]
    pub(super) status: Option<&'a RawValue>,
    /// 0 if any recipient was served, or absent.
    #[serde(rename = "ErrorCode", borrow)]
    pub(super) code: Option<&'a RawValue>,
    /// Text, often empty.
    #[serde(rename = "ErrorInfo", borrow)]
    pub(super) info: Option<&'a RawValue>,
    /// Those that failed.
    #[serde(rename = "ErrorList", borrow)]
    pub(super) list: Option<&'a RawValue>,
    /// One message id for the whole call.
    #[serde(rename = "MsgKey", borrow)]
    pub(super) key: Option<&'a RawValue>,
}

/// One entry of `ErrorList`.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'a> {
    /// Who failed; a string, tolerated as a number.
    #[serde(rename = "To_Account", borrow)]
    pub(super) account: Option<&'a RawValue>,
    /// Why; a number, tolerated as its text.
    #[serde(rename = "ErrorCode", borrow)]
    pub(super) code: Option<&'a RawValue>,
}

/// The text of a JSON string or of a whole number; `None` for everything else.
pub(super) fn text_or_integer(token: &RawValue) -> Option<Cow<'_, str>> {
    let token = token.get();
    if let Some(inner) = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        return serde_json::from_str(token).ok().map(Cow::Owned);
    }
    let digits = token.strip_prefix('-').unwrap_or(token);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer.then_some(Cow::Borrowed(token))
}

/// A whole number, tolerated as its text.
pub(super) fn integer(token: &RawValue) -> Option<i64> {
    text_or_integer(token)?.parse().ok()
}
