//! The provider's error codes: what each means, and what may be done about it.
//!
//! Source: batch one-to-one messages, section 3 (90001 to 91000); Tencent IM, error codes, and common error codes
//! of the newer pages (all others), read 2026-11-21.

use crate::adapter::Repeat;
use crate::domain::failure::{Failure, FailureKind};

/// One documented code.
pub(super) struct Code {
    kind: FailureKind,
    rule: Rule,
    hint: &'static str,
}

/// What a code says about the call that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Refused; the same call would be refused again.
    Final,
    /// Refused before anything was processed, documented as worth a repeat.
    Repeat,
    /// The signature is too old; a new one helps.
    NewSignature,
    /// As the answer to a whole call it may follow a delivery; listed for one account it is a plain failure that
    /// a repeat may mend.
    MaybeDone,
    /// As the answer to a whole call it may follow a delivery; it is not documented for single accounts.
    MaybeDoneWhole,
}

use self::Rule::{Final, MaybeDone, MaybeDoneWhole, NewSignature};
use crate::domain::failure::FailureKind::{
    Authentication, ContentRejected, InvalidRecipient, InvalidRequest, Permission, ProviderError,
    ProviderUnavailable, RateLimited,
};

/// Every documented code, ascending.
const CODES: &[(i64, FailureKind, Rule, &str)] = &[
    (20001, InvalidRequest, Final, "the request packet is malformed"),
    (
        20002,
        Authentication,
        NewSignature,
        "the UserSig is no longer valid",
    ),
    (
        20003,
        InvalidRecipient,
        Final,
        "sender or recipient id is invalid or was never imported",
    ),
    (
        20004,
        ProviderUnavailable,
        MaybeDone,
        "the network inside the provider failed",
    ),
    (
        20005,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error",
    ),
    (
        20006,
        ContentRejected,
        Final,
        "the app's own webhook forbade the message before it was sent",
    ),
    (20007, Permission, Final, "the recipient has blocked the sender"),
    (
        20008,
        InvalidRecipient,
        Final,
        "sender and recipient belong to different applications",
    ),
    (
        20009,
        Permission,
        Final,
        "the two are not friends and the application checks for it",
    ),
    (
        20010,
        Permission,
        Final,
        "the recipient does not have the sender as a friend",
    ),
    (
        20011,
        Permission,
        Final,
        "the sender does not have the recipient as a friend",
    ),
    (20012, Permission, Final, "the sender is muted"),
    (22006, RateLimited, Rule::Repeat, "too many requests"),
    (
        60002,
        InvalidRequest,
        Final,
        "the provider could not parse the URL",
    ),
    (
        60003,
        InvalidRequest,
        Final,
        "the provider could not parse the JSON",
    ),
    (60004, Authentication, Final, "account or signature is wrong"),
    (60005, Authentication, Final, "account or signature is wrong"),
    (60006, Authentication, Final, "the application id is not valid"),
    (60007, RateLimited, Rule::Repeat, "too many REST calls"),
    (
        60008,
        ProviderUnavailable,
        MaybeDoneWhole,
        "the provider's service timed out, or did not understand the HTTP",
    ),
    (60009, InvalidRequest, Final, "the URL names no known resource"),
    (
        60010,
        Permission,
        Final,
        "`identifier` is no administrator of the application",
    ),
    (
        60011,
        RateLimited,
        Rule::Repeat,
        "the application makes too many requests",
    ),
    (60012, InvalidRequest, Final, "the URL lacks the application id"),
    (
        60013,
        ProviderError,
        MaybeDoneWhole,
        "the provider did not understand its own backend's answer",
    ),
    (
        60014,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider timed out while it looked accounts up",
    ),
    (
        60015,
        InvalidRequest,
        Final,
        "an account in the body is no string",
    ),
    (60016, Permission, Final, "the application is disabled"),
    (
        60017,
        Permission,
        Final,
        "this call is disabled for the application",
    ),
    (
        60018,
        RateLimited,
        Rule::Repeat,
        "too frequent; later it may work",
    ),
    (
        60019,
        RateLimited,
        Rule::Repeat,
        "too frequent; later it may work",
    ),
    (
        60020,
        Permission,
        Final,
        "the plan is over and the service stopped",
    ),
    (
        60021,
        Permission,
        Final,
        "this machine's address is not on the application's list",
    ),
    (
        70001,
        Authentication,
        NewSignature,
        "the UserSig is expired; if it comes back, check the clock",
    ),
    (70002, Authentication, Final, "the UserSig is empty"),
    (70003, Authentication, Final, "the UserSig is invalid or cut off"),
    (70005, Authentication, Final, "the UserSig is invalid"),
    (
        70009,
        Authentication,
        Final,
        "the UserSig was made with another application's key",
    ),
    (
        70013,
        Authentication,
        Final,
        "`identifier` is not the one that was signed for",
    ),
    (
        70014,
        Authentication,
        Final,
        "the application id is not the one that was signed for",
    ),
    (
        70016,
        Authentication,
        Final,
        "no key found: check the application id, and that `base_url` is its data centre",
    ),
    (
        70020,
        Authentication,
        Final,
        "no such application: check its id, and that `base_url` is its data centre",
    ),
    (
        70050,
        Authentication,
        Final,
        "too many wrong signatures: the account is locked for a minute",
    ),
    (70051, Permission, Final, "the account is on a block list"),
    (
        70052,
        Authentication,
        NewSignature,
        "the UserSig is no longer valid",
    ),
    (
        70107,
        InvalidRecipient,
        Final,
        "the account does not exist or was never imported",
    ),
    (70114, Permission, Final, "restricted for security reasons"),
    (
        70169,
        ProviderUnavailable,
        MaybeDone,
        "the provider timed out inside",
    ),
    (
        70202,
        ProviderUnavailable,
        MaybeDone,
        "the provider timed out inside",
    ),
    (
        70206,
        InvalidRequest,
        Final,
        "the number of accounts is not allowed",
    ),
    (70398, Permission, Final, "the trial plan has no accounts left"),
    (70402, InvalidRequest, Final, "a parameter is not allowed"),
    (
        70403,
        Permission,
        Final,
        "only an administrator of the application may do this",
    ),
    (
        70500,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error",
    ),
    (
        80001,
        ContentRejected,
        Final,
        "the text was stopped by the word filter",
    ),
    (80002, InvalidRequest, Final, "the message is too long"),
    (
        80003,
        ProviderError,
        Rule::Repeat,
        "the app's own webhook failed, so the message was not delivered",
    ),
    (
        80101,
        ContentRejected,
        Final,
        "the content was stopped by the security filter",
    ),
    (90001, InvalidRequest, Final, "the body is no valid JSON"),
    (
        90002,
        InvalidRequest,
        Final,
        "`MsgBody` is no array or breaks the message format",
    ),
    (
        90003,
        InvalidRequest,
        Final,
        "`To_Account` has the wrong type or is missing",
    ),
    (
        90004,
        InvalidRequest,
        Final,
        "`MsgSeq` is no number from 0 to 4294967295",
    ),
    (
        90005,
        InvalidRequest,
        Final,
        "`MsgRandom` is no number from 0 to 4294967295",
    ),
    (
        90006,
        InvalidRequest,
        Final,
        "`MsgTimeStamp` is no number from 0 to 4294967295",
    ),
    (90007, InvalidRequest, Final, "`MsgBody` is no array"),
    (
        90008,
        InvalidRequest,
        Final,
        "the sender could not be read, or does not exist",
    ),
    (
        90009,
        Permission,
        Final,
        "`identifier` is no administrator of the application",
    ),
    (90010, InvalidRequest, Final, "the body breaks the message format"),
    (90011, InvalidRequest, Final, "more than 500 accounts in one call"),
    (
        90012,
        InvalidRecipient,
        Final,
        "the account was never registered or imported",
    ),
    (90018, InvalidRequest, Final, "too many accounts in one call"),
    (
        90026,
        InvalidRequest,
        Final,
        "`MsgLifeTime` is longer than seven days",
    ),
    (90028, InvalidRequest, Final, "`To_Account` is no array"),
    (90029, InvalidRequest, Final, "`To_Account` is empty"),
    (
        90030,
        InvalidRequest,
        Final,
        "`SyncFromOldSystem` or a push attribute is out of range",
    ),
    (90031, InvalidRequest, Final, "`SyncOtherMachine` is out of range"),
    (
        90043,
        InvalidRequest,
        Final,
        "`OfflinePushInfo` breaks its format",
    ),
    (90044, InvalidRequest, Final, "`MsgLifeTime` is no whole number"),
    (
        90048,
        InvalidRecipient,
        Final,
        "the account does not exist; it may be the sender's",
    ),
    (
        90055,
        InvalidRequest,
        Final,
        "the message is too long for a batch",
    ),
    (
        90992,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error; if it stays, look at the app's webhook",
    ),
    (
        90994,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error",
    ),
    (
        90995,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error",
    ),
    (
        91000,
        ProviderUnavailable,
        Rule::Repeat,
        "the provider had an internal error",
    ),
    (93000, InvalidRequest, Final, "the packet is too long"),
];

