//! Volcengine RTC instant messaging (veIM): `BatchSendMessage`, one message to up to 500 users a call.
//!
//! Receivers and senders are numbers, there is no idempotency key, and every request is signed on its own, so
//! there is no token to fetch. What the document leaves open is decided conservatively: media messages and
//! the transparent message are refused until the channel's settings say how to write them.
//!
//! Source: Volcengine RTC, server API, `BatchSendMessage`, updated 2024-07-15, read 2026-11-21.

mod answer;
mod auth;
mod codes;
mod content;
pub mod sandbox;
mod sandbox_checks;
mod settings;
mod translate;
mod wire;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod sandbox_tests;
#[cfg(test)]
mod test_rig;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::adapter::channel::{CommonSettings, Provider};
use crate::adapter::fields::Fields;
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::{Adapter, Auth, Prepared};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::route::{Route, TargetType};
use crate::providers::volcengine_rtc::auth::Signer;
use crate::providers::volcengine_rtc::settings::{Format, MediaMessages, Settings};

/// The name in configuration and `provider_options`.
pub const NAME: &str = "volcengine_rtc";

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    account_keys: &["app_id"],
    // Source: `BatchSendMessage`, "Interface behaviour": at most 500 users at once, read 2026-11-21.
    most_recipients_per_call: 500,
    build,
    sandbox: sandbox::SANDBOX,
};

/// The translation for one channel.
struct VolcengineRtc {
    profile: Profile,
    app_id: u32,
    format: Format,
    timeout: Duration,
}

impl Adapter for VolcengineRtc {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        let prepared = translate::prepare(self, route)?;
        Ok(Box::new(prepared))
    }
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let settings = Settings::read(fields);
    let host = auth::signed_host(&common.base_url);
    if host.is_none() {
        fields.fault_at(
            "base_url",
            FaultCode::OutOfRange,
            "must end after host and port: the signature of volcengine_rtc covers the path `/`",
        );
    }
    let sender_is_usable = common.default_from.as_deref().is_none_or(translate::is_user_id);
    if !sender_is_usable {
        fields.fault_at("default_from", FaultCode::OutOfRange, translate::USER_ID_RULE);
    }
    let (settings, host) = (settings?, host?);
    let adapter = VolcengineRtc {
        profile: describe(common, settings.format),
        app_id: settings.app_id,
        format: settings.format,
        timeout: common.timeout,
    };
    let signer = Signer::new(settings.credentials, host);
    sender_is_usable.then(|| {
        let adapter: Box<dyn Adapter> = Box::new(adapter);
        (adapter, Auth::Sign(Box::new(signer)))
    })
}

fn describe(common: &CommonSettings, format: Format) -> Profile {
    let media = match format.media_messages {
        MediaMessages::FilesV1 => Support::Carried,
        MediaMessages::Off => Support::Refused(
            "the setting `media_messages = \"files_v1\"` enables it; or use a native message",
        ),
    };
    let command = match format.command_msg_type {
        Some(_) => Support::Carried,
        None => Support::Refused("the setting `command_msg_type` enables it"),
    };
    let undocumented = Support::Refused("its content is not documented; use a native message");
    Profile {
        provider: NAME,
        messages: vec![
            (MessageType::Text, Support::Carried),
            (MessageType::Image, media),
            (MessageType::Audio, media),
            (MessageType::Video, media),
            (MessageType::File, media),
            (MessageType::Location, undocumented),
            (MessageType::Command, command),
            (MessageType::Custom, Support::Carried),
            (MessageType::Face, undocumented),
            (MessageType::Native, Support::Carried),
        ],
        target_types: &[TargetType::User],
        sender: SenderRule::Required,
        has_push: false,
        recipients_per_call: common.recipients_per_call,
        max_payload_bytes: common.max_payload_bytes,
        evidence: Evidence::Explicit,
        volatile: &["header.X-Date", "header.Authorization"],
    }
}
