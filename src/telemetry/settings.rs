//! The `[log]` section. Defaults and meanings: `config/default.toml`.

use tracing::Level;

use crate::adapter::fields::Fields;

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
