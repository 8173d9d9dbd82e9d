//! Opens the store that the settings name, and closes it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::store::Store;
use crate::store::memory::MemoryStore;
#[cfg(feature = "postgres")]
use crate::store::postgres::{self, PostgresStore};
use crate::store::settings::{Place, StoreSettings};
#[cfg(feature = "sqlite")]
use crate::store::sqlite::{self, SqliteStore};

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The database cannot be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// The program was built without it.
    #[error("this build has no {0}: set another store.url")]
    NotBuilt(&'static str),
}

/// A store and what it takes to close it.
#[derive(Clone)]
pub enum Opened {
    /// Nothing survives the process.
    Memory(Arc<MemoryStore>),
    /// One file.
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<SqliteStore>),
    /// A database that several replicas may share.
    #[cfg(feature = "postgres")]
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    /// Opens it. `providers`: the name of each provider that this program has, by itself; `now`: the clock.
    ///
    /// # Errors
    /// [`OpenError`]: the operator mends the configuration or the machine.
    pub async fn open(
        settings: StoreSettings,
        providers: fn(&str) -> Option<&'static str>,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let StoreSettings { place, retention, replicas: _, memory } = settings;
        let memory = MemoryStore::new(memory);
        match place {
            Place::Memory => Ok(Self::Memory(Arc::new(memory))),
            #[cfg(feature = "sqlite")]
            Place::Sqlite(path) => {
                let opening = sqlite::Opening { path, retention, providers, now: Arc::new(now) };
                Ok(Self::Sqlite(Arc::new(SqliteStore::open(opening, memory).await?)))
            }
            #[cfg(not(feature = "sqlite"))]
            Place::Sqlite(_) => {
                let _ = (retention, providers, now);
                Err(OpenError::NotBuilt("SQLite"))
            }
            #[cfg(feature = "postgres")]
            Place::Postgres { url, connections } => {
                let opening = postgres::Opening { url, connections, retention, providers };
                Ok(Self::Postgres(Arc::new(PostgresStore::open(opening, memory).await?)))
            }
            #[cfg(not(feature = "postgres"))]
            Place::Postgres { .. } => {
                let _ = (retention, providers);
                Err(OpenError::NotBuilt("PostgreSQL"))
            }
        }
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        match self.clone() {
            Self::Memory(store) => store,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store,
        }
    }

    /// Writes what was taken, and lets go of the store.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.close().await,
        }
    }
}
