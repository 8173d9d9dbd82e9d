//! What the stand-in checks in the body.
//!
//! Source: batch one-to-one messages, sections 2.6, 2.7 and 3; message formats; error codes; read 2026-11-21.
//! Stricter than the documents in one point: a name that no document has is refused, so that a misspelt one
//! does not pass (Assumed).

use serde_json::{Map, Value};

use crate::providers::tencent_tim::sandbox::Refusal;

/// What the stand-in keeps of a body.
pub(super) struct Call {
    /// The receivers.
    pub(super) recipients: Vec<String>,
    /// `MsgRandom`.
    pub(super) random: u64,
}

const MOST_RECIPIENTS: usize = 500;

/// Source: usage limits, "12K" for one message.
const MOST_MESSAGE_BYTES: usize = 12 * 1024;

const FORMAT: u32 = 90010;

/// Checks a whole body.
pub(super) fn check(body: &[u8]) -> Result<Call, Refusal> {
    let body: Value = serde_json::from_slice(body).map_err(|_| (90001, "body is not valid JSON"))?;
    let body = body.as_object().ok_or((FORMAT, "body is not an object"))?;
    let recipients = recipients(body.get("To_Account"))?;
    if let Some(sender) = body.get("From_Account")
        && sender.as_str().is_none_or(str::is_empty)
    {
        return Err((90008, "From_Account is not a filled string"));
    }
    let random = body.get("MsgRandom").and_then(word).ok_or((90005, "MsgRandom is no 32-bit number"))?;
    message(body.get("MsgBody"))?;
    for (name, value) in body {
        member(name, value)?;
    }
    Ok(Call { recipients, random })
}

/// An integer from 0 to 4294967295.
fn word(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| u32::try_from(*number).is_ok())
}

fn recipients(value: Option<&Value>) -> Result<Vec<String>, Refusal> {
    let value = value.ok_or((90003, "To_Account is missing"))?;
    let entries = value.as_array().ok_or((90028, "To_Account is not an array"))?;
    match entries.len() {
        0 => return Err((90029, "To_Account is empty")),
        count if count > MOST_RECIPIENTS => return Err((90011, "more than 500 accounts")),
        _ => {}
    }
    entries
        .iter()
        .map(|entry| entry.as_str().filter(|id| !id.is_empty()).map(str::to_owned))
        .collect::<Option<_>>()
        .ok_or((90003, "To_Account holds something else than filled strings"))
}

/// The members beside receivers and message.
fn member(name: &str, value: &Value) -> Result<(), Refusal> {
    match name {
        "From_Account" | "To_Account" | "MsgRandom" | "MsgBody" => Ok(()),
        "MsgSeq" => demand(word(value).is_some(), (90004, "MsgSeq is no 32-bit number")),
        "MsgTimeStamp" => demand(word(value).is_some(), (90006, "MsgTimeStamp is no 32-bit number")),
        "SyncFromOldSystem" => {
            demand(word(value).is_some(), (90030, "SyncFromOldSystem is no 32-bit number"))
        }
        "SyncOtherMachine" => {
            demand(matches!(value.as_u64(), Some(1 | 2)), (90031, "SyncOtherMachine is neither 1 nor 2"))
        }
        "MsgLifeTime" => match value.as_u64() {
            None => Err((90044, "MsgLifeTime is not an integer")),
            Some(seconds) => demand(seconds <= 604_800, (90026, "MsgLifeTime is over 7 days")),
        },
        "OnlineOnlyFlag" => {
            demand(matches!(value.as_u64(), Some(0 | 1)), (FORMAT, "OnlineOnlyFlag is neither 0 nor 1"))
        }
        "CloudCustomData" => demand(value.is_string(), (FORMAT, "CloudCustomData is not a string")),
        "SendMsgControl" => demand(
            value.as_array().is_some_and(|words| words.iter().all(is_control)),
            (FORMAT, "SendMsgControl is not an array of known words"),
        ),
        "OfflinePushInfo" => demand(
            value.as_object().is_some_and(is_push),
            (90043, "OfflinePushInfo does not follow its format"),
        ),
        _ => Err((FORMAT, "body has an unknown field")),
    }
}

fn demand(is_met: bool, refusal: Refusal) -> Result<(), Refusal> {
    if is_met { Ok(()) } else { Err(refusal) }
}

fn is_control(word: &Value) -> bool {
    matches!(word.as_str(), Some("NoUnread" | "NoLastMsg" | "WithMuteNotifications"))
}

/// Names that the message formats do not list pass: vendors add to them.
fn is_push(info: &Map<String, Value>) -> bool {
    info.iter().all(|(name, value)| match name.as_str() {
        "PushFlag" => is_flag(value),
        "Title" | "Desc" | "Ext" => value.is_string(),
        "AndroidInfo" | "ApnsInfo" => value.as_object().is_some_and(is_platform),
        _ => true,
    })
}

