//! Easemob, messages to chatrooms: rooms by id, or chosen members of one room (option `users`).
//!
//! What a caller must know: an acceptance is not a delivery. The provider checks neither sender nor room ids,
//! no mute or block list, and silently drops what a room gets beyond 20 messages per second.
//! Source: Easemob, send chatroom messages, read 2026-11-21.

mod answer;
mod auth;
mod codes;
mod content;
mod options;
pub mod sandbox;
mod sandbox_rules;
mod settings;
mod translate;
mod wire;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod sandbox_tests;
#[cfg(test)]
mod test_rig;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::adapter::channel::{CommonSettings, Provider};
use crate::adapter::fields::Fields;
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::{Adapter, Auth, Prepared};
use crate::domain::fault::Fault;
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::route::{Route, TargetType};
use crate::providers::easemob_chatroom::auth::AppToken;
use crate::providers::easemob_chatroom::settings::Settings;

/// This provider's name in configuration and `provider_options`.
pub const NAME: &str = "easemob_chatroom";

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    account_keys: &["org_name", "app_name"],
    most_recipients_per_call: MOST_ROOMS_PER_CALL,
    build,
    sandbox: sandbox::SANDBOX,
};

/// Most rooms of one call.
///
/// Source: Easemob, send chatroom messages, call frequency (10 rooms a call, not adjustable), read 2026-11-21.
const MOST_ROOMS_PER_CALL: usize = 10;

/// Most members of one directed call.
///
/// Source: Easemob, send chatroom messages, directed messages, `users`, read 2026-11-21.
const MOST_MEMBERS_PER_CALL: usize = 20;

/// One channel.
struct Chatroom {
    profile: Profile,
    endpoints: translate::Endpoints,
}

impl Adapter for Chatroom {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        let prepared = translate::prepare(&self.profile, &self.endpoints, route)?;
        Ok(Box::new(prepared))
    }
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let settings = Settings::read(fields)?;
    let adapter = Chatroom {
        profile: profile(common),
        endpoints: translate::Endpoints::new(&settings.app_path, common.timeout),
    };
    let grant = AppToken::new(settings, common.timeout);
    Some((Box::new(adapter), Auth::Token(Box::new(grant))))
}

fn profile(common: &CommonSettings) -> Profile {
    let support = |message_type| match message_type {
        MessageType::Face => Support::Refused("emoji are text here, so send a text message"),
        MessageType::Text
        | MessageType::Image
        | MessageType::Audio
        | MessageType::Video
        | MessageType::File
        | MessageType::Location
        | MessageType::Command
        | MessageType::Custom
        | MessageType::Native => Support::Carried,
    };
    Profile {
        provider: NAME,
        messages: MessageType::ALL.map(|message_type| (message_type, support(message_type))).into(),
        target_types: &[TargetType::Chatroom],
        sender: SenderRule::Optional,
        has_push: false,
        recipients_per_call: common.recipients_per_call,
        max_payload_bytes: common.max_payload_bytes,
        evidence: Evidence::Unverified,
        volatile: &[],
    }
}
