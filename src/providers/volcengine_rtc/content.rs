//! Writes the message: `MsgType` and `Content`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::adapter::fields::{Fields, Numbers};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{Audio, Custom, File, Image, Message, Thumbnail, Video, whole_seconds};
use crate::providers::volcengine_rtc::NAME;
use crate::providers::volcengine_rtc::settings::{ContentEncoding, Format, MAX_NUMBER};
use crate::providers::volcengine_rtc::wire;

/// Numbers of the message types.
///
/// Source: `VolcEngineIM` demo, `Taro/src/enums.ts`; the names in Volcengine RTC, client message types; read
/// 2026-11-21.
mod msg_type {
    pub(super) const TEXT: u32 = 10001;
    pub(super) const IMAGE: u32 = 10003;
    pub(super) const VIDEO: u32 = 10004;
    pub(super) const FILE: u32 = 10005;
    pub(super) const AUDIO: u32 = 10006;
    pub(super) const CUSTOM: u32 = 10012;
}

/// A message as the provider takes it.
pub(super) struct Content {
    /// `MsgType`.
    pub(super) msg_type: u32,
    /// `Content`, not yet a JSON string.
    pub(super) text: String,
    /// Fields of the message that have no place in it.
    pub(super) left_out: Vec<&'static str>,
}

/// Writes a message.
///
/// `Ok(None)`: the profile refuses the type, and says so.
///
/// # Errors
/// Every fault of the message, with pointers relative to the route.
pub(super) fn write(message: &Message, format: Format) -> Result<Option<Content>, Vec<Fault>> {
    let content = match message {
        Message::Text { text } => write_text(text, format.content_encoding)?,
        Message::Image(image) => write_image(image)?,
        Message::Audio(audio) => write_audio(audio)?,
        Message::Video(video) => write_video(video)?,
        Message::File(file) => write_file(file)?,
        Message::Command { action, params } => match format.command_msg_type {
            Some(msg_type) => write_command(msg_type, action, params.as_ref())?,
            None => return Ok(None),
        },
        Message::Custom(custom) => write_custom(custom)?,
        Message::Native { payload } => read_native(payload)?,
        Message::Location(_) | Message::Face { .. } => return Ok(None),
    };
    Ok(Some(content))
}

fn write_text(text: &str, encoding: ContentEncoding) -> Result<Content, Vec<Fault>> {
    let text = match encoding {
        ContentEncoding::ClientJson => to_json(&wire::TextContent { text })?,
        ContentEncoding::Raw => text.to_owned(),
    };
    Ok(Content { msg_type: msg_type::TEXT, text, left_out: Vec::new() })
}

fn write_command(msg_type: u32, action: &str, params: Option<&JsonText>) -> Result<Content, Vec<Fault>> {
    let params = params
        .map(|params| serde_json::from_str::<&RawValue>(params.as_str()))
        .transpose()
        .map_err(|_| unwritable("/message/params"))?;
    Ok(Content { msg_type, text: to_json(&wire::CommandContent { action, params })?, left_out: Vec::new() })
}

fn write_custom(custom: &Custom) -> Result<Content, Vec<Fault>> {
    let mut faults = unsupported(&[
        ("event", custom.event.is_some()),
        ("exts", custom.exts.is_some()),
        ("description", custom.description.is_some()),
        ("extension", custom.extension.is_some()),
        ("sound", custom.sound.is_some()),
    ]);
    let Some(data) = &custom.data else {
        let detail = format!("{NAME} sends `data` as the content of a custom message; it is required");
        faults.push(Fault::new("/message/data", FaultCode::Required, detail));
        return Err(faults);
    };
    refuse(faults)?;
    Ok(Content { msg_type: msg_type::CUSTOM, text: data.as_text().to_owned(), left_out: Vec::new() })
}

fn read_native(payload: &JsonText) -> Result<Content, Vec<Fault>> {
    let mut fields =
        Fields::parse(payload.as_str(), "/message/payload", Numbers::Strict).map_err(|fault| vec![fault])?;
    let msg_type =
        fields.required_u64("msg_type", 0..=MAX_NUMBER).and_then(|number| u32::try_from(number).ok());
    let text = fields.required_text("content");
    let faults = fields.finish();
    match (msg_type, text) {
        (Some(msg_type), Some(text)) if faults.is_empty() => {
            Ok(Content { msg_type, text: text.as_ref().to_owned(), left_out: Vec::new() })
        }
        _ => Err(faults),
    }
}

