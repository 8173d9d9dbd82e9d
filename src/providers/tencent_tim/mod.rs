//! Speaks Tencent Instant Messaging (TIM, Chat): batch one-to-one messages, at most 500 receivers a call.
//!
//! What a reader must know:
//!
//! - Nearly every answer is HTTP 200; the body's `ErrorCode` and `ErrorList` decide.
//! - The list names only those that failed, so an acceptance is `implied`; one `MsgKey` stands for the call.
//! - `MsgRandom` drops repeats within one second only, so it is no idempotency key: a call whose answer was
//!   lost is never sent again on its own account.
//! - The signature stands in the URL and is therefore marked as secret there.
//!
//! Source: Tencent Cloud IM, batch one-to-one messages (`v4/openim/batchsendmsg`), message formats, error
//! codes, usage limits and UserSig, read 2026-11-21.

mod answer;
mod auth;
mod codes;
mod content;
mod media;
mod options;
pub mod sandbox;
mod sandbox_body;
mod sandbox_signature;
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

use crate::adapter::channel::{CommonSettings, Provider};
use crate::adapter::fields::Fields;
use crate::adapter::profile::{Profile, SenderRule, Support};
use crate::adapter::{Adapter, Auth, Prepared};
use crate::domain::fault::Fault;
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::route::{Route, TargetType};
use crate::providers::tencent_tim::auth::UserSig;
use crate::providers::tencent_tim::translate::Endpoint;

/// The name in configuration and `provider_options`.
pub const NAME: &str = "tencent_tim";

/// This provider's row in the registry.
///
/// Source: batch one-to-one messages, section 1, "at most 500 users at once", read 2026-11-21.
pub const PROVIDER: Provider = Provider {
    name: NAME,
    defaults: include_str!("default.toml"),
    account_keys: &["sdk_app_id"],
    most_recipients_per_call: 500,
    build,
    sandbox: sandbox::SANDBOX,
};

/// Translates for one application.
struct TencentTim {
    profile: Profile,
    endpoint: Arc<Endpoint>,
}

fn build(common: &CommonSettings, fields: &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)> {
    let settings = settings::read(fields)?;
    let adapter = TencentTim {
        profile: profile(common),
        endpoint: Arc::new(Endpoint {
            sdk_app_id: settings.sdk_app_id.to_string(),
            identifier: settings.identifier.clone(),
            recipients_per_call: common.recipients_per_call.get(),
            timeout: common.timeout,
        }),
    };
    Some((Box::new(adapter), Auth::Sign(Box::new(UserSig::new(settings)))))
}

/// Source: batch one-to-one messages and message formats, read 2026-11-21.
fn profile(common: &CommonSettings) -> Profile {
    Profile {
        provider: NAME,
        messages: MessageType::ALL.map(|kind| (kind, Support::Carried)).into(),
        target_types: &[TargetType::User],
        // Without `From_Account` the administrator is the sender.
        sender: SenderRule::Optional,
        has_push: true,
        recipients_per_call: common.recipients_per_call,
        max_payload_bytes: common.max_payload_bytes,
        evidence: Evidence::Implied,
        volatile: &["query.random", "body.MsgRandom"],
    }
}

impl Adapter for TencentTim {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>> {
        translate::prepare(&self.profile, &self.endpoint, route)
            .map(|prepared| -> Box<dyn Prepared> { Box::new(prepared) })
    }
}
