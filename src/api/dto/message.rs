//! Reads `message` and `push`.

use std::sync::Arc;

use crate::adapter::fields::Fields;
use crate::domain::fault::FaultCode;
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, MessageType, Thumbnail, Video};
use crate::domain::route::Push;

/// Longest sound or video, in seconds: what the providers' 32-bit fields can hold.
pub const MOST_SECONDS: f64 = 4_294_967_295.0;

/// Largest file, in bytes: what every provider's 64-bit field can hold.
pub const MOST_BYTES: u64 = 9_223_372_036_854_775_807;

/// Reads a message; every type has its own fields.
pub fn read_message(fields: &mut Fields<'_>) -> Option<Message> {
    require(fields, "type");
    let choices = MessageType::ALL.map(|message_type| (message_type.as_str(), message_type));
    match fields.choice("type", &choices) {
        Some(MessageType::Text) => fields.required_text("text").map(|text| Message::Text { text }),
        Some(MessageType::Image) => read_image(fields).map(Message::Image),
        Some(MessageType::Audio) => read_audio(fields).map(Message::Audio),
        Some(MessageType::Video) => read_video(fields).map(Message::Video),
        Some(MessageType::File) => read_file(fields).map(Message::File),
        Some(MessageType::Location) => read_location(fields).map(Message::Location),
        Some(MessageType::Command) => read_command(fields),
        Some(MessageType::Custom) => Some(Message::Custom(read_custom(fields))),
        Some(MessageType::Face) => read_face(fields),
        Some(MessageType::Native) => {
            require(fields, "payload");
            fields.json("payload").map(|payload| Message::Native { payload })
        }
        None => {
            // Which fields belong here is unknown, so none of them is called unknown.
            for name in owned_names(fields) {
                fields.raw(&name);
            }
            None
        }
    }
}

fn read_image(fields: &mut Fields<'_>) -> Option<Image> {
    let url = read_required_url(fields);
    let image = Image {
        url: Arc::default(),
        filename: fields.text("filename"),
        size_bytes: read_bytes(fields, "size_bytes"),
        width: fields.u32("width"),
        height: fields.u32("height"),
        format: fields.text("format"),
        id: fields.text("id"),
        secret: fields.text("secret"),
        thumbnail: read_thumbnail(fields),
    };
    url.map(|url| Image { url, ..image })
}

fn read_audio(fields: &mut Fields<'_>) -> Option<Audio> {
    let url = read_required_url(fields);
    let audio = Audio {
        url: Arc::default(),
        filename: fields.text("filename"),
        duration_seconds: fields.number("duration_seconds", 0.0..=MOST_SECONDS),
        size_bytes: read_bytes(fields, "size_bytes"),
        id: fields.text("id"),
        secret: fields.text("secret"),
    };
    url.map(|url| Audio { url, ..audio })
}

fn read_video(fields: &mut Fields<'_>) -> Option<Video> {
    let url = read_required_url(fields);
    let video = Video {
        url: Arc::default(),
        filename: fields.text("filename"),
        duration_seconds: fields.number("duration_seconds", 0.0..=MOST_SECONDS),
        size_bytes: read_bytes(fields, "size_bytes"),
        format: fields.text("format"),
        secret: fields.text("secret"),
        thumbnail: Thumbnail {
            format: fields.text("thumbnail_format"),
            secret: fields.text("thumbnail_secret"),
            ..read_thumbnail(fields)
        },
    };
    url.map(|url| Video { url, ..video })
}

fn read_thumbnail(fields: &mut Fields<'_>) -> Thumbnail {
    Thumbnail {
        url: read_url(fields, "thumbnail_url"),
        width: fields.u32("thumbnail_width"),
        height: fields.u32("thumbnail_height"),
        size_bytes: read_bytes(fields, "thumbnail_size_bytes"),
        ..Thumbnail::default()
    }
}

fn read_file(fields: &mut Fields<'_>) -> Option<File> {
    let url = read_required_url(fields);
    let file = File {
        url: Arc::default(),
        filename: fields.text("filename"),
        size_bytes: read_bytes(fields, "size_bytes"),
        id: fields.text("id"),
        secret: fields.text("secret"),
    };
    url.map(|url| File { url, ..file })
}

fn read_location(fields: &mut Fields<'_>) -> Option<Location> {
    require(fields, "latitude");
    require(fields, "longitude");
    let latitude = fields.number("latitude", -90.0..=90.0);
    let longitude = fields.number("longitude", -180.0..=180.0);
    let address = fields.text("address");
    Some(Location { latitude: latitude?, longitude: longitude?, address })
}

fn read_command(fields: &mut Fields<'_>) -> Option<Message> {
    let action = fields.required_text("action");
    let params = fields.json("params");
    action.map(|action| Message::Command { action, params })
}

fn read_custom(fields: &mut Fields<'_>) -> Custom {
    Custom {
        event: fields.text("event"),
        exts: fields.object("exts", |exts| Some(read_pairs(exts))),
        data: fields.text_or_json("data"),
        description: fields.text("description"),
        extension: fields.text("extension"),
        sound: fields.text("sound"),
    }
}

fn read_pairs(fields: &mut Fields<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut pairs = Vec::new();
    for name in owned_names(fields) {
        if let Some(value) = fields.text(&name) {
            pairs.push((name.into(), value));
        }
    }
    pairs
}

fn read_face(fields: &mut Fields<'_>) -> Option<Message> {
    require(fields, "index");
    let index = fields.i64("index");
    let data = fields.text("data");
    index.map(|index| Message::Face { index, data })
}

/// Reads offline push.
pub fn read_push(fields: &mut Fields<'_>) -> Option<Push> {
    let ios = fields.object("ios", |ios| Some((ios.text("sound"), ios.bool("badge"))));
    let (ios_sound, ios_badge) = ios.unwrap_or_default();
    Some(Push {
        disabled: fields.bool("disabled"),
        title: fields.text("title"),
        body: fields.text("body"),
        ext: fields.text_or_object("ext"),
        ios_sound,
        ios_badge,
        android_sound: fields.object("android", |android| Some(android.text("sound"))).flatten(),
    })
}

fn owned_names(fields: &Fields<'_>) -> Vec<String> {
    fields.names().map(str::to_owned).collect()
}

fn require(fields: &mut Fields<'_>, name: &str) {
    if !fields.has(name) {
        fields.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
    }
}

fn read_bytes(fields: &mut Fields<'_>, name: &str) -> Option<u64> {
    fields.u64(name, 0..=MOST_BYTES)
}

fn read_required_url(fields: &mut Fields<'_>) -> Option<Arc<str>> {
    require(fields, "url");
    read_url(fields, "url")
}

fn read_url(fields: &mut Fields<'_>, name: &str) -> Option<Arc<str>> {
    let url = fields.text(name)?;
    if !is_absolute_http_url(&url) {
        fields.fault_at(name, FaultCode::OutOfRange, "must be an absolute http or https URL");
        return None;
    }
    Some(url)
}

/// Whether `url` has an http scheme, a host, and nothing that would end it early.
///
/// Letters outside ASCII are let through: phones open such addresses, and the text goes on as it is.
fn is_absolute_http_url(url: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let (head, rest) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    !host.is_empty()
        && !host.starts_with(':')
        && !url.chars().any(|character| character.is_whitespace() || character.is_control())
}
