//! Where the batches of a run are kept: in a file, or in a real database that every gateway reaches on a way of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::cluster::{Cluster, Flush};
use crate::fault_proxy::{Fault, FaultProxy};

/// Keeps the batches.
pub(crate) enum Engine {
    /// A file; of one gateway.
    File(TempDir),
    /// A database whose commits reach the disk.
    Database {
        cluster: Arc<Cluster>,
        /// Its URL from the slash on.
        name: String,
    },
}

impl Engine {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn database() -> Self {
        let (cluster, url) = blocking(|| {
            let cluster = Arc::new(Cluster::start(Flush::Always));
            let url = cluster.database();
            (cluster, url)
        })
        .await;
        Self::Database { cluster, name: url.rsplit('/').next().unwrap().to_owned() }
    }

    /// A gateway's way to the database.
    pub(crate) async fn way(&self) -> Option<Way> {
        let Self::Database { cluster, .. } = self else { return None };
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        let fault = move |_| if closed.load(Ordering::SeqCst) { Fault::ResetAtOnce } else { Fault::None };
        let proxy = FaultProxy::start(cluster.address(), Box::new(fault)).await;
        Some(Way { proxy, is_closed })
    }

    /// The setting of a gateway that goes this way.
    pub(crate) fn url(&self, way: Option<&Way>) -> String {
        match (self, way) {
            (Self::File(folder), _) => format!("sqlite:{}", folder.path().join("imcast.db").display()),
            (Self::Database { cluster, name }, None) => cluster.url(name),
            (Self::Database { name, .. }, Some(way)) => {
                format!("postgres://postgres@{}/{name}", way.proxy.address())
            }
        }
    }

    /// Ends the database in this way.
    pub(crate) async fn end_database(&self, end: fn(&Cluster)) {
        if let Self::Database { cluster, .. } = self {
            let cluster = Arc::clone(cluster);
            blocking(move || end(&cluster)).await;
        }
    }

    /// Starts the database that is down.
    pub(crate) async fn start_database(&self) {
        self.end_database(Cluster::up).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap()
}

/// A way to the database that can be cut.
pub(crate) struct Way {
    proxy: FaultProxy,
    is_closed: Arc<AtomicBool>,
}

impl Way {
    /// Ends all connections; there are no new ones until it is opened.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.proxy.cut();
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }
}
