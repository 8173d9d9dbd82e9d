//! The layer that asks for a key.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State as FromState};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};

use crate::api::keys::attempts::Slowdown;
use crate::api::keys::caller::Caller;
use crate::api::keys::rate_limit::whole_seconds;
use crate::api::keys::ring::KeyRing;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;

/// Paths for whoever runs the process or reads about the API. Every other path needs a key, also one that does
/// not exist: a new one is guarded before anybody thinks of it.
const OPEN_PATHS: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/docs"];

/// The files of the page at `/docs`, which say nothing of this deployment.
const OPEN_FOLDER: &str = "/docs/";

/// Finds out who calls and hands that on; whoever has no good key gets 401.
pub async fn authenticate(FromState(state): FromState<State>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if OPEN_PATHS.contains(&path) || path.starts_with(OPEN_FOLDER) {
        return next.run(request).await;
    }
    let keys = &state.api.keys;
    let caller = if keys.is_empty() {
        Caller::anybody()
    } else {
        match identify(keys, request.headers(), peer(&request)).await {
            Ok(caller) => caller,
            Err(refusal) => return refusal,
        }
    };
    // Nothing behind this layer has a use for the key, so that nothing can give it away.
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    caller.describe_quota(response.headers_mut());
    response
}

async fn identify(keys: &KeyRing, headers: &HeaderMap, address: IpAddr) -> Result<Caller, Response> {
    let Some(presented) = presented(headers) else {
        let detail = "send a key: `Authorization: Bearer imc_...`";
        return Err(unauthenticated(detail, "Bearer"));
    };
    if let Some(caller) = keys.find(presented) {
        return Ok(caller);
    }
    let (slowdown, is_new) = keys.note_wrong(address);
    if is_new {
        tracing::warn!(peer.address = %address, "Many wrong keys come from this address: answers are held back.");
    }
    match slowdown {
        Slowdown::Delayed(delay) => {
            tokio::time::sleep(delay).await;
            Err(unauthenticated("this key is not valid here, or no longer", "Bearer error=\"invalid_token\""))
        }
        Slowdown::Refused(wait) => {
            let detail = "too many wrong keys came from this address; a valid one is taken at any time";
            let problem = Problem::new(ProblemCode::QuotaExceeded, detail);
            Err(problem.with_retry_after(whole_seconds(wait)).into_response())
        }
    }
}

/// The key of the only `Authorization` header, if that has the scheme `Bearer` (RFC 6750, section 2.1).
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_matches(' '))
}

/// Who holds the other end of the connection.
fn peer(request: &Request) -> IpAddr {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Without a connection, as in tests of the API alone, all come from one place.
    connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

fn unauthenticated(detail: &str, challenge: &'static str) -> Response {
    let mut response = Problem::new(ProblemCode::Unauthenticated, detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
