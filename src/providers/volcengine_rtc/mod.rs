//! Placeholder of the `volcengine_rtc` adapter.

use std::time::SystemTime;

use crate::adapter::channel::Provider;
use crate::adapter::sandbox::{Arrival, Sandbox, StandIn, StandInAnswer};

/// This provider's row in the registry.
pub const PROVIDER: Provider = Provider {
    name: "volcengine_rtc",
    defaults: include_str!("default.toml"),
    most_recipients_per_call: 500,
    build: |_, _| None,
    sandbox: Sandbox {
        channel: "sandbox-volc",
        settings: "",
        recipients: ("", ""),
        sender: "",
        build: || Box::new(Placeholder),
    },
};

struct Placeholder;

impl StandIn for Placeholder {
    fn answer(&self, _: &Arrival<'_>, _: SystemTime) -> StandInAnswer {
        StandInAnswer::Drop
    }
}
