//! One stand-in's listener and connections.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapter::sandbox::{Arrival, StandIn, StandInAnswer};
use crate::adapter::wire::WireResponse;

/// Most bytes of a request's body; far above every provider's documented limit, which the stand-ins check.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Pause after a failed accept, which is usually a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one stand-in share; lives until the last of them is over.
pub(super) struct Server {
    pub(super) stand_in: Box<dyn StandIn>,
    pub(super) now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    pub(super) tasks: TaskTracker,
    pub(super) end: CancellationToken,
}

/// The stand-in wants the connection closed without an answer, or the request could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the stand-in closes the connection")]
struct Closed;

impl Server {
    /// Accepts connections until the end.
    pub(super) async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.end.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    self.tasks.spawn(Arc::clone(&self).serve(stream));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let end = self.end.clone();
        // Answers are small and the peer waits for each: never hold one back.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { server.respond(request).await }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            () = end.cancelled() => {}
            // A connection that ends in an error is part of the rehearsal.
            _ = connection => {}
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let body = body.to_bytes();
        let arrival = Arrival {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            body: &body,
        };
        match self.stand_in.answer(&arrival, (self.now)()) {
            StandInAnswer::Respond(answer) => Ok(response(answer)),
            StandInAnswer::Drop => Err(Closed),
            StandInAnswer::Hang => std::future::pending().await,
        }
    }
}

fn plain(status: StatusCode) -> Result<Response<Full<Bytes>>, Closed> {
    Response::builder().status(status).body(Full::default()).map_err(|_| Closed)
}

fn response(answer: WireResponse) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
