//! What the server's error codes mean.
//!
//! An error code always speaks of the whole call, and always means that nothing was sent.
//! Source: open-im-server `internal/api/msg.go` (`BatchSendMsg`: an error can only be returned before the
//! loop that sends), read 2026-11-21.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::adapter::{Repeat, Verdict};
use crate::domain::failure::{Cause, Failure, FailureKind};

/// Longest wait that the server's own limiter is believed to mean.
const MOST_LIMITER_WAIT: Duration = Duration::from_secs(30);

/// What one code, or a run of codes, means.
struct Row {
    codes: RangeInclusive<i64>,
    kind: FailureKind,
    repeat: Repeat,
    hint: &'static str,
}

const fn row(codes: RangeInclusive<i64>, kind: FailureKind, repeat: Repeat, hint: &'static str) -> Row {
    Row { codes, kind, repeat, hint }
}

/// Every code but 500, whose meaning is in its text.
///
/// Source: open-im-server `pkg/common/servererrs/code.go`; openimsdk/tools `errs/predefine.go`; OpenIM, error
/// codes, read 2026-11-21. What a caller should do about each is our decision.
const ROWS: &[Row] = &[
    row(
        429..=429,
        FailureKind::RateLimited,
        Repeat::Safe,
        "the server's own limiter is on and saw too many requests",
    ),
    row(
        1001..=1001,
        FailureKind::InvalidRequest,
        Repeat::EndsRoute,
        "the server cannot take the request; the provider's text names the field",
    ),
    row(
        1002..=1002,
        FailureKind::Permission,
        Repeat::EndsRoute,
        "the token does not belong to an administrator of the app, or the sender may not send notifications",
    ),
    row(
        1003..=1003,
        FailureKind::ProviderError,
        Repeat::Never,
        "the server tried to create something that exists",
    ),
    row(
        1004..=1004,
        FailureKind::InvalidRequest,
        Repeat::EndsRoute,
        "the sender, the notification account or the token's user does not exist on the server",
    ),
    row(
        1101..=1101,
        FailureKind::InvalidRequest,
        Repeat::EndsRoute,
        "the sender does not exist; notifications need an administrator or a notification account",
    ),
    row(
        1201..=1206,
        FailureKind::InvalidRequest,
        Repeat::EndsRoute,
        "something is wrong with a group, although no group was addressed",
    ),
    row(1302..=1302, FailureKind::InvalidRecipient, Repeat::Never, "the recipient has blocked the sender"),
    row(
        1303..=1303,
        FailureKind::InvalidRecipient,
        Repeat::Never,
        "the recipient is not a friend of the sender",
    ),
    row(1402..=1403, FailureKind::Permission, Repeat::EndsRoute, "the sender or the group is muted"),
    row(
        1501..=1501,
        FailureKind::Authentication,
        Repeat::WithNewToken,
        "the token expired; if a new one fares alike, compare the server's clock with this host's",
    ),
    row(
        1504..=1504,
        FailureKind::Authentication,
        Repeat::WithNewToken,
        "the token is not valid yet: the clocks of the server's machines differ",
    ),
    row(
        1502..=1507,
        FailureKind::Authentication,
        Repeat::WithNewToken,
        "the token is invalid, or was replaced by a newer one of the same administrator",
    ),
    row(
        1520..=1520,
        FailureKind::Permission,
        Repeat::EndsRoute,
        "a user of the organisation lacks the permission",
    ),
    row(
        20001..=29999,
        FailureKind::ContentRejected,
        Repeat::Never,
        "a webhook of this deployment refused the message with a code of its own",
    ),
    row(
        80000..=80000,
        FailureKind::ContentRejected,
        Repeat::Never,
        "a webhook of this deployment refused the message",
    ),
    row(90002..=90002, FailureKind::ProviderUnavailable, Repeat::Safe, "the server's database failed"),
    row(90004..=90004, FailureKind::ProviderUnavailable, Repeat::Safe, "the server's own network failed"),
    row(90007..=90007, FailureKind::ProviderUnavailable, Repeat::Safe, "the server's data failed"),
];

/// Code 500 when the server could not read the message's content.
static CONTENT: Row = row(
    500..=500,
    FailureKind::InvalidRequest,
    Repeat::EndsRoute,
    "the message's content lacks a required field or has one of another type",
);

/// Code 500 when a service behind the API is away.
static BACKEND_DOWN: Row = row(
    500..=500,
    FailureKind::ProviderUnavailable,
    Repeat::Safe,
    "a service behind the server's API is down",
);

