//! The `[store]` section.

use crate::adapter::fields::Fields;
use crate::domain::fault::FaultCode;

/// Where and how long finished batches are kept. Defaults and meanings: `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most finished batches in memory.
    pub memory_batches: usize,
    /// Most bytes of finished batches in memory, roughly.
    pub memory_bytes: usize,
}

impl Settings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        if let Some(url) = fields.required_text("url")
            && &*url != "memory:"
        {
            let detail = "this version keeps batches in memory only: must be \"memory:\"";
            fields.fault_at("url", FaultCode::Unsupported, detail);
        }
        let count = |fields: &mut Fields<'_>, name: &str, most: u64| {
            fields.required_u64(name, 0..=most).and_then(|count| usize::try_from(count).ok())
        };
        let memory_batches = count(fields, "memory_batches", 10_000_000);
        let memory_bytes = count(fields, "memory_bytes", 1 << 40);
        Some(Self { memory_batches: memory_batches?, memory_bytes: memory_bytes? })
    }
}