/// Codes that the app's own webhook returns.
const WEBHOOK_CODES: std::ops::RangeInclusive<i64> = 120_001..=130_000;

/// What `code` means.
pub(super) fn find(code: i64) -> Code {
    if WEBHOOK_CODES.contains(&code) {
        return Code {
            kind: ContentRejected,
            rule: Final,
            hint: "the app's own webhook refused the message",
        };
    }
    let found = CODES
        .binary_search_by_key(&code, |row| row.0)
        .ok()
        .and_then(|index| CODES.get(index));
    match found {
        Some((_, kind, rule, hint)) => Code {
            kind: *kind,
            rule: *rule,
            hint,
        },
        None => Code {
            kind: FailureKind::Unknown,
            rule: Final,
            hint: "the provider does not document this code",
        },
    }
}

/// What a code for a whole call leads to.
pub(super) enum Whole {
    /// Nobody was served.
    Refused(Repeat),
    /// It may follow a delivery.
    Undecided,
}

impl Code {
    /// What it leads to as the code of a whole call.
    pub(super) const fn whole(&self) -> Whole {
        match (self.rule, self.kind) {
            (Rule::Repeat, _) => Whole::Refused(Repeat::Safe),
            (NewSignature, _) => Whole::Refused(Repeat::WithNewToken),
            (MaybeDone | MaybeDoneWhole, _) => Whole::Undecided,
            (Final, Authentication | Permission) => Whole::Refused(Repeat::EndsRoute),
            (Final, _) => Whole::Refused(Repeat::Never),
        }
    }

    /// The failure of a call, or of a recipient that only the call's code speaks of.
    pub(super) fn call_failure(&self, code: i64, text: &str) -> Failure {
        self.failure(code, matches!(self.rule, Rule::Repeat))
            .with_message(text)
    }

    /// The failure of one account that the answer lists.
    pub(super) fn account_failure(&self, code: i64) -> Failure {
        self.failure(code, matches!(self.rule, Rule::Repeat | MaybeDone))
    }

    fn failure(&self, code: i64, retryable: bool) -> Failure {
        let failure = Failure::provider(self.kind).with_retryable(retryable);
        failure.with_code(code.to_string()).with_hint(self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_so_that_they_can_be_searched() {
        assert!(CODES.is_sorted_by_key(|row| row.0));
        assert_eq!(CODES.len(), 85);
    }
}
