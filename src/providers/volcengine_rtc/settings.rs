//! The channel's own settings.

use std::sync::Arc;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::domain::fault::FaultCode;

/// Largest number of a field that the provider's libraries declare with 32 bits.
pub(super) const MAX_NUMBER: u64 = 2_147_483_647;

/// What one channel's own keys say, checked.
pub(super) struct Settings {
    /// The application.
    ///
    /// Source: volc-sdk-golang, `service/im/model.go` (32 bits), read 2026-11-21.
    pub(super) app_id: u32,
    /// How messages are written.
    pub(super) format: Format,
    /// What signs the requests.
    pub(super) credentials: Credentials,
}

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// How a text becomes `Content`.
    pub(super) content_encoding: ContentEncoding,
    /// Whether and how media messages are written.
    pub(super) media_messages: MediaMessages,
    /// Number of the transparent message type; `None` = command messages are refused.
    pub(super) command_msg_type: Option<u32>,
}

/// How a text becomes `Content`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    /// `{"text": "..."}`.
    ClientJson,
    /// The bare text.
    Raw,
}

/// Whether and how media messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaMessages {
    /// They are refused.
    Off,
    /// As the provider's demo clients read them.
    FilesV1,
}

/// What signs the requests.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// Names the key.
    pub(super) access_key_id: Secret,
    /// The key: its UTF-8 bytes as given, even where they look like base64.
    pub(super) secret_access_key: Secret,
    /// Proof of temporary credentials; `None` = permanent ones.
    pub(super) session_token: Option<Secret>,
    /// Region in the signature's scope.
    pub(super) region: Arc<str>,
}

impl Settings {
    /// Takes the keys out of `fields`, to which it adds every fault.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let app_id = fields
            .required_u64("app_id", 1..=u64::from(u32::MAX))
            .and_then(|number| u32::try_from(number).ok());
        let format = read_format(fields);
        let credentials = read_credentials(fields);
        Some(Self { app_id: app_id?, format: format?, credentials: credentials? })
    }
}

fn read_format(fields: &mut Fields<'_>) -> Option<Format> {
    let content_encoding = required_choice(
        fields,
        "content_encoding",
        &[("client_json", ContentEncoding::ClientJson), ("raw", ContentEncoding::Raw)],
    );
    let media_messages = required_choice(
        fields,
        "media_messages",
        &[("off", MediaMessages::Off), ("files_v1", MediaMessages::FilesV1)],
    );
    let wants_command = fields.has("command_msg_type");
    let command_msg_type =
        fields.u64("command_msg_type", 1..=MAX_NUMBER).and_then(|number| u32::try_from(number).ok());
    Some(Format {
        content_encoding: content_encoding?,
        media_messages: media_messages?,
        command_msg_type: (!wants_command || command_msg_type.is_some()).then_some(command_msg_type)?,
    })
}

fn read_credentials(fields: &mut Fields<'_>) -> Option<Credentials> {
    let access_key_id =
        fields.required_text("access_key_id").and_then(|text| header_text(fields, "access_key_id", text));
    let secret_access_key = fields.required_filled_text("secret_access_key");
    let region = fields.required_text("region").and_then(|text| header_text(fields, "region", text));
    let session_token = match fields.has("session_token") {
        true => fields
            .text("session_token")
            .and_then(|text| header_text(fields, "session_token", text))
            .map(|text| Some(Secret::new(&*text))),
        false => Some(None),
    };
    Some(Credentials {
        access_key_id: Secret::new(&*access_key_id?),
        secret_access_key: Secret::new(&*secret_access_key?),
        session_token: session_token?,
        region: region?,
    })
}

/// Refuses what would break the header or the scope that it becomes part of.
fn header_text(fields: &mut Fields<'_>, name: &str, text: Arc<str>) -> Option<Arc<str>> {
    let breaks_scope = |byte: u8| name != "session_token" && matches!(byte, b'/' | b',');
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic() || breaks_scope(byte)) {
        let detail = "must be one word of visible ASCII characters that fits into the Authorization header";
        fields.fault_at(name, FaultCode::OutOfRange, detail);
        return None;
    }
    Some(text)
}

fn required_choice<T: Copy>(fields: &mut Fields<'_>, name: &str, choices: &[(&str, T)]) -> Option<T> {
    if !fields.has(name) {
        fields.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
    }
    fields.choice(name, choices)
}
