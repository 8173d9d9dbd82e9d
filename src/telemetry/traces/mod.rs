//! Spans: one for each request, batch and provider call, made only where they are exported or shown.
//!
//! They carry ids, names and counts of ours; no recipient, no content, no path that a caller made up. What is
//! exported: feature `otel`.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod export;

use tracing::Span;
use tracing::field::Empty;

use crate::telemetry::trace_context::{TraceContext, TraceId};
#[cfg(not(feature = "otel"))]
pub use crate::telemetry::traces::absent::Export;
#[cfg(feature = "otel")]
pub use crate::telemetry::traces::export::{Export, ExportError};

/// Begins the span of a request and says under which trace it is known.
///
/// `route`: the template. The trace is the context's, except that one which begins here is named by the exporter
/// where there is one.
#[must_use]
pub fn request_span(context: TraceContext, method: &str, route: &str) -> (Span, TraceId) {
    let span = tracing::debug_span!(
        "request",
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    #[cfg(feature = "otel")]
    let trace_id = export::join(&span, context).unwrap_or(context.trace_id);
    #[cfg(not(feature = "otel"))]
    let trace_id = context.trace_id;
    (span, trace_id)
}

/// Adds the answer to the span of its request.
pub fn end_request(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
}
