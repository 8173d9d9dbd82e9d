//! Gives every request an id, every refusal its body, and keeps the promise about handed-over batches.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State as FromState};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument as _;

use crate::api::answer;
use crate::api::head;
use crate::api::problem::Problem;
use crate::api::router::State;
use crate::domain::id::BatchId;
use crate::telemetry::metrics::Answered;
use crate::telemetry::metrics::words::Violation;
use crate::telemetry::trace_context::{TraceContext, TraceId};
use crate::telemetry::traces;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The batch that this request handed over, once it did.
///
/// Owned by the request: a handler sets it, the outermost layer reads it after the handler ended in any way.
#[derive(Clone, Debug, Default)]
pub struct HandedOver(Arc<OnceLock<BatchId>>);

impl HandedOver {
    /// From here on the answer is a 2xx.
    pub fn set(&self, id: BatchId) {
        // A request hands over at most one batch.
        let _ = self.0.set(id);
    }

    fn get(&self) -> Option<BatchId> {
        self.0.get().copied()
    }
}

/// The outermost layer of the API.
pub async fn identify(FromState(state): FromState<State>, mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| {
        let text = format!("req_{:016x}", state.api.dispatcher.draw());
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("req_0"))
    });
    let instance = request.uri().path().to_owned();
    let handed_over = HandedOver::default();
    request.extensions_mut().insert(handed_over.clone());
    let metrics = Arc::clone(state.api.dispatcher.metrics());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let (span, trace_id) = traces::request_span(
        trace_context(&state, request.headers()),
        method.as_str(),
        route.unwrap_or("none"),
    );
    request.extensions_mut().insert(trace_id);
    let mut response = match head::check(&request) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let text = id.to_str().unwrap_or_default();
        response = if let Some(batch_id) = handed_over.get() {
            metrics.count_violation(Violation::ReportWithheld);
            tracing::error!(request.id = text, batch.id = %batch_id, "A batch is answered without its report.");
            answer::handed_over(batch_id)
        } else {
            metrics.count_refusal(problem.code().as_str());
            tracing::debug!(request.id = text, code = problem.code().as_str(), "Request refused.");
            problem.respond(response.headers(), &instance, text)
        };
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    let status = response.status().as_u16();
    metrics.count_answer(Answered { method: method.as_str(), route, status });
    traces::end_request(&span, status);
    response
}

/// The caller's trace, or a new one if it names none, several, or none that can be read.
fn trace_context(state: &State, headers: &HeaderMap) -> TraceContext {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let only = given.next().filter(|_| given.next().is_none());
    only.and_then(|value| TraceContext::parse(value.to_str().ok()?)).unwrap_or_else(|| {
        let draw = || u128::from(state.api.dispatcher.draw());
        TraceContext::begin(TraceId::new((draw() << 64) | draw()))
    })
}

/// The caller's id, if it is one that can stand in logs and headers as it is.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:~+/=".contains(byte);
    let bytes = value.as_bytes();
    ((1..=128).contains(&bytes.len()) && bytes.iter().all(is_sane)).then(|| value.clone())
}
