//! Reads the body of a resend.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::fields::{Fields, Numbers};
use crate::api::dto::options::read_expiry;
use crate::api::dto::request::Refusal;
use crate::dispatch::resend::Wanted;
use crate::domain::fault::{Fault, FaultCode};

/// The words of `statuses`.
pub const STATUSES: [&str; 2] = ["failed", "unknown"];

/// What a resend asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resend {
    /// Which recipients.
    pub wanted: Wanted,
    /// No attempt starts after this; `None` = the latest allowed.
    pub expires_at: Option<SystemTime>,
}

/// Reads a request that came at `now`; an empty one asks for nothing special.
///
/// `max_age` is the latest `expires_at` allowed. What is wrong in detail stands beside the request.
///
/// # Errors
/// [`Refusal`] if there is nothing to judge.
pub fn decode(text: &str, now: SystemTime, max_age: Duration) -> Result<(Resend, Vec<Fault>), Refusal> {
    if text.trim().is_empty() {
        return Ok((Resend::default(), Vec::new()));
    }
    if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(text) {
        return Err(Refusal::NotJson(error.to_string()));
    }
    let mut fields = Fields::parse(text, "", Numbers::Strict).map_err(Refusal::Fault)?;
    let resend =
        Resend { wanted: read_wanted(&mut fields), expires_at: read_expiry(&mut fields, now, max_age) };
    Ok((resend, fields.finish()))
}

fn read_wanted(fields: &mut Fields<'_>) -> Wanted {
    let asks_for_duplicates = fields.has("accept_duplicates");
    let accepts_duplicates = fields.bool("accept_duplicates");
    let wanted = if fields.has("statuses") {
        fields.texts("statuses").map_or(Wanted::Failed, |statuses| read_statuses(fields, &statuses))
    } else {
        Wanted::Failed
    };
    let is_unreadable = asks_for_duplicates && accepts_duplicates.is_none();
    if wanted != Wanted::Failed && accepts_duplicates != Some(true) && !is_unreadable {
        let detail =
            "whoever is `unknown` may have got the message already: to send it again, say `true` here";
        fields.fault_at("accept_duplicates", FaultCode::Required, detail);
    }
    wanted
}

fn read_statuses(fields: &mut Fields<'_>, statuses: &[Arc<str>]) -> Wanted {
    for (index, status) in statuses.iter().enumerate() {
        if !STATUSES.contains(&&**status) {
            let pointer = format!("/statuses/{index}");
            fields.fault(Fault::new(pointer, FaultCode::OutOfRange, "must be one of: failed, unknown"));
        }
    }
    let has = |wanted: &str| statuses.iter().any(|status| &**status == wanted);
    match (has("failed"), has("unknown")) {
        (_, false) => {
            if statuses.is_empty() {
                fields.fault_at("statuses", FaultCode::OutOfRange, "must name at least one status");
            }
            Wanted::Failed
        }
        (false, true) => Wanted::Unknown,
        (true, true) => Wanted::FailedOrUnknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn read(text: &str) -> (Resend, Vec<String>) {
        let (resend, faults) = decode(text, NOW, Duration::from_secs(60)).unwrap();
        (
            resend,
            faults.into_iter().map(|fault| format!("{} {}", fault.pointer, fault.code.as_str())).collect(),
        )
    }

    #[track_caller]
    fn check(text: &str, wanted: Wanted) {
        assert_eq!(read(text), (Resend { wanted, expires_at: None }, Vec::new()), "{text}");
    }

    #[track_caller]
    fn check_faults(text: &str, expected: &[&str]) {
        assert_eq!(read(text).1, expected, "{text}");
    }

    #[test]
    fn failed_recipients_are_meant_unless_something_else_is_said() {
        check("", Wanted::Failed);
        check(" \n", Wanted::Failed);
        check("{}", Wanted::Failed);
        check(r#"{"statuses": ["failed", "failed"], "accept_duplicates": true}"#, Wanted::Failed);
        check(r#"{"statuses": ["unknown"], "accept_duplicates": true}"#, Wanted::Unknown);
        check(r#"{"statuses": ["unknown", "failed"], "accept_duplicates": true}"#, Wanted::FailedOrUnknown);
        let (resend, faults) = read(r#"{"expires_at": "1970-01-01T00:00:30Z"}"#);
        assert_eq!((resend.expires_at, faults), (Some(NOW + Duration::from_secs(30)), Vec::new()));
    }

    #[test]
    fn every_fault_is_named() {
        check_faults(r#"{"statuses": ["unknown"]}"#, &["/accept_duplicates required"]);
        check_faults(
            r#"{"statuses": ["failed", "unknown"], "accept_duplicates": false}"#,
            &["/accept_duplicates required"],
        );
        check_faults(
            r#"{"statuses": ["unknown"], "accept_duplicates": "yes"}"#,
            &["/accept_duplicates wrong_type"],
        );
        check_faults(r#"{"statuses": []}"#, &["/statuses out_of_range"]);
        check_faults(r#"{"statuses": ["accepted"]}"#, &["/statuses/0 out_of_range"]);
        check_faults(r#"{"statuses": "failed"}"#, &["/statuses wrong_type"]);
        check_faults(r#"{"expires_at": "1970-01-01T00:02:00Z"}"#, &["/expires_at out_of_range"]);
        check_faults(
            r#"{"to": ["a"], "statuses": [1], "expires_at": 5}"#,
            &["/statuses/0 wrong_type", "/expires_at wrong_type", "/to unknown_field"],
        );
    }

    #[test]
    fn what_is_no_object_cannot_be_judged() {
        let check = |text: &str| decode(text, NOW, Duration::from_secs(60)).unwrap_err();
        assert!(matches!(check("{"), Refusal::NotJson(_)));
        for text in ["[]", "null", "1"] {
            assert!(matches!(check(text), Refusal::Fault(_)), "{text}");
        }
    }
}
