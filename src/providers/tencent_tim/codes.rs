//! What the provider's error codes mean, one row per code.
//!
//! Source: batch one-to-one messages, section 3 (seed codes), REST API introduction, error codes and common
//! error codes, read 2026-11-21. Hints are in our own words.

use crate::domain::failure::FailureKind;
use crate::domain::failure::FailureKind::{
    Authentication, ContentRejected, InvalidRecipient, InvalidRequest, Permission, ProviderError,
    ProviderUnavailable, RateLimited, Unknown,
};
use crate::providers::tencent_tim::codes::Advice::{Again, Never, NewSignature, Open};

/// What one code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    code: i64,
    /// The class.
    pub(super) kind: FailureKind,
    /// What to do when the whole call was refused with it.
    pub(super) advice: Advice,
    /// What it means, for a person.
    pub(super) hint: &'static str,
}

/// What to do when a whole call was refused with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Something must be mended first.
    Never,
    /// Nobody was served, and the identical call may be sent again.
    Again,
    /// Nobody was served; once more with a new signature.
    NewSignature,
    /// Somebody may have been served.
    Open,
}

impl Meaning {
    /// Whether a recipient that is listed with this code may be tried again.
    ///
    /// A listed recipient has failed for certain, even where the same code leaves a whole call open.
    pub(super) const fn is_retryable_when_listed(&self) -> bool {
        match self.advice {
            Again => true,
            Open => matches!(self.kind, ProviderUnavailable),
            Never | NewSignature => false,
        }
    }
}

/// What `code` means; codes that nobody documents are refusals of class `unknown`.
pub(super) fn meaning(code: i64) -> Meaning {
    match MEANINGS.binary_search_by_key(&code, |row| row.code) {
        Ok(found) => MEANINGS.get(found).copied().unwrap_or(UNDOCUMENTED),
        Err(_) if APP_CODES.contains(&code) => APP_REFUSAL,
        Err(_) => UNDOCUMENTED,
    }
}

/// Codes that the app's own hook may choose.
const APP_CODES: std::ops::RangeInclusive<i64> = 120_001..=130_000;

const APP_REFUSAL: Meaning =
    row(120_001, ContentRejected, Never, "the app's own hook refused the message with a code of its own");

const UNDOCUMENTED: Meaning = row(0, Unknown, Never, "the provider does not document this code");

const fn row(code: i64, kind: FailureKind, advice: Advice, hint: &'static str) -> Meaning {
    Meaning { code, kind, advice, hint }
}

const REGION: &str = "the provider does not know this SDKAppID or its key; check `sdk_app_id`, and whether \
                      `base_url` is the data centre that holds it";
const TOO_FAST: &str = "more calls a second than the provider allows; it sells higher limits on request";
const REPEAT: &str = "the provider failed inside and asks for a repeat";
const MAYBE: &str = "the provider timed out inside; the message may have been delivered";
const SIGNATURE: &str = "the provider cannot verify the signature; check `secret_key`, `identifier` and \
                         `sdk_app_id`";
const EXPIRED: &str = "the signature expired; check the clock and `usersig_ttl_seconds` if this comes again";
const FORMAT: &str = "the provider calls the request malformed";

