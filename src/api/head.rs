//! What the head of a request may hold, besides its length in bytes, which the server below bounds.

use axum::extract::Request;

use crate::api::problem::{Problem, ProblemCode};

/// Longest path and query together, in bytes.
pub const MOST_URI_BYTES: usize = 8 * 1024;

/// Most headers, each value counting as one.
pub const MOST_HEADERS: usize = 64;

/// Checks a head before anything is made of it.
///
/// # Errors
/// A [`Problem`] that names the limit.
pub fn check(request: &Request) -> Result<(), Problem> {
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > MOST_URI_BYTES) {
        let detail = format!("path and query may have at most {MOST_URI_BYTES} bytes");
        return Err(Problem::new(ProblemCode::UriTooLong, detail));
    }
    if request.headers().len() > MOST_HEADERS {
        let detail = format!("there may be at most {MOST_HEADERS} headers");
        return Err(Problem::new(ProblemCode::TooManyHeaders, detail));
    }
    Ok(())
}
