//! Carries spans to a trace collector.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::Client;
use tokio::runtime::Handle;

use crate::transport::{BuildError, answer};

/// Most time of one export; spans are dropped rather than kept for a collector that does not answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an answer, of which only the status says something.
const ANSWER_BYTES: usize = 64 * 1024;

/// The exporter's connections. They live in the program's runtime, while the exporter has a thread of its own.
#[derive(Clone, Debug)]
pub struct Collector {
    client: Client,
    runtime: Handle,
}

/// An export failed; shows no URL.
#[derive(Debug, thiserror::Error)]
enum CollectorError {
    #[error("the request for the collector cannot be made")]
    Request(#[source] reqwest::Error),
    #[error("the collector cannot be reached")]
    Exchange(#[source] reqwest::Error),
    #[error("the collector's answer cannot be read")]
    Answer(#[source] crate::transport::TransportError),
    #[error("the export was cut short")]
    Cut(#[source] tokio::task::JoinError),
}

impl Collector {
    /// Makes the connections; `endpoint` decides whether certificates are needed.
    ///
    /// # Errors
    /// [`BuildError`]: the operator mends the machine's certificates.
    pub fn new(endpoint: &str, runtime: Handle) -> Result<Self, BuildError> {
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(TIMEOUT);
        if endpoint.starts_with("http://") {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| BuildError::Client(error.without_url().into()))?;
        Ok(Self { client, runtime })
    }

    async fn exchange(client: Client, request: Request<Bytes>) -> Result<Response<Bytes>, CollectorError> {
        let request = request.try_into().map_err(CollectorError::Request)?;
        let sent = client.execute(request).await;
        let response = sent.map_err(|error| CollectorError::Exchange(error.without_url()))?;
        let answer = answer::read(response.into(), ANSWER_BYTES).await.map_err(CollectorError::Answer)?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        Ok(response)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'this, 'future>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        let exchange = self.runtime.spawn(Self::exchange(self.client.clone(), request));
        Box::pin(async move { Ok(exchange.await.map_err(CollectorError::Cut)??) })
    }
}