/// Ascending by code.
#[rustfmt::skip]
const MEANINGS: [Meaning; 85] = [
    row(20001, InvalidRequest, Never, FORMAT),
    row(20002, Authentication, NewSignature, EXPIRED),
    row(20003, InvalidRecipient, Never, "sender or recipient id is invalid or was never imported"),
    row(20004, ProviderUnavailable, Open, "the provider's own network failed; the message may have been delivered"),
    row(20005, ProviderUnavailable, Again, REPEAT),
    row(20006, ContentRejected, Never, "the app's own hook forbade the message"),
    row(20007, Permission, Never, "the recipient has blocked the sender"),
    row(20008, InvalidRecipient, Never, "sender and recipient belong to different SDKAppIDs"),
    row(20009, Permission, Never, "sender and recipient are not friends, and the app checks friendship"),
    row(20010, Permission, Never, "the sender is not among the recipient's friends"),
    row(20011, Permission, Never, "the recipient is not among the sender's friends"),
    row(20012, Permission, Never, "the sender is muted"),
    row(22006, RateLimited, Again, TOO_FAST),
    row(60002, InvalidRequest, Never, "the provider could not read the HTTP request or its URL"),
    row(60003, InvalidRequest, Never, "the provider could not read the request's JSON"),
    row(60004, Authentication, Never, "account or signature is wrong in the URL or the body"),
    row(60005, Authentication, Never, "account or signature is wrong in the URL or the body"),
    row(60006, Authentication, Never, "`sdk_app_id` is not a valid SDKAppID"),
    row(60007, RateLimited, Again, TOO_FAST),
    row(60008, ProviderUnavailable, Open, MAYBE),
    row(60009, InvalidRequest, Never, "the provider does not know this path; check `base_url`"),
    row(60010, Permission, Never, "`identifier` must be an app administrator"),
    row(60011, RateLimited, Again, TOO_FAST),
    row(60012, InvalidRequest, Never, "the SDKAppID is missing in the URL"),
    row(60013, ProviderError, Open, "the provider could not read its own backend's answer; the message may have been delivered"),
    row(60014, ProviderUnavailable, Again, "the provider timed out while it looked up accounts"),
    row(60015, InvalidRequest, Never, "an account in the body is not a string"),
    row(60016, Permission, Never, "the SDKAppID is disabled"),
    row(60017, Permission, Never, "batch sending is disabled for this SDKAppID"),
    row(60018, RateLimited, Again, TOO_FAST),
    row(60019, RateLimited, Again, TOO_FAST),
    row(60020, Permission, Never, "the plan has ended and the service was stopped"),
    row(60021, Permission, Never, "this gateway's IP address is not allowed by the app"),
    row(70001, Authentication, NewSignature, EXPIRED),
    row(70002, Authentication, Never, "the signature is empty"),
    row(70003, Authentication, Never, "the signature is invalid or was cut off"),
    row(70005, Authentication, Never, "the signature is invalid"),
    row(70009, Authentication, Never, SIGNATURE),
    row(70013, Authentication, Never, "the identifier in the URL is not the one that was signed"),
    row(70014, Authentication, Never, "the SDKAppID in the URL is not the one that was signed"),
    row(70016, Authentication, Never, REGION),
    row(70020, Authentication, Never, REGION),
    row(70050, Authentication, Never, "too many wrong signatures; the provider locks for a minute"),
    row(70051, Permission, Never, "the account is on the provider's block list"),
    row(70052, Authentication, NewSignature, EXPIRED),
    row(70107, InvalidRecipient, Never, "the account does not exist or was never imported"),
    row(70114, Permission, Never, "the provider restricts the account for security reasons"),
    row(70169, ProviderUnavailable, Open, MAYBE),
    row(70202, ProviderUnavailable, Open, MAYBE),
    row(70206, InvalidRequest, Never, "the provider does not allow this number of accounts in a call"),
    row(70398, Permission, Never, "the trial plan's number of accounts is used up"),
    row(70402, InvalidRequest, Never, "a parameter is illegal"),
    row(70403, Permission, Never, "this needs an app administrator; check `identifier`"),
    row(70500, ProviderUnavailable, Again, REPEAT),
    row(80001, ContentRejected, Never, "the text hit the provider's filter of sensitive words"),
    row(80002, InvalidRequest, Never, "the message is too long"),
    row(80003, ProviderError, Again, "the app's own hook failed or timed out; the message was not delivered"),
    row(80101, ContentRejected, Never, "the content hit the provider's security filter"),
    row(90001, InvalidRequest, Never, "the provider could not read the request's JSON"),
    row(90002, InvalidRequest, Never, "`MsgBody` does not follow the message format; check a native payload"),
    row(90003, InvalidRequest, Never, "`To_Account` has the wrong format, or the account does not exist"),
    row(90004, InvalidRequest, Never, "`MsgSeq` is no 32-bit number"),
    row(90005, InvalidRequest, Never, "`MsgRandom` is missing or no 32-bit number"),
    row(90006, InvalidRequest, Never, "`MsgTimeStamp` is no 32-bit number"),
    row(90007, InvalidRequest, Never, "`MsgBody` is not an array"),
    row(90008, InvalidRequest, Never, "`From_Account` cannot be read, or that account does not exist"),
    row(90009, Permission, Never, "`identifier` is not an app administrator"),
    row(90010, InvalidRequest, Never, "the body does not follow the message format"),
    row(90011, InvalidRequest, Never, "more than 500 accounts in a call"),
    row(90012, InvalidRecipient, Never, "the account is not registered or was never imported"),
    row(90018, InvalidRequest, Never, "too many accounts in a call"),
    row(90026, InvalidRequest, Never, "`MsgLifeTime` is longer than 7 days"),
    row(90028, InvalidRequest, Never, "`To_Account` is not an array"),
    row(90029, InvalidRequest, Never, "`To_Account` is empty"),
    row(90030, InvalidRequest, Never, "`SyncFromOldSystem` is wrong, or the push attributes are"),
    row(90031, InvalidRequest, Never, "`SyncOtherMachine` is no number or out of range"),
    row(90043, InvalidRequest, Never, "`OfflinePushInfo` does not follow its format"),
    row(90044, InvalidRequest, Never, "`MsgLifeTime` is not a whole number"),
    row(90048, InvalidRecipient, Never, "the account does not exist; it may be the sender"),
    row(90055, InvalidRequest, Never, "the message is too long for a batch"),
    row(90992, ProviderUnavailable, Again, "the provider failed inside; if every call fails so, look at the app's own hook"),
    row(90994, ProviderUnavailable, Again, REPEAT),
    row(90995, ProviderUnavailable, Again, REPEAT),
    row(91000, ProviderUnavailable, Again, REPEAT),
    row(93000, InvalidRequest, Never, "the request is too long"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ascending_so_that_the_search_finds_them() {
        assert!(MEANINGS.is_sorted_by(|earlier, later| earlier.code < later.code));
        for row in &MEANINGS {
            assert_eq!(meaning(row.code), *row);
        }
    }

    #[test]
    fn hook_codes_are_rejections_and_the_rest_is_undocumented() {
        for (code, kind) in [
            (120_000, Unknown),
            (120_001, ContentRejected),
            (130_000, ContentRejected),
            (130_001, Unknown),
            (-1, Unknown),
        ] {
            assert_eq!(meaning(code).kind, kind, "{code}");
            assert_eq!(meaning(code).advice, Never, "{code}");
        }
    }

    #[test]
    fn a_timeout_inside_leaves_a_call_open_but_a_listed_recipient_failed() {
        let meaning = meaning(70169);
        assert_eq!(meaning.advice, Open);
        assert!(meaning.is_retryable_when_listed());
    }
}
