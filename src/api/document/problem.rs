//! The schema of refusals, and the answers that carry them.

use http::StatusCode;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, RefBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use crate::api::document::schema::{AnySchema, Members as _, list, named, open, pattern, text, whole, word};
use crate::api::problem::{Problem, ProblemCode};
use crate::domain::fault::{Fault, FaultCode};

/// The header with the name of the request, and the name of its description.
pub(in crate::api) const REQUEST_ID: &str = "x-request-id";

/// The content type of a refusal.
const CONTENT_TYPE: &str = "application/problem+json";

/// Every schema of this module, by name.
pub(in crate::api) fn schemas() -> Vec<(String, AnySchema)> {
    vec![("Problem".to_owned(), problem().into()), ("Fault".to_owned(), fault().into())]
}

fn problem() -> ObjectBuilder {
    let codes = ProblemCode::ALL.map(ProblemCode::as_str);
    open("A refusal (RFC 9457): nothing was sent, and nothing will be.")
        .must("type", pattern("`urn:imcast:problem:` and the code.", "^urn:imcast:problem:[a-z_]+$"))
        .must("title", text("The same for every problem of this code."))
        .must("status", whole("The status of the answer.", 400..=599))
        .must("detail", text("One sentence for a person."))
        .must("instance", text("The path of the request."))
        .must("code", word("The stable name.", codes))
        .must("request_id", text("As in the header `x-request-id`."))
        .may("errors", list("Every fault at once; of recipients the first 100.", named("Fault")))
}

fn fault() -> ObjectBuilder {
    open("One thing that is wrong, and where.")
        .must("pointer", text("JSON pointer (RFC 6901) into the request; empty: the whole."))
        .must("code", word("The stable name.", FaultCode::ALL.map(FaultCode::as_str)))
        .must("detail", text("One sentence for a person."))
}

/// Codes that share a status, as one operation answers them.
pub(in crate::api) type Group = Vec<ProblemCode>;

/// These codes by status.
pub(in crate::api) fn by_status(codes: &[ProblemCode]) -> Vec<(StatusCode, Group)> {
    let mut statuses: Vec<StatusCode> = codes.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let group = |status| codes.iter().copied().filter(|code| code.status() == status).collect();
    statuses.into_iter().map(|status| (status, group(status))).collect()
}

/// The name of the answer with these codes, e.g. `overloaded-draining`.
pub(in crate::api) fn name(codes: &[ProblemCode]) -> String {
    codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join("-")
}

/// The answer with these codes; each has an example.
pub(in crate::api) fn answer(codes: &[ProblemCode]) -> Response {
    let names: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
    let examples = codes.iter().map(|code| {
        let example = ExampleBuilder::new().summary(code.title()).value(Some(example(*code)));
        (code.as_str(), RefOr::T(example.build()))
    });
    let content = ContentBuilder::new().schema(Some(named("Problem"))).examples_from_iter(examples);
    let mut response = ResponseBuilder::new()
        .description(names.join(" "))
        .header_ref(REQUEST_ID, header_reference())
        .content(CONTENT_TYPE, content.build());
    let has = |wanted: fn(ProblemCode) -> bool| codes.iter().any(|code| wanted(*code));
    if has(ProblemCode::is_passing) {
        let seconds = HeaderBuilder::new()
            .schema(Some(whole("Seconds.", 1..=u64::MAX)))
            .description(Some("When to come back, in seconds."));
        response = response.header("retry-after", seconds.build());
    }
    if has(|code| code == ProblemCode::Unauthenticated) {
        let challenge = HeaderBuilder::new().schema(Some(text("A challenge."))).description(Some(
            "How to say who you are (RFC 6750); `error=\"invalid_token\"` after a wrong key.",
        ));
        response = response.header("www-authenticate", challenge.build());
    }
    response.build()
}

/// What a refusal of this code looks like, written by the code that refuses.
fn example(code: ProblemCode) -> serde_json::Value {
    let problem = if code == ProblemCode::InvalidRequest {
        Problem::faults([
            Fault::new("/message/text", FaultCode::Required, "`text` is required"),
            Fault::new("/message/txt", FaultCode::UnknownField, "`txt` is not a known field here"),
        ])
    } else if code == ProblemCode::Forbidden {
        let detail = "this key may not use the channel `sandbox-tim`";
        Problem::forbidden_channels(vec![Fault::new("/channel", FaultCode::NotAllowed, detail)])
    } else {
        Problem::new(code, code.title())
    };
    serde_json::from_slice(&problem.to_json("/v1/batches", "req_3f9a1c0be24d7756")).unwrap_or_default()
}

/// The description of the header that every answer has.
pub(in crate::api) fn header_reference() -> Ref {
    RefBuilder::new().ref_location(format!("#/components/headers/{REQUEST_ID}")).build()
}

/// The batch of every example.
pub(in crate::api) const EXAMPLE_BATCH: &str = "bat_01JD7Q8Z5R9Q0M4T8K2V6X3W1Y";
