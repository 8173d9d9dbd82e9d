//! Tells a server that a caller named: one POST, to no other host and to no address inside.
//!
//! The address that is connected to is the one that was judged: names are resolved here, and every try has a
//! connection of its own, so that no earlier one stands in for the judgement.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Client, Request, Url};

use crate::transport::BuildError;
use crate::transport::address::is_public;

/// The way to all servers that callers may name; the answer's body is never read.
pub type WebhookService = tower::util::BoxCloneSyncService<Webhook, StatusCode, WebhookError>;

/// How webhooks are sent.
#[derive(Clone, Copy, Debug)]
pub struct WebhookOptions {
    /// Most time of a whole exchange.
    pub timeout: Duration,
    /// Whether addresses that are not public may be connected to.
    pub allows_private_addresses: bool,
    /// Whether any server is asked by TLS, so that the machine's certificates are needed.
    pub needs_tls: bool,
}

/// One POST.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where to, as the caller gave it.
    pub url: Arc<str>,
    /// The host that was allowed, in lower case.
    pub host: Box<str>,
    /// The port that was allowed.
    pub port: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why no answer came; never shows a URL or a header.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The client reads another server out of the URL than the one that was allowed.
    #[error("the URL does not name the allowed server")]
    Url,
    /// The server's addresses are not public.
    #[error("the server has no public address")]
    PrivateAddress,
    /// Name, connection or TLS failed: nothing was written.
    #[error("no connection to the server")]
    Connect,
    /// The time was over.
    #[error("no answer from the server in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection to the server broke")]
    ConnectionReset,
}

impl WebhookError {
    /// One word for logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::PrivateAddress => "private_address",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::ConnectionReset => "connection_reset",
        }
    }
}

/// Makes the client.
///
/// # Errors
/// [`BuildError`]: the operator mends the machine's certificates.
pub fn client(options: WebhookOptions) -> Result<WebhookService, BuildError> {
    let WebhookOptions { timeout, allows_private_addresses, needs_tls } = options;
    let mut builder = Client::builder()
        // A redirect leads to a server that nobody allowed.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        // No connection is used again: each one was judged for what goes over it.
        .pool_max_idle_per_host(0)
        .dns_resolver(Judging { allows_private_addresses })
        .timeout(timeout);
    if !needs_tls {
        builder = builder.tls_certs_only([]);
    }
    let client = builder.build().map_err(|error| BuildError::Client(error.without_url().into()))?;
    Ok(WebhookService::new(tower::service_fn(move |webhook| {
        let client = client.clone();
        async move { exchange(&client, allows_private_addresses, webhook).await }
    })))
}

async fn exchange(
    client: &Client,
    allows_private_addresses: bool,
    webhook: Webhook,
) -> Result<StatusCode, WebhookError> {
    let url = Url::parse(&webhook.url).map_err(|_| WebhookError::Url)?;
    let is_allowed =
        url.host_str() == Some(&*webhook.host) && url.port_or_known_default() == Some(webhook.port);
    if !is_allowed {
        return Err(WebhookError::Url);
    }
    // An address in the place of a name is not resolved.
    let address = webhook.host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if address.is_ok_and(|address| !allows_private_addresses && !is_public(address)) {
        return Err(WebhookError::PrivateAddress);
    }
    let mut request = Request::new(Method::POST, url);
    *request.headers_mut() = webhook.headers;
    *request.body_mut() = Some(Body::from(webhook.body));
    // The rest of the answer is dropped with it.
    client.execute(request).await.map(|response| response.status()).map_err(|error| classify(&error))
}

fn classify(error: &reqwest::Error) -> WebhookError {
    if is_refused(error) {
        WebhookError::PrivateAddress
    } else if error.is_timeout() {
        WebhookError::Timeout
    } else if error.is_connect() || error.is_builder() {
        WebhookError::Connect
    } else {
        WebhookError::ConnectionReset
    }
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NoPublicAddress>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Every address of a name was refused.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
struct NoPublicAddress;

/// Resolves names and lets only those addresses through that may be connected to.
struct Judging {
    allows_private_addresses: bool,
}

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let allows_private_addresses = self.allows_private_addresses;
        Box::pin(async move {
            // The port is that of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let is_allowed = |address: &SocketAddr| allows_private_addresses || is_public(address.ip());
            let allowed: Vec<_> = found.filter(is_allowed).collect();
            if allowed.is_empty() {
                return Err(NoPublicAddress.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}
