//! The stand-in of the relay, written from its document.
//!
//! It knows one account and checks what the document states: method, path, the five query values, `reqUrl`,
//! and every field's presence and type. The document states no limits and no rates, so there are none. What
//! the relay answers to a wrong signature or a malformed body is undocumented; the stand-in answers an
//! envelope with code 401 or 400, which is Assumed.
//!
//! | recipient | the stand-in |
//! |---|---|
//! | [`MAGIC_REFUSE`] | lists the message as not sent |
//! | [`MAGIC_OMIT`] | lists a message without saying whose it is |
//! | [`MAGIC_REJECT_CALL`] | refuses the whole call with a code of its own |
//! | [`MAGIC_THROTTLE_ONCE`] | answers HTTP 429 to the first call that names it, then takes it |
//! | [`MAGIC_THROTTLE`] | answers HTTP 429 to every call that names it |
//! | [`MAGIC_DROP`] | reads the call and closes the connection |
//! | [`MAGIC_HANG`] | reads the call and never answers |
//! | [`MAGIC_502`] | answers HTTP 502 with a page |
//! | [`MAGIC_GARBAGE`] | answers HTTP 200 with half an envelope |
//! | [`MAGIC_UNDECIDED`] | answers code 500 and lists nobody |
//!
//! There is no recipient that expires a credential: the signed query has no lifetime.
//! Source: In-house relay to Easemob, interface 2.8, read 2026-11-21.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;

/// Listed as not sent.
pub const MAGIC_REFUSE: &str = "magic-refuse";
/// Listed without a name.
pub const MAGIC_OMIT: &str = "magic-omit";
/// The whole call is refused.
pub const MAGIC_REJECT_CALL: &str = "magic-reject-call";
/// HTTP 429 the first time.
pub const MAGIC_THROTTLE_ONCE: &str = "magic-throttle-once";
/// HTTP 429 every time.
pub const MAGIC_THROTTLE: &str = "magic-throttle";
/// The connection closes after the request is read.
pub const MAGIC_DROP: &str = "magic-drop";
/// No answer ever comes.
pub const MAGIC_HANG: &str = "magic-hang";
/// A gateway's error page.
pub const MAGIC_502: &str = "magic-502";
/// Half an envelope.
pub const MAGIC_GARBAGE: &str = "magic-garbage";
/// Code 500 without a list.
pub const MAGIC_UNDECIDED: &str = "magic-undecided";

/// This provider's stand-in and the channel that talks to it.
pub const SANDBOX: Sandbox = Sandbox {
    channel: "sandbox-relay",
    settings: "\
query.api_version = \"01\"
query.client = \"0123456789abcdef0123456789abcdef\"
query.version = \"1.15\"
query.channel = \"fedcba9876543210fedcba9876543210\"
query.sign = \"00112233445566778899aabbccddeeff\"
",
    recipients: ("148238038269428232", MAGIC_REFUSE),
    sender: "o0001c50f32abad2a443ba36da03f5f10371c",
    build: || Box::new(Standin::default()),
};

/// The query of the only account.
const QUERY: [(&str, &str); 5] = [
    ("apiVersion", "01"),
    ("client", "0123456789abcdef0123456789abcdef"),
    ("version", "1.15"),
    ("channel", "fedcba9876543210fedcba9876543210"),
    ("sign", "00112233445566778899aabbccddeeff"),
];

/// The document's only text of a failure: "unknown exception".
const UNKNOWN_EXCEPTION: &str = "未知异常";

/// State of one stand-in; it ends with it.
#[derive(Debug, Default)]
struct Standin {
    has_throttled: AtomicBool,
}

impl StandIn for Standin {
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer {
        if request.path != "/opapp/send2EasemobMessage" {
            return page(StatusCode::NOT_FOUND, "<html>HTTP Status 404</html>");
        }
        if request.method != "POST" {
            return page(StatusCode::METHOD_NOT_ALLOWED, "<html>HTTP Status 405</html>");
        }
        let content_type = request.header("content-type").unwrap_or_default();
        if content_type.split(';').next().map(str::trim) != Some("application/json") {
            return page(StatusCode::UNSUPPORTED_MEDIA_TYPE, "<html>HTTP Status 415</html>");
        }
        if !is_signed(request) {
            return envelope(now, 401, "签名错误", &Value::Null);
        }
        match read_messages(request.body) {
            Ok(messages) => self.send(&messages, now),
            Err(field) => envelope(now, 400, &format!("参数错误: {field}"), &Value::Null),
        }
    }
}

fn is_signed(request: &Arrival<'_>) -> bool {
    request.query.split('&').count() == QUERY.len()
        && QUERY.iter().all(|(name, value)| request.query_value(name).as_deref() == Some(*value))
}

/// One entry of `messages`, found sound.
struct Sound {
    receiver: String,
    entry: Value,
}

