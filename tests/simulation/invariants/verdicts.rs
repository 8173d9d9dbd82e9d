//! Whether a recipient's outcome is what the ledger says.

use std::time::Duration;

use imcast::domain::failure::FailureKind;
use imcast::domain::outcome::Outcome;

use crate::invariants::{Seen, is_broken};
use crate::ledger::Sent;
use crate::scenario::{ChannelSpec, Fate, FaultKind, Refusal, Scenario};

/// What a report says about one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Accepted,
    Failed(FailureKind),
    Unknown,
}

impl Told {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted(_) => Self::Accepted,
            Outcome::Failed(failure) => Self::Failed(failure.kind),
            Outcome::Unknown(_) => Self::Unknown,
        }
    }
}

/// D3 to D6: why the ledger says otherwise.
pub(super) fn refute(
    id: &str,
    told: Told,
    attempts: u32,
    tries: &[&Sent],
    channel: &ChannelSpec,
) -> Option<String> {
    let accepted = tries.iter().filter(|sent| sent.accepted.iter().any(|known| known == id)).count();
    let was_open = |sent: &Sent| is_broken(sent.fate) || sent.forgotten.iter().any(|known| known == id);
    let open = tries.iter().filter(|sent| was_open(sent)).count();
    if usize::try_from(attempts) != Ok(tries.len()) {
        return Some(format!("{attempts} attempts are reported and {} were made", tries.len()));
    }
    // Who repeats what may have been delivered is checked for each call; here, that each doubt was one.
    if accepted > 1 && open + 1 < accepted {
        return Some(format!("the provider accepted it {accepted} times"));
    }
    let last = tries.last().map(|sent| sent.fate);
    match told {
        Told::Accepted if accepted == 0 => Some("nobody accepted it".to_owned()),
        Told::Unknown if open == 0 => Some("no call broke".to_owned()),
        Told::Failed(_) if accepted > 0 => Some("the provider accepted it".to_owned()),
        Told::Failed(_) if open > 0 => Some("a call broke".to_owned()),
        Told::Failed(kind) if !explains(last, kind) && !lacks_token(channel, kind) => {
            Some(format!("the last call met {last:?}"))
        }
        Told::Accepted | Told::Unknown | Told::Failed(_) => None,
    }
}

/// Whether a failure of this kind can follow from the last call.
fn explains(last: Option<Fate>, kind: FailureKind) -> bool {
    match last {
        // Nothing was sent: the route was refused, there was no token, or it was not to be.
        None => matches!(
            kind,
            FailureKind::Expired
                | FailureKind::Shutdown
                | FailureKind::Permission
                | FailureKind::Authentication
                | FailureKind::ProviderUnavailable
                | FailureKind::CircuitOpen
                | FailureKind::Canceled
        ),
        Some(Fate::NoConnection) => kind == FailureKind::ProviderUnavailable,
        Some(Fate::Refused(refusal)) => match refusal {
            Refusal::Throttled(_) | Refusal::BareThrottled(_) => kind == FailureKind::RateLimited,
            Refusal::Safe => kind == FailureKind::ProviderError,
            Refusal::Final => kind == FailureKind::ContentRejected,
            Refusal::BareFinal => kind == FailureKind::InvalidRequest,
            Refusal::Forbidden => kind == FailureKind::Permission,
            Refusal::OldToken => kind == FailureKind::Authentication,
        },
        Some(Fate::Served { .. }) => kind == FailureKind::InvalidRecipient,
        Some(Fate::Broken { .. }) => false,
    }
}

/// Excuses that this world does not hold.
pub(super) fn doubt(told: Told, scenario: &Scenario, seen: &Seen<'_>) -> Option<String> {
    let has_time = seen.batch.expires_after > Duration::from_secs(600);
    let is_healthy = seen.channel.is_healthy();
    let is_excuse = match told {
        Told::Accepted => true,
        Told::Unknown => !is_healthy,
        Told::Failed(kind) => match kind {
            FailureKind::Shutdown => scenario.drain.is_some(),
            FailureKind::Expired => !(has_time && is_healthy && seen.channel.is_unpaced()),
            FailureKind::InvalidRecipient => true,
            FailureKind::Canceled => seen.batch.cancel_after.is_some(),
            FailureKind::Internal | FailureKind::Unknown | FailureKind::DuplicateRecipient => false,
            FailureKind::InvalidRequest
            | FailureKind::Authentication
            | FailureKind::Permission
            | FailureKind::ContentRejected
            | FailureKind::RateLimited
            | FailureKind::ProviderUnavailable
            | FailureKind::ProviderError
            | FailureKind::CircuitOpen => !is_healthy,
        },
    };
    (!is_excuse).then(|| "nothing in this world explains it".to_owned())
}

/// Whether a call of this channel can fail so because there was no token for it or for its repeat.
fn lacks_token(channel: &ChannelSpec, kind: FailureKind) -> bool {
    let is_of_token = matches!(kind, FailureKind::Authentication | FailureKind::ProviderUnavailable);
    is_of_token && channel.token_lifetime.is_some() && channel.faults.contains(&FaultKind::NoToken)
}
