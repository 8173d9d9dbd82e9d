//! The message part of a request: `type` and `body`.
//!
//! Source for every shape: Easemob, send chatroom messages, request body by message type, read 2026-11-21.

use crate::adapter::fields::{Fields, Numbers};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{
    Audio, Custom, File, Image, Location, Message, Thumbnail, Video, whole_seconds,
};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::easemob_chatroom::wire::ObjectWriter;

/// Longest `customEvent`, in characters of its pattern `^[a-zA-Z0-9-_/\.]{1,32}$`.
const MOST_EVENT_CHARACTERS: usize = 32;

/// Most entries of `customExts`.
const MOST_EXTS: usize = 16;

/// The provider's message types.
const TYPES: [(&str, &str); 8] = [
    ("txt", "txt"),
    ("img", "img"),
    ("audio", "audio"),
    ("video", "video"),
    ("file", "file"),
    ("loc", "loc"),
    ("cmd", "cmd"),
    ("custom", "custom"),
];

/// A message in the provider's words.
pub(super) struct Content {
    /// `type`.
    pub(super) kind: &'static str,
    /// `body`: a compact JSON object.
    pub(super) body: Vec<u8>,
}

/// What is wrong with a message, and what was left out of it.
#[derive(Default)]
pub(super) struct Findings {
    /// Reasons to refuse it.
    pub(super) faults: Vec<Fault>,
    /// Descriptive fields that the provider has no place for.
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    fn fault(&mut self, field: &str, code: FaultCode, detail: impl Into<String>) {
        self.faults.push(Fault::new(format!("/message/{field}"), code, detail));
    }

    fn refuse(&mut self, field: &str, is_given: bool) {
        if is_given {
            let detail = format!("easemob_chatroom has no field for `{field}`; `ext` can carry such data");
            self.fault(field, FaultCode::Unsupported, detail);
        }
    }

    fn leave_out(&mut self, field: &str, is_given: bool) {
        if is_given {
            self.warnings.push(Warning {
                code: WarningCode::FieldLeftOut,
                channel: None,
                pointer: Some(format!("/message/{field}")),
                detail: format!("easemob_chatroom has no field for `{field}` here; it was left out"),
            });
        }
    }

    fn leave_out_thumbnail_size(&mut self, thumbnail: &Thumbnail) {
        self.leave_out("thumbnail_width", thumbnail.width.is_some());
        self.leave_out("thumbnail_height", thumbnail.height.is_some());
        self.leave_out("thumbnail_size_bytes", thumbnail.size_bytes.is_some());
        self.leave_out("thumbnail_format", thumbnail.format.is_some());
    }
}

/// Writes a message; `None` where the findings say why not.
pub(super) fn encode(message: &Message, findings: &mut Findings) -> Option<Content> {
    let mut body = ObjectWriter::new();
    let kind = match message {
        Message::Text { text } => {
            if text.is_empty() {
                findings.fault("text", FaultCode::OutOfRange, "must not be empty");
            }
            body.text("msg", text);
            "txt"
        }
        Message::Image(image) => write_image(image, &mut body, findings),
        Message::Audio(audio) => write_audio(audio, &mut body, findings),
        Message::Video(video) => write_video(video, &mut body, findings),
        Message::File(file) => write_file(file, &mut body, findings),
        Message::Location(location) => write_location(location, &mut body, findings),
        Message::Command { action, params } => {
            findings.refuse("params", params.is_some());
            body.text("action", action);
            "cmd"
        }
        Message::Custom(custom) => write_custom(custom, &mut body, findings),
        // The profile refuses it.
        Message::Face { .. } => return None,
        Message::Native { payload } => return read_native(payload, findings),
    };
    Some(Content { kind, body: body.close() })
}

