//! Turns a message into the provider's element.

use crate::adapter::fields::{Fields, Numbers};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{
    Audio, Custom, File, Image, Location, Message, Thumbnail, Video, whole_seconds,
};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::openim::settings::ExtraContentTypes;
use crate::providers::openim::wire::to_json;
use crate::providers::openim::{NAME, elements};

/// Content type of a notification; the server sends it with a session type of its own.
pub(super) const NOTIFICATION: u64 = 1400;

const LOCATION: u64 = 109;
const FACE: u64 = 115;

/// The content types that the server's handler takes.
///
/// 114 and 118 only on recent servers. 107, 108, 109 and 115 are documented, but no public version takes them.
/// Source: open-im-server `internal/api/msg.go` and tags v3.0.0 to v3.8.3; OpenIM, message content types,
/// read 2026-11-21.
const NATIVE_TYPES: &[u64] = &[101, 102, 103, 104, 105, 106, 110, 114, 118, NOTIFICATION];

/// A message in the provider's words.
pub(super) struct Content {
    /// `contentType`.
    pub(super) content_type: u64,
    /// `content`: an object.
    pub(super) json: String,
}

/// What `prepare` has to say about a route; pointers are relative to it.
#[derive(Default)]
pub(super) struct Findings {
    /// Each of them refuses the route.
    pub(super) faults: Vec<Fault>,
    /// What was left out.
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    /// Adds a fault.
    pub(super) fn fault(&mut self, pointer: &str, code: FaultCode, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, code, detail));
    }

    /// Refuses a field that must not be lost silently, if it was given.
    fn refuse<T>(&mut self, field: &str, given: Option<&T>) {
        if given.is_some() {
            self.fault(
                &format!("/message/{field}"),
                FaultCode::Unsupported,
                format!("{NAME} has no field for `{field}`"),
            );
        }
    }

    /// Leaves out a field that only describes, if it was given.
    fn leave_out<T>(&mut self, field: &str, given: Option<&T>) {
        if given.is_some() {
            self.warnings.push(Warning {
                code: WarningCode::FieldLeftOut,
                channel: None,
                pointer: Some(format!("/message/{field}")),
                detail: format!("{NAME} has no field for `{field}`, so it is left out"),
            });
        }
    }

    /// A number that must be given and not be 0: the server takes 0 for missing.
    fn required_number(&mut self, field: &str, given: Option<u64>) -> Option<u64> {
        let pointer = format!("/message/{field}");
        match given {
            None => self.fault(&pointer, FaultCode::Required, format!("{NAME} requires `{field}`")),
            Some(0) => self.fault(&pointer, FaultCode::OutOfRange, "must be at least 1"),
            Some(number) => return Some(number),
        }
        None
    }

    /// A text that must be given and not be empty.
    fn required_text<'a>(&mut self, field: &str, given: Option<&'a str>) -> Option<&'a str> {
        let pointer = format!("/message/{field}");
        match given {
            None => self.fault(&pointer, FaultCode::Required, format!("{NAME} requires `{field}`")),
            Some("") => self.fault(&pointer, FaultCode::OutOfRange, "must not be empty"),
            Some(text) => return Some(text),
        }
        None
    }

    /// A length in whole seconds, rounded up.
    fn required_seconds(&mut self, duration_seconds: Option<f64>) -> Option<u64> {
        self.required_number("duration_seconds", duration_seconds.map(whole_seconds))
    }
}

/// Writes the element of a message; `None` if something is wrong, which `findings` then tells.
///
/// A type that the profile refuses is not refused again.
pub(super) fn translate(
    message: &Message,
    extra: ExtraContentTypes,
    findings: &mut Findings,
) -> Option<Content> {
    let (content_type, json) = match message {
        Message::Text { text } => (101, text_element(text, findings)),
        Message::Image(image) => (102, image_element(image, findings)),
        Message::Audio(audio) => (103, audio_element(audio, findings)),
        Message::Video(video) => (104, video_element(video, findings)),
        Message::File(file) => (105, file_element(file, findings)),
        Message::Location(location) => (LOCATION, Some(location_element(location))),
        Message::Command { .. } => return None,
        Message::Custom(custom) => (110, custom_element(custom, findings)),
        Message::Face { index, data } => (FACE, Some(face_element(*index, data.as_deref()))),
        Message::Native { payload } => return native(payload, extra, findings),
    };
    json.map(|json| Content { content_type, json })
}

