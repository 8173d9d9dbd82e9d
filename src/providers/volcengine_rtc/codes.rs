//! What the provider's error codes mean; all of them concern a whole call.
//!
//! Sources, read 2026-11-21: Volcengine common error pages (6369/68677, 6491/1185994, 6720/108305,
//! 6408/78947, 6396/1253687) for the gateway's codes; `BytePlus` RTC error codes (the sister product) for
//! `InvalidParameter.*` and `FlowLimitExceeded.*`; `AccountFlowLimitExceeded` only from third-party clients.

use http::StatusCode;

use crate::adapter::Repeat;
use crate::domain::failure::FailureKind::{
    self, Authentication, InvalidRecipient, InvalidRequest, Permission, ProviderUnavailable, RateLimited,
};

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The class.
    pub(super) kind: FailureKind,
    /// What became of the call.
    pub(super) effect: Effect,
    /// A sentence for the caller; empty where there is nothing to say.
    pub(super) hint: &'static str,
}

/// What became of a call that was answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nobody was served.
    Refused(Repeat),
    /// It may have been processed.
    Undecided,
}

struct Row {
    code: &'static str,
    /// `CodeN`; 0 where the provider lists none.
    number: u64,
    meaning: Meaning,
}

/// Refused for good. A refused credential or permission meets every call of the route alike.
const fn refused(code: &'static str, number: u64, kind: FailureKind, hint: &'static str) -> Row {
    let repeat = if matches!(kind, Authentication | Permission) { Repeat::EndsRoute } else { Repeat::Never };
    row(code, number, kind, Effect::Refused(repeat), hint)
}

/// Refused before any processing: a repeat is safe.
const fn repeatable(code: &'static str, number: u64, kind: FailureKind, hint: &'static str) -> Row {
    row(code, number, kind, Effect::Refused(Repeat::Safe), hint)
}

/// May have been processed.
const fn undecided(code: &'static str, number: u64, hint: &'static str) -> Row {
    row(code, number, ProviderUnavailable, Effect::Undecided, hint)
}

const fn row(code: &'static str, number: u64, kind: FailureKind, effect: Effect, hint: &'static str) -> Row {
    Row { code, number, meaning: Meaning { kind, effect, hint } }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    refused("MissingParameter", 100_002, InvalidRequest, "a required parameter such as Action or Version is missing"),
    refused("MissingAuthenticationToken", 100_003, Authentication, "the request carried no credential"),
    refused("MissingRequestInfo", 100_004, Authentication, "access key, service, region or date is missing from the signature"),
    refused("MissingSignature", 100_005, Authentication, "the signature is missing"),
    refused("InvalidTimestamp", 100_006, Authentication, "the signature is more than 15 minutes old or dated in the future: check this host's clock"),
    refused("ServiceNotFound", 100_007, InvalidRequest, "the signing service is not known at this base_url"),
    refused("InvalidActionOrVersion", 100_008, InvalidRequest, "this base_url has no such action in that version"),
    refused("InvalidAccessKey", 100_009, Authentication, "the access key is not valid"),
    refused("SignatureDoesNotMatch", 100_010, Authentication, "the signature is wrong: check secret_access_key, region and base_url"),
    refused("LackPolicy", 100_012, Permission, "the access key's user has no policy for this action"),
    refused("AccessDenied", 100_013, Permission, "the access key may not do this or not with this application"),
    undecided("InternalError", 100_014, "internal error of the gateway or the service; the messages may have been sent"),
    repeatable("FailToConnect", 100_015, ProviderUnavailable, "the gateway could not reach the service"),
    undecided("InternalServiceTimeout", 100_016, "the service did not answer its gateway in time; the messages may have been sent"),
    refused("InvalidAuthorization", 0, Authentication, "the Authorization header is malformed"),
    refused("InvalidCredential", 0, Authentication, "the credential in the Authorization header is malformed"),
    refused("InvalidSecretToken", 0, Authentication, "the session token is wrong or expired"),
    refused("LackProjectPolicy", 0, Permission, "the access key's user has no policy in this project"),
    repeatable("AccountFlowLimitExceeded", 100_027, RateLimited, "the account's rate limit was reached"),
    repeatable("FlowLimitExceeded.QPSOverLimit", 0, RateLimited, "too many calls per second"),
    refused("InvalidParameter", 0, InvalidRequest, "a parameter is not valid; the provider's message says more"),
    refused("InvalidParameter.BodyIsEmpty", 0, InvalidRequest, "the body arrived empty"),
    refused("InvalidParameter.Unmarshal", 0, InvalidRequest, "the body could not be parsed"),
    refused("InvalidParameter.IllegalAppId", 0, InvalidRequest, "the app id is malformed"),
    refused("InvalidParameter.NotExistAppId", 0, InvalidRequest, "the app id does not exist"),
    refused("InvalidParameter.IllegalFrom", 0, InvalidRequest, "the sender's id is malformed"),
    refused("InvalidParameter.IllegalTo", 0, InvalidRecipient, "the id of a receiver in this call is malformed"),
    refused("InvalidParameter.SizeOverLimit", 0, InvalidRequest, "the message is too large"),
    refused("InvalidParameter.UserCountOverLimit", 0, InvalidRequest, "too many receivers in one call"),
];

