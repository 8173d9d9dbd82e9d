//! The contract of the stand-ins that rehearse a provider without an account.

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;

use crate::adapter::wire::WireResponse;

/// A provider's stand-in and the channel that talks to it.
pub struct Sandbox {
    /// Name of the channel, e.g. `sandbox-tim`.
    pub channel: &'static str,
    /// The channel's keys as TOML, without `provider` and `base_url`: the stand-in's own dummy credentials.
    pub settings: &'static str,
    /// A recipient that is accepted and one that the provider refuses, for demonstrations.
    pub recipients: (&'static str, &'static str),
    /// The sender to use in demonstrations.
    pub sender: &'static str,
    /// Makes a stand-in with its own state.
    pub build: fn() -> Box<dyn StandIn>,
}

/// Answers requests as the provider's document says: signatures, tokens, limits, rates and error bodies.
///
/// State that it keeps (issued tokens, rate windows) is its own and ends with it.
pub trait StandIn: Send + Sync + 'static {
    /// Answers one request that arrived at `now`.
    fn answer(&self, request: &Arrival<'_>, now: SystemTime) -> StandInAnswer;
}

/// One request as it arrived, in raw form: a stand-in reads it from the document, not from an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The method, e.g. `POST`.
    pub method: &'a str,
    /// The path, percent-encoded as it came.
    pub path: &'a str,
    /// The query without `?`, percent-encoded as it came; empty if there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

impl Arrival<'_> {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query parameter, percent-decoded; the first of that name.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (percent_decode(key)? == name).then(|| percent_decode(value))?
        })
    }
}

/// What a stand-in does with a request.
#[derive(Clone, Debug)]
pub enum StandInAnswer {
    /// It answers.
    Respond(WireResponse),
    /// It has read the request and closes the connection without a word.
    Drop,
    /// It has read the request and never answers.
    Hang,
}

/// Decodes percent-encoding; `None` if it is malformed or not UTF-8.
#[must_use]
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