fn text_element(text: &str, findings: &mut Findings) -> Option<String> {
    let content = findings.required_text("text", Some(text))?;
    Some(to_json(&elements::TextElem { content }))
}

fn image_element(image: &Image, findings: &mut Findings) -> Option<String> {
    findings.refuse("secret", image.secret.as_ref());
    findings.leave_out("filename", image.filename.as_ref());
    let width = findings.required_number("width", image.width.map(u64::from));
    let height = findings.required_number("height", image.height.map(u64::from));
    let format = image.format.as_deref().or_else(|| extension(&image.url));
    let format = findings.required_text("format", format);
    let thumbnail = thumbnail_size(&image.thumbnail);
    if thumbnail.is_none() {
        leave_out_thumbnail(&image.thumbnail, findings);
    }
    let source = elements::Picture {
        uuid: image.id.as_deref().unwrap_or_default(),
        format: format?,
        size: image.size_bytes.unwrap_or_default(),
        width: width?,
        height: height?,
        url: &image.url,
    };
    let snapshot = thumbnail.map_or(source, |(url, width, height)| elements::Picture {
        uuid: "",
        format: image.thumbnail.format.as_deref().or_else(|| extension(url)).unwrap_or(source.format),
        size: image.thumbnail.size_bytes.unwrap_or_default(),
        width,
        height,
        url,
    });
    Some(to_json(&elements::PictureElem {
        source_path: "",
        source_picture: source,
        big_picture: source,
        snapshot_picture: snapshot,
    }))
}

/// A small version that the server would take: it needs URL, width and height.
fn thumbnail_size(thumbnail: &Thumbnail) -> Option<(&str, u64, u64)> {
    let given = |pixels: Option<u32>| pixels.filter(|pixels| *pixels > 0).map(u64::from);
    Some((thumbnail.url.as_deref()?, given(thumbnail.width)?, given(thumbnail.height)?))
}

fn leave_out_thumbnail(thumbnail: &Thumbnail, findings: &mut Findings) {
    findings.leave_out("thumbnail_url", thumbnail.url.as_ref());
    findings.leave_out("thumbnail_width", thumbnail.width.as_ref());
    findings.leave_out("thumbnail_height", thumbnail.height.as_ref());
    findings.leave_out("thumbnail_size_bytes", thumbnail.size_bytes.as_ref());
}

fn audio_element(audio: &Audio, findings: &mut Findings) -> Option<String> {
    findings.refuse("secret", audio.secret.as_ref());
    findings.leave_out("filename", audio.filename.as_ref());
    Some(to_json(&elements::SoundElem {
        uuid: audio.id.as_deref().unwrap_or_default(),
        sound_path: "",
        source_url: &audio.url,
        data_size: audio.size_bytes.unwrap_or_default(),
        duration: findings.required_seconds(audio.duration_seconds)?,
    }))
}

fn video_element(video: &Video, findings: &mut Findings) -> Option<String> {
    let thumbnail = &video.thumbnail;
    findings.refuse("secret", video.secret.as_ref());
    findings.refuse("thumbnail_secret", thumbnail.secret.as_ref());
    findings.leave_out("filename", video.filename.as_ref());
    findings.leave_out("thumbnail_format", thumbnail.format.as_ref());
    let format = findings.required_text("format", video.format.as_deref());
    let size = findings.required_number("size_bytes", video.size_bytes);
    let duration = findings.required_seconds(video.duration_seconds);
    let snapshot_url = findings.required_text("thumbnail_url", thumbnail.url.as_deref());
    let width = findings.required_number("thumbnail_width", thumbnail.width.map(u64::from));
    let height = findings.required_number("thumbnail_height", thumbnail.height.map(u64::from));
    Some(to_json(&elements::VideoElem {
        video_path: "",
        video_uuid: "",
        video_url: &video.url,
        video_type: format?,
        video_size: size?,
        duration: duration?,
        snapshot_path: "",
        snapshot_uuid: "",
        snapshot_size: thumbnail.size_bytes.unwrap_or_default(),
        snapshot_url: snapshot_url?,
        snapshot_width: width?,
        snapshot_height: height?,
    }))
}

