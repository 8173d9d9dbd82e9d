//! OpenIM, a self-hosted server: `POST /msg/batch_send_msg`, one message to a list of users.
//!
//! The answer names everybody: those it took, and those it did not take, without a reason. An error code
//! means that nothing was sent; a lost answer means that the server goes on sending. There is no idempotency
//! key. The channel can also send to every registered user, if its settings allow it.
//!
//! Source: OpenIM, batch send message, read 2026-11-21; where the page is silent or wrong, the public source
//! openimsdk/open-im-server, branch `main` at 7848d7c, read 2026-11-21.

mod answer;
mod auth;
mod codes;
mod content;
mod elements;
mod options;
pub mod sandbox;
mod sandbox_body;
mod settings;
mod translate;
mod wire;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod sandbox_tests;
#[cfg(test)]
mod test_rig;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod translate_tests;

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::channel::{CommonSettings, Provider};
use crate::adapter::fields::Fields;
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::{Adapter, Auth, Prepared};
use crate::domain::fault::Fault;
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::route::{Route, TargetType};
use crate::providers::openim::auth::AdminToken;
use crate::providers::openim::settings::{ExtraContentTypes, Settings};

/// The name in configuration and `provider_options`.
pub const NAME: &str = "openim";

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    account_keys: &["base_url"],
    // Source: OpenIM, REST introduction (array parameters have at most 1000 entries), read 2026-11-21.
    most_recipients_per_call: 1000,
    build,
    sandbox: sandbox::SANDBOX,
};

/// The translation for one channel.
struct OpenIm {
    profile: Profile,
    extra_content_types: ExtraContentTypes,
    allow_send_all: bool,
    timeout: Duration,
    send_all_timeout: Duration,
}

impl Adapter for OpenIm {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        let prepared = translate::prepare(self, route)?;
        Ok(Box::new(prepared))
    }
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let settings = Settings::read(fields)?;
    let adapter = OpenIm {
        profile: describe(common, settings.extra_content_types),
        extra_content_types: settings.extra_content_types,
        allow_send_all: settings.allow_send_all,
        timeout: common.timeout,
        send_all_timeout: settings.send_all_timeout,
    };
    let token = AdminToken::new(settings.credential, settings.token_endpoint, common.timeout);
    Some((Box::new(adapter), Auth::Token(Box::new(token))))
}

fn describe(common: &CommonSettings, extra: ExtraContentTypes) -> Profile {
    let when = |is_enabled: bool, reason: &'static str| match is_enabled {
        true => Support::Carried,
        false => Support::Refused(reason),
    };
    let location = when(
        extra.location,
        "public servers refuse it; the setting `extra_content_types = [109]` enables it",
    );
    let face =
        when(extra.face, "public servers refuse it; the setting `extra_content_types = [115]` enables it");
    let command =
        Support::Refused("no transparent message here; use custom with the option `is_online_only`");
    Profile {
        provider: NAME,
        messages: vec![
            (MessageType::Text, Support::Carried),
            (MessageType::Image, Support::Carried),
            (MessageType::Audio, Support::Carried),
            (MessageType::Video, Support::Carried),
            (MessageType::File, Support::Carried),
            (MessageType::Location, location),
            (MessageType::Command, command),
            (MessageType::Custom, Support::Carried),
            (MessageType::Face, face),
            (MessageType::Native, Support::Carried),
        ],
        // A group would get the message once per recipient, or not at all.
        // Source: `internal/api/msg.go`, read 2026-11-21.
        target_types: &[TargetType::User],
        sender: SenderRule::Required,
        has_push: true,
        recipients_per_call: common.recipients_per_call,
        max_payload_bytes: common.max_payload_bytes,
        evidence: Evidence::Explicit,
        volatile: &["header.operationID"],
    }
}
