//! Schemas of `message` and `push`; what they describe is read in `dto/message.rs`.

use utoipa::openapi::schema::{Discriminator, ObjectBuilder};

use crate::api::document::schema::{
    AnySchema, Members as _, anything, closed, flag, map_of, named, number, one_of, pattern, signed, text,
    text_or_object, whole, word,
};
use crate::api::dto::message::{MOST_BYTES, MOST_SECONDS};
use crate::domain::message::MessageType;

/// An absolute http or https URL with a host, without white space and control characters.
pub(in crate::api) const URL: &str = concat!(
    r"^[Hh][Tt][Tt][Pp][Ss]?://(?:[^/?#\s\x00-\x1f\x7f-\x9f]*@)?",
    r"[^/?#:@\s\x00-\x1f\x7f-\x9f][^/?#@\s\x00-\x1f\x7f-\x9f]*(?:[/?#][^\s\x00-\x1f\x7f-\x9f]*)?$"
);

/// Every schema of this module, by name.
pub(in crate::api) fn schemas() -> Vec<(String, AnySchema)> {
    let mut all: Vec<(String, AnySchema)> = vec![("Message".to_owned(), message())];
    all.extend(MessageType::ALL.map(|of| (name(of), variant(of).into())));
    all.push(("Push".to_owned(), push()));
    all
}

/// The name of a type's schema, e.g. `TextMessage`.
fn name(of: MessageType) -> String {
    let mut letters = of.as_str().chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain("Message".chars()).collect()
}

fn message() -> AnySchema {
    let variants = MessageType::ALL.map(|of| named(&name(of)));
    let place = |of: MessageType| (of.as_str(), format!("#/components/schemas/{}", name(of)));
    let by_type = Discriminator::with_mapping("type", MessageType::ALL.map(place));
    one_of(
        "What is sent. What each channel carries is at `GET /v1/channels`; what it cannot carry is refused \
         before any call.",
        variants,
    )
    .discriminator(Some(by_type))
    .into()
}

fn variant(of: MessageType) -> ObjectBuilder {
    let start = |about| closed(about).must("type", word("The type.", [of.as_str()]));
    match of {
        MessageType::Text => start("Plain text.").must("text", text("The text.")),
        MessageType::Image => thumbnail(
            sized(identified(file(start("A picture behind a URL."), "The picture.")))
                .may("width", pixels("Width in pixels."))
                .may("height", pixels("Height in pixels."))
                .may("format", text("Format such as `png`.")),
        ),
        MessageType::Audio => {
            identified(timed(sized(file(start("A voice message or sound behind a URL."), "The sound."))))
        }
        MessageType::Video => thumbnail(
            timed(sized(file(start("A video behind a URL."), "The video.")))
                .may("format", text("Format such as `mp4`."))
                .may("thumbnail_format", text("Format of the cover, such as `JPG`."))
                .may("thumbnail_secret", text("Secret that the provider needs to open the cover's URL.")),
        ),
        MessageType::File => identified(sized(file(start("Any file behind a URL."), "The file."))),
        MessageType::Location => start("A place on earth.")
            .must("latitude", number("Degrees.", -90.0..=90.0))
            .must("longitude", number("Degrees.", -180.0..=180.0))
            .may("address", text("The place in words.")),
        MessageType::Command => start("A transparent message: the app acts, nothing is shown.")
            .must("action", text("What the app is to do."))
            .may("params", passed_on("Parameters of the action.")),
        MessageType::Custom => custom(start("A message that only the app understands.")),
        MessageType::Face => start("A sticker or emoticon of the app.")
            .must("index", signed("Number of the sticker, chosen by the app."))
            .may("data", text("Data beside the number.")),
        MessageType::Native => start(
            "The provider's own message element or elements, of which only the outer shape is checked. At the \
             top of a request only if all its routes have one provider.",
        )
        .must("payload", passed_on("Shape as the provider's document says.")),
    }
}

fn custom(start: ObjectBuilder) -> ObjectBuilder {
    let texts = map_of("Texts by name, at most 1000.", text("Any text.")).max_properties(Some(1000));
    start
        .may("event", text("Name of the event."))
        .may("exts", texts)
        .may("data", passed_on("A text, or any other JSON."))
        .may("description", text("Shown where the app does not understand the message."))
        .may("extension", text("A second text of the app's own."))
        .may("sound", text("Sound of the notification."))
}

fn file(start: ObjectBuilder, what: &str) -> ObjectBuilder {
    start
        .must("url", url(&format!("{what} An absolute http or https URL.")))
        .may("filename", text("File name to show."))
        .may("secret", text("Secret that the provider needs to open the URL."))
}

fn sized(start: ObjectBuilder) -> ObjectBuilder {
    start.may("size_bytes", bytes("Size of the file in bytes."))
}

fn identified(start: ObjectBuilder) -> ObjectBuilder {
    start.may("id", text("The caller's own id of it."))
}

fn timed(start: ObjectBuilder) -> ObjectBuilder {
    start.may("duration_seconds", number("Length in seconds, fractions allowed.", 0.0..=MOST_SECONDS))
}

fn thumbnail(start: ObjectBuilder) -> ObjectBuilder {
    start
        .may("thumbnail_url", url("A small version or cover. An absolute http or https URL."))
        .may("thumbnail_width", pixels("Its width in pixels."))
        .may("thumbnail_height", pixels("Its height in pixels."))
        .may("thumbnail_size_bytes", bytes("Its size in bytes."))
}

fn url(about: &str) -> ObjectBuilder {
    pattern(about, URL)
}

fn pixels(about: &str) -> ObjectBuilder {
    whole(about, 0..=u64::from(u32::MAX))
}

fn bytes(about: &str) -> ObjectBuilder {
    whole(about, 0..=MOST_BYTES)
}

/// A value that is only passed on.
fn passed_on(about: &str) -> ObjectBuilder {
    anything(&format!("{about} At most 32 levels deep."))
}

fn push() -> AnySchema {
    let ios = closed("On iOS.")
        .may("sound", text("Sound file."))
        .may("badge", flag("`true`: the message counts on the icon."));
    let android = closed("On Android.").may("sound", text("Sound file."));
    let push = closed("Offline push, where the provider has it; refused where it has none.")
        .may("disabled", flag("`true`: no offline push."))
        .may("title", text("Title of the notification."))
        .may("body", text("Text of the notification."))
        .may("ext", text_or_object("Data that the notification carries."))
        .may("ios", ios)
        .may("android", android);
    push.into()
}
