//! Carries a [`WireRequest`] to a provider and brings the whole answer back.
//!
//! It knows no provider and repeats nothing: one request in, at most one exchange on the wire, and an error
//! that says whether something may have been written. The only place that knows `reqwest`.

pub mod address;
mod answer;
#[cfg(feature = "otel")]
pub mod collector;
pub mod destination;
mod settings;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Body, Client, Request};

use crate::adapter::channel::CommonSettings;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::transport::destination::Destination;
pub use crate::transport::settings::Settings;

/// One channel's way to its provider.
pub type HttpService = tower::util::BoxCloneSyncService<WireRequest, WireResponse, TransportError>;

/// How long a connection without work stays open.
///
/// Shorter than what load balancers commonly allow (60 s), so that we close first and a request rarely meets
/// a connection that is just being closed: such a request would count as possibly delivered.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no whole answer came; never shows a URL, a query or a header.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// DNS, connect or TLS failed: nothing of the request was written.
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
    Client(#[source] reqwest::Error),
}

/// Makes the client of one channel, with connections of its own.
///
/// # Errors
/// [`BuildError`]: the operator mends the base URL or the machine's certificates.
pub fn client(channel: &CommonSettings, settings: &Settings) -> Result<HttpService, BuildError> {
    let destination = Destination::new(&channel.base_url)?;
    let max_idle = usize::try_from(channel.max_in_flight.get()).unwrap_or(usize::MAX);
    let mut builder = Client::builder()
        // An answer is an answer: a redirect could lead to a host that nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        // Only `dispatch` decides about repeats.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(channel.connect_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        // Every call that may run at once finds its connection again.
        .pool_max_idle_per_host(max_idle)
        .tcp_nodelay(true);
    if !destination.is_tls() {
        // Nothing ever speaks TLS here, so the machine's certificates need not be read.
        builder = builder.tls_certs_only([]);
    }
    let connection = Arc::new(Connection {
        client: builder.build().map_err(|error| BuildError::Client(error.without_url()))?,
        destination,
        answer_bytes: settings.answer_bytes,
    });
    Ok(HttpService::new(tower::service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { connection.exchange(request).await }
    })))
}

/// What the requests of one channel share; lives as long as its service.
struct Connection {
    client: Client,
    destination: Destination,
    answer_bytes: usize,
}

impl Connection {
    async fn exchange(&self, wire: WireRequest) -> Result<WireResponse, TransportError> {
        let mut request = Request::new(wire.method.clone(), self.destination.url(&wire));
        *request.headers_mut() = wire.headers;
        *request.body_mut() = Some(Body::from(wire.body));
        *request.timeout_mut() = Some(wire.timeout);
        let response = self.client.execute(request).await.map_err(classify)?;
        answer::read(response, self.answer_bytes).await
    }
}

/// Sorts the failure of an exchange whose answer has not begun.
fn classify(error: reqwest::Error) -> TransportError {
    // A connect timeout is both; that nothing was written is what matters.
    if error.is_connect() || error.is_builder() {
        TransportError::Connect(error.without_url().into())
    } else if error.is_timeout() {
        TransportError::Timeout
    } else {
        TransportError::ConnectionReset
    }
}
