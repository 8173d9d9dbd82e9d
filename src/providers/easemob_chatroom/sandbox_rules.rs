//! The stand-in's reading of request bodies: names, types and limits as documented, nothing else.
//!
//! Source: Easemob, send chatroom messages, request body tables and error codes, read 2026-11-21.
//! Where the document states a limit but no answer to breaking it, 400 `illegal_argument` is assumed.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::providers::easemob_chatroom::sandbox::Refusal;

/// Who a message went to.
#[derive(Debug)]
pub(super) struct Sent {
    /// Rooms, 1 to 10; one if directed.
    pub(super) rooms: Vec<String>,
    /// Members of the room who alone see it; empty = everybody.
    pub(super) users: Vec<String>,
}

/// Fields of a send: name and the type that the document gives it.
const SEND_FIELDS: &[(&str, Kind)] = &[
    ("from", Kind::Text),
    ("to", Kind::Texts),
    ("type", Kind::Text),
    ("body", Kind::Object),
    ("chatroom_msg_level", Kind::Text),
    ("roam_ignore_users", Kind::Texts),
    ("users", Kind::Texts),
    ("ext", Kind::Any),
];

/// A field: name, type, whether it is required.
type Field = (&'static str, Kind, bool);

/// Fields of `body` by message type.
const BODY_FIELDS: &[(&str, &[Field])] = &[
    ("txt", &[("msg", Kind::Text, true)]),
    (
        "img",
        &[
            ("url", Kind::Text, true),
            ("filename", Kind::Text, false),
            ("secret", Kind::Text, false),
            ("size", Kind::Object, false),
        ],
    ),
    (
        "audio",
        &[
            ("url", Kind::Text, true),
            ("filename", Kind::Text, false),
            ("secret", Kind::Text, false),
            ("length", Kind::Count, false),
        ],
    ),
    (
        "video",
        &[
            ("url", Kind::Text, true),
            ("filename", Kind::Text, false),
            ("thumb", Kind::Text, false),
            ("length", Kind::Count, false),
            ("secret", Kind::Text, false),
            ("file_length", Kind::Count, false),
            ("thumb_secret", Kind::Text, false),
        ],
    ),
    ("file", &[("url", Kind::Text, true), ("filename", Kind::Text, false), ("secret", Kind::Text, false)]),
    ("loc", &[("lat", Kind::Text, true), ("lng", Kind::Text, true), ("addr", Kind::Text, true)]),
    ("cmd", &[("action", Kind::Text, true)]),
    ("custom", &[("customEvent", Kind::Text, false), ("customExts", Kind::Object, false)]),
];

/// JSON types of the document's tables.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Object,
    Count,
    Any,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Object => value.is_object(),
            Self::Count => value.is_u64(),
            Self::Any => true,
        }
    }
}

/// Checks a request for a token; returns the lifetime that it asks for, in seconds.
pub(super) fn read_grant(body: &Bytes, client_id: &str, secret: &str) -> Result<Option<u64>, Refusal> {
    let request = read_object(body)?;
    if request.get("grant_type").and_then(Value::as_str) != Some("client_credentials") {
        return Err(Refusal::new(400, "illegal_argument", "grant_type must be client_credentials"));
    }
    if request.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err(Refusal::new(400, "invalid_grant", "client_id does not match"));
    }
    if request.get("client_secret").and_then(Value::as_str) != Some(secret) {
        return Err(Refusal::new(400, "invalid_grant", "client_secret does not match"));
    }
    let known = ["grant_type", "client_id", "client_secret", "ttl"];
    if request.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(invalid_body());
    }
    match request.get("ttl") {
        None => Ok(None),
        Some(ttl) => ttl.as_u64().map(Some).ok_or_else(invalid_body),
    }
}

