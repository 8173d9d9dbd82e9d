//! The `[server]` and `[shutdown]` sections. Defaults and meanings: `config/default.toml`.

use std::net::SocketAddr;
use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::domain::fault::FaultCode;

/// Where and how requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Address and port; port 0 = a free one.
    pub listen: SocketAddr,
    /// Address and port of the probes and the metrics, which then ask for no key; `None` = the API has them.
    pub admin_listen: Option<SocketAddr>,
    /// Whether an address that other machines reach may be used even if no key is asked for.
    pub insecure: bool,
    /// Most connections at once, 1 to 1 000 000; more wait in the system's queue.
    pub max_connections: usize,
    /// Most time until a new connection sends something.
    pub first_bytes_timeout: Duration,
    /// Most time from the first byte of a request's head to its dispatch.
    pub head_timeout: Duration,
    /// Most time between two requests of a connection, and between two pieces of an answer that it takes.
    pub idle_timeout: Duration,
}

impl ServerSettings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let address = |fields: &mut Fields<'_>, name: &str, text: &str| {
            let parsed = text.parse::<SocketAddr>().ok();
            if parsed.is_none() {
                let detail = "must be an IP address and a port, e.g. 127.0.0.1:8080 or [::1]:8080";
                fields.fault_at(name, FaultCode::OutOfRange, detail);
            }
            parsed
        };
        let listen = fields.required_text("listen").and_then(|text| address(fields, "listen", &text));
        let admin_listen = fields.required_text("admin_listen").and_then(|text| {
            if text.is_empty() { Some(None) } else { address(fields, "admin_listen", &text).map(Some) }
        });
        let insecure = fields.bool("insecure");
        let max_connections = fields
            .required_u64("max_connections", 1..=1_000_000)
            .and_then(|count| usize::try_from(count).ok());
        let milliseconds = |fields: &mut Fields<'_>, name: &str| {
            fields.required_u64(name, 1..=600_000).map(Duration::from_millis)
        };
        let first_bytes_timeout = milliseconds(fields, "first_bytes_timeout_ms");
        let head_timeout = milliseconds(fields, "head_timeout_ms");
        let idle_timeout = fields.required_u64("idle_timeout_seconds", 1..=3_600).map(Duration::from_secs);
        Some(Self {
            listen: listen?,
            admin_listen: admin_listen?,
            insecure: insecure?,
            max_connections: max_connections?,
            first_bytes_timeout: first_bytes_timeout?,
            head_timeout: head_timeout?,
            idle_timeout: idle_timeout?,
        })
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Time between the first sign that we leave and the last connection taken.
    pub drain_delay: Duration,
    /// Most time for calls in flight and open requests after that.
    pub grace: Duration,
}

impl ShutdownSettings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let seconds = |fields: &mut Fields<'_>, name: &str| {
            fields.required_u64(name, 0..=3_600).map(Duration::from_secs)
        };
        let drain_delay = seconds(fields, "drain_delay_seconds");
        let grace = seconds(fields, "grace_seconds");
        Some(Self { drain_delay: drain_delay?, grace: grace? })
    }
}
