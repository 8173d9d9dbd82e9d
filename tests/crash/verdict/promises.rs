//! What the answers promised: D1, D2 and the rows about keys.

use std::collections::BTreeSet;

use crate::client::Heard;
use crate::lives::Fate;
use crate::record::{Line, What};
use crate::verdict::books::Family;

fn starts(line: &Line) -> bool {
    !matches!(line.what, What::Cancel { .. })
}

/// D1: what was promised to survive is there. Returns how many batches are not.
pub(super) fn kept(family: &Family<'_>, broken: &mut Vec<String>) -> usize {
    let promised = family.lines.iter().filter(|line| line.is_promised());
    let ids: BTreeSet<&str> = promised.flat_map(|line| line.heard().filter_map(Heard::batch)).collect();
    let gone: Vec<&str> = ids.into_iter().filter(|id| family.find(id).is_none()).collect();
    broken.extend(gone.iter().map(|id| format!("D1: {id} was promised and is gone")));
    gone.len()
}

/// I1, I2: whatever was killed, a key names one batch, and a request without a key starts at most one.
pub(super) fn one_batch_for_one_key(family: &Family<'_>, broken: &mut Vec<String>) {
    for line in family.lines.iter().filter(|line| starts(line)) {
        let named: BTreeSet<&str> = line.heard().filter_map(Heard::batch).collect();
        if named.len() > 1 {
            broken.push(format!("I2: {:?} names {named:?}", line.key));
        }
    }
    let first: Vec<&str> =
        family.finals.iter().filter(|found| found.resend_of.is_none()).map(|found| &*found.id).collect();
    if first.len() > 1 {
        broken.push(format!("I2: one request started {first:?}"));
    }
    let asked = family.lines.iter().filter(|line| matches!(line.what, What::Resend)).count();
    let resends = family.finals.iter().filter(|found| found.resend_of.is_some()).count();
    if resends > asked {
        broken.push(format!("I2: {asked} resends were asked for and {resends} made"));
    }
}

/// A report that was whole in an answer never changes.
pub(super) fn answers_stay(family: &Family<'_>, broken: &mut Vec<String>) {
    for heard in family.lines.iter().flat_map(|line| line.heard()) {
        let (Some(results), Some(found)) = (heard.results(), heard.batch().and_then(|id| family.find(id)))
        else {
            continue;
        };
        if *results != found.results {
            broken.push(format!("D7: {} changed after its end", found.id));
        }
    }
}

/// I5: a request that was only refused has called nobody and started nothing.
pub(super) fn refused_means_unsent(family: &Family<'_>, broken: &mut Vec<String>) {
    let is_refused =
        family.lines.iter().all(|line| !matches!(line.what, What::Send { .. }) || line.is_refused());
    if is_refused && (!family.calls.is_empty() || !family.finals.is_empty()) {
        let statuses: Vec<u16> =
            family.lines.iter().flat_map(|line| line.heard()).map(|heard| heard.status).collect();
        broken.push(format!("I5: it was refused with {statuses:?}, and {} calls came", family.calls.len()));
    }
}

/// A cancel that was answered is known to every life that begins later.
pub(super) fn canceled_means_silent(family: &Family<'_>, broken: &mut Vec<String>) {
    let is_resend = |line: &&Line| matches!(line.what, What::Resend);
    if family.lines.iter().any(is_resend) {
        return;
    }
    let cancels = family.lines.iter().filter(|line| !starts(line)).flat_map(|line| &line.tries);
    let answered = cancels.filter(|attempt| attempt.heard.as_ref().is_some_and(Heard::is_success));
    let Some(canceled_in) = answered.map(|attempt| attempt.newest).min() else { return };
    if let Some((_, life, _)) = family.calls.iter().find(|(_, life, _)| *life > canceled_in) {
        broken.push(format!("a cancel was answered in life {canceled_in}, and a call came in life {life}"));
    }
}

/// No answer gets lost without a reason, and none is a fault of the gateway.
pub(super) fn answers_come(family: &Family<'_>, fates: &[Fate], broken: &mut Vec<String>) {
    // What nothing promised to keep may be gone when it is to be sent again.
    let may_be_gone =
        !family.lines.iter().any(|line| matches!(line.what, What::Send { .. }) && line.is_promised());
    for attempt in family.lines.iter().flat_map(|line| &line.tries) {
        match &attempt.heard {
            None if !fates[attempt.life].may_be_silent() => {
                broken.push(format!("an answer was lost in life {}, which nobody ended", attempt.life));
            }
            Some(heard) if heard.is_success() || matches!(heard.status, 409 | 503) => {}
            Some(heard) if heard.status == 404 && may_be_gone => {}
            Some(heard) => {
                broken.push(format!("refused without a reason: {} {:?}", heard.status, heard.refusal));
            }
            None => {}
        }
    }
}