impl Standin {
    fn send(&self, messages: &[Sound], now: SystemTime) -> StandInAnswer {
        let names = |id: &str| messages.iter().any(|message| message.receiver == id);
        if names(MAGIC_HANG) {
            return StandInAnswer::Hang;
        }
        if names(MAGIC_DROP) {
            return StandInAnswer::Drop;
        }
        if names(MAGIC_502) {
            return page(StatusCode::BAD_GATEWAY, "<html><h1>502 Bad Gateway</h1></html>");
        }
        if names(MAGIC_GARBAGE) {
            return respond(StatusCode::OK, "application/json", r#"{"code":200,"mess"#);
        }
        if names(MAGIC_THROTTLE)
            || (names(MAGIC_THROTTLE_ONCE) && !self.has_throttled.swap(true, Ordering::Relaxed))
        {
            return throttled();
        }
        if names(MAGIC_REJECT_CALL) {
            return envelope(now, 403, "应用被禁用", &Value::Null);
        }
        if names(MAGIC_UNDECIDED) {
            return envelope(now, 500, UNKNOWN_EXCEPTION, &Value::Null);
        }
        let failed: Vec<Value> = messages.iter().filter_map(failed_entry).collect();
        if failed.is_empty() {
            return envelope(now, 200, "成功", &Value::Array(failed));
        }
        let texts = vec![UNKNOWN_EXCEPTION; failed.len()].join(", ");
        envelope(now, 500, &format!("[{texts}]"), &Value::Array(failed))
    }
}

/// The echo of a message that is to fail; an `ext` of `null` comes back as `""`, as in the example.
fn failed_entry(message: &Sound) -> Option<Value> {
    if message.receiver == MAGIC_OMIT {
        return Some(json!({ "msgType": message.entry.get("msgType") }));
    }
    if message.receiver != MAGIC_REFUSE {
        return None;
    }
    let mut entry = message.entry.clone();
    if let Some(ext) = entry.pointer_mut("/msgBody/ext")
        && ext.is_null()
    {
        *ext = json!("");
    }
    Some(entry)
}

/// The messages of a call, or the name of the first field at fault.
fn read_messages(body: &[u8]) -> Result<Vec<Sound>, &'static str> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "json")?;
    if body.get("reqUrl").and_then(Value::as_str) != Some("/hxSend/send2EasemobMessage") {
        return Err("reqUrl");
    }
    let messages = body
        .get("messages")
        .and_then(Value::as_array)
        .filter(|messages| !messages.is_empty())
        .ok_or("messages")?;
    messages.iter().map(read_message).collect()
}

fn read_message(entry: &Value) -> Result<Sound, &'static str> {
    let msg_type = filled(entry, "msgType").ok_or("msgType")?;
    if !["txt", "audio", "img", "loc", "video", "file", "cmd"].contains(&msg_type) {
        return Err("msgType");
    }
    let msg_body = match entry.get("msgBody").ok_or("msgBody")? {
        Value::Object(object) => object.clone(),
        Value::String(text) => serde_json::from_str::<Map<String, Value>>(text).map_err(|_| "msgBody")?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err("msgBody"),
    };
    let msg_body = Value::Object(msg_body);
    check_file(entry, msg_type)?;
    let receiver = check_body(&msg_body, msg_type)?;
    Ok(Sound { receiver, entry: entry.clone() })
}

fn check_file(entry: &Value, msg_type: &str) -> Result<(), &'static str> {
    let url = match entry.get("fileUrl") {
        None | Some(Value::Null) => "",
        Some(url) => url.as_str().ok_or("fileUrl")?,
    };
    let needs_file = matches!(msg_type, "img" | "audio" | "video" | "file");
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    if needs_file && !is_url {
        return Err("fileUrl");
    }
    Ok(())
}

/// Checks `msgBody` field by field; returns who receives it.
fn check_body(msg_body: &Value, msg_type: &str) -> Result<String, &'static str> {
    filled(msg_body, "fromUser").ok_or("fromUser")?;
    let receiver = filled(msg_body, "toUser").ok_or("toUser")?;
    if filled(msg_body, "msgType") != Some(msg_type) {
        return Err("msgBody.msgType");
    }
    let is_text = msg_body.get("msg").is_none_or(Value::is_string);
    if !is_text || (matches!(msg_type, "txt" | "cmd") && filled(msg_body, "msg").is_none()) {
        return Err("msg");
    }
    if !msg_body.get("mediaFile").is_none_or(Value::is_string) {
        return Err("mediaFile");
    }
    match msg_body.get("ext") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return Err("ext"),
    }
    match msg_body.get("targetType").map(Value::as_str) {
        None | Some(Some("users" | "chatgroups")) => {}
        Some(Some(_) | None) => return Err("targetType"),
    }
    let has_place = ["lat", "lng", "addr"].iter().all(|name| filled(msg_body, name).is_some());
    if msg_type == "loc" && !has_place {
        return Err("lat, lng, addr");
    }
    Ok(receiver.to_owned())
}

fn filled<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The document's success answer has `page`, its failure answer has not.
fn envelope(now: SystemTime, code: u16, message: &str, data: &Value) -> StandInAnswer {
    let operation_time = jiff::Timestamp::try_from(now)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default();
    let mut body = json!({
        "code": code,
        "message": message,
        "data": data,
        "foot": { "operationTime": operation_time, "servicePhone": "400800400", "host": "relay-1" },
    });
    if code == 200
        && let Some(body) = body.as_object_mut()
    {
        body.insert("page".to_owned(), Value::Null);
    }
    respond(StatusCode::OK, "application/json;charset=UTF-8", &body.to_string())
}

fn page(status: StatusCode, body: &str) -> StandInAnswer {
    respond(status, "text/html", body)
}

fn throttled() -> StandInAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    StandInAnswer::Respond(WireResponse {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers,
        body: "slow down".into(),
    })
}

fn respond(status: StatusCode, content_type: &'static str, body: &str) -> StandInAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    StandInAnswer::Respond(WireResponse { status, headers, body: body.to_owned().into() })
}
