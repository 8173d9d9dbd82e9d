//! What an operation is told beside a body: in its path, its query and its head.

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, RefBuilder};
use utoipa::openapi::{Ref, Required};

use crate::api::document::problem;
use crate::api::document::schema::{AnySchema, named, pattern, text};

/// 1 to 255 visible ASCII characters, bare or as a quoted string.
pub(in crate::api) const IDEMPOTENCY_KEY: &str =
    r#"^(?:[!#-~][!-~]{0,254}|"(?:[!#-\[\]-~]|\\["\\]){1,255}")$"#;

/// Headers of requests that several operations read, by name.
pub(in crate::api) fn parameters() -> [(&'static str, Parameter); 4] {
    let header = |name: &str, about: &str, schema: ObjectBuilder, example: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(about))
            .schema(Some(schema))
            .example(Some(example.into()))
            .build()
    };
    let prefer = "`wait=N`: answer at the end of the batch, but after N seconds at the latest; more than 25 \
                  counts as 25. `respond-async`: answer as soon as the batch is written, so that it survives this \
                  process; refused where batches are kept in memory only (`/readyz` says so). Both together \
                  wait as `wait` says. Operations that send nothing wait only. What makes no sense is ignored \
                  (RFC 7240).";
    let key = "The caller's name of what is asked for, bare or as a quoted string (RFC 9651), which mean the \
               same. A repeat with the same path and body is answered with the same batch, and sends nothing; \
               one with others is refused. Refused where batches are kept in memory only (`/readyz` says so).";
    let request_id = "The caller's name of the request: 1 to 128 letters, digits and `-_.:~+/=`. Any other \
                      is replaced.";
    let trace = "The trace that the request belongs to (W3C Trace Context); what cannot be read is ignored.";
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    [
        ("IdempotencyKey", header("idempotency-key", key, pattern("A key.", IDEMPOTENCY_KEY), "order-4711")),
        ("Prefer", header("prefer", prefer, text("Preferences."), "wait=5")),
        ("RequestId", header("x-request-id", request_id, text("A name."), "req-7f3a")),
        ("TraceParent", header("traceparent", trace, text("A place in a trace."), parent)),
    ]
}

/// One of [`parameters`].
pub(super) fn parameter(name: &str) -> Ref {
    RefBuilder::new().ref_location(format!("#/components/parameters/{name}")).build()
}

/// A parameter of the query, which may be missing.
pub(super) fn query(name: &str, about: &str, schema: AnySchema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// Where a page begins.
pub(super) fn page_token() -> Parameter {
    query("page_token", "`next_page_token` of the page before.", text("A token.").into())
}

/// A part of the path.
pub(super) fn path_parameter(name: &str, about: &str, schema: AnySchema, example: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(schema))
        .example(Some(example.into()))
        .build()
}

/// The batch in the path.
pub(super) fn batch_id() -> Parameter {
    let schema = named("BatchId");
    path_parameter("id", "The batch.", schema, problem::EXAMPLE_BATCH)
}
