//! Takes connections, within bounds, until the gateway leaves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::app::settings::ServerSettings;

/// After the system gave no connection, e.g. because all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener at work; dropping it cuts every connection.
pub(super) struct Server {
    local_addr: SocketAddr,
    connections: Arc<Connections>,
    /// Ends everything at once; `Connections::leaving` follows it.
    cutting: DropGuard,
}

impl Server {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// What the system says when it does not know the listener's address.
    pub(super) fn start(listener: TcpListener, router: Router, settings: ServerSettings) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let connections = Connections::new(router, settings);
        let cutting = connections.cutting.clone().drop_guard();
        connections.tasks.spawn(Arc::clone(&connections).accept_all(listener));
        Ok(Self { local_addr, connections, cutting })
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no connection any more, closes idle ones and gives the others `grace` for the answers they wait for.
    ///
    /// Returns whether all were answered.
    pub(super) async fn stop(self, grace: Duration) -> bool {
        let Connections { leaving, tasks, .. } = &*self.connections;
        leaving.cancel();
        tasks.close();
        let is_answered = tokio::time::timeout(grace, tasks.wait()).await.is_ok();
        drop(self.cutting);
        is_answered
    }
}

/// What all connections share; lives as long as one of them.
pub(super) struct Connections {
    pub(super) service: TowerToHyperService<Router>,
    permits: Arc<Semaphore>,
    pub(super) settings: ServerSettings,
    pub(super) tasks: TaskTracker,
    /// No new work: what was asked is answered.
    pub(super) leaving: CancellationToken,
    /// Everything ends at once.
    pub(super) cutting: CancellationToken,
}

impl Connections {
    pub(super) fn new(router: Router, settings: ServerSettings) -> Arc<Self> {
        let cutting = CancellationToken::new();
        Arc::new(Self {
            service: TowerToHyperService::new(router),
            permits: Arc::new(Semaphore::new(settings.max_connections)),
            settings,
            tasks: TaskTracker::new(),
            leaving: cutting.child_token(),
            cutting,
        })
    }

    async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        // The listener closes when this future is dropped, at the end of the accepting.
        let accepting = Arc::clone(&self).accept_until_dropped(listener);
        self.leaving.run_until_cancelled(accepting).await;
    }

    async fn accept_until_dropped(self: Arc<Self>, listener: TcpListener) {
        // The permit comes first: a connection over the limit waits in the system's queue.
        while let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.tasks.spawn(Arc::clone(&self).carry_with(stream, peer, permit));
                }
                Err(error) => {
                    warn!(%error, "A connection could not be taken.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Carries a connection, which counts as one as long as `permit` is held.
    async fn carry_with(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // An answer is written in one piece: waiting for more would only delay it.
        match stream.set_nodelay(true) {
            Ok(()) => self.carry(stream, peer).await,
            Err(error) => debug!(%error, "A connection was lost."),
        }
        drop(permit);
    }
}
