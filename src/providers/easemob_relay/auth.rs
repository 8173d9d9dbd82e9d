//! Puts the signed query into every request.

use serde::Deserialize;

use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, AuthError, GivenCredentials, Sign};
use crate::domain::json::JsonText;
use crate::providers::easemob_relay::settings::Query;

/// The configured query, or what a caller signed for this one request.
///
/// There is no algorithm, lifetime or renewal: the document shows one URL, and its `sign` cannot be made from
/// the parts that are visible. All five values are secret, the callers' too.
/// Source: interface 2.8, "test environment", read 2026-11-21.
pub(super) struct SignedQuery {
    configured: Query,
}

/// The part of the options that matters here; `options.rs` has checked the block before.
#[derive(Deserialize)]
struct Options {
    query: Option<GivenQuery>,
}

/// What a caller gives replaces what is configured, value by value.
#[derive(Default, Deserialize)]
struct GivenQuery {
    api_version: Option<String>,
    client: Option<String>,
    version: Option<String>,
    channel: Option<String>,
    sign: Option<String>,
}

impl SignedQuery {
    /// Signs with these values unless a request brings its own.
    pub(super) fn new(configured: Query) -> Self {
        Self { configured }
    }
}

impl Sign for SignedQuery {
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        let given = given_query(attempt.route.provider_options.as_ref())?;
        let Query { api_version, client, version, channel, sign } = &self.configured;
        // In the order of the document's URL.
        for (name, given, configured) in [
            ("apiVersion", given.api_version, api_version),
            ("client", given.client, client),
            ("version", given.version, version),
            ("channel", given.channel, channel),
            ("sign", given.sign, sign),
        ] {
            request.push_secret_query(name, given.unwrap_or_else(|| configured.expose().to_owned()));
        }
        Ok(())
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        Some(GivenCredentials { field: "query", secret: &self.configured.sign })
    }
}

fn given_query(options: Option<&JsonText>) -> Result<GivenQuery, AuthError> {
    // The text is compact and its names are written without needless escapes, so that looking for the name
    // spares nearly every request the parsing.
    let Some(text) = options.map(JsonText::as_str).filter(|text| text.contains("\"query\"")) else {
        return Ok(GivenQuery::default());
    };
    let options: Options =
        serde_json::from_str(text).map_err(|_| AuthError::Unusable("query of the request"))?;
    Ok(options.query.unwrap_or_default())
}
