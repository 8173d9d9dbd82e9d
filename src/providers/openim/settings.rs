//! The channel's own settings.

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::domain::fault::{Fault, FaultCode};

/// What one channel's own keys say, checked.
#[derive(Debug)]
pub(super) struct Settings {
    /// How the channel comes by its token.
    pub(super) credential: Credential,
    /// Where tokens are fetched.
    pub(super) token_endpoint: TokenEndpoint,
    /// Whether requests may send to every registered user.
    pub(super) allow_send_all: bool,
    /// Most time for a send to every registered user.
    pub(super) send_all_timeout: Duration,
    /// Message types beyond those that public servers take.
    pub(super) extra_content_types: ExtraContentTypes,
}

/// How a channel comes by its token.
#[derive(Debug)]
pub(super) enum Credential {
    /// Fetched with the server's secret.
    Fetched {
        /// An administrator of the app.
        admin_user_id: Arc<str>,
        /// The server's secret.
        secret: Secret,
    },
    /// Made elsewhere, never renewed.
    Fixed(Secret),
}

/// Where tokens are fetched.
///
/// Source: OpenIM, get admin token; open-im-server `internal/api/router.go` at v3.8.0, read 2026-11-21.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenEndpoint {
    /// Servers from v3.8.1.
    GetAdminToken,
    /// Servers from v3.0 to v3.8.0.
    UserToken,
}

/// Message types that are documented, but refused by every public server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ExtraContentTypes {
    /// Type 109.
    pub(super) location: bool,
    /// Type 115.
    pub(super) face: bool,
}

impl Settings {
    /// Takes the keys out of `fields`, to which it adds every fault.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let credential = match fields.has("token") {
            true => read_fixed(fields),
            false => read_fetched(fields),
        };
        require(fields, "token_endpoint");
        let token_endpoint = fields.choice(
            "token_endpoint",
            &[("get_admin_token", TokenEndpoint::GetAdminToken), ("user_token", TokenEndpoint::UserToken)],
        );
        require(fields, "allow_send_all");
        let allow_send_all = fields.bool("allow_send_all");
        let send_all_timeout = fields.required_u64("send_all_timeout_ms", 1..=3_600_000);
        let extra_content_types = read_extra(fields);
        Some(Self {
            credential: credential?,
            token_endpoint: token_endpoint?,
            allow_send_all: allow_send_all?,
            send_all_timeout: Duration::from_millis(send_all_timeout?),
            extra_content_types: extra_content_types?,
        })
    }
}

fn require(fields: &mut Fields<'_>, name: &str) {
    if !fields.has(name) {
        fields.fault_at(name, FaultCode::Required, format!("`{name}` is required"));
    }
}

fn read_fetched(fields: &mut Fields<'_>) -> Option<Credential> {
    let admin_user_id = fields.required_filled_text("admin_user_id");
    let secret = fields.required_filled_text("secret");
    Some(Credential::Fetched { admin_user_id: admin_user_id?, secret: Secret::new(&*secret?) })
}

fn read_fixed(fields: &mut Fields<'_>) -> Option<Credential> {
    let token = fields.required_filled_text("token");
    let mut is_alone = true;
    for name in ["admin_user_id", "secret"] {
        if fields.raw(name).is_some() {
            is_alone = false;
            let detail = format!("`{name}` and `token` exclude each other");
            fields.fault_at(name, FaultCode::Conflict, detail);
        }
    }
    let token = token?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "must be one word of visible ASCII characters that fits into a header";
        fields.fault_at("token", FaultCode::OutOfRange, detail);
        return None;
    }
    is_alone.then(|| Credential::Fixed(Secret::new(&*token)))
}

fn read_extra(fields: &mut Fields<'_>) -> Option<ExtraContentTypes> {
    require(fields, "extra_content_types");
    let mut extra = ExtraContentTypes::default();
    let mut is_sound = true;
    for (index, content_type) in fields.ids("extra_content_types")?.iter().enumerate() {
        match &**content_type {
            "109" => extra.location = true,
            "115" => extra.face = true,
            _ => {
                is_sound = false;
                let pointer = format!("/extra_content_types/{index}");
                fields.fault(Fault::new(pointer, FaultCode::OutOfRange, "must be 109 or 115"));
            }
        }
    }
    is_sound.then_some(extra)
}
