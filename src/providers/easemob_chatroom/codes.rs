//! What the provider's errors mean, one row each.
//!
//! An error always speaks of the whole call: the API never refuses a single room.
//! Source: Easemob, send chatroom messages, error codes, and response status codes, read 2026-11-21; classes
//! and repeats are our reading of them.

use crate::adapter::Repeat;
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::providers::easemob_chatroom::wire::ErrorBody;

/// What an error means for everybody in the call.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    /// The class.
    pub(super) kind: FailureKind,
    /// Whether anybody may have been served.
    pub(super) fate: Fate,
    hint: &'static str,
}

/// Whether anybody may have been served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody was.
    Refused(Repeat),
    /// Nobody can tell.
    Undecided,
}

/// One documented error.
struct Row {
    status: u16,
    /// The error type; empty = any, also none.
    error: &'static str,
    /// Part of the description in lower case; empty = any.
    text: &'static str,
    meaning: Meaning,
}

const fn row(status: u16, error: &'static str, text: &'static str, meaning: Meaning) -> Row {
    Row { status, error, text, meaning }
}

const fn refused(kind: FailureKind, repeat: Repeat, hint: &'static str) -> Meaning {
    Meaning { kind, fate: Fate::Refused(repeat), hint }
}

/// Every later call of the route has the same body, so it would fare alike.
const fn invalid(hint: &'static str) -> Meaning {
    refused(FailureKind::InvalidRequest, Repeat::EndsRoute, hint)
}

const fn forbidden(hint: &'static str) -> Meaning {
    refused(FailureKind::Permission, Repeat::EndsRoute, hint)
}

const fn unauthorized(hint: &'static str) -> Meaning {
    refused(FailureKind::Authentication, Repeat::WithNewToken, hint)
}

const fn throttled(hint: &'static str) -> Meaning {
    refused(FailureKind::RateLimited, Repeat::Safe, hint)
}

const fn undecided(kind: FailureKind, hint: &'static str) -> Meaning {
    Meaning { kind, fate: Fate::Undecided, hint }
}

const SEND: &str = "message_send_error";

/// The first row that fits counts, so that special ones stand before general ones.
const ROWS: &[Row] = &[
    row(400, "invalid_request_body", "", invalid("the provider could not read the request body")),
    row(400, SEND, "from can't be empty", invalid("the sender is an empty text")),
    row(400, SEND, "to can't be empty", invalid("the list of rooms is empty")),
    row(400, SEND, "type can't be empty", invalid("the message type is empty")),
    row(400, SEND, "body can't be empty", invalid("the message has no content")),
    row(400, SEND, "ext must be", invalid("`ext` must be an object")),
    row(400, SEND, "users can't be empty", invalid("the list of members is empty")),
    row(400, SEND, "exceed limit", invalid("more than 10 rooms in one call")),
    row(400, SEND, "too large", invalid("body and ext together are larger than 5 KB")),
    row(400, "json_parse", "", invalid("the provider could not parse the request")),
    row(400, "illegal_argument", "", invalid("the provider refuses an argument")),
    // The token endpoint's own: the credentials of the app are wrong.
    row(
        400,
        "invalid_grant",
        "",
        refused(FailureKind::Authentication, Repeat::EndsRoute, "client_id or client_secret is wrong"),
    ),
    row(400, "", "", invalid("the provider refuses the request")),
    row(
        401,
        "unauthorized",
        "expired",
        unauthorized(
            "the app token is missing or expired; if a new one fares alike, check this host's clock",
        ),
    ),
    row(401, "unauthorized", "", unauthorized("the app token is missing or wrong")),
    row(401, "auth_bad_access_token", "", unauthorized("the app token is not one of this app")),
    row(401, "", "", unauthorized("the app token was refused")),
    row(403, SEND, "reach limit", throttled("more messages per second than the app may send")),
    row(403, "forbidden_op", "", forbidden("the operation is not allowed")),
    row(403, "forbidden_service_operation", "", forbidden("the app is banned or lacks this feature")),
    row(403, "", "", forbidden("the app may not do this")),
    row(
        404,
        "organization_application_not_found",
        "",
        invalid("no such org_name and app_name behind this base_url"),
    ),
    row(404, "service_resource_not_found", "", invalid("the path is unknown to this base_url")),
    row(404, "", "", invalid("the path is unknown to this base_url")),
    row(405, "", "", invalid("base_url does not lead to the message API")),
    row(
        408,
        "",
        "",
        undecided(FailureKind::ProviderUnavailable, "the provider waited too long for the request"),
    ),
    row(413, "", "", invalid("the request body is too large for the provider's front end")),
    row(415, "web_application", "unsupported media type", invalid("the provider wants JSON")),
    row(429, "resource_limited", "", forbidden("the quota of the app's plan is used up")),
    row(429, "reach_limit", "", throttled("more calls per second than the app may make")),
    row(429, "", "", throttled("too many calls")),
    row(500, "web_application", "", undecided(FailureKind::ProviderError, "wrong path, or a server fault")),
    row(
        500,
        "unsupported_service_operation",
        "",
        undecided(FailureKind::ProviderError, "wrong path, or a server fault"),
    ),
    row(500, "", "", undecided(FailureKind::ProviderError, "the provider's server failed")),
    row(
        501,
        "",
        "",
        refused(FailureKind::ProviderError, Repeat::Never, "the provider does not implement this call"),
    ),
];

/// Finds what an answer of `status` means; `error` = what its body states.
///
/// `None`: a status below 400 that states no error. A 200 that states one is judged by its words alone.
pub(super) fn judge(status: u16, error: Option<&ErrorBody<'_>>) -> Option<Meaning> {
    let is_named = status < 400;
    if is_named && error.is_none() {
        return None;
    }
    let name = error.map_or("", |body| &*body.error);
    let description = error.map_or_else(String::new, |body| body.description.to_ascii_lowercase());
    let found = ROWS.iter().find(|row| {
        let fits_status = if is_named { !row.error.is_empty() } else { row.status == status };
        fits_status && (row.error.is_empty() || row.error == name) && description.contains(row.text)
    });
    Some(match found {
        Some(row) => row.meaning,
        None if is_named => {
            undecided(FailureKind::ProviderError, "an undocumented error in a success answer")
        }
        None if status < 500 => invalid("the provider refuses the request"),
        None => undecided(FailureKind::ProviderUnavailable, "a gateway in front of the provider failed"),
    })
}

/// The failure in both layers: our class and hint, the provider's code and words.
///
/// An answer without words has the HTTP status as its cause.
pub(super) fn failure(meaning: Meaning, status: u16, error: Option<&ErrorBody<'_>>) -> Failure {
    let is_safe = meaning.fate == Fate::Refused(Repeat::Safe);
    let failure = Failure::provider(meaning.kind).with_retryable(is_safe).with_hint(meaning.hint);
    let Some(body) = error else {
        return failure.with_cause(Cause::HttpStatus(status));
    };
    let code = match &body.code {
        Some(number) => format!("{}/{number}", body.error),
        None => body.error.to_string(),
    };
    failure.with_code(code).with_message(&body.description)
}
