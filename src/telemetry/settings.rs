//! The `[log]` and `[traces]` sections. Defaults and meanings: `config/default.toml`.

use std::sync::Arc;

use tracing::Level;

use crate::adapter::fields::Fields;
use crate::domain::fault::FaultCode;

/// How much is logged, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The form of a line.
    pub format: Format,
    /// The least important lines that are written; those of other packages from `warn` up only.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("json", Format::Json)];

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

impl Settings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let format = fields.choice("format", &FORMATS);
        let level = fields.choice("level", &LEVELS);
        Some(Self { format: format?, level: level? })
    }
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The collector's address for spans, `http` or `https`; `None` = spans are not made at all.
    pub otlp_endpoint: Option<Arc<str>>,
    /// Which part of the traces that begin here is recorded, 0 to 1; a caller's own decision is followed.
    pub sample_ratio: f64,
}

impl TraceSettings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let endpoint = fields.required_text("otlp_endpoint");
        let sample_ratio = fields.number("sample_ratio", 0.0..=1.0);
        let otlp_endpoint = endpoint?;
        if otlp_endpoint.is_empty() {
            return Some(Self { otlp_endpoint: None, sample_ratio: sample_ratio? });
        }
        let is_http = |uri: http::Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        if !otlp_endpoint.parse().is_ok_and(is_http) {
            let detail = "must be an http or https URL, e.g. http://127.0.0.1:4318/v1/traces";
            fields.fault_at("otlp_endpoint", FaultCode::OutOfRange, detail);
            return None;
        }
        if !cfg!(feature = "otel") {
            let detail =
                "this program exports no traces: build it with `--features otel`, or leave this empty";
            fields.fault_at("otlp_endpoint", FaultCode::Unsupported, detail);
            return None;
        }
        Some(Self { otlp_endpoint: Some(otlp_endpoint), sample_ratio: sample_ratio? })
    }
}
