//! Carries a [`WireRequest`] to a provider and brings the whole answer back.
//!
//! It knows no provider and repeats nothing: one request in, at most one exchange on the wire, and an error
//! that says whether something may have been written. The only place that knows `hyper-rustls`, and one of two that
//! know `reqwest`: docs/decisions/0007-providers-without-reqwest.md.

pub mod address;
mod answer;
#[cfg(feature = "otel")]
pub mod collector;
mod connector;
pub mod destination;
mod settings;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, HeaderValue};
use http_body_util::Full;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::adapter::channel::CommonSettings;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::transport::connector::{Connector, connector};
use crate::transport::destination::Destination;
pub use crate::transport::settings::Settings;

/// One channel's way to its provider.
pub type HttpService = tower::util::BoxCloneSyncService<WireRequest, WireResponse, TransportError>;

/// How long a connection without work stays open.
///
/// Shorter than what load balancers commonly allow (60 s), so that we close first and a request rarely meets
/// a connection that is just being closed: such a request would count as possibly delivered.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for what a connection reads at once: answers are mostly short, and every call in flight has this room.
const READ_BYTES: usize = 4096;

/// Why no whole answer came; never shows a URL, a query or a header.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// DNS, connect or TLS failed, so that nothing of the request was written; or the provider says itself that it did
    /// nothing for the HTTP/2 stream of the request.
    #[error("no connection to the provider")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The time was over after something may have been written.
    #[error("no answer from the provider in time")]
    Timeout,
    /// The connection broke after something may have been written.
    #[error("the connection to the provider broke")]
    ConnectionReset,
    /// The head of an answer came, but its body is over the limit or broke off.
    #[error("the answer with status {status} could not be read to its end")]
    Unreadable {
        /// The status in the head.
        status: u16,
    },
}

/// Why a channel has no client; the channel cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL is no URL that the client understands.
    #[error("the base URL is not usable")]
    BaseUrl,
    /// The client could not be set up, e.g. because no trusted certificates were found.
    #[error("the HTTP client could not be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Makes the client of one channel, with connections of its own.
///
/// It knows no redirect, no proxy and no cookie: an answer is an answer, and requests go to nobody else.
///
/// # Errors
/// [`BuildError`]: the operator mends the base URL or the machine's certificates.
pub fn client(channel: &CommonSettings, settings: &Settings) -> Result<HttpService, BuildError> {
    let destination = Destination::new(&channel.base_url)?;
    let connector = connector(destination.is_tls(), channel.connect_timeout)?;
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        // Every call that may run at once finds its connection again.
        .pool_max_idle_per_host(usize::try_from(channel.max_in_flight.get()).unwrap_or(usize::MAX))
        .http1_read_buf_exact_size(READ_BYTES)
        .build(connector);
    let connection = Arc::new(Connection { client, destination, answer_bytes: settings.answer_bytes });
    Ok(HttpService::new(tower::service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { connection.exchange(request).await }
    })))
}

/// What the requests of one channel share; lives as long as its service.
struct Connection {
    client: Client<Connector, Full<Bytes>>,
    destination: Destination,
    answer_bytes: usize,
}

impl Connection {
    /// One bound of time for all of it, the reading of the answer included.
    async fn exchange(&self, wire: WireRequest) -> Result<WireResponse, TransportError> {
        let timeout = wire.timeout;
        let mut request = self.request(wire).map_err(|error| TransportError::Connect(error.into()))?;
        let connection = capture_connection(&mut request);
        let exchange = async {
            let response = self.client.request(request).await.map_err(classify)?;
            answer::read(response, self.answer_bytes).await
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(result) => result,
            // A time that is over before there is a connection to write to.
            Err(elapsed) if connection.connection_metadata().is_none() => {
                Err(TransportError::Connect(elapsed.into()))
            }
            Err(_) => Err(TransportError::Timeout),
        }
    }

    fn request(&self, wire: WireRequest) -> Result<Request<Full<Bytes>>, http::Error> {
        let uri = self.destination.uri(&wire)?;
        let mut request = Request::new(Full::new(wire.body));
        *request.method_mut() = wire.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = wire.headers;
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

/// Sorts the failure of an exchange whose answer has not begun.
fn classify(error: Error) -> TransportError {
    if error.is_connect() || is_unprocessed(&error) {
        TransportError::Connect(error.into())
    } else {
        TransportError::ConnectionReset
    }
}

/// Whether the provider says that it did nothing for a stream: it refused it, or goes away and names an earlier one as
/// the last that it saw to. `h2` tells only the streams behind that one that the provider goes away.
///
/// Source: RFC 9113, sections 6.8 and 8.7, read 2026-11-21.
fn is_unprocessed(error: &Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut chain = std::iter::successors(Some(first), |error| error.source());
    let told = chain.find_map(|error| error.downcast_ref::<h2::Error>());
    told.is_some_and(|told| {
        told.is_remote() && (told.is_go_away() || told.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}
