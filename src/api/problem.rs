//! Refusals, as RFC 9457 problem details: the only place that knows status codes of errors.

use std::collections::HashSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::adapter::wire::push_json_string;
use crate::api::keys::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::domain::fault::Fault;

/// Headers that may be known before the body of a refusal is written.
const KEPT_HEADERS: [HeaderName; 5] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE, RATE_LIMIT_POLICY, RATE_LIMIT];

/// When to come back after a refusal that passes, unless it says so itself, in seconds.
const LEAST_RETRY_AFTER_SECONDS: u64 = 1;

/// A refusal.
///
/// It travels in the extensions of an empty response; the outermost layer writes the body, because only that
/// layer knows the request's id.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ProblemCode,
    detail: String,
    errors: Arc<[Fault]>,
    retry_after_seconds: Option<u64>,
}

/// Kinds of refusals: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemCode {
    /// The body is no JSON.
    InvalidJson,
    /// A header cannot be used.
    InvalidHeader,
    /// The request breaks rules; `errors` names them.
    InvalidRequest,
    /// The key names a batch that something else was asked for.
    IdempotencyKeyReused,
    /// The body is too long.
    TooLarge,
    /// The path and query are too long.
    UriTooLong,
    /// There are too many headers.
    TooManyHeaders,
    /// The body has another content type.
    UnsupportedMediaType,
    /// No key, or a wrong one.
    Unauthenticated,
    /// The key is good, but not for this.
    Forbidden,
    /// The caller's quota is used up for now.
    QuotaExceeded,
    /// There is nothing at this path.
    NotFound,
    /// The state of the batch is in the way.
    Conflict,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The body came too slowly.
    Timeout,
    /// Too much work at once.
    Overloaded,
    /// The process is about to end.
    Draining,
    /// Recorded batches cannot be read.
    StoreUnavailable,
    /// A fault of imcast.
    Internal,
}

impl ProblemCode {
    /// The `code` in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.facts().1
    }

    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidJson => ("invalid_json", StatusCode::BAD_REQUEST, "The body is not valid JSON."),
            Self::InvalidHeader => ("invalid_header", StatusCode::BAD_REQUEST, "A header cannot be used."),
            Self::InvalidRequest => {
                ("invalid_request", StatusCode::UNPROCESSABLE_ENTITY, "The request breaks a rule.")
            }
            Self::IdempotencyKeyReused => (
                "idempotency_key_reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key was used for another request.",
            ),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."),
            Self::UriTooLong => ("uri_too_long", StatusCode::URI_TOO_LONG, "The URI is too long."),
            Self::TooManyHeaders => (
                "too_many_headers",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "There are too many headers.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not supported.",
            ),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "A valid key is needed."),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This key may not do this."),
            Self::QuotaExceeded => {
                ("quota_exceeded", StatusCode::TOO_MANY_REQUESTS, "The quota is used up for now.")
            }
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found."),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "The state of the batch is in the way."),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here.")
            }
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The body came too slowly."),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too much work at once."),
            Self::Draining => ("draining", StatusCode::SERVICE_UNAVAILABLE, "Shutting down."),
            Self::StoreUnavailable => {
                ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "Recorded batches cannot be read.")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A fault of the gateway."),
        }
    }
}

impl Problem {
    /// A refusal with one sentence for a person.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Arc::default(), retry_after_seconds: None }
    }

    /// A request that breaks rules; a fault that several routes share is listed once.
    #[must_use]
    pub fn faults(faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut errors: Vec<Fault> = Vec::new();
        let mut seen = HashSet::new();
        for fault in faults {
            if seen.insert((fault.pointer.clone(), fault.code.as_str(), fault.detail.clone())) {
                errors.push(fault);
            }
        }
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} faults; nothing was sent", several.len()),
        };
        Self { errors: errors.into(), ..Self::new(ProblemCode::InvalidRequest, detail) }
    }

    /// A request for channels that the key may not use; the rest of it is not judged.
    #[must_use]
    pub fn forbidden_channels(faults: Vec<Fault>) -> Self {
        Self { code: ProblemCode::Forbidden, ..Self::faults(faults) }
    }

    /// Tells the caller when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// What kind of refusal it is.
    #[must_use]
    pub const fn code(&self) -> ProblemCode {
        self.code
    }

    /// Writes the body; `instance` is the path of the request.
    #[must_use]
    pub fn to_json(&self, instance: &str, request_id: &str) -> Vec<u8> {
        let (code, status, title) = self.code.facts();
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"type\":");
        push_json_string(&mut out, &format!("urn:imcast:problem:{code}"));
        out.extend_from_slice(b",\"title\":");
        push_json_string(&mut out, title);
        out.extend_from_slice(format!(",\"status\":{}", status.as_u16()).as_bytes());
        out.extend_from_slice(b",\"detail\":");
        push_json_string(&mut out, &self.detail);
        out.extend_from_slice(b",\"instance\":");
        push_json_string(&mut out, instance);
        out.extend_from_slice(b",\"code\":");
        push_json_string(&mut out, code);
        out.extend_from_slice(b",\"request_id\":");
        push_json_string(&mut out, request_id);
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":");
            for (index, fault) in self.errors.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"[" } else { b"," });
                out.extend_from_slice(b"{\"pointer\":");
                push_json_string(&mut out, &fault.pointer);
                out.extend_from_slice(b",\"code\":");
                push_json_string(&mut out, fault.code.as_str());
                out.extend_from_slice(b",\"detail\":");
                push_json_string(&mut out, &fault.detail);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.push(b'}');
        out
    }

    /// The whole answer; headers that are already known, such as `Allow`, are kept.
    #[must_use]
    pub fn respond(&self, kept: &http::HeaderMap, instance: &str, request_id: &str) -> Response {
        let mut response = Response::new(self.to_json(instance, request_id).into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        for name in KEPT_HEADERS {
            if let Some(value) = kept.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == ProblemCode::Timeout {
            // The rest of the body is still to come. HTTP/2, which has no such header, ends the stream alone.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let is_passing = self.code.status() == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(seconds) = self.retry_after_seconds.or(is_passing.then_some(LEAST_RETRY_AFTER_SECONDS)) {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::FaultCode;

    #[test]
    fn a_refusal_that_passes_says_when_to_come_back() {
        let header = |problem: Problem| problem.into_response().headers().get(RETRY_AFTER).cloned();
        for code in [ProblemCode::Overloaded, ProblemCode::Draining, ProblemCode::StoreUnavailable] {
            assert_eq!(header(Problem::new(code, "")).unwrap(), "1");
            assert_eq!(header(Problem::new(code, "").with_retry_after(7)).unwrap(), "7");
        }
        assert_eq!(header(Problem::new(ProblemCode::Internal, "")), None);
    }

    #[test]
    fn says_what_is_wrong_where() {
        let fault = Fault::new("/to/3", FaultCode::WrongType, "must be a \"string\"");
        let problem = Problem::faults([fault.clone(), fault]);
        let json: serde_json::Value =
            serde_json::from_slice(&problem.to_json("/v1/batches", "req_1")).unwrap();
        let expected = serde_json::json!({
            "type": "urn:imcast:problem:invalid_request", "title": "The request breaks a rule.",
            "status": 422, "detail": "/to/3: must be a \"string\"", "instance": "/v1/batches",
            "code": "invalid_request", "request_id": "req_1",
            "errors": [{"pointer": "/to/3", "code": "wrong_type", "detail": "must be a \"string\""}]
        });
        assert_eq!(json, expected);
    }
}
