//! What is sent: one message in imcast's own words, before any provider's format.

use std::sync::Arc;

use crate::domain::json::{JsonText, TextOrJson};

/// One message.
///
/// What each provider carries or refuses is in its fact sheet and in its profile.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Plain text.
    Text {
        /// The text; may be empty where the provider allows it.
        text: Arc<str>,
    },
    /// A picture.
    Image(Image),
    /// A voice message or sound.
    Audio(Audio),
    /// A video clip.
    Video(Video),
    /// Any file.
    File(File),
    /// A place on earth.
    Location(Location),
    /// A transparent message: the app acts, nothing is shown.
    Command {
        /// What the app is to do.
        action: Arc<str>,
        /// Parameters of the action.
        params: Option<JsonText>,
    },
    /// A message that only the app understands.
    Custom(Custom),
    /// A sticker or emoticon of the app.
    Face {
        /// Number of the sticker, chosen by the app.
        index: i64,
        /// Data beside the number.
        data: Option<Arc<str>>,
    },
    /// The provider's own message element or elements, passed on as given.
    Native {
        /// Shape as the provider's adapter says; only its outside is checked.
        payload: JsonText,
    },
}

/// The `type` of a [`Message`], as data for profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageType {
    /// [`Message::Text`].
    Text,
    /// [`Message::Image`].
    Image,
    /// [`Message::Audio`].
    Audio,
    /// [`Message::Video`].
    Video,
    /// [`Message::File`].
    File,
    /// [`Message::Location`].
    Location,
    /// [`Message::Command`].
    Command,
    /// [`Message::Custom`].
    Custom,
    /// [`Message::Face`].
    Face,
    /// [`Message::Native`].
    Native,
}

impl MessageType {
    /// Every type, in the order of the API document.
    pub const ALL: [Self; 10] = [
        Self::Text,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::File,
        Self::Location,
        Self::Command,
        Self::Custom,
        Self::Face,
        Self::Native,
    ];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
            Self::Location => "location",
            Self::Command => "command",
            Self::Custom => "custom",
            Self::Face => "face",
            Self::Native => "native",
        }
    }
}

impl Message {
    /// The type of this message.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Text { .. } => MessageType::Text,
            Self::Image(_) => MessageType::Image,
            Self::Audio(_) => MessageType::Audio,
            Self::Video(_) => MessageType::Video,
            Self::File(_) => MessageType::File,
            Self::Location(_) => MessageType::Location,
            Self::Command { .. } => MessageType::Command,
            Self::Custom(_) => MessageType::Custom,
            Self::Face { .. } => MessageType::Face,
            Self::Native { .. } => MessageType::Native,
        }
    }
}

/// A picture behind a URL. `None` = the caller did not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Where the picture is: an absolute http or https URL, checked at the edge.
    pub url: Arc<str>,
    /// File name to show.
    pub filename: Option<Arc<str>>,
    /// Size of the file in bytes.
    pub size_bytes: Option<u64>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Format such as `png`.
    pub format: Option<Arc<str>>,
    /// The caller's own id of the picture.
    pub id: Option<Arc<str>>,
    /// Secret that the provider needs to open the URL.
    pub secret: Option<Arc<str>>,
    /// The small version, if there is one.
    pub thumbnail: Thumbnail,
}

/// A small version of a picture or the cover of a video.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thumbnail {
    /// Where it is: an absolute http or https URL, checked at the edge.
    pub url: Option<Arc<str>>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Size of the file in bytes.
    pub size_bytes: Option<u64>,
    /// Format such as `JPG`; videos only.
    pub format: Option<Arc<str>>,
    /// Secret that the provider needs to open the URL; videos only.
    pub secret: Option<Arc<str>>,
}

/// A sound behind a URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audio {
    /// Where the sound is: an absolute http or https URL, checked at the edge.
    pub url: Arc<str>,
    /// File name to show.
    pub filename: Option<Arc<str>>,
    /// Length in seconds, finite, 0 or more, fractions allowed.
    pub duration_seconds: Option<f64>,
    /// Size of the file in bytes.
    pub size_bytes: Option<u64>,
    /// The caller's own id of the sound.
    pub id: Option<Arc<str>>,
    /// Secret that the provider needs to open the URL.
    pub secret: Option<Arc<str>>,
}

/// A video behind a URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Video {
    /// Where the video is: an absolute http or https URL, checked at the edge.
    pub url: Arc<str>,
    /// File name to show.
    pub filename: Option<Arc<str>>,
    /// Length in seconds, finite, 0 or more, fractions allowed.
    pub duration_seconds: Option<f64>,
    /// Size of the file in bytes.
    pub size_bytes: Option<u64>,
    /// Format such as `mp4`.
    pub format: Option<Arc<str>>,
    /// Secret that the provider needs to open the URL.
    pub secret: Option<Arc<str>>,
    /// The cover.
    pub thumbnail: Thumbnail,
}

/// A file behind a URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Where the file is: an absolute http or https URL, checked at the edge.
    pub url: Arc<str>,
    /// File name to show.
    pub filename: Option<Arc<str>>,
    /// Size of the file in bytes.
    pub size_bytes: Option<u64>,
    /// The caller's own id of the file.
    pub id: Option<Arc<str>>,
    /// Secret that the provider needs to open the URL.
    pub secret: Option<Arc<str>>,
}

/// A place on earth.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Degrees, -90 to 90.
    pub latitude: f64,
    /// Degrees, -180 to 180.
    pub longitude: f64,
    /// What the place is called.
    pub address: Option<Arc<str>>,
}

/// A message that only the app understands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Custom {
    /// Name of the event.
    pub event: Option<Arc<str>>,
    /// Key-value pairs of the event, in the caller's order, keys distinct.
    pub exts: Option<Vec<(Arc<str>, Arc<str>)>>,
    /// The content.
    pub data: Option<TextOrJson>,
    /// Text shown where the app cannot render the content.
    pub description: Option<Arc<str>>,
    /// Data beside the content.
    pub extension: Option<Arc<str>>,
    /// Sound file of the notification.
    pub sound: Option<Arc<str>>,
}

/// Rounds a length in seconds up to whole seconds, as every provider counts them.
#[must_use]
pub fn whole_seconds(duration_seconds: f64) -> u64 {
    let rounded = duration_seconds.ceil().clamp(0.0, 4_294_967_295.0);
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to u32 and integral"
    )]
    let seconds = rounded as u64;
    seconds
}