fn write_image(image: &Image, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    body.text("url", &image.url);
    body.optional_text("filename", image.filename.as_deref());
    body.optional_text("secret", image.secret.as_deref());
    match (image.width, image.height) {
        (Some(width), Some(height)) => {
            body.raw("size", format!(r#"{{"width":{width},"height":{height}}}"#).as_bytes());
        }
        // The provider only has both sides together.
        (width, height) => {
            findings.leave_out("width", width.is_some());
            findings.leave_out("height", height.is_some());
        }
    }
    findings.leave_out("size_bytes", image.size_bytes.is_some());
    findings.leave_out("format", image.format.is_some());
    findings.leave_out("id", image.id.is_some());
    findings.leave_out("thumbnail_url", image.thumbnail.url.is_some());
    findings.leave_out("thumbnail_secret", image.thumbnail.secret.is_some());
    findings.leave_out_thumbnail_size(&image.thumbnail);
    "img"
}

fn write_audio(audio: &Audio, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    body.text("url", &audio.url);
    body.optional_text("filename", audio.filename.as_deref());
    body.optional_text("secret", audio.secret.as_deref());
    // The document's table writes `Length`, its examples `length`; bodies are case-sensitive and the
    // examples are what runs.
    body.optional_number("length", audio.duration_seconds.map(whole_seconds));
    findings.leave_out("size_bytes", audio.size_bytes.is_some());
    findings.leave_out("id", audio.id.is_some());
    "audio"
}

fn write_video(video: &Video, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    body.text("url", &video.url);
    body.optional_text("filename", video.filename.as_deref());
    body.optional_text("thumb", video.thumbnail.url.as_deref());
    body.optional_number("length", video.duration_seconds.map(whole_seconds));
    body.optional_text("secret", video.secret.as_deref());
    body.optional_number("file_length", video.size_bytes);
    body.optional_text("thumb_secret", video.thumbnail.secret.as_deref());
    findings.leave_out("format", video.format.is_some());
    findings.leave_out_thumbnail_size(&video.thumbnail);
    "video"
}

fn write_file(file: &File, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    body.text("url", &file.url);
    body.optional_text("filename", file.filename.as_deref());
    body.optional_text("secret", file.secret.as_deref());
    findings.leave_out("size_bytes", file.size_bytes.is_some());
    findings.leave_out("id", file.id.is_some());
    "file"
}

fn write_location(location: &Location, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    // Coordinates are strings; Rust writes the shortest decimal without an exponent.
    body.text("lat", &location.latitude.to_string());
    body.text("lng", &location.longitude.to_string());
    match &location.address {
        Some(address) => body.text("addr", address),
        None => findings.fault("address", FaultCode::Required, "easemob_chatroom requires an address"),
    }
    "loc"
}

fn write_custom(custom: &Custom, body: &mut ObjectWriter, findings: &mut Findings) -> &'static str {
    if let Some(event) = &custom.event {
        if !is_event(event) {
            let detail = format!(
                "must be 1 to {MOST_EVENT_CHARACTERS} characters: ASCII letters, digits, `-`, `_`, `/`, `.`"
            );
            findings.fault("event", FaultCode::OutOfRange, detail);
        }
        body.text("customEvent", event);
    }
    if let Some(exts) = &custom.exts {
        if exts.len() > MOST_EXTS {
            let detail = format!("has {} entries, at most {MOST_EXTS} are allowed", exts.len());
            findings.fault("exts", FaultCode::TooLarge, detail);
        }
        let mut object = ObjectWriter::new();
        for (key, value) in exts {
            object.text(key, value);
        }
        body.raw("customExts", &object.close());
    }
    if custom.event.is_none() && custom.exts.as_ref().is_none_or(Vec::is_empty) {
        findings.fault(
            "event",
            FaultCode::Required,
            "give `event` or `exts`: the provider refuses an empty body",
        );
    }
    findings.refuse("data", custom.data.is_some());
    findings.refuse("description", custom.description.is_some());
    findings.refuse("extension", custom.extension.is_some());
    findings.refuse("sound", custom.sound.is_some());
    "custom"
}

fn is_event(event: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/' | b'.');
    (1..=MOST_EVENT_CHARACTERS).contains(&event.len()) && event.bytes().all(is_allowed)
}

/// Takes `{type, body}` as it is given.
fn read_native(payload: &JsonText, findings: &mut Findings) -> Option<Content> {
    let mut fields = match Fields::parse(payload.as_str(), "/message/payload", Numbers::Strict) {
        Ok(fields) => fields,
        Err(fault) => {
            findings.faults.push(fault);
            return None;
        }
    };
    for name in ["type", "body"] {
        if !fields.has(name) {
            fields.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
        }
    }
    let kind = fields.choice("type", &TYPES);
    let body = fields.json_object("body");
    if body.as_ref().is_some_and(|body| body.as_str() == "{}") {
        fields.fault_at("body", FaultCode::OutOfRange, "must not be empty");
    }
    let faults = fields.finish();
    let is_sound = faults.is_empty();
    findings.faults.extend(faults);
    let content = Content { kind: kind?, body: body?.as_str().as_bytes().to_vec() };
    Some(content).filter(|_| is_sound)
}
