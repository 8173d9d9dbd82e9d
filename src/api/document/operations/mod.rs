//! What can be asked for: one description per route and method.

mod batches;
mod list;
mod others;
pub(in crate::api) mod parameters;
mod resends;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::{Content, Header, Ref, RefOr, Response, ResponseBuilder};

use crate::api::document::example::Examples;
use crate::api::document::operations::parameters::parameter;
use crate::api::document::problem::{self, Group};
use crate::api::document::schema::{AnySchema, named, pattern, text, whole, word};
use crate::api::problem::ProblemCode;

/// One operation.
pub(in crate::api) struct Described {
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// The method.
    pub method: HttpMethod,
    /// The rest.
    pub operation: OperationBuilder,
    /// Its refusals, by status.
    pub refusals: Vec<Group>,
}

/// Every operation, in the order of the document.
pub(in crate::api) fn all() -> Vec<Described> {
    [batches::all(), resends::all(), others::all()].into_iter().flatten().collect()
}

/// Starts a description.
fn operation(id: &str, tag: &str, summary: &str, description: &str) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .tag(tag)
        .summary(Some(summary))
        .description(Some(description))
        .parameter_ref(parameter("RequestId"))
        .parameter_ref(parameter("TraceParent"))
}

/// Ends the description of an operation that needs a key.
fn guarded(
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
    codes: &[ProblemCode],
) -> Described {
    let all = [codes, &[ProblemCode::Unauthenticated, ProblemCode::QuotaExceeded]].concat();
    finish(method, path, operation, &all)
}

/// Ends the description of an operation that needs none.
fn unguarded(path: &'static str, operation: OperationBuilder, codes: &[ProblemCode]) -> Described {
    finish(HttpMethod::Get, path, operation.securities(Some([])), codes)
}

/// Adds the refusals: these, and those that every path may answer with.
fn finish(
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
    codes: &[ProblemCode],
) -> Described {
    let everywhere = [ProblemCode::UriTooLong, ProblemCode::TooManyHeaders, ProblemCode::Internal];
    let refusals = problem::by_status(&[codes, &everywhere].concat());
    let operation = refusals.iter().fold(operation, |operation, (status, group)| {
        operation.response(status.as_str(), Ref::from_response_name(problem::name(group)))
    });
    let refusals = refusals.into_iter().map(|(_, group)| group).collect();
    Described { path, method, operation, refusals }
}

/// Starts an answer that is no refusal.
fn answer(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header_ref(problem::REQUEST_ID, problem::header_reference())
}

/// Content of this shape with examples.
fn content(schema: AnySchema, examples: Examples) -> Content {
    Content::builder().schema(Some(schema)).examples_from_iter(examples).build()
}

/// Content that is text, with one example.
fn text_content(about: &str, example: &str) -> Content {
    Content::builder().schema(Some(text(about))).example(Some(example.into())).build()
}

/// The header that every answer has.
pub(in crate::api) fn request_id() -> Header {
    header("The name of the request: the caller's if it sent a sane one.", text("A name."), "req-7f3a")
}

fn header(about: &str, schema: impl Into<RefOr<utoipa::openapi::Schema>>, example: &str) -> Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).example(Some(example.into())).build()
}

/// Adds what every answer with a report says in its head.
fn with_batch_headers(response: ResponseBuilder) -> ResponseBuilder {
    let outcome = "What it came to, or `processing`, and the counts.";
    let example = "partial; total=3; accepted=1; failed=1; unknown=1; pending=0";
    let preferred = header(
        "Which preferences counted.",
        pattern("`respond-async`, `wait=N`, or both.", "^(?:respond-async(?:, wait=[0-9]+)?|wait=[0-9]+)$"),
        "respond-async, wait=5",
    );
    response
        .header("batch-id", header("The batch.", named("BatchId"), problem::EXAMPLE_BATCH))
        .header("batch-outcome", header(outcome, text("A word and counts."), example))
        .header("preference-applied", preferred)
}

/// Adds that the batch is one that an earlier request with the same key started.
fn with_replayed(response: ResponseBuilder) -> ResponseBuilder {
    let replayed = "An earlier request with this key started the batch; this one sent nothing.";
    response.header("idempotency-replayed", header(replayed, word("Always.", ["true"]), "true"))
}

/// Adds how the quotas of a caller stand.
fn with_quota_headers(response: ResponseBuilder) -> ResponseBuilder {
    let policy = "The caller's quotas, if it has some (draft-ietf-httpapi-ratelimit-headers-10).";
    response
        .header("ratelimit-policy", header(policy, text("Quotas."), "\"batches\";q=5;w=1"))
        .header("ratelimit", header("What is left of them.", text("Rests."), "\"batches\";r=4;t=1"))
}

/// Adds where a batch that still runs is, and when to look again.
fn with_later(response: ResponseBuilder) -> ResponseBuilder {
    let location = format!("/v1/batches/{}", problem::EXAMPLE_BATCH);
    let seconds = HeaderBuilder::new()
        .schema(Some(whole("Seconds.", 1..=60)))
        .description(Some("When to look again, in seconds."))
        .example(Some(1.into()));
    response
        .header("location", header("The report.", text("A path."), &location))
        .header("retry-after", seconds.build())
}

/// Adds what can be done with the batch that an answer names.
fn with_links(response: ResponseBuilder) -> ResponseBuilder {
    let link = |operation: &str, about: &str| {
        utoipa::openapi::link::Link::builder()
            .operation_id(operation)
            .parameter("id", "$response.header.batch-id")
            .description(about)
            .build()
    };
    response
        .link("read", link("readBatch", "Look at it."))
        .link("results", link("readResults", "Its results by page."))
        .link("resend", link("resendBatch", "Send to some of its recipients again."))
        .link("cancel", link("cancelBatch", "Start no further call of it."))
}

/// An answer with a report.
fn report(description: &str, schema: &str, examples: Examples) -> ResponseBuilder {
    let json = content(named(schema), examples);
    let screen = text_content("One screen for a person.", include_str!("../examples/report.txt"));
    with_batch_headers(answer(description)).content("application/json", json).content("text/plain", screen)
}

/// The answers to a request that sent.
fn sent(operation: OperationBuilder, ok: Examples, partial: Examples, later: Examples) -> OperationBuilder {
    let whole = report("Finished; every recipient is `accepted`.", "Report", ok);
    let part =
        report("Finished; at least one recipient is not `accepted`, perhaps none is.", "Report", partial);
    let later = with_later(report("Not finished yet: look at `location` again.", "Accepted", later));
    [("200", whole), ("207", part), ("202", later)].into_iter().fold(
        operation,
        |operation, (status, answer)| {
            let answer: Response = with_links(with_replayed(with_quota_headers(answer))).build();
            operation.response(status, answer)
        },
    )
}
