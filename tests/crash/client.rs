//! A client that expects its answers to get lost.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::told::Told;

/// No request waits longer than this: the gateway itself answers after 25 s at the latest.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    batch: Option<String>,
    results: Option<Vec<Told>>,
    /// What a refusal says.
    pub(crate) refusal: Option<String>,
}

impl Heard {
    fn new(status: u16, text: String) -> Self {
        let json: Value = serde_json::from_str(&text).expect("an answer of JSON");
        let is_success = (200..300).contains(&status);
        let is_whole = is_success && json["status"] != "processing" && json["results_truncated"] != true;
        let results = json["results"].as_array().filter(|_| is_whole);
        Self {
            status,
            batch: json["id"].as_str().filter(|_| is_success).map(str::to_owned),
            results: results.map(|results| Told::all(results)),
            refusal: (!is_success).then_some(text),
        }
    }

    pub(crate) const fn is_success(&self) -> bool {
        self.refusal.is_none()
    }

    /// The batch that a success is about.
    pub(crate) fn batch(&self) -> Option<&str> {
        self.batch.as_deref()
    }

    /// The results of a batch that is over, if they stand in the answer.
    pub(crate) const fn results(&self) -> Option<&Vec<Told>> {
        self.results.as_ref()
    }
}

/// Sends every request over a connection of its own, once.
#[derive(Clone)]
pub(crate) struct Client {
    sending: reqwest::Client,
    /// For what may be asked again: keeps its connections.
    reading: reqwest::Client,
}

impl Client {
    pub(crate) fn new() -> Self {
        let builder = || {
            let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]);
            builder.retry(reqwest::retry::never()).timeout(PATIENCE)
        };
        let sending = builder().pool_max_idle_per_host(0).build().unwrap();
        Self { sending, reading: builder().build().unwrap() }
    }

    /// `None`: the answer was lost.
    pub(crate) async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        body: &str,
        headers: &[(&'static str, String)],
    ) -> Option<Heard> {
        let mut request = self.sending.post(format!("http://{address}{path}")).body(body.to_owned());
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (status, text) = hear(request).await?;
        Some(Heard::new(status, text))
    }

    /// The status and text at a path of a gateway that nobody kills.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut request = self.reading.get(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        hear(request).await.expect("an answer")
    }
}

async fn hear(request: reqwest::RequestBuilder) -> Option<(u16, String)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.text().await.ok()?))
}