/// Code 500 otherwise.
static INTERNAL: Row =
    row(500..=500, FailureKind::ProviderError, Repeat::Safe, "the server failed before it sent anything");

/// Any code that is not documented.
static UNDOCUMENTED: Row = row(0..=0, FailureKind::Unknown, Repeat::Never, "");

/// The verdict of an answer whose `errCode` is not 0.
pub(super) fn refusal(code: i64, message: &str, detail: &str, retry_after: Option<Duration>) -> Verdict {
    let row = find(code, message, detail);
    Verdict::Refused {
        failure: failure(row, code, message, detail),
        repeat: row.repeat,
        retry_after: retry_after.map(|wait| wait.min(MOST_LIMITER_WAIT)),
    }
}

/// Why a token was refused with an `errCode`.
///
/// Source: open-im-server `internal/rpc/auth/auth.go`, read 2026-11-21.
pub(super) fn grant_refusal(code: i64, message: &str, detail: &str) -> Failure {
    let (kind, hint) = match code {
        1001 if detail.starts_with("userID is error") => {
            (FailureKind::Authentication, "`admin_user_id` is no administrator in the server's settings")
        }
        1002 => (FailureKind::Authentication, "`secret` is not the server's secret"),
        1004 => (FailureKind::Authentication, "`admin_user_id` is not registered on the server"),
        _ => {
            let row = find(code, message, detail);
            let failure = failure(row, code, message, detail);
            // No message is at stake, so whatever may pass may be tried again.
            return failure.with_retryable(may_pass(row.kind));
        }
    };
    with_texts(Failure::provider(kind), code, message, detail).with_hint(hint)
}

/// Why no token came, when the answer is not the documented JSON.
pub(super) fn grant_without_answer(status: u16) -> Failure {
    let (kind, hint) = match status {
        404 => (
            FailureKind::InvalidRequest,
            "nothing answers at the token path: check `base_url`; servers before v3.8.1 need \
             `token_endpoint = \"user_token\"`",
        ),
        401 => (FailureKind::Authentication, ""),
        403 => (FailureKind::Permission, ""),
        429 => (FailureKind::RateLimited, ""),
        408 | 500..=599 => (FailureKind::ProviderUnavailable, ""),
        400..=499 => (FailureKind::InvalidRequest, ""),
        _ => (FailureKind::ProviderError, "the token's answer is not the documented JSON"),
    };
    let cause = match status {
        400..=599 => Cause::HttpStatus(status),
        _ => Cause::UnreadableAnswer,
    };
    Failure::provider(kind).with_cause(cause).with_hint(hint).with_retryable(may_pass(kind))
}

fn may_pass(kind: FailureKind) -> bool {
    [FailureKind::RateLimited, FailureKind::ProviderUnavailable, FailureKind::ProviderError].contains(&kind)
}

fn failure(row: &Row, code: i64, message: &str, detail: &str) -> Failure {
    with_texts(Failure::provider(row.kind), code, message, detail)
        .with_hint(row.hint)
        .with_retryable(row.repeat == Repeat::Safe)
}

/// The code and both texts as they came; the short one names the error, the other the reason.
fn with_texts(failure: Failure, code: i64, message: &str, detail: &str) -> Failure {
    let failure = failure.with_code(code.to_string());
    match (message, detail) {
        ("", text) | (text, "") => failure.with_message(text),
        (message, detail) => failure.with_message(&format!("{message}: {detail}")),
    }
}

fn find(code: i64, message: &str, detail: &str) -> &'static Row {
    if code == 500 {
        return internal(message, detail);
    }
    ROWS.iter().find(|row| row.codes.contains(&code)).unwrap_or(&UNDOCUMENTED)
}

/// Code 500 stands for anything that has no code; only the text tells.
///
/// Servers of 2023 have it in `errMsg`, later ones in `errDlt`.
/// Source: openimsdk/tools `apiresp`, `mw/grpc/client/error.go`; texts observed, read 2026-11-21.
fn internal(message: &str, detail: &str) -> &'static Row {
    let says = |text: &str| message.contains(text) || detail.contains(text);
    if says("Error:Field validation for") || says("error(s) decoding") {
        &CONTENT
    } else if says("grpc service") || says("Unavailable") {
        &BACKEND_DOWN
    } else {
        &INTERNAL
    }
}
