//! Sending, planning and reading.

use utoipa::openapi::path::{HttpMethod, Parameter, ParameterBuilder, ParameterStyle};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{Required, ResponseBuilder};

use crate::api::document::example::{Examples, example, only};
use crate::api::document::operations::list::list;
use crate::api::document::operations::parameters::{batch_id, page_token, parameter, query};
use crate::api::document::operations::{
    Described, answer, content, guarded, operation, report, sent, text_content,
};
use crate::api::document::schema::{self, AnySchema, named, whole, word};
use crate::api::problem::ProblemCode;
use crate::api::report::walk::STATUSES;

/// Every operation of this file.
pub(in crate::api) fn all() -> Vec<Described> {
    vec![list(), send(), plan(), read(), results()]
}

/// What may be wrong with a request that holds a batch.
const UNREADABLE: [ProblemCode; 6] = [
    ProblemCode::InvalidJson,
    ProblemCode::Forbidden,
    ProblemCode::Timeout,
    ProblemCode::TooLarge,
    ProblemCode::UnsupportedMediaType,
    ProblemCode::InvalidRequest,
];

/// What may be wrong with a key, or with a batch that has to be written.
pub(super) const KEYED: [ProblemCode; 3] =
    [ProblemCode::InvalidHeader, ProblemCode::IdempotencyKeyReused, ProblemCode::StoreUnavailable];

fn send() -> Described {
    let start = operation(
        "sendBatch",
        "batches",
        "Send",
        "Sends one message to many recipients. The batch starts at once, and the answer waits for its end, 10 s \
         unless `Prefer` says otherwise; a caller that hangs up does not stop it. A 4xx or 5xx means that no \
         provider call was or will be made; whoever gets no answer at all repeats the request with the same \
         `Idempotency-Key`.",
    );
    let start = start.parameter_ref(parameter("IdempotencyKey")).parameter_ref(parameter("Prefer"));
    let start = start.request_body(Some(batch()));
    let accepted = only("Everybody was taken", include_str!("../examples/report_accepted.json"));
    let partial = only("Somebody was not", include_str!("../examples/report_partial.json"));
    let running = vec![
        example("running", "The report so far", include_str!("../examples/report_running.json")),
        example("certain", "As much as is certain", include_str!("../examples/handed_over.json")),
    ];
    let codes = [&UNREADABLE[..], &KEYED, &[ProblemCode::Overloaded, ProblemCode::Draining]].concat();
    guarded(HttpMethod::Post, "/v1/batches", sent(start, accepted, partial, running), &codes)
}

fn plan() -> Described {
    let start = operation(
        "planBatch",
        "batches",
        "Plan",
        "Answers every provider call that a send of the same body would make, without making it. Secrets read \
         `[redacted]`.",
    );
    let plan = content(named("Plan"), only("One call", include_str!("../examples/plan.json")));
    let plan = answer("What would be sent.").content("application/json", plan);
    let operation = start.request_body(Some(batch())).response("200", plan);
    let codes = [&UNREADABLE[..], &[ProblemCode::Overloaded]].concat();
    guarded(HttpMethod::Post, "/v1/batches/plan", operation, &codes)
}

fn read() -> Described {
    let start = operation(
        "readBatch",
        "batches",
        "Read the report",
        "The report as it stands, with an estimate while the batch runs; waits for the end only if `Prefer` \
         says so. `Accept: text/plain` answers one screen of text.",
    );
    let examples = vec![
        example("running", "It runs", include_str!("../examples/report_running.json")),
        example("over", "It is over", include_str!("../examples/report_read.json")),
    ];
    let operation = start
        .parameter(batch_id())
        .parameter_ref(parameter("Prefer"))
        .response("200", report("The report.", "Report", examples));
    let codes = [ProblemCode::NotFound, ProblemCode::StoreUnavailable];
    guarded(HttpMethod::Get, "/v1/batches/{id}", operation, &codes)
}

fn results() -> Described {
    let start = operation(
        "readResults",
        "batches",
        "Read results",
        "Results by page, in the request's order. `Accept: application/x-ndjson` or `text/csv` streams all of \
         them instead.",
    );
    let operation = start
        .parameter(batch_id())
        .parameter(statuses())
        .parameter(query("page_size", "Most results of the page; more than 1000 counts as 1000.", size()))
        .parameter(page_token())
        .response("200", page());
    let codes = [ProblemCode::NotFound, ProblemCode::InvalidRequest, ProblemCode::StoreUnavailable];
    guarded(HttpMethod::Get, "/v1/batches/{id}/results", operation, &codes)
}

/// The body of a send or a plan.
fn batch() -> RequestBody {
    let examples: Examples = vec![
        example("short", "One route", include_str!("../examples/send_short.json")),
        example("full", "Several routes", include_str!("../examples/send_full.json")),
        example("image", "A picture", include_str!("../examples/send_image.json")),
        example(
            "custom",
            "A message that only the app understands",
            include_str!("../examples/send_custom.json"),
        ),
        example("native", "The provider's own element", include_str!("../examples/send_native.json")),
    ];
    let lines = "First line: the short form without `to`; then one recipient a line: a string, a whole number, \
                 or an object with `id` and `ref`; empty lines are skipped.";
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("application/json", content(named("SendRequest"), examples))
        .content("application/x-ndjson", text_content(lines, include_str!("../examples/send.ndjson")))
        .build()
}

fn page() -> ResponseBuilder {
    let json = content(named("ResultPage"), only("The last page", include_str!("../examples/page.json")));
    let lines = text_content("One `Result` a line.", include_str!("../examples/results.ndjson"));
    let table = text_content(
        "RFC 4180 with a header; a cell that a spreadsheet would run as a formula has an apostrophe in front.",
        include_str!("../examples/results.csv"),
    );
    answer("Some results, or all of them.")
        .content("application/json", json)
        .content("application/x-ndjson", lines)
        .content("text/csv", table)
}

fn statuses() -> Parameter {
    let words = schema::list("Statuses separated by commas.", word("A status.", STATUSES));
    ParameterBuilder::from(query("status", "Only results with one of these statuses.", words.into()))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .build()
}

fn size() -> AnySchema {
    whole("0 counts as the default, 100.", 0..=u64::MAX).into()
}