fn is_platform(info: &Map<String, Value>) -> bool {
    info.iter().all(|(name, value)| match name.as_str() {
        "Sound" | "HuaWeiChannelID" | "XiaoMiChannelID" | "OPPOChannelID" | "GoogleChannelID"
        | "HuaWeiImportance" | "Title" | "SubTitle" | "Image" => value.is_string(),
        "VIVOClassification" | "ExtAsHuaweiIntentParam" | "BadgeMode" | "MutableContent" => is_flag(value),
        _ => true,
    })
}

fn is_flag(value: &Value) -> bool {
    matches!(value.as_u64(), Some(0 | 1))
}

fn message(value: Option<&Value>) -> Result<(), Refusal> {
    const SHAPE: Refusal = (90002, "MsgBody does not follow the message format");
    let value = value.ok_or(SHAPE)?;
    let elements = value.as_array().ok_or((90007, "MsgBody is not an array"))?;
    if elements.is_empty() || !elements.iter().all(is_element) {
        return Err(SHAPE);
    }
    let customs = elements
        .iter()
        .filter(|element| element.get("MsgType").and_then(Value::as_str) == Some("TIMCustomElem"));
    if customs.count() > 1 {
        return Err((90002, "MsgBody has more than one TIMCustomElem"));
    }
    demand(value.to_string().len() <= MOST_MESSAGE_BYTES, (93000, "message is too long"))
}

/// What a field of an element has to be.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Number,
    Whole,
    /// Download flags: 2 is the only value that the document knows.
    Two,
    Images,
}

use Shape::{Images, Number, Text, Two, Whole};

fn is_element(element: &Value) -> bool {
    let kind = element.get("MsgType").and_then(Value::as_str);
    let (Some(fields), Some(content)) =
        (kind.and_then(fields_of), element.get("MsgContent").and_then(Value::as_object))
    else {
        return false;
    };
    let (required, optional) = fields;
    required.iter().all(|(name, shape)| content.get(*name).is_some_and(|value| fits(value, *shape)))
        && content.iter().all(|(name, value)| {
            required.iter().chain(optional).any(|(known, shape)| known == name && fits(value, *shape))
        })
}

type Shapes = &'static [(&'static str, Shape)];

/// Required and optional fields of an element.
fn fields_of(kind: &str) -> Option<(Shapes, Shapes)> {
    Some(match kind {
        "TIMTextElem" => (&[("Text", Text)], &[]),
        "TIMFaceElem" => (&[("Index", Whole), ("Data", Text)], &[]),
        "TIMLocationElem" => (&[("Desc", Text), ("Latitude", Number), ("Longitude", Number)], &[]),
        "TIMCustomElem" => (&[("Data", Text)], &[("Desc", Text), ("Ext", Text), ("Sound", Text)]),
        "TIMSoundElem" => {
            (&[("Url", Text), ("UUID", Text), ("Download_Flag", Two)], &[("Size", Whole), ("Second", Whole)])
        }
        "TIMImageElem" => (&[("UUID", Text), ("ImageInfoArray", Images)], &[("ImageFormat", Whole)]),
        "TIMFileElem" => (
            &[("Url", Text), ("UUID", Text), ("Download_Flag", Two)],
            &[("FileSize", Whole), ("FileName", Text)],
        ),
        "TIMVideoFileElem" => (
            &[
                ("VideoUrl", Text),
                ("VideoUUID", Text),
                ("VideoDownloadFlag", Two),
                ("ThumbUrl", Text),
                ("ThumbUUID", Text),
                ("ThumbWidth", Whole),
                ("ThumbHeight", Whole),
                ("ThumbDownloadFlag", Two),
            ],
            &[
                ("VideoSize", Whole),
                ("VideoSecond", Whole),
                ("VideoFormat", Text),
                ("ThumbSize", Whole),
                ("ThumbFormat", Text),
            ],
        ),
        _ => return None,
    })
}

fn fits(value: &Value, shape: Shape) -> bool {
    match shape {
        Text => value.is_string(),
        Number => value.is_number(),
        Whole => value.is_i64() || value.is_u64(),
        Two => value.as_u64() == Some(2),
        Images => value.as_array().is_some_and(|images| !images.is_empty() && images.iter().all(is_image)),
    }
}

fn is_image(image: &Value) -> bool {
    image.as_object().is_some_and(|image| {
        matches!(image.get("Type").and_then(Value::as_u64), Some(1..=3))
            && image.get("URL").is_some_and(Value::is_string)
            && ["Size", "Width", "Height"].iter().all(|name| image.get(*name).is_some_and(Value::is_u64))
            && image.len() == 5
    })
}
