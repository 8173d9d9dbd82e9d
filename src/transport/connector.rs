//! Opens connections to one provider: name, TCP and TLS within one bound of time.

use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use crate::transport::BuildError;

/// After so long without a byte the system asks whether the other side is still there, and asks again as often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Questions without an answer after which the connection counts as broken.
const KEEPALIVE_RETRIES: u32 = 3;

/// What was written and is not acknowledged for so long breaks the connection.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Whatever stood in the way of a connection.
pub(super) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// The way to one provider.
pub(super) type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, ConnectError>;

/// The connection was not there in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection within {} ms", .0.as_millis())]
struct TooSlow(Duration);

/// Makes connections within `timeout` each; with `is_tls` to whom the machine's certificates vouch for.
///
/// # Errors
/// [`BuildError`]: the operator mends the machine's certificates.
pub(super) fn connector(is_tls: bool, timeout: Duration) -> Result<Connector, BuildError> {
    let tcp = tcp(timeout);
    let opening: Connector = if is_tls {
        let tls = HttpsConnectorBuilder::new().try_with_platform_verifier();
        let tls = tls.map_err(|error| BuildError::Client(error.into()))?;
        Connector::new(tls.https_only().enable_http1().enable_http2().wrap_connector(tcp))
    } else {
        // Nothing ever speaks TLS here, so the machine's certificates need not be read.
        Connector::new(tcp.map_response(MaybeHttpsStream::Http).map_err(Into::into))
    };
    Ok(Connector::new(tower::service_fn(move |uri| {
        let opening = opening.clone().oneshot(uri);
        async move { tokio::time::timeout(timeout, opening).await.map_err(|_| TooSlow(timeout))? }
    })))
}

fn tcp(timeout: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // The scheme is the caller's business.
    tcp.enforce_http(false);
    // A request is written in one piece: waiting for more would only delay it.
    tcp.set_nodelay(true);
    // Shared by the addresses of a name, so that one that hangs leaves time for the next.
    tcp.set_connect_timeout(Some(timeout));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(WRITE_PATIENCE));
    tcp
}
