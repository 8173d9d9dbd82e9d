//! The registry: one row and one folder per provider.

pub mod easemob_chatroom;
pub mod easemob_relay;
pub mod openim;
pub mod tencent_tim;
pub mod volcengine_rtc;

#[cfg(test)]
mod test_rig;

use crate::adapter::channel::Provider;

/// Every provider, in the order of their names.
pub const REGISTRY: &[Provider] = &[
    easemob_chatroom::PROVIDER,
    easemob_relay::PROVIDER,
    openim::PROVIDER,
    tencent_tim::PROVIDER,
    volcengine_rtc::PROVIDER,
];

/// The provider of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Provider> {
    REGISTRY.iter().find(|provider| provider.name == name)
}
