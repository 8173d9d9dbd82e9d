//! Where the requests of a channel go.

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::adapter::wire::WireRequest;
use crate::transport::BuildError;

/// The server of a channel, and the beginning of every path there; both are the configuration's alone.
#[derive(Clone, Debug)]
pub struct Destination {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
}

impl Destination {
    /// Reads a base URL.
    ///
    /// # Errors
    /// [`BuildError::BaseUrl`] if it names no scheme or no server.
    pub fn new(base_url: &Uri) -> Result<Self, BuildError> {
        let (Some(scheme), Some(authority)) = (base_url.scheme(), base_url.authority()) else {
            return Err(BuildError::BaseUrl);
        };
        // As it is signed and compared: a host has no case.
        let authority = authority.as_str().to_ascii_lowercase().parse().map_err(|_| BuildError::BaseUrl)?;
        let prefix = base_url.path().trim_end_matches('/').to_owned();
        Ok(Self { scheme: scheme.clone(), authority, prefix })
    }

    /// The base URL with the request's path and query; scheme, host and port cannot change.
    ///
    /// # Errors
    /// If the path is none.
    pub fn uri(&self, wire: &WireRequest) -> Result<Uri, http::Error> {
        let target = PathAndQuery::from_maybe_shared(Bytes::from(wire.target(&self.prefix)))?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        uri.path_and_query(target).build()
    }

    /// Whether TLS is spoken there.
    pub(super) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// No path and no parameter is read as another server or a user; what is no path is no request.
        #[test]
        fn no_request_leaves_its_server(
            base in prop::sample::select(vec!["https://a.test", "http://a.test:8080/prefix/", "https://[::1]:1/"]),
            path in prop_oneof!["[/\\\\@:?#.a%]{0,12}", "//?(evil\\.test|@|:)?[/?#@]?.{0,8}", ".{0,16}", "/[a-z%/.]{0,12}"],
            value in ".{0,16}",
        ) {
            let expected: Uri = base.parse().unwrap();
            let destination = Destination::new(&expected).unwrap();
            let mut wire = WireRequest::post_json(path.clone(), "", Duration::ZERO);
            wire.push_query("name", value);
            let built = destination.uri(&wire);
            let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%/.".contains(&byte));
            prop_assert!(!is_path || built.is_ok(), "a path that is one is refused");
            if let Ok(uri) = built {
                prop_assert_eq!((uri.scheme(), uri.authority()), (expected.scheme(), expected.authority()));
                prop_assert!(!is_path || uri.query().is_some_and(|query| query.starts_with("name=")));
            }
        }
    }
}
