//! Writes a normalized message as the provider's message elements.
//!
//! Source: Tencent IM, message format, read 2026-11-21.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::sandbox::percent_decode;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Video, whole_seconds};
use crate::providers::tencent_tim::NAME;

/// How a media file is fetched: 2 = by its URL, the only documented value.
const DOWNLOAD_BY_URL: u8 = 2;

/// The message part of a request.
pub(super) struct Elements {
    /// `MsgBody` as compact JSON.
    pub(super) body: String,
    /// Hints without a field that were given.
    pub(super) left_out: Vec<&'static str>,
    /// Whether the message acts in the app and shows nothing.
    pub(super) is_silent: bool,
}

/// Writes `message`; every fault is added to `faults`.
pub(super) fn write(message: &Message, faults: &mut Vec<Fault>) -> Elements {
    let mut left_out = Vec::new();
    let element = match message {
        Message::Text { text } => element("TIMTextElem", &json!({ "Text": &**text })),
        Message::Face { index, data } => element(
            "TIMFaceElem",
            &json!({ "Index": index, "Data": data.as_deref().unwrap_or_default() }),
        ),
        Message::Location(location) => write_location(location),
        Message::Command { action, params } => write_command(action, params.as_ref()),
        Message::Custom(custom) => write_custom(custom, faults),
        Message::Image(image) => write_image(image, faults, &mut left_out),
        Message::Audio(audio) => write_audio(audio, faults, &mut left_out),
        Message::Video(video) => write_video(video, faults, &mut left_out),
        Message::File(file) => write_file(file, faults),
        Message::Native { payload } => {
            check_native(payload, faults);
            return Elements {
                body: payload.as_str().to_owned(),
                left_out,
                is_silent: false,
            };
        }
    };
    let is_silent = matches!(message, Message::Command { .. });
    Elements {
        body: json!([element]).to_string(),
        left_out,
        is_silent,
    }
}

fn element(kind: &str, content: &Value) -> Value {
    json!({ "MsgType": kind, "MsgContent": content })
}

fn write_location(location: &Location) -> Value {
    let address = location.address.as_deref().unwrap_or_default();
    let content = json!({ "Desc": address, "Latitude": location.latitude, "Longitude": location.longitude });
    element("TIMLocationElem", &content)
}

/// There is no command type: receivers must know this convention of imcast.
fn write_command(action: &str, params: Option<&JsonText>) -> Value {
    // The parameters stay as they came: a tree in between would round large numbers.
    let mut data = format!("{{\"action\":{}", Value::from(action));
    if let Some(params) = params {
        data.push_str(",\"params\":");
        data.push_str(params.as_str());
    }
    data.push('}');
    element("TIMCustomElem", &json!({ "Data": data }))
}

fn write_custom(custom: &Custom, faults: &mut Vec<Fault>) -> Value {
    for (name, is_given) in [("event", custom.event.is_some()), ("exts", custom.exts.is_some())] {
        if is_given {
            faults.push(no_field(name));
        }
    }
    if custom.data.is_none() {
        let detail = format!("`data` is required for a custom message of {NAME}");
        faults.push(Fault::new("/message/data", FaultCode::Required, detail));
    }
    let mut content = json!({ "Data": custom.data.as_ref().map(|data| data.as_text()).unwrap_or_default() });
    let optional = [
        ("Desc", &custom.description),
        ("Ext", &custom.extension),
        ("Sound", &custom.sound),
    ];
    for (name, value) in optional {
        if let (Some(value), Some(content)) = (value, content.as_object_mut()) {
            content.insert(name.into(), Value::from(&**value));
        }
    }
    element("TIMCustomElem", &content)
}

fn write_image(image: &Image, faults: &mut Vec<Fault>, left_out: &mut Vec<&'static str>) -> Value {
    refuse_secret("secret", image.secret.is_some(), faults);
    refuse_secret("thumbnail_secret", image.thumbnail.secret.is_some(), faults);
    left_out.extend(image.filename.is_some().then_some("filename"));
    let size = (
        image.size_bytes.unwrap_or(0),
        image.width.unwrap_or(0),
        image.height.unwrap_or(0),
    );
    let thumbnail = &image.thumbnail;
    let small = match &thumbnail.url {
        // A thumbnail's dimensions are its own; those of the picture would be wrong.
        Some(_) => (
            thumbnail.size_bytes.unwrap_or(0),
            thumbnail.width.unwrap_or(0),
            thumbnail.height.unwrap_or(0),
        ),
        None => size,
    };
    let small_url = thumbnail.url.as_ref().unwrap_or(&image.url);
    let info = |kind: u8, url: &str, (bytes, width, height): (u64, u32, u32)| json!({ "Type": kind, "Size": bytes, "Width": width, "Height": height, "URL": url });
    let content = json!({
        "UUID": image.id.as_deref().map_or_else(|| uuid(&image.url), str::to_owned),
        "ImageFormat": image_format(image),
        "ImageInfoArray": [info(1, &image.url, size), info(2, &image.url, size), info(3, small_url, small)],
    });
    element("TIMImageElem", &content)
}

/// 1 JPG, 2 GIF, 3 PNG, 4 BMP, 255 anything else.
fn image_format(image: &Image) -> u8 {
    let named = image
        .format
        .as_deref()
        .map(str::to_owned)
        .or_else(|| extension(&image.url));
    match named.unwrap_or_default().to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => 1,
        "gif" => 2,
        "png" => 3,
        "bmp" => 4,
        _ => 255,
    }
}

