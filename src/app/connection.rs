//! Carries one connection, HTTP/1.1 or HTTP/2, within its bounds of time and size.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ConnectInfo;
use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::api::answer::NoAnswer;
use crate::app::activity::{Activity, Patience};
use crate::app::server::Connections;
use crate::app::watched::{AnsweredBody, AskedBody, WatchedStream};

/// What every HTTP/2 connection begins with. Source: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most bytes that are read to tell the protocol; the head of an ordinary request fits.
const FIRST_READ_BYTES: usize = 1024;

/// Longest request line and headers together in HTTP/1.1.
const MOST_HEAD_BYTES: usize = 32 * 1024;

/// Longest header list of an HTTP/2 request, counted as in RFC 9113, section 10.5.1.
const MOST_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Most requests at once on an HTTP/2 connection.
const MOST_STREAMS: u32 = 128;

/// Streams that the peer may take back before we have looked at them; more is an attack (CVE-2023-44487).
const MOST_RESETS: usize = 20;

/// Streams that we had to end for the peer's faults; more is an attack (RUSTSEC-2024-0003).
const MOST_FAULTY_STREAMS: usize = 100;

/// What may be sent ahead of our reading on an HTTP/2 stream, and on all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What a peer has for its good-bye after its time is over.
const PARTING_TIME: Duration = Duration::from_secs(1);

/// How long and how much we listen to a peer that still sends after its last answer.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

enum Protocol {
    Http1,
    Http2,
}

/// A connection whose first bytes have come.
struct Opened {
    protocol: Protocol,
    first_bytes: Bytes,
    activity: Arc<Activity>,
}

impl Connections {
    /// Carries a connection from `peer` until it ends, has used up its time, or the server leaves.
    pub(super) async fn carry<S>(self: Arc<Self>, mut stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A connection that has not begun to ask loses nothing when we leave.
        let Some(Some(opened)) = self.leaving.run_until_cancelled(self.open(&mut stream)).await else {
            return;
        };
        let Opened { protocol, first_bytes, activity } = opened;
        match protocol {
            Protocol::Http1 => {
                let stream = WatchedStream::new(first_bytes, stream, Some(Arc::clone(&activity)));
                self.carry_http1(stream, peer, &activity).await;
            }
            Protocol::Http2 => {
                let stream = WatchedStream::new(first_bytes, stream, None);
                self.carry_http2(stream, peer, &activity).await;
            }
        }
    }

    /// Reads until the protocol is certain; `None` if that takes too long or the peer goes away.
    async fn open<S: AsyncRead + Unpin>(&self, stream: &mut S) -> Option<Opened> {
        let mut bytes = BytesMut::with_capacity(FIRST_READ_BYTES);
        let first = tokio::time::timeout(self.settings.first_bytes_timeout, stream.read_buf(&mut bytes));
        if first.await.ok()?.ok()? == 0 {
            return None;
        }
        let activity = Activity::begin();
        let telling = async {
            while bytes.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&bytes) {
                if stream.read_buf(&mut bytes).await.ok()? == 0 {
                    return None;
                }
            }
            Some(if bytes.starts_with(HTTP2_PREFACE) { Protocol::Http2 } else { Protocol::Http1 })
        };
        let protocol = tokio::time::timeout(self.settings.head_timeout, telling).await.ok()??;
        Some(Opened { protocol, first_bytes: bytes.freeze(), activity })
    }

    async fn carry_http1<S>(&self, stream: WatchedStream<S>, peer: SocketAddr, activity: &Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut connection = http1::Builder::new()
            // `Activity` knows better.
            .header_read_timeout(None)
            .max_header_size(MOST_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service(&self.service, peer, activity));
        let ended = self.carry_to_end(Pin::new(&mut connection), activity).await;
        let is_cut_off = match ended {
            Some(Ok(())) => activity.is_unread(),
            // The head, which has got its 4xx, may go on.
            Some(Err(error)) => error.is_parse(),
            None => false,
        };
        if is_cut_off {
            let stream = connection.into_parts().io.into_inner().into_inner();
            self.cutting.run_until_cancelled(linger(stream)).await;
        }
    }

    async fn carry_http2<S>(&self, stream: WatchedStream<S>, peer: SocketAddr, activity: &Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut connection = http2::Builder::new(Tracked(self.tasks.clone()))
            .timer(TokioTimer::new())
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(MOST_HEADER_LIST_BYTES)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_FAULTY_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service(&self.service, peer, activity));
        self.carry_to_end(Pin::new(&mut connection), activity).await;
    }

    /// Returns how the connection ended; `None` if it was cut.
    async fn carry_to_end<C>(
        &self,
        mut connection: Pin<&mut C>,
        activity: &Activity,
    ) -> Option<hyper::Result<()>>
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let patience = Patience { head: self.settings.head_timeout, rest: self.settings.idle_timeout };
        let mut overdue = std::pin::pin!(activity.overdue(patience));
        let mut is_leaving = false;
        let carried = async {
            loop {
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => return Some(ended),
                    () = self.leaving.cancelled(), if !is_leaving => {
                        is_leaving = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = overdue.as_mut() => {
                        connection.as_mut().graceful_shutdown();
                        return part(connection, activity).await;
                    }
                }
            }
        };
        let ended = self.cutting.run_until_cancelled(carried).await.flatten();
        if let Some(Err(error)) = &ended {
            // A peer that goes away or talks nonsense: nobody here has to act.
            debug!(%error, "A connection ended early.");
        }
        ended
    }
}

/// A request that gets no answer: hyper ends its connection, or in HTTP/2 its stream.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request gets no answer")]
struct Unanswered;

/// The router as the service of one connection, which hears of every request; each request names `peer`.
fn service(
    router: &TowerToHyperService<axum::Router>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<AnsweredBody>,
    Error = Unanswered,
    Future: Future<Output = Result<Response<AnsweredBody>, Unanswered>> + Send + 'static,
> + Unpin
+ use<> {
    let (router, activity) = (router.clone(), Arc::clone(activity));
    service_fn(move |mut request: Request<Incoming>| {
        // Wrong keys are counted by address.
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut open = activity.ask();
        let answer = router.call(request.map(|body| AskedBody::new(body, Arc::clone(&activity))));
        async move {
            let Ok(response) = answer.await;
            if response.extensions().get::<NoAnswer>().is_some() {
                return Err(Unanswered);
            }
            open.answer();
            Ok(response.map(|body| AnsweredBody::new(body, open)))
        }
    })
}

/// Waits for the end of a connection that was told that its time is over; `None` if it has to be cut.
///
/// An HTTP/2 peer may have asked at that very moment: then its answer is waited for.
async fn part<C>(connection: Pin<&mut C>, activity: &Activity) -> Option<hyper::Result<()>>
where
    C: Future<Output = hyper::Result<()>>,
{
    let parting = async {
        tokio::time::sleep(PARTING_TIME).await;
        activity.overdue(Patience { head: PARTING_TIME, rest: PARTING_TIME }).await;
    };
    tokio::select! {
        biased;
        ended = connection => Some(ended),
        () = parting => None,
    }
}

/// Listens to a peer that has got its last answer and still sends, without keeping anything.
///
/// The system would answer it with a reset, and a reset can take the answer away from the peer.
async fn linger<S: AsyncRead + Unpin>(mut stream: S) {
    let mut bytes = BytesMut::with_capacity(8 * 1024);
    let reading = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
            bytes.clear();
        }
    };
    // Its time is over, or it has said enough.
    drop(tokio::time::timeout(LINGER_TIME, reading).await);
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
