//! The stored form of a message: field by field as in the model, checked by the compiler.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::store::stored::json;

#[derive(Serialize, Deserialize)]
#[serde(remote = "Message", rename_all = "snake_case")]
pub(super) enum StoredMessage {
    Text {
        text: Arc<str>,
    },
    Image(#[serde(with = "StoredImage")] Image),
    Audio(#[serde(with = "StoredAudio")] Audio),
    Video(#[serde(with = "StoredVideo")] Video),
    File(#[serde(with = "StoredFile")] File),
    Location(#[serde(with = "StoredLocation")] Location),
    Command {
        action: Arc<str>,
        #[serde(with = "json::optional_text")]
        params: Option<JsonText>,
    },
    Custom(#[serde(with = "StoredCustom")] Custom),
    Face {
        index: i64,
        data: Option<Arc<str>>,
    },
    Native {
        #[serde(with = "json::text")]
        payload: JsonText,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Image")]
struct StoredImage {
    url: Arc<str>,
    filename: Option<Arc<str>>,
    size_bytes: Option<u64>,
    width: Option<u32>,
    height: Option<u32>,
    format: Option<Arc<str>>,
    id: Option<Arc<str>>,
    secret: Option<Arc<str>>,
    #[serde(with = "StoredThumbnail")]
    thumbnail: Thumbnail,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Thumbnail")]
struct StoredThumbnail {
    url: Option<Arc<str>>,
    width: Option<u32>,
    height: Option<u32>,
    size_bytes: Option<u64>,
    format: Option<Arc<str>>,
    secret: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Audio")]
struct StoredAudio {
    url: Arc<str>,
    filename: Option<Arc<str>>,
    #[serde(with = "json::optional_fraction")]
    duration_seconds: Option<f64>,
    size_bytes: Option<u64>,
    id: Option<Arc<str>>,
    secret: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Video")]
struct StoredVideo {
    url: Arc<str>,
    filename: Option<Arc<str>>,
    #[serde(with = "json::optional_fraction")]
    duration_seconds: Option<f64>,
    size_bytes: Option<u64>,
    format: Option<Arc<str>>,
    secret: Option<Arc<str>>,
    #[serde(with = "StoredThumbnail")]
    thumbnail: Thumbnail,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "File")]
struct StoredFile {
    url: Arc<str>,
    filename: Option<Arc<str>>,
    size_bytes: Option<u64>,
    id: Option<Arc<str>>,
    secret: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Location")]
struct StoredLocation {
    #[serde(with = "json::fraction")]
    latitude: f64,
    #[serde(with = "json::fraction")]
    longitude: f64,
    address: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Custom")]
struct StoredCustom {
    event: Option<Arc<str>>,
    exts: Option<Vec<(Arc<str>, Arc<str>)>>,
    #[serde(with = "optional_text_or_json")]
    data: Option<TextOrJson>,
    description: Option<Arc<str>>,
    extension: Option<Arc<str>>,
    sound: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TextOrJson", rename_all = "snake_case")]
enum StoredTextOrJson {
    Text(Arc<str>),
    Json(#[serde(with = "json::text")] JsonText),
}

/// Custom data where there may be none.
pub(super) mod optional_text_or_json {
    use super::{Deserialize, Deserializer, Serialize, Serializer, StoredTextOrJson, TextOrJson};

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(serialize_with = "StoredTextOrJson::serialize")] &'a TextOrJson);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "StoredTextOrJson")] TextOrJson);

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        data: &Option<TextOrJson>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        data.as_ref().map(Borrowed).serialize(serializer)
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<TextOrJson>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|owned| owned.0))
    }
}