fn file_element(file: &File, findings: &mut Findings) -> Option<String> {
    findings.refuse("secret", file.secret.as_ref());
    let file_name = findings.required_text("filename", file.filename.as_deref());
    let file_size = findings.required_number("size_bytes", file.size_bytes);
    Some(to_json(&elements::FileElem {
        file_path: "",
        uuid: file.id.as_deref().unwrap_or_default(),
        source_url: &file.url,
        file_name: file_name?,
        file_size: file_size?,
    }))
}

fn location_element(location: &Location) -> String {
    to_json(&elements::LocationElem {
        description: location.address.as_deref().unwrap_or_default(),
        longitude: location.longitude,
        latitude: location.latitude,
    })
}

fn custom_element(custom: &Custom, findings: &mut Findings) -> Option<String> {
    findings.refuse("event", custom.event.as_ref());
    findings.refuse("exts", custom.exts.as_ref());
    findings.refuse("sound", custom.sound.as_ref());
    let data = findings.required_text("data", custom.data.as_ref().map(|data| data.as_text()))?;
    Some(to_json(&elements::CustomElem {
        data,
        description: custom.description.as_deref().unwrap_or_default(),
        extension: custom.extension.as_deref().unwrap_or_default(),
    }))
}

fn face_element(index: i64, data: Option<&str>) -> String {
    to_json(&elements::FaceElem { index, data: data.unwrap_or_default() })
}

/// `{"content_type": ..., "content": {...}}`, the content passed on as given.
fn native(payload: &JsonText, extra: ExtraContentTypes, findings: &mut Findings) -> Option<Content> {
    let mut fields = match Fields::parse(payload.as_str(), "/message/payload", Numbers::Strict) {
        Ok(fields) => fields,
        Err(fault) => {
            findings.faults.push(fault);
            return None;
        }
    };
    for name in ["content_type", "content"] {
        if !fields.has(name) {
            fields.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
        }
    }
    let content_type = fields.u64("content_type", 0..=u64::from(u32::MAX));
    let is_taken = |content_type: u64| {
        NATIVE_TYPES.contains(&content_type)
            || (content_type == LOCATION && extra.location)
            || (content_type == FACE && extra.face)
    };
    if content_type.is_some_and(|content_type| !is_taken(content_type)) {
        let detail = format!("{NAME} takes the types 101 to 106, 110, 114, 118 and 1400 only");
        fields.fault_at("content_type", FaultCode::OutOfRange, detail);
    }
    let json = fields.json_object("content");
    findings.faults.extend(fields.finish());
    Some(Content { content_type: content_type?, json: json?.as_str().to_owned() })
}

/// The extension of the file that a URL names.
fn extension(url: &str) -> Option<&str> {
    let url = url.split(['?', '#']).next()?;
    let (_, after_scheme) = url.split_once("://")?;
    let (_, path) = after_scheme.split_once('/')?;
    let name = path.rsplit('/').next()?;
    let (_, extension) = name.rsplit_once('.')?;
    let is_plausible =
        (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plausible.then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::extension;

    #[test]
    fn finds_the_extension_of_the_file_and_nothing_else() {
        for (url, expected) in [
            ("https://cdn.example.com/only.png", Some("png")),
            ("https://cdn.example.com/a/b.c/only.tar.JPG?sig=x.gif#y.bmp", Some("JPG")),
            ("https://cdn.example.com", None),
            ("https://cdn.example.com/", None),
            ("https://cdn.example.com/v1.2/photo", None),
            ("https://cdn.example.com/photo.", None),
            ("https://cdn.example.com/photo.not%20one", None),
        ] {
            assert_eq!(extension(url), expected, "{url}");
        }
    }
}
