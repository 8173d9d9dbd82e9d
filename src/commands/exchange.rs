//! One request to a gateway of ours over a connection of its own.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More than any answer that a command asks for.
const MOST_ANSWER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the exchange broke off")]
    Broken(#[source] hyper::Error),
    #[error("the answer cannot be read to its end")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends `request` to `address` (host and port) and reads the whole answer within `patience`.
pub(super) async fn exchange<B>(
    address: &str,
    request: Request<B>,
    patience: Duration,
) -> Result<(Parts, Bytes), ExchangeError>
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    tokio::time::timeout(patience, exchange_unbounded(address, request))
        .await
        .map_err(|_| ExchangeError::Timeout)?
}

async fn exchange_unbounded<B>(address: &str, request: Request<B>) -> Result<(Parts, Bytes), ExchangeError>
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let stream = TcpStream::connect(address).await.map_err(ExchangeError::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(ExchangeError::Broken)?;
    let asking = async move {
        let response = sender.send_request(request).await.map_err(ExchangeError::Broken)?;
        let (head, body) = response.into_parts();
        let body =
            Limited::new(body, MOST_ANSWER_BYTES).collect().await.map_err(ExchangeError::Unreadable)?;
        // The sender goes with this future, and the connection ends because nobody can ask any more.
        Ok((head, body.to_bytes()))
    };
    let (answer, _) = tokio::join!(asking, connection);
    answer
}
