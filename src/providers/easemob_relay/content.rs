//! From a normalized message to the relay's `msgType`, `msg` and `fileUrl`.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::wire::push_json_string;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{Audio, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::report::{Warning, WarningCode};

/// What a message contributes to its entry.
#[derive(Debug)]
pub(super) struct Content {
    /// `msgType`.
    pub(super) msg_type: Arc<str>,
    /// `msg`, as JSON.
    pub(super) msg: Vec<u8>,
    /// `mediaFile`, where a native message brings its own.
    pub(super) media_file: Option<JsonText>,
    /// `ext`, where a native message brings its own.
    pub(super) ext: Option<JsonText>,
    /// Further members of `msgBody`, each after a comma.
    pub(super) more: Vec<u8>,
    /// `fileUrl`; empty without a file.
    pub(super) file_url: Arc<str>,
    /// Whether the option `file_url` makes sense.
    pub(super) may_have_file: bool,
}

/// Reads a message; what is left out goes to `warnings`, what cannot be carried to `faults`.
pub(super) fn read(message: &Message, warnings: &mut Vec<Warning>, faults: &mut Vec<Fault>) -> Content {
    let mut gaps = Gaps { warnings, faults };
    match message {
        Message::Text { text } => {
            gaps.require_filled("text", text);
            Content::new("txt", text)
        }
        Message::Image(image) => read_image(image, &mut gaps),
        Message::Audio(audio) => read_audio(audio, &mut gaps),
        Message::Video(video) => read_video(video, &mut gaps),
        Message::File(file) => read_file(file, &mut gaps),
        Message::Location(location) => read_location(location, &mut gaps),
        Message::Command { action, params } => {
            gaps.require_filled("action", action);
            gaps.refuse("params", params.is_some());
            // Assumed: no other field can carry the action.
            Content::new("cmd", action)
        }
        Message::Native { payload } => read_native(payload, &mut gaps),
        // The profile refuses these.
        Message::Custom(_) | Message::Face { .. } => Content::new("", ""),
    }
}

/// `text` as a JSON string.
pub(super) fn json_string(text: &str) -> Vec<u8> {
    let mut json = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut json, text);
    json
}

impl Content {
    fn new(msg_type: &str, msg: &str) -> Self {
        Self {
            msg_type: msg_type.into(),
            msg: json_string(msg),
            media_file: None,
            ext: None,
            more: Vec::new(),
            file_url: Arc::default(),
            may_have_file: false,
        }
    }

    /// Source: interface 2.8, "message fields", `fileUrl`. The name in `msg` is Assumed.
    fn media(msg_type: &str, url: &Arc<str>, filename: Option<&Arc<str>>) -> Self {
        Self {
            file_url: url.clone(),
            may_have_file: true,
            ..Self::new(msg_type, filename.map(|name| &**name).unwrap_or_default())
        }
    }
}

/// Collects what a message says and the relay has no field for.
struct Gaps<'a> {
    warnings: &'a mut Vec<Warning>,
    faults: &'a mut Vec<Fault>,
}

impl Gaps<'_> {
    /// A field that only describes the content is left out.
    fn leave_out(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.warnings.push(Warning {
                code: WarningCode::FieldLeftOut,
                channel: None,
                pointer: Some(format!("/message/{name}")),
                detail: format!("easemob_relay has no field for `{name}`; it is left out"),
            });
        }
    }

    /// A field without which the message would not be the same is refused.
    fn refuse(&mut self, name: &str, is_given: bool) {
        if is_given {
            self.fault(name, FaultCode::Unsupported, format!("easemob_relay has no field for `{name}`"));
        }
    }

    fn require_filled(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            self.fault(name, FaultCode::OutOfRange, "must not be empty".to_owned());
        }
    }

    fn fault(&mut self, name: &str, code: FaultCode, detail: String) {
        self.faults.push(Fault::new(format!("/message/{name}"), code, detail));
    }

    fn thumbnail(&mut self, thumbnail: &Thumbnail) {
        self.leave_out("thumbnail_url", thumbnail.url.is_some());
        self.leave_out("thumbnail_width", thumbnail.width.is_some());
        self.leave_out("thumbnail_height", thumbnail.height.is_some());
        self.leave_out("thumbnail_size_bytes", thumbnail.size_bytes.is_some());
        self.leave_out("thumbnail_format", thumbnail.format.is_some());
        self.refuse("thumbnail_secret", thumbnail.secret.is_some());
    }
}

