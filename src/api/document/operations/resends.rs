//! What is done with a batch that was sent.

use utoipa::openapi::Required;
use utoipa::openapi::path::HttpMethod;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};

use crate::api::document::example::{example, only};
use crate::api::document::operations::batches::KEYED;
use crate::api::document::operations::parameters::{batch_id, parameter};
use crate::api::document::operations::{Described, content, guarded, operation, report, sent};
use crate::api::document::schema::named;
use crate::api::problem::ProblemCode;

/// Every operation of this file.
pub(in crate::api) fn all() -> Vec<Described> {
    vec![resend(), cancel()]
}

fn resend() -> Described {
    let start = operation(
        "resendBatch",
        "batches",
        "Resend",
        "Sends what failed, or may have failed, again, as a new batch that is linked to this one. What counts is \
         a recipient's latest outcome over the whole chain, so that a repeated resend sends nothing twice. \
         Answers like a send.",
    );
    let start = start
        .parameter(batch_id())
        .parameter_ref(parameter("IdempotencyKey"))
        .parameter_ref(parameter("Prefer"))
        .request_body(Some(wanted()));
    let accepted = only("Everybody was taken", include_str!("../examples/resend_accepted.json"));
    let partial = only("Somebody was not", include_str!("../examples/resend_partial.json"));
    let running = only("As much as is certain", include_str!("../examples/handed_over.json"));
    let codes = [
        ProblemCode::InvalidJson,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::Timeout,
        ProblemCode::Conflict,
        ProblemCode::TooLarge,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::InvalidRequest,
        ProblemCode::Overloaded,
        ProblemCode::Draining,
    ];
    let codes = [&KEYED[..], &codes].concat();
    let operation = sent(start, accepted, partial, running);
    guarded(HttpMethod::Post, "/v1/batches/{id}/resend", operation, &codes)
}

fn cancel() -> Described {
    let start = operation(
        "cancelBatch",
        "batches",
        "Cancel",
        "Calls in flight finish; whoever was not called becomes `failed` / `canceled`. Waits for the calls in \
         flight like a send. A batch that is over stays as it is. If the cancel cannot be written in time, a batch \
         that runs in the answering process is stopped all the same, and writing goes on.",
    );
    let canceled = only("Nobody was called", include_str!("../examples/report_canceled.json"));
    let operation = start
        .parameter(batch_id())
        .parameter_ref(parameter("Prefer"))
        .response("200", report("The report.", "Report", canceled));
    let codes = [ProblemCode::NotFound, ProblemCode::StoreUnavailable];
    guarded(HttpMethod::Post, "/v1/batches/{id}/cancel", operation, &codes)
}

/// The body of a resend.
fn wanted() -> RequestBody {
    let examples = vec![
        example("failed", "The failed", include_str!("../examples/resend_failed.json")),
        example("unknown", "The unknown too", include_str!("../examples/resend_unknown.json")),
    ];
    RequestBodyBuilder::new()
        .required(Some(Required::False))
        .content("application/json", content(named("ResendRequest"), examples))
        .build()
}