/// Codes that contain one of these speak of a rate. Assumed from the listed ones.
const RATE_WORDS: &[&str] = &["FlowLimit", "Throttl", "RateLimit", "TooManyRequests"];
/// Codes that start so speak of the request. Assumed from the listed ones.
const REQUEST_WORDS: &[&str] = &["InvalidParameter", "MissingParameter"];
/// Codes that start so speak of a permission. Assumed from the listed ones.
const PERMISSION_WORDS: &[&str] = &["AccessDenied", "Forbidden", "LackPolicy", "OperationDenied"];
/// Codes that start so leave open whether the call was processed. Assumed from the listed ones.
const OPEN_WORDS: &[&str] = &["Internal", "ServiceUnavailable"];

/// What an error means; `number` counts only where there is no code.
pub(super) fn look_up(code: Option<&str>, number: Option<u64>, status: StatusCode) -> Meaning {
    let known = ROWS.iter().find(|row| match code {
        Some(code) => row.code == code,
        None => row.number != 0 && Some(row.number) == number,
    });
    match known {
        Some(row) => row.meaning,
        None => guess(code.unwrap_or_default(), status),
    }
}

fn guess(code: &str, status: StatusCode) -> Meaning {
    let starts = |words: &[&str]| words.iter().any(|word| code.starts_with(word));
    let (kind, effect) = if RATE_WORDS.iter().any(|word| code.contains(word)) {
        (RateLimited, Effect::Refused(Repeat::Safe))
    } else if starts(REQUEST_WORDS) {
        (InvalidRequest, Effect::Refused(Repeat::Never))
    } else if starts(PERMISSION_WORDS) {
        (Permission, Effect::Refused(Repeat::EndsRoute))
    } else if starts(OPEN_WORDS) || status.is_server_error() {
        (ProviderUnavailable, Effect::Undecided)
    } else {
        (FailureKind::Unknown, Effect::Refused(Repeat::Never))
    };
    Meaning { kind, effect, hint: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Option<&str>, number: Option<u64>, status: u16, kind: FailureKind, effect: Effect) {
        let meaning = look_up(code, number, StatusCode::from_u16(status).unwrap());
        assert_eq!((meaning.kind, meaning.effect), (kind, effect), "{code:?} {number:?}");
    }

    #[test]
    fn every_code_stands_once_and_has_a_hint() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(!row.meaning.hint.is_empty(), "{}", row.code);
            let rest = &ROWS[index + 1..];
            assert!(rest.iter().all(|other| other.code != row.code), "{}", row.code);
            assert!(rest.iter().all(|other| row.number == 0 || other.number != row.number));
        }
    }

    #[test]
    fn the_code_counts_before_the_number_and_the_number_before_the_status() {
        let ends_route = Effect::Refused(Repeat::EndsRoute);
        check(Some("AccessDenied"), Some(100_014), 500, Permission, ends_route);
        check(None, Some(100_006), 200, Authentication, ends_route);
        check(None, Some(42), 500, ProviderUnavailable, Effect::Undecided);
    }

    #[test]
    fn guesses_what_is_not_listed() {
        let never = Effect::Refused(Repeat::Never);
        check(Some("User.FlowLimit.X"), None, 500, RateLimited, Effect::Refused(Repeat::Safe));
        check(Some("MissingParameter.Y"), None, 500, InvalidRequest, never);
        check(Some("OperationDenied.Z"), None, 500, Permission, Effect::Refused(Repeat::EndsRoute));
        check(Some("InternalX"), None, 400, ProviderUnavailable, Effect::Undecided);
        check(Some("New"), None, 404, FailureKind::Unknown, never);
    }
}
