//! Checks the body of a request as the stand-in's server does: strict types, required fields, contents.
//!
//! A wrong JSON type anywhere is HTTP 400; a content that lacks something is errCode 500. Unknown fields are
//! ignored.
//! Source: OpenIM, batch send message and message content types; open-im-server `pkg/apistruct/manage.go` and
//! `msg.go`, read 2026-11-21. The wording of the texts is approximate.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::adapter::sandbox::Arrival;

/// Most entries of an array parameter.
///
/// Source: OpenIM, REST introduction, read 2026-11-21. That the server refuses more is assumed.
const MOST_RECIPIENTS: usize = 1000;

/// Most bytes of a message that the server's queue takes. Assumed: the default of its client library.
const MOST_QUEUE_BYTES: usize = 1_000_000;

/// An error of the server.
#[derive(Debug)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// `errCode`.
    pub(super) code: i64,
    /// `errMsg`.
    pub(super) message: String,
    /// `errDlt`.
    pub(super) detail: String,
}

impl Refusal {
    /// An error of the handler or of what stands before it.
    pub(super) fn new(code: i64, message: &str, detail: &str) -> Self {
        Self { status: StatusCode::OK, code, message: message.to_owned(), detail: detail.to_owned() }
    }

    /// A body that cannot be bound to the request's struct.
    pub(super) fn arguments(detail: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, ..Self::new(1001, "ArgsError", detail) }
    }

    fn content(detail: &str) -> Self {
        Self::new(500, "ServerInternalError", detail)
    }

    fn missing(element: &str, field: &str) -> Self {
        Self::content(&format!(
            "Key: '{element}.{field}' Error:Field validation for '{field}' failed on the 'required' tag"
        ))
    }
}

/// A send that the handler begins.
#[derive(Debug)]
pub(super) struct SendRequest {
    /// `recvIDs`.
    pub(super) recipients: Vec<String>,
    /// `sendID`.
    pub(super) sender: String,
    /// `sendTime`; 0 = the server's clock.
    pub(super) send_time: i64,
    /// `isSendAll`.
    pub(super) is_send_all: bool,
    /// Whether every single send will fail inside the server.
    pub(super) fails_for_everybody: bool,
}

/// What a field may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Boolean,
    Object,
    Texts,
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        }
    }

    /// Whether the validator counts the value as missing.
    fn is_zero(self, value: &Value) -> bool {
        match self {
            Self::Text => value == "",
            Self::Integer => value.as_f64() == Some(0.0),
            Self::Boolean => value == false,
            Self::Object => value.is_null(),
            Self::Texts => value.as_array().is_none_or(Vec::is_empty),
        }
    }
}

/// Fields of the body with their types.
const FIELDS: &[(&str, Type)] = &[
    ("recvIDs", Type::Texts),
    ("isSendAll", Type::Boolean),
    ("sendID", Type::Text),
    ("senderNickname", Type::Text),
    ("senderFaceURL", Type::Text),
    ("senderPlatformID", Type::Integer),
    ("content", Type::Object),
    ("contentType", Type::Integer),
    ("sessionType", Type::Integer),
    ("groupID", Type::Text),
    ("isOnlineOnly", Type::Boolean),
    ("notOfflinePush", Type::Boolean),
    ("sendTime", Type::Integer),
    ("offlinePushInfo", Type::Object),
    ("ex", Type::Text),
];

const PUSH_FIELDS: &[(&str, Type)] = &[
    ("title", Type::Text),
    ("desc", Type::Text),
    ("ex", Type::Text),
    ("iOSPushSound", Type::Text),
    ("iOSBadgeCount", Type::Boolean),
    ("signalInfo", Type::Text),
];

/// One field of a content: name, type, and whether the server requires it.
type ContentField = (&'static str, Type, bool);

const PICTURE: &[ContentField] = &[
    ("uuid", Type::Text, false),
    ("type", Type::Text, true),
    ("size", Type::Integer, false),
    ("width", Type::Integer, true),
    ("height", Type::Integer, true),
    ("url", Type::Text, true),
];

/// Name and fields of a content type's element; `None` = the handler refuses the type.
fn element(content_type: i64) -> Option<(&'static str, &'static [ContentField])> {
    Some(match content_type {
        101 => ("TextElem", &[("content", Type::Text, true)]),
        102 => (
            "PictureElem",
            &[
                ("sourcePath", Type::Text, false),
                ("sourcePicture", Type::Object, true),
                ("bigPicture", Type::Object, true),
                ("snapshotPicture", Type::Object, true),
            ],
        ),
        103 => (
            "SoundElem",
            &[
                ("uuid", Type::Text, false),
                ("soundPath", Type::Text, false),
                ("sourceUrl", Type::Text, true),
                ("dataSize", Type::Integer, false),
                ("duration", Type::Integer, true),
            ],
        ),
        104 => ("VideoElem", VIDEO),
        105 => (
            "FileElem",
            &[
                ("filePath", Type::Text, false),
                ("uuid", Type::Text, false),
                ("sourceUrl", Type::Text, true),
                ("fileName", Type::Text, true),
                ("fileSize", Type::Integer, true),
            ],
        ),
        106 => (
            "AtElem",
            &[
                ("text", Type::Text, false),
                ("atUserList", Type::Texts, true),
                ("isAtSelf", Type::Boolean, false),
                ("quoteMessage", Type::Object, false),
            ],
        ),
        110 => (
            "CustomElem",
            &[
                ("data", Type::Text, true),
                ("description", Type::Text, false),
                ("extension", Type::Text, false),
            ],
        ),
        114 => ("QuoteElem", &[("text", Type::Text, false), ("quoteMessage", Type::Object, false)]),
        118 => ("MarkdownTextElem", &[("content", Type::Text, true)]),
        1400 => ("OANotificationElem", NOTIFICATION),
        _ => return None,
    })
}

const VIDEO: &[ContentField] = &[
    ("videoPath", Type::Text, false),
    ("videoUUID", Type::Text, false),
    ("videoUrl", Type::Text, true),
    ("videoType", Type::Text, true),
    ("videoSize", Type::Integer, true),
    ("duration", Type::Integer, true),
    ("snapshotPath", Type::Text, false),
    ("snapshotUUID", Type::Text, false),
    ("snapshotSize", Type::Integer, false),
    ("snapshotUrl", Type::Text, true),
    ("snapshotWidth", Type::Integer, true),
    ("snapshotHeight", Type::Integer, true),
];

const NOTIFICATION: &[ContentField] = &[
    ("notificationName", Type::Text, true),
    ("notificationFaceURL", Type::Text, false),
    ("notificationType", Type::Integer, true),
    ("text", Type::Text, true),
    ("url", Type::Text, false),
    ("mixType", Type::Integer, false),
    ("ex", Type::Text, false),
];

/// The body as an object.
pub(super) fn parse_object(request: &Arrival<'_>) -> Result<Map<String, Value>, Refusal> {
    let content_type = request.header("content-type").unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json") {
        return Err(Refusal::arguments("Content-Type must be application/json"));
    }
    match serde_json::from_slice(request.body) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Refusal::arguments("json: cannot unmarshal into Go value")),
        Err(error) => Err(Refusal::arguments(&error.to_string())),
    }
}

