//! The provider's own keys of a channel.

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::adapter::wire::percent_encode;
use crate::domain::fault::FaultCode;

/// Longest lifetime that can be asked for: ten years, in the milliseconds that one cluster counts.
const MOST_TOKEN_TTL: u64 = 315_360_000_000;

/// The keys of `default.toml` that no other provider has, checked.
pub(super) struct Settings {
    /// `/{org_name}/{app_name}`, percent-encoded: where every path of the app starts.
    pub(super) app_path: String,
    /// How the channel comes by its app token.
    pub(super) credential: Credential,
}

/// How a channel comes by its app token.
pub(super) enum Credential {
    /// Fetched with the app's credentials.
    Client {
        /// `client_id` from the console.
        id: String,
        /// `client_secret` from the console.
        secret: Secret,
        /// Seconds to ask for, 0 = never expires; `None` = what the console says.
        ttl_seconds: Option<u64>,
    },
    /// Made elsewhere, never renewed.
    Fixed(Secret),
}

impl Settings {
    /// Takes the own keys out of `fields`; `None` if one is wrong, with every fault in `fields`.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let org_name = fields.required_filled_text("org_name");
        let app_name = fields.required_filled_text("app_name");
        let credential = if fields.has("app_token") { read_fixed(fields) } else { read_client(fields) };
        let mut app_path = String::new();
        for name in [org_name?, app_name?] {
            app_path.push('/');
            percent_encode(&mut app_path, &name);
        }
        Some(Self { app_path, credential: credential? })
    }
}

fn read_fixed(fields: &mut Fields<'_>) -> Option<Credential> {
    let token = fields.required_filled_text("app_token");
    let mut is_alone = true;
    for name in ["client_id", "client_secret", "token_ttl_seconds"] {
        if fields.raw(name).is_some() {
            is_alone = false;
            fields.fault_at(
                name,
                FaultCode::Conflict,
                format!("`{name}` and `app_token` exclude each other"),
            );
        }
    }
    Some(Credential::Fixed(Secret::new(&*token?))).filter(|_| is_alone)
}

fn read_client(fields: &mut Fields<'_>) -> Option<Credential> {
    let id = fields.required_filled_text("client_id");
    let secret = fields.required_filled_text("client_secret");
    let wants_ttl = fields.has("token_ttl_seconds");
    let ttl_seconds = fields.u64("token_ttl_seconds", 0..=MOST_TOKEN_TTL);
    let credential = Credential::Client { id: id?.to_string(), secret: Secret::new(&*secret?), ttl_seconds };
    Some(credential).filter(|_| ttl_seconds.is_some() == wants_ttl)
}
