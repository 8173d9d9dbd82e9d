//! Tencent TIM (Instant Messaging): `batchsendmsg`, one message to up to 500 accounts a call.
//!
//! The answer lists only the accounts that failed; there is one message id per call. Every request carries a
//! UserSig in its URL, made here and cached, so there is no token to fetch.
//!
//! Source: Tencent IM, batch one-to-one messages (`v4/openim/batchsendmsg`), read 2026-11-21.

pub mod auth;
mod codes;
mod elements;
pub mod sandbox;
mod settings;
mod translate;
mod wire;

#[cfg(test)]
mod tests;

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
use crate::providers::tencent_tim::auth::UserSig;
use crate::providers::tencent_tim::settings::Settings;

/// The name in configuration and `provider_options`.
pub const NAME: &str = "tencent_tim";

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    // Source: batch one-to-one messages, section 1 and error 90011 (500 accounts), read 2026-11-21.
    most_recipients_per_call: 500,
    build,
    sandbox: sandbox::SANDBOX,
};

/// The translation for one channel.
struct TencentTim {
    profile: Profile,
    timeout: Duration,
}

impl Adapter for TencentTim {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        let prepared = translate::prepare(&self.profile, self.timeout, route)?;
        Ok(Box::new(prepared))
    }
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let settings = Settings::read(fields)?;
    let profile = Profile {
        provider: NAME,
        messages: MessageType::ALL.map(|kind| (kind, Support::Carried)).to_vec(),
        target_types: &[TargetType::User],
        sender: SenderRule::Optional,
        has_push: true,
        recipients_per_call: common.recipients_per_call,
        max_payload_bytes: common.max_payload_bytes,
        evidence: Evidence::Implied,
        volatile: &["query.usersig", "query.random", "body.MsgRandom"],
    };
    let adapter = Box::new(TencentTim {
        profile,
        timeout: common.timeout,
    });
    Some((adapter, Auth::Sign(Box::new(UserSig::new(settings)))))
}