fn read_image(image: &Image, gaps: &mut Gaps<'_>) -> Content {
    gaps.leave_out("size_bytes", image.size_bytes.is_some());
    gaps.leave_out("width", image.width.is_some());
    gaps.leave_out("height", image.height.is_some());
    gaps.leave_out("format", image.format.is_some());
    gaps.leave_out("id", image.id.is_some());
    gaps.refuse("secret", image.secret.is_some());
    gaps.thumbnail(&image.thumbnail);
    Content::media("img", &image.url, image.filename.as_ref())
}

fn read_audio(audio: &Audio, gaps: &mut Gaps<'_>) -> Content {
    gaps.leave_out("duration_seconds", audio.duration_seconds.is_some());
    gaps.leave_out("size_bytes", audio.size_bytes.is_some());
    gaps.leave_out("id", audio.id.is_some());
    gaps.refuse("secret", audio.secret.is_some());
    Content::media("audio", &audio.url, audio.filename.as_ref())
}

fn read_video(video: &Video, gaps: &mut Gaps<'_>) -> Content {
    gaps.leave_out("duration_seconds", video.duration_seconds.is_some());
    gaps.leave_out("size_bytes", video.size_bytes.is_some());
    gaps.leave_out("format", video.format.is_some());
    gaps.refuse("secret", video.secret.is_some());
    gaps.thumbnail(&video.thumbnail);
    Content::media("video", &video.url, video.filename.as_ref())
}

fn read_file(file: &File, gaps: &mut Gaps<'_>) -> Content {
    gaps.leave_out("size_bytes", file.size_bytes.is_some());
    gaps.leave_out("id", file.id.is_some());
    gaps.refuse("secret", file.secret.is_some());
    Content::media("file", &file.url, file.filename.as_ref())
}

/// Assumed: the relay passes Easemob's own `lat`, `lng` and `addr` on; if not, Easemob refuses the message and
/// the relay lists it.
fn read_location(location: &Location, gaps: &mut Gaps<'_>) -> Content {
    let address = location.address.as_deref().unwrap_or_default();
    if location.address.is_none() {
        let detail = "easemob_relay requires the address of a location".to_owned();
        gaps.fault("address", FaultCode::Required, detail);
    } else {
        gaps.require_filled("address", address);
    }
    let mut content = Content::new("loc", address);
    for (name, value) in [
        ("lat", location.latitude.to_string()),
        ("lng", location.longitude.to_string()),
        ("addr", address.to_owned()),
    ] {
        push_member(&mut content.more, name, &json_string(&value));
    }
    content
}

fn push_member(more: &mut Vec<u8>, name: &str, value: &[u8]) {
    more.push(b',');
    push_json_string(more, name);
    more.push(b':');
    more.extend_from_slice(value);
}

/// `{msgType, ...}`: the type, and fields of `msgBody` as they are.
fn read_native(payload: &JsonText, gaps: &mut Gaps<'_>) -> Content {
    let mut content = Content::new("", "");
    content.may_have_file = true;
    let mut fields = match Fields::parse(payload.as_str(), "/message/payload", Numbers::Strict) {
        Ok(fields) => fields,
        Err(fault) => {
            gaps.faults.push(fault);
            return content;
        }
    };
    content.msg_type = fields.required_filled_text("msgType").unwrap_or_default();
    for name in ["toUser", "fromUser", "targetType"] {
        if fields.raw(name).is_some() {
            let detail = "is set from `to`, `from` and `target_type`";
            fields.fault_at(name, FaultCode::Conflict, detail);
        }
    }
    if let Some(msg) = fields.raw("msg") {
        content.msg = msg.get().as_bytes().to_vec();
    }
    content.media_file = fields.json("mediaFile");
    content.ext = read_native_ext(&mut fields);
    let names: Vec<String> = fields.names().map(str::to_owned).collect();
    for name in names {
        if let Some(value) = fields.raw(&name) {
            push_member(&mut content.more, &name, value.get().as_bytes());
        }
    }
    gaps.faults.extend(fields.finish());
    content
}

/// An `ext` of `null` is what is sent anyway.
fn read_native_ext(fields: &mut Fields<'_>) -> Option<JsonText> {
    let ext = fields.json("ext")?;
    if ext.as_str() == "null" {
        return None;
    }
    if !ext.is_object() {
        fields.fault_at("ext", FaultCode::WrongType, "must be an object");
        return None;
    }
    Some(ext)
}
