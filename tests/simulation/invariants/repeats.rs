//! Whether a call may follow another one.

use std::time::Duration;

use imcast::domain::batch::RetryUnknown;

use crate::invariants::{Seen, pause_asked};
use crate::ledger::Sent;
use crate::scenario::{Fate, Refusal};
use crate::world::delivery;

/// Why the call must not have been repeated, or not yet.
pub(super) fn refuse_repeat(last: &Sent, sent: &Sent, earlier: &[&Sent], seen: &Seen<'_>) -> Option<String> {
    let ended = last.ended.unwrap_or_default();
    let wait = Duration::from_secs(pause_asked(last.fate).unwrap_or_default());
    if sent.at < ended + wait {
        return Some(format!("before {:?}", ended + wait));
    }
    if sent.ids.is_empty() {
        return Some("although it goes to everybody".to_owned());
    }
    let settings = delivery();
    let most = match last.fate {
        Fate::Refused(Refusal::OldToken) => settings.max_attempts.max(settings.throttled_max_attempts) + 1,
        Fate::Refused(Refusal::Throttled(_) | Refusal::BareThrottled(_)) => settings.throttled_max_attempts,
        Fate::NoConnection | Fate::Refused(_) | Fate::Broken { .. } | Fate::Served { .. } => {
            settings.max_attempts
        }
    };
    if earlier.len() >= usize::try_from(most).unwrap() {
        return Some(format!("after {} tries", earlier.len()));
    }
    let was_renewed = |sent: &&&Sent| sent.fate == Fate::Refused(Refusal::OldToken);
    match last.fate {
        Fate::NoConnection
        | Fate::Refused(Refusal::Throttled(_) | Refusal::BareThrottled(_) | Refusal::Safe) => None,
        Fate::Refused(Refusal::OldToken) => {
            (earlier.iter().filter(was_renewed).count() > 1).then(|| "with a second new token".to_owned())
        }
        Fate::Broken { .. } if seen.batch.retry_unknown == RetryUnknown::Allowed => None,
        fate @ (Fate::Refused(_) | Fate::Broken { .. } | Fate::Served { .. }) => {
            Some(format!("after {fate:?}"))
        }
    }
}

/// Whether the route's calls not yet started must not start any more.
pub(super) fn ends_route(sent: &Sent, tries: &[&Sent]) -> bool {
    let old = |sent: &&&Sent| sent.fate == Fate::Refused(Refusal::OldToken);
    sent.fate == Fate::Refused(Refusal::Forbidden) || tries.iter().filter(old).count() > 1
}
