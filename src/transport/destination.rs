//! Where the requests of a channel go.

use http::Uri;
use reqwest::Url;

use crate::adapter::wire::WireRequest;
use crate::transport::BuildError;

/// The server of a channel, and the beginning of every path there; both are the configuration's alone.
#[derive(Clone, Debug)]
pub struct Destination {
    base: Url,
    prefix: String,
}

impl Destination {
    /// Reads a base URL.
    ///
    /// # Errors
    /// [`BuildError::BaseUrl`] if the client would not understand it.
    pub fn new(base_url: &Uri) -> Result<Self, BuildError> {
        let base = Url::parse(&base_url.to_string()).map_err(|_| BuildError::BaseUrl)?;
        let prefix = base.path().trim_end_matches('/').to_owned();
        Ok(Self { base, prefix })
    }

    /// Scheme, host and port that this request is sent to: those of the base URL, whatever is in the request.
    #[must_use]
    pub fn origin(&self, wire: &WireRequest) -> String {
        self.url(wire).origin().ascii_serialization()
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The base URL with the request's path and query; scheme, host and port cannot change.
    pub(super) fn url(&self, wire: &WireRequest) -> Url {
        let mut url = self.base.clone();
        if self.prefix.is_empty() {
            url.set_path(&wire.path);
        } else {
            url.set_path(&format!("{}{}", self.prefix, wire.path));
        }
        let query = wire.encoded_query();
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        url
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// No path and no parameter is read as another server, a user or a fragment.
        #[test]
        fn no_request_leaves_its_server(
            base in prop::sample::select(vec!["https://a.test", "http://a.test:8080/prefix/", "https://[::1]:1/"]),
            path in prop_oneof!["[/\\\\@:?#.a%]{0,12}", "//?(evil\\.test|@|:)?[/?#@]?.{0,8}", ".{0,16}"],
            value in ".{0,16}",
        ) {
            let destination = Destination::new(&base.parse().unwrap()).unwrap();
            let mut wire = WireRequest::post_json(path, "", Duration::ZERO);
            wire.push_query("name", value);
            let expected = Url::parse(base).unwrap();
            prop_assert_eq!(destination.origin(&wire), expected.origin().ascii_serialization());
            let url = destination.url(&wire);
            prop_assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None));
            prop_assert_eq!(url.query().map(|query| query.starts_with("name=")), Some(true));
        }
    }
}
