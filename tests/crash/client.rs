//! A client that expects its answers to get lost.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

/// No request waits longer than this: the gateway itself answers after 25 s at the latest.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer that came whole.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) json: Value,
}

impl Heard {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The batch that a success is about.
    pub(crate) fn batch(&self) -> Option<&str> {
        self.json["id"].as_str().filter(|_| self.is_success())
    }

    /// The results of a batch that is over, if they stand in the answer.
    pub(crate) fn results(&self) -> Option<&Vec<Value>> {
        let is_whole = self.is_success() && self.json["status"] != "processing";
        self.json["results"].as_array().filter(|_| is_whole && self.json["results_truncated"] != true)
    }
}

/// Sends every request over a connection of its own, once.
#[derive(Clone)]
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new() -> Self {
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]).pool_max_idle_per_host(0);
        Self(builder.retry(reqwest::retry::never()).timeout(PATIENCE).build().unwrap())
    }

    /// `None`: the answer was lost.
    pub(crate) async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        body: &str,
        headers: &[(&'static str, String)],
    ) -> Option<Heard> {
        let mut request = self.0.post(format!("http://{address}{path}")).body(body.to_owned());
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (status, text) = hear(request).await?;
        Some(Heard { status, json: serde_json::from_str(&text).expect("an answer of JSON") })
    }

    /// The status and text at a path of a gateway that nobody kills.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut request = self.0.get(format!("http://{address}{path}"));
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
