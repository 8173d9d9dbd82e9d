//! One configured account at one provider, ready to be used.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use http::Uri;

use crate::adapter::fields::Fields;
use crate::adapter::sandbox::Sandbox;
use crate::adapter::{Adapter, Auth};
use crate::domain::fault::{Fault, FaultCode};

/// A provider's row in the registry.
pub struct Provider {
    /// Its name in configuration and `provider_options`.
    pub name: &'static str,
    /// Its own keys with their defaults, as TOML: the reference.
    pub defaults: &'static str,
    /// The keys of a channel, its own or common ones, that say whose limits it uses: two channels in which they are
    /// equal are one account to the provider.
    pub account_keys: &'static [&'static str],
    /// Most recipients that the provider's document allows in one call.
    pub most_recipients_per_call: usize,
    /// Assembles a channel from its settings.
    pub build: BuildChannel,
    /// Its stand-in.
    pub sandbox: Sandbox,
}

/// Assembles the provider's part of a channel.
///
/// Takes its own keys out of the second argument, to which it also adds faults; the caller has taken out the
/// common keys before and finishes the reading after. `None` if a fault was added.
pub type BuildChannel = fn(&CommonSettings, &mut Fields<'_>) -> Option<(Box<dyn Adapter>, Auth)>;

/// One configured account at one provider.
pub struct Channel {
    /// The provider's name.
    pub provider: &'static str,
    /// The keys that every provider has.
    pub settings: CommonSettings,
    /// The translation.
    pub adapter: Box<dyn Adapter>,
    /// The credentials.
    pub auth: Auth,
}

/// The keys that every channel has, checked.
#[derive(Clone, Debug)]
pub struct CommonSettings {
    /// Scheme, host, port and path prefix of the provider, without a trailing slash.
    pub base_url: Uri,
    /// The visible sender when a request names none.
    pub default_from: Option<String>,
    /// Most recipients of one call, within the provider's documented limit.
    pub recipients_per_call: NonZeroUsize,
    /// Budget: calls per second; `None` = not paced.
    pub calls_per_second: Option<f64>,
    /// Budget: messages per second; `None` = not paced.
    pub messages_per_second: Option<f64>,
    /// Most calls at once.
    pub max_in_flight: NonZeroU32,
    /// Most bytes of the message part; `None` = not checked here.
    pub max_payload_bytes: Option<usize>,
    /// Most time to connect.
    pub connect_timeout: Duration,
    /// Most time from the start of a try to the end of its answer, before what the recipients add.
    pub timeout: Duration,
}

impl CommonSettings {
    /// The keys that say how an account is used, and neither where it is nor who uses it.
    pub const USAGE_KEYS: [&str; 8] = [
        "default_from",
        "recipients_per_call",
        "calls_per_second",
        "messages_per_second",
        "max_in_flight",
        "max_payload_bytes",
        "connect_timeout_ms",
        "timeout_ms",
    ];

    /// Reads the common keys; every provider's `default.toml` has them all but `default_from` and budgets
    /// that its document does not state.
    ///
    /// `most_recipients_per_call` is the provider's documented limit.
    pub fn read(fields: &mut Fields<'_>, most_recipients_per_call: usize) -> Option<Self> {
        let base_url = fields.required_text("base_url").and_then(|text| read_base_url(fields, &text));
        let default_from = fields.text("default_from").map(|text| text.to_string());
        let recipients_per_call = fields
            .required_u64(
                "recipients_per_call",
                1..=u64::try_from(most_recipients_per_call).unwrap_or(u64::MAX),
            )
            .and_then(|count| NonZeroUsize::new(usize::try_from(count).ok()?));
        let calls_per_second = fields.number("calls_per_second", 0.001..=1_000_000.0);
        let messages_per_second = fields.number("messages_per_second", 0.001..=100_000_000.0);
        let max_in_flight = fields
            .required_u64("max_in_flight", 1..=10_000)
            .and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?));
        let max_payload_bytes =
            fields.u64("max_payload_bytes", 1..=100_000_000).and_then(|bytes| usize::try_from(bytes).ok());
        let connect_timeout =
            fields.required_u64("connect_timeout_ms", 1..=60_000).map(Duration::from_millis);
        let timeout = fields.required_u64("timeout_ms", 1..=600_000).map(Duration::from_millis);
        Some(Self {
            base_url: base_url?,
            default_from,
            recipients_per_call: recipients_per_call?,
            calls_per_second,
            messages_per_second,
            max_in_flight: max_in_flight?,
            max_payload_bytes,
            connect_timeout: connect_timeout?,
            timeout: timeout?,
        })
    }
}

fn read_base_url(fields: &mut Fields<'_>, text: &str) -> Option<Uri> {
    let trimmed = text.trim_end_matches('/');
    let parsed: Option<Uri> = trimmed.parse().ok();
    let usable = parsed.filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if usable.is_none() {
        fields.fault(Fault::new(
            "/base_url",
            FaultCode::OutOfRange,
            "must be an http or https URL without user, query or fragment",
        ));
    }
    usable
}