impl SendRequest {
    /// Checks a send up to where the handler begins to loop over the recipients.
    pub(super) fn read(request: &Arrival<'_>, admin: &str) -> Result<Self, Refusal> {
        let body = parse_object(request)?;
        bind(&body)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let integer = |name: &str| body.get(name).and_then(Value::as_i64).unwrap_or_default();
        let content_type = integer("contentType");
        let content = body.get("content").and_then(Value::as_object);
        let size = content.map_or(0, |content| Value::from(content.clone()).to_string().len());
        check_content(content_type, content)?;
        if content_type == 1400 && text("sendID") != admin {
            return Err(Refusal::new(1101, "UserIDNotFoundError", ""));
        }
        let recipients: Vec<String> = body
            .get("recvIDs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect();
        if recipients.len() > MOST_RECIPIENTS {
            return Err(Refusal::arguments("recvIDs has more than 1000 entries"));
        }
        // The handler forces 4 for a notification; anything else with 4, and the disabled 2, fails later.
        let is_session_sound = content_type == 1400 || matches!(integer("sessionType"), 1 | 3);
        Ok(Self {
            recipients,
            sender: text("sendID").to_owned(),
            send_time: integer("sendTime"),
            is_send_all: body.get("isSendAll") == Some(&Value::Bool(true)),
            fails_for_everybody: !is_session_sound || size > MOST_QUEUE_BYTES,
        })
    }
}

/// Types first, then what is required, as the framework does.
fn bind(body: &Map<String, Value>) -> Result<(), Refusal> {
    check_types(body, FIELDS)?;
    if let Some(push) = body.get("offlinePushInfo").and_then(Value::as_object) {
        check_types(push, PUSH_FIELDS)?;
    }
    for (name, kind) in FIELDS {
        let value = body.get(*name).filter(|value| !value.is_null());
        let is_missing = match *name {
            "recvIDs" | "content" => value.is_none(),
            "sendID" | "contentType" | "sessionType" => value.is_none_or(|value| kind.is_zero(value)),
            _ => false,
        };
        if is_missing {
            return Err(Refusal::arguments(&format!(
                "Key: 'BatchSendMsgReq.{name}' Error:Field validation for '{name}' failed on the 'required' tag"
            )));
        }
    }
    Ok(())
}

fn check_types(object: &Map<String, Value>, fields: &[(&str, Type)]) -> Result<(), Refusal> {
    for (name, kind) in fields {
        if object.get(*name).is_some_and(|value| !value.is_null() && !kind.fits(value)) {
            let detail = format!("json: cannot unmarshal into Go struct field BatchSendMsgReq.{name}");
            return Err(Refusal::arguments(&detail));
        }
    }
    Ok(())
}

fn check_content(content_type: i64, content: Option<&Map<String, Value>>) -> Result<(), Refusal> {
    let Some((element, fields)) = element(content_type) else {
        let detail = format!("unsupported content type, contentType={content_type}");
        return Err(Refusal::new(1001, "ArgsError", &detail));
    };
    let empty = Map::new();
    let content = content.unwrap_or(&empty);
    check_fields(element, fields, content)?;
    if content_type == 102 {
        for name in ["sourcePicture", "bigPicture", "snapshotPicture"] {
            let picture = content.get(name).and_then(Value::as_object).unwrap_or(&empty);
            check_fields(element, PICTURE, picture)?;
        }
    }
    let at_count = content.get("atUserList").and_then(Value::as_array).map_or(0, Vec::len);
    if content_type == 106 && at_count > 1000 {
        return Err(Refusal::content(
            "Key: 'AtElem.AtUserList' Error:Field validation for 'AtUserList' failed on the 'max' tag",
        ));
    }
    Ok(())
}

fn check_fields(element: &str, fields: &[ContentField], object: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, kind, is_required) in fields {
        let value = object.get(*name).filter(|value| !value.is_null());
        if value.is_some_and(|value| !kind.fits(value)) {
            return Err(Refusal::content(&format!(
                "1 error(s) decoding:\n\n* '{name}' expected another type"
            )));
        }
        if *is_required && value.is_none_or(|value| kind.is_zero(value)) {
            return Err(Refusal::missing(element, name));
        }
    }
    Ok(())
}
