//! Takes connections and carries them, within bounds, until the gateway leaves.
//!
//! It tells HTTP/1.1 from HTTP/2 by looking at a connection's first bytes itself: hyper's own detection has
//! no timeout, and neither has its wait for the first request of a silent connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower::Layer as _;
use tracing::{debug, warn};

use crate::app::settings::ServerSettings;

/// What every HTTP/2 connection begins with. Source: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two looks at a connection that has sent only a part of the preface, which is rare.
const PREFACE_POLL: Duration = Duration::from_millis(10);

/// After the system gave no connection, e.g. because all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener at work; dropping it cuts every connection.
pub(super) struct Server {
    local_addr: SocketAddr,
    tasks: TaskTracker,
    leaving: CancellationToken,
    /// Ends everything at once; `leaving` follows it.
    cutting: DropGuard,
}

impl Server {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// What the system says when it does not know the listener's address.
    pub(super) fn start(listener: TcpListener, router: Router, settings: ServerSettings) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let tasks = TaskTracker::new();
        let cutting = CancellationToken::new();
        let leaving = cutting.child_token();
        let connections = Arc::new(Connections {
            router,
            permits: Arc::new(Semaphore::new(settings.max_connections)),
            settings,
            tasks: tasks.clone(),
            leaving: leaving.clone(),
            cutting: cutting.clone(),
        });
        tasks.spawn(connections.accept_all(listener));
        Ok(Self { local_addr, tasks, leaving, cutting: cutting.drop_guard() })
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no connection any more, closes idle ones and gives the others `grace` for the answers they wait for.
    ///
    /// Returns whether all were answered.
    pub(super) async fn stop(self, grace: Duration) -> bool {
        self.leaving.cancel();
        self.tasks.close();
        let is_answered = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        drop(self.cutting);
        is_answered
    }
}

/// What all connections share; lives as long as one of them.
struct Connections {
    router: Router,
    permits: Arc<Semaphore>,
    settings: ServerSettings,
    tasks: TaskTracker,
    leaving: CancellationToken,
    cutting: CancellationToken,
}

enum Protocol {
    Http1,
    Http2,
}

impl Connections {
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
                    self.tasks.spawn(Arc::clone(&self).carry(stream, peer, permit));
                }
                Err(error) => {
                    warn!(%error, "A connection could not be taken.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn carry(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let first_bytes = tokio::time::timeout(self.settings.first_bytes_timeout, protocol(&stream));
        // A connection that has not begun to ask loses nothing when we leave.
        let Some(Ok(Ok(protocol))) = self.leaving.run_until_cancelled(first_bytes).await else {
            return;
        };
        // An answer is written in one piece: waiting for more would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "A connection was lost.");
            return;
        }
        let stream = TokioIo::new(stream);
        // Every request knows whom it comes from: wrong keys are counted by address.
        let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(self.router.clone()));
        match protocol {
            Protocol::Http1 => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(self.settings.idle_timeout)
                    .serve_connection(stream, service);
                self.carry_to_end(connection).await;
            }
            Protocol::Http2 => {
                let connection = http2::Builder::new(Tracked(self.tasks.clone()))
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(128)
                    .max_header_list_size(16 * 1024)
                    .keep_alive_interval(Duration::from_secs(20))
                    .keep_alive_timeout(Duration::from_secs(10))
                    .serve_connection(stream, service);
                self.carry_to_end(connection).await;
            }
        }
        drop(permit);
    }

    async fn carry_to_end<C>(&self, connection: C)
    where
        C: GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let mut connection = std::pin::pin!(connection);
        let ended = async {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.leaving.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        };
        if let Some(Err(error)) = self.cutting.run_until_cancelled(ended).await {
            // A peer that goes away or talks nonsense: nobody here has to act.
            debug!(%error, "A connection ended early.");
        }
    }
}

/// Looks at the first bytes without taking them.
async fn protocol(stream: &TcpStream) -> io::Result<Protocol> {
    let mut bytes = [0; HTTP2_PREFACE.len()];
    loop {
        let count = stream.peek(&mut bytes).await?;
        let seen = bytes.get(..count).unwrap_or_default();
        if seen.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !HTTP2_PREFACE.starts_with(seen) {
            return Ok(Protocol::Http1);
        }
        if seen.len() == HTTP2_PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        // What was peeked at stays readable, so that there is nothing to wait for but time.
        tokio::time::sleep(PREFACE_POLL).await;
    }
}

/// Runs the streams of an HTTP/2 connection as tasks that the server waits for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
