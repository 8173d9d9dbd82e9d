//! The suite of all engines over a real PostgreSQL, and what only a shared database can do.

#[path = "../../../../tests/it/cluster.rs"]
mod cluster;
mod crashes;
mod lists;
mod opening;
mod proxy;
mod replicas;
mod retained;
#[cfg(feature = "sqlite")]
mod schema;
mod sharing;

use super::*;
use crate::store::postgres::tests::cluster::Cluster;
use crate::store::settings::MemorySettings;
use crate::store::stored::samples::providers;
use crate::store::suite;

/// A database of its own.
struct Database {
    url: String,
}

impl Database {
    fn new() -> Self {
        Self::of(cluster::shared())
    }

    fn of(cluster: &Cluster) -> Self {
        Self { url: cluster.database() }
    }

    /// One that is reached through another address.
    fn through(&self, address: std::net::SocketAddr) -> Self {
        let name = self.url.rsplit('/').next().unwrap();
        Self { url: format!("postgres://postgres@{address}/{name}") }
    }

    fn opening(&self) -> Opening {
        // Batches of these tests are of 1970, and none of them is old.
        let retention = Duration::from_secs(200 * 366 * 24 * 3_600);
        Opening { url: Secret::new(self.url.clone()), connections: 8, retention, providers }
    }

    async fn try_open(&self) -> Result<PostgresStore, OpenError> {
        // Nothing in memory, so that the database is asked.
        let memory = MemoryStore::new(MemorySettings { memory_batches: 0, memory_bytes: 1 << 20 });
        PostgresStore::open(self.opening(), memory).await
    }

    async fn store(&self) -> PostgresStore {
        self.try_open().await.unwrap()
    }

    /// A connection of nobody in particular.
    async fn connection(&self) -> sqlx::PgConnection {
        use sqlx::Connection as _;
        sqlx::PgConnection::connect(&self.url).await.unwrap()
    }
}

impl suite::Rig for Database {
    type Engine = PostgresStore;

    async fn open(&self) -> PostgresStore {
        self.store().await
    }

    async fn close(&self, engine: PostgresStore) {
        engine.close().await;
    }
}

#[tokio::test]
async fn does_what_every_store_does() {
    suite::run(Database::new).await;
}

/// Work of several threads, as in a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_so_on_several_threads() {
    suite::run(Database::new).await;
}
