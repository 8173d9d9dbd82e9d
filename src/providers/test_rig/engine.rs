//! What the engine does around an adapter, in short, and the way to a stand-in.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::adapter::sandbox::{Arrival, StandIn, StandInAnswer};
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Audience, Call, Prepared, Verdict};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow, widen};
use crate::domain::route::Route;

/// Each recipient of a report with its outcome; `None` = left to the HTTP status, or no answer came.
pub(crate) type Results = Vec<(String, Option<Outcome>)>;

/// Everybody in `list`.
pub(crate) fn everybody(list: &RecipientList) -> Positions {
    Positions::Range(0..narrow(list.len()))
}

/// First occurrences only, as the engine plans them.
pub(crate) fn distinct(list: &RecipientList) -> Positions {
    let mut seen = HashSet::new();
    picked((0..narrow(list.len())).filter(|position| seen.insert(list.id(*position))).collect())
}

/// These positions.
pub(crate) fn picked(positions: Vec<u32>) -> Positions {
    let count = positions.len();
    Positions::Picked(positions.into(), 0..count)
}

/// A call to those at `positions`.
pub(crate) fn call<'a>(
    list: &'a RecipientList,
    positions: &'a Positions,
    now: SystemTime,
    nonce: u64,
) -> Call<'a> {
    Call { recipients: Recipients::new(list, positions), now, nonce }
}

/// Lets a request arrive at a stand-in.
pub(crate) fn arrive(stand_in: &dyn StandIn, request: &WireRequest, now: SystemTime) -> StandInAnswer {
    let arrival = Arrival {
        method: request.method.as_str(),
        path: &request.path,
        query: &request.encoded_query(),
        headers: &request.headers,
        body: &request.body,
    };
    stand_in.answer(&arrival, now)
}

/// The answer of a stand-in that must give one.
#[track_caller]
pub(crate) fn responded(answer: StandInAnswer) -> WireResponse {
    match answer {
        StandInAnswer::Respond(response) => response,
        StandInAnswer::Drop | StandInAnswer::Hang => panic!("no answer came"),
    }
}

/// The outcomes of `count` recipients, whatever the verdict.
#[track_caller]
pub(crate) fn settle(answer: &Answer, count: usize) -> Outcomes {
    match &answer.verdict {
        Verdict::Answered(outcomes) => {
            assert_eq!((outcomes.len(), outcomes.iter().count()), (count, count));
            outcomes.clone()
        }
        Verdict::Refused { failure, .. } => Outcomes::same(Outcome::failed(failure.clone()), count),
        Verdict::Undecided(failure) => Outcomes::same(Outcome::unknown(failure.clone()), count),
        Verdict::Listed(listed) => panic!("nobody asked for a list: {listed:?}"),
    }
}

/// The same, one by one.
#[track_caller]
pub(crate) fn outcomes(answer: &Answer, count: usize) -> Vec<Outcome> {
    settle(answer, count).iter().cloned().collect()
}

/// Sends a route: repeats and refused ids left out, the others cut into calls, all merged in order.
///
/// `exchange` gets every request without credentials and returns the answer, if there is one.
pub(crate) fn send(
    route: &Route,
    prepared: &dyn Prepared,
    now: SystemTime,
    mut exchange: impl FnMut(WireRequest) -> Option<WireResponse>,
) -> Results {
    if matches!(prepared.audience(), Audience::Everyone) {
        let call = call(&route.to, &Positions::Range(0..0), now, 1);
        let response = exchange(prepared.encode(&call)).unwrap();
        let verdict = prepared.decode(&call, &response).unwrap().verdict;
        let Verdict::Listed(listed) = verdict else { panic!("{verdict:?}") };
        return listed.into_iter().map(|(id, outcome)| (id.into(), Some(outcome))).collect();
    }
    let mut seen = HashSet::new();
    let mut results = Results::new();
    let mut open = Vec::new();
    for (position, id) in (0..).zip(route.to.iter()) {
        let refused = match prepared.check_recipient(id) {
            Err(failure) => Some(failure),
            Ok(()) if !seen.insert(id) => Some(Failure::gateway(FailureKind::DuplicateRecipient)),
            Ok(()) => None,
        };
        if refused.is_none() {
            open.push(position);
        }
        results.push((id.to_owned(), refused.map(Outcome::failed)));
    }
    for chunk in picked(open).chunks(prepared.chunking().recipients_per_call) {
        let call = call(&route.to, &chunk, now, 1);
        let Some(response) = exchange(prepared.encode(&call)) else {
            continue;
        };
        let Ok(answer) = prepared.decode(&call, &response) else {
            continue;
        };
        for (offset, outcome) in outcomes(&answer, chunk.len()).into_iter().enumerate() {
            results[widen(chunk.get(offset).unwrap())].1 = Some(outcome);
        }
    }
    results
}