fn write_image(image: &Image) -> Result<Content, Vec<Fault>> {
    refuse(unsupported(&[
        ("id", image.id.is_some()),
        ("secret", image.secret.is_some()),
        ("thumbnail_secret", image.thumbnail.secret.is_some()),
    ]))?;
    let small = image.thumbnail.url.as_ref().unwrap_or(&image.url);
    let mut left_out = thumbnail_hints(&image.thumbnail);
    left_out.extend(image.format.is_some().then_some("format"));
    let media = wire::Media {
        file_name: image.filename.as_deref(),
        length: image.size_bytes,
        ..file(
            &image.url,
            wire::MediaExt {
                kind: "file_ext_value_type_image",
                width: image.width.map(|pixels| pixels.to_string()),
                height: image.height.map(|pixels| pixels.to_string()),
                preview_url: Some(small),
                thumb_url: Some(small),
                file_name: image.filename.as_deref(),
                ..wire::MediaExt::default()
            },
        )
    };
    write_media(msg_type::IMAGE, media, left_out)
}

fn write_audio(audio: &Audio) -> Result<Content, Vec<Fault>> {
    refuse(unsupported(&[("id", audio.id.is_some()), ("secret", audio.secret.is_some())]))?;
    let media = wire::Media {
        file_name: audio.filename.as_deref(),
        length: audio.size_bytes,
        ..file(
            &audio.url,
            wire::MediaExt {
                kind: "file_ext_value_type_audio",
                audio_duration: audio.duration_seconds.map(seconds),
                file_name: audio.filename.as_deref(),
                ..wire::MediaExt::default()
            },
        )
    };
    write_media(msg_type::AUDIO, media, Vec::new())
}

fn write_video(video: &Video) -> Result<Content, Vec<Fault>> {
    refuse(unsupported(&[
        ("secret", video.secret.is_some()),
        ("thumbnail_secret", video.thumbnail.secret.is_some()),
    ]))?;
    let mut left_out = thumbnail_hints(&video.thumbnail);
    left_out.extend(video.format.is_some().then_some("format"));
    let media = wire::Media {
        file_name: video.filename.as_deref(),
        length: video.size_bytes,
        ..file(
            &video.url,
            wire::MediaExt {
                kind: "file_ext_value_type_video",
                video_duration: video.duration_seconds.map(seconds),
                cover_url: video.thumbnail.url.as_deref(),
                file_name: video.filename.as_deref(),
                ..wire::MediaExt::default()
            },
        )
    };
    write_media(msg_type::VIDEO, media, left_out)
}

fn write_file(given: &File) -> Result<Content, Vec<Fault>> {
    refuse(unsupported(&[("id", given.id.is_some()), ("secret", given.secret.is_some())]))?;
    let media = wire::Media {
        file_name: given.filename.as_deref(),
        length: given.size_bytes,
        ..file(
            &given.url,
            wire::MediaExt {
                kind: "file_ext_value_type_file",
                file_name: given.filename.as_deref(),
                ..wire::MediaExt::default()
            },
        )
    };
    write_media(msg_type::FILE, media, Vec::new())
}

/// The part that every kind of file has.
fn file<'a>(remote_url: &'a str, ext: wire::MediaExt<'a>) -> wire::Media<'a> {
    wire::Media { remote_url, display_type: "media", file_name: None, length: None, ext }
}

fn write_media(
    msg_type: u32,
    media: wire::Media<'_>,
    left_out: Vec<&'static str>,
) -> Result<Content, Vec<Fault>> {
    let content = wire::FilesContent { files: wire::Files { media } };
    Ok(Content { msg_type, text: to_json(&content)?, left_out })
}

fn seconds(duration_seconds: f64) -> String {
    whole_seconds(duration_seconds).to_string()
}

fn thumbnail_hints(thumbnail: &Thumbnail) -> Vec<&'static str> {
    let hints = [
        ("thumbnail_width", thumbnail.width.is_some()),
        ("thumbnail_height", thumbnail.height.is_some()),
        ("thumbnail_size_bytes", thumbnail.size_bytes.is_some()),
        ("thumbnail_format", thumbnail.format.is_some()),
    ];
    hints.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
}

fn unsupported(fields: &[(&str, bool)]) -> Vec<Fault> {
    fields
        .iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(name, _)| {
            Fault::new(
                format!("/message/{name}"),
                FaultCode::Unsupported,
                format!("{NAME} has no field for `{name}` of this message"),
            )
        })
        .collect()
}

fn refuse(faults: Vec<Fault>) -> Result<(), Vec<Fault>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn to_json(content: &impl Serialize) -> Result<String, Vec<Fault>> {
    serde_json::to_string(content).map_err(|_| unwritable("/message"))
}

fn unwritable(pointer: &str) -> Vec<Fault> {
    vec![Fault::new(pointer, FaultCode::OutOfRange, format!("cannot be written as JSON for {NAME}"))]
}
