//! A running gateway as a client sees it: where it is, who asks, and one exchange with it.
//!
//! Repeats nothing: who asks knows whether a repeat is safe.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Client, Url};

use crate::commands::refusal::Refusal;
use crate::commands::{CommandError, InputError, Sources, health};

/// More than any report or plan that fits on a screen, and a bound for what is none.
const MOST_ANSWER_BYTES: usize = 64 << 20;

/// A gateway that takes longer to take a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for an answer beside what it may wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body goes out at least this fast, bytes a second: as fast as the gateway demands by default.
const BYTES_PER_SECOND: u64 = 64 * 1024;

/// Where the gateway is and who asks.
#[derive(Debug, Default, clap::Args)]
// Several commands have groups of this name.
#[group(skip)]
pub(super) struct Arguments {
    /// The gateway [default: the variable `IMCAST_URL`, else the configured address]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the key to send [default: the variable `IMCAST_KEY`, else none]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// A gateway.
pub(super) struct Gateway {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) accept: &'static str,
    /// The most seconds that the answer may wait for the end of a batch.
    pub(super) wait_seconds: Option<u64>,
    pub(super) idempotency_key: Option<&'a str>,
    /// Content type and body.
    pub(super) body: Option<(&'static str, Bytes)>,
}

/// One answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer; shows no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    #[error("no gateway is reached at {url}")]
    Connect { url: String, source: reqwest::Error },
    #[error("the gateway at {url} does not answer in time")]
    Timeout { url: String },
    #[error("the connection to the gateway at {url} broke before its answer was there")]
    Broken { url: String, source: reqwest::Error },
    #[error("the answer of {url} is longer than any of a gateway")]
    TooLong { url: String },
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl GatewayError {
    /// Whether the gateway may have read the request.
    pub(super) const fn may_have_been_read(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Client(_) => false,
            Self::Timeout { .. } | Self::Broken { .. } | Self::TooLong { .. } => true,
        }
    }
}

impl Answer {
    /// The value of a header; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer, if it is a 2xx.
    pub(super) fn accepted(self) -> Result<Self, Refusal> {
        if self.status.is_success() { Ok(self) } else { Err(Refusal::read(&self)) }
    }
}

impl Gateway {
    /// Finds out where it is; the configuration is read only if nothing else says it.
    pub(super) fn find(arguments: &Arguments, sources: Sources) -> Result<Self, CommandError> {
        let variable = |name: &str| {
            let found = sources.environment.iter().find(|(known, _)| known == OsStr::new(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let authorization = authorization(arguments, variable("IMCAST_KEY"))?;
        let url = match (&arguments.url, variable("IMCAST_URL")) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => url.into_string().map_err(|_| InputError::Url)?,
            (None, None) => format!("http://{}", health::reachable(sources.load()?.server.listen)),
        };
        let base = parse_url(&url).ok_or(InputError::Url)?;
        let mut builder = Client::builder()
            // The key goes to nobody else.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT);
        if base.scheme() == "http" {
            // Nothing ever speaks TLS here, so the machine's certificates need not be read.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| GatewayError::Client(error.without_url()))?;
        Ok(Self { client, base, authorization })
    }

    /// The address of a path, for people.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Asks once.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Answer, GatewayError> {
        let url = self.url("");
        let sent = self.request(question).send().await;
        let mut response = sent.map_err(|error| classify(error, &url))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| classify(error, &url))? {
            if body.len() + piece.len() > MOST_ANSWER_BYTES {
                return Err(GatewayError::TooLong { url });
            }
            body.extend_from_slice(&piece);
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body: body.into() })
    }

    fn request(&self, question: Question<'_>) -> reqwest::RequestBuilder {
        let mut patience = PATIENCE;
        let mut request = self.client.request(question.method, self.url(question.path));
        request = request.header(ACCEPT, question.accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(seconds) = question.wait_seconds {
            patience += Duration::from_secs(seconds);
            request = request.header("prefer", format!("wait={seconds}"));
        }
        if let Some(key) = question.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some((content_type, body)) = question.body {
            let seconds = u64::try_from(body.len()).unwrap_or(u64::MAX) / BYTES_PER_SECOND;
            patience += Duration::from_secs(seconds);
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        request.timeout(patience)
    }
}

/// A URL without anything that belongs elsewhere: no password on the command line, no query.
fn parse_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let is_base = url.query().is_none() && url.fragment().is_none() && url.has_host();
    (matches!(url.scheme(), "http" | "https") && is_plain && is_base).then_some(url)
}

fn authorization(arguments: &Arguments, given: Option<OsString>) -> Result<Option<HeaderValue>, InputError> {
    let key = match (&arguments.key_file, given) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|source| InputError::Unreadable { name: path.display().to_string(), source })?,
        (None, Some(key)) => key.into_string().map_err(|_| InputError::Key)?,
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim())).map_err(|_| InputError::Key)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn classify(error: reqwest::Error, url: &str) -> GatewayError {
    let url = url.to_owned();
    let source = error.without_url();
    // A connect timeout is both; that nothing was written is what matters.
    if source.is_connect() || source.is_builder() {
        GatewayError::Connect { url, source }
    } else if source.is_timeout() {
        GatewayError::Timeout { url }
    } else {
        GatewayError::Broken { url, source }
    }
}