/// Checks a message; returns who it goes to.
pub(super) fn read_send(body: &Bytes, is_directed: bool) -> Result<Sent, Refusal> {
    let request = read_object(body)?;
    for (name, value) in &request {
        let kind = SEND_FIELDS.iter().find(|(known, _)| known == name);
        if !kind.is_some_and(|(_, kind)| kind.fits(value)) {
            return Err(invalid_body());
        }
    }
    if request.get("ext").is_some_and(|ext| !ext.is_object()) {
        return Err(send_error("param ext must be JSONObject"));
    }
    if request.get("from").and_then(Value::as_str) == Some("") {
        return Err(send_error("param from can't be empty"));
    }
    let rooms = texts(&request, "to");
    let users = texts(&request, "users");
    check_audience(&rooms, &users, request.contains_key("users"), is_directed)?;
    if texts(&request, "roam_ignore_users").len() > 20 {
        return Err(argument("roam_ignore_users has more than 20 entries"));
    }
    match request.get("chatroom_msg_level").and_then(Value::as_str) {
        None | Some("high" | "normal" | "low") => {}
        Some(_) => return Err(argument("chatroom_msg_level is high, normal or low")),
    }
    check_message(&request)?;
    Ok(Sent { rooms, users })
}

fn check_audience(
    rooms: &[String],
    users: &[String],
    names_users: bool,
    is_directed: bool,
) -> Result<(), Refusal> {
    if rooms.is_empty() {
        return Err(send_error("param to can't be empty"));
    }
    let most_rooms = if is_directed { 1 } else { 10 };
    if rooms.len() > most_rooms {
        return Err(send_error("params to's size can't exceed limit 10"));
    }
    // The document's own example mixes the two ways up; a real server would show the message to everybody.
    if names_users && !is_directed {
        return Err(argument("users belongs to /messages/chatrooms/users"));
    }
    if is_directed && users.is_empty() {
        return Err(send_error("param users can't be empty"));
    }
    if users.len() > 20 {
        return Err(argument("users has more than 20 entries"));
    }
    if rooms.iter().chain(users).any(String::is_empty) {
        return Err(argument("an id is empty"));
    }
    Ok(())
}

fn check_message(request: &Map<String, Value>) -> Result<(), Refusal> {
    let message_type = request.get("type").and_then(Value::as_str).unwrap_or_default();
    if message_type.is_empty() {
        return Err(send_error("param type can't be empty"));
    }
    let Some((_, fields)) = BODY_FIELDS.iter().find(|(known, _)| *known == message_type) else {
        return Err(argument("type is not a documented one"));
    };
    let body = match request.get("body").and_then(Value::as_object) {
        Some(body) if !body.is_empty() => body,
        Some(_) | None => return Err(send_error("param body can't be empty")),
    };
    for (name, value) in body {
        let kind = fields.iter().find(|(known, ..)| known == name);
        if !kind.is_some_and(|(_, kind, _)| kind.fits(value)) {
            return Err(invalid_body());
        }
    }
    if fields.iter().any(|(name, _, is_required)| *is_required && !body.contains_key(*name)) {
        return Err(invalid_body());
    }
    check_parts(body)?;
    let bytes = ["body", "ext"]
        .iter()
        .filter_map(|name| request.get(*name))
        .map(|value| value.to_string().len())
        .sum::<usize>();
    if bytes > 5 * 1024 { Err(too_large()) } else { Ok(()) }
}

/// The objects and patterns inside `body`.
fn check_parts(body: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(size) = body.get("size") {
        let is_side = |name| size.get(name).is_some_and(Value::is_u64);
        if !is_side("width") || !is_side("height") {
            return Err(invalid_body());
        }
    }
    if let Some(event) = body.get("customEvent").and_then(Value::as_str) {
        let is_allowed = |character: char| character.is_ascii_alphanumeric() || "-_/.".contains(character);
        if event.is_empty() || event.chars().count() > 32 || !event.chars().all(is_allowed) {
            return Err(argument("customEvent does not match its pattern"));
        }
    }
    if let Some(exts) = body.get("customExts").and_then(Value::as_object)
        && (exts.len() > 16 || !exts.values().all(Value::is_string))
    {
        return Err(invalid_body());
    }
    Ok(())
}

fn read_object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| invalid_body())
}

fn texts(request: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = request.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The answer to more than 5 KB.
pub(super) fn too_large() -> Refusal {
    Refusal { code: Some(14_007), ..send_error("message is too large") }
}

fn invalid_body() -> Refusal {
    let text = "Request body is invalid. Please check body is correct.";
    Refusal::new(400, "invalid_request_body", text)
}

fn send_error(description: &str) -> Refusal {
    Refusal::new(400, "message_send_error", description)
}

fn argument(description: &str) -> Refusal {
    Refusal::new(400, "illegal_argument", description)
}
