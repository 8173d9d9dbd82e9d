//! Speaks the in-house relay to Easemob: one call carries one message per recipient.
//!
//! The relay's document is the only source, and it is short. What a reader must know:
//!
//! - The document's default target is a *group*; `targetType` is therefore always written.
//! - Answers hold no message ids and list only what failed, so an acceptance is `implied`.
//! - One code (500) and free text stand for every failure; nothing says that a repeat is safe, so no listed
//!   failure is repeated.
//! - Locations, commands and file names travel in fields that are `Assumed`, not documented.
//!
//! Source: In-house relay to Easemob, interface 2.8 "batch send (relay)", version 01 of 2016-05-26, read
//! 2026-11-21.

mod answer;
mod auth;
mod codes;
mod content;
mod options;
pub mod sandbox;
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

use std::num::NonZeroUsize;
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

/// The name in configuration and `provider_options`.
pub const NAME: &str = "easemob_relay";

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    account_keys: &["base_url"],
    // The document states no limit. Assumed: beyond this a call lasts longer than anybody waits.
    most_recipients_per_call: 500,
    build,
    sandbox: sandbox::SANDBOX,
};

/// Translates for one account at the relay.
struct Relay {
    profile: Profile,
    settings: settings::Settings,
    timeout: Duration,
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let (settings, query) = settings::read(fields)?;
    let relay = Relay {
        profile: profile(common.recipients_per_call, common.max_payload_bytes),
        settings,
        timeout: common.timeout,
    };
    Some((Box::new(relay), Auth::Sign(Box::new(auth::SignedQuery::new(query)))))
}

/// Source: interface 2.8, tables "message fields" (the seven `msgType` values) and "body format"
/// (`targetType`), read 2026-11-21.
fn profile(recipients_per_call: NonZeroUsize, max_payload_bytes: Option<usize>) -> Profile {
    let support = |message_type| match message_type {
        MessageType::Text
        | MessageType::Image
        | MessageType::Audio
        | MessageType::Video
        | MessageType::File
        | MessageType::Location
        | MessageType::Command
        | MessageType::Native => Support::Carried,
        MessageType::Custom => Support::Refused("no such `msgType`; use `text` with `ext`"),
        MessageType::Face => Support::Refused("no such `msgType`"),
    };
    Profile {
        provider: NAME,
        messages: MessageType::ALL.map(|kind| (kind, support(kind))).into(),
        target_types: &[TargetType::User, TargetType::Group],
        sender: SenderRule::Required,
        has_push: false,
        recipients_per_call,
        max_payload_bytes,
        evidence: Evidence::Implied,
        volatile: &[],
    }
}

impl Adapter for Relay {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        translate::prepare(&self.profile, &self.settings, self.timeout, route)
            .map(|sending| -> Box<dyn Prepared> { Box::new(sending) })
    }
}