fn write_audio(audio: &Audio, faults: &mut Vec<Fault>, left_out: &mut Vec<&'static str>) -> Value {
    refuse_secret("secret", audio.secret.is_some(), faults);
    left_out.extend(audio.filename.is_some().then_some("filename"));
    let content = json!({
        "Url": &*audio.url,
        "UUID": audio.id.as_deref().map_or_else(|| uuid(&audio.url), str::to_owned),
        "Size": audio.size_bytes.unwrap_or(0),
        "Second": audio.duration_seconds.map_or(0, whole_seconds),
        "Download_Flag": DOWNLOAD_BY_URL,
    });
    element("TIMSoundElem", &content)
}

fn write_video(video: &Video, faults: &mut Vec<Fault>, left_out: &mut Vec<&'static str>) -> Value {
    refuse_secret("secret", video.secret.is_some(), faults);
    refuse_secret("thumbnail_secret", video.thumbnail.secret.is_some(), faults);
    left_out.extend(video.filename.is_some().then_some("filename"));
    let thumbnail = &video.thumbnail;
    let Some(thumbnail_url) = &thumbnail.url else {
        let detail = format!("{NAME} cannot carry a video without a thumbnail");
        faults.push(Fault::new("/message/thumbnail_url", FaultCode::Required, detail));
        return Value::Null;
    };
    let content = json!({
        "VideoUrl": &*video.url,
        "VideoUUID": uuid(&video.url),
        "VideoSize": video.size_bytes.unwrap_or(0),
        "VideoSecond": video.duration_seconds.map_or(0, whole_seconds),
        "VideoFormat": video.format.as_deref().map(str::to_owned).or_else(|| extension(&video.url)).unwrap_or("mp4".into()),
        "VideoDownloadFlag": DOWNLOAD_BY_URL,
        "ThumbUrl": &**thumbnail_url,
        "ThumbUUID": uuid(thumbnail_url),
        "ThumbSize": thumbnail.size_bytes.unwrap_or(0),
        "ThumbWidth": thumbnail.width.unwrap_or(0),
        "ThumbHeight": thumbnail.height.unwrap_or(0),
        "ThumbFormat": thumbnail.format.as_deref().unwrap_or("JPG"),
        "ThumbDownloadFlag": DOWNLOAD_BY_URL,
    });
    element("TIMVideoFileElem", &content)
}

fn write_file(file: &File, faults: &mut Vec<Fault>) -> Value {
    refuse_secret("secret", file.secret.is_some(), faults);
    let filename = file
        .filename
        .as_deref()
        .map_or_else(|| last_segment(&file.url), str::to_owned);
    let content = json!({
        "Url": &*file.url,
        "UUID": file.id.as_deref().map_or_else(|| uuid(&file.url), str::to_owned),
        "FileSize": file.size_bytes.unwrap_or(0),
        "FileName": filename,
        "Download_Flag": DOWNLOAD_BY_URL,
    });
    element("TIMFileElem", &content)
}

/// Checks the outside of the provider's own elements: at least one, each with type and content, at most one custom.
fn check_native(payload: &JsonText, faults: &mut Vec<Fault>) {
    let pointer = "/message/payload";
    let elements: Result<Vec<&serde_json::value::RawValue>, _> = serde_json::from_str(payload.as_str());
    let Ok(elements) = elements else {
        let detail = format!("must be an array of message elements of {NAME}");
        return faults.push(Fault::new(pointer, FaultCode::WrongType, detail));
    };
    if elements.is_empty() {
        faults.push(Fault::new(
            pointer,
            FaultCode::Required,
            "needs at least one element",
        ));
    }
    let mut custom_count = 0;
    for (index, element) in elements.iter().enumerate() {
        match Fields::parse(element.get(), format!("{pointer}/{index}"), Numbers::Strict) {
            Ok(mut fields) => {
                let kind = fields.required_filled_text("MsgType");
                custom_count += usize::from(kind.as_deref() == Some("TIMCustomElem"));
                if !fields.has("MsgContent") {
                    fields.fault_at("MsgContent", FaultCode::Required, "`MsgContent` is required");
                }
                fields.json_object("MsgContent");
                faults.extend(fields.finish());
            }
            Err(fault) => faults.push(fault),
        }
    }
    if custom_count > 1 {
        faults.push(Fault::new(
            pointer,
            FaultCode::Conflict,
            "may have one TIMCustomElem at most",
        ));
    }
}

fn refuse_secret(name: &str, is_given: bool, faults: &mut Vec<Fault>) {
    if is_given {
        faults.push(no_field(name));
    }
}

fn no_field(name: &str) -> Fault {
    Fault::new(
        format!("/message/{name}"),
        FaultCode::Unsupported,
        format!("{NAME} has no field for `{name}`"),
    )
}

/// A name for a file that stays the same when it is sent again: 32 hex digits.
fn uuid(url: &str) -> String {
    let mut digits: String = Sha256::digest(url.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.truncate(32);
    digits
}

fn path(url: &str) -> &str {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let path = url.get(..end).unwrap_or(url);
    let after_scheme = path.split_once("://").map_or(path, |(_, rest)| rest);
    after_scheme.split_once('/').map_or("", |(_, path)| path)
}

fn last_segment(url: &str) -> String {
    let segment = path(url).rsplit('/').next().unwrap_or_default();
    percent_decode(segment).unwrap_or_else(|| segment.to_owned())
}

fn extension(url: &str) -> Option<String> {
    let segment = path(url).rsplit('/').next()?;
    let (_, extension) = segment.rsplit_once('.')?;
    (!extension.is_empty()).then(|| extension.to_owned())
}
