//! The `[store]` section.

use std::path::PathBuf;
use std::time::Duration;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::domain::fault::FaultCode;

/// Where and how long batches are kept. Defaults and meanings: `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Where they are kept.
    pub place: Place,
    /// How long a batch is kept after its end, at least 24 hours: as long as a key may name it.
    pub retention: Duration,
    /// How many replicas of this process share the providers' limits without sharing this store, 1 to 1000.
    pub replicas: u32,
    /// What of it is in memory.
    pub memory: MemorySettings,
}

/// How much is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// Most finished batches in memory.
    pub memory_batches: usize,
    /// Most bytes of finished batches in memory, roughly.
    pub memory_bytes: usize,
}

/// Where batches are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory: they are gone when the process ends.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// In this PostgreSQL database, which other replicas may share.
    Postgres {
        /// Where it is, and the password.
        url: Secret,
        /// Most connections to it, 2 to 1000.
        connections: u32,
    },
}

impl StoreSettings {
    /// Reads the section.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let connections = fields.required_u64("connections", 2..=1_000);
        let connections = connections.and_then(|count| u32::try_from(count).ok());
        let place = fields.required_text("url").and_then(|url| {
            let place = Place::parse(&url, connections.unwrap_or(2));
            if place.is_none() {
                let detail = "must be \"memory:\", \"sqlite:\" and the path of a file on a local disk, or \
                    \"postgres://user:password@host:port/database\"";
                fields.fault_at("url", FaultCode::OutOfRange, detail);
            }
            place
        });
        let hours = fields.required_u64("retention_hours", 24..=87_600);
        let retention = hours.map(|hours| Duration::from_secs(hours * 3_600));
        let replicas = fields.required_u64("replicas", 1..=1_000).and_then(|count| u32::try_from(count).ok());
        let count = |fields: &mut Fields<'_>, name: &str, most: u64| {
            fields.required_u64(name, 0..=most).and_then(|count| usize::try_from(count).ok())
        };
        let memory_batches = count(fields, "memory_batches", 10_000_000);
        let memory_bytes = count(fields, "memory_bytes", 1 << 40);
        connections?;
        Some(Self {
            place: place?,
            retention: retention?,
            replicas: replicas?,
            memory: MemorySettings { memory_batches: memory_batches?, memory_bytes: memory_bytes? },
        })
    }
}

impl Place {
    /// Reads a URL; `None` if it is none of ours. `connections`: for a place that has them.
    #[must_use]
    pub fn parse(url: &str, connections: u32) -> Option<Self> {
        if url == "memory:" {
            return Some(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Some(Self::Postgres { url: Secret::new(url), connections });
        }
        let path = url.strip_prefix("sqlite:")?;
        // With two slashes too, as other programs write it; a third one begins an absolute path.
        let path = path.strip_prefix("//").unwrap_or(path);
        // `sqlite::memory:` and parameters mean something to other programs and nothing here.
        let is_path = !path.is_empty() && !path.starts_with(':') && !path.contains(['?', '\0']);
        is_path.then(|| Self::Sqlite(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let parse = |url| Place::parse(url, 8);
        let file = |path: &str| Some(Place::Sqlite(path.into()));
        assert_eq!(parse("memory:"), Some(Place::Memory));
        assert_eq!(parse("sqlite:imcast.db"), file("imcast.db"));
        assert_eq!(parse("sqlite:/var/lib/imcast.db"), file("/var/lib/imcast.db"));
        assert_eq!(parse("sqlite:///var/lib/imcast.db"), file("/var/lib/imcast.db"));
        for url in ["postgres://imcast:hunter2@db/imcast", "postgresql://db/imcast?sslmode=verify-full"] {
            let place = parse(url);
            assert_eq!(place, Some(Place::Postgres { url: Secret::new(url), connections: 8 }));
            assert!(!format!("{place:?}").contains("hunter2"));
        }
        for url in [
            "",
            "memory",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "mysql:a",
            "postgres:a",
        ] {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
