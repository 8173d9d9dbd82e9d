//! `GET /docs/`: the document as a page, without anything from elsewhere.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use utoipa_swagger_ui::Config;

use crate::api::answer;
use crate::api::problem::{Problem, ProblemCode};

/// Nothing is loaded from or sent to anywhere but this gateway; the page sets styles of its own elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Headers of every file of the page.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    // The next version brings other files under the same names.
    (CACHE_CONTROL, "no-cache"),
];

/// Leads to the page, whose files lie beside it.
pub async fn lead() -> Redirect {
    Redirect::permanent("/docs/")
}

/// Answers with the page itself.
///
/// # Errors
/// A [`Problem`] if this program is faulty.
pub async fn index() -> Result<Response, Problem> {
    file("index.html")
}

/// Answers with one of its files.
///
/// # Errors
/// A [`Problem`] if there is no such file.
pub async fn asset(path: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    path.map_or_else(|_| Err(missing()), |Path(name)| file(&name))
}

/// Adds the headers that keep the page to this gateway.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn file(name: &str) -> Result<Response, Problem> {
    // Without a link of the caller's own: no query of the page changes what it shows.
    let config = Config::from("/openapi.json").query_config_enabled(false).validator_url("none");
    match utoipa_swagger_ui::serve(name, Arc::new(config)) {
        Ok(Some(file)) => {
            let mut response = answer::with_type("text/html", file.bytes.into_owned());
            if let Ok(value) = HeaderValue::from_str(&file.content_type) {
                response.headers_mut().insert(http::header::CONTENT_TYPE, value);
            }
            Ok(response.into_response())
        }
        Ok(None) => Err(missing()),
        Err(error) => {
            tracing::error!(%error, "A file of the page cannot be written.");
            Err(Problem::new(ProblemCode::Internal, "the page cannot be written"))
        }
    }
}

fn missing() -> Problem {
    Problem::new(ProblemCode::NotFound, "the page has no such file")
}
